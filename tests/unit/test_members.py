"""Folding events into a member: the same member in whatever order, and however often, the events come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, time, timedelta
from functools import reduce
from itertools import permutations
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.addresses import address_hash
from shared.events import (
    CommentCreated,
    CommunityEvent,
    MemberJoined,
    MemberLeft,
    MemberUpdated,
    PostCreated,
    Profile,
    ReactionAdded,
    SurveyAnswered,
    TicketOpened,
)
from shared.members import (
    SOFT_BOUNCES_KEPT,
    absorb,
    bounce_softly,
    choose,
    consents,
    decide,
    discovered,
    fold,
    is_dormant,
    language_of,
    meets,
    rest,
    send_time,
    suppress,
    suppression_of,
)
from shared.model import Consent, Identity, Member, SoftBounce, Suppression, member_id_of
from shared.playbook import ALL_MARKETING, Condition
from tests.builders import JOINED, a_member, at, joined, left, posted, updated

NOBODY = Member(id="m" + "a" * 20, ordinal=0, created_at=JOINED)
DAY = timedelta(days=1)


def base(moment: datetime, identity: tuple[str, str]) -> dict[str, Any]:
    return {"id": "e", "occurred_at": moment, "received_at": moment, "platform": identity[0], "actor": identity[1]}


# Few values and coarse moments: what matters is that they collide.
moments = st.integers(0, 29 * 4).map(lambda quarters: JOINED + timedelta(hours=6 * quarters))
identities = st.sampled_from([("slack", "U1"), ("discourse", "7")])
profiles = st.builds(
    Profile,
    name=st.sampled_from([None, "Ada", "Ada L."]),
    email=st.sampled_from([None, "ada@example.com", "ada@example.org"]),
    email_verified=st.booleans(),
    locale=st.sampled_from([None, "en", "ru-RU"]),
    timezone=st.sampled_from([None, "Europe/Berlin", "Asia/Tokyo", "Mars/Olympus"]),
    role=st.sampled_from(["member", "staff", "bot"]),
)
bases = st.builds(base, moments, identities)


def told(kind: type[Any], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(lambda common, own: kind(**common, **own), bases, st.fixed_dictionaries(fields))


events: st.SearchStrategy[CommunityEvent] = st.one_of(
    told(MemberJoined, profile=profiles, returning=st.booleans()),
    told(MemberLeft, reason=st.sampled_from(["left", "removed", "banned"])),
    told(MemberUpdated, profile=profiles),
    told(PostCreated),
    told(CommentCreated),
    told(ReactionAdded),
    told(SurveyAnswered, score=st.just(9)),
    told(TicketOpened),
)


def folded(told_of: Sequence[CommunityEvent], member: Member = NOBODY) -> Member:
    return reduce(fold, told_of, member)


def to_the_day(member: Member) -> dict[str, Any]:
    """A member as the law holds it: `last_active_at` counts by its day."""
    plain = member.model_dump()
    plain["last_active_at"] = member.last_active_at and member.last_active_at.date()
    return plain


class TestTheLaw:
    @settings(max_examples=120)
    @given(st.lists(events, max_size=7), st.randoms(use_true_random=False))
    @example(  # a partial profile, newer than two full ones
        [
            updated(Profile(name="Ada"), at=JOINED),
            updated(Profile(name="Ada L."), at=JOINED + DAY),
            updated(Profile(locale="ru"), at=JOINED + 2 * DAY),
        ],
        None,
    )
    @example([posted(at=JOINED + DAY), posted(at=JOINED)], None)  # the first post is told last
    @example([posted(at=JOINED + DAY), joined()], None)  # a post is told before its author's joining
    @example([joined(), left(), left(reason="banned")], None)  # three statuses of one moment
    def test_any_order_and_repetition_gives_the_same_member(self, told_of: list[CommunityEvent], random: Any) -> None:
        again = [*reversed(told_of), *told_of]
        if random is not None:
            random.shuffle(again)
        assert to_the_day(folded(told_of)) == to_the_day(folded(again))

    @given(st.lists(events, max_size=6))
    def test_telling_everything_again_changes_nothing_at_all(self, told_of: list[CommunityEvent]) -> None:
        once = folded(told_of)
        assert folded(told_of, once) == once

    @settings(max_examples=100)
    @given(st.lists(events, max_size=4), st.lists(events, max_size=4))
    def test_two_members_merged_are_the_one_they_always_were(
        self, ones: list[CommunityEvent], others: list[CommunityEvent]
    ) -> None:
        merged = absorb(folded(ones), folded(others, NOBODY.model_copy(update={"id": "mb", "ordinal": 1})))
        assert merged.absorbed == {"mb"}
        alone = merged.model_copy(update={"absorbed": frozenset()})
        assert to_the_day(alone) == to_the_day(folded([*ones, *others]))

    @given(st.lists(st.builds(Consent, given=st.booleans(), at=moments), max_size=5), st.randoms())
    def test_decisions_in_any_order_leave_the_same_one(self, decisions: list[Consent], random: Any) -> None:
        def decided(all_of_them: list[Consent]) -> Member:
            return reduce(lambda member, one: decide(member, ALL_MARKETING, one), all_of_them, NOBODY)

        standing = decided(decisions)
        random.shuffle(decisions)
        assert standing == decided(decisions)

    def test_only_the_day_of_the_last_activity_is_certain(self) -> None:
        morning, evening = JOINED.replace(hour=8), JOINED.replace(hour=20)
        assert folded([posted(at=evening), posted(at=morning)]).last_active_at == evening
        assert folded([posted(at=morning), posted(at=evening)]).last_active_at == morning


class TestDiscovered:
    def test_a_new_member_s_id_comes_from_the_first_identity(self) -> None:
        member = discovered(posted(received_at=JOINED + DAY), ordinal=7)
        assert (member.id, member.ordinal) == (member_id_of(Identity("slack", "U1")), 7)
        assert member.created_at == JOINED + DAY
        assert member.joined_at is None

    def test_a_member_id_holds_neither_slash_nor_dash(self) -> None:
        assert member_id_of(Identity("slack", "U-1/2")).isalnum()


class TestProfile:
    def test_a_newer_profile_replaces_what_it_tells(self) -> None:
        member = fold(a_member(), updated(Profile(name="Ada L."), at=JOINED + DAY))
        assert (member.name, member.email) == ("Ada L.", "ada@example.com")

    def test_an_older_profile_fills_only_what_nobody_told_since(self) -> None:
        newer = folded([updated(Profile(name="Ada L."), at=JOINED + DAY)])
        member = fold(newer, updated(Profile(name="Ada", locale="ru"), at=JOINED))
        assert (member.name, member.locale) == ("Ada L.", "ru")

    def test_an_unverified_address_is_never_taken(self) -> None:
        assert folded([joined(profile=Profile(email="ada@example.com"))]).email is None

    def test_an_unknown_time_zone_is_left_out(self) -> None:
        assert folded([joined(profile=Profile(timezone="Mars/Olympus"))]).timezone is None

    def test_blank_fields_tell_nothing(self) -> None:
        member = fold(a_member(), updated(Profile(name="", locale=""), at=JOINED + DAY))
        assert (member.name, member.locale) == ("Ada", "en")


class TestStatus:
    def test_leaving_and_coming_back_follow_their_own_times(self) -> None:
        back = joined(at=JOINED + 2 * DAY, returning=True)
        gone = left(at=JOINED + DAY, reason="banned")
        assert folded([joined(), gone]).status == "banned"
        assert folded([back, joined(), gone]).status == "active"

    def test_of_one_moment_the_more_cautious_status_stands(self) -> None:
        assert folded([joined(), left(reason="banned")]).status == "banned"
        assert folded([left(reason="banned"), joined()]).status == "banned"

    def test_a_post_after_leaving_does_not_bring_anybody_back(self) -> None:
        assert folded([joined(), left(at=JOINED + DAY), posted(at=JOINED + 2 * DAY)]).status == "left"

    def test_a_returning_member_is_back_but_not_new(self) -> None:
        member = folded([joined(returning=True)])
        assert (member.status, member.joined_at) == ("active", None)

    def test_joining_twice_keeps_the_first_joining(self) -> None:
        assert folded([joined(at=JOINED + DAY), joined()]).joined_at == JOINED


class TestActivity:
    @pytest.mark.parametrize(
        ("kind", "field"),
        [
            (PostCreated, "first_post_at"),
            (CommentCreated, "first_comment_at"),
        ],
    )
    def test_the_first_of_a_kind_is_the_earliest(self, kind: type[Any], field: str) -> None:
        later, earlier = kind(**base(JOINED + DAY, ("slack", "U1"))), kind(**base(JOINED, ("slack", "U1")))
        assert getattr(folded([later, earlier]), field) == JOINED

    def test_a_ticket_is_not_activity(self) -> None:
        member = folded([TicketOpened(**base(JOINED, ("slack", "U1")))])
        assert (member.last_active_at, member.active_days) == (None, frozenset())

    def test_a_second_event_of_a_day_changes_nothing(self) -> None:
        once = folded([joined(), posted()])
        assert fold(once, posted(id="slack:Ev3", at=JOINED + timedelta(hours=3))) == once

    def test_31_days_from_joining_are_remembered_one_by_one(self) -> None:
        member = folded([joined(), *(posted(at=JOINED + number * DAY) for number in range(60))])
        assert len(member.active_days) == 31
        assert max(member.active_days) == (JOINED + 30 * DAY).date().isoformat()

    def test_days_before_a_late_told_joining_are_remembered(self) -> None:
        posts: list[CommunityEvent] = [posted(at=JOINED + number * DAY) for number in range(3)]
        assert folded([*posts, joined()]).active_days == folded([joined(), *posts]).active_days

    def test_who_never_joined_is_remembered_for_a_month_at_most(self) -> None:
        member = folded([posted(at=JOINED + number * DAY) for number in range(400)])
        assert len(member.active_days) == 31
        assert max(member.active_days) == (JOINED + 399 * DAY).date().isoformat()


class TestToldSince:
    def test_only_what_happened_before_they_were_heard_of_is_kept_and_the_earliest_of_it(self) -> None:
        late = [posted(at=JOINED - days * DAY) for days in (40, 900, 3)]
        assert folded([joined()]).told_since is None
        for order in permutations(late):
            assert folded([joined(), *order]).told_since == JOINED - 900 * DAY

    def test_of_two_who_are_one_the_earliest_is_kept(self) -> None:
        merged = a_member(id="mb", told_since=JOINED - 900 * DAY)
        assert absorb(a_member(told_since=JOINED - DAY), merged).told_since == JOINED - 900 * DAY


class TestAddresses:
    @pytest.mark.parametrize("written", [" Ada@Пример.РФ", "ada@xn--e1afmkfd.xn--p1ai", "ADA@XN--E1AFMKFD.XN--P1AI "])
    def test_an_address_has_one_hash_however_it_is_written(self, written: str) -> None:
        assert address_hash(written) == address_hash("ada@пример.рф")

    @pytest.mark.parametrize("odd", ["", "ada", "ada@", "@", "ada@" + "x" * 70 + ".example", "ada@.example"])
    def test_an_address_that_is_none_has_a_hash_of_its_own(self, odd: str) -> None:
        assert address_hash(odd) != address_hash("ada@example.com")


ADA = address_hash("ada@example.com")


def bounced(moment: datetime = JOINED, by: str = "") -> Suppression:
    return Suppression(reason="bounce", at=moment, by=by)


def softly(member: Member, *days: float, address: str = ADA) -> Member:
    for day in days:
        member = bounce_softly(member, f"tag{day}", SoftBounce(address=address, at=JOINED + day * DAY))
    return member


class TestAddress:
    def test_the_newest_proof_that_an_address_is_dead_stands(self) -> None:
        late = suppress(a_member(), ADA, bounced(JOINED + DAY))
        assert suppress(late, ADA, bounced()) == late
        assert suppress(late, ADA, bounced(JOINED + 2 * DAY)) != late

    def test_a_new_address_is_not_suppressed_with_the_old(self) -> None:
        member = suppress(a_member(), address_hash("Ada@Example.com"), bounced())
        assert suppression_of(member) == bounced()
        profile = Profile(email="ada@new.example.com", email_verified=True)
        moved = fold(member, updated(profile, at=JOINED + DAY))
        assert suppression_of(moved) is None

    def test_an_address_that_comes_back_is_suppressed_still(self) -> None:
        member = suppress(suppress(a_member(), ADA, bounced()), address_hash("new@example.com"), bounced(JOINED + DAY))
        assert suppression_of(member) == bounced()

    def test_a_late_bounce_of_an_old_address_suppresses_nothing(self) -> None:
        assert suppression_of(suppress(a_member(), address_hash("old@example.com"), bounced())) is None

    def test_five_soft_bounces_within_thirty_days_suppress(self) -> None:
        assert suppression_of(softly(a_member(), 0, 7, 14, 21)) is None
        found = suppression_of(softly(a_member(), 0, 7, 14, 21, 30))
        assert found == Suppression(reason="soft_bounces", at=JOINED + 30 * DAY, by="tag30")

    def test_soft_bounces_older_than_thirty_days_have_decayed(self) -> None:
        assert suppression_of(softly(a_member(), 0, 7, 14, 21, 30.1)) is None

    def test_soft_bounces_of_one_mail_count_once(self) -> None:
        assert suppression_of(softly(a_member(), 0, 0, 0, 0, 0, 1)) is None

    def test_soft_bounces_of_two_addresses_are_not_added_up(self) -> None:
        assert suppression_of(softly(softly(a_member(), 0, 1, 2), 3, 4, address="old")) is None

    def test_soft_bounces_make_no_member_too_large(self) -> None:
        assert len(softly(a_member(), *range(0, 6000, 40)).soft_bounces) == SOFT_BOUNCES_KEPT

    def test_a_merged_member_brings_what_their_mail_told_along(self) -> None:
        refusal = Consent(given=False, at=JOINED)
        merged = suppress(decide(a_member(id="mb"), ALL_MARKETING, refusal), ADA, bounced())
        merged = rest(choose(softly(merged, 3), locale="ru", hour=18, at=JOINED), JOINED)
        survivor = absorb(a_member(), merged)
        assert survivor.consent == {ALL_MARKETING: refusal}
        assert suppression_of(survivor) == bounced()
        assert survivor.soft_bounces == merged.soft_bounces
        assert (survivor.chosen_locale, survivor.send_hour, survivor.dormant_at) == ("ru", 18, JOINED)


class TestConsent:
    YES, NO = Consent(given=True, at=JOINED), Consent(given=False, at=JOINED)

    @pytest.mark.parametrize(
        ("consent", "gets"),
        [
            ({}, True),
            ({"digest": NO}, False),
            ({"events": NO}, True),
            ({ALL_MARKETING: NO}, False),
            ({ALL_MARKETING: NO, "digest": YES}, False),
            ({ALL_MARKETING: NO, "digest": Consent(given=True, at=JOINED + DAY)}, True),
            ({ALL_MARKETING: Consent(given=False, at=JOINED + DAY), "digest": YES}, False),
            ({ALL_MARKETING: Consent(given=True, at=JOINED + DAY), "digest": NO}, True),
        ],
    )
    def test_the_newest_word_on_a_category_or_on_all_holds(self, *, consent: dict[str, Consent], gets: bool) -> None:
        assert consents(a_member(consent=consent), "digest") is gets


class TestChoices:
    def test_a_choice_of_language_outlives_what_platforms_tell(self) -> None:
        chosen = choose(a_member(), locale="ru", hour=None, at=JOINED)
        told_later = fold(chosen, updated(Profile(locale="en"), at=JOINED + DAY))
        assert language_of(told_later) == "ru"
        assert language_of(choose(told_later, locale=None, hour=None, at=JOINED + DAY)) == "en"

    def test_the_newest_choice_stands(self) -> None:
        chosen = choose(a_member(), locale="ru", hour=18, at=JOINED + DAY)
        assert choose(chosen, locale="en", hour=9, at=JOINED) == chosen

    def test_a_chosen_hour_is_the_time_of_scheduled_mail(self) -> None:
        ten = time(10)
        assert send_time(choose(a_member(), locale=None, hour=18, at=JOINED), ten) == time(18)
        assert send_time(a_member(), ten) == send_time(None, ten) == ten


told_later_on = st.lists(
    st.one_of(
        st.builds(
            lambda category, given, moment: lambda member: decide(member, category, Consent(given=given, at=moment)),
            st.sampled_from([ALL_MARKETING, "digest"]),
            st.booleans(),
            moments,
        ),
        st.builds(
            lambda address, moment: lambda member: suppress(member, address, bounced(moment)),
            st.sampled_from([ADA, "old"]),
            moments,
        ),
        st.builds(
            lambda address, moment: (
                lambda member: bounce_softly(
                    member, f"{address[:3]}{moment:%d%H}", SoftBounce(address=address, at=moment)
                )
            ),
            st.sampled_from([ADA, "old"]),
            moments,
        ),
        st.builds(lambda moment: lambda member: rest(member, moment), moments),
        st.builds(lambda moment: lambda member: fold(member, posted(at=moment)), moments),
        st.builds(
            lambda hour, moment: lambda member: choose(member, locale="ru", hour=hour, at=moment),
            st.sampled_from([None, 9, 18]),
            moments,
        ),
    ),
    max_size=14,
)


@settings(max_examples=300, deadline=None)
@given(changes=told_later_on, order=st.randoms(use_true_random=False))
def test_what_mail_tells_of_a_member_means_the_same_in_any_order(
    changes: list[Callable[[Member], Member]], order: Random
) -> None:
    shuffled = [*changes, *changes[:3]]
    order.shuffle(shuffled)
    one, other = (reduce(lambda member, change: change(member), told, a_member()) for told in (changes, shuffled))
    # To the day only: when somebody was last active, and so when they came back.
    by_day = {"last_active_at": None, "woken_at": None}
    assert one.model_copy(update=by_day) == other.model_copy(update=by_day)
    assert (is_dormant(one), consents(one, "digest")) == (is_dormant(other), consents(other, "digest"))


class TestRole:
    def test_staff_on_one_platform_is_staff_whatever_another_says(self) -> None:
        staff = fold(a_member(), updated(Profile(role="staff"), platform="discourse", actor="7"))
        again = fold(staff, updated(Profile(role="member"), at=JOINED + DAY))
        assert again.role == "staff"

    def test_the_platform_that_said_staff_can_take_it_back(self) -> None:
        staff = fold(a_member(), updated(Profile(role="staff")))
        assert fold(staff, updated(Profile(role="member"), at=JOINED + DAY)).role == "member"


class TestConditions:
    @pytest.mark.parametrize(
        ("condition", "fields"),
        [
            ("posted", {"first_post_at"}),
            ("commented", {"first_comment_at"}),
            ("contributed", {"first_post_at", "first_comment_at"}),
            ("answered_survey", {"survey_answered_at"}),
        ],
    )
    def test_a_condition_holds_by_its_own_facts_alone(self, condition: Condition, fields: set[str]) -> None:
        every = {"first_post_at", "first_comment_at", "survey_answered_at", "last_active_at"}
        assert {name for name in every if meets(a_member(**{name: at("2030-01-02T00:00Z")}), condition)} == fields
