"""The function that measures, behind its real handler and with its golden inputs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import date, timedelta

import pytest

from functions import metrics_rollup
from shared.app import App
from shared.errors import Unavailable
from shared.events import CommunityEvent
from shared.largedays import SHARDS
from shared.react import react
from tests.aws.conftest import Clock
from tests.aws.test_functions import PEOPLE, Context, golden_input
from tests.builders import JOINED, at, joined, posted

DAY = date(2030, 1, 1)

PLENTY = [900_000] * 9
"""Milliseconds left, at each question."""


@pytest.fixture(autouse=True)
def log(app: App, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """The function wired to the App, and what it writes to its log."""
    lines = io.StringIO()
    monkeypatch.setattr(metrics_rollup, "app", lambda: app)
    monkeypatch.setattr(metrics_rollup.logger.registered_handler, "stream", lines)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Flywheel")
    return lines


Figures = Callable[[], dict[str, float]]


@pytest.fixture
def counted(capsys: pytest.CaptureFixture[str]) -> Figures:
    """What the function counts, by name; the last word on each."""

    def figures() -> dict[str, float]:
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return {name: line[name][0] for line in lines for name in ("DaysRolled",) if name in line}

    return figures


def a_day(app: App) -> None:
    events: list[CommunityEvent] = [joined(), posted()]
    app.store.log(events)
    react(events, app, JOINED)


def test_a_tick_measures_as_of_its_own_time(app: App, counted: Figures) -> None:
    a_day(app)
    metrics_rollup.handler(golden_input("schedules/tick"), Context(*PLENTY))
    [rollup] = app.store.rollups(DAY, DAY)
    assert (rollup.computed_at, rollup.figures["posts"]) == (JOINED, 1)
    assert counted() == {"DaysRolled": 1}


def test_a_tick_without_a_time_is_as_of_the_clock(app: App, clock: Clock) -> None:
    clock.now = JOINED + timedelta(hours=1)
    metrics_rollup.handler(golden_input("schedules/not_filled_in"), Context(*PLENTY))
    assert [rollup.computed_at for rollup in app.store.rollups(DAY, DAY)] == [clock.now]


def test_no_day_is_begun_without_time_to_end_it(app: App, counted: Figures, log: io.StringIO) -> None:
    a_day(app)
    app.store.mark(DAY, "x", JOINED)
    late = {"scheduled_time": (JOINED + timedelta(days=2)).isoformat()}
    metrics_rollup.handler(late, Context(299_000, 299_000))
    assert counted() == {"DaysRolled": 1}
    [line] = map(json.loads, log.getvalue().splitlines())
    assert (line["level"], line["message"], line["left"]) == ("WARNING", "there was no time for all days", 2)


def test_a_large_day_is_read_by_shards_and_then_measured(app: App, log: io.StringIO) -> None:
    a_day(app)
    shard = golden_input("schedules/large_day_shard")
    for number in range(SHARDS):
        metrics_rollup.handler(shard | {"shard": number}, Context(*PLENTY))
    assert [json.loads(line)["message"] for line in log.getvalue().splitlines()] == ["shard read"] * SHARDS
    assert app.store.rollups(DAY, DAY) == []
    metrics_rollup.handler(golden_input("schedules/large_day"), Context(*PLENTY))
    [rollup] = app.store.rollups(DAY, DAY)
    assert (rollup.closed, rollup.figures["posts"], rollup.computed_at) == (True, 1, at("2030-01-02T00:07Z"))


def test_a_run_while_another_tick_is_at_it_comes_again(app: App) -> None:
    app.store.begin_rolling("another", at=app.wire_clock(), until=app.wire_clock() + timedelta(hours=1))
    with pytest.raises(Unavailable):
        metrics_rollup.handler(golden_input("schedules/large_day"), Context(*PLENTY))


def test_a_tick_while_another_is_at_it_says_so_and_does_nothing(app: App, log: io.StringIO) -> None:
    app.store.begin_rolling("another", at=app.wire_clock(), until=app.wire_clock() + timedelta(hours=1))
    metrics_rollup.handler(golden_input("schedules/tick"), Context(*PLENTY))
    assert app.store.rollups(DAY, DAY) == []
    assert json.loads(log.getvalue())["message"] == "another is still rolling days up"


def test_a_late_event_of_a_day_whose_log_is_gone_is_told(app: App, log: io.StringIO) -> None:
    app.store.mark(DAY, "x", JOINED)
    metrics_rollup.handler({"scheduled_time": (JOINED + timedelta(days=400)).isoformat()}, Context(*PLENTY))
    assert json.loads(log.getvalue())["day"] == "2030-01-01"
    assert app.store.marks() == []


def test_the_log_holds_no_person(app: App, log: io.StringIO) -> None:
    a_day(app)
    metrics_rollup.handler(golden_input("schedules/large_day_shard"), Context(*PLENTY))
    metrics_rollup.handler(golden_input("schedules/tick"), Context(*PLENTY))
    assert "shard read" in log.getvalue()
    assert not [person for person in PEOPLE if person in log.getvalue()]
