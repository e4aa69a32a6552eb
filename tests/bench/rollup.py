"""A day of a million events to its figures and bitmaps: our tally, beside DuckDB over the same events as columns."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import duckdb
import numpy as np

from shared.events import (
    Body,
    CommentCreated,
    CommunityEvent,
    EventAttended,
    PostCreated,
    ReactionAdded,
    SurveyAnswered,
)
from shared.model import Identity, Member
from shared.rollups import bitmaps, counts_of, waits
from shared.store import keys
from shared.tally import Tally, merge, tally
from tests.bench.rows import Row, cpu, in_turns
from tests.builders import a_member, at

EVENTS, PEOPLE, RUNS, INACTIVE = 1_000_000, 80_000, 3, 30
DAY, MIDNIGHT = date(2030, 3, 31), at("2030-03-31T00:00Z")

COLUMNS = {
    **dict.fromkeys(("platform", "actor", "id", "type", "object", "parent", "sentiment"), "VARCHAR"),
    "at": "TIMESTAMP",
    "score": "TINYINT",
}

FIGURES = """
CREATE OR REPLACE TEMP TABLE did AS
    SELECT events.*, ordinal, member_id FROM (SELECT DISTINCT ON (platform, actor, id) * FROM events) AS events
    JOIN people USING (platform, actor) WHERE role = 'member' AND actor <> 'community';
CREATE OR REPLACE TEMP TABLE days AS
    SELECT member_id, any_value(ordinal) AS ordinal, count(*) FILTER (type = 'post.created') AS posts,
        count(*) FILTER (type = 'comment.created') AS comments, count(*) FILTER (type = 'reaction.added') AS reactions,
        count(*) FILTER (type = 'event.attended') AS attended, count(*) FILTER (type = 'survey.answered') AS answers,
        count(*) FILTER (type = 'answer.accepted') AS accepted, max("at") AS present
    FROM did GROUP BY member_id;
CREATE OR REPLACE TEMP TABLE threads AS
    SELECT platform || ':' || object AS thread, min(("at", ordinal)) AS said FROM did
    WHERE type = 'post.created' AND object IS NOT NULL GROUP BY platform, object;
CREATE OR REPLACE TEMP TABLE replies AS
    SELECT platform || ':' || parent AS thread, ordinal, min("at") AS "at" FROM did
    WHERE type = 'comment.created' AND parent IS NOT NULL GROUP BY platform, parent, ordinal
    QUALIFY row_number() OVER (PARTITION BY platform, parent ORDER BY min("at"), ordinal) <= 2;
"""
COUNTS = """
SELECT (SELECT count(DISTINCT (platform, actor, id)) FROM events) AS events,
    count(*) FILTER (type = 'post.created') AS posts, count(*) FILTER (type = 'comment.created') AS comments,
    count(*) FILTER (type = 'reaction.added') AS reactions, count(*) FILTER (type = 'event.attended') AS attended,
    count(*) FILTER (sentiment = 'positive') AS positive, count(*) FILTER (sentiment = 'neutral') AS neutral,
    count(*) FILTER (sentiment = 'negative') AS negative, (SELECT count(*) FROM threads) AS threads
