"""Every figure of every period from the list of events, in SQL: an independent reading, with no code of ours."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

SQL = Path(__file__).with_name("oracle.sql")

EVENTS = """create table event as
select id, type, occurred_at::timestamptz as happened,
    (occurred_at::timestamptz at time zone '{zone}')::date as day, platform, actor, object, parent, "returning",
    coalesce(sentiment, body.sentiment) as sentiment, score, format, amount, currency
from read_json($file, format = 'newline_delimited', columns = {{id: 'varchar', type: 'varchar', occurred_at: 'varchar',
    platform: 'varchar', actor: 'varchar', object: 'varchar', parent: 'varchar', "returning": 'boolean',
    sentiment: 'varchar', body: 'struct(sentiment varchar)', score: 'integer', format: 'varchar', amount: 'bigint',
    currency: 'varchar'}})"""

FORMATS = ("case_study", "tutorial_video", "template", "resource", "qa_thread", "success_story")


class Span(NamedTuple):
    """A period, and the one before it."""

    kind: str
    first: date
    last: date
    before_first: date
    before_last: date


class Terms(NamedTuple):
    """What the playbook says: days of silence, the cost of a ticket, and the weights of the health score."""

    zone: str
    inactive_days: int
    ticket: Mapping[str, int]
    engagement: float
    growth: float
    sentiment: float


def days(first: date, last: date) -> list[Span]:
    """Every day from the first to the last as a period."""
    found = [first + timedelta(days=at) for at in range((last - first).days + 1)]
    return [Span("day", day, day, day - timedelta(days=1), day - timedelta(days=1)) for day in found]


def week(monday: date) -> Span:
    """An ISO week as a period."""
    return Span("week", monday, monday + timedelta(days=6), monday - timedelta(days=7), monday - timedelta(days=1))


def month(first: date) -> Span:
    """A calendar month as a period."""
    before, after = first - timedelta(days=1), (first + timedelta(days=31)).replace(day=1)
    return Span("month", first, after - timedelta(days=1), before.replace(day=1), before)


def figures(
    events: Iterable[Mapping[str, Any]],
    people: Mapping[str, tuple[str, bool]],
    brought: Mapping[str, datetime],
    spans: Sequence[Span],
    terms: Terms,
    scratch: Path,
) -> dict[tuple[str, date], dict[str, Any]]:
    """The figures of each period, by kind and first day.

    `people` says of every identity (`slack:U1`) who it is and whether they are counted; `brought` when a person was
    attributed to who brought them.
    """
    file = scratch / "events.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    db = duckdb.connect()
    db.execute(EVENTS.format(zone=terms.zone), {"file": str(file)})
    _table(db, "person", "identity varchar, who varchar, counts boolean", [(i, *one) for i, one in people.items()])
    _table(db, "period", "kind varchar, first date, last date, before_first date, before_last date", spans)
    _table(db, "moment", "who varchar, settled timestamptz", list(brought.items()))
    local = f"(settled at time zone '{terms.zone}')::date"
    db.execute(f"create table brought as select who, {local} as day from moment")  # noqa: S608 - the playbook's zone
    weights = (terms.inactive_days, terms.engagement, terms.growth, terms.sentiment)
    _table(db, "term", "inactive_days integer, engagement double, growth double, sentiment double", [weights])
    db.execute(SQL.read_text(encoding="utf-8"))
    found = db.execute("select * from figure order by last")
    names = [column[0] for column in found.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    return {(row["kind"], row["first"]): row | _by_key(db, row, terms) for row in rows}


def _table(db: duckdb.DuckDBPyConnection, name: str, columns: str, rows: Sequence[Sequence[object]]) -> None:
    db.execute(f"create table {name} ({columns})")
    if rows:
        places = ", ".join("?" * len(rows[0]))
        db.executemany(f"insert into {name} values ({places})", rows)  # noqa: S608 - a name of ours


def _by_key(db: duckdb.DuckDBPyConnection, row: Mapping[str, Any], terms: Terms) -> dict[str, Any]:
    """What is told by format or by currency."""
    between = [row["first"], row["last"]]
    made = dict(
        db.execute(
            "select format, count(*) from did where type = 'content.approved' and day between ? and ? group by 1",
            between,
        ).fetchall()
    )
    money = {
        f"{name}_revenue": {
            currency: int(amount)
            for currency, amount in db.execute(
                f"select currency, sum(amount) from bought where {name} and day between ? and ? group by 1",  # noqa: S608 - a name of ours
                between,
            ).fetchall()
        }
        for name in ("influenced", "sourced")
    }
    formats = {f"ugc_{form}": made.get(form, 0) for form in FORMATS}
    savings = {currency: row["deflected"] * cost for currency, cost in terms.ticket.items()}
    return {"ugc": sum(formats.values()), **formats, **money, "cost_savings": savings}
