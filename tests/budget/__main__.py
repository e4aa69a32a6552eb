"""`make budget`: counts every unit of work anew, and writes what it found into the budget file, infra/work.json.

Arguments: another file, and the names of units when not all are wanted; then nothing but these is in it.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra.cost import WORK
from tests.budget.measuring import measured
from tests.budget.stack import stack_of, synthesised
from tests.proof.house import opened

ALIKE = 0.5
"""CPU times that differ by less than this share stay as they stand: they are as exact as the machine was idle."""


def main(arguments: Sequence[str]) -> int:
    """Count, print, write."""
    out, names = (Path(arguments[0]), list(arguments[1:])) if arguments else (WORK, [])
    with opened() as house:
        found = measured(house, names or None, times=1 if arguments else 2)
    told: dict[str, Any] = {"units": found}
    if not arguments:
        told["stack"] = stack_of(synthesised())
        _keep_times(found, json.loads(WORK.read_text(encoding="utf-8"))["units"] if WORK.exists() else {})
    out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    for name, unit in found.items():
        print(f"{name:22} {unit['wru']:8} write units {unit['rru']:8} read units  {unit['says']}")
    return 0


def _keep_times(found: dict[str, Any], before: dict[str, Any]) -> None:
    """Let CPU times stand that are much the same, so that the file changes where the work does."""
    for name, unit in found.items():
        stood = before.get(name, {}).get("cpu_ms", {})
        for function, ms in unit["cpu_ms"].items():
            if abs(stood.get(function, 0) - ms) <= ALIKE * ms:
                unit["cpu_ms"][function] = stood[function]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main(sys.argv[1:]))
