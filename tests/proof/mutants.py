"""Guards taken away one at a time, from a copy of the code: each must be found. `python -m tests.proof.mutants`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.builders import ROOT

COPIED = ("shared", "functions", "infra", "tests", "events")


@dataclass(frozen=True)
class Mutant:
    """What guard is taken away, where, and the flow that finds it missing."""

    guard: str
    file: str
    old: str
    new: str
    flow: str


MUTANTS = (
    Mutant(
        "one attempt a mail",
        "shared/app.py",
        'retries={"total_max_attempts": 1}',
        'retries={"total_max_attempts": 3}',
        "drip, tick to settled",
    ),
    Mutant(
        "condition on the claim",
        "shared/store/sends.py",
        'ConditionExpression="attribute_not_exists(pk) OR #status = :deferred"',
        'ConditionExpression="#status <> :deferred OR #status = :deferred"',
        "drip, tick to settled",
    ),
    Mutant(
        "look again at what is in doubt",
        "shared/sending.py",
        "    _look_again(planned, app, now + SEND_EVENT_WINDOW)\n",
        "",
        "drip, SES's word lost",
    ),
)


def hunted() -> Iterator[tuple[Mutant, bool]]:
    """Every mutant, and whether its flow ended with a violation."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "playbook.yaml", copy)
        for mutant in MUTANTS:
            file = copy / mutant.file
            whole = file.read_text(encoding="utf-8")
            file.write_text(whole.replace(mutant.old, mutant.new), encoding="utf-8")
            command = [sys.executable, "-m", "tests.proof", str(copy / "proof.json"), mutant.flow]
            told = subprocess.run(command, cwd=copy, check=False, capture_output=True, text=True).stdout
            file.write_text(whole, encoding="utf-8")
            yield mutant, "    call " in told


def main() -> int:
    """Print what became of each; 0 when all were found."""
    missed = 0
    for mutant, found in hunted():
        missed += not found
        print(f"{mutant.guard:34} {'found' if found else 'NOT FOUND':10} {mutant.flow}", flush=True)
    return missed


if __name__ == "__main__":
    sys.exit(main())
