"""What an event tells of a person: folding it into the member. Pure, and the same in whatever order events come.

Every field moves only forward: what was told last wins, firsts and joins are the earliest, and of two things told for
the same moment the same one wins whichever came first.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from shared.events import ACTIVITY, CommunityEvent, MemberJoined, MemberLeft, MemberUpdated
from shared.localtime import is_zone
from shared.model import Consent, Identity, Member, MemberStatus, address_hash, member_id_of
from shared.playbook import Condition, Playbook

REMEMBERED = timedelta(days=31)
"""How long after joining each active day is remembered one by one."""

ALL_MARKETING = "all"
"""The consent category that stands for every kind of marketing mail."""

ROLE = "role@"
"""What leads the name of a platform in `told_at`, where it told a role."""

_STRENGTH = {"member": 0, "staff": 1, "bot": 2}

_CAUTION: dict[MemberStatus, int] = {"active": 0, "left": 1, "removed": 2, "banned": 3}
"""Of two statuses of the same moment, the one that sends less wins."""


def discovered(event: CommunityEvent, ordinal: int) -> Member:
    """A person seen for the first time."""
    identity = Identity(event.platform, event.actor)
    return Member(id=member_id_of(identity), ordinal=ordinal, created_at=event.received_at)


def fold(member: Member, event: CommunityEvent) -> Member:
    """The member after this event; the same member when it tells nothing new.

    Events may come in any order and more than once, with one grain: `last_active_at` is right to its UTC day, of which
    the event that came first stays, so that a busy day costs one write.
    """
    at = event.occurred_at
    changes: dict[str, object] = {"identities": member.identities | {f"{event.platform}:{event.actor}"}}
    if isinstance(event, MemberJoined):
        changes |= _status(member, "active", at)
    if isinstance(event, MemberJoined) and not event.returning:
        changes["joined_at"] = _earliest(member.joined_at, at)
    if isinstance(event, MemberLeft):
        changes |= _status(member, event.reason, at)
    if isinstance(event, MemberJoined | MemberUpdated):
        changes |= _told(member, _says(event), dict.fromkeys(_says(event), at))
    if event.type in ACTIVITY:
        changes |= _activity(member, event)
    return _forgetful(member.model_copy(update=changes))


def absorb(survivor: Member, merged: Member) -> Member:
    """The member that remains when one person turns out to have been two: as if all had been told of the one."""
    firsts = ("joined_at", "first_post_at", "first_comment_at", "survey_answered_at")
    changes: dict[str, object] = {name: _earliest(getattr(survivor, name), getattr(merged, name)) for name in firsts}
    seen = [moment for moment in (survivor.last_active_at, merged.last_active_at) if moment]
    changes["last_active_at"] = max(seen, default=None)
    changes |= _told(survivor, {name: _known(merged, name) for name in merged.told_at}, merged.told_at)
    changes["absorbed"] = survivor.absorbed | merged.absorbed | {merged.id}
    if merged.status_at is not None:
        changes |= _status(survivor, merged.status, merged.status_at)
    changes["identities"] = survivor.identities | merged.identities
    changes["active_days"] = survivor.active_days | merged.active_days
    for category, decision in merged.consent.items():
        survivor = decide(survivor, category, decision)
    if merged.suppressed_at and merged.suppressed_by and merged.suppressed_address:
        survivor = suppress(survivor, merged.suppressed_by, merged.suppressed_at, merged.suppressed_address)
    return _forgetful(survivor.model_copy(update=changes))


def decide(member: Member, category: str, decision: Consent) -> Member:
    """The member after a decision on a category of mail; an older one changes nothing, of two at once the no stands."""
    standing = member.consent.get(category)
    if standing is not None and (standing.at, not standing.given) >= (decision.at, not decision.given):
        return member
    return member.model_copy(update={"consent": {**member.consent, category: decision}})


def suppress(member: Member, reason: str, at: datetime, address: str) -> Member:
    """The member after an address, given as its hash, proved undeliverable; the newest proof stands."""
    if member.suppressed_at is not None and (member.suppressed_at, member.suppressed_address or "") >= (at, address):
        return member
    return member.model_copy(update={"suppressed_at": at, "suppressed_by": reason, "suppressed_address": address})


def is_suppressed(member: Member) -> bool:
    """Whether the address that the member has now is the one that proved undeliverable."""
    return member.email is not None and member.suppressed_address == address_hash(member.email)


def zone_of(member: Member | None, playbook: Playbook) -> ZoneInfo:
    """The member's own time zone, else the community's."""
    return ZoneInfo((member.timezone if member else None) or playbook.community.timezone)


def meets(member: Member, condition: Condition) -> bool:
    """Whether a playbook's condition holds for a member."""
    posted, commented = member.first_post_at is not None, member.first_comment_at is not None
    known: dict[Condition, bool] = {
        "posted": posted,
        "commented": commented,
        "contributed": posted or commented,
        "answered_survey": member.survey_answered_at is not None,
    }
    return known[condition]


