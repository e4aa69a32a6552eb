"""The words of reports in a language, and how it writes numbers, shares, durations, money and changes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field

from shared.errors import UsageError
from shared.events import Frozen
from shared.metrics import Figure, Unit
from shared.wording import Wording

FOLDER = Path(__file__).parent / "words"

RELATIVE_FROM = 20
"""A change of less than so many is not told in per cent: of three members more one is a third."""

_EXPONENTS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX"), 0),
    **dict.fromkeys(("UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
"""Decimal places of the minor unit, as ISO 4217 has them; 2 for every other currency."""

_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "RUB": "₽", "JPY": "¥", "UAH": "₴", "KZT": "₸", "INR": "₹"}

_TWELVE = Field(min_length=12, max_length=12)


class Named(Frozen):
    """A figure's name, and what it is."""

    name: str
    definition: str


class Words(Frozen):
    """What reports say in a language. `months` are as they stand alone; `say` are sentences and labels by key."""

    group_mark: str
    minus: str
    no_data: str
    percent_points: str
    csv_delimiter: str = Field(min_length=1, max_length=1)
    months: Annotated[list[str], _TWELVE]
    short_months: Annotated[list[str], _TWELVE]
    duration: dict[str, str]
    money: str
    money_with_symbol: str
    metrics: dict[str, Named]
    ugc: dict[str, str]
    groups: dict[str, str]
    stages: dict[str, str]
    kinds: dict[str, str]
    periods: dict[str, str]
    subjects: dict[str, str]
    before: dict[str, str]
    next: dict[str, str]
    short_date: str
    programmes: dict[str, str]
    steps: dict[str, str]
    say: dict[str, str]


@cache
def words_in(locale: str) -> Words:
    """The words of a language; UsageError when reports are not written in it."""
    try:
        return Words.model_validate_json((FOLDER / f"{locale}.json").read_bytes())
    except OSError as exc:
        there = ", ".join(sorted(path.stem for path in FOLDER.glob("*.json")))
        raise UsageError(f"reports are not written in {locale!r}; they are in {there}") from exc


def exponent(currency: str) -> int:
    """How many decimal places a currency's minor unit has."""
    return _EXPONENTS.get(currency, 2)


