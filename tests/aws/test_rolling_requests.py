"""Days too large to be read in one go, and what a tick costs in requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import boto3
import pytest

from shared.app import App
from shared.errors import Unavailable
from shared.events import PurchaseMade
from shared.largedays import LargeDays
from shared.playbook import check
from shared.react import react
from shared.rolling import Part, Rolled, keep_shard
from shared.store import keys
from tests.aws.conftest import Wire
from tests.aws.days import (
    A_DAY,
    DAY,
    HOUR,
    NIGHT,
    NOON,
    afresh,
    an_event,
    figures,
    happen,
    joins,
    measured,
    posts,
    replies,
    the_rollup,
    tick,
)
from tests.builders import at, raw_playbook

MACHINE = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}


@pytest.fixture
def large(app: App, wire: Wire) -> App:
    """The app, for which a day of three events is large."""
    raw = raw_playbook()
    raw["metrics"]["large_day"] = "2"
    app.playbook = check(raw, source="playbook")
    made = boto3.client("stepfunctions").create_state_machine(
        name=app.settings.table,
        definition=json.dumps(MACHINE),
        roleArn="arn:aws:iam::123456789012:role/flywheel",
    )
    app.large_days = LargeDays(boto3.client("stepfunctions"), made["stateMachineArn"])
    wire.requests.clear()
    return app


def runs(app: App) -> list[dict[str, Any]]:
    """What the state machine was started with."""
    client = boto3.client("stepfunctions")
    found = client.list_executions(stateMachineArn=app.large_days._arn)["executions"]
    return [json.loads(client.describe_execution(executionArn=one["executionArn"])["input"]) for one in found]


def carry_out(app: App, run: dict[str, Any]) -> Rolled:
    """Do what the state machine has the function do."""
    now, day = at(run["scheduled_time"]), date.fromisoformat(run["day"])
    for shard in run["shards"]:
        keep_shard(app, now, day=day, run=run["run"], shard=shard)
    return tick(app, now, part=Part(day=day, run=run["run"], mark=run["mark"]))


class TestLargeDays:
    def test_a_large_day_read_by_shards_gives_the_same(self, large: App) -> None:
        events = [joins(f"U{number}", NOON) for number in range(9)]
        happen(large, *events, posts("U1", NOON), replies("U2", NOON + HOUR), now=NOON)
        happen(large, an_event(PurchaseMade, "U1", NOON + HOUR, amount=7, currency="EUR"), now=NOON)
        assert tick(large, NIGHT).handed_over == DAY
        assert large.store.rollups(DAY, DAY) == []
        [run] = runs(large)
        assert carry_out(large, run).days == [DAY, DAY + A_DAY]
        by_shards = {where: item for where, item in measured(large).items() if run["run"] not in where[1]}
        large.large_days = LargeDays(boto3.client("stepfunctions"), "")
        assert by_shards == afresh(large, NIGHT)

    def test_the_same_run_started_twice_runs_once(self, large: App) -> None:
        happen(large, *[posts(f"U{number}", NOON) for number in range(3)], now=NOON)
        tick(large, NIGHT)
        tick(large, NIGHT)
        assert len(runs(large)) == 1

    def test_a_day_known_to_be_large_is_not_read_before_it_is_handed_over(self, large: App, wire: Wire) -> None:
        happen(large, *[posts(f"U{number}", NOON) for number in range(3)], now=NOON)
        tick(large, NOON + HOUR)
        carry_out(large, runs(large)[0])
        wire.requests.clear()
        assert tick(large, NOON + 2 * HOUR).handed_over == DAY
        assert wire.requests["Query"] == 2

    def test_a_part_that_is_missing_makes_the_run_come_again(self, large: App) -> None:
        keep_shard(large, NIGHT, day=DAY, run="run", shard=0)
        with pytest.raises(Unavailable, match="1 of 8"):
            tick(large, NIGHT, part=Part(day=DAY, run="run", mark=""))

    def test_what_came_while_a_run_was_reading_stays_marked(self, large: App) -> None:
        happen(large, *[posts(f"U{number}", NOON) for number in range(3)], now=NOON)
        large.store.mark(DAY, "before", NIGHT)
        tick(large, NIGHT)
        large.store.mark(DAY, "meanwhile", NIGHT)
        carry_out(large, runs(large)[0])
        assert [mark.token for mark in large.store.marks()] == ["meanwhile"]

    def test_a_run_that_comes_after_a_later_one_changes_nothing(self, large: App) -> None:
        happen(large, *[posts(f"U{number}", NOON) for number in range(3)], now=NOON)
        tick(large, NOON + HOUR)
        [early] = runs(large)
        tick(large, NIGHT)
        [late] = [run for run in runs(large) if run != early]
        carry_out(large, late)
        carry_out(large, early)
        assert the_rollup(large).closed

    def test_parts_of_a_run_expire_after_two_days(self, large: App) -> None:
        keep_shard(large, NIGHT, day=DAY, run="run", shard=0)
        items = boto3.client("dynamodb").scan(TableName=large.settings.table)["Items"]
        [expires_at] = [item["expires_at"]["N"] for item in items if item["pk"]["S"].startswith("TALLY#")]
        assert int(expires_at) == (NIGHT + 2 * A_DAY).timestamp()


class TestRequests:
    """What a tick costs. A change that costs more must change these knowingly."""

    def test_an_hourly_tick_with_nothing_dirty_reads_the_log_once(self, app: App, wire: Wire) -> None:
        happen(app, joins("U1", NOON))
        tick(app, NIGHT)
        tick(app, NIGHT + HOUR)
        wire.requests.clear()
        tick(app, NIGHT + 2 * HOUR)
        log, marks, rollups, signups = 2 * keys.LOG_SHARDS, 1, 1, 1
        assert wire.requests["Query"] == log + marks + rollups + signups
        lease, threads, figures = 2, 1, 1
        assert wire.writes() == lease + threads + figures
        assert wire.requests["BatchWriteItem"] == 0
        bitmaps, rest, waits = 2, 1, 1
        assert wire.requests["BatchGetItem"] == bitmaps + rest + waits

    def test_bitmaps_of_a_month_are_read_100_items_a_request(self, app: App, wire: Wire) -> None:
        days = [DAY - back * A_DAY for back in range(30)]
        app.store.activity(days, ["active", "members", "new"])
        assert wire.requests == {"BatchGetItem": 1, "GetItem": 1}

    @pytest.mark.parametrize("members", [30, 60])
    def test_a_day_costs_a_batched_write_a_member_and_two_batched_reads(
        self, app: App, wire: Wire, members: int
    ) -> None:
        everybody = [posts(f"U{number}", NOON, thread=f"T{number}") for number in range(members)]
        app.store.log(everybody)
        react(everybody, app, NOON)
        wire.requests.clear()
        tick(app, NIGHT)
        days, bitmaps = -(-members // 25), 3
        assert wire.requests["BatchWriteItem"] == days + bitmaps
        assert wire.writes() <= 8

    def test_days_after_a_late_event_are_not_read_from_the_log_again(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        happen(app, joins("U1", NOON))
        for day in range(12):
            tick(app, NIGHT + day * A_DAY)
        happen(app, posts("U1", NOON + HOUR), now=NIGHT + 11 * A_DAY)
        read: list[date] = []
        pages = app.store.log_pages

        def noted(utc_day: date, shard: int) -> Iterator[list[str]]:
            read.append(utc_day)
            return pages(utc_day, shard)

        monkeypatch.setattr(app.store, "log_pages", noted)
        tick(app, NIGHT + 11 * A_DAY + HOUR)
        assert set(read) == {DAY - A_DAY, DAY, DAY + 11 * A_DAY, DAY + 12 * A_DAY}

    def test_a_late_event_costs_react_one_write_a_day_and_batch(self, app: App, wire: Wire) -> None:
        happen(app, posts("U1", NOON), posts("U1", NIGHT))
        late = [posts("U1", NOON, thread=f"T{number}") for number in range(20)]
        app.store.log(late)
        react(late, app, NOON)
        wire.requests.clear()
        react(late, app, NOON)
        on_time = wire.writes()
        react(late, app, NIGHT)
        assert wire.writes() == 2 * on_time + 1

    def test_a_long_log_is_read_page_by_page(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        happen(app, posts("U1", NOON), replies("U1", NOON + HOUR), replies("U1", NOON + HOUR, thread="T2"))
        query = app.store._client.query
        monkeypatch.setattr(app.store._client, "query", lambda **request: query(**{"Limit": 1} | request))
        tick(app, NIGHT)
        assert (figures(app)["posts"], figures(app)["comments"]) == (1, 2)
