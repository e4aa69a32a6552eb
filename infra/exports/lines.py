"""Events in our own JSON, one a line: how the history of anything else is told (docs/standard-webhooks.md)."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path

from infra.exports import LeftOut, Told, each, opened
from shared.errors import Malformed, UsageError
from shared.events import MemberJoined, MemberUpdated, ReferralSignedUp
from shared.platforms.delivery import Node, load
from shared.platforms.standard import BODY, event_told, is_message_id

_LINE = BODY | {"id"}
"""The names of a line: of a webhook's body, and of its header."""


def events(file: Path, *, now: datetime) -> Iterator[Told]:
    """Every line's event as of `now`; raises UsageError, with the line, for the first that is none."""
    where = partial("{}, line {}".format, file.name)
    try:
        with opened(file) as lines:
            yield from each(({"line": line} for line in lines), partial(_line, now), where=where, now=now)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as exc:
        raise UsageError(f"{file.name}: cannot be read as lines of text in UTF-8 ({type(exc).__name__})") from exc


def _line(now: datetime, item: Node) -> Iterator[Told]:
    text = item.value["line"].strip()
    if not text:
        return
    try:
        told = load(text.encode())
    except Malformed as exc:
        raise Malformed("must be an object in JSON") from exc
    event = event_told(_id(told), told, now, _LINE)
    if event is None:
        yield LeftOut.UNKNOWN_TYPE
    elif isinstance(event, ReferralSignedUp):
        yield LeftOut.REFERRAL
    elif isinstance(event, MemberJoined | MemberUpdated) and event.invited_by:
        yield event.model_copy(update={"invited_by": None})
    else:
        yield event


def _id(told: Node) -> str:
    """The event's id: as it was or will be told by webhook, where the line says so, else what the line says itself."""
    given = told.maybe_text("id")
    if given is not None:
        if not is_message_id(given):
            told.wrong("id", "must be 1 to 128 letters, digits and _:=+/-, as a webhook-id")
        return f"standard:{given}"
    plain = json.dumps(told.value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return f"standard:line:{sha256(plain.encode()).hexdigest()[:32]}"
