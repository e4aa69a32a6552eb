"""What a benchmark tells: ours beside another's, both taken in the same run and in turns: only their ratio counts."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from time import process_time
from typing import Any

RUNS = 45
"""How often each side is taken: the median is told."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: `ours` and `other` are medians of `runs` in `unit`; `most` is the goal of their ratio.

    Where there is nothing to compare with `other` is None, and `least` may hold `ours` from below. `facts` is what
    else was counted.
    """

    name: str
    ours: float
    other: float | None
    unit: str
    other_is: str
    runs: int = RUNS
    most: float | None = None
    least: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """How many times the other ours is."""
        return None if not self.other else self.ours / self.other

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.most is not None and self.ratio is not None:
            return self.ratio <= self.most
        return None if self.least is None else self.ours >= self.least

    def as_json(self) -> dict[str, Any]:
        """The row as out/bench.json has it."""
        goal = {"most": self.most, "least": self.least}
        told = {name: value for name, value in asdict(self).items() if name not in {"name", "most", "least"}}
        return told | {"ratio": self.ratio, "goal": {k: v for k, v in goal.items() if v is not None}, "met": self.met}


def cpu(work: Callable[[], object], *, times: int = 1) -> float:
    """Seconds of CPU that one of `times` pieces of work takes."""
    gc.collect()
    began = process_time()
    for _ in range(times):
        work()
    return (process_time() - began) / times


def in_turns(ours: Callable[[], float], other: Callable[[], float], *, runs: int = RUNS) -> tuple[float, float]:
    """The medians of two measures, taken in turns, so that whatever else the machine does strikes both alike."""
    taken: list[tuple[float, float]] = []
    for number in range(runs):
        if number % 2:
            second, first = other(), ours()
        else:
            first, second = ours(), other()
        taken.append((first, second))
    return median(first for first, _ in taken), median(second for _, second in taken)
