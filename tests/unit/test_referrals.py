"""The rules of referrals: first touch, what qualifies, the hold, and what is granted for it. No AWS, no clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from shared.events import MemberLeft, PurchaseMade, PurchaseRefunded
from shared.members import absorb, fold
from shared.model import Attribution, Member, Referral, Reward, Touch, Void
from shared.playbook import Playbook, RewardRule, check
from shared.programmes.referrals import AGAIN, Case, Step, decide, earned, qualified_at, takes_up, void_of
from tests.builders import JOINED, a_member, a_playbook, joined, posted, raw_playbook, updated

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
PLAYBOOK = a_playbook()
HOLD, SETTLING = PLAYBOOK.referrals.hold, PLAYBOOK.referrals.settle_after
POSTED = JOINED + DAY
OVER = POSTED + HOLD


def an_id(letter: str) -> str:
    return "m" + letter * 20


ADA, BO = an_id("a"), an_id("b")


def a_referee(**changes: Any) -> Member:
    """Ada, who came through Bo's link and posted a day after joining."""
    return a_member(**{"first_post_at": POSTED, "last_active_at": POSTED, "touched_at": JOINED} | changes)


def a_referrer(**changes: Any) -> Member:
    fields = {"id": BO, "ordinal": 1, "identities": frozenset({"slack:U2"}), "name": "Bo", "email": "bo@example.com"}
    return a_member(**fields | {"joined_at": JOINED - 100 * DAY} | changes)


def touched(by: str = BO, *, at: datetime = JOINED, told_at: datetime | None = None, source: str = "link") -> Touch:
    fields = {"referee_id": ADA, "referrer_id": by, "at": at, "told_at": told_at or at, "source": source}
    return Touch.model_validate(fields)


def attributed(by: str = BO, at: datetime = JOINED) -> Attribution:
    return Attribution(referee_id=ADA, referrer_id=by, touched_at=at, source="link", at=at + SETTLING)


def a_referral(status: str = "attributed", *, of: str = ADA, by: str = BO, **changes: Any) -> Referral:
    fields = {"referrer_id": by, "referee_id": of, "status": status, "at": JOINED, "touched_at": JOINED}
    return Referral.model_validate(fields | changes)


def a_reward(rule: str = "badge", *, to: str = BO, because: str = ADA, **changes: Any) -> Reward:
    fields = {"member_id": to, "rule": rule, "gives": "badge", "because": because, "granted_at": JOINED}
    return Reward.model_validate(fields | changes)


def a_case(**changes: Any) -> Case:
    """Ada, attributed to Bo."""
    fields: dict[str, Any] = {
        "referee": a_referee(),
        "touches": [touched()],
        "attribution": attributed(),
        "referrer": a_referrer(),
        "referrals": [a_referral()],
    }
    return Case(**fields | changes)


def qualifying(kind: str) -> Playbook:
    raw = raw_playbook()
    raw["referrals"]["qualified_when"] = kind
    return check(raw, source="playbook")


def only_move(step: Step) -> Referral:
    [move] = step.moves
    return move.to


def judged(case: Case, now: datetime = OVER, playbook: Playbook = PLAYBOOK) -> Referral:
    return only_move(decide(case, playbook, now))


