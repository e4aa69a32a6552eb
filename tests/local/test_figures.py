"""The demo's figures are those of an independent computation over the very same events."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from infra.local.demo import Demo
from infra.local.people import START
from infra.local.summary import Outcome, summary
from shared.metrics import METRICS, Period
from shared.playbook import ReportKind
from shared.reporting import facts_of
from tests import oracle

pytestmark = pytest.mark.local

LONGER: dict[tuple[ReportKind, str], oracle.Span] = {
    ("weekly", "2026-W43"): oracle.week(date(2026, 10, 19)),
    ("weekly", "2026-W45"): oracle.week(date(2026, 11, 2)),
    ("weekly", "2026-W48"): oracle.week(date(2026, 11, 23)),
    ("monthly", "2026-11"): oracle.month(date(2026, 11, 1)),
}
"""Periods of which there may be a report; the first holds the day on which the clocks go back."""

Expected = dict[tuple[str, date], dict[str, Any]]


@pytest.fixture(scope="module")
def expected(demo: Demo, found: Outcome, tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """Every figure of every measured day and of some longer periods, by SQL over the events that stand in the log."""
    playbook, cost = demo.playbook, demo.playbook.metrics.cost_per_ticket
    weights = playbook.health_score.weights
    people: dict[str, tuple[str, bool]] = {}
    for member in found.members.values():
        who = found.who(member.id)
        people |= dict.fromkeys(member.identities, (who.id, who.role == "member"))
    days = [rollup.day for rollup in found.rollups]
    terms = oracle.Terms(
        zone=playbook.community.timezone,
        inactive_days=playbook.reengagement.inactive_days,
        ticket={cost.currency: cost.amount},
        engagement=weights.engagement,
        growth=weights.growth,
        sentiment=weights.sentiment,
    )
    return oracle.figures(
        [event.model_dump(mode="json") for event in found.events],
        people,
        {found.who(one.referee_id).id: one.at for one in found.attributions},
        [*oracle.days(days[0], days[-1]), *LONGER.values()],
        terms,
        tmp_path_factory.mktemp("oracle"),
    )


def test_every_day_from_the_first_is_measured(demo: Demo, found: Outcome) -> None:
    wanted = [START.date() + timedelta(days=at) for at in range((demo.end.date() - START.date()).days + 1)]
    assert [rollup.day for rollup in found.rollups] == wanted


def same(ours: Any, theirs: Any) -> bool:
    """Whether two figures are equal, but for the last digit of a float."""
    numbers = isinstance(ours, float) and isinstance(theirs, int | float)
    return bool(ours == pytest.approx(theirs, rel=1e-12, abs=0)) if numbers else ours == theirs


@pytest.mark.parametrize("metric", METRICS)
def test_figure_of_every_day_is_what_sql_says(demo: Demo, found: Outcome, expected: Expected, metric: str) -> None:
    ours = {day: figures[metric] for day, figures in summary(demo, found, 0)["rollups"].items()}
    theirs = {f"{day}": figures[metric] for (kind, day), figures in expected.items() if kind == "day"}
    assert ours.keys() == theirs.keys()
    wrong = {day: (ours[day], theirs[day]) for day in ours if not same(ours[day], theirs[day])}
    assert wrong == {}
    assert any(value not in (None, 0, {}) for value in ours.values()), "there is something of everything to measure"


@pytest.mark.parametrize(("kind", "name"), LONGER)
def test_figures_of_a_report_are_what_sql_says(demo: Demo, expected: Expected, kind: ReportKind, name: str) -> None:
    span = LONGER[kind, name]
    period = Period.of("week" if kind == "weekly" else "month", span.first)
    assert f"{period}" == name
    ours = facts_of(kind, period, store=demo.store, playbook=demo.playbook, now=demo.end).figures
    theirs = expected[span.kind, span.first]
    assert {
        metric: (ours[metric], theirs[metric]) for metric in METRICS if not same(ours[metric], theirs[metric])
    } == {}
