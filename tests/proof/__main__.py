"""`make proof`: every flow struck at every call, as a table, and in out/proof.json for machines.

Arguments: where to write it to, and the names of flows when not all are wanted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.proof.exhaustive import prove
from tests.proof.flows import FLOWS
from tests.proof.house import opened
from tests.proof.verdicts import summary

OUT = Path("out") / "proof.json"


def main(arguments: Sequence[str]) -> int:
    """Prove, print, write; 0 when nothing is violated."""
    out = Path(arguments[0]) if arguments else OUT
    flows = flows_proved(arguments[1:] or list(FLOWS))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"flows": flows}, indent=2) + "\n", encoding="utf-8")
    return int(any(one["violations"] for one in flows.values()))


def flows_proved(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """These flows, exhaustively; five violations of one are enough to look at."""
    print(f"{'flow':28} {'calls':>6} {'points':>7} {'violations':>11}")
    found = {}
    with opened() as house:
        for name in names:
            proof = prove(FLOWS[name], house, at_most=5)
            print(f"{name:28} {proof.calls:6} {proof.points:7} {len(proof.violations):11}", flush=True)
            for where, what in proof.violations:
                print(f"    {where}", *summary(what), sep="\n        ")
            counts = {"calls": proof.calls, "points": proof.points, "violations": len(proof.violations)}
            found[name] = counts | {"found": [f"{where}: {summary(what)}" for where, what in proof.violations]}
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
