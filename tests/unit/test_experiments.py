"""Who is in which group, what the groups show, and that the figures are right where the truth is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache
from random import Random
from typing import Any

import pytest

from shared.actions import Try
from shared.experiments import (
    LEAST_MEMBERS,
    LEAST_RETURNS,
    NO_LINE,
    Interval,
    Lift,
    Outcome,
    Returned,
    difference_interval,
    group_of,
    lift,
    outcome,
    variant_of,
)
from shared.model import Attempt, Due, Group, Send, SendId, SendStatus
from shared.programmes import reengagement
from tests.builders import JOINED, a_member, a_playbook

TREATED_RATE, HELD_OUT_RATE = 0.15, 0.08
TRUTH = TREATED_RATE - HELD_OUT_RATE

MEMBERS = 3000
SEEDS = 200

ASKED = JOINED + timedelta(days=50)
WITHIN = timedelta(days=14)
DAYS_AWAY = 40
"""How long members of the waiting community stay away yet, on average, if a mail does nothing."""

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

    def test_open_attempts_count_apart(self) -> None:
        apart = [Outcome(group=group, verdict="open", unsent="stale") for group in GROUPS]
        found = lift([*outcomes("treated", returned=1, away=2), *apart])
        assert (found.open, found.unsent) == (2, {})
        assert (found.treated, found.held_out) == (Returned(1, 3), Returned(0, 0))

    def test_unsent_attempts_count_and_are_noted(self) -> None:
        told = [Outcome(group="treated", verdict="away", unsent="stale")]
        told += [Outcome(group="treated", verdict="returned", unsent="returned")] * 2
        found = lift([*outcomes("treated", returned=1, away=2), *told])
        assert found.treated == Returned(3, 6)
        assert list(found.unsent.items()) == [("returned", 2), ("stale", 1)]

    def test_variants_are_told_apart_and_add_up(self) -> None:
        told = [Outcome(group="treated", verdict="returned", variant="wave")] * 3
        told += [Outcome(group="treated", verdict="away", variant="news")] * 4
        found = lift(told)
        assert found.variants == {"news": Returned(0, 4), "wave": Returned(3, 3)}
        assert sum(one.members for one in found.variants.values()) == found.treated.members


def an_attempt(group: Group = "treated", number: int = 0) -> Attempt:
    """A first attempt, or what would have been one."""
    member_id = f"m{number:020}"
    send_id = SendId(reengagement.NAME, "attempt1", member_id, f"{JOINED:%Y%m%d}")
    return Attempt(send_id=str(send_id), member_id=member_id, group=group, at=ASKED)


def its_send(attempt: Attempt, status: SendStatus = SendStatus.SENT, **changes: Any) -> Send:
    """The attempt's line of the ledger."""
    fields: dict[str, Any] = {"mail": "miss_you", "at": attempt.at, "planned_at": attempt.at} | changes
    return Send(send_id=attempt.send_id, member_id=attempt.member_id, status=status, **fields)


def became(
    attempt: Attempt, send: Send | None, back: datetime | None, *, now: datetime = ASKED + 2 * WITHIN
) -> Outcome:
    """What became of an attempt when the member did one thing after it, at `back`."""

    def came_back(after: datetime, until: datetime) -> bool:
        return back is not None and after < back <= until

    return outcome(attempt, send, came_back=came_back, within=WITHIN, now=now)


class TestOutcome:
    @pytest.mark.parametrize("group", GROUPS)
    def test_both_groups_have_the_same_time(self, group: Group) -> None:
        attempt, late = an_attempt(group), timedelta(days=5)
        send = its_send(attempt, at=ASKED + late) if group == "treated" else None
        assert became(attempt, send, ASKED + timedelta(hours=1)).verdict == "returned"
        assert became(attempt, send, ASKED + WITHIN).verdict == "returned"
        assert became(attempt, send, ASKED + WITHIN + timedelta(seconds=1)).verdict == "away"
        assert became(attempt, send, None, now=ASKED + WITHIN - timedelta(seconds=1)).verdict == "open"

    @pytest.mark.parametrize(
        ("status", "reason", "unsent"),
        [
            (SendStatus.SKIPPED, "returned", "returned"),
            (SendStatus.DEFERRED, "budget", "budget"),
            (SendStatus.CLAIMED, None, "claimed"),
        ],
    )
    def test_a_mail_that_did_not_go_changes_no_group(self, status: SendStatus, reason: str | None, unsent: str) -> None:
        attempt = an_attempt()
        found = became(attempt, its_send(attempt, status, reason=reason, variant="wave"), ASKED + timedelta(days=1))
        assert found == Outcome(group="treated", verdict="returned", unsent=unsent)

    def test_a_mail_without_a_line_counts_too(self) -> None:
        assert became(an_attempt(), None, None) == Outcome(group="treated", verdict="away", unsent=NO_LINE)

    def test_only_a_sent_mail_has_a_subject(self) -> None:
        attempt = an_attempt()
        assert became(attempt, its_send(attempt, variant="wave"), None).variant == "wave"


def in_which_nothing_works(wait: timedelta, seed: int) -> Lift:
    """A community in which mails wait before they go, and do nothing: who comes back first is not written to."""
    random = Random(seed)  # noqa: S311 - an invented community, the same every time
    told = []
    for number in range(2 * MEMBERS):
        attempt = an_attempt("treated" if random.random() < 0.5 else "held_out", number)
        back = ASKED + timedelta(days=random.expovariate(1 / DAYS_AWAY))
        moment = ASKED + wait
        send = (
            its_send(attempt, SendStatus.SKIPPED, reason="returned", at=moment)
            if back < moment
            else its_send(attempt, variant="wave", at=moment)
        )
        told.append(became(attempt, send if attempt.group == "treated" else None, back))
    return lift(told)


class TestMailsThatWait:
    @pytest.mark.parametrize("seed", [1, 2, 3])
    @pytest.mark.parametrize("days", [0, 1, 5])
    def test_a_mail_that_does_nothing_shows_no_effect(self, days: int, seed: int) -> None:
        found = in_which_nothing_works(timedelta(days=days), seed)
        assert found.treated.members + found.held_out.members == 2 * MEMBERS
        assert bool(found.unsent.get("returned")) == (days > 0)
        assert found.interval is not None
        assert 0 in found.interval

    def test_to_count_only_what_was_sent_would_deceive(self) -> None:
        found = in_which_nothing_works(timedelta(days=5), 1)
        deceived = difference_interval(found.variants["wave"], found.held_out)
        assert deceived.high < 0


class TestGroups:
    def test_the_variant_tells_nothing_of_the_group(self) -> None:
        ids = [f"m{number:020}" for number in range(20_000)]
        held_out = [one for one in ids if group_of("reengagement", one, 10) == "held_out"]
        waves = Counter(variant_of("miss_you", ["wave", "news"], one) for one in held_out)
        assert 0.46 < waves["wave"] / len(held_out) < 0.54
