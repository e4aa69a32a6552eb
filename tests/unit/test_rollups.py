"""From tallies to a day's bitmaps and its rollup: members come and go, threads wait, what was published stays."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pyroaring import BitMap

from shared.measured import RESPONSE_DAYS, Counts
from shared.rollups import DERIVED, KINDS, TOLD, Rollup, bitmaps, counts_of, derive, restated, revenue, waits
from shared.tally import Purchase, Said, Tally
from tests.builders import at

NOON = at("2030-01-10T12:00Z")
DAY = date(2030, 1, 10)
THREAD = {"slack:T1": Said(NOON, 1)}


def before(days: int) -> date:
    return DAY - timedelta(days=days)


def on_the_day(
    tally: Tally, *, members: tuple[int, ...] = (), inactive_days: int = 3, **seen: tuple[int, ...]
) -> dict[str, set[int]]:
    """The day's bitmaps as sets; `seen` are by `daysN`, so many days before."""
    activity = {before(int(name.removeprefix("days"))): {"seen": BitMap(who)} for name, who in seen.items()}
    activity[before(1)] = {**activity.get(before(1), {}), "members": BitMap(members)}
    return {kind: set(one) for kind, one in bitmaps(tally, activity, DAY, inactive_days).items()}


def present(*ordinals: int) -> Tally:
    """They joined, and were active."""
    return Tally(active=BitMap(ordinals), joined=BitMap(ordinals), present=dict.fromkeys(ordinals, NOON))


def gone(ordinal: int, *, hours: int = 0) -> Tally:
    return Tally(present={ordinal: NOON}, left={ordinal: NOON + timedelta(hours=hours)})


class TestMembers:
    def test_kinds_are_those_told_and_those_derived(self) -> None:
        assert list(on_the_day(Tally())) == list(KINDS) == [*TOLD, *DERIVED]

    def test_who_joins_is_new_and_a_member(self) -> None:
        found = on_the_day(present(1), members=(2,))
        assert (found["new"], found["members"]) == ({1}, {1, 2})

    def test_who_was_a_member_is_not_new_when_they_join_again(self) -> None:
        assert on_the_day(present(1), members=(1,))["new"] == set()

    def test_who_takes_part_without_a_join_is_a_member_but_not_new(self) -> None:
        found = on_the_day(Tally(active=BitMap([1]), present={1: NOON}))
        assert (found["new"], found["members"]) == (set(), {1})

    @pytest.mark.parametrize(("hours", "is_gone"), [(-1, set()), (0, {1}), (1, {1})])
    def test_the_last_word_counts_and_a_tie_is_gone(self, hours: int, is_gone: set[int]) -> None:
        found = on_the_day(gone(1, hours=hours))
        assert (found["gone"], found["members"]) == (is_gone, {1} - is_gone)

    def test_a_stranger_s_leave_loses_no_member(self) -> None:
        found = on_the_day(Tally(left={1: NOON}))
        assert (found["left"], found["gone"]) == ({1}, set())

    def test_a_leave_that_lost_nobody_does_once_they_prove_to_have_been_one(self) -> None:
        told = {kind: one for kind, one in bitmaps(Tally(left={1: NOON}), {}, DAY, 3).items() if kind in TOLD}
        again = derive(DAY, {DAY: told, before(1): {"members": BitMap([1])}}, 3)
        assert (set(again["gone"]), set(again["members"])) == ({1}, set())

    def test_who_joins_and_leaves_in_a_day_is_new_and_gone(self) -> None:
        found = on_the_day(Tally(joined=BitMap([1]), present={1: NOON}, left={1: NOON}))
        assert (found["new"], found["gone"], found["members"]) == ({1}, {1}, set())


class TestLapsing:
    def test_a_member_lapses_on_the_day_they_were_last_seen_so_long_ago(self) -> None:
        assert on_the_day(Tally(), members=(1,), days3=(1,))["lapsed"] == {1}

    @pytest.mark.parametrize("seen", [{"days2": (1,)}, {"days4": (1,)}, {"days3": (1,), "days1": (1,)}], ids=str)
    def test_nobody_lapses_on_any_other_day(self, seen: dict[str, Any]) -> None:
        assert on_the_day(Tally(), members=(1,), **seen)["lapsed"] == set()

    def test_who_is_seen_that_day_has_not_lapsed(self) -> None:
        assert on_the_day(present(1), members=(1,), days3=(1,))["lapsed"] == set()

    def test_who_is_gone_does_not_lapse_too(self) -> None:
        assert on_the_day(Tally(left={1: NOON}), members=(1,), days3=(1,))["lapsed"] == set()

    def test_who_is_active_after_a_lapse_has_returned(self) -> None:
        assert on_the_day(present(1), members=(1,), days4=(1,))["returned"] == {1}

    @pytest.mark.parametrize("days", [1, 2, 3])
    def test_who_was_seen_lately_was_never_away(self, days: int) -> None:
        seen: dict[str, Any] = {f"days{days}": (1,)}
        assert on_the_day(present(1), members=(1,), **seen)["returned"] == set()

    def test_a_newcomer_has_not_returned(self) -> None:
        assert on_the_day(present(1))["returned"] == set()

    def test_joining_again_alone_is_no_return(self) -> None:
        assert on_the_day(Tally(joined=BitMap([1]), present={1: NOON}), members=(1,))["returned"] == set()

    def test_one_day_may_be_the_threshold(self) -> None:
        assert on_the_day(Tally(), members=(1,), inactive_days=1, days1=(1,))["lapsed"] == {1}


