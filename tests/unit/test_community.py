"""The invented community: the same for the same seed, and every delivery does at our door what it is imagined to do."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from infra.local.community import NEWS, Community, imagine
from infra.local.demo import SECRETS
from infra.local.doors import CLICKED_EARLY
from infra.local.friends import BRINGER, DOUBLE, FRIENDS, RIVAL, friends
from infra.local.people import QUIRKS, START, STORIES, Person
from infra.local.signing import sign
from infra.local.voices import Delivery
from shared.errors import WebhookError
from shared.events import ACTIVITY, CommunityEvent, MemberJoined, MemberUpdated
from shared.experiments import group_of
from shared.localtime import is_zone
from shared.model import Identity, member_id_of
from shared.platforms import Answer, receive
from tests.builders import a_playbook

SIZES = [(40, 156, 7), (12, 40, 1), (1, 1, 3)]


@cache
def community(members: int = 40, days: int = 156, seed: int = 7) -> Community:
    return imagine(members, days, seed)


def signed(delivery: Delivery) -> dict[str, str]:
    """The headers as the demo sends them."""
    if delivery.forged:
        stamp = str(int(delivery.at.timestamp()))
        return {**delivery.headers, "x-slack-request-timestamp": stamp, "x-slack-signature": "v0=00"}
    secret, now = SECRETS[delivery.platform][-1], delivery.signed_at or delivery.at
    return sign(delivery.platform, delivery.headers, delivery.body, secret=secret, now=now)


def received(delivery: Delivery) -> list[CommunityEvent] | int:
    """The events that come of a delivery, or the status it is refused with."""
    try:
        found = receive(
            delivery.platform,
            signed(delivery),
            delivery.body,
            secrets=lambda platform: SECRETS[platform],
            enabled=a_playbook().platforms,
            now=delivery.at,
        )
    except WebhookError as exc:
        return exc.status
    assert not isinstance(found, Answer)
    return found


def of_kind(kind: str, size: tuple[int, int, int] = SIZES[0]) -> list[Delivery]:
    return [delivery for delivery in community(*size).deliveries if delivery.kind == kind]


def events(deliveries: list[Delivery]) -> list[CommunityEvent]:
    return [event for delivery in deliveries if isinstance(found := received(delivery), list) for event in found]


class TestImagined:
    def test_the_same_seed_gives_the_same_community(self) -> None:
        assert imagine(40, 156, 7) == community()

    def test_another_seed_gives_another(self) -> None:
        assert imagine(40, 156, 8).deliveries != community().deliveries

    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_there_are_as_many_people_as_were_asked_for(self, size: tuple[int, int, int]) -> None:
        people = community(*size).people
        assert [person.number for person in people] == list(range(size[0]))
        assert len({(person.platform, person.external_id) for person in people}) == size[0]

    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_deliveries_come_in_the_order_of_time(self, size: tuple[int, int, int]) -> None:
        moments = [delivery.at for delivery in community(*size).deliveries]
        assert moments == sorted(moments)
        assert moments[0] >= START

    def test_addresses_are_nobody_s(self) -> None:
        addresses = [person.email for person in community().people if person.email]
        assert all(address.endswith("@example.com") for address in addresses)
        assert len(set(addresses)) == len(addresses)

    def test_every_quirk_is_somebody_s(self) -> None:
        assert Counter(person.quirk for person in community().people if person.quirk) == dict.fromkeys(QUIRKS, 1)

    def test_all_three_platforms_send(self) -> None:
        assert {delivery.platform for delivery in of_kind("first")} == {"slack", "discourse", "standard"}


class TestZones:
    def test_people_live_in_at_least_six_time_zones(self) -> None:
        zones = {person.timezone for person in community().people}
        assert len(zones) >= 6
        assert all(map(is_zone, zones))

    def test_somebody_s_onboarding_crosses_a_change_of_the_clocks(self) -> None:
        def offset(person: Person, moment: datetime) -> timedelta | None:
            return moment.astimezone(ZoneInfo(person.timezone)).utcoffset()

        crossing = [
            person
            for person in community().people
            if offset(person, person.joins_at) != offset(person, min(person.joins_at, START) + timedelta(days=30))
        ]
        assert len({person.timezone for person in crossing}) >= 2

    def test_platforms_tell_each_member_s_own_zone(self) -> None:
        told = {
            Identity(event.platform, event.actor): event.profile.timezone
            for event in events(of_kind("first"))
            if isinstance(event, MemberJoined | MemberUpdated)
        }
        told = {who: zone for who, zone in told.items() if zone}
        people = {Identity(person.platform, person.external_id): person for person in community().people}
        assert {who: people[who].timezone for who in told if who in people} == {
            who: zone for who, zone in told.items() if who in people
        }
        assert len(told) > 30


class TestAtTheDoor:
    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_a_first_delivery_is_exactly_the_event_it_says(self, size: tuple[int, int, int]) -> None:
        wrong = []
        for delivery in of_kind("first", size):
            found = received(delivery)
            if isinstance(found, int) or [event.type for event in found] != [delivery.expect]:
                wrong.append((delivery.expect, delivery.body, found))
        assert wrong == []
        assert {delivery.status for delivery in of_kind("first", size)} == {202}

    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_first_deliveries_are_all_different_events(self, size: tuple[int, int, int]) -> None:
        ids = [event.id for event in events(of_kind("first", size))]
        assert len(set(ids)) == len(ids)

    @pytest.mark.shows(1, 2)
    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_a_delivery_sent_again_is_an_event_already_told(self, size: tuple[int, int, int]) -> None:
        told = {event.id for event in events(of_kind("first", size))}
        again = events(of_kind("duplicate", size))
        assert len(again) == len(of_kind("duplicate", size))
        assert {event.id for event in again} <= told

    def test_some_of_every_platform_come_twice(self) -> None:
        assert {delivery.platform for delivery in of_kind("duplicate")} == {"slack", "discourse", "standard"}

    def test_what_is_not_used_gives_no_event(self) -> None:
        assert [received(delivery) for delivery in of_kind("unused")] == [[]] * len(of_kind("unused"))
        assert {delivery.status for delivery in of_kind("unused")} == {200}

    def test_what_is_hostile_is_refused_as_it_should_be(self) -> None:
        assert [received(delivery) for delivery in of_kind("hostile")] == [one.status for one in of_kind("hostile")]
        assert {delivery.status for delivery in of_kind("hostile")} == {400, 401, 404, 413}

    def test_events_happened_when_they_were_sent(self) -> None:
        late = [
            (event.type, event.occurred_at)
            for delivery in of_kind("first")
            for event in events([delivery])
            if not timedelta(milliseconds=-1) < delivery.at - event.occurred_at < timedelta(seconds=1)
        ]
        assert late == []


@cache
def story(quirk: str) -> tuple[Person, list[CommunityEvent]]:
    """The person with a quirk, and what their platform tells of them."""
    person = next(person for person in community().people if person.quirk == quirk)
    mine = [event for event in events(of_kind("first")) if event.actor == person.external_id]
    return person, [event for event in mine if event.platform == person.platform]


def types(quirk: str) -> Counter[str]:
    return Counter(event.type for event in story(quirk)[1])


def second(event: CommunityEvent) -> datetime:
    """When it happened, but for the micros by which Slack tells messages of one time apart."""
    return event.occurred_at.replace(microsecond=0)


class TestStories:
    @pytest.mark.parametrize(("quirk", "reason"), [("leaves", "left"), ("is banned", "banned")])
    def test_who_goes_does_nothing_afterwards(self, quirk: str, reason: str) -> None:
        _, theirs = story(quirk)
        gone = next(event for event in theirs if event.type == "member.left")
        assert gone.reason in {reason, "removed"}
        assert all(event.occurred_at <= gone.occurred_at for event in theirs)

    def test_who_was_there_before_never_joins(self) -> None:
        assert types("was there before")["member.joined"] == 0
        assert types("was there before").total() > 0

    def test_staff_are_told_to_be_staff(self) -> None:
        [join] = [event for event in story("is staff")[1] if isinstance(event, MemberJoined)]
        assert join.profile.role == "staff"

    def test_an_address_comes_a_day_later(self) -> None:
        person, theirs = story("address comes later")
        profiles = [event for event in theirs if isinstance(event, MemberJoined | MemberUpdated)]
        assert [event.profile.email for event in profiles] == [None, person.email]
        assert profiles[1].occurred_at - profiles[0].occurred_at > timedelta(days=1)

    def test_who_never_gives_an_address_has_none(self) -> None:
        assert [
            event.profile.email for event in story("never gives an address")[1] if isinstance(event, MemberJoined)
        ] == [None]

    def test_who_posts_before_the_welcome_posts_as_they_join(self) -> None:
        _, theirs = story("posts before the welcome")
        assert min(theirs, key=lambda event: (event.occurred_at, event.type)).type == "member.joined"
        assert any(event.type == "post.created" and second(event) == second(theirs[0]) for event in theirs)

    def test_one_person_on_two_platforms_has_one_verified_address(self) -> None:
        person, _ = story("is on two platforms")
        joins = [
            event
            for event in events(of_kind("first"))
            if isinstance(event, MemberJoined | MemberUpdated)
            and event.profile.email == person.email
            and event.profile.email_verified
        ]
        assert {event.platform for event in joins} == {"slack", "discourse"}
        assert len({member_id_of(Identity(event.platform, event.actor)) for event in joins}) == 2


HOLDOUT_PERCENT = 10


@cache
def activity() -> dict[int, list[int]]:
    """By a person's number, the days from START on which they do something."""
    days: dict[tuple[str, str], list[int]] = {}
    for event in events(of_kind("first")):
        if event.type in ACTIVITY:
            days.setdefault((event.platform, event.actor), []).append((event.occurred_at - START).days)
    return {person.number: days.get((person.platform, person.external_id), []) for person in community().people}


