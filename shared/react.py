"""From logged events to what they set off: find or make the people, fold the events in, let every programme react.

Work is per batch where it can be: one look-up of all identities, one of all members; nothing is written that stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce

from shared.actions import Action
from shared.app import App
from shared.apply import apply
from shared.errors import Unavailable
from shared.events import CommunityEvent, MemberJoined, MemberUpdated
from shared.members import absorb, discovered, fold
from shared.model import Identity, Member
from shared.programmes import PROGRAMMES
from shared.store import keys

Known = dict[keys.Key, Member]
"""Who is behind each identity and address of a batch."""


def react(events: Sequence[CommunityEvent], app: App, now: datetime) -> dict[str, Exception]:
    """Carry out what a batch of events sets off; event id -> error for those that failed and must come again.

    One person's events are taken together and in order; somebody's failure holds up nobody else.
    """
    known = _gather(events, app)
    people: dict[keys.Key, list[CommunityEvent]] = {}
    for event in events:
        people.setdefault(_identity_key(event), []).append(event)
    new = _number_the_new(people, known, app)
    failed: dict[str, Exception] = {}
    for identity, theirs in people.items():
        try:
            _react_for(theirs, new.get(identity), known, app, now)
        except Exception as exc:  # noqa: BLE001 - reported record by record, so that only theirs come again
            failed |= {event.id: exc for event in theirs}
    return failed


def _gather(events: Iterable[CommunityEvent], app: App) -> Known:
    lookups = {key for event in events for key in _keys_of(event)}
    owners = app.store.owners(lookups)
    members = app.store.members(owners.values())
    merged_into = {member.merged_into for member in members.values() if member.merged_into}
    if further := merged_into - members.keys():
        members |= app.store.members(further)
    return {key: _survivor(members[owner], members) for key, owner in owners.items() if owner in members}


def _survivor(member: Member, members: Mapping[str, Member]) -> Member:
    return members.get(member.merged_into, member) if member.merged_into else member


def _number_the_new(people: Mapping[keys.Key, list[CommunityEvent]], known: Known, app: App) -> dict[keys.Key, Member]:
    """Members to be, for the people nobody knows yet, with one request for all their ordinals."""
    new = {identity: theirs[0] for identity, theirs in people.items() if _who(theirs, known) is None}
    first = app.store.claim_ordinals(len(new)) if new else 0
    return {identity: discovered(event, first + at) for at, (identity, event) in enumerate(new.items())}


def _react_for(events: Sequence[CommunityEvent], new: Member | None, known: Known, app: App, now: datetime) -> None:
    found = _who(events, known)  # asked again: an earlier person of this batch may own the address by now
    member = found or new
    if member is None:
        raise LookupError("an event's actor was neither found nor numbered")
    decisions: list[list[Action]] = []
    before = found
    for event in events:
        member = fold(member, event)
        decisions += _reactions(event, before, member, app)
        before = member
    saved = _save(member, found, events, app)
    for key in dict.fromkeys(key for event in events for key in _keys_of(event)):
        saved = _own(key, saved, known, decisions, events[-1], app)
    apply(decisions, app, now)


def _reactions(event: CommunityEvent, before: Member | None, member: Member, app: App) -> list[list[Action]]:
    return [programme.on_event(event, before, member, app.playbook) for programme in PROGRAMMES.values()]


def _save(member: Member, found: Member | None, events: Sequence[CommunityEvent], app: App) -> Member:
    """Write the member as the events leave it: nothing when they tell nothing new."""
    if found is None and app.store.create_member(member):
        return member
    changed = app.store.change_member(member.id, lambda current: reduce(fold, events, current), known=found)
    if changed is None:
        raise Unavailable("a member vanished while an event was folded into it")
    return changed


def _own(
    key: keys.Key, member: Member, known: Known, decisions: list[list[Action]], event: CommunityEvent, app: App
) -> Member:
    """Make an identity or address this member's; when it is another's, the two are one person and are merged."""
    standing = known.get(key)
    owner = standing.id if standing is not None else app.store.own(key, member.id)
    if owner != member.id and (other := app.store.member(owner)) is not None and other.merged_into != member.id:
        survivor = _merge(member, other, app)
        decisions += _reactions(event, member if survivor.id == member.id else other, survivor, app)
        member = survivor
    known[key] = member
    return member


def _merge(one: Member, other: Member, app: App) -> Member:
    """Two members are one person: who joined first goes on, the other only points there."""
    latest = datetime.max.replace(tzinfo=UTC)
    survivor, merged = sorted(
        (one, other), key=lambda member: (member.joined_at or latest, member.created_at, member.id)
    )
    absorbed = app.store.change_member(survivor.id, lambda current: absorb(current, merged))
    app.store.change_member(merged.id, lambda current: current.model_copy(update={"merged_into": survivor.id}))
    for identity in merged.identities:
        app.store.reown(keys.identity(Identity(*identity.split(":", 1))), survivor.id)
    if merged.email is not None:
        app.store.reown(keys.address(merged.email), survivor.id)
    return absorbed or survivor


def _who(events: Iterable[CommunityEvent], known: Known) -> Member | None:
    """Who these events' actor is, by identity first and verified address next."""
    events = list(events)
    return next((known[key] for event in events for key in _keys_of(event) if key in known), None)


def _keys_of(event: CommunityEvent) -> list[keys.Key]:
    """The identity of an event's actor, and their address where the platform vouches for it."""
    found = [_identity_key(event)]
    if isinstance(event, MemberJoined | MemberUpdated) and event.profile.email_verified and event.profile.email:
        found.append(keys.address(event.profile.email))
    return found


def _identity_key(event: CommunityEvent) -> keys.Key:
    return keys.identity(Identity(event.platform, event.actor))
