"""What an event tells of a person: folding it into the member. Pure, and the same in whatever order events come.

Every field moves only forward: what was told last wins, firsts and joins are the earliest, and of two things told for
the same moment the same one wins whichever came first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from shared.addresses import address_hash, usable_address
from shared.events import ACTIVITY, CommunityEvent, MemberJoined, MemberLeft, MemberUpdated, PurchaseMade
from shared.localtime import is_zone
from shared.model import Consent, Identity, Member, MemberStatus, SoftBounce, Suppression, member_id_of
from shared.playbook import ALL_MARKETING, Condition, Mail, Playbook

REMEMBERED = timedelta(days=31)
"""How long after joining each active day is remembered one by one."""

SOFT_BOUNCES = 5
"""So many mails that an address did not take within `SOFT_BOUNCE_WINDOW` suppress it."""

SOFT_BOUNCE_WINDOW = timedelta(days=30)

SOFT_BOUNCES_KEPT = 50
"""A bound on a member's size; an address is suppressed long before it has bounced so often."""

ROLE = "role@"
"""What leads the name of a platform in `told_at`, where it told a role."""

_FIRSTS = (
    *("joined_at", "first_post_at", "first_comment_at", "survey_answered_at"),
    *("verified_at", "first_purchase_at", "touched_at", "told_since"),
)
"""Fields of a member that keep the earliest moment of their kind."""

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
    if at < member.created_at:  # else the log of that day is known to be theirs
        changes["told_since"] = _earliest(member.told_since, at)
    if isinstance(event, MemberJoined):
        changes |= _status(member, "active", at)
    if isinstance(event, MemberJoined) and not event.returning:
        changes["joined_at"] = _earliest(member.joined_at, at)
    if isinstance(event, MemberLeft):
        changes |= _status(member, event.reason, at)
    if isinstance(event, MemberJoined | MemberUpdated):
        changes |= _told(member, _says(event), dict.fromkeys(_says(event), at))
        changes["verified_at"] = _earliest(member.verified_at, at if "email" in _says(event) else None)
    if isinstance(event, PurchaseMade):
        changes["first_purchase_at"] = _earliest(member.first_purchase_at, at)
        changes["payers"] = member.payers | ({event.payer} if event.payer else set())
    if event.type in ACTIVITY:
        changes |= _activity(member, event)
    return _forgetful(member.model_copy(update=changes))


def absorb(survivor: Member, merged: Member) -> Member:
    """The member that remains when one person turns out to have been two: as if all had been told of the one."""
    changes: dict[str, object] = {name: _earliest(getattr(survivor, name), getattr(merged, name)) for name in _FIRSTS}
    seen = [moment for moment in (survivor.last_active_at, merged.last_active_at) if moment]
    changes["last_active_at"] = max(seen, default=None)
    changes |= _told(survivor, {name: _known(merged, name) for name in merged.told_at}, merged.told_at)
    changes["absorbed"] = survivor.absorbed | merged.absorbed | {merged.id}
    if merged.status_at is not None:
        changes |= _status(survivor, merged.status, merged.status_at)
    changes["identities"] = survivor.identities | merged.identities
    changes["active_days"] = survivor.active_days | merged.active_days
    changes["payers"] = survivor.payers | merged.payers
    changes["level"] = survivor.level or merged.level
    for category, decision in merged.consent.items():
        survivor = decide(survivor, category, decision)
    for address, suppression in merged.suppressions.items():
        survivor = suppress(survivor, address, suppression)
    for send, bounce in merged.soft_bounces.items():
        survivor = bounce_softly(survivor, send, bounce)
    if merged.listed is not None:
        survivor = list_as(survivor, merged.listed)
    if merged.dormant_at is not None:
        survivor = rest(survivor, merged.dormant_at)
    if merged.chosen_at is not None:
        survivor = choose(survivor, locale=merged.chosen_locale, hour=merged.send_hour, at=merged.chosen_at)
    return _forgetful(survivor.model_copy(update=changes))


def decide(member: Member, category: str, decision: Consent) -> Member:
    """The member after a decision on a category of mail; an older one changes nothing, of two at once the no stands."""
    if not _is_newer(decision, member.consent.get(category)):
        return member
    return member.model_copy(update={"consent": {**member.consent, category: decision}})


def list_as(member: Member, decision: Consent) -> Member:
    """The member after they said whether the leaderboard may name them; the newest word stands, of two at once no."""
    return member.model_copy(update={"listed": decision}) if _is_newer(decision, member.listed) else member


def is_listed(member: Member) -> bool:
    """Whether the leaderboard may name a member: only who said yes."""
    return member.listed is not None and member.listed.given


def _is_newer(decision: Consent, standing: Consent | None) -> bool:
    return standing is None or (standing.at, not standing.given) < (decision.at, not decision.given)


def suppress(member: Member, address: str, suppression: Suppression) -> Member:
    """The member after an address, given as its hash, proved undeliverable; the newest proof stands."""
    standing = member.suppressions.get(address)
    if standing is not None and _order(standing) >= _order(suppression):
        return member
    return member.model_copy(update={"suppressions": {**member.suppressions, address: suppression}})


