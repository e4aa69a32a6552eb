"""`make proof`: flows struck at every call, months by seeds, guards taken away; as tables, and in out/proof.json.

Arguments: `--out FILE`, `--seeds FIRST COUNT`, and the parts when not all are wanted: `flows`, `seeds`, `mutants`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.proof.classes import classes
from tests.proof.flows import FLOWS
from tests.proof.meetings import MEETINGS
from tests.proof.mutants import MUTANTS, TESTS
from tests.proof.work import Found, hunt, months, strike

OUT = Path("out") / "proof.json"
SEEDS = 200
A_SHARE = 10
"""Seeds that a process takes at a time."""


def main(arguments: Sequence[str]) -> int:
    """Prove, print, write; 0 when nothing is violated and every guard was found missing."""
    asked = _asked(arguments)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as processes:

        def begun(work: Callable[..., Any], items: Iterable[Any]) -> list[Future[Any]]:
            return [processes.submit(work, item) for item in items]

        # All is begun before anything is told, so that nobody waits for the last piece of a part.
        first, count = asked.seeds
        shares = [range(at, min(at + A_SHARE, first + count)) for at in range(first, first + count, A_SHARE)]
        flows = begun(strike, (*FLOWS, *MEETINGS)) if "flows" in asked.parts else []
        guards = begun(hunt, _shares_of_guards()) if "mutants" in asked.parts else []
        seeds = begun(months, shares) if "seeds" in asked.parts else []
        found: dict[str, Any] = {}
        if flows:
            found["flows"] = _flows(map(Future.result, as_completed(flows)))
        if guards:
            found["mutants"] = _mutants(map(Future.result, as_completed(guards)))
        if seeds:
            found["seeds"] = _seeds(map(Future.result, as_completed(seeds)))
    found["classes"] = {"total": len(list(classes())), "shown": sum(bool(one.shown) for one in classes())}
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return int(not _all_well(found))


def _shares_of_guards() -> Iterator[list[int]]:
    """All whose lack tests show in one share, for a process that has them loaded; each of the others in its own."""
    by_tests = [number for number, mutant in enumerate(MUTANTS) if mutant.by.startswith(TESTS)]
    yield by_tests
    yield from ([number] for number in range(len(MUTANTS)) if number not in by_tests)


def _asked(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make proof", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--seeds", type=int, nargs=2, default=(1, SEEDS), metavar=("FIRST", "COUNT"))
    parser.add_argument("parts", nargs="*", default=["flows", "seeds", "mutants"])
    asked = parser.parse_args(arguments)
    if unknown := set(asked.parts) - {"flows", "seeds", "mutants"}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are flows, seeds and mutants")
    return asked


def _all_well(found: dict[str, Any]) -> bool:
    mutants = found.get("mutants", {"total": 0, "found": 0})
    violated = sum(
        one["violations"] for one in (*found.get("flows", {}).values(), found.get("seeds", {"violations": 0}))
    )
    return not violated and mutants["total"] == mutants["found"]


def _flows(proofs: Iterable[Found]) -> dict[str, Any]:
    """Every call of every flow, with every fault."""
    print(f"{'flow':38} {'calls':>6} {'points':>7} {'violations':>11}", flush=True)
    told: dict[str, Any] = {}
    for one in proofs:
        print(f"{one.name:38} {one.counts['calls']:6} {one.counts['points']:7} {len(one.wrong):11}", flush=True)
        for line in one.wrong:
            print(f"    {line}")
        told[one.name] = {**one.counts, "violations": len(one.wrong), "found": one.wrong}
    print(f"{'':38} {'':6} {sum(one['points'] for one in told.values()):7} points were tried\n", flush=True)
    return told


def _seeds(shares: Iterable[list[Found]]) -> dict[str, Any]:
    """Months of a small community, many faults at once."""
    struck: Counter[str] = Counter()
    failed: dict[str, list[str]] = {}
    run = 0
    for share in shares:
        for one in share:
            run += 1
            struck.update(one.counts)
            if one.wrong:
                failed[one.name] = one.wrong
                print(f"seed {one.name} is violated; again, with what happened: make soak SEEDS={one.name}:1")
                print(*(f"    {line}" for line in (*one.wrong[:5], *one.trace[-12:])), sep="\n", flush=True)
    print(f"{run} seeds, {sum(struck.values())} faults, {len(failed)} seeds violated")
    print("    " + ", ".join(f"{name.lower().replace('_', ' ')} {count}" for name, count in sorted(struck.items())))
    print(flush=True)
    return {"run": run, "violations": len(failed), "faults": dict(struck), "found": failed}


def _mutants(shares: Iterable[list[Found]]) -> dict[str, Any]:
    """Guards that are taken away: by whom each is found missing."""
    print(f"{'guard that is taken away':44} found missing by", flush=True)
    told = {}
    for one in chain.from_iterable(shares):
        print(f"{one.name:44} {one.wrong[0] if one.wrong else 'NOBODY'}", flush=True)
        told[one.name] = one.wrong[0] if one.wrong else None
    return {"total": len(told), "found": sum(one is not None for one in told.values()), "by": told}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
