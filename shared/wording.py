"""How a language names things in mails: counted things, days and dates, zones, shares. Knows no mail and no member."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from shared.events import Frozen, HighlightKind

_CITY_AREAS = (
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
)


class Wording(Frozen):
    """How a language names days, dates, places and counted things; `layout` holds the frame's own words.

    `day_of_month` is a date without its weekday, `percent` a share, `decimal_mark` what stands before its fraction,
    `highlights` what each kind of news is called.
    """

    plural_rule: Literal["one_other", "one_few_many"]
    weekdays: Annotated[list[str], Field(min_length=7, max_length=7)]
    on_weekdays: Annotated[list[str], Field(min_length=7, max_length=7)]
    months: Annotated[list[str], Field(min_length=12, max_length=12)]
    date: str
    day_of_month: str
    time: str
    zone: str
    unnamed_zone: str
    percent: str
    decimal_mark: Literal[".", ","]
    cities_as_in_zone_names: bool
    cities: dict[str, str]
    counted: dict[str, dict[str, str]]
    highlights: dict[HighlightKind, str]
    layout: dict[str, str]

    def noun(self, kind: str, number: int) -> str:
        """The noun for `number` things of a kind, without the number: `comment`, `comments`."""
        return self.counted[kind][_PLURAL_RULES[self.plural_rule](number)]

    def count(self, kind: str, number: int) -> str:
        """So many things of a kind: `1 hour`, `24 hours`."""
        return f"{number} {self.noun(kind, number)}"

    def share(self, part: int, whole: int) -> str:
        """A part of a whole in per cent, as finely as it takes to tell it from nothing; "" of nothing."""
        return self.percentage(100 * part / whole) if whole else ""

    def percentage(self, percent: float) -> str:
        """A percentage as people write it: `4 %`, `0.08 %`, `5.2 %`."""
        number = f"{percent:.2f}" if percent < 1 else f"{percent:.1f}"
        number = number.rstrip("0").rstrip(".")
        return self.percent.format(number=number.replace(".", self.decimal_mark))

    def full_date(self, moment: datetime) -> str:
        """The day of a local moment, with its weekday: `Thursday, 5 March`."""
        weekday, month = self.weekdays[moment.weekday()], self.months[moment.month - 1]
        return self.date.format(weekday=weekday, day=moment.day, month=month)

    def short_date(self, moment: datetime) -> str:
        """The day of a local moment: `5 March`."""
        return self.day_of_month.format(day=moment.day, month=self.months[moment.month - 1])

    def zone_name(self, moment: datetime) -> str:
        """The zone of an aware local moment as people name it, with its offset: `Berlin time (UTC+1)`."""
        key, offset = str(moment.tzinfo), _offset(moment)
        city = self.cities.get(key)
        if city is None and self.cities_as_in_zone_names and key.split("/", maxsplit=1)[0] in _CITY_AREAS:
            city = key.rsplit("/", 1)[-1].replace("_", " ")
        return self.zone.format(city=city, offset=offset) if city else self.unnamed_zone.format(offset=offset)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """So many of something: `5`, `comments`."""

    number: int
    noun: str


def _offset(moment: datetime) -> str:
    minutes = round((moment.utcoffset() or timedelta()).total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    sign = "\N{MINUS SIGN}" if minutes < 0 else "+"
    return "UTC" + (f"{sign}{hours}" if minutes else "") + (f":{rest:02}" if rest else "")


def _one_other(number: int) -> str:
    return "one" if number == 1 else "other"


def _one_few_many(number: int) -> str:
    if number % 10 == 1 and number % 100 != 11:
        return "one"
    return "few" if number % 10 in (2, 3, 4) and number % 100 not in (12, 13, 14) else "many"


_PLURAL_RULES = {"one_other": _one_other, "one_few_many": _one_few_many}
