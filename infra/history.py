"""What an import would log and set off, and the logging itself: many puts side by side, each may come twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from itertools import islice
from zoneinfo import ZoneInfo

from infra.exports import LeftOut, Told
from shared.erasing import was_erased
from shared.errors import Unavailable
from shared.events import ACTIVITY, CommunityEvent
from shared.localtime import local_day
from shared.model import Erased, Identity
from shared.store import Store, keys
from shared.store.items import KEPT

OF_PEOPLE = "member."
"""What leads the types that tell who people are, and when they came and went."""

EACH = 25
"""Events that a writer is given at a time."""

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait before each further try while the table is throttled or away."""


def asked_for(told: Iterable[Told], since: date | None, until: date | None, zone: ZoneInfo) -> Iterator[Told]:
    """What is told, without what people did on other local days; who they are, and when they came, is always told."""
    for one in told:
        if isinstance(one, LeftOut) or one.type.startswith(OF_PEOPLE):
            yield one
            continue
        day = local_day(one.occurred_at, zone) if since or until else None
        outside = day is not None and ((since and day < since) or (until and day > until))
        yield LeftOut.OTHER_DAY if outside else one


@dataclass
class Survey:
    """What an export holds: events by type, their first and last moment, people with when they last did something."""

    types: Counter[str] = field(default_factory=Counter)
    left_out: Counter[LeftOut] = field(default_factory=Counter)
    first: datetime | None = None
    last: datetime | None = None
    people: dict[str, datetime | None] = field(default_factory=dict)
    joined: dict[str, datetime] = field(default_factory=dict)
    unmeasured: int = 0

    @property
    def events(self) -> int:
        """How many events would be logged."""
        return self.types.total()

    def silent(self, since: datetime) -> int:
        """How many people were seen doing something, but not since then."""
        return sum(seen is not None and seen <= since for seen in self.people.values())

    def came(self, since: datetime) -> int:
        """How many people are told to have joined since then."""
        return sum(at >= since for at in self.joined.values())


def survey(told: Iterable[Told], now: datetime, tell: Callable[[int], None]) -> Survey:
    """Read everything and count it; `tell` hears now and then how much was read."""
    found, oldest = Survey(), now - KEPT
    for number, one in enumerate(told, start=1):
        if number % 1000 == 0:
            tell(number)
        if isinstance(one, LeftOut):
            found.left_out[one] += 1
            continue
        at, who = one.occurred_at, f"{one.platform}:{one.actor}"
        found.types[one.type] += 1
        found.unmeasured += at < oldest
        found.first = at if found.first is None or at < found.first else found.first
        found.last = at if found.last is None or at > found.last else found.last
        seen = found.people.setdefault(who, None)
        if one.type in ACTIVITY and (seen is None or seen < at):
            found.people[who] = at
        if one.type == "member.joined":
            found.joined[who] = min(at, found.joined.get(who, at))
    return found


@dataclass
class Written:
    """How many events the log took, how many stood there already, and how many are of people who were erased."""

    new: int = 0
    again: int = 0
    erased: int = 0


def write(told: Iterable[Told], store: Store, *, writers: int, tell: Callable[[int], None]) -> Written:
    """Log every event, so many writers side by side; Unavailable when the table stays away. May be run again.

    Of people who were erased nothing comes back that was before.
    """
    done, gone = Written(), _Erasures(store)
    events = (one for one in told if not isinstance(one, LeftOut))
    with ThreadPoolExecutor(writers) as pool:
        while window := list(islice(events, writers * EACH)):
            wanted = gone.without(window)
            shares = [wanted[at::writers] for at in range(writers)]
            new = sum(pool.map(partial(_log, store), shares))
            done.new += new
            done.again += len(wanted) - new
            done.erased += len(window) - len(wanted)
            tell(len(window))
    return done


class _Erasures:
    """Who was erased, asked of each person once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked: set[keys.Key] = set()
        self._erased: dict[keys.Key, Erased] = {}

    def without(self, events: Iterable[CommunityEvent]) -> list[CommunityEvent]:
        """These events, without those of before their actor was erased."""
        events = list(events)
        people = {keys.identity(Identity(event.platform, event.actor)) for event in events} - self._asked
        self._asked |= people
        self._erased |= self._store.remembered(people)
        return [event for event in events if not was_erased(event, self._erased)]


def _log(store: Store, events: Iterable[CommunityEvent]) -> int:
    return sum(_log_patiently(store, event) for event in events)


def _log_patiently(store: Store, event: CommunityEvent) -> int:
    for pause in PAUSES:
        try:
            return store.log([event])
        except Unavailable:
            time.sleep(pause)
    return store.log([event])


def recent(open_for: timedelta, start: datetime, now: datetime) -> datetime:
    """Since when whoever joined is still enrolled in onboarding, of who is told of only now."""
    return max(start, now - open_for)


def counted(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """Counts as rows, the largest first."""
    return [(name, f"{count:,}") for name, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))]
