"""Whatever one call of a flow meets with, the end is that of a world in which nothing went wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.builders import ROOT
from tests.proof.flows import FLOWS

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


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What `make proof` found, in a process of its own: it counts every call, also those that others would make."""
    out = tmp_path_factory.mktemp("proof") / "proof.json"
    subprocess.run([sys.executable, "-m", "tests.proof", str(out)], cwd=ROOT, check=False, capture_output=True)
    found: dict[str, dict[str, Any]] = json.loads(Path(out).read_text(encoding="utf-8"))["flows"]
    return found


@pytest.mark.parametrize("flow", FLOWS)
def test_a_fault_of_any_call_changes_nothing_in_the_end(proved: dict[str, dict[str, Any]], flow: str) -> None:
    print(f"{flow}: {proved[flow]['calls']} calls, {proved[flow]['points']} points")
    assert proved[flow]["found"] == []
    assert proved[flow]["points"] >= LEAST_POINTS[flow]
