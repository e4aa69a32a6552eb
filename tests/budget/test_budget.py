"""The budget of every unit of work, counted anew: who makes one dearer must write so into infra/work.json."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from infra.cost import WORK
from tests.budget.stack import per_month, stack_of, synthesised
from tests.budget.units import UNITS
from tests.builders import ROOT

SLACK = 0.05
"""The share by which a figure may be off, either way, before the file must tell the new one."""

EACH = ("requests", "invocations", "logged", "metrics", "stored", "bitmaps")
ALL = ("wru", "rru", "written", "read")
NAMED = "name one, and how dear it may be: make budget"


def written() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(WORK.read_text(encoding="utf-8"))
    return told


def figures(unit: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Every figure of a unit that is counted, by name; CPU times are measured, and so not compared."""
    for name in EACH:
        yield from ((f"{name} {which}", count) for which, count in unit[name].items())
    yield from ((name, unit[name]) for name in ALL)


def off(told: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """What differs by more than the slack."""
    told_figures, found_figures = dict(figures(told)), dict(figures(found))
    return [
        f"{name}: {told_figures.get(name, 0)} is written, {found_figures.get(name, 0)} was counted"
        for name in sorted(told_figures.keys() | found_figures.keys())
        if abs(found_figures.get(name, 0) - told_figures.get(name, 0)) > SLACK * told_figures.get(name, 0)
    ]


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every unit, counted in a process of its own: it counts every call, also those that other tests would make."""
    out = tmp_path_factory.mktemp("budget") / "work.json"
    line = [sys.executable, "-m", "tests.budget", str(out)]
    ran = subprocess.run(line, cwd=ROOT, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))["units"]
    return found


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_of_work_costs_what_is_written(counted: dict[str, Any], unit: str) -> None:
    assert unit in written()["units"], NAMED
    assert off(written()["units"][unit], counted[unit]) == []


def test_no_unit_is_written_that_is_not_counted() -> None:
    assert set(written()["units"]) == set(UNITS)


def test_the_budget_names_what_the_template_has() -> None:
    assert written()["stack"] == stack_of(synthesised())


def test_a_figure_that_is_off_by_more_than_a_twentieth_is_named_either_way() -> None:
    told: dict[str, Any] = {name: {} for name in EACH} | dict.fromkeys(ALL, 0)
    told |= {"wru": 100, "requests": {"PutItem": 2}}
    assert off(told, told | {"wru": 105}) == off(told, told | {"wru": 95}) == []
    assert off(told, told | {"wru": 106}) == ["wru: 100 is written, 106 was counted"]
    assert off(told, told | {"wru": 94}) == ["wru: 100 is written, 94 was counted"]
    assert off(told, told | {"requests": {"PutItem": 2, "Query": 1}}) == ["requests Query: 0 is written, 1 was counted"]


@pytest.mark.parametrize(
    ("expression", "firings"),
    [
        ("rate(1 minute)", 43_800),
        ("rate(5 minutes)", 8_760),
        ("cron(0/15 * * * ? *)", 2_920),
        ("cron(7 * * * ? *)", 730),
    ],
)
def test_a_schedule_fires_so_often_a_month(expression: str, firings: int) -> None:
    assert per_month(expression) == firings


def test_a_schedule_that_cannot_be_counted_is_no_guess() -> None:
    with pytest.raises(ValueError, match="can be counted: cron"):
        per_month("cron(0 9 ? * MON *)")
