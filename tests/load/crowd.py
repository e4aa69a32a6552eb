"""The people of one sender, and what is told of them: somebody joins, and those who are there do something.

Also how a delivery is recognised in the log, said without the receivers' code.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

from infra.local.people import NAMES, PLACES, Person, Platform
from infra.local.voices import Delivery, Voice
from shared.events import CommunityEvent

PLATFORMS: tuple[Platform, ...] = ("slack", "discourse", "standard")

JOINS = 0.15
"""So often somebody new is told of."""

UNTIMED = {("discourse", "reaction.added"), ("discourse", "member.updated")}
"""What a platform tells without saying when it was."""


class Told(NamedTuple):
    """One event as both sides know it; `at` is None where the platform told no time."""

    platform: str
    actor: str
    type: str
    at: datetime | None


def told_by(event: CommunityEvent) -> Told:
    """What an event of the log was told by."""
    return Told(event.platform, event.actor, event.type, event.occurred_at if event.timed else None)


@dataclass(frozen=True)
class Post:
    """A delivery, and the event that it must leave in the log."""

    delivery: Delivery
    told: Told


@dataclass
class Crowd:
    """Every `step`-th person from `first` on, so that no two senders tell of the same one."""

    random: Random
    first: int
    step: int
    voices: list[Voice] = field(default_factory=list)
    _coming: deque[Voice] = field(default_factory=deque)
    _acts: int = 0

    def post(self, now: datetime) -> Post:
        """The next thing that happens."""
        at = _writable(now)
        if self._coming:
            voice = self._coming.popleft()
            return _post(voice, voice.confirms(at))
        if not self.voices or self.random.random() < JOINS:
            return self._join(at)
        return self.act(at)

    def act(self, now: datetime) -> Post:
        """Somebody who is there does something."""
        voice = self.random.choice(self.voices)
        self._acts += 1  # the clock moves in steps, and nobody does two things at once
        return _post(voice, voice.acts(_writable(now) + timedelta(milliseconds=self._acts % 200)))

    def _join(self, at: datetime) -> Post:
        person = self._person(self.first + self.step * len(self.voices), at)
        voice = Voice(person, self.random)
        self.voices.append(voice)
        if person.platform == "discourse":  # which vouches for an address later
            self._coming.append(voice)
        return _post(voice, voice.joins(at, person.email))

    def _person(self, number: int, at: datetime) -> Person:
        zone, locale = self.random.choice(PLACES)
        return Person(
            number=number,
            name=self.random.choice(NAMES[locale]),
            email=f"member{number}@example.com",
            timezone=zone,
            locale=locale,
            platform=PLATFORMS[number % len(PLATFORMS)],
            joins_at=at,
        )


def _writable(now: datetime) -> datetime:
    """A moment as every platform's way to write it keeps it."""
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _post(voice: Voice, delivery: Delivery) -> Post:
    kind = delivery.expect or ""
    said = delivery.platform == "slack" and kind in {"post.created", "comment.created"}
    at = None if (delivery.platform, kind) in UNTIMED else voice.said_at(delivery.at) if said else delivery.at
    return Post(delivery, Told(delivery.platform, voice.person.external_id, kind, at))
