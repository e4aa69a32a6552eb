"""The function that watches, behind its real handler: what it writes, and what one look costs."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from functions import watch
from shared.app import App
from shared.balance import PATIENCE
from shared.model import Due, SendStatus
from shared.watching import DAYS
from tests.aws.conftest import Wire
from tests.aws.test_functions import Context, Told, _wire
from tests.builders import JOINED, a_send

NOW = JOINED + timedelta(days=1)
HOUR = {"scheduled_time": NOW.isoformat()}


@pytest.fixture(autouse=True)
def told(app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    told = Told(capsys)
    monkeypatch.setattr(watch.metrics.provider, "namespace", "Flywheel")  # read when the module was loaded
    _wire(watch, app, told, monkeypatch)
    return told


def looked(capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    """The figures of one look."""
    watch.handler(HOUR, Context())
    written = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    return {name: written[name][0] for name in ("OldestOverdue", "SendsStuck")}


def a_due(programme: str, **ago: float) -> Due:
    return Due(programme=programme, member_id="m1", key="k", due_at=NOW - timedelta(**ago))


def test_a_stack_in_which_all_is_well_writes_zeros(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    for number, programme in enumerate(PATIENCE):
        app.store.arm(a_due(programme, minutes=14))
        app.store.set_plan(programme, number % 4, "a plan")
    app.store.skip(a_send(status=SendStatus.SENT, planned_at=JOINED))
    assert looked(capsys) == {"OldestOverdue": 0, "SendsStuck": 0}


@pytest.mark.parametrize("programme", PATIENCE)
def test_an_item_that_no_tick_takes_off_is_told_with_its_age(
    app: App, capsys: pytest.CaptureFixture[str], told: Told, programme: str
) -> None:
    app.store.arm(a_due(programme, hours=2))
    assert looked(capsys)["OldestOverdue"] == 7200
    assert told.logged()[0]["minutes"] == {programme: 120}


def test_a_mail_that_nothing_settles_is_counted_and_named(
    app: App, capsys: pytest.CaptureFixture[str], told: Told
) -> None:
    lost: dict[str, Any] = {"status": SendStatus.CLAIMED, "token": "t", "lease_until": JOINED}
    app.store.skip(a_send("check_in", planned_at=JOINED, **lost))
    app.store.skip(a_send("welcome", planned_at=JOINED, status=SendStatus.SENT))
    assert looked(capsys) == {"OldestOverdue": 0, "SendsStuck": 1}
    ledger, stuck = told.logged()
    assert (ledger["planned"], ledger["days"]) == (2, {"2030-01-01": {"claimed": 1, "sent": 1}})
    assert stuck["send_ids"] == [a_send("check_in").send_id]


def test_one_look_costs_a_query_a_shard_and_reads_open_mails_alone(app: App, wire: Wire) -> None:
    for step in ("welcome", "check_in"):
        app.store.skip(a_send(step, planned_at=JOINED, status=SendStatus.SENT))
    until = NOW + timedelta(days=1)
    app.store.skip(a_send("survey", planned_at=JOINED, status=SendStatus.DEFERRED, until=until))
    wire.requests.clear()
    watch.handler(HOUR, Context())
    days = DAYS + 1  # seven days from a noon on touch eight
    assert wire.requests == {"Query": 4 * len(PATIENCE) + 4 * days, "BatchGetItem": 1}
