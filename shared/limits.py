"""How much marketing mail a member gets, and when: quiet hours, weekdays, one budget over all programmes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

from shared.localtime import at_local, local_day
from shared.playbook import Limits, QuietHours, Weekday

WEEK = timedelta(days=6)
"""A day and the six before it."""

STEP = timedelta(minutes=15)
"""How far to look on where the end of quiet hours shows twice on the clock: all zones change by multiples of it."""


def next_allowed(after: datetime, zone: ZoneInfo, limits: Limits) -> datetime:
    """The first moment from `after` on that is neither in quiet hours nor on an excluded weekday of this zone."""
    while True:
        local = after.astimezone(zone)
        if get_args(Weekday)[local.weekday()] in limits.excluded_weekdays:
            after = at_local(local.date() + timedelta(days=1), time(), zone)
        elif limits.quiet_hours and limits.quiet_hours.holds(local.time()):
            after = _end_of(limits.quiet_hours, local, zone)
        else:
            return after


def _end_of(quiet: QuietHours, local: datetime, zone: ZoneInfo) -> datetime:
    overnight = local.time() >= quiet.until
    end = at_local(local.date() + timedelta(days=overnight), quiet.until, zone)
    return end if end > local else local.astimezone(UTC) + STEP


def first_day_with_room(today: date, sent_on: Collection[date], reserved: int, limits: Limits) -> date:
    """The first of a member's calendar days, from `today` on, on which one more mail stays within the budget.

    `sent_on` holds a day for each mail that went out; `reserved` mails of higher priority are still to go out today.
    """
    used = [*sent_on, *[today] * reserved]
    day = today
    while used.count(day) >= limits.a_day or sum(day - WEEK <= one <= day for one in used) >= limits.a_week:
        day += timedelta(days=1)
    return day


def waits_for_room(
    sent_at: Sequence[datetime], reserved: int, *, usual: time, zone: ZoneInfo, limits: Limits, now: datetime
) -> datetime | None:
    """When the budget has room for one more mail: at its `usual` local time where that is allowed; None for now."""
    today = local_day(now, zone)
    day = first_day_with_room(today, [local_day(moment, zone) for moment in sent_at], reserved, limits)
    if day == today:
        return None
    at_its_time = at_local(day, usual, zone)
    if next_allowed(at_its_time, zone, limits) == at_its_time:
        return at_its_time
    return next_allowed(at_local(day, time(), zone), zone, limits)
