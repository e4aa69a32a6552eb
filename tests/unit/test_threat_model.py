"""What the threat model promises is shown by tests that exist."""

from __future__ import annotations

import re

import pytest

from tests.builders import ROOT
from tests.unit.test_docs import read, rows_below

ROWS = rows_below("who", read("docs/threat-model.md"))


def known_tests() -> set[str]:
    texts = (file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    return {name for text in texts for name in re.findall(r"^ *def (test_\w+)\(", text, re.MULTILINE)}


def test_the_model_has_its_rows() -> None:
    assert len(ROWS) > 10


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}: {row[1]}"[:60])
def test_every_threat_is_stopped_by_something_that_tests_show(row: list[str]) -> None:
    _, wanted, stopped, shown = row
    named = set(re.findall(r"`(test_\w+)`", shown))
    assert wanted
    assert stopped
    assert named
    assert named - known_tests() == set()


def test_the_model_fits_on_one_page() -> None:
    assert len(read("docs/threat-model.md").splitlines()) <= 45
