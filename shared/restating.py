"""From what the days' own events told to every figure: each day from those before it, in order, without the log.

What a day's events tell stands in the table by then. Only what differs from what stands there is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import NamedTuple

from pyroaring import BitMap

from shared.app import App
from shared.daylog import span, survivors, zone_of
from shared.formulas import MONTH
from shared.localtime import local_day
from shared.measured import RESPONSE_DAYS, Counts, Known, Period
from shared.metrics import COHORT_DAYS, figures
from shared.rollups import DERIVED, KINDS, REVENUE_DAYS, Rollup, derive, restated, revenue, waits
from shared.store import Store
from shared.tally import Purchase, Tally, unpacked

AHEAD = 16
"""Days that are read in one go."""

Activity = Mapping[date, Mapping[str, BitMap]]


class Told(NamedTuple):
    """What a day's own events told: what is counted of it, and whether the day was over by then."""

    counts: Counts
    closed: bool


class Around:
    """What stands in the table of a day and of the days around it, read in few requests and let go of when passed."""

    def __init__(self, app: App, rolled: Collection[date]) -> None:
        self._store: Store = app.store
        self._rolled = frozenset(rolled)
        self._back = timedelta(days=max(app.playbook.reengagement.inactive_days, MONTH, *COHORT_DAYS))
        self._activity: dict[date, dict[str, BitMap]] = {}
        self._active: dict[date, BitMap] = {}
        self._packed: dict[date, bytes | None] = {}
        self._rest: dict[date, Tally | None] = {}
        self._waits: dict[date, list[int]] = {}

    def activity(self, day: date) -> dict[date, dict[str, BitMap]]:
        """Every bitmap of a day and of as many days before it as its figures reach back; as one may change them."""
        first = day - self._back
        if day not in self._activity:
            wanted = self._measured(first, day + timedelta(days=AHEAD)) - self._activity.keys()
            self._activity |= self._store.activity(sorted(wanted), KINDS)
        for passed in [one for one in self._activity if one < first]:
            del self._activity[passed]
        return self._activity

    def active_before(self, day: date) -> BitMap:
        """Who was active on one of the days before that make a purchase of this day an influenced one."""
        days = self._measured(day - timedelta(days=REVENUE_DAYS), day - timedelta(days=1))
        activity = self.activity(day)
        unread = days - activity.keys() - self._active.keys()
        self._active |= {
            one: bits.get("active", BitMap()) for one, bits in self._store.activity(sorted(unread), ["active"]).items()
        }
        return BitMap.union(
            BitMap(), *(activity[one].get("active", BitMap()) if one in activity else self._active[one] for one in days)
        )

    def rest(self, day: date) -> list[Tally | None]:
        """The threads, replies and purchases of a day, and of the days after it on which its threads are answered."""
        days = [day + timedelta(days=after) for after in range(RESPONSE_DAYS + 1)]
        if unread := self._measured(days[0], days[-1]) - self._packed.keys():
            wanted = sorted(self._measured(min(unread), days[-1] + timedelta(days=AHEAD)) - self._packed.keys())
            self._packed |= dict.fromkeys(wanted) | self._store.rest(wanted)
        for one in days:
            if one not in self._rest:
                content = self._packed.get(one)
                self._rest[one] = unpacked(content) if content else None
        for passed in [one for one in self._rest if one < day]:
            del self._rest[passed]
            self._packed[passed] = None
        return [self._rest.get(one) for one in days]

    def waits(self, day: date) -> list[int]:
        """How long the day's answered threads waited, as it stands in the table."""
        if day not in self._waits:
            self._waits |= self._store.waits_of(sorted(self._measured(day, day + timedelta(days=AHEAD))))
        return self._waits[day]

    def _measured(self, first: date, last: date) -> set[date]:
        return {one for one in self._rolled if first <= one <= last}


