"""What the outside does to a small community in some months, drawn from a seed: the same whatever the machine does.

Nobody here knows anything of faults: a plan is lived through twice, once with them and once without.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Literal

from shared.model import Identity, member_id_of
from tests.builders import at

START = at("2030-03-01T09:00Z")
"""Europe's clocks go forward in the first month."""

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
MEASURED = 40
"""Of so many seeds one is measured, too, which is most of what it costs then."""

LENGTH = 66 * DAY
"""As long as it takes to fall silent for a month after onboarding."""

ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland", None)

What = Literal["told", "refuses", "bounces", "softly", "complains", "edited", "measured", "reported"]


@dataclass(frozen=True, order=True)
class Move:
    """Something that the outside does at a moment; `who` is whom it is about, `events` what is told."""

    at: datetime
    what: What
    who: str = ""
    number: int = 0
    events: list[dict[str, Any]] = field(default_factory=list, compare=False)


@dataclass(frozen=True)
class Person:
    """Somebody: on one platform, or on two with the same address; `email` None where it is never told."""

    name: str
    joins: datetime
    email: str | None
    zone: str | None
    second: datetime | None
    brought_by: str | None

    @property
    def member_id(self) -> str:
        """The member that their first identity makes."""
        return member_id_of(Identity("shop", self.name))


@dataclass(frozen=True)
class Plan:
    """A seed's community: its people, and everything that happens, in the order in which it is told."""

    seed: int
    measured: bool
    people: list[Person]
    moves: list[Move]

    @property
    def until(self) -> datetime:
        """When nothing more comes from outside."""
        return START + LENGTH


def plan(seed: int) -> Plan:
    """The plan of a seed."""
    chance = Random(f"plan {seed}")  # noqa: S311 - chance, no secret
    people = list(_people(chance))
    moves = [move for person in people for move in _life(person, chance)]
    measured = seed % MEASURED == 0
    moves += [Move(START + number * 9 * DAY + HOUR, "measured") for number in range(1, 7 if measured else 0)]
    moves += [Move(START + 31 * DAY, "reported")] if measured else []
    moves += [Move(START + chance.random() * LENGTH, "edited")] if chance.random() < 0.3 else []
    # Some things are told late, some twice, and so out of their order.
    told = [_late(move, chance) for move in moves]
    again = [Move(move.at + chance.random() * 4 * DAY, "told", move.who, move.number, move.events) for move in told
             if move.what == "told" and chance.random() < 0.15]  # fmt: skip
    return Plan(seed, measured, people, sorted(move for move in told + again if move.at < START + LENGTH))


def _late(move: Move, chance: Random) -> Move:
    if move.what != "told" or chance.random() > 0.1:
        return move
    return Move(move.at + chance.random() * 3 * DAY, "told", move.who, move.number, move.events)


def _people(chance: Random) -> Iterator[Person]:
    known: list[str] = []
    for name in ("ada", "bo", "cy", "di")[: chance.choice((2, 2, 3, 3, 4))]:
        joins = START + chance.random() * 12 * DAY
        email = f"{name}@example.com" if chance.random() < 0.85 else None
        second = joins + chance.random() * 20 * DAY if email and chance.random() < 0.25 else None
        brought_by = chance.choice(known) if known and chance.random() < 0.6 else None
        yield Person(name, joins, email, chance.choice(ZONES), second, brought_by)
        known.append(name)


def _life(person: Person, chance: Random) -> Iterator[Move]:
    """What one person does, told by their platform or by the shop."""
    told = _Told(person)
    profile = {"email": person.email, "email_verified": True} if person.email and chance.random() < 0.8 else {}
    yield told.move(person.joins, "member.joined", actor=profile | {"name": person.name, "timezone": person.zone})
    if person.email and not profile:
        later = person.joins + chance.random() * 5 * DAY
        yield told.move(later, "member.updated", actor={"email": person.email, "email_verified": True})
    if person.second:
        proof = {"email": person.email, "email_verified": True}
        yield told.move(person.second, "member.joined", platform="forum", actor=proof)
    if person.brought_by:
        yield told.move(person.joins + MINUTE, "referral.signed_up", brought_by=person.brought_by)
    for _ in range(chance.choice((0, 1, 3, 5))):
        kind = chance.choice(("post.created", "comment.created", "reaction.added"))
        moment = person.joins + chance.random() ** 2 * 50 * DAY
        platform = "forum" if person.second and moment > person.second and chance.random() < 0.5 else "shop"
        yield told.move(moment, kind, platform=platform, object=f"{person.name}-{moment:%d%H%M%S}")
    yield from _turns(person, told, chance)


def _turns(person: Person, told: _Told, chance: Random) -> Iterator[Move]:
    """What does not happen to everybody."""
    some_day = person.joins + chance.random() * 45 * DAY
    drawn = chance.random()
    if drawn < 0.12:
        yield told.move(some_day, "member.left", reason=chance.choice(("left", "banned")))
    elif drawn < 0.2:
        yield told.move(some_day, "survey.answered", score=chance.randrange(11), object="survey")
    elif drawn < 0.4:
        yield Move(some_day, chance.choice(("refuses", "bounces", "softly", "complains")), person.name)
    elif drawn < 0.5:
        yield told.move(some_day, "purchase.made", object=f"order-{person.name}", amount=900, currency="EUR")


class _Told:
    """Numbers what is told of a person."""

    def __init__(self, person: Person) -> None:
        self.person, self.number = person, 0

    def move(self, moment: datetime, kind: str, *, platform: str = "shop", **more: Any) -> Move:
        """Told as it happens."""
        self.number += 1
        actor = {"id": self.person.name, **{k: v for k, v in more.pop("actor", {}).items() if v is not None}}
        data = {"platform": platform, "actor": actor, **more}
        event = {"type": kind, "timestamp": moment.isoformat(), "data": data}
        return Move(moment + timedelta(seconds=20), "told", self.person.name, self.number, [event])
