"""The inbox page: every mail as its member saw it, on a timeline with what was not sent and why."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from shared.model import Member, Send, SendStatus
from shared.playbook import Playbook

HERE = Path(__file__).parent

REASONS = {
    "bad_address": "mail cannot be sent to their address",
    "banned": "they were banned",
    "bot": "they are a bot",
    "in_doubt": "nobody knows whether SES took it, and this mail goes at most once",
    "left": "they had left the community",
    "merged": "they turned out to be somebody we knew already",
    "min_gap": "too soon after the last mail",
    "no_address": "no address of theirs is known",
    "removed": "they were removed",
    "sent_before_merge": "it went to them before, when we took them for two people",
    "staff": "they are staff",
    "stale": "it would have come too late",
    "suppressed": "their address is undeliverable",
    "unsubscribed": "they unsubscribed",
    "unless_answered_survey": "they had answered the survey already",
}
"""A reason in the ledger, in words for a person."""


@dataclass(frozen=True)
class Entry:
    """One line of a member's timeline; `folder` names the files of a mail that was sent."""

    send: Send
    step: str
    at: str
    why: str | None
    folder: str | None


@dataclass(frozen=True)
class Timeline:
    """One member and everything the ledger says of them."""

    member: Member
    zone: str
    entries: list[Entry]


def write_inbox(
    out: Path,
    *,
    members: Mapping[str, Member],
    sends: Iterable[Send],
    inbox: Iterable[Mapping[str, Any]],
    playbook: Playbook,
) -> Path:
    """Write `index.html` and the mails it shows below `out`; the page's path."""
    shutil.rmtree(out / "mails", ignore_errors=True)
    bodies = {message["MessageId"]: message for message in inbox}
    by_member: dict[str, list[Send]] = {}
    for send in sends:
        by_member.setdefault(send.member_id, []).append(send)
    timelines = [_timeline(members[member], lines, bodies, out, playbook) for member, lines in by_member.items()]
    timelines.sort(
        key=lambda timeline: (timeline.member.joined_at or timeline.member.created_at, timeline.member.ordinal)
    )
    silent = [member for member in members.values() if member.id not in by_member and member.merged_into is None]
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("inbox.html").render(
        timelines=timelines, silent=silent, community=playbook.community.name[playbook.locales[0]], SENT=SendStatus.SENT
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "index.html").write_text(page, encoding="utf-8")
    return out / "index.html"


def _timeline(
    member: Member, sends: Iterable[Send], bodies: Mapping[str, Mapping[str, Any]], out: Path, playbook: Playbook
) -> Timeline:
    zone = member.timezone or playbook.community.timezone
    entries = [
        _entry(send, ZoneInfo(zone), bodies, out) for send in sorted(sends, key=lambda send: (send.at, send.planned_at))
    ]
    return Timeline(member, zone, entries)


def _entry(send: Send, zone: ZoneInfo, bodies: Mapping[str, Mapping[str, Any]], out: Path) -> Entry:
    at = send.at.astimezone(zone).strftime("%a %d %b, %H:%M %Z")
    why = REASONS.get(send.reason, send.reason.replace("_", " ")) if send.reason else None
    body = bodies.get(send.message_id or "")
    folder = None
    if body is not None:
        folder = f"mails/{send.send_id.replace('/', '-')}"
        (out / folder).mkdir(parents=True)
        (out / folder / "mail.html").write_text(body["BodyHtml"], encoding="utf-8")
        (out / folder / "mail.txt").write_text(body["BodyText"], encoding="utf-8")
    return Entry(send, send.send_id.split("/")[1], at, why, folder)
