"""Decisions about a send: why one does not go out now, and what becomes of one in doubt. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import partial
from typing import Literal
from zlib import crc32

from shared import breaker
from shared.limits import next_allowed, waits_for_room
from shared.localtime import at_local, local_day, next_local
from shared.members import why_not, zone_of
from shared.model import Due, Member, Pause, PlannedMail, Send, SendId, SendStatus
from shared.playbook import Mail, Playbook
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


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known when a mail is claimed: its member, what is on the agenda for them, and their ledger.

    `sends` includes the ledgers of members that proved to be the same person; `pause` is the breaker's newest.
    """

    member: Member | None
    dues: Sequence[Due] = ()
    sends: Sequence[Send] = ()
    pause: Pause | None = None


def why_not_send(facts: Facts, planned: PlannedMail, *, playbook: Playbook, now: datetime) -> WhyNot | None:
    """The first reason that a mail must not go out now, None when it may."""
    member, mail = facts.member, playbook.mails.get(planned.mail)
    if member is None:
        return WhyNot("unknown_member")
    send_id = SendId.parse(planned.send_id)
    programme = PROGRAMMES.get(send_id.programme)
    if mail is None or (programme is None and mail.class_ == "marketing"):
        return WhyNot("not_in_playbook")
    reason = why_not(member, mail) or _about_the_past(facts, send_id)
    reason = reason or (programme.no_longer(send_id, member, playbook) if programme else None)
    if reason is not None:
        return WhyNot(reason)
    held = breaker.held_for(facts.pause, planned.planned_at, playbook.breaker, now)
    age = now - planned.planned_at - (held if mail.class_ == "marketing" else timedelta(0))
    if programme is not None and age > programme.stale_after(playbook):
        return WhyNot("stale")
    if mail.class_ == "service":
        return None
    return _about_time(facts, planned, member=member, mail=mail, playbook=playbook, now=now)


def _about_the_past(facts: Facts, send_id: SendId) -> str | None:
    """The same mail may have gone to the same person under another member id, before the two were merged."""
    others = [send for send in facts.sends if send.send_id != str(send_id)]
    out = any(_step(send.send_id) == _step(str(send_id)) and _may_be_out(send) for send in others)
    return "sent_before_merge" if out else None


def _step(send_id: str) -> tuple[str, str, str]:
    """What a send is of, whoever it is to."""
    parts = SendId.parse(send_id)
    return parts.programme, parts.step, parts.occurrence


def _held(send: Send, now: datetime) -> bool:
    return send.status is SendStatus.CLAIMED and send.lease_until is not None and send.lease_until > now


def _may_be_out(send: Send) -> bool:
    """Whether a mail was sent, or may have been for all that is known."""
    # A claimed one is in a mailer's hands, or in those of one that died.
    gone = send.status in {SendStatus.SENT, SendStatus.UNKNOWN, SendStatus.CLAIMED}
    return gone or (send.status is SendStatus.PARKED and send.reason == IN_DOUBT)


def _about_time(
    facts: Facts, planned: PlannedMail, *, member: Member, mail: Mail, playbook: Playbook, now: datetime
) -> WhyNot | None:
    """Whether this is a moment for marketing mail at all, and for this mail to this member."""
    zone = zone_of(member, playbook)
    allowed = partial(next_allowed, zone=zone, limits=playbook.limits)
    held = breaker.held_until(facts.pause, planned.send_id, rules=playbook.breaker, allowed=allowed, now=now)
    if held is not None:
        return WhyNot(*held)
    allowed_at = allowed(now)
    if allowed_at > now and not (mail.at_once and now - planned.planned_at < SHORTLY):
        return WhyNot("quiet_hours", until=allowed_at)
    out = _marketing(facts.sends, planned, playbook)
    if any(_held(send, now) for send in out):
        return WhyNot("one_at_a_time", until=retry_at(planned, now))  # another mailer is at it this very moment
    usual = planned.planned_at.astimezone(zone).time()
    if (free_at := _gap_ends(out, planned, playbook)) is not None and free_at > now:
        at_its_hour = next_local(free_at, usual, zone)
        return WhyNot("min_gap", until=free_at if free_at - now < SHORTLY else at_its_hour)
    reserved = _reserved(facts, planned, member=member, playbook=playbook, now=now)
    room_at = waits_for_room(
        [send.at for send in out], reserved, usual=usual, zone=zone, limits=playbook.limits, now=now
    )
    return WhyNot("budget", until=room_at) if room_at is not None else None


def _marketing(sends: Iterable[Send], planned: PlannedMail, playbook: Playbook) -> list[Send]:
    """Every other marketing mail that went to the member, or may have; a mail no longer in the playbook was one."""
    others = (send for send in sends if send.send_id != planned.send_id and _may_be_out(send))
    return [send for send in others if not ((mail := playbook.mails.get(send.mail)) and mail.class_ == "service")]


def _gap_ends(out: Iterable[Send], planned: PlannedMail, playbook: Playbook) -> datetime | None:
    """When the programme's own gap after its last mail ends."""
    name = SendId.parse(planned.send_id).programme
    gap = PROGRAMMES[name].min_gap(playbook)
    return max((send.at + gap for send in out if SendId.parse(send.send_id).programme == name), default=None)


def _reserved(facts: Facts, planned: PlannedMail, *, member: Member, playbook: Playbook, now: datetime) -> int:
    """How many mails of higher priority are still to come on the member's day, and have the first right to its room."""
    zone = zone_of(member, playbook)
    today_ends = at_local(local_day(now, zone) + timedelta(days=1), time(), zone)
    waiting = [
        send.mail
        for send in facts.sends
        if send.send_id != planned.send_id and _waits(send, playbook, now) and (send.until or now) < today_ends
    ]
    next_mails = (
        PROGRAMMES[due.programme].next_mail(due, member, playbook) for due in facts.dues if due.programme in PROGRAMMES
    )
    coming = [mail for mail, at in filter(None, next_mails) if at < today_ends]
    mine = _rank(planned.mail, playbook)
    return sum(_rank(mail, playbook) < mine and _may_go(mail, member, playbook) for mail in (*waiting, *coming))


def _may_go(mail: str, member: Member, playbook: Playbook) -> bool:
    return mail in playbook.mails and why_not(member, playbook.mails[mail]) is None


def _waits(send: Send, playbook: Playbook, now: datetime) -> bool:
    """Whether a deferred mail still has its chance: one that is stale has lost it."""
    programme = PROGRAMMES.get(SendId.parse(send.send_id).programme)
    fresh = programme is not None and now - send.planned_at <= programme.stale_after(playbook)
    # One that failed comes again by the queue, or lies in its dead letters: nobody can say when it goes.
    return send.status is SendStatus.DEFERRED and fresh and send.reason != "error"


def _rank(mail: str, playbook: Playbook) -> int:
    """The place of a mail's category in the playbook: what stands higher goes first."""
    order = list(playbook.categories)
    category = playbook.mails[mail].category if mail in playbook.mails else ""
    return order.index(category) if category in order else len(order)


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