class TestFirstTouch:
    CLICKS = (
        touched(an_id("c"), at=JOINED - HOUR, told_at=JOINED + HOUR),
        touched(an_id("d"), at=JOINED - 2 * HOUR, told_at=JOINED + 20 * HOUR),
        touched(an_id("e"), at=JOINED - 3 * HOUR, told_at=JOINED + 26 * HOUR),
    )
    """The last of them happened first, but was not told within a day of the first telling."""

    def settled(self, *touches: Touch, now: datetime = JOINED + 30 * HOUR, referee: Member | None = None) -> Step:
        return decide(a_case(touches=touches, attribution=None, referee=referee or a_referee()), PLAYBOOK, now)

    @pytest.mark.shows(35)
    @pytest.mark.parametrize("touches", list(permutations(CLICKS[:2])))
    def test_the_earliest_click_wins_in_any_order(self, touches: tuple[Touch, ...]) -> None:
        step = self.settled(*touches)
        assert step.attribute is not None
        assert (step.attribute.referrer_id, step.attribute.touched_at) == (an_id("d"), JOINED - 2 * HOUR)

    @pytest.mark.parametrize("touches", list(permutations(CLICKS)))
    @pytest.mark.parametrize("now", [JOINED + 25 * HOUR, JOINED + 90 * DAY])
    def test_a_touch_told_after_settling_never_counts(self, touches: tuple[Touch, ...], now: datetime) -> None:
        step = self.settled(*touches, now=now)
        assert step.attribute is not None
        assert step.attribute.referrer_id == an_id("d")

    def test_nothing_is_settled_before_its_time(self) -> None:
        early = self.settled(*self.CLICKS, now=JOINED + 25 * HOUR - timedelta(microseconds=1))
        assert (early.attribute, early.look_at) == (None, JOINED + 25 * HOUR)

    @pytest.mark.parametrize("touches", list(permutations([touched(an_id("d")), touched(an_id("c"))])))
    def test_of_one_moment_the_same_referrer_wins(self, touches: tuple[Touch, ...]) -> None:
        step = self.settled(*touches)
        assert step.attribute is not None
        assert step.attribute.referrer_id == an_id("c")

    def test_an_attribution_is_never_decided_again(self) -> None:
        case = a_case(touches=[touched(an_id("c"), at=JOINED - DAY)])
        assert decide(case, PLAYBOOK, OVER).attribute is None

    def test_utm_and_door_are_kept(self) -> None:
        told = touched(source="code").model_copy(update={"utm": {"utm_source": "referral"}})
        step = self.settled(told)
        assert step.attribute is not None
        assert (step.attribute.source, step.attribute.utm) == ("code", {"utm_source": "referral"})

    def test_a_touch_long_after_joining_brings_nobody(self) -> None:
        late = JOINED + SETTLING + timedelta(seconds=1)
        assert self.settled(touched(at=late), now=late + 2 * DAY) == Step()
        just = self.settled(touched(at=JOINED + SETTLING), now=late + 2 * DAY)
        assert just.attribute is not None

    def test_who_was_seen_long_before_was_brought_by_nobody(self) -> None:
        before = JOINED - 9 * DAY
        assert self.settled(touched(), referee=a_referee(joined_at=None, created_at=before)) == Step()
        assert self.settled(touched(), referee=a_referee(joined_at=None, first_post_at=before)) == Step()


class TestQualified:
    FACTS = {
        "joined_at": JOINED,
        "verified_at": JOINED + HOUR,
        "first_comment_at": JOINED + 3 * HOUR,
        "first_post_at": JOINED + 4 * HOUR,
        "first_purchase_at": JOINED + 5 * HOUR,
    }

    @pytest.mark.parametrize(("kind", "hours"), [("joined", 0), ("verified", 1), ("active", 3), ("purchased", 5)])
    def test_each_kind_asks_for_its_own_fact(self, kind: str, hours: int) -> None:
        assert qualified_at(a_referee(**self.FACTS), qualifying(kind)) == JOINED + hours * HOUR

    @pytest.mark.parametrize("kind", ["joined", "verified", "active", "purchased"])
    def test_without_its_fact_nothing_is_left_to_do(self, kind: str) -> None:
        nothing = dict.fromkeys(self.FACTS)
        case = a_case(referee=a_referee(**nothing))
        assert decide(case, qualifying(kind), OVER + DAY) == Step()

    @pytest.mark.parametrize("kind", ["joined", "verified", "active", "purchased"])
    def test_each_kind_counts_once_its_hold_is_over(self, kind: str) -> None:
        playbook, case = qualifying(kind), a_case(referee=a_referee(**self.FACTS))
        moment = qualified_at(case.referee, playbook)
        assert moment is not None
        early = decide(case, playbook, moment + HOLD - timedelta(microseconds=1))
        assert (early.moves, early.look_at) == ((), moment + HOLD)
        assert judged(case, moment + HOLD, playbook).status == "qualified"

    def test_a_hold_begins_no_earlier_than_the_touch(self) -> None:
        late = JOINED + 20 * HOUR
        case = a_case(
            referee=a_referee(first_post_at=JOINED + HOUR),
            attribution=attributed(at=late),
            referrals=[a_referral(touched_at=late)],
        )
        assert decide(case, PLAYBOOK, JOINED + 2 * DAY).look_at == late + HOLD

    def test_a_later_word_on_an_address_does_not_move_when_it_was_verified(self) -> None:
        member = fold(a_member(told_at={}, email=None, verified_at=None), joined())
        again = updated(joined().profile, at=JOINED + 3 * DAY)
        assert fold(member, again).verified_at == JOINED
        assert fold(fold(a_member(verified_at=None), again), joined()).verified_at == JOINED

    def test_an_address_nobody_vouches_for_verifies_nothing(self) -> None:
        profile = joined().profile.model_copy(update={"email_verified": False})
        assert fold(a_member(verified_at=None), joined(profile=profile)).verified_at is None

    def test_the_event_that_qualifies_takes_the_case_up(self) -> None:
        event = posted(at=POSTED)
        assert takes_up(event, a_referee(), PLAYBOOK)
        assert not takes_up(posted(at=POSTED + DAY), a_referee(), PLAYBOOK)
        assert not takes_up(event, a_referee(touched_at=None), PLAYBOOK)

    def test_an_event_that_may_undo_takes_the_case_up(self) -> None:
        assert takes_up(bought(MemberLeft), a_referee(), PLAYBOOK)
        assert takes_up(bought(PurchaseRefunded), a_referee(), PLAYBOOK)
        assert not takes_up(bought(MemberLeft), a_referee(touched_at=None), PLAYBOOK)


