"""The kinds of values a playbook is written in: durations, times of day, zones, addresses, keys, texts.

Knows no clock and no AWS.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime, time, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, StringConstraints, WithJsonSchema

from shared.events import Utc
from shared.localtime import is_zone

Condition = Literal["posted", "commented", "contributed", "answered_survey"]
"""What may be known of a member that makes a step, or a part of its mail, unneeded."""

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}
_DURATION = r"^[0-9]{1,6}[mhd]$"
_TIME_OF_DAY = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"


def _duration(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(_DURATION, value):
        return int(value[:-1]) * _UNITS[value[-1]]
    if isinstance(value, timedelta):
        return value
    raise ValueError(f"must be a whole number and a unit, such as 30m, 20h or 90d; got {value!r}")


def duration_text(value: timedelta) -> str:
    """A duration in its largest whole unit: what was written with six digits is read back from six or fewer."""
    unit = next(name for name, one in _UNITS.items() if not value % one)
    return f"{value // _UNITS[unit]}{unit}"


def _moment(value: object) -> object:
    # Left to itself pydantic reads a bare number as seconds since 1970, and `start: 2026` would enrol everybody.
    with suppress(ValueError):
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(moment, datetime) and moment.tzinfo is not None:
            return moment
    raise ValueError(f"must be a moment with its time zone, such as 2026-01-01T00:00:00Z; got {value!r}")


def _zone(value: str) -> str:
    if not is_zone(value):
        raise ValueError(f"must be an IANA time zone such as Europe/Berlin; got {value!r}")
    return value


def _address(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63}", value):
        raise ValueError(f"must be an e-mail address such as hello@example.com; got {value!r}")
    return value


def _local_time(value: object) -> object:
    if not isinstance(value, time) and not (isinstance(value, str) and re.fullmatch(_TIME_OF_DAY, value)):
        raise ValueError(f'must be a time of day in quotes, such as "10:00"; got {value!r}')
    return value


def once_each(names: list[str]) -> list[str]:
    """The names, none of them twice."""
    if twice := next((name for at, name in enumerate(names) if name in names[:at]), None):
        raise ValueError(f"must be named once each; {twice!r} stands twice")
    return names


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(duration_text),
    WithJsonSchema({"type": "string", "pattern": _DURATION}),
]
Moment = Annotated[Utc, BeforeValidator(_moment)]
Zone = Annotated[str, AfterValidator(_zone)]
Address = Annotated[str, AfterValidator(_address)]
LocalTime = Annotated[
    time,
    BeforeValidator(_local_time),
    PlainSerializer(lambda value: f"{value:%H:%M}"),
    WithJsonSchema({"type": "string", "pattern": _TIME_OF_DAY}),
]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Locales = Annotated[
    list[Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")]], Field(min_length=1), AfterValidator(once_each)
]
Text = dict[str, Annotated[str, StringConstraints(min_length=1)]]
"""A text in every language of the playbook: locale -> text."""
