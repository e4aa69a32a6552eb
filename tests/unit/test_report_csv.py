"""All figures as CSV: numbers that a spreadsheet takes for numbers, texts that it never takes for formulas."""

from __future__ import annotations

import csv
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.metrics import METRICS
from shared.report import csv_of
from shared.report.table import harmless
from tests.unit.reports import FIRST_DAYS, PLAYBOOK, WHOLE, language


def rows(locale: str = "en", facts: Any = WHOLE, **changes: Any) -> list[list[str]]:
    spoken = language(locale)
    made = csv_of(replace(facts, **changes), playbook=PLAYBOOK, language=spoken).decode("utf-8-sig")
    return list(csv.reader(StringIO(made, newline=""), delimiter=spoken.words.csv_delimiter))


def of(key: str, locale: str = "en", **changes: Any) -> list[list[str]]:
    return [row[4:8] for row in rows(locale, **changes)[1:] if row[1] == key]


@pytest.mark.parametrize("locale", ["en", "ru"])
def test_every_figure_has_its_row(locale: str) -> None:
    told = rows(locale)
    assert list(dict.fromkeys(row[1] for row in told[1:])) == list(METRICS)
    assert {len(row) for row in told} == {10}
    assert {row[0] for row in told[1:]} == {"2026-W40"}


def test_excel_is_told_that_it_is_utf8() -> None:
    assert csv_of(WHOLE, playbook=PLAYBOOK, language=language("ru")).startswith(b"\xef\xbb\xbf")


def test_numbers_are_as_exact_as_they_are_and_bare() -> None:
    assert of("members") == [["", "1284", "1272", ""]]
    assert of("response_rate") == [["", "0.829787", "0.728723", "0.8"]]
    assert of("response_rate", "ru") == [["", "0,829787", "0,728723", "0,8"]]


def test_money_has_a_row_for_each_currency_in_whole_units() -> None:
    now, before = {"EUR": 123450, "JPY": 700}, {"KWD": 1500}
    found = of("sourced_revenue", figures={"sourced_revenue": now}, previous={"sourced_revenue": before})
    assert found == [["EUR", "1234.5", "0", ""], ["JPY", "700", "0", ""], ["KWD", "0", "1.5", ""]]


def test_no_data_is_an_empty_cell_and_never_nought() -> None:
    assert {tuple(cells[1:3]) for cells in of("nps", facts=FIRST_DAYS)} == {("", "")}
    assert of("sourced_revenue", facts=FIRST_DAYS) == [["", "", "", ""]]
    assert of("tickets", facts=FIRST_DAYS) == [["", "0", "", ""]]


def test_a_negative_number_stays_a_number() -> None:
    assert of("nps", figures={"nps": -12.5}) == [["", "-12.5", "32", ""]]


def test_what_was_restated_is_marked() -> None:
    assert [row[1] for row in rows()[1:] if row[8]] == ["comments"]


@given(st.text(max_size=20), st.sampled_from("=+-@\t\r\n"))
def test_no_text_starts_a_formula(text: str, start: str) -> None:
    assert harmless(start + text).startswith("'")
    assert harmless("  " + start + text).startswith("'")
    assert harmless("a" + text) == "a" + text
