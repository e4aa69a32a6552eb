"""Who is in the invented community: the same people for the same seed, and some whose stories are worth telling."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Literal

from infra.local.friends import EARLY, FRIENDS_BY_NUMBER, HOURS, LATE

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
BERLIN, MOSCOW, NEW_YORK, KOLKATA, YEKATERINBURG, LOS_ANGELES, SYDNEY, TOKYO = range(len(PLACES))

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

SILENT_AFTER = {BERLIN: 2, MOSCOW: 2, NEW_YORK: 2, KOLKATA: 5, YEKATERINBURG: 5, LOS_ANGELES: 19}
"""The day after which people of a place do nothing more; elsewhere they stay.

By place, so that those who are missed on one day at their ten o'clock are missed at one moment.
"""

Platform = Literal["slack", "discourse", "standard"]


@dataclass(frozen=True, kw_only=True)
class Story:
    """What is special about somebody: where they are, and what befalls them, in days from START."""

    platform: Platform | None = None
    place: int | None = None
    returns_on: int | None = None
    leaves_on: int | None = None


STORIES = {
    "posts before the welcome": Story(platform="slack"),
    "leaves": Story(platform="slack", leaves_on=5),
    "is staff": Story(platform="slack"),
    "address comes later": Story(platform="slack", place=SYDNEY),  # where it comes in the evening
    "never gives an address": Story(platform="standard"),
    "is on two platforms": Story(platform="discourse"),
    "was there before": Story(),
    "unsubscribes": Story(platform="standard"),
    "answers the survey": Story(platform="standard"),
    "is banned": Story(platform="discourse", leaves_on=5),
    "comes back when asked": Story(platform="discourse", place=BERLIN, returns_on=34),
    "comes back at the second asking": Story(platform="slack", place=BERLIN, returns_on=79),
    "comes back by themselves": Story(platform="standard", place=BERLIN, returns_on=152),
    "is held out": Story(platform="slack", place=MOSCOW),
    "leaves while silent": Story(platform="slack", place=MOSCOW, leaves_on=40),
    "bounces": Story(platform="standard", place=MOSCOW),
    "complains": Story(platform="discourse", place=NEW_YORK),
    "mailbox is full": Story(platform="slack", place=NEW_YORK),
}
QUIRKS = tuple(STORIES)


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody of the community; `quirk` is what makes their story worth telling.

    `silent_after` is the day from START after which they do nothing of their own accord, if there is one.
    """

    number: int
    name: str
    email: str | None
    timezone: str
    locale: str
    platform: Platform
    joins_at: datetime
    quirk: str = ""
    silent_after: int | None = None

    @property
    def external_id(self) -> str:
        """Their id on their platform. By it, a tenth of the people are held out, one with that quirk among them."""
        number = self.number
        return {"slack": f"UB{number:03}", "discourse": f"{100 + number}", "standard": f"customer-{number}"}[
            self.platform
        ]

    @property
    def story(self) -> Story:
        """What is special about them."""
        return STORIES.get(self.quirk, Story())


def person(number: int, random: Random, days: int) -> Person:
    """The person of this number, who joins within the first two of `days` days."""
    quirk = QUIRKS[number - 2] if 2 <= number < 2 + len(QUIRKS) else ""
    story = STORIES.get(quirk, Story())
    place = number % len(PLACES) if story.place is None else story.place
    zone, locale = PLACES[place]
    return Person(
        number=number,
        name=NAMES[locale][number // 2 % len(NAMES[locale])],
        email=None if quirk == "never gives an address" else _email(number),
        timezone=zone,
        locale=locale,
        platform=story.platform or ("slack", "discourse", "standard")[number % 3],
        joins_at=_joins_at(place, random, days, HOURS.get(number)),
        quirk=quirk,
        silent_after=None if place == NEW_YORK and not quirk else SILENT_AFTER.get(place),
    )


def _email(number: int) -> str:
    friend = FRIENDS_BY_NUMBER.get(number)
    return (friend and friend.email) or f"member{number}@example.com"


def _joins_at(place: int, random: Random, days: int, hour: int | None) -> datetime:
    """At one of few moments, which are the same calendar day everywhere; at that hour where it matters."""
    day, any_hour = place % 2 if days > 1 else 0, random.choice((EARLY, LATE))
    return START + timedelta(days=day, hours=hour or any_hour)
