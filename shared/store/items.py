"""Values as the table's items and back."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from shared.events import EVENT, CommunityEvent
from shared.model import Attempt, Due, Member, News, Pause, Send, SendId
from shared.store import keys
from shared.store.wire import attributes

KEPT = timedelta(days=400)
"""How long events and the send ledger are kept: beyond every retry, redrive and yearly comparison."""

SETS = {"identities", "active_days", "absorbed", "payers"}
"""Fields of a member that are sets, kept in order so that the same member is the same item."""


def event_of(item: dict[str, Any]) -> CommunityEvent:
    """A log item's event."""
    return EVENT.validate_json(item["event"])


def member_of(item: dict[str, Any]) -> Member:
    """A profile item's member."""
    return Member.model_validate({name: item[name] for name in Member.model_fields if name in item})


def send_of(item: dict[str, Any]) -> Send:
    """A ledger item's send."""
    return Send.model_validate({name: item[name] for name in Send.model_fields if name in item})


def due_of(item: dict[str, Any]) -> Due:
    """An agenda item's due."""
    plain = {name: item[name] for name in Due.model_fields if name in item}
    return Due.model_validate(plain | {"state": json.loads(item["state"])})


def news_of(item: dict[str, Any]) -> News:
    """A content item's news."""
    return News.model_validate_json(item["news"])


def attempt_of(item: dict[str, Any]) -> Attempt:
    """An experiment item's attempt."""
    return Attempt.model_validate({name: item[name] for name in Attempt.model_fields})


def pause_of(item: dict[str, Any]) -> Pause:
    """The breaker item's pause."""
    return Pause.model_validate({name: item[name] for name in Pause.model_fields if name in item})


def plain(member: Member) -> dict[str, Any]:
    """A member as plain values, sets in order."""
    plain = member.model_dump(mode="json", exclude_none=True)
    return {name: sorted(value) if name in SETS else value for name, value in plain.items()}


def due_item(due: Due) -> dict[str, Any]:
    """An agenda item's attributes, with its place in the index."""
    pk, sk = keys.due(due.programme, due.member_id, due.key)
    # The state as text: as a map its numbers would come back as another kind of number.
    plain = due.model_dump(mode="json") | {"due_at": keys.due_at(due.due_at), "state": json.dumps(due.state)}
    return attributes({"pk": pk, "sk": sk, "agenda": keys.agenda(due.programme, due.member_id), **plain})


def send_item(send: Send) -> dict[str, Any]:
    """A ledger item's attributes."""
    pk, sk = keys.send(SendId.parse(send.send_id))
    planned_on = keys.planned_on(send.planned_at.date(), send.member_id)
    plain = send.model_dump(mode="json", exclude_none=True)
    return attributes({"pk": pk, "sk": sk, "expires_at": expiry(send.planned_at), "planned_on": planned_on, **plain})


def expiry(start: datetime, kept: timedelta = KEPT) -> int:
    """When DynamoDB may delete an item, in seconds since 1970."""
    return int((start + kept).timestamp())