@dataclass(frozen=True, kw_only=True)
class Language:
    """A language as reports use it: their own words, and those that mails share."""

    locale: str
    words: Words
    wording: Wording

    @classmethod
    def of(cls, locale: str, wording: Wording) -> Language:
        """A language by its name; UsageError when reports are not written in it."""
        return cls(locale=locale, words=words_in(locale), wording=wording)

    def say(self, key: str, **values: object) -> str:
        """A sentence or a label, filled in."""
        return self.words.say[key].format(**values)

    def number(self, value: float, places: int = 0) -> str:
        """A number with so many decimal places, thousands set apart: `1,234.5`."""
        text = f"{abs(value):,.{places}f}"
        sign = self.words.minus if value < 0 and text.strip("0.,") else ""
        whole, _, fraction = text.partition(".")
        grouped = whole.replace(",", self.words.group_mark)
        return sign + grouped + (self.wording.decimal_mark + fraction if fraction else "")

    def amount(self, value: float) -> str:
        """A count or a mean: as it is when whole, else with as many places as are worth reading."""
        if value == int(value):
            return self.number(value)
        return self._short(value, 2 if abs(value) < 10 else 1)

    def percent(self, share: float) -> str:
        """A share per cent: `4 %`, `0.08 %`, `120.5 %`."""
        places = 2 if abs(share) < 0.01 else 1
        return self.wording.percent.format(number=self._short(100 * share, places))

    def duration(self, seconds: float) -> str:
        """A stretch of time in its two largest units: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
        minutes, hours = round(seconds / 60), round(seconds / 3600)
        if seconds < 60:
            return self._units(("seconds", round(seconds)))
        if minutes < 24 * 60:
            return self._units(("hours", minutes // 60), ("minutes", minutes % 60))
        return self._units(("days", hours // 24), ("hours", hours % 24))

    def money(self, minor: Mapping[str, int]) -> str:
        """Amounts in minor units by currency: `€1,234.50`; several one after the other, nothing as 0."""
        told = [self._of_currency(minor[currency], currency) for currency in sorted(minor)]
        return ", ".join(told) or self.number(0)

    def told(self, unit: Unit, value: Figure) -> str:
        """A figure in its unit; in words when there is no data."""
        if value is None:
            return self.words.no_data
        if isinstance(value, dict):
            return self.money(value)
        if unit == "points":
            return self._short(value, 1)
        tell = {"share": self.percent, "seconds": self.duration}.get(unit, self.amount)
        return tell(value)

    def change(self, unit: Unit, value: Figure, previous: Figure) -> str:
        """What a figure has moved by: `+12, +10 %`, `−2.1 pp`, `+20 min`; "" without both, in words when by nothing."""
        if value is None or previous is None:
            return ""
        if isinstance(value, dict) or isinstance(previous, dict):
            return self._change_of_money(_money(value), _money(previous)) or self.say("same")
        told = self._change_of_number(unit, value, previous)
        return told or self.say("same")

    def points_of_percent(self, difference: float) -> str:
        """A difference of two shares, with its sign: `+7.2 pp`."""
        return self._change_of_number("share", difference, 0) or self.words.percent_points.format(number=0)

    def day(self, day: date) -> str:
        """A day, short, without its year: `5 Oct`."""
        return self.words.short_date.format(day=day.day, month=self.words.short_months[day.month - 1])

    def full_day(self, day: date) -> str:
        """A day without its year: `5 October`."""
        return self.wording.day_of_month.format(day=day.day, month=self.wording.months[day.month - 1])

    def _change_of_number(self, unit: Unit, value: float, previous: float) -> str:
        moved = value - previous
        if unit == "share":
            told = self._short(100 * abs(moved), 2 if abs(moved) < 0.01 else 1)
            return self._signed(moved, told, self.words.percent_points.format(number=told))
        if unit == "seconds":
            told = self.duration(abs(moved)) if round(abs(moved)) else ""
            return self._signed(moved, told, told)
        if unit == "points":
            told = self._short(abs(moved), 1)
            return self._signed(moved, told, told)
        told = self.amount(round(abs(moved), 2))
        signed = self._signed(moved, told, told)
        if not signed or previous < RELATIVE_FROM:
            return signed
        relative = self.wording.percent.format(number=self._short(abs(100 * moved / previous), 0))
        return self.say("relative", change=signed, percent=self._signed(moved, relative, relative) or relative)

    def _change_of_money(self, value: Mapping[str, int], previous: Mapping[str, int]) -> str:
        moved = {one: value.get(one, 0) - previous.get(one, 0) for one in sorted({*value, *previous})}
        told = {one: self._of_currency(abs(by), one) for one, by in moved.items() if by}
        return ", ".join(self._signed(moved[one], text, text) for one, text in told.items())

    def _signed(self, moved: float, number: str, told: str) -> str:
        """What is told, with its sign; "" when the number, as it is written, is nothing."""
        if not any(char in "123456789" for char in number):
            return ""
        return (self.words.minus if moved < 0 else "+") + told

    def _short(self, value: float, places: int) -> str:
        """A number with at most so many places."""
        text = self.number(value, places)
        return text.rstrip("0").rstrip(self.wording.decimal_mark) if places else text

    def _units(self, *parts: tuple[str, int]) -> str:
        told = [self.words.duration[unit].format(number=self.number(number)) for unit, number in parts if number]
        return " ".join(told) or self.words.duration[parts[-1][0]].format(number=0)

    def _of_currency(self, minor: int, currency: str) -> str:
        places = exponent(currency)
        amount = self.number(abs(minor) / 10**places, places)
        symbol = _SYMBOLS.get(currency)
        form = self.words.money_with_symbol if symbol else self.words.money
        return (self.words.minus if minor < 0 else "") + form.format(amount=amount, symbol=symbol, code=currency)


def _money(value: Figure) -> dict[str, int]:
    return value if isinstance(value, dict) else {}
