"""A tick of measuring: today so far, every day that has closed, and whatever a late event or a merged member touched.

Of each day the log is read whole and what it tells is written; then every figure that follows from it is made anew.
A day's mark goes last, and its rollup after all that it is made of: what a crash leaves undone, the next tick does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from shared.app import App
from shared.daylog import read_day, read_shard, span, zone_of
from shared.errors import Unavailable
from shared.largedays import SHARDS
from shared.localtime import local_day
from shared.restating import Told, restate
from shared.rollups import REVENUE_DAYS, TOLD, Rollup, bitmaps, counts_of
from shared.store.items import KEPT
from shared.store.rollups import Mark
from shared.tally import Doings, Tally, merge, packed, unpacked

LOOK_BACK = KEPT + timedelta(days=REVENUE_DAYS + 30)
"""How far back rollups are read: from the oldest day that may be computed again, by all that its figures reach back."""

RESERVE = 300.0
"""Seconds: no other day is begun with less time than this, which one day and all that follows from it must do with."""

LEASE = timedelta(minutes=16)
"""How long somebody may roll days up alone: a little longer than a function can run."""

SETTLED = timedelta(hours=3)
"""How long a member's mark is kept: by then whoever began to count before it has come to an end."""

TimeLeft = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A large day whose shards have been read: by which run, and the token of the mark that was there when it began."""

    day: date
    run: str
    mark: str


@dataclass(frozen=True, kw_only=True)
class Rolled:
    """What became of a tick: days computed from the log, days left for the next, the one that was handed over as too
    large, and days that were marked too late. `busy`: another one is at it, and nothing was done."""

    days: Sequence[date] = ()
    left: Sequence[date] = ()
    handed_over: date | None = None
    too_late: Sequence[date] = ()
    busy: bool = False


@dataclass(frozen=True, kw_only=True)
class _Tick:
    """What a tick goes by: the rollups that stand, what is marked, and what a run of the state machine has read."""

    app: App
    now: datetime
    known: Mapping[date, Rollup]
    marks: Mapping[date, Mark]
    part: Part | None


def roll(app: App, now: datetime, time_left: TimeLeft, *, part: Part | None = None) -> Rolled:
    """Compute what is due as of `now`, oldest first; what there is no time for is left to the next tick.

    `part` is what a run of the state machine has read. Raises Unavailable when the table is away or, for a run, when
    somebody else is rolling: the run is tried again.
    """
    with _alone(app) as alone:
        if alone:
            return _roll(app, now, time_left, part)
    if part is not None:
        raise Unavailable("another one is rolling days up; the run must come again")
    return Rolled(busy=True)


def keep_shard(app: App, now: datetime, *, day: date, run: str, shard: int) -> int:
    """Read one shard of a large day and keep its part of the tally for the rest of its run; how many events it has."""
    read = read_shard(day, shard, app) or Tally()
    app.store.put_partial(day, run, shard, packed(read), at=now)
    return read.counts.events


def due(known: Mapping[date, Rollup], marked: Iterable[date], today: date) -> list[date]:
    """The days to compute from the log, in order: today; the marked; and what is missing or was not over when it was
    last computed, from the first measured or marked day on. Before there is one, that is yesterday.
    """
    again = {today} | {day for day in marked if day <= today}
    first = min(known.keys() | again - {today}, default=today - timedelta(days=1))
    since = [first + timedelta(days=at) for at in range((today - first).days + 1)]
    return sorted(again | {day for day in since if day not in known or not known[day].closed})


@contextmanager
def _alone(app: App) -> Iterator[bool]:
    """Whether we are the only one: two at once could write what one of them has read too early."""
    token, begun = app.token(), app.wire_clock()
    alone = app.store.begin_rolling(token, at=begun, until=begun + LEASE)
    try:
        yield alone
    finally:
        if alone:
            app.store.end_rolling(token)


def _roll(app: App, now: datetime, time_left: TimeLeft, part: Part | None) -> Rolled:
    today = local_day(now, zone_of(app))
    marks = _look_at_members(app.store.marks(), app, now)
    known = {rollup.day: rollup for rollup in app.store.rollups(today - LOOK_BACK, today)}
    if part is not None and part.day in known and known[part.day].computed_at > now:
        return Rolled()  # a run that began later was sooner
    tick = _Tick(app=app, now=now, known=known, marks=marks, part=part)
    too_late = [day for day in marks if _has_expired(day, app, now)]
    wanted = due(known, marks.keys() - set(too_late), today)
    days = [day for day in wanted if not _has_expired(day, app, now)]
    read, handed_over = _tell(days, tick, time_left)
    left = days[len(read) :]
    first = min((*known, *(day for day, one in read.items() if one.counts.events)), default=today)
    told = {day: one for day, one in read.items() if day >= first}  # nothing happened before that
    if told:
        _restate(told, tick, until=left[0] - timedelta(days=1) if left else today, today=today)
    for day in (*read, *too_late):
        if day in marks:
            app.store.unmark(_dealt_with(marks[day], part))
    return Rolled(days=list(told), left=left, handed_over=handed_over, too_late=too_late)


def _restate(told: Mapping[date, Told], tick: _Tick, *, until: date, today: date) -> None:
    """Make figures of what was told, for every day that it bears upon.

    A day that nobody marked is, so that after a crash all that follows from it is done again. Of the last two days
    nothing follows that the next tick does not look at anyhow.
    """
    first = min(told)
    unmarked = first < today - timedelta(days=1) and first not in tick.marks
    own = Mark(first.isoformat(), tick.app.token(), tick.now)
    if unmarked:
        tick.app.store.mark(first, own.token, own.at)
    restate(tick.app, tick.now, told=told, known=tick.known, until=until)
    if unmarked:
        tick.app.store.unmark(own)


def _dealt_with(mark: Mark, part: Part | None) -> Mark:
    """The mark as it was when its day was read: what a run of the state machine has not seen stays marked."""
    return mark._replace(token=part.mark) if part is not None and mark.day == part.day else mark


def _has_expired(day: date, app: App, now: datetime) -> bool:
    """Whether the first events of a day may have left the log: it is never computed from less."""
    return span(day, zone_of(app))[0] + KEPT <= now


def _look_at_members(marks: Sequence[Mark], app: App, now: datetime) -> dict[date, Mark]:
    """Marks by day, once those of members have been made marks of the days on which they did something."""
    members = [mark for mark in marks if mark.day is None]
    for mark in members:
        days = [day for day in app.store.days_of(mark.what) if not _has_expired(day, app, now)]
        for day in days:
            app.store.mark(day, app.token(), now)
        app.store.forget_days(mark.what, days)
        if now - mark.at >= SETTLED:
            app.store.unmark(mark)
    return {mark.day: mark for mark in (app.store.marks() if members else marks) if mark.day is not None}


# Reading


def _tell(days: Sequence[date], tick: _Tick, time_left: TimeLeft) -> tuple[dict[date, Told], date | None]:
    """Read days, oldest first, and write what their events tell; up to where time ends, or a day that is too large.

    With them comes that large day, which is handed over.
    """
    told: dict[date, Told] = {}
    for day in days:
        if told and time_left() < RESERVE:
            break
        read = _read(day, tick)
        if read is None:
            mark = tick.marks.get(day)
            tick.app.large_days.start(day, mark=mark.token if mark else None, now=tick.now)
            return told, day
        told[day] = _keep(day, read, tick)
    return told, None


def _read(day: date, tick: _Tick) -> Tally | None:
    """The tally of a day; None when it is too large to be read here, as far as one can tell by the last time."""
    app, old = tick.app, tick.known.get(day)
    if tick.part is not None and tick.part.day == day:
        return _merged(tick.part, app)
    most = app.playbook.metrics.large_day if app.large_days.available else None
    if most is not None and old is not None and old.counts.events > most:
        return None
    return read_day(day, app, most=most, so_far=day == local_day(tick.now, zone_of(app)))


def _merged(part: Part, app: App) -> Tally:
    """The tally of a large day from the parts that its run has read."""
    parts = app.store.partials(part.day, part.run, range(SHARDS))
    if len(parts) < SHARDS:
        raise Unavailable(f"{part.run} has read {len(parts)} of {SHARDS} parts")
    return merge(*(unpacked(content) for content in parts.values()))


# Writing what was read


def _keep(day: date, read: Tally, tick: _Tick) -> Told:
    """Write everything that a day's own events tell, but for its figures."""
    app, old = tick.app, tick.known.get(day)
    everything = bitmaps(read, {}, day, app.playbook.reengagement.inactive_days)
    told = {kind: everything[kind] for kind in TOLD}
    app.store.put_activity(day, told, app.store.activity([day], TOLD)[day])
    app.store.put_rest(day, packed(Tally(threads=read.threads, replies=read.replies, purchases=read.purchases)))
    closed = span(day, zone_of(app))[1] <= tick.now
    if closed:
        _keep_doings(day, read.days, app, again=old is not None and old.closed)
    return Told(counts_of(read, influenced={}, sourced={}, signups=0, answered=0), closed)


def _keep_doings(day: date, doings: Mapping[str, Doings], app: App, *, again: bool) -> None:
    """Write what each member did that day; again, only where it differs."""
    stands = app.store.did(doings, day) if again else {}
    new = [(member_id, done) for member_id, done in doings.items() if stands.get(member_id) != done]
    side_by_side = app.settings.rollup_readers
    shares = [dict(new[at::side_by_side]) for at in range(side_by_side)]
    with ThreadPoolExecutor(side_by_side) as writers:
        list(writers.map(lambda share: app.store.put_did(day, share), shares))
