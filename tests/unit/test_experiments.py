"""Who is in which group, what the groups show, and that the figures are right where the truth is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from random import Random

import pytest

from shared.actions import Try
from shared.experiments import (
    LEAST_MEMBERS,
    LEAST_RETURNS,
    Interval,
    Lift,
    Outcome,
    Returned,
    difference_interval,
    group_of,
    lift,
    variant_of,
)
from shared.model import Due, Group
from shared.programmes import reengagement
from tests.builders import JOINED, a_member, a_playbook

TREATED_RATE, HELD_OUT_RATE = 0.15, 0.08
TRUTH = TREATED_RATE - HELD_OUT_RATE

MEMBERS = 3000
SEEDS = 200

GROUPS: tuple[Group, ...] = ("treated", "held_out")
BACK = {group: Outcome(group=group, verdict="returned") for group in GROUPS}
AWAY = {group: Outcome(group=group, verdict="away") for group in GROUPS}


@cache
def groups() -> tuple[Group, ...]:
    """The groups into which the programme itself puts some thousands of members who have fallen silent."""
    playbook = a_playbook()
    tried = []
    for number in range(MEMBERS):
        member = a_member(id=f"m{number:020}", last_active_at=JOINED + timedelta(days=40))
        due = Due(programme=reengagement.NAME, member_id=member.id, key=reengagement.KEY, due_at=JOINED)
        [look] = reengagement.on_due(due, member, playbook, JOINED + timedelta(days=50))
        due = due.model_copy(update={"due_at": look.due_at, "state": look.state})  # type: ignore[union-attr]
        actions = reengagement.on_due(due, member, playbook, due.due_at)
        tried += [action.group for action in actions if isinstance(action, Try)]
    return tuple(tried)


def lived_through(seed: int, rates: dict[Group, float]) -> Lift:
    """What became of those members, when each group's true rate of coming back is known."""
    random = Random(seed)  # noqa: S311 - an invented community, the same every time
    return lift(BACK[group] if random.random() < rates[group] else AWAY[group] for group in groups())


def outcomes(group: Group, *, returned: int, away: int) -> Iterable[Outcome]:
    yield from [BACK[group]] * returned
    yield from [AWAY[group]] * away


def a_lift(treated: tuple[int, int], held_out: tuple[int, int]) -> Lift:
    """The lift of two groups, each given as (returned, away)."""
    told = [
        *outcomes("treated", returned=treated[0], away=treated[1]),
        *outcomes("held_out", returned=held_out[0], away=held_out[1]),
    ]
    return lift(told)


class TestAKnownCommunity:
    def test_the_programme_puts_everybody_into_a_group(self) -> None:
        counted = Counter(groups())
        assert counted.total() == MEMBERS
        assert 0.085 < counted["held_out"] / MEMBERS < 0.115

    def test_a_true_lift_is_found_inside_the_interval(self) -> None:
        found = lived_through(7, {"treated": TREATED_RATE, "held_out": HELD_OUT_RATE})
        assert found.difference == pytest.approx(TRUTH, abs=0.03)
        assert found.interval is not None
        assert TRUTH in found.interval
        assert 0 not in found.interval

    @pytest.mark.parametrize("rates", [(TREATED_RATE, HELD_OUT_RATE), (0.1, 0.1), (0.03, 0.02)])
    def test_the_interval_holds_the_truth_as_often_as_it_says(self, rates: tuple[float, float]) -> None:
        treated, held_out = rates
        found = [lived_through(seed, {"treated": treated, "held_out": held_out}).interval for seed in range(SEEDS)]
        covered = sum(interval is not None and treated - held_out in interval for interval in found)
        assert 0.91 <= covered / SEEDS <= 0.99

    def test_groups_alike_show_no_effect(self) -> None:
        found = lived_through(7, {"treated": 0.1, "held_out": 0.1})
        assert found.interval is not None
        assert 0 in found.interval

    def test_a_mail_that_keeps_people_away_shows_it(self) -> None:
        found = lived_through(7, {"treated": HELD_OUT_RATE, "held_out": 2 * TREATED_RATE})
        assert found.interval is not None
        assert found.interval.high < 0


