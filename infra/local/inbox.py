"""The inbox page: who brought whom, and every mail as its member saw it, with what was not sent and why."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from infra.local import reports
from infra.local.summary import Outcome
from infra.referred import SOURCES, STATUSES, why_so
from shared.members import consents, is_dormant, suppression_of
from shared.model import Member, Referral, Reward, Send, SendId, SendStatus
from shared.playbook import Playbook
from shared.reported import PROGRAMME

HERE = Path(__file__).parent

REASONS = {
    "bad_address": "mail cannot be sent to their address",
    "banned": "they were banned",
    "bot": "they are a bot",
    "budget": "they had as many mails as they should get for now",
    "dormant": "we had stopped asking them to come back",
    "erased": "they were erased while it was still to go, or in doubt",
    "error": "something failed before it left us",
    "holdout": "they are held out, so that the effect of asking can be told from chance",
    "in_doubt": "nobody knows whether SES took it, and this mail goes at most once",
    "left": "they had left the community",
    "merged": "they turned out to be somebody we knew already",
    "min_gap": "too soon after the last mail",
    "no_address": "no address of theirs is known",
    "not_in_playbook": "the playbook no longer has this mail",
    "one_at_a_time": "another mail to them was on its way at that moment",
    "paused": "marketing mail was paused, for too many mails bounced or were complained of",
    "quiet_hours": "it was their night, or a day without mail",
    "ramp": "marketing mail was beginning again, little by little",
    "removed": "they were removed",
    "returned": "they had come back by themselves",
    "sent_before_merge": "it went to them before, when we took them for two people",
    "staff": "they are staff",
    "stale": "it would have come too late",
    "suppressed_bounce": "their address does not exist any more, or takes nothing from us",
    "suppressed_soft_bounces": "their mailbox would not take mail five times in a month",
    "unknown_member": "nobody is known by this id",
    "unless_answered_survey": "they had answered the survey already",
    "unless_commented": "they had commented already",
    "unless_contributed": "they had taken part already",
    "unless_posted": "they had posted already",
    "unsubscribed": "they unsubscribed",
    "worker_lost": "its worker was lost with the mail in its hands",
}
"""A reason in the ledger, in words for a person."""

FEEDBACK = {
    "bounce": "it bounced for good",
    "soft_bounce": "the mailbox did not take it",
    "complaint": "they complained of it",
}
"""What SES told of a mail, where it matters to a reader."""


@dataclass(frozen=True)
class Entry:
    """One line of a member's timeline; `folder` names the files of a mail that was sent.

    `waited` is since when a mail had to wait, `then` what SES told of it later.
    """

    send: Send
    step: str
    at: str
    why: str | None
    waited: str | None
    then: str | None
    folder: str | None


@dataclass(frozen=True)
class Timeline:
    """One member and everything the ledger says of them."""

    member: Member
    zone: str
    marks: list[str]
    entries: list[Entry]


@dataclass(frozen=True)
class Bringer:
    """One member with those they brought, and what they were granted for it; all in words."""

    name: str
    brought: list[tuple[str, str]]
    rewards: list[tuple[str, str]]


def write_inbox(out: Path, found: Outcome, playbook: Playbook) -> Path:
    """Write `index.html` and the mails it shows below `out`; the page's path."""
    for made in ("mails", "reports"):
        shutil.rmtree(out / made, ignore_errors=True)
    reports.write(out, found.reports)
    members = found.members
    bodies = {message["MessageId"]: message for message in found.inbox}
    for report in found.reports:
        mail = bodies[report.send.message_id or ""]
        bodies[report.send.message_id or ""] = {**mail, "BodyHtml": report.shown_in(mail["BodyHtml"])}
    by_member: dict[str, list[Send]] = {}
    for send in found.sends:
        by_member.setdefault(send.member_id, []).append(send)
    timelines = [_timeline(members[member], lines, bodies, out, playbook) for member, lines in by_member.items()]
    timelines.sort(
        key=lambda timeline: (timeline.member.joined_at or timeline.member.created_at, timeline.member.ordinal)
    )
    silent = [member for member in members.values() if member.id not in by_member and member.merged_into is None]
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("inbox.html").render(
        bringers=_bringers(found, playbook),
        reports=found.reports,
        timelines=timelines,
        silent=silent,
        community=playbook.community.name[playbook.locales[0]],
        SENT=SendStatus.SENT,
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "index.html").write_text(page, encoding="utf-8")
    return out / "index.html"