def longest_silence(person: Person) -> int:
    joined = (person.joins_at - START).days
    known = [joined, *activity()[person.number], 156]
    return max(after - before for before, after in pairwise(known))


def group(person: Person) -> str:
    return group_of("reengagement", member_id_of(Identity(person.platform, person.external_id)), HOLDOUT_PERCENT)


class TestSilence:
    def test_most_fall_silent_and_some_stay(self) -> None:
        silent = [person for person in community().people if longest_silence(person) >= 31]
        assert 20 <= len(silent) <= 34

    def test_who_stays_is_never_away_for_a_month(self) -> None:
        staying = [person for person in community().people if person.silent_after is None and not person.quirk]
        assert len(staying) >= 8
        assert max(longest_silence(person) for person in staying) < 30

    @pytest.mark.parametrize("quirk", [name for name, story in STORIES.items() if story.returns_on])
    def test_who_comes_back_does_so_after_a_long_silence(self, quirk: str) -> None:
        person, _ = story(quirk)
        returns_on = STORIES[quirk].returns_on
        assert returns_on in activity()[person.number]
        assert not [day for day in activity()[person.number] if 5 < day < (returns_on or 0)]

    def test_a_tenth_are_held_out_and_some_of_them_silent(self) -> None:
        held_out = [person for person in community().people if group(person) == "held_out"]
        assert len(held_out) == 4
        assert sum(person.silent_after is not None for person in held_out) == 3

    def test_of_the_stories_only_the_one_of_it_is_held_out(self) -> None:
        assert {person.quirk for person in community().people if group(person) == "held_out"} - {""} == {"is held out"}

    def test_a_feature_a_guide_and_an_ama_are_published(self) -> None:
        assert {kind for _, kind, _ in NEWS} == {"feature", "guide", "ama"}
        assert Counter(delivery.expect for delivery in of_kind("first"))["content.published"] == len(NEWS) + 1


