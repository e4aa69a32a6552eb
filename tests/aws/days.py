"""Short names for days of a community on moto: what happens, ticks, and what measuring wrote."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import Any

import boto3
from pyroaring import BitMap

from shared.app import App
from shared.events import (
    CommentCreated,
    CommunityEvent,
    MemberJoined,
    PostCreated,
)
from shared.model import Identity, member_id_of
from shared.react import react
from shared.rolling import Rolled, roll
from shared.rollups import KINDS, Rollup
from shared.store import keys
from tests.builders import at

DAY = date(2030, 1, 10)
NOON = at("2030-01-10T12:00+01:00")
"""In Berlin, where the community is."""

NIGHT = at("2030-01-11T00:07+01:00")
"""The first tick after that day."""

HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)


def ever() -> float:
    """All the time that one could wish for."""
    return 1e9


def an_event(kind: type[CommunityEvent], who: str, moment: datetime, **changes: Any) -> CommunityEvent:
    """Something that a person (`slack:U1`, or on Slack `U1`) did."""
    platform, _, actor = who.rpartition(":")
    told = kind.model_fields["type"].default
    fields: dict[str, Any] = {
        "id": f"{who}/{told}/{moment.isoformat()}/{changes.get('object', '')}/{changes.get('parent', '')}",
        "occurred_at": moment,
        "received_at": moment,
        "platform": platform or "slack",
        "actor": actor,
    }
    return kind(**fields | changes)


def joins(who: str, moment: datetime, **changes: Any) -> CommunityEvent:
    return an_event(MemberJoined, who, moment, **changes)


def posts(who: str, moment: datetime, thread: str = "T1", **changes: Any) -> CommunityEvent:
    return an_event(PostCreated, who, moment, object=thread, **changes)


def replies(who: str, moment: datetime, thread: str = "T1") -> CommunityEvent:
    return an_event(CommentCreated, who, moment, parent=thread)


def happen(app: App, *events: CommunityEvent, now: datetime | None = None) -> None:
    """Have events logged and reacted to, each when it happens or, late, all of them `now`."""
    for event in events:
        app.store.log([event])
        assert react([event], app, now or event.occurred_at) == {}


def tick(app: App, now: datetime, **changes: Any) -> Rolled:
    return roll(app, now, changes.pop("time_left", ever), **changes)


def the_rollup(app: App, day: date = DAY) -> Rollup:
    [found] = app.store.rollups(day, day)
    return found


def figures(app: App, day: date = DAY) -> dict[str, Any]:
    return dict(the_rollup(app, day).figures)


def bitmaps(app: App, day: date = DAY) -> dict[str, set[int]]:
    return {kind: set(bits) for kind, bits in app.store.activity([day], KINDS)[day].items()}


def measured(app: App) -> dict[tuple[str, str], Any]:
    """Everything that measuring has written, but for when it did."""
    found: dict[tuple[str, str], Any] = {}
    for page in boto3.client("dynamodb").get_paginator("scan").paginate(TableName=app.settings.table):
        for item in page["Items"]:
            pk, sk = item["pk"]["S"], item["sk"]["S"]
            if pk.startswith("ACTIVE#"):
                found[pk, sk] = set(BitMap.deserialize(item["bits"]["B"]))
            elif pk == keys.ROLLUPS:
                told = json.loads(item["rollup"]["S"])
                found[pk, sk] = {name: told[name] for name in ("closed", "counts", "figures")}
            elif sk.startswith(keys.FIRST_DAY) or pk == keys.DIRTY:
                found[pk, sk] = item
            elif pk.startswith("TALLY#"):
                found[pk, sk] = item["piece"]["B"]
    return found


def ordinal(app: App, who: str) -> int:
    member = app.store.survivor(member_id_of(Identity("slack", who)))
    assert member is not None
    return member.ordinal


def wipe(app: App) -> None:
    """Take away all that measuring has written."""
    client = boto3.client("dynamodb")
    for item in client.scan(TableName=app.settings.table)["Items"]:
        pk, sk = item["pk"]["S"], item["sk"]["S"]
        if pk.startswith(("ACTIVE#", "TALLY#", keys.DIRTY, keys.ROLLUPS)) or sk.startswith(keys.FIRST_DAY):
            client.delete_item(TableName=app.settings.table, Key={"pk": item["pk"], "sk": item["sk"]})


def afresh(app: App, now: datetime) -> dict[tuple[str, str], Any]:
    """Everything, if it were measured for the first time now: what is there is taken away for it."""
    first = min(day for pk, day in measured(app) if pk == keys.ROLLUPS)
    wipe(app)
    app.store.mark(date.fromisoformat(first), "all", now)
    tick(app, now)
    return measured(app)
