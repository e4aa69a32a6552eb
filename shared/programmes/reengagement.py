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
from shared.experiments import group_of, share
from shared.localtime import next_local
from shared.members import is_dormant, send_time, why_not, zone_of
from shared.model import Due, Member, SendId
from shared.playbook import Playbook
from shared.programmes import onboarding

NAME = "reengagement"
KEY = "inactivity"

PUNCTUAL = timedelta(hours=1)
"""A look later than this is not a good moment for a mail any more: it waits for the member's next send time."""

SPREAD = timedelta(days=30)
"""So long are spread the first turns of who was there, and silent, before we knew them: each has a day of their own."""

TOLD_LATE = timedelta(days=2)
"""Who is told of so long after they were first there was there before we knew them: their history was imported."""

HOLDOUT = "holdout"
"""Why a member of the holdout gets no mail."""


class Spell(Frozen):
    """What the timer remembers: since when the member is silent, how often their turn came, when last, and how often
    it brought them a mail.
    """

    since: Utc | None = None
    attempts: int = 0
    asked_at: Utc | None = None
    mails: int = 0


_STATE: TypeAdapter[Spell] = TypeAdapter(Spell)


def on_event(event: CommunityEvent, before: Member | None, member: Member, playbook: Playbook) -> list[Action]:  # noqa: ARG001 - every programme's signature
    """Start the timer of a member who joins, is discovered, or comes back after we had stopped asking."""
    if why_never(member) is not None or not _starts(event, member):
        return []
    return [_start(member, playbook)]


def wake(member: Member, playbook: Playbook, now: datetime) -> list[Action]:  # noqa: ARG001 - every programme's signature
    """Start the timer of a member who has none, as when two members prove to be one; a lazy one sees for itself."""
    return [] if why_never(member) or is_dormant(member) else [_start(member, playbook)]


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
    if (never := why_never(member)) is not None:
        return [*_tell_of_the_gone(spell, member, playbook, reason=never, at=at), Done(due=due)]
    if spell.attempts >= playbook.reengagement.max_attempts:
        return _end(due, spell, member, playbook, now)
    if now - at > PUNCTUAL and (at := _send_slot(now, member, playbook)) > now:
        return [_look_again(due, spell, at)]
    actions = _ask(_asked(spell, at), member, playbook, at)
    asked = _asked(spell, at, mails=sum(isinstance(action, SendMail) for action in actions))
    return [*actions, _look_again(due, asked, _due_at(asked, member, playbook))]


def plan(playbook: Playbook) -> str:
    """A fingerprint of everything that decides when an attempt is due; when it changes, agendas are rearranged."""
    rules = playbook.reengagement
    parts = (rules.spacing, rules.max_attempts, rules.send_at, rules.win_back_within, playbook.community.timezone)
    return sha256("|".join(map(str, (*parts, onboarding.plan(playbook)))).encode()).hexdigest()[:16]


def rearrange(due: Due, member: Member | None, playbook: Playbook) -> list[Action]:
    """Bring a timer forward to when it is due under the playbook as it is now; one that is early sees for itself."""
    if member is None or member.merged_into is not None:
        return []
    at = next_look(due, member, playbook)
    return [_look_again(due, _spell(due, member), at)] if at < due.due_at else []


def next_look(due: Due, member: Member, playbook: Playbook) -> datetime:
    """When the timer will come to something, as things stand: it may fire before, and then only looks."""
    return _due_at(_spell(due, member), member, playbook)


def no_longer(send_id: SendId, member: Member, playbook: Playbook) -> str | None:  # noqa: ARG001 - every programme's signature
    """`returned` when the member was seen after the silence that the mail is about, while it had to wait."""
    return "returned" if f"{last_seen(member):%Y%m%d}" > send_id.occurrence else None


def next_mail(due: Due, member: Member, playbook: Playbook) -> tuple[str, datetime] | None:
    """The mail that the timer will send, and when; None when the turn will bring this member none."""
    rules = playbook.reengagement
    over = _spell(due, member).attempts >= rules.max_attempts
    if over or group_of(NAME, member.id, rules.holdout_percent) == "held_out":
        return None
    return rules.mail, max(due.due_at, next_look(due, member, playbook))