def restate(app: App, now: datetime, *, told: Mapping[date, Told], known: Mapping[date, Rollup], until: date) -> None:
    """Give these days their figures, and again to every day that they bear upon, up to `until`.

    That is to the days before, whose threads they may have answered, and to every day after: who is a member, who
    lapsed and who returned follows from day to day. A crash leaves nothing half done that is not done again when the
    same days are told again.
    """
    rolled = known.keys() | told.keys()
    around = Around(app, rolled)
    counts = {day: rollup.counts for day, rollup in known.items()}
    first = min(told) - timedelta(days=RESPONSE_DAYS)
    signups = _signups(first, until, app)
    for day in sorted(one for one in rolled if first <= one <= until):
        _follow(day, around, app)
        counted, waited = _count(day, told[day].counts if day in told else counts[day], around, app)
        counts[day] = counted.model_copy(update={"signups": len(signups.get(day, ()))})
        _put_if_new(day, waited, around, app)
        figured = figures(
            Period.of("day", day),
            Known(counts=counts, activity=around.activity(day), waits={day: waited}),
            app.playbook,
        )
        old = known.get(day)
        if day in told or (old is not None and (old.counts, old.figures) != (counts[day], figured)):
            closed = told[day].closed if day in told else old is not None and old.closed
            new = Rollup(day=day, computed_at=now, closed=closed, counts=counts[day], figures=figured)
            app.store.put_rollup(restated(old, new))


def _follow(day: date, around: Around, app: App) -> None:
    """Write the bitmaps that follow from the days before, where they differ."""
    activity = around.activity(day)
    derived = derive(day, activity, app.playbook.reengagement.inactive_days)
    before = {kind: activity[day].get(kind, BitMap()) for kind in DERIVED}
    if derived != before:
        app.store.put_activity(day, derived, before)
    activity[day] |= derived


def _count(day: date, counts: Counts, around: Around, app: App) -> tuple[Counts, list[int]]:
    """What is counted of a day with what other days tell of it: replies, revenue; and how long its threads waited.

    What the day's own threads and purchases were may have expired; then nothing is told anew of them.
    """
    today, *after = around.rest(day)
    if today is None:
        return counts, around.waits(day)
    waited = waits(today.threads, [one.replies for one in (today, *after) if one is not None])
    influenced, sourced = _revenue(day, today.purchases, around, app)
    told = {"answered": len(waited), "influenced": influenced, "sourced": sourced}
    return counts.model_copy(update=told), waited


def _signups(first: date, last: date, app: App) -> dict[date, set[str]]:
    """Who was attributed on each of these local days, each person once a day; of those who are members."""
    zone = zone_of(app)
    passed = list(app.store.milestones("attributed", span(first, zone)[0], span(last, zone)[1]))
    people = survivors({one.about for one in passed}, app) if passed else {}
    found: dict[date, set[str]] = {}
    for one in passed:
        referee = people.get(one.about)
        if referee is not None and referee.role == "member":
            found.setdefault(local_day(one.at, zone), set()).add(referee.id)
    return found


def _revenue(
    day: date, purchases: Iterable[Purchase], around: Around, app: App
) -> tuple[dict[str, int], dict[str, int]]:
    bought = list(purchases)
    if not bought:
        return {}, {}
    referees = _referees({one.member_id for one in bought}, app)
    return revenue(bought, active_before=around.active_before(day), referees=referees)


def _referees(member_ids: Collection[str], app: App) -> set[str]:
    """Who of these is a referee for good, under any id they had; 100 a request, twice."""
    members = app.store.members(sorted(member_ids))
    had = {one.id: {one.id, *one.absorbed} for one in members.values()}
    settled = app.store.referees_of(sorted({one for ids in had.values() for one in ids}))
    return {member_id for member_id, ids in had.items() if ids & settled}


def _put_if_new(day: date, waited: list[int], around: Around, app: App) -> None:
    if waited != around.waits(day):
        app.store.put_waits(day, waited)
