"""Telegram Desktop's export of one group, `result.json`.

It tells no address of anybody, no time of reactions, and not who is a bot; of people whom others added or removed it
tells the name only, which is nobody's identity.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from infra.exports import LeftOut, Told, each
from infra.exports.largejson import LargeJson
from shared.errors import UsageError
from shared.events import CommentCreated, MemberJoined, MemberLeft, MemberUpdated, PostCreated, Profile
from shared.platforms.delivery import Node, profile
from shared.platforms.text import measure

_MARKS = {"private_supergroup": "-100", "public_supergroup": "-100", "private_group": "-"}
"""Groups by type, and what stands before their id where Telegram's bots are told it."""

_PERSON = re.compile(r"user([0-9]{1,19})")
_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\x([0-9A-F]{2})")
_JOINED = frozenset({"join_group_by_link", "join_group_by_request"})


class _Group(NamedTuple):
    """The group, who of it is a bot, and who has been named already."""

    id: str
    bots: Collection[str]
    named: set[str]
    now: datetime


def events(file: Path, *, now: datetime, bots: Collection[str] = ()) -> Iterator[Told]:
    """Everything of the export as of `now`, without these people, who are bots.

    Raises UsageError, with the place, for what is no group's export.
    """
    with file.open(encoding="utf-8-sig") as text:
        source = LargeJson(text, file.name, mend=_mended)
        chat: dict[str, Any] = {}
        for key in source.names():
            if key == "messages":
                group = _Group(_group_id(chat, file.name), bots, set(), now)
                where = partial("{}, message {}".format, file.name)
                yield from each(source.values(), partial(_message, group), where=where, now=now)
                chat["messages"] = True
            elif key == "chats":
                raise UsageError(f"{file.name}: is the export of a whole account; export the community's group alone")
            else:
                chat[key] = source.value()
        source.end()
    if "messages" not in chat:
        raise UsageError(f"{file.name}: is no export of a group by Telegram Desktop: it has no messages")


def _mended(text: str) -> str:
    r"""Control characters as JSON has them: Telegram Desktop writes them as `\x0B`."""
    return _ESCAPE.sub(r"\1\\u00\2", text)


def _group_id(chat: dict[str, Any], name: str) -> str:
    kind, number = chat.get("type"), chat.get("id")
    if not isinstance(kind, str) or not isinstance(number, int) or isinstance(number, bool):
        raise UsageError(f"{name}: is no export of a group by Telegram Desktop: it must begin with its type and id")
    if kind not in _MARKS:
        raise UsageError(f"{name}: is a {kind[:40]!r}; what can be imported is one of {', '.join(_MARKS)}")
    return f"{_MARKS[kind]}{number}"


def _message(group: _Group, message: Node) -> Iterator[Told]:
    kind = message.text("type")
    if kind not in {"message", "service"}:
        yield LeftOut.NOTICE
        return
    who = message.maybe_text("from_id" if kind == "message" else "actor_id")
    person = _PERSON.fullmatch(who or "")
    if message.value.get("reactions"):
        yield LeftOut.REACTIONS
    if person is None:
        yield LeftOut.NOBODY if kind == "message" else LeftOut.NOTICE
        return
    if person[1] in group.bots:
        yield LeftOut.BOT
        return
    fields = {
        "id": f"telegram:{group.id}:{message.number('id')}",
        "occurred_at": _moment(message),
        "received_at": group.now,
        "platform": "telegram",
        "actor": person[1],
    }
    yield from _said(group, message, fields) if kind == "message" else _happened(message, fields)


def _said(group: _Group, message: Node, fields: dict[str, Any]) -> Iterator[Told]:
    """A post, or an answer to another message of the group."""
    if fields["actor"] not in group.named:
        group.named.add(fields["actor"])
        yield MemberUpdated(**fields | {"id": f"{fields['id']}:from"}, profile=_profile(message, "from"))
    to = message.maybe_number("reply_to_message_id")
    elsewhere = message.maybe_text("reply_to_peer_id") is not None
    said = {"object": fields["id"].removeprefix("telegram:"), "channel": group.id, "body": measure(_text(message))}
    if to is None:
        yield PostCreated(**fields, **said)
    else:
        yield CommentCreated(**fields, **said, parent=None if elsewhere else f"{group.id}:{to}")


def _happened(message: Node, fields: dict[str, Any]) -> Iterator[Told]:
    """A notice: somebody came or went by themselves, which is so too where they are said to have moved themselves."""
    action, whom = message.maybe_text("action"), message.value.get("members")
    themselves = whom == [message.value.get("actor")]
    if action in _JOINED or (action == "invite_members" and themselves):
        yield MemberJoined(**fields, profile=_profile(message, "actor"))
    elif action == "remove_members" and themselves:
        yield MemberLeft(**fields)
    else:
        yield LeftOut.NO_ID if action in {"invite_members", "remove_members"} else LeftOut.NOTICE


def _moment(message: Node) -> datetime:
    """When it was; `date` is local to whoever exported, without saying to what zone."""
    stamp = message.maybe_text("date_unixtime")
    if stamp is None:
        message.wrong("date_unixtime", "is missing; export again with a newer Telegram Desktop")
    if not stamp.isascii() or not stamp.isdecimal() or len(stamp) > 11:
        message.wrong("date_unixtime", "must be whole seconds, as text")
    return message.since_epoch("date_unixtime", int(stamp))


def _text(message: Node) -> str:
    """A message's text with its links as their addresses, and code marked as such."""
    told = message.value.get("text") or ""
    if isinstance(told, str):
        return message.maybe_text("text") or ""
    if not isinstance(told, list):
        message.wrong("text", "must be text, or a list")
    return "".join(_piece(message, piece) for piece in told)


def _piece(message: Node, piece: object) -> str:
    if isinstance(piece, str):
        return Node({"text": piece}).maybe_text("text") or ""
    if not isinstance(piece, dict):
        message.wrong("text", "must hold texts and objects")
    node = Node(piece, "text")
    text, kind = node.maybe_text("text") or "", node.maybe_text("type")
    if kind == "text_link":
        return node.maybe_text("href") or text
    fence = {"code": "`", "pre": "```"}.get(kind or "", "")
    return f"{fence}{text}{fence}"


def _profile(message: Node, key: str) -> Profile:
    name = message.maybe_text(key)
    return profile(name=name, email=None, verified=False, locale=None, timezone=None, role="member")
