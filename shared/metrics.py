"""What is measured of a community: every figure as a pure function, with its unit and its definition. Knows no store.

Days are local to the community's zone. Whoever is counted is a person, by ordinal: two members who proved to be one are
one, and bots and staff are nobody. Where there is nothing to measure a figure is None, which is told as "no data".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal

from pyroaring import BitMap

from shared.events import Frozen

Figure = int | float | dict[str, int] | None
"""A number; minor units by currency; or None where there is no data."""

Figures = dict[str, Figure]

PeriodKind = Literal["day", "week", "month"]


@dataclass(frozen=True, order=True)
class Period:
    """A local day, an ISO week (Monday to Sunday) or a calendar month, from `first` to `last`, both included."""

    kind: PeriodKind
    first: date
    last: date

    @classmethod
    def of(cls, kind: PeriodKind, day: date) -> Period:
        """The period of this kind that a day lies in."""
        if kind == "day":
            return cls(kind, day, day)
        if kind == "week":
            monday = day - timedelta(days=day.weekday())
            return cls(kind, monday, monday + timedelta(days=6))
        first = day.replace(day=1)
        return cls(kind, first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1))

    @property
    def previous(self) -> Period:
        """The period of the same kind that ends where this one begins."""
        return Period.of(self.kind, self.first - timedelta(days=1))

    @property
    def days(self) -> list[date]:
        """Every day of it, in order."""
        return [self.first + timedelta(days=at) for at in range((self.last - self.first).days + 1)]

    def __str__(self) -> str:
        """`2026-10-05`, `2026-W41` or `2026-10`."""
        if self.kind == "day":
            return self.first.isoformat()
        year, week, _ = self.first.isocalendar()
        return f"{year}-W{week:02}" if self.kind == "week" else f"{self.first:%Y-%m}"


class Counts(Frozen):
    """What is counted of one day and may be added up over days; `scores` is how often each answer from 0 to 10 was given.

    `influenced` and `sourced` are minor units by currency. `threads` were opened that day, `answered` of them by another
    person within seven days, as far as is known.
    """

    events: int = 0
    posts: int = 0
    comments: int = 0
    reactions: int = 0
    attended: int = 0
    accepted: int = 0
    positive: int = 0
    neutral: int = 0
    negative: int = 0
    scores: dict[int, int] = {}
    ugc: dict[str, int] = {}
    solved: int = 0
    tickets: int = 0
    implemented: int = 0
    signups: int = 0
    influenced: dict[str, int] = {}
    sourced: dict[str, int] = {}
    threads: int = 0
    answered: int = 0


@dataclass(frozen=True, kw_only=True)
class Known:
    """Everything that figures of a period are made of, each by local day; what is missing is empty.

    `activity` holds the day's bitmaps of ordinals, by kind (see `shared.rollups.KINDS`); `waits` the seconds until each
    thread that was opened that day and was answered within seven days was.
    """

    counts: Mapping[date, Counts] = field(default_factory=dict)
    activity: Mapping[date, Mapping[str, BitMap]] = field(default_factory=dict)
    waits: Mapping[date, Sequence[int]] = field(default_factory=dict)
