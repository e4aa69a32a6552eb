"""`python -m tests.proof.unguarded GUARD...`: prints each of these without which its test fails, and with it passes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout

import pytest

from tests.proof.mutants import MUTANTS, Mutant, without


def main(guards: Sequence[str]) -> int:
    """Run the tests of these guards with them and without."""
    for mutant in (mutant for mutant in MUTANTS if mutant.guard in guards):
        if _runs(mutant, guarded=True) is pytest.ExitCode.OK and _runs(mutant, guarded=False) is FAILED:
            print(mutant.guard, flush=True)
    return 0


FAILED = pytest.ExitCode.TESTS_FAILED
"""Any other is that the tests could not even be run."""


def _runs(mutant: Mutant, *, guarded: bool) -> int | pytest.ExitCode:
    with redirect_stdout(sys.stderr), nullcontext() if guarded else without(mutant):
        return pytest.main(["-q", "--tb=no", "-p", "no:cacheprovider", mutant.by])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
