"""What is known of a community's days: periods, what is counted of a day, and its bitmaps. Knows no store.

Days are local to the community's zone. Whoever is counted is a person, by ordinal: two members who proved to be one are
one, and bots and staff are nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal, TypeVar

from pyroaring import BitMap

from shared.events import Frozen

Figure = int | float | dict[str, int] | None
"""A number; minor units by currency; or None where there is no data."""

Figures = dict[str, Figure]

K = TypeVar("K", int, str)

PeriodKind = Literal["day", "week", "month"]

RESPONSE_DAYS = 8
"""A thread's first reply within 7 times 24 hours lies on its own local day or one of so many after it."""


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
        return trailing((self.last - self.first).days + 1, self.last)

    def __str__(self) -> str:
        """`2026-10-05`, `2026-W41` or `2026-10`."""
        if self.kind == "day":
            return self.first.isoformat()
        year, week, _ = self.first.isocalendar()
        return f"{year}-W{week:02}" if self.kind == "week" else f"{self.first:%Y-%m}"


def trailing(count: int, last: date) -> list[date]:
    """So many days in order, of which `last` is the last."""
    return [last - timedelta(days=back) for back in range(count - 1, -1, -1)]


class Counts(Frozen):
    """What is counted of one day and may be added up over days; `scores` is how often each answer (0 to 10) was given.

    `events` is every event of the day, whoever did it; all else is what people did. `influenced` and `sourced` are
    minor units by currency. `solved` are questions, each once a day. `threads` were opened that day, `answered` of them
    by another person within seven days, as far as is known.
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


_BY_KEY = ("scores", "ugc", "influenced", "sourced")
_SINGLE = tuple(name for name in Counts.model_fields if name not in _BY_KEY)


def total(parts: Iterable[Counts]) -> Counts:
    """What is counted of several days, or of several parts of one."""
    parts = list(parts)
    summed: dict[str, object] = {name: sum(getattr(one, name) for one in parts) for name in _SINGLE}
    return Counts.model_validate(summed | {name: added(getattr(one, name) for one in parts) for name in _BY_KEY})


def added(parts: Iterable[Mapping[K, int]]) -> dict[K, int]:
    """The sums by key, in the order of the keys."""
    sums: Counter[K] = Counter()
    for part in parts:
        sums.update(part)
    return {key: sums[key] for key in sorted(sums)}


@dataclass(frozen=True, kw_only=True)
class Known:
    """Everything that figures of a period are made of, each by local day; a day that is missing is not known.

    `activity` holds the day's bitmaps of ordinals, by kind (see `shared.rollups.KINDS`); a kind that is missing is
    empty. `waits` are the seconds until each thread that was opened that day and was answered within seven days was.
    """

    counts: Mapping[date, Counts] = field(default_factory=dict)
    activity: Mapping[date, Mapping[str, BitMap]] = field(default_factory=dict)
    waits: Mapping[date, Sequence[int]] = field(default_factory=dict)
