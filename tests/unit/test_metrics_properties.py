"""Figures of any small community, from its events to the last rate, are those that brute force gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from shared.events import CommunityEvent
from shared.localtime import local_day
from shared.measured import RESPONSE_DAYS, Counts, Known, Period, PeriodKind, trailing
from shared.metrics import METRICS, figures
from shared.rollups import KINDS, REVENUE_DAYS, TOLD, bitmaps, counts_of, derive, revenue, waits
from shared.tally import Tally, merge, packed, tally, unpacked
from tests.builders import a_playbook
from tests.unit.brute_force import INACTIVE, Brute, Community, communities, people

PEOPLE = people()
CHANCE = st.integers(0, 2**32).map(Random)


def tallied(events: list[CommunityEvent], chance: Random) -> Tally:
    """A day's tally by a detour: some events twice, shuffled, in shards, stored, and merged in some order."""
    if not events:
        return Tally()
    shards: list[list[CommunityEvent]] = [[] for _ in range(3)]
    for event in chance.sample(events, len(events)) + [one for one in events if chance.random() < 0.2]:
        shards[crc32(f"{event.platform}:{event.actor}".encode()) % 3].append(event)
    parts = [unpacked(packed(tally(shard, PEOPLE))) for shard in shards]
    return merge(*chance.sample(parts, len(parts)))


@dataclass
class Measured:
    """A community as it is rolled up day by day."""

    community: Community
    chance: Random
    tallies: dict[date, Tally] = field(default_factory=dict)
    activity: dict[date, dict[str, BitMap]] = field(default_factory=dict)

    def roll(self, events: list[CommunityEvent], days: list[date]) -> None:
        zone = self.community.zone
        for day in days:
            of_day = [event for event in events if local_day(event.occurred_at, zone) == day]
            self.tallies[day] = tallied(of_day, self.chance)
            self.activity[day] = bitmaps(self.tallies[day], self.activity, day, INACTIVE)

    @property
    def known(self) -> Known:
        answered = {day: self._waits(day) for day in self.tallies}
        counts = {day: self._counts(day, len(answered[day])) for day in self.tallies}
        return Known(counts=counts, activity=self.activity, waits=answered)

    def _waits(self, day: date) -> list[int]:
        reach = [day + timedelta(days=after) for after in range(RESPONSE_DAYS + 1)]
        return waits(self.tallies[day].threads, [self.tallies[one].replies for one in reach if one in self.tallies])

    def _counts(self, day: date, answered: int) -> Counts:
        before = [self.activity.get(one, {}) for one in trailing(REVENUE_DAYS, day - timedelta(days=1))]
        active = BitMap.union(BitMap(), *(one["active"] for one in before if one))
        influenced, sourced = revenue(self.tallies[day].purchases, active_before=active, referees=())
        return counts_of(self.tallies[day], influenced=influenced, sourced=sourced, signups=0, answered=answered)


@settings(max_examples=120)
@given(communities(), CHANCE, st.sampled_from(("day", "week", "month")), st.integers(0, 48))
def test_every_figure_is_that_of_brute_force(community: Community, chance: Random, kind: PeriodKind, at: int) -> None:
    measured = Measured(community, chance)
    measured.roll(community.events, community.days)
    days = [community.day(event.occurred_at) for event in community.events] if at % 3 else community.days
    period = Period.of(kind, days[at % len(days)] if days else community.days[at])
    expected = Brute(community).figures(period.first, period.last, (period.previous.first, period.previous.last))
    got: dict[str, Any] = dict(figures(period, measured.known, a_playbook()))
    assert list(got) == list(METRICS)
    assert got == {key: pytest.approx(value) for key, value in expected.items()}


@settings(max_examples=25)
@given(communities(), CHANCE)
def test_late_events_leave_what_all_at_once_would(community: Community, chance: Random) -> None:
    late = [event for event in community.events if chance.random() < 0.3]
    in_time = [event for event in community.events if event not in late]
    measured, at_once = Measured(community, chance), Measured(community, chance)
    measured.roll(in_time, community.days)
    at_once.roll(community.events, community.days)
    # Days come dirty in any order; the days after each are derived again without their events.
    dirty = sorted({community.day(event.occurred_at) for event in late})
    for day in chance.sample(dirty, len(dirty)):
        measured.roll(community.events, [day])
        for after in community.days[community.days.index(day) + 1 :]:
            told = {kind: measured.activity[after][kind] for kind in TOLD}
            measured.activity[after] = told | derive(after, measured.activity, INACTIVE)
    assert measured.activity == at_once.activity
    assert measured.tallies == at_once.tallies
    assert measured.known == at_once.known


@pytest.mark.shows(39)
@settings(max_examples=25)
@given(communities(), CHANCE)
def test_measuring_again_changes_nothing(community: Community, chance: Random) -> None:
    measured = Measured(community, chance)
    measured.roll(community.events, community.days)
    before = {day: packed(one) for day, one in measured.tallies.items()}, dict(measured.activity), measured.known
    measured.roll(community.events, community.days)
    assert ({day: packed(one) for day, one in measured.tallies.items()}, measured.activity, measured.known) == before


@settings(max_examples=25)
@given(communities(), CHANCE)
def test_parts_merge_into_the_tally_of_the_whole(community: Community, chance: Random) -> None:
    whole = tally(community.events, PEOPLE)
    assert tallied(community.events, chance) == whole
    assert unpacked(packed(whole)) == whole
    assert merge(whole, Tally()) == merge(Tally(), whole) == whole


@settings(max_examples=25)
@given(communities(), CHANCE)
def test_every_bitmap_is_that_of_brute_force(community: Community, chance: Random) -> None:
    measured, brute = Measured(community, chance), Brute(community)
    measured.roll(community.events, community.days)
    for day in community.days:
        found = {kind: {ordinal // 10 for ordinal in one} for kind, one in measured.activity[day].items()}
        assert list(found) == list(KINDS)
        assert found == {
            "active": brute.active[day],
            "joined": brute.joined[day],
            "seen": brute.seen[day],
            "left": brute.left[day],
            "members": brute.members[day],
            "new": brute.new[day],
            "gone": brute.gone[day],
            "lapsed": brute.lapsed(day),
            "returned": brute.returned(day),
        }
