"""The functions' grants are what the tests of the functions run under."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from infra.grants import TABLE, Touched, allowed
from shared.app import App
from shared.react import react
from tests.aws.callers import NotGranted, caller
from tests.builders import JOINED, joined

Grants = dict[str, Sequence[Touched]]


def test_a_function_that_was_granted_nothing_gets_nothing(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cast(Grants, TABLE), "react", [])
    with pytest.raises(NotGranted, match="react may not"):
        react([joined()], app, JOINED)


@pytest.mark.parametrize("missing", range(2))
def test_each_of_its_grants_is_needed(app: App, monkeypatch: pytest.MonkeyPatch, missing: int) -> None:
    left = [one for number, one in enumerate(TABLE["react"]) if number != missing]
    monkeypatch.setitem(cast(Grants, TABLE), "react", left)
    with pytest.raises(NotGranted, match="react may not"):
        react([joined()], app, JOINED)


def test_a_test_and_the_command_line_are_nobody(app: App) -> None:
    assert caller() is None
    app.store.set_plan("onboarding", 0, "a plan")


def test_one_foreign_partition_among_its_own_refuses_all() -> None:
    own, foreign = "MEMBER#maaaa", "LOG#2030-01-01#0"
    assert allowed("react", "BatchGetItem", [own])
    assert not allowed("react", "BatchGetItem", [own, foreign])


def test_an_index_is_granted_by_its_own_partitions() -> None:
    assert allowed("onboarding", "Query", ["onboarding#3"], "agenda")
    assert not allowed("onboarding", "Query", ["reengagement#3"], "agenda")
    assert not allowed("onboarding", "Query", ["onboarding#3"])
    assert allowed("manager_report", "Query", ["2030-01-31#2"], "sends")
    assert not allowed("manager_report", "Query", ["MEMBER#maaaa"], "sends")


def test_nobody_may_read_the_whole_table() -> None:
    assert [name for name in TABLE if allowed(name, "Scan", []) or allowed(name, "Scan", [], "agenda")] == []
