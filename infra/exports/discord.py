"""Discord as DiscordChatExporter writes it: one JSON file a channel or thread.

An export tells no time of reactions and no address of anybody. A thread bears the id of the message that it began
with, so whatever else is said in it answers that one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from infra.exports import LeftOut, Told, each
from infra.exports.largejson import LargeJson
from shared.errors import Malformed, UsageError
from shared.events import CommentCreated, MemberJoined, MemberUpdated, PostCreated, Profile
from shared.platforms.delivery import Node, profile
from shared.platforms.text import measure

_THREADS = frozenset({"GuildPublicThread", "GuildNewsThread"})
_PRIVATE = frozenset({"DirectTextChat", "DirectGroupTextChat", "GuildPrivateThread"})
_WRITTEN = frozenset({"Default", "Reply"})
_JOIN = "GuildMemberJoin"


class _Channel(NamedTuple):
    id: str
    thread: bool
    private: bool


def events(files: list[Path], *, now: datetime) -> Iterator[Told]:
    """Everything of these files as of `now`; raises UsageError, with the place, for what is no such export."""
    named: set[str] = set()
    for path in files:
        with path.open(encoding="utf-8-sig") as file:
            yield from _of_file(LargeJson(file, path.name), path.name, named, now)


def _of_file(source: LargeJson, name: str, named: set[str], now: datetime) -> Iterator[Told]:
    channel: _Channel | None = None
    found = False
    for key in source.names():
        if key == "channel":
            channel = _channel(source.value(), name)
        elif key == "messages" and channel is not None:
            found = True
            read = partial(_message, channel, named, now)
            yield from each(source.values(), read, where=lambda number: f"{name}, message {number}", now=now)
        else:
            source.value()
    source.end()
    if not found:
        raise UsageError(f"{name}: is no channel's export of DiscordChatExporter: it tells no channel with messages")


def _channel(told: object, name: str) -> _Channel:
    try:
        node = Node(told if isinstance(told, dict) else {}, "channel")
        kind = node.text("type")
        return _Channel(node.ident("id"), kind in _THREADS, kind in _PRIVATE)
    except Malformed as exc:
        raise UsageError(f"{name}: {exc}") from exc


def _message(channel: _Channel, named: set[str], now: datetime, message: Node) -> Iterator[Told]:
    kind, author = message.text("type"), message.node("author")
    if channel.private:
        yield LeftOut.PRIVATE
        return
    if message.value.get("reactions"):
        yield LeftOut.REACTIONS
    if author.flag("isBot"):
        yield LeftOut.BOT
        return
    if kind not in _WRITTEN and kind != _JOIN:
        yield LeftOut.NOTICE
        return
    number, actor = message.ident("id"), author.ident("id")
    fields: dict[str, Any] = {
        "id": f"discord:{number}",
        "occurred_at": message.moment("timestamp"),
        "received_at": now,
        "platform": "discord",
        "actor": actor,
    }
    if kind == _JOIN:
        yield MemberJoined(**fields, profile=_profile(author))
        return
    if actor not in named:
        named.add(actor)
        yield MemberUpdated(**fields | {"id": f"discord:{number}:author"}, profile=_profile(author))
    yield _said(message, channel, fields)


def _said(message: Node, channel: _Channel, fields: dict[str, Any]) -> Told:
    """A post, or an answer: to the message that is referred to, or to the one that its thread began with."""
    number, reply = fields["id"].removeprefix("discord:"), message.value["type"] == "Reply"
    fields = fields | {"object": number, "channel": channel.id, "body": measure(message.maybe_text("content") or "")}
    if channel.thread and number != channel.id:
        return CommentCreated(**fields, parent=channel.id)
    if not reply:
        return PostCreated(**fields)
    to = message.maybe_node("reference")
    return CommentCreated(**fields, parent=to.maybe_ident("messageId") if to else None)


def _profile(author: Node) -> Profile:
    name = author.maybe_text("nickname") or author.maybe_text("name")
    return profile(name=name, email=None, verified=False, locale=None, timezone=None, role="member")
