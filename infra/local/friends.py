"""Who brings whom into the invented community, and by what door they come in. Only the cast: nothing happens here.

All are people without another story, and touched at few moments: six of one referrer within an hour would wait for
review, and every moment more is a step of time more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Door = Literal["link", "code", "invitation", "join page"]

BRINGER, RIVAL, DOUBLE = 22, 30, 38
"""Who brings most of them; who claims one of those too; who would bring themselves."""

EARLY, LATE = 2, 4
"""The hours, from when a day begins, at which people join."""


@dataclass(frozen=True, kw_only=True)
class Friend:
    """Somebody who is brought: `number` by `by`, the numbers of two people; they join at this `hour` of their day.

    `claimed_by` is somebody else whose link they follow later and whose code is told first. `leaves_on` is a day from
    START. `email` is what they give instead of an address of their own.
    """

    number: int
    by: int
    door: Door
    hour: int
    claimed_by: int | None = None
    leaves_on: int | None = None
    email: str | None = None


FRIENDS = (
    Friend(number=20, by=BRINGER, door="link", hour=LATE),
    Friend(number=26, by=BRINGER, door="code", hour=LATE),
    Friend(number=28, by=BRINGER, door="invitation", hour=LATE),
    Friend(number=32, by=BRINGER, door="link", hour=LATE),
    Friend(number=24, by=RIVAL, door="code", hour=LATE),
    Friend(number=27, by=BRINGER, door="link", hour=EARLY, claimed_by=RIVAL),
    Friend(number=21, by=BRINGER, door="code", hour=EARLY),
    Friend(number=23, by=BRINGER, door="join page", hour=EARLY),
    Friend(number=25, by=BRINGER, door="link", hour=EARLY),
    Friend(number=29, by=BRINGER, door="link", hour=LATE),
    Friend(number=33, by=BRINGER, door="code", hour=EARLY, leaves_on=5),
    Friend(number=39, by=DOUBLE, door="code", hour=EARLY, email=f"member{DOUBLE}+friend@example.com"),
    Friend(number=31, by=BRINGER, door="link", hour=LATE),
    Friend(number=35, by=BRINGER, door="code", hour=LATE),
    Friend(number=37, by=BRINGER, door="code", hour=LATE),
)

FRIENDS_BY_NUMBER = {friend.number: friend for friend in FRIENDS}

HOURS = dict.fromkeys((BRINGER, RIVAL, DOUBLE), EARLY) | {friend.number: friend.hour for friend in FRIENDS}
"""When on their day those in this story join: whoever brings is there before whom they bring."""


def friends(members: int, days: int) -> list[Friend]:
    """Those of the cast who are in a community of so many members; none in one of a single day."""
    return [friend for friend in FRIENDS if days > 1 and max(_numbers(friend)) < members]


def _numbers(friend: Friend) -> list[int]:
    return [number for number in (friend.number, friend.by, friend.claimed_by) if number is not None]