def bought(kind: type[Any] = PurchaseMade, **changes: Any) -> Any:
    common = {"id": "standard:1", "platform": "standard", "actor": "42", "occurred_at": JOINED, "received_at": JOINED}
    own = {"amount": 1999, "currency": "EUR", "payer": "card_1"} if kind is PurchaseMade else {}
    return kind(**common | own | changes)


class TestPurchases:
    def test_the_earliest_purchase_is_the_first(self) -> None:
        once = fold(a_member(), bought(occurred_at=JOINED + DAY))
        assert fold(once, bought()).first_purchase_at == JOINED
        assert fold(fold(a_member(), bought()), bought(occurred_at=JOINED + DAY)).first_purchase_at == JOINED

    def test_every_payer_is_remembered_once(self) -> None:
        member = a_member()
        for payer in ("card_1", "card_2", "card_1", None):
            member = fold(member, bought(payer=payer))
        assert member.payers == {"card_1", "card_2"}

    def test_a_merged_member_brings_purchases_along(self) -> None:
        other = fold(a_referrer(), bought(occurred_at=JOINED - DAY, payer="card_2"))
        merged = absorb(fold(a_member(), bought()), other)
        assert merged.first_purchase_at == JOINED - DAY
        assert merged.payers == {"card_1", "card_2"}

    def test_a_refund_changes_nothing_of_the_member(self) -> None:
        member = fold(a_member(), bought())
        assert fold(member, bought(PurchaseRefunded)).first_purchase_at == JOINED


class TestHold:
    @pytest.mark.parametrize("reason", ["left", "removed", "banned", "refunded"])
    @pytest.mark.parametrize("moment", [POSTED, POSTED + DAY, OVER - timedelta(microseconds=1)])
    def test_what_undoes_within_the_hold_voids(self, reason: Any, moment: datetime) -> None:
        found = judged(a_case(voids=[Void(reason=reason, at=moment)]))
        assert (found.status, found.reason) == ("voided", reason)

    @pytest.mark.parametrize("reason", ["left", "banned", "refunded"])
    @pytest.mark.parametrize("moment", [POSTED - timedelta(microseconds=1), OVER, OVER + DAY])
    def test_outside_the_hold_nothing_voids(self, reason: Any, moment: datetime) -> None:
        assert judged(a_case(voids=[Void(reason=reason, at=moment)]), OVER + 2 * DAY).status == "qualified"

    def test_the_first_of_several_is_the_reason(self) -> None:
        voids = [Void(reason="banned", at=POSTED + 2 * DAY), Void(reason="left", at=POSTED + DAY)]
        assert judged(a_case(voids=voids)).reason == "left"

    def test_who_left_and_came_back_within_the_hold_is_void(self) -> None:
        back = a_referee(status="active", status_at=POSTED + 2 * DAY)
        assert judged(a_case(referee=back, voids=[Void(reason="left", at=POSTED + DAY)])).status == "voided"

    def test_who_left_before_the_look_but_after_the_hold_counts(self) -> None:
        gone = a_referee(status="left", status_at=OVER + HOUR)
        case = a_case(referee=gone, voids=[Void(reason="left", at=OVER + HOUR)])
        assert judged(case, OVER + 30 * DAY).status == "qualified"

    @pytest.mark.parametrize("status", ["voided", "in_review", "rejected"])
    def test_what_is_closed_or_waits_for_a_person_is_left(self, status: str) -> None:
        assert decide(a_case(referrals=[a_referral(status)]), PLAYBOOK, OVER + DAY) == Step()

    def test_a_leave_told_after_it_counted_goes_to_review(self) -> None:
        case = a_case(referrals=[a_referral("qualified")], voids=[Void(reason="banned", at=POSTED + DAY)])
        found = judged(case)
        assert (found.status, found.evidence) == ("in_review", ["banned_within_hold"])

    def test_what_a_person_let_pass_is_not_asked_again(self) -> None:
        passed = a_referral("qualified", evidence=["banned_within_hold"])
        case = a_case(referrals=[passed], voids=[Void(reason="banned", at=POSTED + DAY)])
        assert decide(case, PLAYBOOK, OVER).moves == ()

    @pytest.mark.parametrize("reason", ["left", "removed", "banned"])
    def test_every_way_to_leave_is_noted(self, reason: Any) -> None:
        gone = bought(MemberLeft, reason=reason)
        assert void_of(gone) == Void(reason=reason, at=JOINED)

    def test_a_refund_is_noted_and_a_post_is_not(self) -> None:
        assert void_of(bought(PurchaseRefunded)) == Void(reason="refunded", at=JOINED)
        assert void_of(posted()) is None


