"""One local day of the log as a tally: every shard of the UTC days that it touches, and who is behind its events."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from functools import partial
from threading import Lock
from zoneinfo import ZoneInfo

from shared.app import App
from shared.events import COMMUNITY, EVENT, CommunityEvent
from shared.localtime import at_local
from shared.model import Identity, Member
from shared.store import keys
from shared.store.people import MERGES
from shared.tally import Doings, Tally, merge, tally

NOT_TOLD_OF = frozenset(
    {
        "member.updated",
        "content.flagged",
        "content.published",
        "purchase.refunded",
        "referral.clicked",
        "referral.signed_up",
    }
)
"""Event types that no figure of a day is made of; every other makes the day one of its actor's."""

Take = Callable[[int], bool]
"""Told how many more events were read; whether to go on."""


def zone_of(app: App) -> ZoneInfo:
    """The community's zone, which all days are local to."""
    return ZoneInfo(app.playbook.community.timezone)


def span(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """When a local day begins, and when the next one does: 23, 24 or 25 hours, or none where a zone skips the day."""
    return at_local(day, time(), zone), at_local(day + timedelta(days=1), time(), zone)


def read_day(day: date, app: App, *, most: int | None = None, so_far: bool = False) -> Tally | None:
    """The tally of a day, its shards read side by side; None once more than `most` of its events were read.

    `so_far`: the day goes on and will be read again; so who is who may be as of shortly before, for half the price.
    """
    take = _Allowance(most).take
    with ThreadPoolExecutor(app.settings.rollup_readers) as readers:
        read = partial(read_shard, day, app=app, take=take, so_far=so_far)
        parts = list(readers.map(read, range(keys.LOG_SHARDS)))
    whole = [part for part in parts if part is not None]
    return merge(*whole) if len(whole) == len(parts) else None


def read_shard(day: date, shard: int, app: App, take: Take = lambda _: True, *, so_far: bool = False) -> Tally | None:
    """The tally of one shard of a day; None when told to stop.

    An event that this version cannot read is nobody's; `react` has said so in its log.
    """
    events: list[CommunityEvent] = []
    for page in _pages(day, shard, app):
        events += page
        if not take(len(page)):
            return None
    people = _people(events, app, so_far=so_far)
    return _with_everybody(tally(events, people), events, people)


class _Allowance:
    """How many events may be read, by several readers together."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._read = 0
        self._lock = Lock()

    def take(self, count: int) -> bool:
        """Note that so many more were read; whether there may be more."""
        with self._lock:
            self._read += count
            return self._most is None or self._read <= self._most


def _pages(day: date, shard: int, app: App) -> Iterator[list[CommunityEvent]]:
    start, end = span(day, zone_of(app))
    for utc_day in _utc_days(start, end):
        for page in app.store.log_pages(utc_day, shard):
            events = (_event(text) for text in page)
            yield [event for event in events if event is not None and start <= event.occurred_at < end]


def _utc_days(start: datetime, end: datetime) -> list[date]:
    days = (end.date() - start.date()).days + 1
    touched = [start.date() + timedelta(days=at) for at in range(days)]
    return [day for day in touched if datetime.combine(day, time(), end.tzinfo) < end]


def _event(text: str) -> CommunityEvent | None:
    try:
        return EVENT.validate_json(text)
    except ValueError:
        return None


def _people(events: Iterable[CommunityEvent], app: App, *, so_far: bool) -> dict[str, Member]:
    """Who is behind each identity, those who proved to be one being one; 100 a request, twice."""
    identities = {Identity(event.platform, event.actor) for event in events if event.actor != COMMUNITY}
    owners = app.store.owners(map(keys.identity, sorted(identities)), consistent=not so_far)
    members = survivors(set(owners.values()), app, consistent=not so_far)
    behind = {identity: owners.get(keys.identity(identity)) for identity in identities}
    return {str(identity): members[owner] for identity, owner in behind.items() if owner in members}


def survivors(member_ids: Collection[str], app: App, *, consistent: bool = True) -> dict[str, Member]:
    """By these ids, the members that they are now."""
    found = app.store.members(sorted(member_ids), consistent=consistent)
    for _ in range(MERGES):
        if further := {one.merged_into for one in found.values() if one.merged_into} - found.keys():
            found |= app.store.members(sorted(further), consistent=consistent)
    return {member_id: _survivor(found[member_id], found) for member_id in member_ids if member_id in found}


def _survivor(member: Member, members: Mapping[str, Member]) -> Member:
    for _ in range(MERGES):
        member = members.get(member.merged_into or "", member)
    return member


def _with_everybody(one: Tally, events: Iterable[CommunityEvent], people: Mapping[str, Member]) -> Tally:
    """The tally with a day for whoever it tells anything of, and not only for the active.

    It is by these days that one finds what is to be counted anew when somebody proves to be somebody else.
    """
    told_of = {f"{event.platform}:{event.actor}" for event in events if event.type not in NOT_TOLD_OF}
    others = {people[one].id for one in told_of if one in people and people[one].role == "member"} - one.days.keys()
    return replace(one, days=dict(sorted({**one.days, **dict.fromkeys(others, Doings())}.items())))
