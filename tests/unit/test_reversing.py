"""What a rejection takes back: rewards above the remaining referees, and what the referee got for being brought."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.events import Gift
from shared.model import Member, Referral, ReferralStatus, Reward
from shared.programmes.referrals import Case
from shared.reversing import lowered, to_reverse
from tests.builders import JOINED, a_member

ADA = a_member()
EVE = a_member(id="m" + "e" * 20, name="Eve")


def a_referee(number: int, **changes: Any) -> Member:
    return a_member(id=f"m{number:020}", **changes)


def a_referral(referee_id: str, status: ReferralStatus = "qualified", referrer_id: str = ADA.id) -> Referral:
    return Referral(referrer_id=referrer_id, referee_id=referee_id, status=status, at=JOINED, touched_at=JOINED)


ASKED = {"badge": 1, "premium_month": 5, "premium_lifetime": 10}


def a_reward(rule: str, *, to: str = ADA.id, level: str | None = None, days: int = 0, at: int | None = None) -> Reward:
    gives: Gift = "level" if level else "badge"
    fields: dict[str, Any] = {"at": at or ASKED.get(rule), "granted_at": JOINED + timedelta(days=days)}
    return Reward(member_id=to, rule=rule, gives=gives, level=level, because=EVE.id, **fields)


def a_case(qualified: int, *rewards: Reward, **changes: Any) -> Case:
    """Eve's case after she was rejected: Ada, who brought her, has so many other referees that count."""
    fellows = [a_referee(number) for number in range(qualified)]
    referrals = [a_referral(EVE.id, "rejected"), *(a_referral(one.id) for one in fellows)]
    fields: dict[str, Any] = {"referrer": ADA, "referrals": referrals, "fellows": fellows}
    return Case(referee=EVE, touches=(), rewards=rewards, **fields | changes)


def taken(case: Case) -> list[str]:
    return [one.id for one in to_reverse(case)]


class TestToReverse:
    @pytest.mark.parametrize(
        ("remaining", "gone"),
        [
            (0, ["badge", "premium_month", "premium_lifetime"]),
            (1, ["premium_month", "premium_lifetime"]),
            (4, ["premium_month", "premium_lifetime"]),
            (5, ["premium_lifetime"]),
            (9, ["premium_lifetime"]),
            (10, []),
        ],
    )
    def test_a_threshold_no_longer_reached_is_taken_back(self, remaining: int, gone: list[str]) -> None:
        rewards = [a_reward(rule) for rule in ("badge", "premium_month", "premium_lifetime")]
        assert taken(a_case(remaining, *rewards)) == [f"{ADA.id}-{rule}" for rule in gone]

    def test_the_referee_s_own_trial_goes_with_it(self) -> None:
        assert taken(a_case(9, a_reward("trial", to=EVE.id))) == [f"{EVE.id}-trial"]

    def test_the_trial_stays_while_they_count_elsewhere(self) -> None:
        elsewhere = [a_referral(EVE.id, referrer_id="m9")]
        assert not taken(a_case(9, a_reward("trial", to=EVE.id), elsewhere=elsewhere))

    def test_the_referrer_s_own_trial_is_not_touched(self) -> None:
        assert not taken(a_case(0, a_reward("trial")))

    def test_what_the_referee_earned_as_a_referrer_stays(self) -> None:
        assert not taken(a_case(1, a_reward("badge", to=EVE.id)))

    def test_a_reward_is_judged_by_what_was_asked_when_it_was_granted(self) -> None:
        lowered_since, gone_since = a_reward("premium_month", at=3), a_reward("gone_from_the_playbook", at=4)
        assert taken(a_case(3, lowered_since, gone_since)) == [gone_since.id]

    def test_referrals_in_review_bear_rewards_until_they_are_decided(self) -> None:
        waiting = [a_referral(a_referee(7).id, "in_review")]
        referrals = [a_referral(EVE.id, "rejected"), *(a_referral(a_referee(at).id) for at in range(4)), *waiting]
        assert taken(a_case(4, a_reward("premium_month"), referrals=referrals)) == []

    def test_two_members_who_are_one_count_once(self) -> None:
        twins = [a_referee(0, absorbed=frozenset({a_referee(1).id}))]
        referrals = [a_referral(a_referee(number).id) for number in range(5)]
        fellows = [*twins, *(a_referee(number) for number in range(2, 5))]
        case = a_case(5, a_reward("premium_month"), referrals=referrals, fellows=fellows)
        assert taken(case) == [f"{ADA.id}-premium_month"]

    def test_rewards_under_a_former_id_are_theirs_too(self) -> None:
        ada = a_member(absorbed=frozenset({"m1"}))
        assert taken(a_case(0, a_reward("badge", to="m1"), referrer=ada)) == ["m1-badge"]

    def test_who_brought_themselves_loses_both(self) -> None:
        rewards = [a_reward("badge", to=EVE.id), a_reward("trial", to=EVE.id)]
        referrals = [a_referral(EVE.id, "rejected", EVE.id)]
        assert taken(a_case(0, *rewards, referrer=EVE, referrals=referrals)) == [f"{EVE.id}-badge", f"{EVE.id}-trial"]


class TestLowered:
    def test_a_level_goes_with_its_reward(self) -> None:
        gone = [a_reward("ambassador", level="ambassador")]
        assert lowered(a_member(level="ambassador"), gone, []).level is None

    def test_the_last_level_they_keep_remains(self) -> None:
        kept = [a_reward("two", level="two", days=2), a_reward("one", level="one", days=1), a_reward("badge", days=3)]
        assert lowered(a_member(level="three"), [a_reward("three", level="three")], kept).level == "two"

    def test_a_level_from_elsewhere_stays(self) -> None:
        gone = [a_reward("ambassador", level="ambassador"), a_reward("badge")]
        assert lowered(a_member(level="host"), gone, []).level == "host"
        assert lowered(ADA, gone, [a_reward("one", level="one")]) == ADA
