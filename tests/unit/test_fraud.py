"""What speaks against a referral; all of it is evidence for a person, nothing is a refusal."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.fraud import canonical_address, evidence, is_disposable
from shared.model import Referral
from tests.builders import JOINED
from tests.unit.test_referrals import ADA, DAY, HOUR, PLAYBOOK, a_referee, a_referral, a_referrer, an_id

RULES = PLAYBOOK.referrals


def against(**changes: Any) -> list[str]:
    fields: dict[str, Any] = {
        "referee": a_referee(),
        "referrer": a_referrer(),
        "upline": [],
        "others": [],
        "fellows": [],
        "rules": RULES,
        "referral": a_referral(),
    }
    fields |= changes
    return evidence(fields.pop("referee"), fields.pop("referrer"), **fields)


def others(count: int, *, every: timedelta) -> list[Referral]:
    return [a_referral(of=f"m{at:020x}", touched_at=JOINED - (at + 1) * every) for at in range(count)]


def test_nothing_speaks_against_an_ordinary_referral() -> None:
    assert against() == []


class TestOneself:
    @pytest.mark.shows(36)
    def test_one_s_own_link_is_noticed(self) -> None:
        assert against(referrer=a_referee()) == ["self"]

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("ada+club@example.com", "ada@example.com"),
            ("Ada@Example.COM", "ada@example.com"),
            ("a.d.a@gmail.com", "ada@gmail.com"),
            ("ada+x+y@gmail.com", "A.da@googlemail.com"),
        ],
    )
    def test_the_same_address_spelled_differently_is_noticed(self, one: str, other: str) -> None:
        assert canonical_address(one) == canonical_address(other)
        assert against(referee=a_referee(email=one), referrer=a_referrer(email=other)) == ["self"]

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("a.da@example.com", "ada@example.com"),  # dots mean nothing at Gmail only
            ("ada@example.com", "ada@example.org"),
            ("ada@gmail.com", "ada@example.com"),
        ],
    )
    def test_different_addresses_are_different_people(self, one: str, other: str) -> None:
        assert against(referee=a_referee(email=one), referrer=a_referrer(email=other)) == []

    def test_people_without_addresses_are_not_the_same(self) -> None:
        assert against(referee=a_referee(email=None), referrer=a_referrer(email=None)) == []

    @pytest.mark.shows(36)
    def test_people_who_brought_one_another_are_noticed(self) -> None:
        assert against(upline=[an_id("c"), ADA]) == ["cycle"]

    def test_a_member_from_before_is_noticed(self) -> None:
        assert against(referee=a_referee(joined_at=JOINED - 9 * DAY)) == ["member_before"]


class TestDisposable:
    @pytest.mark.parametrize("email", ["x@mailinator.com", "x@MAILINATOR.com", "x@eu.mailinator.com"])
    def test_a_throw_away_address_is_noticed(self, email: str) -> None:
        assert is_disposable(email)
        assert against(referee=a_referee(email=email)) == ["disposable_address"]

    @pytest.mark.parametrize("email", ["x@example.com", "mailinator.com@example.com", "x@notmailinator.com.example"])
    def test_an_ordinary_address_is_not(self, email: str) -> None:
        assert not is_disposable(email)

    def test_no_address_at_all_is_not_a_throw_away_one(self) -> None:
        assert against(referee=a_referee(email=None)) == []


class TestPace:
    def test_as_many_as_the_playbook_lets_pass(self) -> None:
        assert against(others=others(4, every=timedelta(minutes=10))) == []
        assert against(others=others(19, every=HOUR)) == []

    def test_one_more_within_an_hour_is_noticed(self) -> None:
        assert against(others=others(5, every=timedelta(minutes=10))) == ["more_than_5_an_hour"]

    def test_one_more_within_a_day_is_noticed(self) -> None:
        assert against(others=others(20, every=HOUR)) == ["more_than_20_a_day"]

    def test_the_first_of_a_burst_is_noticed_as_well(self) -> None:
        burst = [a_referral(of=f"m{at:020x}", touched_at=JOINED + at * timedelta(minutes=5)) for at in range(1, 6)]
        assert against(others=burst) == ["more_than_5_an_hour"]

    def test_a_burst_at_another_time_is_not_this_one_s(self) -> None:
        long_ago = [
            one.model_copy(update={"touched_at": one.touched_at - 9 * DAY}) for one in others(6, every=DAY / 99)
        ]
        assert against(others=long_ago) == []

    def test_many_who_join_at_once_by_clicks_of_long_ago_are_noticed(self) -> None:
        came = [a_referee(id=f"m{at:020x}", joined_at=JOINED + timedelta(seconds=at)) for at in range(5)]
        assert against(fellows=came, others=others(5, every=9 * DAY)) == ["more_than_5_an_hour"]


@pytest.mark.parametrize("status", ["removed", "banned"])
def test_a_referrer_who_was_banned_is_noticed(status: str) -> None:
    assert against(referrer=a_referrer(status=status)) == ["referrer_banned"]


@pytest.mark.parametrize("role", ["staff", "bot"])
def test_a_referee_who_is_no_member_is_noticed(role: str) -> None:
    assert against(referee=a_referee(role=role)) == ["not_a_member"]


class TestPayers:
    def paying(self, count: int, payer: str = "card_1") -> list[Any]:
        came = [JOINED - (at + 1) * DAY for at in range(count)]
        return [
            a_referee(id=f"m{at:020x}", payers=frozenset({payer}), joined_at=joined) for at, joined in enumerate(came)
        ]

    def test_more_than_three_on_one_payer_are_noticed(self) -> None:
        mine = a_referee(payers=frozenset({"card_1", "card_2"}))
        assert against(referee=mine, fellows=self.paying(2)) == []
        assert against(referee=mine, fellows=self.paying(3)) == ["more_than_3_on_one_payer"]

    def test_the_referrer_s_own_payer_counts(self) -> None:
        mine = a_referee(payers=frozenset({"card_1"}))
        referrer = a_referrer(payers=frozenset({"card_1"}))
        assert against(referee=mine, fellows=self.paying(2), referrer=referrer) == ["more_than_3_on_one_payer"]

    def test_other_people_s_payers_are_their_own(self) -> None:
        assert against(referee=a_referee(payers=frozenset({"card_2"})), fellows=self.paying(9)) == []
        assert against(fellows=self.paying(9)) == []


def test_a_referee_who_never_did_anything_is_noticed() -> None:
    assert against(referee=a_referee(last_active_at=None)) == ["never_active"]


def test_all_that_speaks_against_it_is_told() -> None:
    found = against(
        referee=a_referee(email="ada@mailinator.com", last_active_at=None),
        referrer=a_referrer(email="ada+me@mailinator.com"),
    )
    assert found == ["self", "disposable_address", "never_active"]
