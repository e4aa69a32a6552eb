"""What an event tells of a person: folding it into the member. Pure, and the same in whatever order events come.

Every field moves only forward: the newest profile and status win by their own time, firsts and joins are the earliest.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.events import ACTIVITY, CommunityEvent, MemberJoined, MemberLeft, MemberUpdated, Profile
from shared.localtime import is_zone
from shared.model import Consent, Identity, Member, MemberStatus, member_id_of
from shared.playbook import Condition

REMEMBERED = timedelta(days=31)
"""How long after joining each active day is remembered one by one."""

ALL_MARKETING = "all"
"""The consent category that stands for every kind of marketing mail."""


def discovered(event: CommunityEvent, ordinal: int) -> Member:
    """A person seen for the first time."""
    identity = Identity(event.platform, event.actor)
    return Member(id=member_id_of(identity), ordinal=ordinal, created_at=event.received_at)


def fold(member: Member, event: CommunityEvent) -> Member:
    """The member after this event; the same member when it tells nothing new."""
    changes: dict[str, object] = {"identities": member.identities | {f"{event.platform}:{event.actor}"}}
    if isinstance(event, MemberJoined):
        changes |= {"joined_at": _earliest(member.joined_at, event.occurred_at)} | _status(
            member, "active", event.occurred_at
        )
    if isinstance(event, MemberLeft):
        changes |= _status(member, event.reason, event.occurred_at)
    if isinstance(event, MemberJoined | MemberUpdated):
        changes |= _profile(member, event.profile, event.occurred_at)
    if event.type in ACTIVITY:
        changes |= _activity(member, event)
    return member.model_copy(update=changes)


def absorb(survivor: Member, merged: Member) -> Member:
    """The member that remains when one person turns out to have been two."""
    firsts = ("joined_at", "first_post_at", "first_comment_at", "survey_answered_at", "suppressed_at")
    changes: dict[str, object] = {name: _earliest(getattr(survivor, name), getattr(merged, name)) for name in firsts}
    seen = [moment for moment in (survivor.last_active_at, merged.last_active_at) if moment]
    changes["last_active_at"] = max(seen, default=None)
    told = ("name", "email", "locale", "timezone")
    changes |= {name: getattr(merged, name) for name in told if getattr(survivor, name) is None}
    changes["identities"] = survivor.identities | merged.identities
    changes["active_days"] = survivor.active_days | merged.active_days
    changes["suppressed_by"] = survivor.suppressed_by or merged.suppressed_by
    for category, decision in merged.consent.items():
        survivor = decide(survivor, category, decision)
    return survivor.model_copy(update=changes)


def decide(member: Member, category: str, decision: Consent) -> Member:
    """The member after a decision about a category of mail; an older decision changes nothing."""
    standing = member.consent.get(category)
    if standing is not None and standing.at >= decision.at:
        return member
    return member.model_copy(update={"consent": {**member.consent, category: decision}})


def suppress(member: Member, reason: str, at: datetime) -> Member:
    """The member after their address proved undeliverable; the first proof stays."""
    if member.suppressed_at is not None:
        return member
    return member.model_copy(update={"suppressed_at": at, "suppressed_by": reason})


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
    if member.status_at is not None and member.status_at > at:
        return {}
    return {"status": status, "status_at": at}


def _profile(member: Member, profile: Profile, at: datetime) -> dict[str, object]:
    if member.profile_at is not None and member.profile_at > at:
        # Out of order: an older profile only fills what is still unknown.
        return {name: value for name, value in _told(profile).items() if getattr(member, name) is None}
    return {**_told(profile), "role": profile.role, "profile_at": at}


def _told(profile: Profile) -> dict[str, object]:
    told: dict[str, object] = {"name": profile.name, "locale": profile.locale}
    if profile.email_verified:
        told["email"] = profile.email
    if profile.timezone and is_zone(profile.timezone):
        told["timezone"] = profile.timezone
    return {name: value for name, value in told.items() if value}


def _activity(member: Member, event: CommunityEvent) -> dict[str, object]:
    at = event.occurred_at
    changes: dict[str, object] = {}
    if member.last_active_at is None or member.last_active_at.date() < at.date():
        changes["last_active_at"] = at
    if member.joined_at and timedelta(0) <= at - member.joined_at < REMEMBERED:
        changes["active_days"] = member.active_days | {at.date().isoformat()}
    first = {
        "post.created": "first_post_at",
        "comment.created": "first_comment_at",
        "survey.answered": "survey_answered_at",
    }
    if (name := first.get(event.type)) and getattr(member, name) is None:
        changes[name] = at
    return changes


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)
