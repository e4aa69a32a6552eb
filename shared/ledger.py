"""Decisions about a send: why one does not go out now, and what becomes of one in doubt. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zlib import crc32

from shared.mail import usable_address
from shared.members import ALL_MARKETING
from shared.model import Member, PlannedMail, Send, SendId, SendStatus
from shared.playbook import Mail, Playbook
from shared.programmes import PROGRAMMES

LEASE = timedelta(minutes=3)
"""How long a worker may hold a claim: longer than the mailer's timeout, shorter than the queue's redelivery."""

SEND_EVENT_WINDOW = timedelta(minutes=15)
"""How long SES's own Send event is waited for before a send in doubt is decided by its class."""


@dataclass(frozen=True)
class WhyNot:
    """Why a mail does not go out now; with `until` it is deferred, without it is skipped for good."""

    reason: str
    until: datetime | None = None


def why_not_send(
    member: Member | None, sends: Iterable[Send], planned: PlannedMail, playbook: Playbook, now: datetime
) -> WhyNot | None:
    """The first reason that a mail must not go out now, None when it may."""
    if member is None:
        return WhyNot("unknown_member")
    mail = playbook.mails.get(planned.mail)
    if mail is None:
        return WhyNot("not_in_playbook")
    reason = _about_the_member(member, mail) or _about_consent(member, mail)
    if reason is not None:
        return WhyNot(reason)
    return _about_time(sends, planned, playbook, now)


def _about_the_member(member: Member, mail: Mail) -> str | None:
    if member.merged_into is not None:
        return "merged"
    if member.status != "active":
        return member.status
    if mail.class_ == "marketing" and member.role != "member":
        return member.role
    if member.email is None:
        return "no_address"
    if usable_address(member.email) is None:
        return "bad_address"
    return "suppressed" if member.suppressed_at is not None else None


def _about_consent(member: Member, mail: Mail) -> str | None:
    if mail.class_ == "service":
        return None
    decisions = (member.consent.get(category) for category in (ALL_MARKETING, mail.category))
    return "unsubscribed" if any(decision is not None and not decision.given for decision in decisions) else None


def _about_time(sends: Iterable[Send], planned: PlannedMail, playbook: Playbook, now: datetime) -> WhyNot | None:
    send_id = SendId.parse(planned.send_id)
    programme = PROGRAMMES[send_id.programme]
    if now - planned.planned_at > programme.stale_after(playbook):
        return WhyNot("stale")
    sent = [
        send.at
        for send in sends
        if send.status is SendStatus.SENT and SendId.parse(send.send_id).programme == send_id.programme
    ]
    if not sent or (free_at := max(sent) + programme.min_gap(playbook)) <= now:
        return None
    return WhyNot("min_gap", until=free_at)


def retry_at(planned: PlannedMail, now: datetime) -> datetime:
    """When a mail that surely was not sent is tried again: after half its age, 1 to 60 minutes, spread by 25 %."""
    wait = min(max((now - planned.planned_at) / 2, timedelta(minutes=1)), timedelta(hours=1))
    return now + wait * (1 + crc32(planned.send_id.encode()) % 1000 / 4000)


Doubt = Literal["settled", "held", "again", "park"]


def after_the_window(send: Send | None, mail_class: Literal["marketing", "service"], now: datetime) -> Doubt:
    """What to do with a deferred or doubtful send whose time has come.

    "settled": nothing. "held": a worker still holds it, look when its lease is over. "again": put it in the queue.
    "park": it may have been sent and its class is at most once, so it stays unsent for a person to see.
    """
    if send is None or send.status in {SendStatus.SENT, SendStatus.SKIPPED, SendStatus.PARKED}:
        return "settled"
    if send.status is SendStatus.DEFERRED:
        return "again"
    if send.status is SendStatus.CLAIMED and send.lease_until is not None and send.lease_until > now:
        return "held"
    return "park" if mail_class == "marketing" else "again"
