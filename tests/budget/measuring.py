"""Runs each unit of work in a world of its own, and tells what one of it comes to, as the budget file has it."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from tests.budget.counter import Counted, Spent
from tests.budget.units import UNITS, Unit
from tests.invocation import Context
from tests.proof.flows import FLOWS
from tests.proof.house import FUNCTIONS, House
from tests.proof.world import World


class _Named(Context):
    """What Lambda tells an invocation, with names as long as they are there."""

    def __init__(self, function: str) -> None:
        super().__init__()
        self._function_name = f"Flywheel-{function}0A1B2C3D-AbCdEfGhIjKl"
        self._aws_request_id = "00000000-0000-0000-0000-000000000000"
        self._invoked_function_arn = f"arn:aws:lambda:eu-west-1:000000000000:function:{self._function_name}"


class CountedWorld(World):
    """A world whose invocations are counted while `counted` is there. Nothing is struck, so an error is one."""

    counted: Counted | None = None

    def invoke(self, function: str, event: dict[str, Any]) -> tuple[bool, Any]:
        """Invoke a function; what it set off arrives with it."""
        if self.counted is None:
            ended, answer = super().invoke(function, event)
            assert ended, f"{function} failed before anything was counted"
            return ended, answer
        with self.counted.invocation(function, FUNCTIONS[function]):
            answer = FUNCTIONS[function].handler(event, _Named(function))
        self.collect()
        return True, answer


def measured(house: House, names: list[str] | None = None, *, times: int = 1) -> dict[str, dict[str, Any]]:
    """Every unit as the budget file has it, or those named.

    Each is run so many times; of the CPU times the least is kept, for the rest of them is somebody else's work.
    """
    wanted = names or list(UNITS)
    needed = {*wanted, *(UNITS[name].less for name in wanted if UNITS[name].less)}
    spent = {name: _run(UNITS[name], house, times) for name in UNITS if name in needed}
    return {name: _told(UNITS[name], spent[name], spent) for name in wanted}


def _run(unit: Unit, house: House, times: int) -> Spent:
    runs = [_once(unit, house) for _ in range(times)]
    first = runs[0]
    first.cpu = min((run.cpu for run in runs), key=lambda cpu: sum(cpu.values()))
    return first


def _once(unit: Unit, house: House) -> Spent:
    flow = FLOWS[unit.flow]
    with CountedWorld(house, flow.playbook(house), flow.starts_at) as world:
        unit.before(world)
        _warm(world)
        counted = Counted(house, world.now.timestamp())
        world.counted = counted
        with counted.open(world._clients):
            unit.does(world)
        return counted.spent


def _warm(world: World) -> None:
    """What a worker reads once in a quarter of an hour is counted by the hour, not by the unit."""
    world.app.signer  # noqa: B018 - reading it is what it is for
    world.app.webhook_secrets("slack")
    world.app.rewards_secrets()


def _told(unit: Unit, spent: Spent, others: Mapping[str, Spent]) -> dict[str, Any]:
    less = others[unit.less] if unit.less else Spent()
    share = Fraction(1, unit.per)

    def each(here: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, Any]:
        found = {name: _number((here[name] - there.get(name, 0)) * share) for name in sorted(here)}
        return {name: count for name, count in found.items() if count}

    told: dict[str, Any] = {"says": unit.says}
    for name in ("requests", "invocations", "asked", "logged", "metrics", "stored", "bitmaps"):
        told[name] = each(getattr(spent, name), getattr(less, name))
    for name in ("wru", "rru", "written", "read"):
        told[name] = _number((getattr(spent, name) - getattr(less, name)) * share)
    told["cpu_ms"] = {
        name: round(1000 * max(seconds - less.cpu.get(name, 0), 0) / unit.per, 2) for name, seconds in spent.cpu.items()
    }
    return told


def _number(value: Fraction | int) -> float | int:
    rounded = round(float(value), 3)
    return int(rounded) if rounded == int(rounded) else rounded
