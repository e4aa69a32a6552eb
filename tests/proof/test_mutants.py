"""The list of guards that are taken away is about the code as it is."""

from __future__ import annotations

import pytest

from tests.builders import ROOT
from tests.proof.flows import FLOWS
from tests.proof.mutants import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard)
def test_a_guard_to_take_away_stands_where_it_is_said_to(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old) == 1
    assert mutant.flow in FLOWS
