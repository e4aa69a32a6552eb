"""Standard Webhooks with our own JSON: how a back end, Zapier or Make tells of anything (docs/standard-webhooks.md).

The sender is the community's own, so a field that is not known is a mistake worth telling, not something to skip.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast, get_args
from zoneinfo import available_timezones

from pydantic import ValidationError

from shared.errors import Malformed, Unauthentic
from shared.events import (
    COMMUNITY,
    EVENT,
    GHOST,
    CommunityEvent,
    ContentPublished,
    MemberJoined,
    MemberUpdated,
    Profile,
    Role,
)
from shared.platforms.delivery import Answer, Node, load, profile
from shared.platforms.proof import TOLERANCE, agree, digest, fresh, header, keys
from shared.platforms.text import feeling, measure
from shared.playbook.model import Platform

MOST_EVENTS = 100
LONGEST_TEXT = 2000
"""Characters in a text that is kept; `text` is only measured and may be longer."""

OWN: Mapping[str, frozenset[str]] = {
    "member.joined": frozenset({"returning", "invited_by"}),
    "member.left": frozenset({"reason"}),
    "member.updated": frozenset({"invited_by"}),
    "post.created": frozenset({"text"}),
    "comment.created": frozenset({"text"}),
    "reaction.added": frozenset({"emoji", "sentiment"}),
    "answer.accepted": frozenset(),
    "content.flagged": frozenset(),
    "event.attended": frozenset(),
    "survey.answered": frozenset({"score", "comment"}),
    "purchase.made": frozenset({"amount", "currency", "payer"}),
    "purchase.refunded": frozenset(),
    "ticket.opened": frozenset(),
    "feedback.implemented": frozenset(),
    "content.approved": frozenset({"format"}),
    "content.published": frozenset({"kind", "title", "url", "published_at"}),
    "referral.signed_up": frozenset({"ref", "code", "utm"}),
}
"""The fields of `data` that each type has beside COMMON."""

OURS = frozenset({"referral.clicked"})
"""What only we ourselves can know: nobody else is believed who tells of it."""

BODY = frozenset({"type", "timestamp", "data"})
COMMON = frozenset({"actor", "object", "parent", "channel", "platform", "extra"})
ACTOR = frozenset({"id", "name", "email", "email_verified", "locale", "timezone", "role"})

_IDS = frozenset({"invited_by", "payer"})
"""The own fields that are ids."""

_ID = re.compile(r"[A-Za-z0-9_:=+/-]{1,128}")
_PLATFORM = re.compile(r"[a-z][a-z0-9_]{1,20}")


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime) -> None:
    """Raise Unauthentic unless one of the `v1` signatures is made with one of the secrets, within 300 s of `now`.

    Standard Webhooks 1.0.0: HMAC-SHA256 over id.timestamp.body. An id with a full stop is refused, since one signature
    would then fit two readings of the same bytes.
    """
    message_id, stamp = header(headers, "webhook-id"), header(headers, "webhook-timestamp")
    given = header(headers, "webhook-signature").split(b" ")
    if not _ID.fullmatch(headers["webhook-id"]):
        raise Unauthentic("the webhook-id is not one")
    fresh(stamp, now)
    signed = b".".join((message_id, stamp, body))
    agree(given, [b"v1," + b64encode(digest(_key(secret), signed).digest()) for secret in keys(secrets)])


def parse(
    headers: Mapping[str, str], body: bytes, received_at: datetime, _settings: Platform
) -> list[CommunityEvent] | Answer:
    """Read one event, or those under `events`, without the types we do not know; raises Malformed with the path."""
    root, event_id = load(body), f"standard:{_message_id(headers)}"
    if "events" not in root.value:
        return list(_events([(event_id, root)], received_at))
    root.only({"events"})
    items = root.nodes("events")
    if not 1 <= len(items) <= MOST_EVENTS:
        root.wrong("events", f"must hold 1 to {MOST_EVENTS} events")
    return list(_events([(f"{event_id}:{at}", item) for at, item in enumerate(items)], received_at))


def is_message_id(text: str) -> bool:
    """Whether a text may be a sender's id of a delivery."""
    return _ID.fullmatch(text) is not None


def _message_id(headers: Mapping[str, str]) -> str:
    """The sender's id of a delivery, the same on every retry."""
    if not is_message_id(headers.get("webhook-id", "")):
        raise Malformed("the webhook-id header must be 1 to 128 letters, digits and _:=+/-")
    return headers["webhook-id"]


def _key(secret: str) -> bytes:
    """The key in `whsec_<base64>`: 24 to 64 bytes, as the standard has it."""
    try:
        key = b64decode(secret.removeprefix("whsec_").encode(), validate=True)
    except NotBase64 as exc:
        raise Unauthentic("the configured secret is not base64") from exc
    if not 24 <= len(key) <= 64:
        raise Unauthentic("the configured secret is not 24 to 64 bytes long")
    return key


def _events(items: Iterable[tuple[str, Node]], received_at: datetime) -> Iterable[CommunityEvent]:
    return filter(None, (event_told(event_id, item, received_at) for event_id, item in items))


