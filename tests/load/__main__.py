"""`make load`: signed webhooks while workers die, for some minutes, as a table and in out/load.json.

Without other arguments as many senders as this machine can take, and as many deaths as let what died get to work again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.local.demo import SECRETS
from infra.local.stack import running
from shared.errors import FlywheelError
from tests.load import killing
from tests.load.figures import figures, stands
from tests.load.running import Load, Plan, Run

OUT = Path("out") / "load.json"

EVERY = 30.0
"""Seconds between two lines of progress."""

FASTER = 6.0
"""A minute of load is six of the stack's, so that a lease is longer than even a busy machine takes for a mail."""

THIRD_DAY = 7.5
"""Seconds of deaths on the third day, for each minute of load."""


def main(arguments: list[str]) -> int:
    """Load, print, write; 0 when nothing is violated."""
    asked = _asked(arguments)
    if not killing.supported():
        print("make load finds and kills processes as Linux has it; this machine has not.", file=sys.stderr)
        return 2
    plan = Plan(
        seconds=asked.minutes * 60,
        third_day=asked.minutes * THIRD_DAY,
        faster=FASTER,
        seed=asked.seed,
        senders=asked.senders,
        every=asked.every,
    )
    try:
        with running(secrets=SECRETS, tell=lambda step: print(f"{step} ...", flush=True)) as stack:
            load = Load(stack, plan, Progress())
            told = figures(load.go(), stands(load))
    except FlywheelError as exc:
        print(exc, file=sys.stderr)
        return 2
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print("\n".join(_rows(told)))
    return int(any(told["violations"].values()))


def _asked(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make load")
    parser.add_argument("--minutes", type=float, default=20, help="of webhooks; coming to rest takes some more")
    parser.add_argument("--seed", type=int, default=7, help="of what is sent, and of who dies")
    parser.add_argument("--senders", type=int, help="at once; without it as many as this machine can take")
    parser.add_argument("--every", type=float, help="seconds between two deaths, in the mean")
    parser.add_argument("--out", type=Path, default=OUT, help="where the figures are written to")
    return parser.parse_args(arguments)


class Progress:
    """Prints a line now and then."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self._posted = 0
        print(f"{'seconds':>8} {'posted':>8} {'a second':>9} {'accepted':>9} {'tried again':>12} {'killed':>7}")

    def __call__(self, run: Run) -> None:
        """Print a line, unless the last one was printed just now."""
        now, tally = time.monotonic(), run.tally
        if now - self._last < EVERY:
            return
        rate = (tally.posted - self._posted) / (now - self._last)
        self._last, self._posted = now, tally.posted
        counts = f"{tally.posted:8} {rate:9.1f} {tally.accepted.total():9} {tally.retried:12} {run.killed.total():7}"
        print(f"{now - self._began:8.0f} {counts}", flush=True)


def _rows(told: Mapping[str, Any], under: str = "") -> Iterator[str]:
    """A figure a line, by its path."""
    for name, value in told.items():
        if isinstance(value, dict):
            yield from _rows(value, f"{under}{name} ")
        else:
            yield f"{under + str(name):45} {value}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
