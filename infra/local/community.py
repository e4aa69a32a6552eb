"""A small invented community, as the webhooks its platforms would send: the same for the same seed.

Shares no code with the receivers: what it expects of them it says itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any, Literal
from zoneinfo import ZoneInfo

START = datetime(2026, 10, 5, 6, tzinfo=UTC)
"""A Monday three weeks before Europe's clocks go back, four before America's."""

PLACES = (
    ("Europe/Berlin", "de"),
    ("Europe/Moscow", "ru"),
    ("America/New_York", "en"),
    ("Asia/Kolkata", "en"),
    ("Asia/Yekaterinburg", "ru"),
    ("America/Los_Angeles", "en"),
    ("Australia/Sydney", "en"),
    ("Asia/Tokyo", "ja"),
)
NAMES = {
    "ru": ("Пётр Соколов", "Ольга Ветрова", "Илья Громов", "Мария Орлова", "Дарья Лис", "Кирилл Волков"),
    "ja": ("Haru Ito", "Emi Sato", "Ken Mori"),
    "de": ("Anna Berg", "Lena Vogt", "Kurt Weiss", "Jonas Falk"),
    "en": (
        "Maya Torres", "Ravi Menon", "Sam O'Neill", "Chloe Nguyen", "Tom Whitfield", "Priya Nair",
        "Jack Sutton", "Noor Haddad", "Grace Ellery", "Owen Park", "Isla Reed", "Theo Marsh",
    ),
}  # fmt: skip
"""Names as people of these languages bear them."""

Platform = Literal["slack", "discourse", "standard"]
Kind = Literal["first", "duplicate", "unused", "hostile"]


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody of the community; `quirk` is what makes their story worth telling."""

    number: int
    name: str
    email: str | None
    timezone: str
    locale: str
    platform: Platform
    joins_at: datetime
    quirk: str = ""

    @property
    def external_id(self) -> str:
        """Their id on their platform."""
        return {"slack": f"U{self.number:04}", "discourse": str(100 + self.number), "standard": f"shop-{self.number}"}[
            self.platform
        ]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One webhook as its platform sends it.

    `expect` is the event type it must add to the log, if any; `status` the answer it must get. `signed_at` differs from
    `at` for a stale one, `forged` is one with a bad signature. A `prompt` one is sent at once, others may lie a while.
    """

    at: datetime
    platform: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    kind: Kind = "first"
    expect: str | None = None
    status: int = 202
    signed_at: datetime | None = None
    forged: bool = False
    prompt: bool = False


@dataclass(frozen=True)
class Community:
    """The people, and everything their platforms send, in order of time."""

    people: list[Person]
    deliveries: list[Delivery]


QUIRKS = (
    "posts before the welcome",
    "leaves",
    "is staff",
    "address comes later",
    "never gives an address",
    "is on two platforms",
    "was there before",
    "unsubscribes",
    "answers the survey",
    "is banned",
)


def imagine(members: int, days: int, seed: int) -> Community:
    """A community of `members` people over `days` days from START."""
    random = Random(seed)  # noqa: S311 - an invented community, not a secret
    people = [_person(number, random, days) for number in range(members)]
    sent = [delivery for person in people for delivery in _Life(person, random, days).deliveries()]
    sent += _noise(random, days)
    sent += [_again(delivery, random) for delivery in sent if delivery.kind == "first" and random.random() < 0.15]
    return Community(people, sorted(sent, key=lambda delivery: (delivery.at, delivery.platform, delivery.body)))


def _person(number: int, random: Random, days: int) -> Person:
    zone, locale = PLACES[number % len(PLACES)]
    quirk = QUIRKS[number - 2] if 2 <= number < 2 + len(QUIRKS) else ""
    joins_within = min(days, 4 if number % 3 else 8) * 24 // (3 if quirk else 1)
    platform: Platform = ("slack", "discourse", "standard")[number % 3]
    if quirk in {"is staff", "address comes later", "leaves", "posts before the welcome"}:
        platform = "slack"
    if quirk in {"is banned", "is on two platforms"}:
        platform = "discourse"
    if quirk in {"never gives an address", "answers the survey", "unsubscribes"}:
        platform = "standard"
    return Person(
        number=number,
        name=NAMES[locale][number // 2 % len(NAMES[locale])],
        email=None if quirk == "never gives an address" else f"member{number}@example.com",
        timezone=zone,
        locale=locale,
        platform=platform,
        joins_at=START + timedelta(hours=random.randrange(0, joins_within, 6)),
        quirk=quirk,
    )


class _Life:
    """What one person does, told by their platform."""

    def __init__(self, person: Person, random: Random, days: int) -> None:
        self.person = person
        self.random = random
        self.end = START + timedelta(days=days)
        self.serial = 0

    def deliveries(self) -> Iterator[Delivery]:
        """Everything their platform tells of them."""
        yield from (replace(delivery, prompt=True) for delivery in self._arrival())
        yield from self._activity()
        yield from (replace(delivery, prompt=True) for delivery in self._ending())

    def _arrival(self) -> Iterator[Delivery]:
        person, quirk = self.person, self.person.quirk
        if quirk == "was there before":
            yield self._writes(person.joins_at)
            return
        yield self.joins(person.joins_at, email=None if quirk == "address comes later" else person.email)
        if quirk == "address comes later":
            yield self._changes(person.joins_at + timedelta(hours=26))
        if person.platform == "discourse":
            yield self._confirms(person.joins_at)
        if quirk == "posts before the welcome":
            yield self._writes(person.joins_at)
        if quirk == "is on two platforms":
            twin = Person(**{**vars(person), "platform": "slack"})
            yield _Life(twin, self.random, 0).joins(person.joins_at + timedelta(days=2), email=person.email)

    def _activity(self) -> Iterator[Delivery]:
        zone, keenness = ZoneInfo(self.person.timezone), self.random.uniform(0.05, 0.25)
        day = (self.person.joins_at + timedelta(days=1)).astimezone(zone).date()
        while day < self.end.astimezone(zone).date() - timedelta(days=1):
            if self.random.random() < keenness and not self._gone(day):
                clock = time(self.random.randrange(8, 22), self.random.randrange(60))
                happened = datetime.combine(day, clock, zone).astimezone(UTC)
                yield self._acts(happened)
            day += timedelta(days=1)

    def _gone(self, day: date) -> bool:
        return self.person.quirk in {"leaves", "is banned"} and day > (self.person.joins_at + timedelta(days=4)).date()

    def _ending(self) -> Iterator[Delivery]:
        at = self.person.joins_at + timedelta(days=5)
        if self.person.quirk == "leaves":
            yield self._slack(
                {"type": "user_change", "user": self._slack_user(None) | {"deleted": True}}, at, "member.left"
            )
        if self.person.quirk == "is banned":
            yield self._discourse("user_suspended", {"user": self._account()}, at, "member.left")

    def joins(self, at: datetime, email: str | None) -> Delivery:
        """The delivery that tells of them joining."""
        if self.person.platform == "slack":
            return self._slack({"type": "team_join", "user": self._slack_user(email)}, at, "member.joined")
        if self.person.platform == "discourse":
            account = self._account() | {"active": False, "created_at": _iso(at)}
            return self._discourse("user_created", {"user": account}, at, "member.joined")
        return self._standard("member.joined", {}, at, profile=True)

    def _changes(self, at: datetime) -> Delivery:
        return self._slack({"type": "user_change", "user": self._slack_user(self.person.email)}, at, "member.updated")

    def _confirms(self, at: datetime) -> Delivery:
        return self._discourse("user_confirmed_email", {"user": self._account()}, at, "member.updated")

    def _acts(self, at: datetime) -> Delivery:
        match self.random.choices(("writes", "answers", "likes"), (2, 5, 3))[0]:
            case "writes":
                return self._writes(at)
            case "answers":
                return self._writes(at, parent=f"{self.random.randrange(1, 30)}")
            case _:
                return self._likes(at)

    def _writes(self, at: datetime, parent: str | None = None) -> Delivery:
        kind = "comment.created" if parent else "post.created"
        if self.person.platform == "slack":
            message = {
                "type": "message",
                "channel": "C0001",
                "channel_type": "channel",
                "user": self.person.external_id,
            }
            message |= {"text": "Has anybody tried this? :tada:", "ts": _ts(at)}
            thread = {"thread_ts": _ts(START - timedelta(days=int(parent)))} if parent else {}
            return self._slack(message | thread, at, kind)
        if self.person.platform == "discourse":
            number = self._next()
            post = {
                "id": number,
                "user_id": int(self.person.external_id),
                "raw": "Has anybody tried this?",
                "post_type": 1,
            }
            post |= {
                "created_at": _iso(at),
                "topic_id": int(parent or number),
                "category_id": 5,
                "topic_archetype": "regular",
            }
            return self._discourse("post_created", {"post": post | {"post_number": 2 if parent else 1}}, at, kind)
        return self._standard(
            kind, {"text": "Has anybody tried this?", "object": str(self._next()), "parent": parent}, at
        )

    def _likes(self, at: datetime) -> Delivery:
        if self.person.platform == "slack":
            item = {"type": "message", "channel": "C0001", "ts": _ts(START)}
            reaction = {"type": "reaction_added", "user": self.person.external_id, "reaction": "heart", "item": item}
            return self._slack(reaction | {"event_ts": _ts(at)}, at, "reaction.added")
        if self.person.platform == "discourse":
            post = {"id": self._next(), "topic_id": 1, "post_number": 2, "post_type": 1, "topic_archetype": "regular"}
            liker = {"id": int(self.person.external_id), "username": f"member{self.person.number}"}
            return self._discourse("post_liked", {"like": {"post": post, "user": liker}}, at, "reaction.added")
        return self._standard("reaction.added", {"emoji": "heart", "object": "1"}, at)

    def _next(self) -> int:
        self.serial += 1
        return self.person.number * 1000 + self.serial

    def _slack_user(self, email: str | None) -> dict[str, Any]:
        person = self.person
        profile = {"real_name": person.name, "display_name": "", **({"email": email} if email else {})}
        return {
            "id": person.external_id,
            "real_name": person.name,
            "tz": person.timezone,
            "locale": person.locale,
            "is_bot": False,
            "deleted": False,
            "is_admin": person.quirk == "is staff",
            "profile": profile,
        }

    def _account(self) -> dict[str, Any]:
        person = self.person
        return {
            "id": int(person.external_id),
            "username": f"member{person.number}",
            "name": person.name,
            "email": person.email,
            "locale": person.locale,
            "user_option": {"timezone": person.timezone},
            "active": True,
        }

    def _slack(self, event: dict[str, Any], at: datetime, expect: str) -> Delivery:
        outer = {"type": "event_callback", "team_id": "T1", "api_app_id": "A1", "event_time": int(at.timestamp())}
        outer |= {"event_id": f"Ev{self.person.number:04}{self._next():07}", "event": {"event_ts": _ts(at)} | event}
        return Delivery(at=at, platform="slack", body=_json(outer), expect=expect)

    def _discourse(self, name: str, body: dict[str, Any], at: datetime, expect: str) -> Delivery:
        headers = {
            "x-discourse-instance": "https://forum.example.com",
            "x-discourse-event-id": str(self._next()),
            "x-discourse-event-type": next(iter(body)),
            "x-discourse-event": name,
        }
        return Delivery(at=at, platform="discourse", body=_json(body), headers=headers, expect=expect)

    def _standard(self, kind: str, told: dict[str, Any], at: datetime, *, profile: bool = False) -> Delivery:
        person = self.person
        actor: dict[str, Any] = {"id": person.external_id}
        if profile:
            actor |= {"name": person.name, "timezone": person.timezone, "locale": person.locale}
            actor |= {"email": person.email} if person.email else {}
        told = {name: value for name, value in told.items() if value is not None} | {"actor": actor}
        body = {"type": kind, "timestamp": _iso(at), "data": told}
        headers = {"webhook-id": f"msg_{person.number}_{self._next()}"}
        return Delivery(at=at, platform="standard", body=_json(body), headers=headers, expect=kind)


def _again(delivery: Delivery, random: Random) -> Delivery:
    """The platform did not hear our answer and sends it once more: Discourse as an event with a new id."""
    headers = dict(delivery.headers)
    if delivery.platform == "slack":
        headers |= {"x-slack-retry-num": "1", "x-slack-retry-reason": "http_timeout"}
    if delivery.platform == "discourse":
        headers["x-discourse-event-id"] = str(900_000 + random.randrange(100_000))
    at = delivery.at + timedelta(minutes=random.choice((1, 5, 25)))
    return Delivery(at=at, platform=delivery.platform, body=delivery.body, headers=headers, kind="duplicate")


def _noise(random: Random, days: int) -> list[Delivery]:
    """What else reaches a public address: deliveries we do not use, and ones that are nobody's."""
    noise = []
    for day in range(days):
        at = START + timedelta(days=day, minutes=random.randrange(24 * 60))
        noise += [_unused(at, day), _hostile(at, day)]
    return noise


def _unused(at: datetime, day: int) -> Delivery:
    message = {"type": "message", "channel": "C0001", "channel_type": "channel", "text": "beep", "ts": _ts(at)}
    event = (
        message | {"user": "U0B0T", "bot_id": "B1"},
        message | {"user": "U0001", "channel": "D1", "channel_type": "im"},
        message | {"subtype": "message_changed", "hidden": True, "message": {"text": "beep"}},
    )[day % 3]
    outer = {"type": "event_callback", "team_id": "T1", "event_time": int(at.timestamp()), "event_id": f"Ev9{day}"}
    return Delivery(at=at, platform="slack", body=_json(outer | {"event": event}), kind="unused", status=200)


def _hostile(at: datetime, day: int) -> Delivery:
    body = _json({"type": "event_callback", "event_id": f"Evil{day}", "event": {"type": "team_join"}})
    match day % 5:
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


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _ts(at: datetime) -> str:
    return f"{int(at.timestamp())}.{at.microsecond:06}"