def many(count: int, status: str = "qualified") -> list[Referral]:
    """Ada's referral, and those of others before her."""
    others = [a_referral(status, of=f"m{number:020x}") for number in range(count - 1)]
    return [*others, a_referral("qualified")]


def granted(case: Case, playbook: Playbook = PLAYBOOK) -> list[tuple[str, str]]:
    return [(reward.member_id, reward.rule) for reward in decide(case, playbook, OVER).grant]


TRIAL = a_reward("trial", to=ADA)


class TestRewards:
    @pytest.mark.parametrize(
        ("count", "rules"),
        [
            (1, ["badge"]),
            (4, ["badge"]),
            (5, ["badge", "premium_month"]),
            (9, ["badge", "premium_month"]),
            (10, ["badge", "premium_month", "premium_lifetime"]),
            (24, ["badge", "premium_month", "premium_lifetime"]),
            (25, ["badge", "premium_month", "premium_lifetime", "ambassador"]),
        ],
    )
    def test_thresholds_are_exactly_those_of_the_programme(self, count: int, rules: list[str]) -> None:
        case = a_case(referrals=many(count), rewards=[TRIAL])
        assert granted(case) == [(BO, rule) for rule in rules]

    @pytest.mark.parametrize(("count", "rule"), [(5, "premium_month"), (10, "premium_lifetime"), (25, "ambassador")])
    def test_only_what_was_never_granted_is(self, count: int, rule: str) -> None:
        before = [a_reward(one.key) for one in PLAYBOOK.referrals.rewards if one.at and one.at < count]
        assert granted(a_case(referrals=many(count), rewards=[*before, TRIAL])) == [(BO, rule)]

    @pytest.mark.parametrize("status", ["attributed", "voided", "in_review", "rejected"])
    def test_only_qualified_referees_count(self, status: str) -> None:
        assert granted(a_case(referrals=many(25, status), rewards=[TRIAL])) == [(BO, "badge")]

    def test_the_referee_gets_the_trial_once(self) -> None:
        assert (ADA, "trial") in granted(a_case(referrals=many(1)))
        assert granted(a_case(referrals=many(1), rewards=[a_reward(), TRIAL])) == []

    def test_the_trial_of_who_was_two_members_is_one(self) -> None:
        case = a_case(
            referee=a_referee(absorbed=frozenset({an_id("f")})),
            referrals=many(1),
            rewards=[a_reward(), a_reward("trial", to=an_id("f"))],
        )
        assert granted(case) == []

    def test_a_reward_says_what_the_rule_gives(self) -> None:
        case = a_case(referrals=many(25), rewards=[TRIAL])
        gives = [(one.gives, one.days, one.level, one.because) for one in decide(case, PLAYBOOK, OVER).grant]
        assert gives == [
            ("badge", None, None, ADA),
            ("premium_days", 30, None, ADA),
            ("premium_lifetime", None, None, ADA),
            ("level", None, "ambassador", ADA),
        ]

    def test_what_is_not_yet_announced_is_whoever_earned_it(self) -> None:
        theirs = a_reward("premium_month", because=an_id("e"))
        step = decide(a_case(referrals=many(5), rewards=[a_reward(), theirs, TRIAL]), PLAYBOOK, OVER)
        assert ([one.rule for one in step.announce], step.look_at) == (["badge", "premium_month", "trial"], None)

    @pytest.mark.shows(38)
    def test_a_reward_taken_back_is_neither_granted_nor_announced_again(self) -> None:
        case = a_case(referrals=many(1), rewards=[a_reward(), TRIAL], reversed={f"{BO}-badge"})
        step = decide(case, PLAYBOOK, OVER)
        assert (step.grant, [one.rule for one in step.announce]) == ((), ["trial"])

    def test_what_was_granted_at_this_very_moment_is_left_to_who_granted_it(self) -> None:
        rewards = [a_reward(granted_at=OVER), a_reward("trial", to=ADA, granted_at=OVER)]
        case = a_case(referrals=many(1), rewards=rewards)
        assert decide(case, PLAYBOOK, OVER) == Step(announce=[], look_at=OVER + AGAIN)
        assert decide(case, PLAYBOOK, OVER + AGAIN) == Step(announce=rewards)

    def test_what_was_announced_is_not_announced_again(self) -> None:
        rewards = [a_reward(announced_at=OVER), a_reward("trial", to=ADA, announced_at=OVER)]
        assert decide(a_case(referrals=many(1), rewards=rewards), PLAYBOOK, OVER) == Step(announce=[])

    def test_a_rule_added_later_comes_with_the_next_referee(self) -> None:
        rule = RewardRule(key="mug", at=3, gives="badge", title={"en": "A mug", "ru": "Кружка"})
        referrals = PLAYBOOK.referrals.model_copy(update={"rewards": [*PLAYBOOK.referrals.rewards, rule]})
        later = PLAYBOOK.model_copy(update={"referrals": referrals})
        case = a_case(referrals=many(7), rewards=[a_reward(), a_reward("premium_month"), TRIAL])
        assert granted(case) == []
        assert granted(case, later) == [(BO, "mug")]
        assert rule in earned(case, later)