FROM did
"""
WAITS = """
SELECT greatest(epoch_us(min(replies."at")) - epoch_us(said[1]), 0) // 1000000 AS waited
FROM threads JOIN replies USING (thread) WHERE ordinal <> said[2] GROUP BY thread, said
HAVING min(replies."at") - said[1] <= INTERVAL 7 DAY ORDER BY waited
"""
SCORES = "SELECT score, count(*) FROM did WHERE type = 'survey.answered' GROUP BY score ORDER BY score"

Figures = dict[str, Any]
Make = Callable[..., Any]
"""A type of event."""


def rows() -> Iterator[Row]:
    """Seconds of CPU for the whole day, by us and by DuckDB; what they found is the same."""
    people = {Identity("slack", f"U{n}"): a_member(id=f"m{n:020}", ordinal=n) for n in range(PEOPLE)}
    shards = _shards()
    connection = _loaded(shards, people)
    known = {str(identity): member for identity, member in people.items()}
    gc.freeze()  # what either side is given is not searched for garbage while it works
    assert _ours(shards, known) == _duckdb(connection)
    ours, other = in_turns(
        lambda: cpu(lambda: _ours(shards, known)), lambda: cpu(lambda: _duckdb(connection)), runs=RUNS
    )
    yield Row(
        name="rollup",
        ours=ours,
        other=other,
        unit="s of CPU",
        other_is=f"DuckDB {duckdb.__version__}, the same events in a table in memory",
        runs=RUNS,
        most=5,
        facts={"events": EVENTS, "members": PEOPLE, "µs an event": round(ours / EVENTS * 1e6, 2)},
    )
    gc.unfreeze()
    connection.close()


def _ours(shards: Sequence[Sequence[CommunityEvent]], people: Mapping[str, Member]) -> Figures:
    """As `metrics_rollup` does it: a tally of each shard, all of them merged, and what follows from that."""
    whole = merge(*(tally(events, people) for events in shards))
    answered = waits(whole.threads, [whole.replies])
    counts = counts_of(whole, influenced={}, sourced={}, signups=0, answered=len(answered))
    told = bitmaps(whole, {}, DAY, INACTIVE)
    return _figures(whole, counts.model_dump(), active=told["active"].to_array(), waited=answered)


def _figures(whole: Tally, counts: Figures, *, active: Any, waited: list[int]) -> Figures:
    return {
        **{name: counts[name] for name in ("events", "posts", "comments", "reactions", "attended", "threads")},
        **{name: counts[name] for name in ("positive", "neutral", "negative", "scores")},
        "active": len(active),
        "active ordinals": int(sum(active)),
        "doings": len(whole.days),
        "replies": sum(map(len, whole.replies.values())),
        "waited": waited,
    }


def _duckdb(connection: duckdb.DuckDBPyConnection) -> Figures:
    connection.execute(FIGURES)
    counts: Figures = {name: int(found[0]) for name, found in connection.execute(COUNTS).fetchnumpy().items()}
    active = connection.execute("SELECT ordinal FROM days ORDER BY ordinal").fetchnumpy()["ordinal"]
    [[replies]] = connection.execute("SELECT count(*) FROM replies").fetchall()
    return counts | {
        "scores": dict(connection.execute(SCORES).fetchall()),
        "active": len(active),
        "active ordinals": int(active.sum()),
        "doings": len(active),
        "replies": replies,
        "waited": connection.execute(WAITS).fetchnumpy()["waited"].tolist(),
    }


def _shards() -> list[list[CommunityEvent]]:
    """The events of a day by the log's shards, in the log's order: comments and reactions mostly, a tenth threads."""
    chance = random.Random(7)  # noqa: S311 - chance, no secret
    shards: list[list[CommunityEvent]] = [[] for _ in range(keys.LOG_SHARDS)]
    kinds: list[Make] = [PostCreated, *[CommentCreated] * 5, *[ReactionAdded] * 3]
    for number in range(EVENTS):
        actor = f"U{chance.randrange(PEOPLE)}"
        kind: Make = chance.choice(kinds) if number % 10 else chance.choice((EventAttended, SurveyAnswered))
        shard = int(keys.log(DAY, Identity("slack", actor), "")[0][-1])
        shards[shard].append(_event(number, kind, actor, chance))
    return [sorted(events, key=lambda event: (event.actor, event.id)) for events in shards]


def _event(number: int, kind: Make, actor: str, chance: random.Random) -> CommunityEvent:
    moment = MIDNIGHT + timedelta(milliseconds=86 * number)
    said: Figures = {}
    if kind in (PostCreated, CommentCreated):
        said = {"body": Body(length=9, sentiment=chance.choice(("positive", "neutral", "negative", None)))}
    if kind is PostCreated:
        said["object"] = f"C1:{number // 10}"
    if kind is CommentCreated:
        said["parent"] = f"C1:{chance.randrange(EVENTS // 10)}"
    if kind is SurveyAnswered:
        said["score"] = chance.randrange(11)
    event: CommunityEvent = kind(
        id=f"slack:Ev{number}", occurred_at=moment, received_at=moment, platform="slack", actor=actor, **said
    )
    return event


def _sentiment(event: CommunityEvent) -> str | None:
    body: Body | None = getattr(event, "body", None)
    return body.sentiment if body else None


def _loaded(shards: Sequence[Sequence[CommunityEvent]], people: Mapping[Identity, Member]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    events = [event for shard in shards for event in shard]
    told: dict[str, Any] = {name: [getattr(event, name, None) for event in events] for name in COLUMNS}
    told["sentiment"] = list(map(_sentiment, events))
    told["at"] = np.array([event.occurred_at.replace(tzinfo=None) for event in events], dtype="datetime64[us]")
    columns = {name: np.array(values, dtype=object) if name != "at" else values for name, values in told.items()}
    connection.register("given", columns)
    casts = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in COLUMNS.items())
    connection.execute(f"CREATE TABLE events AS SELECT {casts} FROM given")  # noqa: S608 - our own names
    connection.execute(
        "CREATE TABLE people (platform VARCHAR, actor VARCHAR, ordinal INT, member_id VARCHAR, role VARCHAR)"
    )
    rows = np.array([(*one, member.ordinal, member.id, member.role) for one, member in people.items()], dtype=object)
    connection.register("them", {f"c{at}": rows[:, at].copy() for at in range(5)})
    connection.execute("INSERT INTO people SELECT c0, c1, CAST(c2 AS INT), c3, c4 FROM them")
    return connection
