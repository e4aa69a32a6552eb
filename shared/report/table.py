"""All figures of a report as CSV, for a spreadsheet: as numbers, with the marks of its reader's language."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO

from shared.metrics import METRICS, Figure
from shared.playbook import Playbook
from shared.report.dashboard import named, unit_of
from shared.report.facts import Facts
from shared.report.words import Language, exponent

BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
"""Without it Excel takes UTF-8 for the code page of its machine."""

_COLUMNS = ("period", "key", "name", "unit", "currency", "value", "previous", "goal", "restated", "definition")
_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_DIGITS = 6


def csv_of(facts: Facts, *, playbook: Playbook, language: Language) -> bytes:
    """A row for each figure, of money one for each currency in whole units; what has no data stays empty.

    Shares are from 0 to 1, durations in seconds. The decimal mark and the delimiter are what a spreadsheet in this
    language expects; in text cells nothing can start a formula.
    """
    text = StringIO()
    writer = csv.writer(text, delimiter=language.words.csv_delimiter, lineterminator="\r\n")
    writer.writerow([language.say(f"csv_{column}") for column in _COLUMNS])
    for key in METRICS:
        writer.writerows(_rows(key, facts, playbook, language))
    return (BOM + text.getvalue()).encode()


def harmless(text: str) -> str:
    """A text as a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(_STARTS_A_FORMULA) else text


def _rows(key: str, facts: Facts, playbook: Playbook, language: Language) -> Iterator[list[str]]:
    told, restated = named(key, playbook, language), "x" if key in facts.restated else ""
    value, previous = facts.figures.get(key), facts.previous.get(key)
    goal = _plain(facts.goals.get(key), "", language)
    before = [str(facts.period), key, harmless(told.name), language.say(f"unit_{unit_of(key)}")]
    for currency in _currencies(value, previous):
        figures = [_plain(figure, currency, language) for figure in (value, previous)]
        yield [*before, harmless(currency), *figures, goal, restated, harmless(told.definition)]


def _currencies(value: Figure, previous: Figure) -> list[str]:
    """The currencies that a figure has a row for; one row without any, when it is not of money or of none."""
    found = {currency for figure in (value, previous) if isinstance(figure, dict) for currency in figure}
    return sorted(found) or [""]


def _plain(value: Figure, currency: str, language: Language) -> str:
    if isinstance(value, dict):
        value = value.get(currency, 0) / 10 ** exponent(currency) if currency else 0
    if value is None:
        return ""
    return f"{round(value, _DIGITS):.{_DIGITS}f}".rstrip("0").rstrip(".").replace(".", language.wording.decimal_mark)
