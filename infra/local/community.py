"""A small invented community, as the webhooks its platforms would send: the same for the same seed.

Most of its people are busy in the first weeks; then many fall silent, and some of those come back. Some bring friends:
what those do in a browser is no webhook, and not told here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

from infra.local.backend import backend
from infra.local.friends import Friend, friends
from infra.local.people import START, Person, person
from infra.local.voices import Delivery, Voice, as_json, iso, slack_ts

EVENINGS = (5, 11, 19, 25, 33, 53, 75, 95, 117, 139)
"""The days from START on which the community meets: never further apart than those who stay may be silent."""

NEWS = (
    (11, "guide", "A first plane, and how to keep it sharp"),
    (19, "feature", "A tool library: borrow what you need for a weekend"),
    (25, "ama", "Ask a bookbinder anything"),
)
"""What the owner's own back end tells of being published: day, kind, title."""

ANNOUNCED = (53, "Weekend benches can now be booked from your phone")
"""A topic of the forum with the tag that makes it news: day, title."""

AS_A_FRIEND = 500
"""From where on what somebody does as a friend is numbered, apart from the rest of their life."""


@dataclass(frozen=True)
class Community:
    """The people, everything their platforms send, in order of time, and who of them is brought by whom."""

    people: list[Person]
    deliveries: list[Delivery]
    friends: list[Friend]


def imagine(members: int, days: int, seed: int) -> Community:
    """A community of `members` people over `days` days from START."""
    random = Random(seed)  # noqa: S311 - an invented community, not a secret
    people = [person(number, random, days) for number in range(members)]
    brought = friends(members, days)
    inviters = {friend.number: people[friend.by] for friend in brought if friend.door == "invitation"}
    sent = [delivery for one in people for delivery in _life(one, random, days, inviters.get(one.number))]
    sent += [delivery for friend in brought for delivery in _as_a_friend(people[friend.number], friend, random)]
    sent += [_published(number, *news) for number, news in enumerate(NEWS) if news[0] < days]
    sent += [_announced(*ANNOUNCED)] if ANNOUNCED[0] < days else []
    sent += backend(people, EVENINGS, days)
    sent += _noise(random, days)
    sent += [_again(delivery, random) for delivery in sent if delivery.kind == "first" and random.random() < 0.15]
    in_time = sorted(sent, key=lambda delivery: (delivery.at, delivery.platform, delivery.body))
    return Community(people, in_time, brought)


def _life(person: Person, random: Random, days: int, inviter: Person | None) -> Iterator[Delivery]:
    """Everything that a person's platform tells of them."""
    voice, story = Voice(person, random), person.story
    yield from (replace(delivery, prompt=True) for delivery in _arrival(person, voice, inviter))
    yield from (voice.acts(at) for at in _busy(person, random, days))
    if story.returns_on is not None and story.returns_on < days:
        yield replace(voice.writes(START + timedelta(days=story.returns_on, hours=9), parent="1"), prompt=True)
    if story.leaves_on is not None:
        yield replace(voice.leaves(START + timedelta(days=story.leaves_on, hours=2)), prompt=True)


def _as_a_friend(person: Person, friend: Friend, random: Random) -> Iterator[Delivery]:
    """What whoever is brought does besides: says hello as they join, so that all their holds end at few moments."""
    voice = Voice(person, random, serial=AS_A_FRIEND)
    yield replace(voice.writes(person.joins_at, parent="1"), prompt=True)
    if friend.leaves_on is not None:
        yield replace(voice.leaves(START + timedelta(days=friend.leaves_on, hours=2)), prompt=True)


def _arrival(person: Person, voice: Voice, inviter: Person | None) -> Iterator[Delivery]:
    at, quirk = person.joins_at, person.quirk
    if quirk == "was there before":
        yield voice.writes(at)
        return
    email = None if quirk == "address comes later" else person.email
    yield voice.joins(at, email=email, invited_by=inviter.external_id if inviter else None)
    if quirk == "address comes later":
        yield voice.changes(at + timedelta(hours=26))
    if person.platform == "discourse":
        yield voice.confirms(at)
    if quirk == "posts before the welcome":
        yield voice.writes(at)
    if quirk == "is on two platforms":
        twin = replace(person, platform="slack")
        yield Voice(twin, voice.random).joins(at + timedelta(days=2), email=person.email)


