"""From logged events to what they set off: find or make the people, fold the events in, let every programme react.

Work is per batch where it can be: one look-up of all identities, one of all members; nothing is written that stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import reduce
from zoneinfo import ZoneInfo

from shared.actions import Action
from shared.app import App
from shared.apply import apply
from shared.attribution import refer, take_up_again
from shared.erasing import recall, told_of, was_erased
from shared.errors import Unavailable
from shared.events import GHOST, CommunityEvent, ContentPublished, MemberJoined, MemberUpdated
from shared.localtime import local_day
from shared.members import absorb, discovered, fold
from shared.model import Erased, Identity, Member, News
from shared.programmes import PROGRAMMES
from shared.store import keys

Known = dict[keys.Key, Member]
"""Who is behind each identity and address of a batch."""

Erasures = Mapping[keys.Key, Erased]
"""What is remembered of who was erased, by identity and address."""


def react(events: Sequence[CommunityEvent], app: App, now: datetime) -> dict[str, Exception]:
    """Carry out what a batch of events sets off; event id -> error for those that failed and must come again.

    One person's events are taken together and in order; somebody's failure holds up nobody else. What was published
    is remembered as news and makes nobody a member. What was told of somebody before they were erased, and is told
    again, sets off nothing.
    """
    events = [event for event in events if not event.actor.startswith(GHOST)]  # they were somebody's, and reacted to
    failed = _publish((event for event in events if isinstance(event, ContentPublished)), app)
    of_people = [event for event in events if not isinstance(event, ContentPublished)]
    known = _gather(of_people, app)
    erased = _remembered(of_people, known, app)
    again = [event for event in of_people if was_erased(event, erased)]
    events = [event for event in events if event not in again]
    of_people = [event for event in of_people if event not in again]
    people: dict[keys.Key, list[CommunityEvent]] = {}
    for event in of_people:
        people.setdefault(_identity_key(event), []).append(event)
    new = _number_the_new(people, known, app)
    for identity, theirs in people.items():
        try:
            _react_for(theirs, new.get(identity), known, erased, app, now)
        except Exception as exc:  # noqa: BLE001 - reported record by record, so that only theirs come again
            failed |= {event.id: exc for event in theirs}
    return failed | _mark_late(events, app, now)


def _mark_late(events: Iterable[CommunityEvent], app: App, now: datetime) -> dict[str, Exception]:
    """Have the days that were over before their events came measured again, now that it is known whose these are."""
    zone = ZoneInfo(app.playbook.community.timezone)
    today = local_day(now, zone)
    late: dict[date, list[CommunityEvent]] = {}
    for event in events:
        if (day := local_day(event.occurred_at, zone)) < today:
            late.setdefault(day, []).append(event)
    failed: dict[str, Exception] = {}
    for day, theirs in late.items():
        try:
            app.store.mark(day, app.token(), now)
        except Exception as exc:  # noqa: BLE001 - reported record by record, so that only theirs come again
            failed |= {event.id: exc for event in theirs}
    return failed


def _publish(events: Iterable[ContentPublished], app: App) -> dict[str, Exception]:
    failed: dict[str, Exception] = {}
    for event in events:
        news = News(kind=event.kind, titles={"": event.title}, url=event.url, published_at=event.published_at)
        try:
            app.store.publish(news)
        except Exception as exc:  # noqa: BLE001 - reported record by record, so that only it comes again
            failed[event.id] = exc
    return failed


def _gather(events: Iterable[CommunityEvent], app: App) -> Known:
    lookups = {key for event in events for key in _keys_of(event)}
    owners = app.store.owners(lookups)
    members = app.store.members(owners.values())
    while further := {found.merged_into for found in members.values() if found.merged_into} - members.keys():
        members |= app.store.members(further)
    behind = {key: _survivor(members[owner], members) for key, owner in owners.items() if owner in members}
    return {key: member for key, member in behind.items() if _identifies(key, member)}


def _remembered(events: Iterable[CommunityEvent], known: Known, app: App) -> Erasures:
    """What is remembered of the people and addresses of a batch, where these may be of who was erased.

    That is, where nobody has them now, or where whoever has an identity was heard of only after what is told.
    """
    lookups = [key for event in events for key in _keys_of(event) if key not in known]
    lookups += [
        key for event in events if (key := _identity_key(event)) in known and told_of(event) < known[key].created_at
    ]
    return app.store.remembered(dict.fromkeys(lookups))


def _survivor(member: Member, members: Mapping[str, Member]) -> Member:
    while member.merged_into is not None:
        member = members[member.merged_into]
    return member


def _identifies(key: keys.Key, member: Member) -> bool:
    """An identity is somebody's for ever, an address only while they have it: it may be given to somebody else."""
    is_address = key[0].startswith(keys.ADDRESS)
    return not is_address or (member.email is not None and keys.address(member.email) == key)


