"""Discourse's list of users, as its administrators download it: who joined when, and who is suspended.

A user's join is the same event as the webhook's. What people wrote is in no export of Discourse together with who did.
"""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

from infra.exports import LeftOut, Told, each, opened
from shared.errors import UsageError
from shared.events import MemberJoined, MemberLeft, Profile
from shared.platforms.delivery import Node, profile
from shared.playbook import Playbook

_NEEDED = ("id", "created_at", "email", "active", "admin", "moderator")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} UTC")
_TRUE = frozenset({"true", "TRUE", "True", "t"})
_ARCHIVE = {"topic_title", "post"}


def instance_of(playbook: Playbook) -> str:
    """The forum as its webhooks name it; UsageError where the playbook does not know its address."""
    settings = playbook.platforms.get("discourse")
    if settings is None or settings.url is None:
        raise UsageError("the forum's address is needed: write it into the playbook as platforms.discourse.url")
    parts = urlsplit(str(settings.url))
    return f"{parts.netloc}{parts.path}".lower().rstrip("/")


def events(files: list[Path], *, now: datetime, instance: str) -> Iterator[Told]:
    """Everything of these lists as of `now`; raises UsageError, with the place, for what is no such list."""
    for path in files:
        try:
            with opened(path) as file:
                yield from _of_list(file, path.name, now, instance)
        except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as exc:
            raise UsageError(f"{path.name}: cannot be read as a list of users ({type(exc).__name__})") from exc


def _of_list(file: TextIO, name: str, now: datetime, instance: str) -> Iterator[Told]:
    rows = csv.DictReader(file)
    heads = set(rows.fieldnames or ())
    if heads >= _ARCHIVE:
        raise UsageError(f"{name}: is a member's archive of their own, which does not say who they are; leave it out")
    if missing := [head for head in _NEEDED if head not in heads]:
        raise UsageError(f"{name}: is no list of users of Discourse: it has no column {', '.join(missing)}")
    yield from each(rows, partial(_user, now, instance), where=lambda _: f"{name}, line {rows.line_num}", now=now)


def _user(now: datetime, instance: str, row: Node) -> Iterator[Told]:
    actor = row.text("id")
    if not actor.isascii() or not actor.removeprefix("-").isdecimal():
        row.wrong("id", "must be a whole number")
    if int(actor) <= 0 or _is_true(row, "staged"):
        yield LeftOut.NO_PERSON
        return
    fields: dict[str, Any] = {"received_at": now, "platform": "discourse", "actor": str(int(actor))}
    before = f"discourse:{instance}"
    yield MemberJoined(
        id=f"{before}:user_created:{fields['actor']}",
        occurred_at=_moment(row, "created_at"),
        profile=_profile(row),
        **fields,
    )
    if row.value.get("suspended_at") and row.value.get("suspended_till") and _moment(row, "suspended_till") > now:
        since = _moment(row, "suspended_at")
        stamp = f"{since:%Y%m%dT%H%M%S}"
        yield MemberLeft(
            id=f"{before}:user_suspended:{fields['actor']}:{stamp}", occurred_at=since, reason="banned", **fields
        )


def _profile(row: Node) -> Profile:
    staff = _is_true(row, "admin") or _is_true(row, "moderator")
    return profile(
        name=row.maybe_text("name") or row.maybe_text("username"),
        email=row.maybe_text("email"),
        verified=_is_true(row, "active"),
        locale=None,
        timezone=None,
        role="staff" if staff else "member",
    )


def _is_true(row: Node, key: str) -> bool:
    return row.value.get(key) in _TRUE


def _moment(row: Node, key: str) -> datetime:
    """A moment as Rails writes it."""
    text = row.text(key)
    if not _MOMENT.fullmatch(text):
        row.wrong(key, "must be a moment such as 2026-03-04 10:00:00 UTC")
    return Node({key: f"{text.removesuffix(' UTC')}+00:00"}).moment(key)
