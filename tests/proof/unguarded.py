"""A plugin of pytest's: the tests run without the guard that UNGUARDED names, and are to fail."""

from __future__ import annotations

import os

from tests.proof.mutants import MUTANTS, without

_without = without(next(mutant for mutant in MUTANTS if mutant.guard == os.environ["UNGUARDED"]))


def pytest_sessionstart() -> None:
    """Take the guard away for good: this process does nothing else."""
    _without.__enter__()
