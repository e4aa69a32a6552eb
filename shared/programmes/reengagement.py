"""Re-engagement: a member who has long done nothing is asked to come back, a few times, and then left in peace.

Every member has one timer on the agenda. It is lazy: activity does not move it; when it fires it looks, and re-arms
itself. Knows no AWS and no clock.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256

from pydantic import TypeAdapter

from shared.actions import Action, Advance, Arm, Done, Rest, SendMail, Skip, Try
from shared.events import ACTIVITY, CommunityEvent, Frozen, MemberJoined, MemberUpdated, Utc
from shared.experiments import group_of
from shared.localtime import next_local
from shared.members import is_dormant, send_time, why_not, zone_of
from shared.model import Due, Member, SendId
from shared.playbook import Playbook
from shared.programmes import onboarding

NAME = "reengagement"
KEY = "inactivity"

PUNCTUAL = timedelta(hours=1)
"""A look later than this is not a good moment for a mail any more: it waits for the member's next send time."""

HOLDOUT = "holdout"
"""Why a member of the holdout gets no mail."""


class Spell(Frozen):
    """What the timer remembers: since when the member is silent, how often they were asked, and when last."""

    since: Utc | None = None
    attempts: int = 0
    asked_at: Utc | None = None


_STATE: TypeAdapter[Spell] = TypeAdapter(Spell)


def on_event(event: CommunityEvent, before: Member | None, member: Member, playbook: Playbook) -> list[Action]:  # noqa: ARG001 - every programme's signature
    """Start the timer of a member who joins, is discovered, or comes back after we had stopped asking."""
    if why_never(member) is not None or not _starts(event, member):
        return []
    due_at = _due_at(Spell(since=last_seen(member)), member, playbook)
    return [Arm(programme=NAME, member_id=member.id, key=KEY, due_at=due_at, state={})]


def wake(member: Member, now: datetime) -> list[Action]:  # noqa: ARG001 - every programme's signature
    """Nothing: a lazy timer sees what has changed when it fires."""
    return []


def on_due(due: Due, member: Member | None, playbook: Playbook, now: datetime) -> list[Action]:
    """Look whether the member is still away, ask them to come back if so, and say when to look again."""
    if member is None or member.merged_into is not None:
        return [Done(due=due)]
    spell = _spell(due, member)
    at = max(_due_at(spell, member, playbook), due.due_at)
    if spell.attempts < playbook.reengagement.max_attempts:
        at = _send_slot(at, member, playbook)  # the member may have chosen another hour since the timer was set
    if at > now:
        return [_look_again(due, spell, at)]
    never = why_never(member)
    if spell.attempts >= playbook.reengagement.max_attempts:
        return [Done(due=due)] if never else [Rest(member_id=member.id, at=now), Done(due=due)]
    if never is not None:
        return [_skip(_asked(spell, at), member, playbook, reason=never, at=at), Done(due=due)]
    if now - at > PUNCTUAL and (at := _send_slot(now, member, playbook)) > now:
        return [_look_again(due, spell, at)]
    asked = _asked(spell, at)
    actions = _ask(asked, member, playbook, at)
    return [*actions, _look_again(due, asked, _due_at(asked, member, playbook))]


def plan(playbook: Playbook) -> str:
    """A fingerprint of everything that decides when an attempt is due; when it changes, agendas are rearranged."""
    rules = playbook.reengagement
    parts = (rules.spacing, rules.max_attempts, rules.send_at, rules.win_back_within, playbook.community.timezone)
    return sha256("|".join(map(str, (*parts, onboarding.plan(playbook)))).encode()).hexdigest()[:16]


def rearrange(due: Due, member: Member | None, playbook: Playbook) -> list[Action]:
    """Move a timer to when it is due under the playbook as it is now; nothing when that has not changed."""
    if member is None or member.merged_into is not None:
        return []
    spell = _spell(due, member)
    at = _due_at(spell, member, playbook)
    return [] if at == due.due_at else [_look_again(due, spell, at)]