def _busy(person: Person, random: Random, days: int) -> Iterator[datetime]:
    """The moments at which a person does something on an evening of the community's."""
    zone = ZoneInfo(person.timezone)
    for evening in EVENINGS:
        clock, absent = time(random.randrange(10, 20), random.randrange(60)), random.random() < 0.4
        if evening < days and _is_there(person, evening) and not (absent and _may_miss(person, evening)):
            yield datetime.combine(_day(evening), clock, zone).astimezone(UTC)


def _is_there(person: Person, day: int) -> bool:
    story = person.story
    if story.leaves_on is not None and day >= story.leaves_on:
        return False
    returned = story.returns_on is not None and day > story.returns_on
    return returned or person.silent_after is None or day <= person.silent_after


def _may_miss(person: Person, evening: int) -> bool:
    """Whoever misses an early evening is there at the next; after that, one missed is a silence already."""
    return evening < EVENINGS[3] and evening != person.silent_after


def _day(number: int) -> date:
    return START.date() + timedelta(days=number)


def _published(number: int, day: int, kind: str, title: str) -> Delivery:
    at = START + timedelta(days=day, hours=6)
    page = f"https://community.example.com/{kind}/{number}"
    told = {"kind": kind, "title": title, "url": page, "published_at": iso(at)}
    body = as_json({"type": "content.published", "timestamp": iso(at), "data": told})
    headers = {"webhook-id": f"msg_news_{number}"}
    return Delivery(at=at, platform="standard", body=body, headers=headers, expect="content.published")


def _again(delivery: Delivery, random: Random) -> Delivery:
    """The platform did not hear our answer and sends it once more: Discourse as an event with a new id."""
    headers = dict(delivery.headers)
    if delivery.platform == "slack":
        headers |= {"x-slack-retry-num": "1", "x-slack-retry-reason": "http_timeout"}
    if delivery.platform == "discourse":
        headers["x-discourse-event-id"] = str(900_000 + random.randrange(100_000))
    at = delivery.at + timedelta(minutes=random.choice((1, 5, 25)))
    return Delivery(at=at, platform=delivery.platform, body=delivery.body, headers=headers, kind="duplicate")


def _announced(day: int, title: str) -> Delivery:
    at = START + timedelta(days=day, hours=6)
    topic = {"id": 4711, "title": title, "slug": "benches", "tags": ["announcement"], "archetype": "regular"}
    topic |= {"created_at": iso(at), "user_id": -1, "visible": True}
    headers = {
        "x-discourse-instance": "https://forum.example.com",
        "x-discourse-event-id": "800001",
        "x-discourse-event-type": "topic",
        "x-discourse-event": "topic_created",
    }
    body = as_json({"topic": topic})
    return Delivery(at=at, platform="discourse", body=body, headers=headers, expect="content.published")


def _noise(random: Random, days: int) -> list[Delivery]:
    """What else reaches a public address: deliveries we do not use, and ones that are nobody's."""
    noise = []
    for number, day in enumerate(day for day in EVENINGS if day < days):
        at = START + timedelta(days=day, minutes=random.randrange(24 * 60))
        noise += [_unused(at, number), _hostile(at, 2 * number), _hostile(at, 2 * number + 1)]
    return noise


def _unused(at: datetime, number: int) -> Delivery:
    message = {"type": "message", "channel": "C0001", "channel_type": "channel", "text": "beep", "ts": slack_ts(at)}
    event = (
        message | {"user": "U0B0T", "bot_id": "B1"},
        message | {"user": "U0001", "channel": "D1", "channel_type": "im"},
        message | {"subtype": "message_changed", "hidden": True, "message": {"text": "beep"}},
    )[number % 3]
    outer = {"type": "event_callback", "team_id": "T1", "event_time": int(at.timestamp()), "event_id": f"Ev9{number}"}
    return Delivery(at=at, platform="slack", body=as_json(outer | {"event": event}), kind="unused", status=200)


def _hostile(at: datetime, number: int) -> Delivery:
    body = as_json({"type": "event_callback", "event_id": f"Evil{number}", "event": {"type": "team_join"}})
    match number % 5:
        case 0:
            return Delivery(at=at, platform="slack", body=body, kind="hostile", status=401, forged=True)
        case 1:
            stale = at - timedelta(minutes=6)
            return Delivery(at=at, platform="slack", body=body, kind="hostile", status=401, signed_at=stale)
        case 2:
            return Delivery(at=at, platform="slack", body=b'{"type": "event_cal', kind="hostile", status=400)
        case 3:
            return Delivery(at=at, platform="slack", body=b"x" * (256 * 1024 + 1), kind="hostile", status=413)
        case _:
            return Delivery(at=at, platform="myspace", body=body, kind="hostile", status=404, forged=True)
