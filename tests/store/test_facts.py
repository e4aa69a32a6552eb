"""Facts, referrals and rewards: each put once, in transactions that are done whole or not at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.model import Attempt, Attribution, News, Pause, Referral, Reversal, Reward, SendId, Touch, Void
from shared.store import Store
from tests.builders import JOINED, a_member

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ADA = a_member()
EVE = "m" + "e" * 20
SEND = SendId("onboarding", "welcome", ADA.id)


class TestFacts:
    def test_news_come_newest_first_each_once_past_a_page(self, store: Store) -> None:
        told = [
            News(kind="guide", titles={"": f"No. {number}"}, url=f"https://example.com/{number}",
                 published_at=JOINED + number * HOUR)
            for number in range(30)
        ]  # fmt: skip
        for one in (*told, told[3]):
            store.publish(one)
        assert list(store.published(JOINED, JOINED + 28 * HOUR)) == told[28:0:-1]

    def test_attempts_are_read_in_order_across_months(self, store: Store) -> None:
        told = [
            Attempt(send_id=f"reengagement/a1/{ADA.id}/{number}", member_id=ADA.id, group="treated", at=moment)
            for number, moment in enumerate((JOINED, JOINED + 20 * DAY, JOINED + 40 * DAY))
        ]
        for one in (*reversed(told), told[0]):
            store.note_attempt(one)
        assert list(store.attempts("reengagement", JOINED, JOINED + 40 * DAY)) == told[:2]

    def test_the_pulse_counts_each_mail_once_by_kind_and_hour(self, store: Store) -> None:
        for moment in (JOINED, JOINED, JOINED + HOUR, JOINED + 2 * HOUR):
            store.note_pulse("send", SEND, moment)
        store.note_pulse("bounce", SEND, JOINED)
        assert [store.pulse(kind, JOINED, JOINED + 2 * HOUR) for kind in ("send", "bounce")] == [2, 1]

    def test_a_pause_trips_once_until_it_is_resumed_once(self, store: Store) -> None:
        assert store.pause() is None
        assert not store.resume(JOINED)
        tripped = [store.trip(Pause(tripped_at=JOINED, reason=reason)) for reason in ("bounces", "complaints")]
        assert (tripped, [store.resume(JOINED + HOUR) for _ in range(2)]) == ([True, False], [True, False])
        assert store.pause() == Pause(tripped_at=JOINED, reason="bounces", resumed_at=JOINED + HOUR)
        assert store.trip(Pause(tripped_at=JOINED + DAY, reason="complaints"))
        assert store.local_clock() is None


def a_touch(**changes: Any) -> Touch:
    fields = {"referee_id": EVE, "referrer_id": ADA.id, "at": JOINED, "told_at": JOINED, "source": "link"}
    return Touch.model_validate(fields | changes)


def an_attribution(**changes: Any) -> Attribution:
    fields = {"referee_id": EVE, "referrer_id": ADA.id, "touched_at": JOINED, "source": "link", "at": JOINED}
    return Attribution.model_validate(fields | changes)


def a_referral(status: str = "attributed", **changes: Any) -> Referral:
    fields = {"referrer_id": ADA.id, "referee_id": EVE, "status": status, "at": JOINED, "touched_at": JOINED}
    return Referral.model_validate(fields | changes)


def a_reward(**changes: Any) -> Reward:
    fields = {"member_id": ADA.id, "rule": "badge", "gives": "badge", "because": EVE, "granted_at": JOINED}
    return Reward.model_validate(fields | changes)


class TestReferees:
    def test_a_touch_and_a_void_are_told_once(self, store: Store) -> None:
        void = Void(reason="left", at=JOINED)
        assert [store.note_touch(a_touch()) for _ in range(2)] == [True, False]
        assert [store.note_void(EVE, void) for _ in range(2)] == [True, False]
        assert [store.note_invited("eve@example.com", a_touch()) for _ in range(2)] == [True, False]
        told = store.referee([EVE, "mx"])
        assert (told.touches, told.voids, told.attribution) == ([a_touch()], [void], None)
        assert store.invited("eve@example.com") == [a_touch()]

    def test_an_attribution_is_for_good_and_its_milestone_comes_with_it(self, store: Store) -> None:
        first, second = an_attribution(), an_attribution(referrer_id="mx", at=JOINED + HOUR)
        assert [store.attribute(first), store.attribute(second), store.attribute(first)] == [first] * 3
        assert store.referee([EVE]).attribution == first
        assert [one.member_id for one in store.milestones("attributed", JOINED, JOINED + DAY)] == [ADA.id]
        assert store.referees_of([EVE, "mx"]) == {EVE}


class TestReferrals:
    def test_a_referral_moves_from_the_status_it_had_with_all_its_places(self, store: Store) -> None:
        waits = a_referral("in_review")
        counts = a_referral("qualified", qualified_at=JOINED)
        assert [store.settle_referral(waits, was=None) for _ in range(2)] == [True, False]
        assert store.reviews() == [waits]
        assert [store.settle_referral(counts, was="in_review") for _ in range(2)] == [True, False]
        assert (store.reviews(), store.standing([ADA.id]).referrals) == ([], [counts])
        assert len(list(store.milestones("qualified", JOINED, JOINED + DAY))) == 1

    def test_a_referral_that_had_another_status_changes_nothing_at_all(self, store: Store) -> None:
        store.settle_referral(a_referral("attributed"), was=None)
        late = a_referral("qualified", qualified_at=JOINED)
        assert not store.settle_referral(late, was="in_review")
        assert list(store.milestones("qualified", JOINED, JOINED + DAY)) == []
        assert store.standing([ADA.id]).referrals == [a_referral("attributed")]


class TestRewards:
    def test_a_reward_is_granted_once_for_ever_even_after_it_was_taken_back(self, store: Store) -> None:
        back = Reversal(member_id=ADA.id, rule="badge", reason="refunded", at=JOINED + HOUR)
        assert [store.grant(a_reward()), store.grant(a_reward(because="mx"))] == [True, False]
        assert [store.reverse(back), store.reverse(back), store.grant(a_reward())] == [True, False, False]
        standing = store.standing([ADA.id])
        assert (standing.rewards, standing.reversals) == ([a_reward()], [back])
        for kind in ("granted", "reversed"):
            assert len(list(store.milestones(kind, JOINED, JOINED + DAY))) == 1

    def test_a_reward_with_a_level_raises_its_member_or_is_not_granted(self, store: Store) -> None:
        store.create_member(ADA)
        stale = ADA.model_copy(update={"version": 7})
        assert not store.grant(a_reward(), to=stale, level="gold")
        assert (store.reward(ADA.id, "badge"), store.member(ADA.id)) == (None, ADA)
        assert store.grant(a_reward(), to=ADA, level="gold")
        assert store.member(ADA.id) == ADA.model_copy(update={"level": "gold", "version": 1})

    @pytest.mark.parametrize("status", ["voided", None])
    def test_a_reward_of_a_referral_that_does_not_count_is_not_granted(self, store: Store, status: str | None) -> None:
        store.create_member(ADA)
        if status is not None:
            store.settle_referral(a_referral(status), was=None)
        assert not store.grant(a_reward(), to=ADA, by=a_referral("qualified"))
        assert store.reward(ADA.id, "badge") is None
        assert list(store.milestones("granted", JOINED, JOINED + DAY)) == []

    def test_a_reward_to_who_proved_to_be_another_is_not_granted(self, store: Store) -> None:
        store.create_member(a_member(absorbed=frozenset({"mx"})))
        assert not store.grant(a_reward(), to=ADA)
        assert store.grant(a_reward(), to=a_member(absorbed=frozenset({"mx"})))

    def test_a_moment_of_a_reward_is_noted_once_and_makes_none(self, store: Store) -> None:
        assert not store.note_reward(a_reward(), "fulfilled_at", JOINED)
        store.grant(a_reward())
        for hours in (1, 2):
            store.note_reward(a_reward(), "fulfilled_at", JOINED + hours * HOUR)
        assert store.reward(ADA.id, "badge") == a_reward(fulfilled_at=JOINED + HOUR)