def _number_the_new(people: Mapping[keys.Key, list[CommunityEvent]], known: Known, app: App) -> dict[keys.Key, Member]:
    """Members to be, for the people nobody knows yet, with one request for all their ordinals."""
    new = {identity: theirs[0] for identity, theirs in people.items() if _who(theirs, known) is None}
    first = app.store.claim_ordinals(len(new)) if new else 0
    return {identity: discovered(event, first + at) for at, (identity, event) in enumerate(new.items())}


def _react_for(
    events: Sequence[CommunityEvent],
    new: Member | None,
    known: Known,
    erased: Erasures,
    app: App,
    now: datetime,
) -> None:
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
    remembered = {key: erased[key] for event in events for key in _keys_of(event) if key in erased}
    member = recall(member, remembered)
    if found is not None and found.role == "member" != member.role:
        app.store.mark(member.id, app.token(), now)  # what they did so far was a bot's or one of the staff's
    saved = _save(member, found, events, remembered, app)
    if saved.id != member.id:
        raise Unavailable("this member proved to be another one at this very moment; take the event again")
    for key in dict.fromkeys(key for event in events for key in _keys_of(event)):
        saved = _own(key, saved, known, app, now)
    apply(decisions, app, now)
    refer(events, saved, app, now)


def _reactions(event: CommunityEvent, before: Member | None, member: Member, app: App) -> list[list[Action]]:
    return [programme.on_event(event, before, member, app.playbook) for programme in PROGRAMMES.values()]


def _save(
    member: Member, found: Member | None, events: Sequence[CommunityEvent], remembered: Erasures, app: App
) -> Member:
    """Write the member as the events leave it: nothing when they tell nothing new."""
    if found is None and app.store.create_member(member):
        return member
    changed = app.store.change_member(
        member.id, lambda current: recall(reduce(fold, events, current), remembered), known=found
    )
    if changed is None:
        raise Unavailable("a member vanished while an event was folded into it")
    return changed


def _own(key: keys.Key, member: Member, known: Known, app: App, now: datetime) -> Member:
    """Make an identity or address this member's; when it is another's, the two are one person and are merged."""
    standing = known.get(key)
    owner = standing.id if standing is not None else app.store.own(key, member.id)
    if owner != member.id:
        other = app.store.survivor(owner)
        if other is not None and other.id != member.id:
            member = _merge(member, other, app, now) if _identifies(key, other) else _take(key, owner, member, app)
    known[key] = member
    return member


def _take(key: keys.Key, owner: str, member: Member, app: App) -> Member:
    if not app.store.take_over(key, owner, member.id):
        raise Unavailable("an address changed hands at this very moment; take the event again")
    return member


def _merge(one: Member, other: Member, app: App, now: datetime) -> Member:
    """Two members are one person: who joined first goes on, the other only points there.

    Every step may be done again. What somebody else folds into the merged one is absorbed, too: it is marked only as
    it was absorbed, and what comes after its mark goes to who remains.
    """
    latest = datetime.max.replace(tzinfo=UTC)
    survivor, merged = sorted(
        (one, other), key=lambda member: (member.joined_at or latest, member.created_at, member.id)
    )
    # First of all, for once they are one nothing would lead here again: what they did is to be counted as one's.
    app.store.mark(merged.id, app.token(), now)
    if merged.role != survivor.role:  # of who is staff on one platform nothing counts that they did on another
        app.store.mark(survivor.id, app.token(), now)
    standing: Member | None = merged
    while standing is not None and standing.merged_into is None:
        merged, survivor = standing, _absorbed(survivor, standing, app, now)
        if survivor.id == merged.id:
            break  # somebody else found the same, the other way round
        standing = app.store.merge_into(merged, survivor.id)
    for identity in merged.identities:
        app.store.reown(keys.identity(Identity(*identity.split(":", 1))), survivor.id)
    if merged.email is not None:
        app.store.reown(keys.address(merged.email), survivor.id)
    return survivor


def _absorbed(survivor: Member, merged: Member, app: App, now: datetime) -> Member:
    """Who remains, with all that was told of the other one; every programme looks at them anew."""
    absorbed = app.store.change_member(survivor.id, lambda current: absorb(current, merged)) or survivor
    apply([programme.wake(absorbed, app.playbook, now) for programme in PROGRAMMES.values()], app, now)
    take_up_again(absorbed, app, now)
    return absorbed


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
