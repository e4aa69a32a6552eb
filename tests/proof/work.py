"""What a process of the proof does at a time: a flow, a share of the seeds, or one guard taken away."""

from __future__ import annotations

import atexit
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
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


def hunt(numbers: Sequence[int]) -> list[Found]:
    """Guards taken away one after the other: `wrong` is by what that was found, empty where it was not."""
    mutants = [MUTANTS[number] for number in numbers]
    by_tests = [mutant for mutant in mutants if mutant.by.startswith(TESTS)]
    missed = _missed_by_tests(by_tests) if by_tests else set()
    told = [Found(one.guard, {}, [one.by.rpartition("::")[2]] if one.guard in missed else []) for one in by_tests]
    return told + [_hunted(mutant) for mutant in mutants if mutant not in by_tests]


def _missed_by_tests(mutants: Sequence[Mutant]) -> set[str]:
    """The guards without which their tests fail, in a process of its own: the tests make clients as they need them."""
    guards = [mutant.guard for mutant in mutants]
    told = subprocess.run(
        [sys.executable, "-m", "tests.proof.unguarded", *guards], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return set(guards) & set(told.stdout.splitlines())


def _hunted(mutant: Mutant) -> Found:
    house = _house()
    with without(mutant):
        if mutant.by != SEEDS:
            return Found(mutant.guard, {}, [mutant.by] if _breaks(mutant, house) else [])
        for seed in range(mutant.first, mutant.first + TRIED):
            if _lived(seed).wrong:
                return Found(mutant.guard, {}, [f"seed {seed}"])
    return Found(mutant.guard, {}, [])


def _breaks(mutant: Mutant, house: House) -> bool:
    try:
        if mutant.by in MEETINGS:
            return bool(meet(MEETINGS[mutant.by], house, at_most=1).violations)
        return bool(prove(FLOWS[mutant.by], house, at_most=1).violations)
    except (AssertionError, Restless):  # it is not even right without any fault
        return True