class TestWaits:
    def reply(self, ordinal: int, after: timedelta) -> dict[str, tuple[Said, ...]]:
        return {"slack:T1": (Said(NOON + after, ordinal),)}

    def test_the_first_reply_by_somebody_else_counts(self) -> None:
        own, first = self.reply(1, timedelta(minutes=1)), self.reply(2, timedelta(minutes=90))
        assert waits(THREAD, [own, self.reply(3, timedelta(days=2)), first]) == [5400]

    @pytest.mark.parametrize(("over", "expected"), [(0, [604_800]), (1, [])])
    def test_a_reply_counts_up_to_seven_days(self, over: int, expected: list[int]) -> None:
        assert waits(THREAD, [self.reply(2, timedelta(days=7, microseconds=over))]) == expected

    def test_only_the_opener_s_own_replies_are_no_answer(self) -> None:
        assert waits(THREAD, [self.reply(1, timedelta(minutes=1))]) == []

    def test_a_reply_dated_before_its_thread_came_at_once(self) -> None:
        assert waits(THREAD, [self.reply(2, timedelta(seconds=-2))]) == [0]

    def test_waits_ascend_and_unanswered_threads_have_none(self) -> None:
        threads = {f"slack:T{number}": Said(NOON, 1) for number in (1, 2, 3)}
        replies = {f"slack:T{number}": (Said(NOON + timedelta(seconds=9 - number), 2),) for number in (1, 2)}
        assert waits(threads, [replies]) == [7, 8]

    @pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Santiago", "Australia/Lord_Howe"])
    def test_no_reply_in_time_lies_beyond_the_days_that_are_read(self, zone: str) -> None:
        local = ZoneInfo(zone)
        for hour in range(366 * 24):
            opened = datetime(2030, 1, 1, tzinfo=ZoneInfo("UTC")) + timedelta(hours=hour)
            days = (opened + timedelta(days=7)).astimezone(local).date() - opened.astimezone(local).date()
            assert days.days <= RESPONSE_DAYS


class TestMoney:
    BOUGHT = (
        Purchase(NOON, 1, "ma", 100, "EUR"),
        Purchase(NOON, 2, "mb", 20, "EUR"),
        Purchase(NOON, 1, "ma", 3, "USD"),
    )

    def test_influenced_is_what_the_active_bought_by_currency(self) -> None:
        influenced, _ = revenue(self.BOUGHT, active_before=BitMap([1]), referees=())
        assert influenced == {"EUR": 100, "USD": 3}

    def test_sourced_is_what_referees_bought_active_or_not(self) -> None:
        assert revenue(self.BOUGHT, active_before=BitMap(), referees={"ma", "mb"}) == ({}, {"EUR": 120, "USD": 3})


def test_counts_take_in_what_needs_more_than_the_day() -> None:
    tally = Tally(counts=Counts(events=9, posts=2), solved=frozenset({"slack:T1", "slack:T2"}), threads=THREAD)
    found = counts_of(tally, influenced={"EUR": 5}, sourced={"EUR": 2}, signups=3, answered=1)
    assert found == Counts(
        events=9, posts=2, solved=2, threads=1, answered=1, signups=3, influenced={"EUR": 5}, sourced={"EUR": 2}
    )


class TestRestating:
    def a_rollup(self, posts: int, *, hours: int = 0, closed: bool = True) -> Rollup:
        return Rollup(day=DAY, computed_at=NOON + timedelta(hours=hours), closed=closed, figures={"posts": posts})

    def test_a_day_that_is_not_over_is_not_published(self) -> None:
        found = restated(None, self.a_rollup(1, closed=False))
        assert (found.first, found.first_at) == (None, None)

    def test_the_first_figures_after_its_end_are_the_published_ones(self) -> None:
        found = restated(self.a_rollup(1, closed=False), self.a_rollup(2, hours=13))
        assert (found.first, found.first_at) == ({"posts": 2}, NOON + timedelta(hours=13))

    def test_what_was_published_stays_however_often_it_is_restated(self) -> None:
        published = restated(None, self.a_rollup(2))
        found = restated(restated(published, self.a_rollup(3, hours=1)), self.a_rollup(4, hours=2))
        assert (found.figures, found.first, found.first_at) == ({"posts": 4}, {"posts": 2}, NOON)

    def test_no_data_published_is_published_too(self) -> None:
        published = restated(None, Rollup(day=DAY, computed_at=NOON, closed=True))
        assert restated(published, self.a_rollup(3, hours=1)).first == {}

    def test_a_rollup_comes_back_from_json_the_same(self) -> None:
        figures = {"posts": 2, "dau": 2.0, "nps": None, "cost_savings": {"EUR": 1500}}
        told = restated(None, self.a_rollup(2).model_copy(update={"figures": figures, "counts": Counts(scores={9: 1})}))
        again = Rollup.model_validate_json(told.model_dump_json())
        assert again == told
        assert [type(one) for one in again.figures.values()] == [type(one) for one in figures.values()]