def bounce_softly(member: Member, send: str, bounce: SoftBounce) -> Member:
    """The member after a mail, given by its SES tag, was not taken for now; the fifth within 30 days suppresses.

    What counts are the mails, whatever the order and number of times in which their bounces are told.
    """
    standing = member.soft_bounces.get(send)
    if standing is not None and standing.at <= bounce.at:
        return member
    newest = sorted({**member.soft_bounces, send: bounce}.items(), key=lambda one: (one[1].at, one[0]))
    kept = newest[-SOFT_BOUNCES_KEPT:]
    changed = member.model_copy(update={"soft_bounces": dict(kept)})
    of_address = [(tag, one.at) for tag, one in kept if one.address == bounce.address]
    for (_, first), (tag, last) in zip(of_address, of_address[SOFT_BOUNCES - 1 :], strict=False):
        if last - first <= SOFT_BOUNCE_WINDOW:
            changed = suppress(changed, bounce.address, Suppression(reason="soft_bounces", at=last, by=tag))
    return changed


def rest(member: Member, at: datetime) -> Member:
    """The member after we stopped asking them to come back."""
    return member if member.dormant_at and member.dormant_at >= at else member.model_copy(update={"dormant_at": at})


def leave_in_peace(member: Member, at: datetime) -> Member:
    """The member after we stop asking them to come back; the same where they came back before that."""
    rested = rest(member, at)
    return rested if is_dormant(rested) else member


def touch(member: Member, at: datetime) -> Member:
    """The member after something told who brought them; the earliest such moment is kept."""
    return member.model_copy(update={"touched_at": _earliest(member.touched_at, at)})


def here_since(member: Member) -> datetime:
    """Since when a person is a member: their joining, or the first that was seen of them where none was told."""
    seen = (member.created_at, member.first_post_at, member.first_comment_at)
    return member.joined_at or min(moment for moment in seen if moment)


def raise_to(member: Member, level: str, levels: Sequence[str]) -> Member:
    """The member after they were given a level, of those in order; who has that or a higher one keeps it."""
    has = levels.index(member.level) if member.level in levels else -1
    return member if has >= levels.index(level) else member.model_copy(update={"level": level})


def choose(member: Member, *, locale: str | None, hour: int | None, at: datetime) -> Member:
    """The member after they chose a language and an hour for their mail; the newest choice stands."""
    chosen = (at, locale or "", -1 if hour is None else hour)
    if member.chosen_at and (member.chosen_at, member.chosen_locale or "", _hour(member)) >= chosen:
        return member
    return member.model_copy(update={"chosen_locale": locale, "send_hour": hour, "chosen_at": at})


def _hour(member: Member) -> int:
    return -1 if member.send_hour is None else member.send_hour


def _order(suppression: Suppression) -> tuple[datetime, str, str]:
    return suppression.at, suppression.reason, suppression.by


def suppression_of(member: Member) -> Suppression | None:
    """Why the address that the member has now gets no mail, if it does not."""
    return member.suppressions.get(address_hash(member.email)) if member.email else None


def is_dormant(member: Member) -> bool:
    """Whether we stopped asking this member to come back, and they have not: by being active, joining, or wanting mail.

    It is told by the newest of these moments, whichever was recorded first.
    """
    if member.dormant_at is None:
        return False
    since = member.dormant_at
    came = [decision.at for decision in member.consent.values() if decision.given]
    came += [member.status_at] if member.status == "active" and member.status_at else []
    seen = member.last_active_at  # right to its day only
    return not any(moment >= since for moment in came) and (seen is None or seen.date() < since.date())


def consents(member: Member, category: str) -> bool:
    """Whether a member takes mail of a category: their newest word on it or on all marketing; a yes if they said none.

    Of a yes and a no of the same moment the no stands.
    """
    said = [member.consent[name] for name in (ALL_MARKETING, category) if name in member.consent]
    return max(said, key=lambda decision: (decision.at, not decision.given)).given if said else True


def why_not(member: Member, mail: Mail) -> str | None:
    """The first reason, in the member alone, that they must not get a mail; None when they may."""
    marketing = mail.class_ == "marketing"
    suppression = suppression_of(member)
    reasons = (
        ("merged", member.merged_into is not None),
        (member.status, member.status != "active"),
        (member.role, marketing and member.role != "member"),
        ("no_address", member.email is None),
        ("bad_address", usable_address(member.email or "") is None),
        (f"suppressed_{suppression.reason}" if suppression else "", suppression is not None),
        ("unsubscribed", marketing and not consents(member, mail.category)),
        ("dormant", marketing and is_dormant(member)),
    )
    return next((reason for reason, holds in reasons if holds), None)


def language_of(member: Member) -> str | None:
    """The language to write to a member in: what they chose, else what a platform told."""
    return member.chosen_locale or member.locale


def send_time(member: Member | None, usual: time) -> time:
    """The time of day at which a member gets scheduled mail: the hour they chose, else the usual time."""
    return usual if member is None or member.send_hour is None else time(member.send_hour)


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


def _woken(member: Member, at: datetime) -> datetime | None:
    """When a dormant member came back by themselves: the first they did since, told with the event that does it."""
    if member.dormant_at is None or at.date() < member.dormant_at.date():
        return member.woken_at
    known = member.woken_at if member.woken_at and member.woken_at.date() >= member.dormant_at.date() else None
    return _earliest(known, at)


def _activity(member: Member, event: CommunityEvent) -> dict[str, object]:
    at = event.occurred_at
    changes: dict[str, object] = {"active_days": member.active_days | {at.date().isoformat()}}
    if member.last_active_at is None or member.last_active_at.date() < at.date():
        changes["last_active_at"] = at
    changes["woken_at"] = _woken(member, at)
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
