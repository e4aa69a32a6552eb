"""Gathers what is held of a person, and carries an erasure out. What remains is decided by `shared.erasing`.

Slow and thorough, for an operator's command; nothing here runs in a function.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from shared.app import App
from shared.erasing import (
    Ghosts,
    Item,
    Person,
    elsewhere,
    erased_as_of,
    events_of,
    haunted,
    in_order,
    log_days,
    memories,
    mentions,
    person_of,
    pulse_hours,
    remains,
    told_of,
)
from shared.errors import Unavailable
from shared.events import CommunityEvent, PurchaseMade
from shared.localtime import local_day
from shared.model import Due, Erased, Identity, Member
from shared.programmes import reengagement, referrals
from shared.rolling import LEASE
from shared.store import Store, keys
from shared.store.facts import PULSE_KEPT
from shared.store.items import KEPT
from shared.tally import packed, unpacked

ROUNDS = 5
"""How often an erasure looks again because the person did something while it ran."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """A person, every item of the table that is about them, each once, and what is remembered of an earlier erasure."""

    person: Person
    items: Sequence[Item]
    remembered: Sequence[Erased] = ()


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """What an erasure did: how many items of each kind it deleted or made nobody's, and what it remembers."""

    at: datetime
    deleted: Counter[str]
    anonymous: Counter[str]
    remembered: int


def held(member: Member, store: Store, now: datetime, back: timedelta = KEPT, *, leads: Iterable[Item] = ()) -> Held:
    """Everything that is held of a person, under every id they ever had, as of now.

    `back` is how far the log is read back, beyond the time in which they are known: one small query a day and identity.
    `leads` are items that were theirs, by which it is found where else something of them may stand.
    """
    profiles = _profiles(member, store)
    person = person_of(profiles)
    own = [item for one in person.ids for item in _own(one, store)]
    days = log_days(person, own, now, back)
    own += [item for identity in person.identities for day in days for item in store.held_of_day(identity, day)]
    person = person_of(profiles, events_of(own))
    told = [*own, *leads]
    theirs = [*own, *_around(person, told, store), *_of_everybody(person, told, store, now)]
    led_to = store.held_at(elsewhere(theirs))
    found = [*theirs, *_found_by(person, store), *(one for one in led_to if _is_theirs(one, person))]
    return Held(
        person=person,
        items=list({(item["pk"], item["sk"]): item for item in found}.values()),
        remembered=list(store.remembered(person.lookups).values()),
    )


def _is_theirs(item: Item, person: Person) -> bool:
    """Whether an item that theirs led to is about them; the guard of an event names nobody."""
    return keys.kind((item["pk"], item["sk"])) == "SEEN" or mentions(item, person.ids)


def _profiles(member: Member, store: Store) -> list[Member]:
    absorbed = store.members(sorted(member.absorbed))
    return [member, *(absorbed[one] for one in sorted(absorbed))]


def _own(member_id: str, store: Store) -> list[Item]:
    return [*store.held_in(keys.member(member_id)[0]), *store.held_in(keys.referee(member_id))]


def _found_by(person: Person, store: Store) -> Iterator[Item]:
    """Their identities and addresses, and what was left on our join page under those; not what is another's by now."""
    items = {(item["pk"], item["sk"]): item for item in store.held_at(person.lookups)}
    others = {where for where, item in items.items() if item["member_id"] not in person.ids}
    yield from (item for where, item in items.items() if where not in others)
    for hashed in sorted(person.addresses):
        if keys.hashed_address(hashed) not in others:
            yield from store.held_in(keys.invited_by_hash(hashed))


def _around(person: Person, leads: Iterable[Item], store: Store) -> Iterator[Item]:
    """What stands of them with whom they brought or may have brought, and with who brought them, by every id of those.

    `leads` are items of theirs, which tell who that is; who may have been brought is on the agenda.
    """
    told = list(leads)
    brought = {item["referee_id"] for item in told if keys.kind((item["pk"], item["sk"])) == "REFERRAL"}
    brought |= {due.member_id for due in _cases(store)}
    by = {item["referrer_id"] for item in told if keys.kind((item["pk"], item["sk"])) == "ATTRIBUTION"}
    by |= {one for found in map(store.survivor, sorted(by)) if found is not None for one in (found.id, *found.absorbed)}
    others = sorted(by - set(person.ids))
    partitions = [*map(keys.referee, sorted(brought)), *(keys.member(one)[0] for one in others)]
    for partition in partitions:
        yield from (item for item in store.held_in(partition) if mentions(item, person.ids))


def _cases(store: Store) -> Iterator[Due]:
    """Every referee whose case is open."""
    for shard in range(keys.AGENDA_SHARDS):
        yield from store.upcoming(referrals.NAME, shard)


def _of_everybody(person: Person, leads: Sequence[Item], store: Store, now: datetime) -> Iterator[Item]:
    """Their attempts, pulses and marks, which stand among those of all others."""
    since = now - KEPT - timedelta(days=31)
    partitions = [*keys.attempt_partitions(reengagement.NAME, since, now + timedelta(days=1)), keys.DIRTY]
    hours = pulse_hours(leads, now, PULSE_KEPT + timedelta(days=1))
    partitions += [one for hour in hours for one in keys.pulse_partitions(hour, hour + timedelta(hours=1))]
    for partition in dict.fromkeys(partitions):
        yield from (item for item in store.read_through(partition) if mentions(item, person.ids))


# --- erasing -------------------------------------------------------------------------------------