def last_seen(member: Member) -> datetime:
    """When the member last gave a sign of themselves, as far as we know: did something, joined, or asked for mail.

    Of somebody imported we know nothing before we knew them, so their silence begins no earlier than that, unless
    what they did then was told.
    """
    wanted = [decision.at for decision in member.consent.values() if decision.given]
    joined = [member.status_at] if member.status == "active" and member.status_at else []
    signs = [*wanted, *joined, *([member.last_active_at] if member.last_active_at else [])]
    if member.last_active_at is None:
        signs += [member.created_at, *([member.joined_at] if member.joined_at else [])]
    return max(signs)


def why_never(member: Member) -> str | None:
    """Why nobody would ask this person to come back, whatever they did; None for an ordinary member."""
    if member.status != "active":
        return member.status
    return None if member.role == "member" else member.role


def _starts(event: CommunityEvent, member: Member) -> bool:
    """Asked of the event and the member after it, not of before: a retry finds the difference folded in already."""
    if is_dormant(member):
        return False
    discovered = event.received_at == member.created_at
    woken = event.type in ACTIVITY and event.occurred_at == member.woken_at
    return isinstance(event, MemberJoined | MemberUpdated) or discovered or woken


def _start(member: Member, playbook: Playbook) -> Arm:
    due_at = _due_at(Spell(since=last_seen(member)), member, playbook)
    return Arm(programme=NAME, member_id=member.id, key=KEY, due_at=due_at, state={})


def _end(due: Due, spell: Spell, member: Member, playbook: Playbook, now: datetime) -> list[Action]:
    """All turns are over: who was asked is left in peace; of who never was, a later silence may be another."""
    if spell.mails:
        return [Rest(due=due, at=now)]
    return [_look_again(due, spell, _send_slot(now + playbook.reengagement.spacing[-1], member, playbook))]


def _tell_of_the_gone(spell: Spell, member: Member, playbook: Playbook, *, reason: str, at: datetime) -> list[Action]:
    if spell.attempts >= playbook.reengagement.max_attempts:
        return []
    return [_skip(_asked(spell, at), member, playbook, reason=reason, at=at)]


def _spell(due: Due, member: Member) -> Spell:
    """The silence that the timer remembers, or a new one when the member has done something since.

    What they did before their last turn, but is told late, is no answer to it: the turns go on, of a silence that
    began later.
    """
    spell, seen = _STATE.validate_python(due.state), last_seen(member)
    if spell.since is None or (seen > spell.since and (spell.asked_at is None or seen > spell.asked_at)):
        return Spell(since=seen)
    return spell.model_copy(update={"since": max(spell.since, seen)})


def _asked(spell: Spell, at: datetime, *, mails: int = 0) -> Spell:
    return spell.model_copy(update={"attempts": spell.attempts + 1, "asked_at": at, "mails": spell.mails + mails})


def _due_at(spell: Spell, member: Member, playbook: Playbook) -> datetime:
    """When to look next: at the member's send time, `spacing` after what came before, and never inside onboarding."""
    rules = playbook.reengagement
    before = spell.asked_at or spell.since or member.created_at
    if spell.attempts >= rules.max_attempts:
        return before + rules.win_back_within
    after = before + rules.spacing[spell.attempts]
    if spell.attempts == 0 and before <= member.created_at and _was_there_before(member):
        after = max(after, member.created_at) + SPREAD * share("spread", NAME, member.id)
    onboarded_at = onboarding.over_at(member, playbook)
    return _send_slot(max(after, onboarded_at) if onboarded_at else after, member, playbook)


def _was_there_before(member: Member) -> bool:
    """Whether something is known of a member of long before we knew them."""
    moments = (member.joined_at, member.status_at, member.first_post_at, member.first_comment_at, member.last_active_at)
    first = min((moment for moment in (*moments, *member.told_at.values()) if moment), default=member.created_at)
    return member.created_at - first > TOLD_LATE


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