class TestIntervals:
    @pytest.mark.parametrize(
        ("one", "other", "low", "high"),
        [
            ((56, 70), (48, 80), 0.0524, 0.3339),
            ((9, 10), (3, 10), 0.1705, 0.8090),
            ((6, 7), (2, 7), 0.0582, 0.8062),
            ((5, 56), (0, 29), -0.0381, 0.1926),
            ((0, 10), (0, 20), -0.1611, 0.2775),
            ((0, 10), (0, 10), -0.2775, 0.2775),
            ((10, 10), (0, 20), 0.6791, 1.0000),
            ((10, 10), (0, 10), 0.6075, 1.0000),
        ],
    )
    def test_the_difference_is_as_newcombe_printed_it(
        self, one: tuple[int, int], other: tuple[int, int], low: float, high: float
    ) -> None:
        found = difference_interval(Returned(*one), Returned(*other))
        assert (round(found.low, 4), round(found.high, 4)) == (low, high)

    @pytest.mark.parametrize(
        ("returned", "low", "high"),
        [(Returned(0, 10), 0, 0.2775), (Returned(10, 10), 0.7225, 1), (Returned(81, 263), 0.2553, 0.3662)],
    )
    def test_a_rate_s_interval_is_wilson_s(self, returned: Returned, low: float, high: float) -> None:
        assert returned.interval.low == pytest.approx(low, abs=5e-5)
        assert returned.interval.high == pytest.approx(high, abs=5e-5)

    def test_of_nobody_anything_is_possible(self) -> None:
        assert (Returned(0, 0).rate, Returned(0, 0).interval) == (0, Interval(0, 1))

    def test_an_interval_never_leaves_what_is_possible(self) -> None:
        for returned in range(41):
            for other in range(41):
                one, two = Returned(returned, 40), Returned(other, 40)
                interval = difference_interval(one, two)
                assert -1 <= interval.low <= one.rate - two.rate <= interval.high <= 1
                assert one.rate in one.interval


class TestLift:
    def test_nobody_at_all_is_not_enough(self) -> None:
        found = lift([])
        assert (found.difference, found.interval, found.enough) == (None, None, False)

    def test_one_empty_group_is_not_enough(self) -> None:
        found = a_lift((50, 950), (0, 0))
        assert (found.difference, found.interval) == (None, None)
        assert found.treated.rate == 0.05

    @pytest.mark.parametrize(
        ("treated", "held_out", "enough"),
        [
            ((5, LEAST_MEMBERS - 5), (0, LEAST_MEMBERS), True),
            ((5, LEAST_MEMBERS - 6), (0, LEAST_MEMBERS), False),
            ((5, LEAST_MEMBERS), (0, LEAST_MEMBERS - 1), False),
            ((LEAST_RETURNS - 2, 900), (1, 90), False),
            ((LEAST_RETURNS - 2, 900), (2, 90), True),
        ],
    )
    def test_both_groups_and_some_returns_are_needed(
        self, treated: tuple[int, int], held_out: tuple[int, int], *, enough: bool
    ) -> None:
        assert a_lift(treated, held_out).enough is enough

    def test_no_returns_at_all_say_nothing_yet(self) -> None:
        assert a_lift((0, 900), (0, 100)).difference is None

    def test_all_returns_make_no_difference(self) -> None:
        found = a_lift((900, 0), (100, 0))
        assert found.difference == 0
        assert found.interval is not None
        assert 0 in found.interval

    def test_open_and_unsent_attempts_count_apart(self) -> None:
        apart = [Outcome(group="treated", verdict="not_sent"), Outcome(group="held_out", verdict="open")]
        found = lift([*outcomes("treated", returned=1, away=2), *apart])
        assert (found.open, found.not_sent) == (1, 1)
        assert (found.treated, found.held_out) == (Returned(1, 3), Returned(0, 0))

    def test_variants_are_told_apart_and_add_up(self) -> None:
        told = [Outcome(group="treated", verdict="returned", variant="wave")] * 3
        told += [Outcome(group="treated", verdict="away", variant="news")] * 4
        found = lift(told)
        assert found.variants == {"news": Returned(0, 4), "wave": Returned(3, 3)}
        assert sum(one.members for one in found.variants.values()) == found.treated.members


class TestGroups:
    def test_the_variant_tells_nothing_of_the_group(self) -> None:
        ids = [f"m{number:020}" for number in range(20_000)]
        held_out = [one for one in ids if group_of("reengagement", one, 10) == "held_out"]
        waves = Counter(variant_of("miss_you", ["wave", "news"], one) for one in held_out)
        assert 0.46 < waves["wave"] / len(held_out) < 0.54