def _status(member: Member, status: MemberStatus, at: datetime) -> dict[str, object]:
    if member.status_at is not None and (member.status_at, _CAUTION[member.status]) >= (at, _CAUTION[status]):
        return {}
    return {"status": status, "status_at": at}


def _told(member: Member, said: Mapping[str, str], at: Mapping[str, datetime]) -> dict[str, object]:
    """What is new in what is said of a member: each thing by its own time, for a profile may say only some."""
    new = {
        name: value
        for name, value in said.items()
        if name not in member.told_at or (at[name], value) > (member.told_at[name], _known(member, name))
    }
    told = {"told_at": {**member.told_at, **{name: at[name] for name in new}}}
    # A platform that calls somebody a member takes nothing back from another that calls them staff.
    roles = {**member.roles, **{name.removeprefix(ROLE): new.pop(name) for name in list(new) if name.startswith(ROLE)}}
    role = max(roles.values(), key=_STRENGTH.__getitem__, default="member")
    return {**new, **told, "roles": roles, "role": role}


def _known(member: Member, name: str) -> str:
    """What is known under a name of `told_at`."""
    known: str = member.roles[name.removeprefix(ROLE)] if name.startswith(ROLE) else getattr(member, name)
    return known


def _says(event: MemberJoined | MemberUpdated) -> dict[str, str]:
    profile = event.profile
    said = {"name": profile.name, "locale": profile.locale, f"{ROLE}{event.platform}": profile.role}
    if profile.email_verified:
        said["email"] = profile.email
    if profile.timezone and is_zone(profile.timezone):
        said["timezone"] = profile.timezone
    return {name: value for name, value in said.items() if value}


def _activity(member: Member, event: CommunityEvent) -> dict[str, object]:
    at = event.occurred_at
    changes: dict[str, object] = {"active_days": member.active_days | {at.date().isoformat()}}
    if member.last_active_at is None or member.last_active_at.date() < at.date():
        changes["last_active_at"] = at
    first = {
        "post.created": "first_post_at",
        "comment.created": "first_comment_at",
        "survey.answered": "survey_answered_at",
    }
    if name := first.get(event.type):
        changes[name] = _earliest(getattr(member, name), at)
    return changes


def _forgetful(member: Member) -> Member:
    """Keep single days up to a month after joining; until a join is told, perhaps late, those of the newest month."""
    days = member.active_days
    if not days:
        return member
    if member.joined_at is not None:
        end = (member.joined_at + REMEMBERED).date().isoformat()
        kept = frozenset(day for day in days if day < end)
    else:
        start = (date.fromisoformat(max(days)) - REMEMBERED).isoformat()
        kept = frozenset(day for day in days if day > start)
    return member if kept == days else member.model_copy(update={"active_days": kept})


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)