def _bringers(found: Outcome, playbook: Playbook) -> list[Bringer]:
    """Everybody who brought somebody, who brought most first."""
    brought: dict[str, list[Referral]] = {}
    for referral in sorted(found.referrals, key=lambda one: (one.touched_at, one.referee_id)):
        brought.setdefault(found.who(referral.referrer_id).id, []).append(referral)
    zone, sources = ZoneInfo(playbook.community.timezone), {one.referee_id: one.source for one in found.attributions}
    titles = {rule.key: rule.title[playbook.locales[0]] for rule in playbook.referrals.rewards}
    bringers = [
        Bringer(
            name=found.members[member_id].name or "Somebody without a name",
            brought=[_brought(one, sources.get(one.referee_id, ""), found, zone) for one in theirs],
            rewards=[_granted(one, titles, zone) for one in found.rewards if found.who(one.member_id).id == member_id],
        )
        for member_id, theirs in brought.items()
    ]
    return sorted(bringers, key=lambda bringer: -len(bringer.brought))


def _brought(referral: Referral, source: str, found: Outcome, zone: ZoneInfo) -> tuple[str, str]:
    who = found.who(referral.referee_id).name or "somebody without a name"
    because = "; ".join(why_so(referral))
    how = f"{who}, {SOURCES.get(source, source)}: {STATUSES[referral.status]}"
    return _local(referral.touched_at, zone), f"{how}, because {because}" if because else how


def _granted(reward: Reward, titles: Mapping[str, str], zone: ZoneInfo) -> tuple[str, str]:
    taken = f"told on {_local(reward.fulfilled_at, zone)}" if reward.fulfilled_at else "not told yet"
    return _local(reward.granted_at, zone), f"{titles.get(reward.rule, reward.rule)}, {taken}"


def _timeline(
    member: Member, sends: Iterable[Send], bodies: Mapping[str, Mapping[str, Any]], out: Path, playbook: Playbook
) -> Timeline:
    zone = member.timezone or playbook.community.timezone
    entries = [
        _entry(send, ZoneInfo(zone), bodies, out) for send in sorted(sends, key=lambda send: (send.at, send.planned_at))
    ]
    return Timeline(member, zone, _marks(member, entries, playbook), entries)


def _marks(member: Member, entries: Iterable[Entry], playbook: Playbook) -> list[str]:
    """What one should know of a member before reading their timeline."""
    missed_at = [entry.send.at for entry in entries if entry.send.send_id.startswith("reengagement/")]
    refused = [name for name in playbook.categories if not consents(member, name)]
    marks = (
        (member.status, member.status != "active"),
        (member.role, member.role != "member"),
        ("undeliverable address", suppression_of(member) is not None),
        ("unsubscribed", len(refused) == len(playbook.categories)),
        (f"without {', '.join(refused)}", 0 < len(refused) < len(playbook.categories)),
        ("dormant", is_dormant(member)),
        ("came back", bool(missed_at and member.last_active_at and member.last_active_at > missed_at[0])),
    )
    return [mark for mark, holds in marks if holds]


def _entry(send: Send, zone: ZoneInfo, bodies: Mapping[str, Mapping[str, Any]], out: Path) -> Entry:
    body = bodies.get(send.message_id or "")
    folder = None
    if body is not None:
        folder = f"mails/{send.send_id.replace('/', '-')}"
        (out / folder).mkdir(parents=True)
        (out / folder / "mail.html").write_text(body["BodyHtml"], encoding="utf-8")
        (out / folder / "mail.txt").write_text(body["BodyText"], encoding="utf-8")
    return Entry(
        send=send,
        step=step_in_words(SendId.parse(send.send_id)),
        at=_local(send.at, zone),
        why=REASONS.get(send.reason, send.reason.replace("_", " ")) if send.reason else None,
        waited=_local(send.planned_at, zone) if send.waited_for else None,
        then=next((words for kind, words in FEEDBACK.items() if kind in send.feedback), None),
        folder=folder,
    )


def step_in_words(send_id: SendId) -> str:
    """Which mail of its programme a send is."""
    if send_id.programme == "reengagement":
        return f"come-back mail {send_id.step.removeprefix('attempt')}"
    if send_id.programme == PROGRAMME:
        return f"{send_id.step} report"
    if send_id.programme == "referrals":
        return f"reward {send_id.step.replace('_', ' ')}"
    return send_id.step.replace("_", " ")


def _local(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%a %d %b %Y, %H:%M %Z")
