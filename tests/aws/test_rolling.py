"""Days of the log, rolled up hour by hour, against the same days rolled up once and for all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from pyroaring import BitMap

from shared.app import App
from shared.errors import Unavailable
from shared.events import (
    AnswerAccepted,
    CommentCreated,
    CommunityEvent,
    MemberJoined,
    MemberLeft,
    MemberUpdated,
    PostCreated,
    Profile,
    PurchaseMade,
    ReactionAdded,
    SurveyAnswered,
)
from shared.largedays import LargeDays
from shared.model import Attribution, Identity, member_id_of
from shared.playbook import check
from shared.react import react
from shared.rolling import SETTLED, Part, Rolled, keep_shard, roll
from shared.rollups import KINDS, Rollup
from shared.store import keys
from shared.tally import Doings
from tests.aws.conftest import Wire
from tests.builders import at, raw_playbook

DAY = date(2030, 1, 10)
NOON = at("2030-01-10T12:00+01:00")
"""In Berlin, where the community is."""

NIGHT = at("2030-01-11T00:07+01:00")
"""The first tick after that day."""

HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)


def ever() -> float:
    """All the time that one could wish for."""
    return 1e9


def an_event(kind: type[CommunityEvent], who: str, moment: datetime, **changes: Any) -> CommunityEvent:
    """Something that a person (`slack:U1`, or on Slack `U1`) did."""
    platform, _, actor = who.rpartition(":")
    told = kind.model_fields["type"].default
    fields: dict[str, Any] = {
        "id": f"{who}/{told}/{moment.isoformat()}/{changes.get('object', '')}/{changes.get('parent', '')}",
        "occurred_at": moment,
        "received_at": moment,
        "platform": platform or "slack",
        "actor": actor,
    }
    return kind(**fields | changes)


def joins(who: str, moment: datetime, **changes: Any) -> CommunityEvent:
    return an_event(MemberJoined, who, moment, **changes)


def posts(who: str, moment: datetime, thread: str = "T1", **changes: Any) -> CommunityEvent:
    return an_event(PostCreated, who, moment, object=thread, **changes)


def replies(who: str, moment: datetime, thread: str = "T1") -> CommunityEvent:
    return an_event(CommentCreated, who, moment, parent=thread)


def happen(app: App, *events: CommunityEvent, now: datetime | None = None) -> None:
    """Have events logged and reacted to, each when it happens or, late, all of them `now`."""
    for event in events:
        app.store.log([event])
        assert react([event], app, now or event.occurred_at) == {}


def tick(app: App, now: datetime, **changes: Any) -> Rolled:
    return roll(app, now, changes.pop("time_left", ever), **changes)


def the_rollup(app: App, day: date = DAY) -> Rollup:
    [found] = app.store.rollups(day, day)
    return found


def figures(app: App, day: date = DAY) -> dict[str, Any]:
    return dict(the_rollup(app, day).figures)


def bitmaps(app: App, day: date = DAY) -> dict[str, set[int]]:
    return {kind: set(bits) for kind, bits in app.store.activity([day], KINDS)[day].items()}


def measured(app: App) -> dict[tuple[str, str], Any]:
    """Everything that measuring has written, but for when it did."""
    found = {}
    for page in boto3.client("dynamodb").get_paginator("scan").paginate(TableName=app.settings.table):
        for item in page["Items"]:
            pk, sk = item["pk"]["S"], item["sk"]["S"]
            if pk.startswith("ACTIVE#"):
                found[pk, sk] = set(BitMap.deserialize(item["bits"]["B"]))
            elif pk == keys.ROLLUPS:
                told = json.loads(item["rollup"]["S"])
                found[pk, sk] = {name: told[name] for name in ("closed", "counts", "figures")}
            elif sk.startswith(keys.FIRST_DAY) or pk == keys.DIRTY:
                found[pk, sk] = item
            elif pk.startswith("TALLY#"):
                found[pk, sk] = item["piece"]["B"]
    return found


def ordinal(app: App, who: str) -> int:
    member = app.store.survivor(member_id_of(Identity("slack", who)))
    assert member is not None
    return member.ordinal


class TestADay:
    def test_what_people_did_becomes_figures_bitmaps_and_days(self, app: App) -> None:
        happen(app, joins("U1", NOON), joins("U2", NOON + HOUR), posts("U1", NOON + 2 * HOUR))
        tick(app, NIGHT)
        told = figures(app)
        assert (told["members"], told["new_members"], told["active"], told["posts"]) == (2, 2, 1, 1)
        ada, bob = ordinal(app, "U1"), ordinal(app, "U2")
        assert bitmaps(app) == {name: {ada, bob} for name in ("joined", "seen", "members", "new")} | {"active": {ada}}
        ids = [member_id_of(Identity("slack", who)) for who in ("U1", "U2")]
        assert app.store.did(ids, DAY) == {ids[0]: Doings(posts=1), ids[1]: Doings()}
        assert the_rollup(app).closed

    def test_today_so_far_has_figures_but_no_days_of_members(self, app: App) -> None:
        happen(app, joins("U1", NOON))
        tick(app, NOON + HOUR)
        rollup = the_rollup(app)
        assert (rollup.closed, rollup.first, rollup.figures["members"]) == (False, None, 1)
        assert app.store.days_of(member_id_of(Identity("slack", "U1"))) == []

    def test_a_day_without_events_is_measured_and_nothing_is_zero_by_default(self, app: App) -> None:
        tick(app, NOON)
        tick(app, NOON + A_DAY)
        told = figures(app)
        assert (told["members"], told["posts"], told["response_rate"], told["nps"]) == (0, 0, None, None)
        assert the_rollup(app).closed

    def test_nothing_is_measured_before_the_first_day_on_which_something_happened(self, app: App) -> None:
        happen(app, joins("U1", NOON))
        tick(app, NIGHT)
        assert [one.day for one in app.store.rollups(DAY - 30 * A_DAY, DAY + A_DAY)] == [DAY, DAY + A_DAY]

    def test_a_day_on_which_the_clocks_go_back_has_25_hours(self, app: App) -> None:
        sunday = date(2030, 10, 27)
        edges = ["2030-10-26T21:59:59Z", "2030-10-26T22:00Z", "2030-10-27T22:59:59Z", "2030-10-27T23:00Z"]
        for number, moment in enumerate(edges):
            happen(app, posts("U1", at(moment), thread=f"T{number}"))
        app.store.mark(sunday - A_DAY, "x", NOON)
        tick(app, at("2030-10-27T23:07Z"))
        days = [sunday - A_DAY, sunday, sunday + A_DAY]
        assert [figures(app, day)["posts"] for day in days] == [1, 2, 1]

    def test_an_event_that_cannot_be_read_holds_nothing_up(self, app: App) -> None:
        happen(app, posts("U1", NOON))
        pk, sk = keys.log(NOON.date(), Identity("slack", "U1"), "unreadable")
        item = {"pk": {"S": pk}, "sk": {"S": sk}, "event": {"S": '{"type": "member.teleported"}'}}
        boto3.client("dynamodb").put_item(TableName=app.settings.table, Item=item)
        tick(app, NIGHT)
        assert figures(app)["posts"] == 1

    def test_staff_bots_and_the_community_are_nobody(self, app: App) -> None:
        happen(app, joins("U1", NOON, profile=Profile(role="staff")), posts("U1", NOON), joins("U2", NOON))
        tick(app, NIGHT)
        assert (figures(app)["members"], figures(app)["posts"]) == (1, 0)


class TestAgain:
    def test_a_tick_with_nothing_new_changes_nothing(self, app: App) -> None:
        happen(app, joins("U1", NOON), posts("U1", NOON), replies("U2", NOON + HOUR))
        tick(app, NIGHT)
        before = measured(app)
        closed = the_rollup(app)
        tick(app, NIGHT + HOUR)
        assert measured(app) == before
        assert the_rollup(app) == closed

    def test_a_late_event_restates_its_day_and_those_after_it(self, app: App) -> None:
        happen(app, joins("U1", NOON))
        tick(app, NIGHT)
        tick(app, NIGHT + A_DAY)
        happen(app, joins("U2", NOON), posts("U2", NOON + HOUR), now=NIGHT + A_DAY)
        assert tick(app, NIGHT + A_DAY + HOUR).days == [DAY, DAY + 2 * A_DAY]
        assert [figures(app, DAY + back * A_DAY)["members"] for back in range(3)] == [2, 2, 2]
        assert figures(app, DAY + A_DAY)["mau"] == 1
        assert app.store.marks() == []

    def test_what_was_first_published_is_kept_beside_what_is_known_now(self, app: App) -> None:
        happen(app, joins("U1", NOON))
        tick(app, NOON + HOUR)
        tick(app, NIGHT)
        happen(app, posts("U1", NOON + HOUR), now=NIGHT + HOUR)
        tick(app, NIGHT + 2 * HOUR)
        rollup = the_rollup(app)
        assert rollup.first is not None
        assert (rollup.first["posts"], rollup.figures["posts"]) == (0, 1)
        assert (rollup.first_at, rollup.computed_at) == (NIGHT, NIGHT + 2 * HOUR)

    def test_a_day_marked_again_while_it_is_read_stays_marked(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        happen(app, posts("U1", NOON))
        app.store.mark(DAY, "first", NIGHT)
        read = app.store.log_pages

        def interrupted(utc_day: date, shard: int) -> Iterator[list[str]]:
            app.store.mark(DAY, "second", NIGHT)
            return read(utc_day, shard)

        monkeypatch.setattr(app.store, "log_pages", interrupted)
        tick(app, NIGHT)
        assert [(mark.day, mark.token) for mark in app.store.marks()] == [(DAY, "second")]

    def test_a_day_whose_log_may_have_expired_is_never_computed_from_less(self, app: App) -> None:
        happen(app, posts("U1", NOON))
        tick(app, NIGHT)
        before = the_rollup(app)
        app.store.mark(DAY, "late", NIGHT)
        rolled = tick(app, at("2030-01-10T00:00+01:00") + timedelta(days=400), time_left=lambda: 0.0)
        assert (rolled.too_late, rolled.days) == ([DAY], [DAY + A_DAY])
        assert the_rollup(app) == before
        assert app.store.marks() == []

    def test_a_moment_before_its_log_may_expire_a_day_is_computed_again(self, app: App) -> None:
        app.store.mark(DAY, "late", NIGHT)
        happen(app, posts("U1", NOON))
        rolled = tick(app, at("2030-01-09T23:59+01:00") + timedelta(days=400), time_left=lambda: 0.0)
        assert (rolled.too_late, rolled.days) == ([], [DAY])

    def test_a_reply_days_later_restates_the_day_of_its_thread(self, app: App) -> None:
        happen(app, joins("U1", NOON), joins("U2", NOON), posts("U1", NOON))
        tick(app, NIGHT)
        assert figures(app)["response_rate"] == 0
        for day in range(1, 7):
            tick(app, NIGHT + day * A_DAY)
        happen(app, replies("U2", NOON + 7 * A_DAY))
        tick(app, NOON + 7 * A_DAY + HOUR)
        assert (figures(app)["response_rate"], figures(app)["ttfr_median"]) == (1, 7 * 86400)
        assert app.store.waits(DAY) == [7 * 86400]

    def test_a_reply_by_whoever_proved_to_be_the_opener_is_no_answer(self, app: App) -> None:
        mail = Profile(email="ada@example.com", email_verified=True)
        happen(app, joins("U1", NOON, profile=mail), posts("U1", NOON))
        happen(app, joins("standard:ada", NOON + HOUR))
        happen(app, an_event(CommentCreated, "slack:U9", NOON + 2 * HOUR, parent="T1"))
        tick(app, NIGHT)
        assert (figures(app)["members"], figures(app)["response_rate"]) == (3, 1)
        happen(app, an_event(MemberUpdated, "slack:U9", NIGHT + HOUR, profile=mail))
        happen(app, an_event(MemberUpdated, "standard:ada", NIGHT + HOUR, profile=mail))
        tick(app, NIGHT + 2 * HOUR)
        assert (figures(app)["members"], figures(app)["response_rate"]) == (1, 0)

    def test_who_proved_to_be_one_has_one_day_with_all_they_did(self, app: App) -> None:
        mail = Profile(email="ada@example.com", email_verified=True)
        happen(app, joins("U1", NOON, profile=mail), posts("U1", NOON))
        happen(app, joins("U9", NOON + HOUR), replies("U9", NOON + HOUR), an_event(MemberLeft, "U9", NOON + 3 * HOUR))
        for day in range(3):
            tick(app, NIGHT + day * A_DAY)
        now = NIGHT + 2 * A_DAY + HOUR
        happen(app, an_event(MemberUpdated, "U9", now, profile=mail))
        tick(app, now + HOUR)
        one, other = (member_id_of(Identity("slack", who)) for who in ("U1", "U9"))
        assert app.store.did([one, other], DAY) == {one: Doings(posts=1, comments=1)}
        tick(app, now + SETTLED)
        assert app.store.marks() == []
        assert measured(app) == afresh(app, now + SETTLED)

    def test_a_member_who_proves_to_be_a_bot_was_never_one(self, app: App) -> None:
        happen(app, joins("U1", NOON), posts("U1", NOON), joins("U2", NOON))
        tick(app, NIGHT)
        happen(app, an_event(MemberUpdated, "U1", NIGHT + HOUR, profile=Profile(role="bot")))
        tick(app, NIGHT + 2 * HOUR)
        assert (figures(app)["members"], figures(app)["posts"]) == (1, 0)
        assert app.store.days_of(member_id_of(Identity("slack", "U1"))) == []

    def test_an_event_on_time_marks_nothing(self, app: App) -> None:
        happen(app, posts("U1", NOON))
        assert app.store.marks() == []


def wipe(app: App) -> None:
    """Take away all that measuring has written."""
    client = boto3.client("dynamodb")
    for item in client.scan(TableName=app.settings.table)["Items"]:
        pk, sk = item["pk"]["S"], item["sk"]["S"]
        if pk.startswith(("ACTIVE#", "TALLY#", keys.DIRTY, keys.ROLLUPS)) or sk.startswith(keys.FIRST_DAY):
            client.delete_item(TableName=app.settings.table, Key={"pk": item["pk"], "sk": item["sk"]})


def afresh(app: App, now: datetime) -> dict[tuple[str, str], Any]:
    """Everything, if it were measured for the first time now: what is there is taken away for it."""
    first = min(day for pk, day in measured(app) if pk == keys.ROLLUPS)
    wipe(app)
    app.store.mark(date.fromisoformat(first), "all", now)
    tick(app, now)
    return measured(app)


def some_weeks(seed: int) -> list[tuple[datetime, CommunityEvent]]:
    """Some days of a few people with two accounts each, and when each event comes: often late, rarely in order."""
    random = Random(seed)  # noqa: S311 - the same every time is the point
    start = at("2030-03-10T00:00Z")
    people = [f"{platform}:p{number}" for number in range(6) for platform in ("slack", "standard")]
    found = []
    for number in range(60):
        who, moment = random.choice(people), start + random.random() * 10 * A_DAY
        thread = f"T{random.randrange(12)}"
        mail = Profile(email=f"{who.partition(':')[2]}@example.com", email_verified=True)
        made: list[Callable[[], CommunityEvent]] = [
            lambda: joins(who, moment, profile=random.choice([Profile(), mail])),  # noqa: B023 - called at once
            lambda: posts(who, moment, thread=thread),  # noqa: B023
            lambda: replies(who, moment, thread=thread),  # noqa: B023
            lambda: an_event(ReactionAdded, who, moment, object=thread, sentiment="positive"),  # noqa: B023
            lambda: an_event(MemberLeft, who, moment),  # noqa: B023
            lambda: an_event(MemberUpdated, who, moment, profile=mail),  # noqa: B023
            lambda: an_event(PurchaseMade, who, moment, amount=number, currency="EUR"),  # noqa: B023
            lambda: an_event(SurveyAnswered, who, moment, score=number % 11),  # noqa: B023
            lambda: an_event(AnswerAccepted, who, moment, parent=thread),  # noqa: B023
        ]
        event = random.choice(made)()
        late = random.choice([timedelta(), timedelta(), HOUR, A_DAY, 6 * A_DAY])
        found.append((moment + late, event))
    return sorted(found, key=lambda one: (one[0], one[1].id))


class TestAnyOrder:
    @pytest.mark.parametrize("seed", range(1))
    def test_figures_restated_day_by_day_are_those_computed_at_once(self, app: App, seed: int) -> None:
        raw = raw_playbook()
        raw["reengagement"] |= {"inactive_days": "4", "spacing": ["4d", "45d", "60d"], "win_back_within": "2d"}
        app.playbook = check(raw, source="playbook")
        weeks = some_weeks(seed)
        now = weeks[0][0]
        for came, event in weeks:
            while now + 25 * HOUR < came:
                now += 25 * HOUR
                tick(app, now)
            happen(app, event, now=came)
        end = weeks[-1][0] + SETTLED + A_DAY
        tick(app, end)
        by_and_by = measured(app)
        assert len([pk for pk, _ in by_and_by if pk == keys.ROLLUPS]) >= 10
        assert by_and_by == afresh(app, end)


@contextmanager
def broken(app: App, after: int) -> Iterator[None]:
    """The table goes away after so many writes."""
    writes = 0

    def count(model: Any, **_: Any) -> None:
        nonlocal writes
        if model.name in {"PutItem", "DeleteItem", "BatchWriteItem", "UpdateItem"}:
            writes += 1
            if writes > after:
                raise EndpointConnectionError(endpoint_url="https://dynamodb.example.com")

    events = app.store._client.meta.events
    events.register("before-call.dynamodb.*", count)
    try:
        yield
    finally:
        events.unregister("before-call.dynamodb.*", count)


def crash_until_done(app: App, now: datetime) -> int:
    """Let a tick die at its first write, the next at its second and so on, until one comes through; how many died."""
    pk, sk = keys.ROLLING
    for crashes in range(60):
        app.store._client.delete_item(TableName=app.settings.table, Key={"pk": {"S": pk}, "sk": {"S": sk}})
        try:
            with broken(app, after=crashes):
                tick(app, now)
        except Unavailable:
            continue
        return crashes
    raise AssertionError("no tick came through")


class TestCrashes:
    def test_whatever_write_fails_the_next_tick_makes_good(self, app: App) -> None:
        happen(app, joins("U1", NOON), posts("U1", NOON), joins("U2", NOON + 2 * A_DAY))
        for day in range(3):
            tick(app, NIGHT + day * A_DAY)
        now = NIGHT + 2 * A_DAY
        late = [joins("U3", NOON), replies("U3", NOON + HOUR), posts("U2", NOON - A_DAY), posts("U3", NOON - 4 * A_DAY)]
        happen(app, *late, now=now)
        assert crash_until_done(app, now + HOUR) > 10
        found = measured(app)
        assert not [pk for pk, _ in found if pk == keys.DIRTY]
        assert found == afresh(app, now + HOUR)

    def test_a_day_that_is_missing_is_made_good_with_all_that_follows(self, app: App) -> None:
        happen(app, joins("U1", NOON))
        for day in range(4):
            tick(app, NIGHT + day * A_DAY)
        happen(app, joins("U2", NOON))  # and nobody marks the day
        pk, sk = keys.rollup(DAY)
        app.store._client.delete_item(TableName=app.settings.table, Key={"pk": {"S": pk}, "sk": {"S": sk}})
        happen(app, posts("U1", NOON - A_DAY), now=NIGHT)
        now = NIGHT + 3 * A_DAY + HOUR
        for mark in app.store.marks():
            app.store.unmark(mark)
        app.store.put_rollup(Rollup(day=DAY - A_DAY, computed_at=NIGHT, closed=True))
        assert crash_until_done(app, now) > 5
        assert [figures(app, DAY + day * A_DAY)["members"] for day in range(4)] == [2, 2, 2, 2]
        assert app.store.marks() == []

    def test_time_that_runs_out_leaves_the_newer_days_to_the_next_tick(self, app: App) -> None:
        happen(app, joins("U1", NOON), posts("U1", NOON + 2 * A_DAY, thread="T2"))
        now = NIGHT + 3 * A_DAY
        app.store.mark(DAY, "x", now)
        days = [DAY + back * A_DAY for back in range(5)]
        for at_a_time, day in enumerate(days):
            rolled = tick(app, now, time_left=lambda: 0.0)
            assert (rolled.days, rolled.left) == ([day], days[at_a_time + 1 :])
        assert measured(app) == afresh(app, now)

    def test_two_ticks_at_once_are_one(self, app: App) -> None:
        app.store.begin_rolling("another", at=app.wire_clock(), until=app.wire_clock() + HOUR)
        assert tick(app, NOON).busy
        assert app.store.rollups(DAY, DAY) == []
        with pytest.raises(Unavailable):
            tick(app, NOON, part=Part(day=DAY, run="run", mark=""))

    def test_a_lease_that_nobody_gave_back_ends_by_itself(self, app: App) -> None:
        app.store.begin_rolling("crashed", at=app.wire_clock() - 2 * HOUR, until=app.wire_clock() - HOUR)
        assert not tick(app, NOON).busy


class TestRevenue:
    def test_a_purchase_is_influenced_by_activity_on_one_of_90_days_before(self, app: App) -> None:
        happen(app, posts("U1", NOON), joins("U2", NOON))
        tick(app, NIGHT)
        for day in range(2, 90):
            app.store.put_rollup(Rollup(day=DAY + day * A_DAY, computed_at=NIGHT, closed=True))
        for who, day in (("U1", 1), ("U2", 1), ("U1", 90), ("U1", 91)):
            happen(app, an_event(PurchaseMade, who, NOON + day * A_DAY, amount=100 + day, currency="EUR"))
        tick(app, NIGHT + 91 * A_DAY)
        told = [figures(app, DAY + day * A_DAY)["influenced_revenue"] for day in (1, 90, 91)]
        assert told == [{"EUR": 101}, {"EUR": 190}, {}]

    def test_activity_told_late_influences_purchases_after_it(self, app: App) -> None:
        happen(app, joins("U1", NOON), an_event(PurchaseMade, "U1", NOON + 20 * A_DAY, amount=5, currency="EUR"))
        tick(app, NIGHT + 20 * A_DAY)
        assert figures(app, DAY + 20 * A_DAY)["influenced_revenue"] == {}
        happen(app, posts("U1", NOON), now=NIGHT + 20 * A_DAY)
        tick(app, NIGHT + 20 * A_DAY + HOUR)
        assert figures(app, DAY + 20 * A_DAY)["influenced_revenue"] == {"EUR": 5}

    def test_revenue_is_sourced_once_it_is_settled_who_brought_the_buyer(self, app: App) -> None:
        happen(app, joins("U1", NOON), an_event(PurchaseMade, "U1", NOON, amount=5, currency="EUR"))
        tick(app, NIGHT)
        assert (figures(app)["sourced_revenue"], figures(app)["referral_signups"]) == ({}, 0)
        settled = NIGHT + 9 * HOUR
        referee = member_id_of(Identity("slack", "U1"))
        app.store.attribute(
            Attribution(referee_id=referee, referrer_id="m1", touched_at=NOON, source="link", at=settled)
        )
        tick(app, settled + HOUR)
        assert figures(app)["sourced_revenue"] == {"EUR": 5}
        assert figures(app, DAY + A_DAY)["referral_signups"] == 1


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

    def test_days_after_a_late_event_are_not_read_from_the_log_again(self, app: App, wire: Wire) -> None:
        happen(app, joins("U1", NOON))
        for day in range(12):
            tick(app, NIGHT + day * A_DAY)
        happen(app, posts("U1", NOON + HOUR), now=NIGHT + 11 * A_DAY)
        wire.requests.clear()
        read: list[date] = []
        pages = app.store.log_pages
        app.store.log_pages = lambda day, shard: read.append(day) or pages(day, shard)  # type: ignore[method-assign, func-returns-value]
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
