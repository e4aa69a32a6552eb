"""Slack's export: a zip of users, channels, and the messages of each channel by day.

Messages are read by the code that reads them live, and are the same events. An export tells no time of reactions, and
nobody's coming to the workspace but by their coming to its general channel, which everybody does when they join.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile, ZipFile

from infra.exports import LeftOut, Told, each
from shared.errors import Malformed, UsageError
from shared.events import MemberJoined, MemberLeft, MemberUpdated, Profile
from shared.platforms.delivery import Node
from shared.platforms.slack import SLACKBOT, is_bot, message, moment_of, profile_of

LARGEST = 1 << 28
"""Bytes of one file of the zip: one day of one channel, or all users."""

_USERS = ("users.json", "org_users.json")
_Kind = Literal["public", "private", "direct"]
_LISTS: Mapping[str, _Kind] = {
    "channels.json": "public",
    "groups.json": "private",
    "mpims.json": "direct",
    "dms.json": "direct",
}
"""Where channels of a kind are listed; of direct ones nothing is ever read."""

_NOTICES_OF_BOTS = frozenset({"bot_message", "bot_add", "bot_remove"})


@dataclass(frozen=True, kw_only=True)
class _Channel:
    """A channel as the export lists it."""

    id: str
    kind: _Kind
    general: bool = False


@dataclass(frozen=True, kw_only=True)
class _People:
    """What has been read of people so far: bots, profiles by id, and who has been seen coming."""

    bots: set[str] = field(default_factory=lambda: {SLACKBOT})
    profiles: dict[str, Profile] = field(default_factory=dict)
    joined: set[str] = field(default_factory=set)


def events(file: Path, *, now: datetime, channels: Collection[str] = ()) -> Iterator[Told]:
    """Everything of an export as of `now`: of its public channels, or of these, which may be private ones.

    Raises UsageError, with the place, for what is no such export.
    """
    try:
        with ZipFile(file) as archive:
            export = _Export(archive, file.name, now)
            yield from export.users()
            yield from export.messages(channels)
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as exc:
        raise UsageError(f"{file.name}: cannot be read as a zip ({type(exc).__name__})") from exc


class _Export:
    """An open export."""

    def __init__(self, archive: ZipFile, name: str, now: datetime) -> None:
        self._archive = archive
        self._name = name
        self._now = now
        self._people = _People()

    def users(self) -> Iterator[Told]:
        """The profile of every person, as of when it was last changed; and who has left since."""
        names = [name for name in _USERS if name in self._archive.namelist()]
        if not names:
            raise UsageError(f"{self._name}: is no Slack export, for it has no users.json")
        for name in names:
            yield from each(self._list(name), self._user, where=partial(self._where, name, "user"), now=self._now)

    def messages(self, wanted: Collection[str]) -> Iterator[Told]:
        """The messages of the wanted channels, day by day."""
        channels = self._channels()
        choice = {name for name, one in channels.items() if one.kind != "direct"}
        if unknown := set(wanted) - choice:
            known = ", ".join(sorted(choice))
            raise UsageError(f"{self._name}: has no channel {', '.join(sorted(unknown))}; it has {known}")
        for name in sorted(self._archive.namelist()):
            folder, slash, day = name.rpartition("/")
            if slash and day.endswith(".json") and not name.startswith("__MACOSX"):
                yield from self._day(name, channels.get(folder), why_not=_why_not(folder, channels, wanted))

    def _day(self, name: str, channel: _Channel | None, *, why_not: LeftOut | None) -> Iterator[Told]:
        items = self._list(name)
        if channel is None or why_not is not None:
            yield from (why_not or LeftOut.NO_CHANNEL for _ in items)
            return
        yield from each(
            items, partial(self._message, channel), where=partial(self._where, name, "message"), now=self._now
        )

    def _channels(self) -> dict[str, _Channel]:
        """Every channel by the name of its folder."""
        present = self._archive.namelist()
        listed = {file: self._list(file) for file in _LISTS if file in present}
        found = dict(
            one
            for file, items in listed.items()
            for number, item in enumerate(items, start=1)
            for one in [_channel(item, kind=_LISTS[file], where=self._where(file, "entry", number))]
        )
        if all(one.kind != "public" for one in found.values()):
            raise UsageError(f"{self._name}: is no Slack export, for it has no channels.json with a channel in it")
        return found

    def _user(self, user: Node) -> Iterator[Told]:
        actor = user.ident("id")
        if is_bot(user):
            self._people.bots.add(actor)
            return
        profile = self._people.profiles[actor] = profile_of(user)
        if user.maybe_number("updated") is None:
            yield LeftOut.NO_TIME
            return
        fields: dict[str, Any] = {"received_at": self._now, "platform": "slack", "actor": actor}
        fields["occurred_at"] = user.unix("updated")
        told = sha256(profile.model_dump_json().encode()).hexdigest()[:8]
        version = f"slack:{actor}:{user.number('updated')}"
        yield MemberUpdated(id=f"{version}:{told}", profile=profile, **fields)
        if user.flag("deleted"):
            yield MemberLeft(id=f"{version}:left", **fields)

    def _message(self, channel: _Channel, raw: Node) -> Iterator[Told]:
        if raw.value.get("reactions"):
            yield LeftOut.REACTIONS
        if raw.value.get("user") in self._people.bots or _is_of_bot(raw):
            yield LeftOut.BOT
        elif channel.general and raw.value.get("subtype") == "channel_join":
            yield self._join(channel, raw)
        else:
            yield message(raw, self._now, channel=channel.id) or LeftOut.NOTICE

    def _join(self, channel: _Channel, node: Node) -> Told:
        """Somebody comes to the general channel: the first time, it is to the workspace."""
        actor = node.ident("user")
        if actor in self._people.joined:
            return LeftOut.NOTICE
        self._people.joined.add(actor)
        return MemberJoined(
            id=f"slack:{channel.id}:{node.ident('ts')}",
            occurred_at=moment_of(node, "ts"),
            received_at=self._now,
            platform="slack",
            actor=actor,
            profile=self._people.profiles.get(actor, Profile()),
        )

    def _list(self, name: str) -> list[Any]:
        """A file of the zip, which is a list."""
        if self._archive.getinfo(name).file_size > LARGEST:
            raise UsageError(f"{self._name}, {name}: is larger than {LARGEST >> 20} MB")
        try:
            found = json.loads(self._archive.read(name))
        except (ValueError, RecursionError) as exc:
            raise UsageError(f"{self._name}, {name}: must be JSON in UTF-8") from exc
        if not isinstance(found, list):
            raise UsageError(f"{self._name}, {name}: must be a list")
        return found

    def _where(self, file: str, what: str, number: int) -> str:
        return f"{self._name}, {file}, {what} {number}"


def _channel(item: object, *, kind: _Kind, where: str) -> tuple[str, _Channel]:
    """The name of a channel's folder, and the channel; a conversation of two has its id for a name."""
    try:
        node = Node(item if isinstance(item, dict) else {})
        found = _Channel(id=node.ident("id"), kind=kind, general=node.flag("is_general"))
        return node.maybe_text("name") or found.id, found
    except Malformed as exc:
        raise UsageError(f"{where}: {exc}") from exc


def _is_of_bot(raw: Node) -> bool:
    value = raw.value
    return bool(value.get("bot_id") or value.get("bot_profile")) or value.get("subtype") in _NOTICES_OF_BOTS


def _why_not(folder: str, channels: dict[str, _Channel], wanted: Collection[str]) -> LeftOut | None:
    if folder not in channels:
        return LeftOut.NO_CHANNEL
    kind = channels[folder].kind
    if kind == "direct" or (kind == "private" and not wanted):
        return LeftOut.PRIVATE
    return LeftOut.OTHER_CHANNEL if wanted and folder not in wanted else None