def event_told(
    event_id: str, item: Node, received_at: datetime, allowed: Collection[str] = BODY
) -> CommunityEvent | None:
    """One event in our own JSON, of a delivery or of a file; None for a type we do not know. Raises Malformed."""
    if item.text("type") not in OWN:
        return None
    item.only(allowed)
    return _event(event_id, item, received_at)


def _event(event_id: str, item: Node, received_at: datetime) -> CommunityEvent:
    kind, at, told = item.text("type"), item.moment("timestamp"), item.node("data")
    if at > received_at + TOLERANCE:
        item.wrong("timestamp", "must not lie in the future")
    told.only(COMMON | OWN[kind])
    fields: dict[str, Any] = {
        "type": kind,
        "id": event_id,
        "occurred_at": at,
        "received_at": received_at,
        "platform": _platform(told),
        **_actor(told, kind),
        **{name: told.maybe_ident(name) for name in ("object", "parent", "channel")},
        **_own(told, OWN[kind]),
    }
    if kind == _PUBLISHED:
        fields["occurred_at"] = _published_at(told, received_at)
        del fields["published_at"]
    return _checked(fields, told)


_PUBLISHED = ContentPublished.model_fields["type"].default
_ID_ALONE, _UNTOLD = {"id"}, Profile()
"""What most actors are told with, and the profile that it makes."""

_WITH_PROFILE = frozenset(of.model_fields["type"].default for of in (MemberJoined, MemberUpdated))


def _actor(told: Node, kind: str) -> dict[str, Any]:
    """Who it was, who must be named unless the community itself may have done it, and what a profile tells of them."""
    if kind == _PUBLISHED and told.maybe_node("actor") is None:
        return {"actor": COMMUNITY}
    actor = told.node("actor")
    named = actor.ident("id")
    person = _UNTOLD if actor.value.keys() == _ID_ALONE else _profile(actor)
    if named.startswith(GHOST):
        actor.wrong("id", f"must not begin with {GHOST}, which is nobody's")
    return {"actor": named, "profile": person} if kind in _WITH_PROFILE else {"actor": named}


def _published_at(told: Node, received_at: datetime) -> datetime:
    at = told.moment("published_at")
    if at > received_at + TOLERANCE:
        told.wrong("published_at", "must not lie in the future")
    return at


def _own(told: Node, names: Iterable[str]) -> dict[str, Any]:
    """The type's own fields as they came, for the event itself to check; a message's text becomes its measures."""
    own = {name: told.value[name] for name in names if told.value.get(name) is not None}
    text = own.pop("text", None)
    for name, value in own.items():
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            told.wrong(name, f"must be at most {LONGEST_TEXT} characters long")
        if not _fits_utf_8(value):
            told.wrong(name, "must be text that UTF-8 can carry")
    own |= {name: told.ident(name) for name in _IDS & own.keys()}
    if text is not None:
        own["body"] = measure(told.maybe_text("text") or "")
    if "emoji" in own:
        own.setdefault("sentiment", feeling(told.text("emoji")))
    if "utm" in own:
        _check_utm(told.node("utm"))
    return own


def _fits_utf_8(value: object) -> bool:
    """Whether a JSON value is free of halves of surrogate pairs, which JSON can spell."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_utm(utm: Node) -> None:
    if len(utm.value) > 20 or any(len(name) > 100 or len(str(value)) > 200 for name, value in utm.value.items()):
        raise Malformed(f"{utm.path}: must be at most 20 texts of at most 200 characters")


def _platform(told: Node) -> str:
    name = told.maybe_text("platform")
    if name is not None and not _PLATFORM.fullmatch(name):
        told.wrong("platform", "must be 2 to 21 of a-z, 0-9 and _, beginning with a letter")
    return name or "standard"


def _profile(actor: Node) -> Profile:
    """The person; the sender is the owner's own back end, so an address is proved unless it says otherwise."""
    actor.only(ACTOR)
    person = profile(
        name=actor.maybe_text("name"),
        email=actor.maybe_text("email"),
        verified=actor.flag("email_verified", default=True),
        locale=actor.maybe_text("locale"),
        timezone=actor.maybe_text("timezone"),
        role=_role(actor),
    )
    if actor.maybe_text("email") and not person.email:
        actor.wrong("email", "must be an e-mail address")
    if person.timezone and person.timezone not in _zones():
        actor.wrong("timezone", "must be an IANA time zone such as Europe/Berlin")
    return person


def _role(actor: Node) -> Role:
    named = actor.maybe_text("role") or "member"
    if named not in get_args(Role):
        actor.wrong("role", f"must be one of {', '.join(get_args(Role))}")
    return cast("Role", named)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _checked(fields: Mapping[str, Any], told: Node) -> CommunityEvent:
    """The event; what pydantic finds wrong is told by path and rule, never with the value it found."""
    try:
        return EVENT.validate_python(fields, strict=True)
    except ValidationError as exc:
        found = exc.errors(include_input=False, include_url=False)[0]
        path = ".".join(str(part) for part in found["loc"][1:])
        raise Malformed(f"{told.at(path)}: {found['msg'][:1].lower()}{found['msg'][1:]}") from exc
