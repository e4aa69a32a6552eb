"""Decisions about a send: why one does not go out now, and what becomes of one in doubt. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zlib import crc32

from shared.localtime import next_local
from shared.members import why_not, zone_of
from shared.model import Member, PlannedMail, Send, SendId, SendStatus
from shared.playbook import Playbook
from shared.programmes import PROGRAMMES

LEASE = timedelta(minutes=3)
"""How long a worker may hold a claim: longer than the mailer's timeout, shorter than the queue's redelivery."""

IN_DOUBT = "in_doubt"
"""Why a send is parked that may have been sent."""

SHORTLY = timedelta(hours=1)
"""A mail that has to wait less than this goes as soon as it may; one that waits longer, at its own hour."""

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
    """The first reason that a mail must not go out now, None when it may.

    `sends` is the member's ledger, with the ledgers of members that proved to be the same person.
    """
    if member is None:
        return WhyNot("unknown_member")
    mail = playbook.mails.get(planned.mail)
    if mail is None:
        return WhyNot("not_in_playbook")
    reason = why_not(member, mail)
    if reason is not None:
        return WhyNot(reason)
    sends = [send for send in sends if send.send_id != planned.send_id]
    if any(_step(send.send_id) == _step(planned.send_id) and _may_be_out(send, now) for send in sends):
        return WhyNot("sent_before_merge")
    return _about_time(member, sends, planned, playbook, now)


def _step(send_id: str) -> tuple[str, str, str]:
    """What a send is of, whoever it is to."""
    parts = SendId.parse(send_id)
    return parts.programme, parts.step, parts.occurrence


def _held(send: Send, now: datetime) -> bool:
    return send.status is SendStatus.CLAIMED and send.lease_until is not None and send.lease_until > now


def _may_be_out(send: Send, now: datetime) -> bool:
    """Whether a mail was sent, or may have been for all that is known."""
    return (
        send.status in {SendStatus.SENT, SendStatus.UNKNOWN}
        or (send.status is SendStatus.PARKED and send.reason == IN_DOUBT)
        or _held(send, now)
    )


def _about_time(
    member: Member, sends: Iterable[Send], planned: PlannedMail, playbook: Playbook, now: datetime
) -> WhyNot | None:
    programme = PROGRAMMES[SendId.parse(planned.send_id).programme]
    if now - planned.planned_at > programme.stale_after(playbook):
        return WhyNot("stale")
    near = [send for send in sends if _step(send.send_id)[0] == _step(planned.send_id)[0] and _may_be_out(send, now)]
    if any(_held(send, now) for send in near):
        return WhyNot("min_gap", until=retry_at(planned, now))  # another mailer is at it this very moment
    free_at = max((send.at + programme.min_gap(playbook) for send in near), default=now)
    if free_at <= now:
        return None
    zone = zone_of(member, playbook)
    at_its_hour = next_local(free_at, planned.planned_at.astimezone(zone).time(), zone)
    return WhyNot("min_gap", until=free_at if free_at - now < SHORTLY else at_its_hour)


def retry_at(planned: PlannedMail, now: datetime) -> datetime:
    """When a mail that surely was not sent is tried again: after half its age, 1 to 60 minutes, spread by 25 %."""
    wait = min(max((now - planned.planned_at) / 2, timedelta(minutes=1)), timedelta(hours=1))
    return now + wait * (1 + crc32(planned.send_id.encode()) % 1000 / 4000)


Verdict = Literal["settled", "held", "again", "park"]


def held_until(send: Send) -> datetime | None:
    """Until when a send is left alone: a worker holds it, SES may still tell of it, or it is deferred."""
    if send.status is SendStatus.CLAIMED:
        return send.lease_until
    if send.status is SendStatus.UNKNOWN:
        return send.at + SEND_EVENT_WINDOW
    return send.until if send.status is SendStatus.DEFERRED else None


def after_the_window(send: Send | None, mail_class: Literal["marketing", "service"], now: datetime) -> Verdict:
    """What to do with a deferred or doubtful send when the agenda brings it up.

    "settled": nothing. "held": look again at `held_until`. "again": put it in the queue. "park": it may have been sent
    and its class is at most once, so it stays unsent for a person to see.
    """
    if send is None or send.status in {SendStatus.SENT, SendStatus.SKIPPED, SendStatus.PARKED}:
        return "settled"
    if (until := held_until(send)) is not None and until > now:
        return "held"
    if send.status is SendStatus.DEFERRED:
        return "again"
    return "park" if mail_class == "marketing" else "again"
