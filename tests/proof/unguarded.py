"""`python -m tests.proof.unguarded GUARD...`: prints each of these without which its test fails; with it, it passes
wherever the tests are run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout

import pytest

from tests.proof.mutants import MUTANTS, Mutant, without


def main(guards: Sequence[str]) -> int:
    """Run the tests of these guards without them."""
    for mutant in (mutant for mutant in MUTANTS if mutant.guard in guards):
        if _fails(mutant):
            print(mutant.guard, flush=True)
    return 0


def _fails(mutant: Mutant) -> bool:
    with redirect_stdout(sys.stderr), without(mutant):
        told = pytest.main(["-q", "--tb=no", "-p", "no:cacheprovider", mutant.by])
    return told is pytest.ExitCode.TESTS_FAILED  # any other is that the test could not even be run


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
