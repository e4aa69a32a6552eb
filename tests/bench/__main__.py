"""`make bench`: every benchmark in a process of its own, as a table, and in out/bench.json for machines.

Arguments: the names of benchmarks when not all are wanted. The code is 1 when a goal is missed; the table says which.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from platform import machine, python_version
from typing import Any

from tests.bench.rows import Row
from tests.builders import ROOT

OUT = ROOT / "out" / "bench.json"

BENCHES: tuple[str, ...] = (
    *("webhook", "cold", "react", "tick", "decide", "mail"),
    *("mail_rate", "mail_peer", "rollup", "windows", "importing"),
)
"""Modules of this folder, each with `rows()`."""

VERSIONS = ("boto3", "botocore", "pydantic", "aws-lambda-powertools", "jinja2")


def main(names: Sequence[str]) -> int:
    """Measure these, or all; print, and write beside what else was measured into the same file."""
    unknown = set(names) - set(BENCHES)
    if unknown:
        print(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    print(f"Python {python_version()} on {machine()}, " + ", ".join(f"{one} {version(one)}" for one in VERSIONS))
    print(f"{'':26}{'ours':>12}{'beside':>12} {'unit':14}{'ratio':>8}  {'goal':10} beside what")
    missed = 0
    for name in names or BENCHES:
        for row in _apart(name):
            _print(row)
            _write(row)
            missed += row.met is False
    return int(missed > 0)


def _apart(name: str) -> Iterator[Row]:
    """The rows of a benchmark, measured in a process of its own as they come."""
    command = [sys.executable, "-m", "tests.bench", "--alone", name]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield from (Row(**json.loads(line)) for line in process.stdout)
    if process.returncode:
        raise SystemExit(f"the benchmark {name} failed")


def _alone(name: str) -> None:
    """Tell the rows of a benchmark on standard output, and let nothing else that it runs write there."""
    with os.fdopen(os.dup(1), "w") as told, Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        for row in import_module(f"tests.bench.{name}").rows():
            print(json.dumps(vars(row)), file=told, flush=True)


def _print(row: Row) -> None:
    other = "" if row.other is None else f"{row.other:12,.4g}"
    ratio = "" if row.ratio is None else f"{row.ratio:8.3g}"
    goal = f"<= {row.most}" if row.most is not None else f">= {row.least:g}" if row.least is not None else ""
    missed = "  MISSED" if row.met is False else ""
    print(f"{row.name:26}{row.ours:12,.4g}{other:>12} {row.unit:14}{ratio:>8}  {goal:10} {row.other_is}{missed}")
    for what, value in row.facts.items():
        print(f"{'':28}{what}: {value}")
    sys.stdout.flush()


def _write(row: Row) -> None:
    OUT.parent.mkdir(exist_ok=True)
    standing: dict[str, Any] = json.loads(OUT.read_text()) if OUT.exists() else {}
    OUT.write_text(json.dumps(standing | {row.name: row.as_json()}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--alone"]:
        _alone(sys.argv[2])
    else:
        sys.exit(main(sys.argv[1:]))