def no_longer(send_id: SendId, member: Member, playbook: Playbook) -> str | None:  # noqa: ARG001 - every programme's signature
    """`returned` when the member came back after the mail was decided on, while it had to wait."""
    return "returned" if f"{last_seen(member):%Y%m%d}" > send_id.occurrence else None


def next_mail(due: Due, member: Member, playbook: Playbook) -> str | None:
    """The mail that the timer may send when it fires."""
    return None if _spell(due, member).attempts >= playbook.reengagement.max_attempts else playbook.reengagement.mail


def last_seen(member: Member) -> datetime:
    """When the member last did something, as far as we know: else when they joined, or were first heard of.

    Of somebody imported we know no activity before we knew them, so their silence begins no earlier than that.
    """
    return member.last_active_at or max(member.joined_at or member.created_at, member.created_at)


def why_never(member: Member) -> str | None:
    """Why nobody would ask this person to come back, whatever they did; None for an ordinary member."""
    if member.status != "active":
        return member.status
    return None if member.role == "member" else member.role


def _starts(event: CommunityEvent, member: Member) -> bool:
    """Asked of the event and the member after it, not of before: a retry finds the difference folded in already."""
    discovered = event.received_at == member.created_at
    first_of_its_day = event.type in ACTIVITY and event.occurred_at == member.last_active_at
    woken = first_of_its_day and member.dormant_at is not None and not is_dormant(member)
    return isinstance(event, MemberJoined | MemberUpdated) or discovered or woken


def _spell(due: Due, member: Member) -> Spell:
    """The silence that the timer remembers, or a new one when the member has done something since.

    What they did before they were asked, but is told late, is no answer to having been asked.
    """
    spell, seen = _STATE.validate_python(due.state), last_seen(member)
    known = spell.asked_at or spell.since
    return Spell(since=seen) if known is None or seen > known else spell


def _asked(spell: Spell, at: datetime) -> Spell:
    return spell.model_copy(update={"attempts": spell.attempts + 1, "asked_at": at})


def _due_at(spell: Spell, member: Member, playbook: Playbook) -> datetime:
    """When to look next: at the member's send time, `spacing` after what came before, and never inside onboarding."""
    rules = playbook.reengagement
    before = spell.asked_at or spell.since or member.created_at
    if spell.attempts >= rules.max_attempts:
        return before + rules.win_back_within
    after = before + rules.spacing[spell.attempts]
    onboarded_at = onboarding.over_at(member, playbook)
    return _send_slot(max(after, onboarded_at) if onboarded_at else after, member, playbook)


def _send_slot(after: datetime, member: Member, playbook: Playbook) -> datetime:
    return next_local(after, send_time(member, playbook.reengagement.send_at), zone_of(member, playbook))


def _ask(asked: Spell, member: Member, playbook: Playbook, at: datetime) -> list[Action]:
    """One attempt: the mail, or the reason why there is none; and for whom it counts, in which group."""
    rules = playbook.reengagement
    if (reason := why_not(member, playbook.mails[rules.mail])) is not None:
        return [_skip(asked, member, playbook, reason=reason, at=at)]
    send_id, group = _send_id(asked, member), group_of(NAME, member.id, rules.holdout_percent)
    tried = Try(send_id=send_id, group=group, at=at)
    if group == "held_out":
        return [_skip(asked, member, playbook, reason=HOLDOUT, at=at), tried]
    return [SendMail(send_id=send_id, mail=rules.mail, planned_at=at), tried]


def _skip(spell: Spell, member: Member, playbook: Playbook, *, reason: str, at: datetime) -> Skip:
    return Skip(send_id=_send_id(spell, member), mail=playbook.reengagement.mail, reason=reason, planned_at=at)


def _send_id(spell: Spell, member: Member) -> SendId:
    """The occurrence is the day on which the silence began, so that a later silence is a new one."""
    since = spell.since or member.created_at
    return SendId(NAME, f"attempt{spell.attempts}", member.id, f"{since:%Y%m%d}")


def _look_again(due: Due, spell: Spell, at: datetime) -> Advance:
    return Advance(due=due, due_at=at, state=spell.model_dump(mode="json"))
