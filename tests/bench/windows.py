"""How much a weekly report's figures cost at a million members, and a day's tally at a million events: `make bench`.

Each is measured in a process of its own, so that peak memory is its own, and held against what is promised of it.
"""

from __future__ import annotations

import json
import pickle
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from time import process_time
from typing import Any

from pyroaring import BitMap

from shared.events import BaseEvent, Body, CommentCreated, CommunityEvent, EventAttended, PostCreated, ReactionAdded
from shared.measured import Counts, Known, Period, trailing
from shared.metrics import figures
from shared.rollups import bitmaps
from shared.tally import Tally, packed, tally
from tests.builders import ROOT, a_member, a_playbook, at

MEMBERS, ACTIVE, NEW, LEFT, DAYS, EVENTS, INACTIVE = 1_000_000, 80_000, 1_000, 700, 90, 1_000_000, 30
WEEK = Period.of("week", date(2030, 3, 27))
MIDNIGHT = at("2030-03-31T00:00Z")
LIMITS = {"weekly figures": (0.5, 400), "a day's bitmaps": (0.5, 400), "a day's tally": (60, 1_500)}
"""What each may take: seconds of CPU and MB at its peak."""


def some_days() -> dict[date, dict[str, bytes]]:
    """The bitmaps of 90 days, as they are stored."""
    chance = random.Random(7)  # noqa: S311 - chance, no secret
    people = range(MEMBERS)
    days: dict[date, dict[str, BitMap]] = {}
    members = BitMap(range(MEMBERS - DAYS * NEW))
    for back, day in enumerate(trailing(DAYS, WEEK.last)):
        newest = len(people) - (DAYS - back) * NEW
        joined = BitMap(range(newest, newest + NEW))
        # Half of the active are regulars, so that retention and lapses are not those of a shuffled crowd.
        active = BitMap(chance.sample(range(newest // 10), ACTIVE // 2)) | BitMap(
            chance.sample(range(newest), ACTIVE // 2)
        )
        left = BitMap(chance.sample(range(newest), LEFT)) - active
        seen = active | joined
        members = (members | seen) - left
        told = {"active": active, "joined": joined, "seen": seen, "left": left}
        marks = {"new": joined, "gone": left, "lapsed": BitMap(chance.sample(range(newest), NEW)), "returned": BitMap()}
        days[day] = told | marks | {"members": members.copy()}
    return {day: {kind: one.serialize() for kind, one in kinds.items()} for day, kinds in days.items()}


def weekly_figures(days: dict[date, dict[str, BitMap]]) -> object:
    """Every figure of a week."""
    counts = {
        day: Counts(posts=9_000, comments=50_000, scores={9: 30, 3: 9}, threads=9_000, answered=7_000) for day in days
    }
    waits = {day: list(range(0, 70_000, 10)) for day in days}
    return figures(WEEK, Known(counts=counts, activity=days, waits=waits), a_playbook())


def a_days_bitmaps(days: dict[date, dict[str, BitMap]]) -> object:
    """The bitmaps of one more day, from the days before it."""
    day = max(days) + timedelta(days=1)
    return bitmaps(Tally(active=days[max(days)]["active"]), days, day, INACTIVE)


def some_events() -> Iterator[CommunityEvent]:
    """A million events of 80,000 people, mostly comments and reactions."""
    chance = random.Random(7)  # noqa: S311 - chance, no secret
    kinds: list[Callable[..., BaseEvent]] = [PostCreated, *[CommentCreated] * 5, *[ReactionAdded] * 3, EventAttended]
    for number in range(EVENTS):
        moment = MIDNIGHT + timedelta(milliseconds=86 * number)
        kind = chance.choice(kinds)
        said = {"body": Body(length=9, sentiment="positive")} if kind in (PostCreated, CommentCreated) else {}
        yield kind(  # type: ignore[misc]
            id=f"slack:Ev{number}",
            occurred_at=moment,
            received_at=moment,
            platform="slack",
            actor=f"U{chance.randrange(ACTIVE)}",
            object=f"C1:{number}",
            parent=f"C1:{chance.randrange(EVENTS)}",
            **said,
        )


def measure(name: str, stored: Path) -> dict[str, float]:
    """Seconds of CPU and peak MB of one of the pieces of work, in this process."""
    if name == "a day's tally":
        people = {f"slack:U{number}": a_member(id=f"m{number:020}", ordinal=number) for number in range(ACTIVE)}
        events, spent = some_events(), 0.0
        parts = []
        while batch := [event for _, event in zip(range(EVENTS // 8), events, strict=False)]:
            began = process_time()
            parts.append(packed(tally(batch, people)))
            spent += process_time() - began
        return {"seconds": round(spent, 3), "mb": _peak(), "bytes": sum(map(len, parts))}
    began = process_time()
    plain: dict[date, dict[str, bytes]] = pickle.loads(stored.read_bytes())  # noqa: S301 - written by ourselves just now
    days = {day: {kind: BitMap.deserialize(one) for kind, one in kinds.items()} for day, kinds in plain.items()}
    read = process_time()
    work: dict[str, Callable[[dict[date, dict[str, BitMap]]], Any]]
    work = {"weekly figures": weekly_figures, "a day's bitmaps": a_days_bitmaps}
    a_playbook()
    began_work = process_time()
    work[name](days)
    done = process_time()
    return {"seconds": round(done - began_work, 3), "mb": _peak(), "reading": round(read - began, 3)}


def _peak() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def main() -> int:
    """Measure everything, print it, write it to out/bench.json; 1 when something took more than it may."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / "days"
        stored.write_bytes(pickle.dumps(some_days()))
        for name in LIMITS:
            command = [sys.executable, "-m", "tests.bench.windows", name, str(stored)]
            found[name] = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout)
    print(f"{'':18}{'CPU':>9}{'may take':>10}{'peak':>10}{'may take':>10}")
    for name, (seconds, mb) in LIMITS.items():
        one = found[name]
        print(f"{name:18}{one['seconds']:>8.3f}s{seconds:>9}s{one['mb']:>7.0f} MB{mb:>7} MB")
    _write(found)
    return int(
        any(found[name]["seconds"] > seconds or found[name]["mb"] > mb for name, (seconds, mb) in LIMITS.items())
    )


def _write(found: dict[str, dict[str, float]]) -> None:
    """Beside what else was measured into the same file."""
    path = ROOT / "out" / "bench.json"
    path.parent.mkdir(exist_ok=True)
    standing = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(standing | found, indent=2) + "\n")


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))
    else:
        sys.exit(main())
