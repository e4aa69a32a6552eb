"""Local calendar days and times of day as moments, right through every change of the clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo


@lru_cache(maxsize=1024)
def is_zone(name: str) -> bool:
    """Whether this is an IANA time zone that we know."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # a path, a folder of zones such as `Europe`, an unknown name
        return False
    return True


def local_day(moment: datetime, zone: ZoneInfo) -> date:
    """The calendar day that a moment falls on in a zone."""
    return moment.astimezone(zone).date()


def at_local(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """When the wall clock of a zone shows `clock` on `day`, in UTC.

    Where the clocks go back and it shows twice, the first; where they go forward and it never shows, the moment that
    many minutes after the jump (02:30 becomes 03:30), as PEP 495 resolves a gap with fold=0. Where a zone skips the
    whole day (Samoa, 2011-12-30), that rule still gives a moment, on the next day the zone had.
    """
    return datetime.combine(day, clock, zone).astimezone(UTC)


def next_local(after: datetime, clock: time, zone: ZoneInfo) -> datetime:
    """The first moment at or after `after` that `at_local` gives for a day: an hour that shows twice counts once."""
    today = at_local(local_day(after, zone), clock, zone)
    return today if today >= after else at_local(local_day(after, zone) + timedelta(days=1), clock, zone)
