"""A weekly report's windows at a million members: over our bitmaps, beside DuckDB's distinct counts of raw events."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta

import duckdb
import numpy as np
from pyroaring import BitMap

from shared.measured import Counts, Known, Period, trailing
from shared.metrics import METRICS, figures
from shared.rollups import bitmaps
from shared.tally import Tally
from tests.bench.rows import Row, cpu, in_turns
from tests.builders import a_playbook

MEMBERS, ACTIVE, NEW, LEFT, DAYS, INACTIVE = 1_000_000, 80_000, 1_000, 700, 90, 30
WEEK = Period.of("week", date(2030, 3, 27))
KEYS = ("active", "dau", "wau", "mau", "stickiness", "retention", "cohort_d1", "cohort_d7", "cohort_d30")

WINDOWS = """
WITH week AS (SELECT * FROM active WHERE day BETWEEN $first AND $last),
before AS (SELECT DISTINCT member FROM active WHERE day BETWEEN $first - 7 AND $first - 1),
daily AS (SELECT day, count(DISTINCT member) AS found FROM week GROUP BY day),
cohorts AS (
    SELECT after, count(DISTINCT (joined.day, joined.member)) FILTER (active.member IS NOT NULL)
        / count(DISTINCT (joined.day, joined.member)) AS stayed
    FROM joined CROSS JOIN (VALUES (1), (7), (30)) AS after(after)
    LEFT JOIN active ON active.member = joined.member AND active.day = joined.day + after
    WHERE joined.day + after BETWEEN $first AND $last GROUP BY after
)
SELECT active, dau, wau, mau, dau / mau, retention, d1, d7, d30 FROM (
SELECT (SELECT count(DISTINCT member) FROM week) AS active, (SELECT avg(found) FROM daily) AS dau,
    (SELECT count(DISTINCT member) FROM active WHERE day BETWEEN $last - 6 AND $last) AS wau,
    (SELECT count(DISTINCT member) FROM active WHERE day BETWEEN $last - 29 AND $last) AS mau,
    (SELECT count(DISTINCT member) FROM week WHERE member IN (SELECT member FROM before))
        / (SELECT count(*) FROM before) AS retention,
    (SELECT stayed FROM cohorts WHERE after = 1) AS d1,
    (SELECT stayed FROM cohorts WHERE after = 7) AS d7,
    (SELECT stayed FROM cohorts WHERE after = 30) AS d30)
"""

Stored = Mapping[date, Mapping[str, bytes]]
Read = dict[date, dict[str, BitMap]]


def rows() -> Iterator[Row]:
    """Seconds of CPU for the windows of a week, from what is stored; what is found is the same."""
    stored, playbook = _some_days(), a_playbook()
    connection = _loaded(_read(stored))

    def ours() -> list[object]:
        known = Known(activity=_read(stored, "active", "new"))
        return [METRICS[key].measure(WEEK, known, playbook) for key in KEYS]

    def duck() -> list[object]:
        found = connection.execute(WINDOWS, {"first": WEEK.first, "last": WEEK.last}).fetchone()
        return list(found or ())

    assert ours() == duck(), (ours(), duck())
    mine, other = in_turns(lambda: cpu(ours), lambda: cpu(duck))
    yield Row(
        name="windows",
        ours=mine,
        other=other,
        unit="s of CPU",
        other_is=f"DuckDB {duckdb.__version__}, count(DISTINCT) over (day, member) in memory",
        most=0.1,
        facts={
            "members, days, active a day": f"{MEMBERS:,}, {DAYS}, {ACTIVE:,}",
            "bytes stored": sum(len(one) for kinds in stored.values() for one in kinds.values()),
            "of it reading bitmaps, s": round(cpu(lambda: _read(stored, "active", "new")), 4),
            "all figures of the week, s": round(cpu(_all_figures(stored)), 4),
            "the bitmaps of one more day, s": round(cpu(_one_more_day(stored)), 4),
        },
    )
    connection.close()


def _all_figures(stored: Stored) -> Callable[[], object]:
    days, playbook = _read(stored), a_playbook()
    counted = Counts(posts=9_000, comments=50_000, scores={9: 30, 3: 9}, threads=9_000, answered=7_000)
    waits = dict.fromkeys(days, range(0, 70_000, 10))
    known = Known(counts=dict.fromkeys(days, counted), activity=days, waits=waits)
    return lambda: figures(WEEK, known, playbook)


def _one_more_day(stored: Stored) -> Callable[[], object]:
    days = _read(stored)
    last = max(days)
    tally = Tally(active=days[last]["active"])
    return lambda: bitmaps(tally, days, last + timedelta(days=1), INACTIVE)


def _read(stored: Stored, *kinds: str) -> Read:
    """The bitmaps of these kinds, or all, as the store hands them out."""
    return {
        day: {kind: BitMap.deserialize(one) for kind, one in told.items() if kind in kinds or not kinds}
        for day, told in stored.items()
    }


def _some_days() -> Stored:
    """The bitmaps of 90 days, as they are stored."""
    chance = random.Random(7)  # noqa: S311 - chance, no secret
    days: dict[date, dict[str, bytes]] = {}
    members = BitMap(range(MEMBERS - DAYS * NEW))
    for back, day in enumerate(trailing(DAYS, WEEK.last)):
        newest = MEMBERS - (DAYS - back) * NEW
        joined = BitMap(range(newest, newest + NEW))
        # Half of the active are regulars, so that retention and lapses are not those of a shuffled crowd.
        regulars = chance.sample(range(newest // 10), ACTIVE // 2)
        active = BitMap(regulars) | BitMap(chance.sample(range(newest), ACTIVE // 2)) | joined[::3]
        left = BitMap(chance.sample(range(newest), LEFT)) - active
        seen = active | joined
        members = (members | seen) - left
        told = {"active": active, "joined": joined, "seen": seen, "left": left}
        marks = {"new": joined, "gone": left, "lapsed": BitMap(chance.sample(range(newest), NEW)), "returned": BitMap()}
        days[day] = {kind: one.serialize() for kind, one in {**told, **marks, "members": members}.items()}
    return days


def _loaded(days: Read) -> duckdb.DuckDBPyConnection:
    """One event for each member and day, in two columns: the least that raw events can be."""
    connection = duckdb.connect()
    for table, kind in (("active", "active"), ("joined", "new")):
        people = [np.array(told[kind].to_array(), dtype=np.uint32) for told in days.values()]
        dates = [np.full(len(who), day, dtype="datetime64[us]") for day, who in zip(days, people, strict=True)]
        connection.register("given", {"day": np.concatenate(dates), "member": np.concatenate(people)})
        connection.execute(f"CREATE TABLE {table} AS SELECT CAST(day AS DATE) AS day, member FROM given")  # noqa: S608 - our own names
    return connection