class TestFriends:
    def test_one_member_brings_more_than_ten(self) -> None:
        stays = [friend for friend in FRIENDS if friend.by == BRINGER and friend.leaves_on is None]
        assert len(stays) >= 10
        assert {friend.door for friend in stays} == {"link", "code", "invitation", "join page"}

    def test_whoever_brings_is_there_before_and_no_staff(self) -> None:
        people = community().people
        assert all(people[friend.by].joins_at < people[friend.number].joins_at for friend in community().friends)
        assert {people[number].quirk for number in (BRINGER, RIVAL, DOUBLE)} == {""}
        assert {people[number].silent_after for number in (BRINGER, RIVAL, DOUBLE)} == {None}

    def test_no_more_are_touched_at_once_than_is_seemly(self) -> None:
        mine = [friend for friend in FRIENDS if friend.by == BRINGER]
        moments = Counter(
            CLICKED_EARLY if friend.claimed_by else community().people[friend.number].joins_at for friend in mine
        )
        assert max(moments.values()) <= a_playbook().referrals.suspicion.an_hour
        assert len({moment.date() for moment in moments}) > 1

    def test_an_inviter_is_told_by_discourse(self) -> None:
        [invited] = [friend for friend in FRIENDS if friend.door == "invitation"]
        told = [one for one in events(of_kind("first")) if isinstance(one, MemberJoined) and one.invited_by]
        people = community().people
        assert [(one.actor, one.invited_by) for one in told] == [
            (people[invited.number].external_id, people[invited.by].external_id)
        ]

    def test_friends_take_part_as_they_join(self) -> None:
        friendly = {community().people[friend.number].external_id for friend in FRIENDS}
        first: dict[str, list[datetime]] = {}
        for event in events(of_kind("first")):
            if event.actor in friendly and event.type == "comment.created":
                first.setdefault(event.actor, []).append(second(event))
        joins = {person.external_id: person.joins_at for person in community().people}
        assert {actor: min(moments) for actor, moments in first.items()} == {actor: joins[actor] for actor in friendly}

    def test_one_leaves_within_the_hold(self) -> None:
        [leaver] = [friend for friend in FRIENDS if friend.leaves_on]
        person = community().people[leaver.number]
        [left] = [
            one for one in events(of_kind("first")) if one.type == "member.left" and one.actor == person.external_id
        ]
        assert timedelta(0) < left.occurred_at - person.joins_at < a_playbook().referrals.hold

    def test_who_brings_themselves_has_a_plus_tag(self) -> None:
        [own] = [friend for friend in FRIENDS if friend.by == DOUBLE]
        people = community().people
        assert people[own.number].email == f"member{DOUBLE}+friend@example.com"
        assert people[DOUBLE].email == f"member{DOUBLE}@example.com"

    @pytest.mark.parametrize(("members", "days"), [(20, 156), (40, 1)])
    def test_a_small_or_short_community_has_no_friends(self, members: int, days: int) -> None:
        assert friends(members, days) == []

    def test_a_smaller_community_has_only_whole_stories(self) -> None:
        numbers = {number for friend in friends(30, 156) for number in (friend.number, friend.by, friend.claimed_by)}
        assert max(number for number in numbers if number is not None) < 30
