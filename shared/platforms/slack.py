"""Slack's Events API. The community is the workspace: coming to or leaving a channel is not joining or leaving it.

Only what people say in channels is used: no bots (with or without a subtype), direct messages, edits or deletions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.events import (
    CommentCreated,
    CommunityEvent,
    MemberJoined,
    MemberLeft,
    MemberUpdated,
    PostCreated,
    Profile,
    ReactionAdded,
)
from shared.platforms.delivery import Answer, Node, load, profile
from shared.platforms.proof import agree, digest, fresh, header, keys
from shared.platforms.text import feeling, measure
from shared.playbook.model import Platform

SLACKBOT = "USLACKBOT"

_WRITTEN = frozenset({None, "file_share", "thread_broadcast", "me_message"})
"""The message subtypes that are somebody writing; every other one is an edit, a notice or a bot."""

_PRIVATE = frozenset({"im", "mpim", "app_home"})
_TS = re.compile(r"([0-9]{1,11})\.([0-9]{6})")
_MARKUP = re.compile(r"<([^<>]*)>")


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime) -> None:
    """Raise Unauthentic unless Slack signed these bytes within 300 s of `now` with one of the signing secrets."""
    stamp, given = header(headers, "x-slack-request-timestamp"), header(headers, "x-slack-signature")
    fresh(stamp, now)
    signed = b"v0:" + stamp + b":" + body
    agree([given], [b"v0=" + digest(key.encode(), signed).hexdigest().encode() for key in keys(secrets)])


def parse(
    _headers: Mapping[str, str], body: bytes, received_at: datetime, _settings: Platform
) -> list[CommunityEvent] | Answer:
    """Read a delivery: its event, nothing if it is not used, or the answer to the URL handshake; raises Malformed."""
    outer = load(body)
    kind = outer.text("type")
    if kind == "url_verification":
        return Answer(200, "application/json", json.dumps({"challenge": outer.text("challenge")}))
    if kind != "event_callback":
        return []
    event = outer.node("event")
    read = _READERS.get(event.text("type"))
    found = read(_Delivery(outer, event, received_at)) if read else None
    return [] if found is None or found.actor in _bots(outer) else [found]


@dataclass(frozen=True)
class _Delivery:
    outer: Node
    event: Node
    received_at: datetime

    def fields(self, actor: str, occurred_at: datetime) -> dict[str, Any]:
        """What every event has. Slack repeats a delivery with the same event_id."""
        return {
            "id": f"slack:{self.outer.ident('event_id')}",
            "occurred_at": occurred_at,
            "received_at": self.received_at,
            "platform": "slack",
            "actor": actor,
        }

    def about(self, user: Node) -> dict[str, Any]:
        """What an event about a whole user has; older ones carry no time of their own but the delivery's."""
        own = self.event.maybe_text("event_ts") is not None
        at = moment_of(self.event, "event_ts") if own else self.outer.unix("event_time")
        return self.fields(user.ident("id"), at)


def _team_join(delivery: _Delivery) -> CommunityEvent | None:
    user = delivery.event.node("user")
    return None if is_bot(user) else MemberJoined(**delivery.about(user), profile=profile_of(user))


def _user_change(delivery: _Delivery) -> CommunityEvent | None:
    user = delivery.event.node("user")
    if is_bot(user):
        return None
    if user.flag("deleted"):
        return MemberLeft(**delivery.about(user))
    return MemberUpdated(**delivery.about(user), profile=profile_of(user))


def message(event: Node, received_at: datetime, *, channel: str | None = None) -> CommunityEvent | None:
    """A message of a delivery, or of the `channel` of an export; None unless somebody wrote it for the community.

    Slack's identity of a message is its channel and `ts`, so that is what the event is told by: live and from an
    export it is the same one. Raises Malformed.
    """
    if not _somebody_wrote(event) or _is_direct(channel := channel or event.ident("channel")):
        return None
    ts, thread = event.ident("ts"), event.maybe_ident("thread_ts")
    fields: dict[str, Any] = {
        "id": f"slack:{channel}:{ts}",
        "occurred_at": moment_of(event, "ts"),
        "received_at": received_at,
        "platform": "slack",
        "actor": event.ident("user"),
        "object": f"{channel}:{ts}",
        "channel": channel,
        "body": measure(plain(event.maybe_text("text") or "")),
    }
    if thread is None or thread == ts:
        return PostCreated(**fields)
    return CommentCreated(**fields, parent=f"{channel}:{thread}")


def _message(delivery: _Delivery) -> CommunityEvent | None:
    return message(delivery.event, delivery.received_at)


def _reaction(delivery: _Delivery) -> CommunityEvent | None:
    event = delivery.event
    user, item = event.ident("user"), event.node("item")
    if user == SLACKBOT or item.text("type") != "message" or _is_direct(item.ident("channel")):
        return None
    channel, emoji = item.ident("channel"), event.text("reaction")[:100]
    return ReactionAdded(
        **delivery.fields(user, moment_of(event, "event_ts")),
        object=f"{channel}:{item.ident('ts')}",
        channel=channel,
        emoji=emoji,
        sentiment=feeling(emoji),
    )


_READERS: Mapping[str, Callable[[_Delivery], CommunityEvent | None]] = {
    "team_join": _team_join,
    "user_change": _user_change,
    "message": _message,
    "reaction_added": _reaction,
}


def _somebody_wrote(event: Node) -> bool:
    """Whether a message event is a person writing where the community can read it."""
    if event.maybe_text("subtype") not in _WRITTEN or event.flag("hidden"):
        return False
    if event.maybe_text("bot_id") or event.maybe_node("bot_profile") or event.maybe_text("user") in {None, SLACKBOT}:
        return False
    return event.maybe_text("channel_type") not in _PRIVATE


def _is_direct(channel: str) -> bool:
    return channel.startswith("D")


def is_bot(user: Node) -> bool:
    """Whether a user object is a bot's, or Slackbot's."""
    return user.flag("is_bot") or user.text("id") == SLACKBOT


def _bots(outer: Node) -> set[str | None]:
    """The bot users on whose behalf this was delivered: our own app's, whose deeds are nobody's."""
    return {one.maybe_text("user_id") for one in outer.nodes("authorizations") if one.flag("is_bot")}


def profile_of(user: Node) -> Profile:
    """The person of a user object."""
    shown = user.maybe_node("profile") or Node({}, user.at("profile"))
    names = (shown.maybe_text("display_name"), shown.maybe_text("real_name"), user.maybe_text("real_name"))
    staff = any(user.flag(name) for name in ("is_admin", "is_owner", "is_primary_owner"))
    return profile(
        name=next(filter(None, names), user.maybe_text("name")),
        email=shown.maybe_text("email"),
        # Nobody enters a workspace with an address that is not theirs, so only an explicit "not yet" counts.
        verified=user.flag("is_email_confirmed", default=True),
        locale=user.maybe_text("locale"),
        timezone=user.maybe_text("tz"),
        role="staff" if staff else "member",
    )


def moment_of(event: Node, key: str) -> datetime:
    """When a message identity such as "1595926230.009600" says it was; a float would lose digits."""
    found = _TS.fullmatch(event.text(key)) or event.wrong(key, "must be seconds and six digits, as text")
    return event.since_epoch(key, int(found[1]), int(found[2]))


def plain(text: str) -> str:
    """A message without Slack's own markup: mentions go, links stay as their address."""
    shown = _MARKUP.sub(lambda found: " " if found[1][:1] in {"@", "#", "!"} else found[1].split("|")[0], text)
    return shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
