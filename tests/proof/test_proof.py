"""The proof as part of the tests: every point of every flow, months by seeds, every guard taken away."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.builders import ROOT
from tests.proof.classes import classes, written
from tests.proof.faults import Fault
from tests.proof.flows import FLOWS
from tests.proof.meetings import MEETINGS
from tests.proof.mutants import MUTANTS, SEEDS, Mutant, without
from tests.unit.test_threat_model import known_tests

LEAST_POINTS = {
    "webhook to log": 60,
    "event to reaction": 120,
    "drip, tick to settled": 40,
    "drip, SES's word lost": 25,
    "inactivity": 45,
    "referral to reward": 180,
    "rollup": 130,
    "report": 120,
}
"""Fewer than these, and a flow does not go the whole way any more."""

LEAST_FAULTS = 1500
"""Fewer than these over all seeds, and they are struck no more as they were."""

CLASSES = 41


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `make proof` found, in processes of its own: it counts every call, also those that others would make."""
    out = tmp_path_factory.mktemp("proof") / "proof.json"
    command = [sys.executable, "-m", "tests.proof", "--out", str(out)]
    told = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    print(told.stdout)
    assert out.exists(), told.stderr
    found: dict[str, Any] = json.loads(Path(out).read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("flow", [*FLOWS, *MEETINGS])
def test_a_fault_of_any_call_changes_nothing_in_the_end(proved: dict[str, Any], flow: str) -> None:
    assert proved["flows"][flow]["found"] == []
    assert proved["flows"][flow]["points"] >= LEAST_POINTS.get(flow, 3)


def test_months_with_many_faults_end_as_months_without(proved: dict[str, Any]) -> None:
    assert proved["seeds"]["found"] == {}
    assert proved["seeds"]["run"] == 200


def test_every_kind_of_fault_has_struck(proved: dict[str, Any]) -> None:
    faults = proved["seeds"]["faults"]
    assert sum(faults.values()) >= LEAST_FAULTS
    assert faults.keys() == {*(fault.name for fault in Fault), "MEANWHILE", "OVERSLEPT"}


@pytest.mark.parametrize("guard", [mutant.guard for mutant in MUTANTS])
def test_a_guard_that_is_taken_away_is_missed(proved: dict[str, Any], guard: str) -> None:
    assert proved["mutants"]["by"][guard] is not None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard)
def test_a_guard_is_taken_away_only_while_it_is_looked_at(mutant: Mutant) -> None:
    assert mutant.by in {*FLOWS, *MEETINGS, SEEDS} or the_test_of(mutant) in known_tests()
    with without(mutant):
        pass
    with without(mutant):  # it stands there again, or it could not be taken away once more
        pass


def the_test_of(mutant: Mutant) -> str:
    """The name of the test that shows a guard missing, without its parameters."""
    return mutant.by.rpartition("::")[2].partition("[")[0]


def test_all_classes_of_failure_are_shown() -> None:
    told = list(classes())
    assert [one.number for one in told] == list(range(1, CLASSES + 1))
    assert [one.number for one in told if not one.shown] == []


def test_nothing_says_that_it_shows_a_class_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.proof.classes._tests", lambda: [("test_of_another", [CLASSES + 1])])
    with pytest.raises(ValueError, match="from 1 to 41, but 42 is said to be shown"):
        list(classes())


def test_each_class_is_shown_by_names_that_are_one_thing() -> None:
    assert [one.number for one in classes() if len(set(one.shown)) < len(one.shown)] == []


def test_the_readme_tells_them_as_they_are() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert written(readme) == readme
