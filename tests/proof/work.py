"""What a process of the proof does at a time: a flow, a share of the seeds, or one guard taken away."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache

from tests.builders import ROOT
from tests.proof.exhaustive import prove
from tests.proof.flows import FLOWS, told_by_receiver
from tests.proof.house import House, opened
from tests.proof.meetings import MEETINGS, meet
from tests.proof.mutants import MUTANTS, SEEDS, TESTS, Mutant, without
from tests.proof.seeds import Outcome, run
from tests.proof.verdicts import summary
from tests.proof.world import Restless

TRIED = 24
"""Seeds that are lived through to find a guard missing, from the one on that is known to find it."""

ENOUGH = 5
"""Violations of a flow that are looked at."""


@dataclass(frozen=True)
class Found:
    """What came of a piece of work: figures, and what is wrong."""

    name: str
    counts: Mapping[str, int]
    wrong: list[str]
    trace: list[str] = field(default_factory=list)


@cache
def _house() -> House:
    """This process's house, open for as long as the process lives."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(opened())


def strike(name: str) -> Found:
    """A flow or a meeting, exhaustively."""
    if name in MEETINGS:
        met = meet(MEETINGS[name], _house(), at_most=ENOUGH)
        return Found(name, {"calls": met.calls, "points": met.calls}, _told(met.violations))
    proof = prove(FLOWS[name], _house(), at_most=ENOUGH)
    return Found(name, {"calls": proof.calls, "points": proof.points}, _told(proof.violations))


def _told(violations: Iterable[tuple[str, list[str]]]) -> list[str]:
    return [f"{where}: {summary(what)}" for where, what in violations]


def months(seeds: Iterable[int]) -> list[Found]:
    """Some seeds, one after the other."""
    return [
        Found(str(one.seed), one.struck, [text[:400] for text in one.wrong], one.trace) for one in map(_lived, seeds)
    ]


def _lived(seed: int) -> Outcome:
    house = _house()
    try:
        return run(seed, house, told_by_receiver(house))
    except Restless as exc:
        return Outcome(seed, {}, [f"it does not come to rest: {exc}"], [])


def hunt(number: int) -> Found:
    """A guard taken away: `wrong` is by what that was found, empty where it was not."""
    mutant = MUTANTS[number]
    if mutant.by.startswith(TESTS):
        return Found(mutant.guard, {}, [mutant.by.rpartition("::")[2]] if _fails(mutant) else [])
    house = _house()
    with without(mutant):
        if mutant.by != SEEDS:
            return Found(mutant.guard, {}, [mutant.by] if _breaks(mutant, house) else [])
        for seed in range(mutant.first, mutant.first + TRIED):
            if _lived(seed).wrong:
                return Found(mutant.guard, {}, [f"seed {seed}"])
    return Found(mutant.guard, {}, [])


def _fails(mutant: Mutant) -> bool:
    """Whether a test fails without a guard, in a process of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.proof.unguarded", mutant.by]
    told = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"UNGUARDED": mutant.guard}, check=False, capture_output=True, text=True
    )
    return told.returncode == 1  # 2 and more: the tests could not even be run


def _breaks(mutant: Mutant, house: House) -> bool:
    try:
        if mutant.by in MEETINGS:
            return bool(meet(MEETINGS[mutant.by], house, at_most=1).violations)
        return bool(prove(FLOWS[mutant.by], house, at_most=1).violations)
    except (AssertionError, Restless):  # it is not even right without any fault
        return True