def forget(member: Member, app: App, now: datetime, back: timedelta = KEPT) -> Forgotten:
    """Erase a person: what is theirs alone goes, what figures are made of becomes nobody's, and refusals outlive them.

    May be broken off at any write and be done again, by the member's id. Raises Unavailable while days are being
    measured, which must not see a half of it, and when the person does more than we can follow.
    """
    with _nothing_measured(app):
        done = Forgotten(at=now, deleted=Counter(), anonymous=Counter(), remembered=0)
        salt, leads = app.store.salt(app.token() + app.token()), list[Item]()
        for _ in range(ROUNDS):
            found = held(member, app.store, now, back, leads=leads)
            leads += found.items
            done, whole = _erase(found, app, salt, done)
            if whole and not _is_left(found, leads, app.store, now) and _let_go(found, app):
                return replace(done, deleted=done.deleted + Counter(PROFILE=len(found.person.profiles)))
            standing = app.store.member(member.id)
            if standing is None:
                return done  # another run has finished it
            member = standing
    raise Unavailable("this member is busy: run it again")


def forget_what_came_after(member_id: str, app: App) -> int:
    """Delete what came to stand under the id of somebody who was erased, such as a mail that was on its way."""
    left = [item for item in _own(member_id, app.store) if item["sk"] != keys.PROFILE]
    app.store.replace([(item, None) for item in left])
    return len(left)


def forget_what_was_told_again(identity: Identity, erased_at: datetime, app: App, back: timedelta = KEPT) -> int:
    """Delete from the log what was told again of somebody since they were erased; how much that was.

    Reactions drop it. They cannot take it out: no function may delete from the log.
    """
    days = [(erased_at - back + timedelta(days=at)).date() for at in range(back.days + 1)]
    told = [item for day in days for item in app.store.held_of_day(identity, day)]
    old = [item for item in told if all(told_of(event) <= erased_at for event in events_of([item]))]
    app.store.replace([(item, None) for item in old])
    return len(old)


@contextmanager
def _nothing_measured(app: App) -> Iterator[None]:
    token, begun = app.token(), app.wire_clock()
    if not app.store.begin_rolling(token, at=begun, until=begun + LEASE):
        raise Unavailable("days are being measured at this moment; run it again in a quarter of an hour")
    try:
        yield
    finally:
        app.store.end_rolling(token)


def _erase(found: Held, app: App, salt: str, done: Forgotten) -> tuple[Forgotten, bool]:
    """One round: remember, put nobody in their place, and deal with every item but those by which they are found.

    What was done by now, and whether that is all: it ends at an item that changed since it was read.
    """
    at = erased_as_of(events_of(found.items), done.at)
    ghosts = Ghosts(tokens=app.store.begin_erasing(found.person.ids, app.token() + app.token(), at))
    remembered = memories(found.person, at)
    app.store.remember(remembered, salt)
    app.store.put_whole(haunted(found.person, ghosts, app.store.members(ghosts.names.values())))
    _pass_marks_on(found, app, at)
    _rename_purchases(events_of(found.items), ghosts, app)
    left = in_order(found.items, found.person.ids)
    changes = [(item, remains(item, ghosts, at)) for item in left]
    replaced = app.store.replace(changes)
    kinds = [(keys.kind((old["pk"], old["sk"])), new) for old, new in changes[:replaced] if old != new]
    done = Forgotten(
        at=at,
        deleted=done.deleted + Counter(kind for kind, new in kinds if new is None),
        anonymous=done.anonymous + Counter(kind for kind, new in kinds if new is not None),
        remembered=len(remembered),
    )
    return done, replaced == len(changes)


def _is_left(found: Held, leads: Sequence[Item], store: Store, now: datetime) -> bool:
    """Whether something of them stands again, or still: they went on, or a tick of somebody else's case did."""
    person = found.person
    days = [(now + timedelta(days=by)).date() for by in (-1, 0, 1)]
    told = any(store.held_of_day(identity, day) for identity in person.identities for day in days)
    own = [item for one in person.ids for item in _own(one, store) if item["sk"] != keys.PROFILE]
    around = [*_around(person, leads, store), *store.held_at(elsewhere(leads))]
    return told or bool(own) or any(mentions(item, person.ids) for item in around)


def _pass_marks_on(found: Held, app: App, now: datetime) -> None:
    """Have the days measured again on which they did something, where a mark on them asks for it: they will be gone."""
    for mark in app.store.marks():
        if mark.what in found.person.ids:
            for day in app.store.days_of(mark.what):
                app.store.mark(day, app.token(), now)


def _rename_purchases(events: Iterable[CommunityEvent], ghosts: Ghosts, app: App) -> None:
    """Make nobody's what is kept of their purchases with the threads of a day."""
    zone = ZoneInfo(app.playbook.community.timezone)
    days = sorted({local_day(event.occurred_at, zone) for event in events if isinstance(event, PurchaseMade)})
    for day, content in app.store.rest(days).items():
        rest = unpacked(content)
        bought = tuple(one._replace(member_id=ghosts.renamed(one.member_id)) for one in rest.purchases)
        if bought != rest.purchases:
            app.store.put_rest(day, packed(replace(rest, purchases=bought)))


def _let_go(found: Held, app: App) -> bool:
    """Delete the profiles and that by which they are found, unless the person has done something meanwhile."""
    profiles = {one.id: one.version for one in found.person.profiles}
    stand = {(item["pk"], item["sk"]) for item in found.items}
    found_by = [where for where in map(keys.identity, found.person.identities) if where in stand]
    return app.store.let_go(found.person.ids, profiles=profiles, found_by=found_by)