class TestMerged:
    def test_two_members_who_are_one_count_once(self) -> None:
        one = a_member(id=an_id("c"), absorbed=frozenset({an_id("d"), an_id("e")}))
        three = [a_referral("qualified", of=an_id(letter)) for letter in "cde"]
        case = a_case(referrals=[*many(3), *three], fellows=[one], rewards=[a_reward(), TRIAL])
        assert granted(case) == []  # four, not six
        assert granted(a_case(referrals=[*many(3), *three], rewards=[a_reward(), TRIAL])) == [(BO, "premium_month")]

    def test_merged_members_that_are_a_third_count_once(self) -> None:
        third = a_member(id=an_id("c"), absorbed=frozenset({an_id("d"), an_id("e")}))
        two = [a_referral("qualified", of=an_id(letter)) for letter in "de"]
        case = a_case(referrals=[*many(3), *two], fellows=[third], rewards=[a_reward(), TRIAL])
        assert granted(case) == []

    def test_who_counted_and_proves_to_be_the_referrer_goes_to_review(self) -> None:
        both = a_referrer(absorbed=frozenset({ADA}), last_active_at=POSTED, first_post_at=POSTED)
        case = a_case(referee=both, referrer=both, referrals=[a_referral("qualified")])
        found = judged(case)
        assert found.status == "in_review"
        assert "self" in found.evidence

    def test_a_later_referrer_of_the_same_person_loses_what_did_not_count(self) -> None:
        other = a_referral(of=an_id("f"), by=an_id("c"))
        found = judged(a_case(elsewhere=[other]))
        assert (found.referrer_id, found.status, found.reason) == (an_id("c"), "voided", "brought_by_another")

    def test_a_later_referrer_s_counted_referral_goes_to_review(self) -> None:
        other = a_referral("qualified", of=an_id("f"), by=an_id("c"))
        found = judged(a_case(elsewhere=[other]))
        assert (found.status, found.evidence) == ("in_review", ["brought_by_another"])

    @pytest.mark.parametrize("status", ["attributed", "qualified"])
    def test_who_proves_to_have_brought_themselves_goes_to_review(self, status: str) -> None:
        case = a_case(referee=a_referee(absorbed=frozenset({an_id("f")})), elsewhere=[a_referral(status, by=ADA)])
        found = judged(case)
        assert (found.status, found.evidence) == ("in_review", ["self"])

    @pytest.mark.parametrize("status", ["voided", "in_review", "rejected"])
    def test_what_is_closed_elsewhere_holds_nothing_up(self, status: str) -> None:
        assert judged(a_case(elsewhere=[a_referral(status, by=an_id("c"))])).referrer_id == BO


def test_a_referrer_who_is_not_known_earns_nothing() -> None:
    assert decide(a_case(referrer=None), PLAYBOOK, OVER) == Step()


def test_a_suspicious_referral_waits_for_a_person() -> None:
    found = judged(a_case(referee=a_referee(email="ada@mailinator.com")))
    assert (found.status, found.reason, found.evidence) == ("in_review", "suspicious", ["disposable_address"])


def test_a_move_names_the_status_it_was_decided_from() -> None:
    [new] = decide(a_case(referrals=[]), PLAYBOOK, OVER).moves
    [next_one] = decide(a_case(), PLAYBOOK, OVER).moves
    assert (new.was, new.to.status, next_one.was) == (None, "attributed", "attributed")
