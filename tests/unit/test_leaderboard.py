"""The leaderboard: who brought the most friends, of those who want to be named."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.leaderboard import Leaderboard, leaderboard
from shared.members import absorb, is_listed, list_as
from shared.model import Consent, Member, Milestone
from tests.builders import JOINED, a_member

YES, NO = Consent(given=True, at=JOINED), Consent(given=False, at=JOINED)


def somebody(name: str, **changes: Any) -> Member:
    return a_member(**{"id": f"m{name}", "name": name, "listed": YES} | changes)


def brought(referrer: str, referee: str, *, hours: int = 0) -> Milestone:
    at = JOINED + timedelta(hours=hours)
    return Milestone(kind="qualified", at=at, member_id=f"m{referrer}", about=f"m{referee}")


def board(passed: list[Milestone], *people: Member) -> Leaderboard:
    return leaderboard(passed, {member.id: member for member in people})


def places(found: Leaderboard) -> list[tuple[int, str | None, int]]:
    return [(place.rank, place.member.name, place.count) for place in found.places]


def test_who_brought_more_stands_first_and_equals_share_a_rank() -> None:
    passed = [brought("ada", "x"), brought("bo", "y", hours=2), brought("cy", "z", hours=1), brought("ada", "w")]
    found = board(passed, somebody("ada"), somebody("bo"), somebody("cy"))
    assert places(found) == [(1, "ada", 2), (2, "cy", 1), (2, "bo", 1)]


@pytest.mark.parametrize("listed", [None, NO])
def test_who_has_not_said_yes_is_counted_but_not_named(listed: Consent | None) -> None:
    passed = [brought("ada", "x"), brought("ada", "y"), brought("bo", "z")]
    found = board(passed, somebody("ada", listed=listed), somebody("bo"))
    assert (places(found), found.others, found.brought_by_others) == ([(1, "bo", 1)], 1, 2)


@pytest.mark.parametrize("changes", [{"status": "left"}, {"status": "banned"}, {"role": "staff"}, {"role": "bot"}])
def test_who_is_gone_or_staff_has_no_place(changes: dict[str, str]) -> None:
    assert board([brought("ada", "x")], somebody("ada", **changes)) == board([])


def test_two_members_who_proved_to_be_one_are_one_on_either_side() -> None:
    ada, cy = somebody("ada"), somebody("cy")
    people = {"mada": ada, "mold": ada, "mcy": cy, "mcy2": cy}
    found = leaderboard([brought("ada", "cy"), brought("old", "cy2"), brought("old", "x")], people)
    assert places(found) == [(1, "ada", 2)]


class TestBeingListed:
    def test_nobody_is_unless_they_said_so(self) -> None:
        assert not is_listed(a_member())

    @pytest.mark.parametrize("order", [1, -1])
    def test_newest_word_stands_in_either_order(self, order: int) -> None:
        member = a_member()
        for decision in [YES, Consent(given=False, at=JOINED + timedelta(days=1))][::order]:
            member = list_as(member, decision)
        assert not is_listed(member)

    @pytest.mark.parametrize("order", [1, -1])
    def test_of_two_words_at_once_the_no_stands(self, order: int) -> None:
        member = a_member()
        for decision in [YES, NO][::order]:
            member = list_as(member, decision)
        assert not is_listed(member)

    def test_word_of_a_merged_member_counts(self) -> None:
        assert is_listed(absorb(a_member(), somebody("bo")))
