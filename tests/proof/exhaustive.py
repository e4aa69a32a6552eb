"""Every call of a flow, every fault of it: after each the world goes on until it is quiet, and is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.proof.faults import Fault, faults_of
from tests.proof.flows import Flow
from tests.proof.house import House
from tests.proof.verdicts import End, end_of, violations
from tests.proof.world import Restless, Snapshot, World


class Known(Exception):
    """The world came to a state that it came to before, so it is known how it goes on."""


@dataclass
class Proof:
    """What trying every point of a flow came to: `ends` are those that had to be gone to, for they were new."""

    flow: str
    calls: int = 0
    points: int = 0
    ends: int = 0
    violations: list[tuple[str, list[str]]] = field(default_factory=list)


@dataclass(frozen=True)
class Head:
    """A moment between two deliveries of the run without faults, and how many calls had been made by then."""

    calls: int
    snapshot: Snapshot


@dataclass(frozen=True)
class Whole:
    """The run without faults: its calls, where one may join it, and how it ended."""

    start: Snapshot
    calls: list[str]
    firsts: frozenset[int]
    heads: list[Head]
    end: End


def prove(flow: Flow, house: House, *, at_most: int | None = None) -> Proof:
    """Try a flow at all of its points; `at_most`: stop after so many violations."""
    seen: set[str] = set()
    with flow.world(house) as world:
        flow.before(world)
        world.forget()
        whole = _without_faults(flow, world, seen)
        proof = Proof(flow.name, calls=len(whole.calls))
        for number, fault in _points(whole):
            proof.points += 1
            found = _struck(flow, world, whole, number=number, fault=fault, seen=seen)
            proof.ends += found is not None
            if found:
                proof.violations.append((f"call {number} ({whole.calls[number - 1]}): {fault}", found))
            if at_most is not None and len(proof.violations) >= at_most:
                break
    return proof


def _points(whole: Whole) -> Iterator[tuple[int, Fault]]:
    """Every call, with everything that can happen to it."""
    for number, operation in enumerate(whole.calls, start=1):
        for fault in faults_of(operation, first=number in whole.firsts):
            yield number, fault


def _without_faults(flow: Flow, world: World, seen: set[str]) -> Whole:
    start, heads = world.snapshot(), list[Head]()
    faults = world.house.faults
    world.restore(start)
    faults.begin()
    world.began.clear()

    def note(tell: Callable[[], str]) -> None:
        seen.add(tell())
        heads.append(Head(len(faults.calls), world.snapshot()))

    world.looked_at = note
    flow.run(world)
    world.looked_at = lambda _: None
    calls, firsts = list(faults.calls), frozenset(world.began)
    flow.then(world)
    end = end_of(world, start.now)
    if end.wrong:
        raise AssertionError(f"{flow.name} is not right without any fault: {end.wrong}")
    return Whole(start, calls, firsts, heads, end)


def _struck(flow: Flow, world: World, whole: Whole, *, number: int, fault: Fault, seen: set[str]) -> list[str] | None:
    """What is wrong after a fault; None when it led to where another one had led before."""
    faults = world.house.faults

    def look_up(tell: Callable[[], str]) -> None:
        if faults.struck:
            state = tell()
            if state in seen:
                raise Known
            seen.add(state)

    head = max((head for head in whole.heads if head.calls < number), key=lambda head: head.calls, default=None)
    world.restore(head.snapshot if head else whole.start)
    faults.begin({number - (head.calls if head else 0): fault})
    world.looked_at = look_up
    try:
        if head:
            world.run(whole.start.now + flow.quiet_after)
        else:
            flow.run(world)
        flow.then(world)
    except Known:
        return None
    except Restless as exc:
        return [str(exc)]
    finally:
        world.looked_at = lambda _: None
    return violations(end_of(world, whole.start.now), whole.end, ses_tells=flow.ses_tells)
