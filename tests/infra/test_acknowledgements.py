"""What cdk-nag's packs find in the stack is kept for a reason, construct by construct, or there is no template."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.assembly import assembly
from tests.infra.conftest import EVERYTHING_CHOSEN

PACKS = {"AwsSolutions", "Serverless"}


@pytest.fixture(scope="session", params=["as it is", "everything chosen"])
def folder(request: pytest.FixtureRequest) -> Path:
    return assembly(EVERYTHING_CHOSEN if request.param == "everything chosen" else None)


@pytest.fixture(scope="session")
def reports(folder: Path) -> list[dict[str, Any]]:
    read: dict[str, Any] = json.loads((folder / "validation-report.json").read_text(encoding="utf-8"))
    return [report for report in read["pluginReports"] if report["pluginName"] in PACKS]


def kept(reports: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for report in reports:
        yield from report["suppressedViolations"]


def test_both_packs_find_nothing_that_is_not_kept(reports: list[dict[str, Any]]) -> None:
    assert {report["pluginName"] for report in reports} == PACKS
    assert [report["violations"] for report in reports] == [[], []]


def test_every_kept_finding_has_a_reason_of_a_sentence(reports: list[dict[str, Any]]) -> None:
    reasons = {one["reason"] for one in kept(reports)}
    assert reasons
    assert [one for one in reasons if len(one) < 25 or not one.endswith(".")] == []


def test_a_finding_is_kept_where_it_is_and_nowhere_else(reports: list[dict[str, Any]]) -> None:
    found = [(one["ruleName"], one["acknowledgedAt"], one["violatingConstructs"]) for one in kept(reports)]
    astray = [
        (rule, inside["constructPath"])
        for rule, at, constructs in found
        for inside in constructs
        if not inside["constructPath"].startswith(f"{at}/")
    ]
    wide = {rule for rule, at, _ in found if at == "Flywheel"}
    assert astray == []
    # The roles of schedules have no names of their own, so what is kept of them names its function instead.
    assert [rule for rule in wide if not rule.startswith("AwsSolutions-IAM5[Resource::<")] == []


def test_nothing_is_kept_that_is_not_found(folder: Path, reports: list[dict[str, Any]]) -> None:
    found = {(one["acknowledgedAt"], one["acknowledgedId"]) for one in kept(reports)}
    assert told(folder) - found == set()


def told(folder: Path) -> set[tuple[str, str]]:
    """Every acknowledgement of the stack: where, and of what."""
    metadata: dict[str, list[dict[str, Any]]] = json.loads(
        (folder / "Flywheel.metadata.json").read_text(encoding="utf-8")
    )
    return {
        (path.removeprefix("/"), rule)
        for path, entries in metadata.items()
        for one in entries
        if one["type"] == "aws:cdk:acknowledged-rules"
        for rule in one["data"]
    }
