"""Every key of the table, and nowhere else. A key is `(pk, sk)`; shards spread what would be one hot partition."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zlib import crc32

from shared.addresses import address_hash
from shared.model import Edition, Identity, Milestone, Referral, SendId, Touch, stamp

LOG_SHARDS = 8
AGENDA_SHARDS = 4

Key = tuple[str, str]

PROFILE = "PROFILE"
FIRST_DUE = "DUE#"
LAST_SEND = "SEND#\x7f"
FIRST_DUE_AT = "0"
"""Sorts before every moment: an item with it comes back with every look at its shard of the agenda."""

ADDRESS = "EMAIL#"
"""What leads the partition of an address."""

NEWS = "NEWS"
"""The partition of what was published."""

BREAKER: Key = ("BREAKER", "PAUSE")
ORDINALS: Key = ("ORDINALS", "NEXT")
LOCAL_CLOCK: Key = ("LOCAL", "CLOCK")
ROLLING: Key = ("ROLLING", "LEASE")
"""Held by whoever rolls days up: two at once could write what one of them has read too early."""

ROLLUPS = "ROLLUP"
"""The partition of every day's figures."""

DIRTY = "DIRTY"
"""The partition of the days and members that are to be looked at again."""

ERASING = "ERASING"
"""The partition of erasures that are not finished."""

SALT: Key = ("ERASED", "SALT")
"""What the marks of erased people are made with."""

FIRST_DAY = "DAY#"
LAST_DAY = "DAY#\x7f"


def log(day: date, identity: Identity, event_id: str) -> Key:
    """An event of the log. The actor leads the sort key, so that one person's day can be read on its own."""
    return log_partition(day, crc32(str(identity).encode()) % LOG_SHARDS), f"{identity}#{event_id}"


def log_partition(day: date, shard: int) -> str:
    """One shard of a UTC day of the log."""
    return f"LOG#{day.isoformat()}#{shard}"


def came_in(moment: datetime) -> str:
    """The partition, in the index `late`, of events that came in this UTC hour and had happened on another UTC day."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H}"


def came_in_partitions(since: datetime, until: datetime) -> Iterator[str]:
    """The UTC hours that lie, wholly or in part, from `since` to `until`, both included."""
    return (came_in(hour) for hour in _hours(since, until + timedelta(microseconds=1)))


def seen(event_id: str) -> Key:
    """The guard of an event that carries no time of its own, and so could fall into two days' logs."""
    return f"SEEN#{event_id}", "SEEN"


def member(member_id: str) -> Key:
    """A member's profile."""
    return f"MEMBER#{member_id}", PROFILE


def identity(identity: Identity) -> Key:
    """Whose this id on a platform is."""
    return f"IDENTITY#{identity}", "IDENTITY"


def address(email: str) -> Key:
    """Whose this verified address is; the address itself is not in the key."""
    return hashed_address(address_hash(email))


def hashed_address(hashed: str) -> Key:
    """The same, where only the hash of the address is known."""
    return f"{ADDRESS}{hashed}", "IDENTITY"


def send(send_id: SendId) -> Key:
    """A line of the send ledger."""
    return f"MEMBER#{send_id.member_id}", f"SEND#{send_id}"


def planned_on(day: date, member_id: str) -> str:
    """The partition, in the index `sends`, of what was planned for a member on a UTC day."""
    return f"{day.isoformat()}#{crc32(member_id.encode()) % AGENDA_SHARDS}"


def planned_partitions(since: datetime, until: datetime) -> Iterator[str]:
    """The partitions of the UTC days that lie, wholly or in part, from `since` up to `until`, in that index."""
    day = since.astimezone(UTC).date()
    while datetime(day.year, day.month, day.day, tzinfo=UTC) < until:
        yield from (f"{day.isoformat()}#{shard}" for shard in range(AGENDA_SHARDS))
        day += timedelta(days=1)


def due(programme: str, member_id: str, key: str) -> Key:
    """An item of the agenda."""
    return f"MEMBER#{member_id}", f"DUE#{programme}#{key}"


def plan(programme: str, shard: int) -> Key:
    """What plan a shard of a programme's agenda was last arranged by."""
    return f"AGENDA#{programme}#{shard}", "PLAN"


def agenda(programme: str, member_id: str) -> str:
    """The index partition of a member's agenda items of one programme."""
    return agenda_partition(programme, crc32(member_id.encode()) % AGENDA_SHARDS)


def agenda_partition(programme: str, shard: int) -> str:
    """One shard of a programme's agenda, in the index `agenda`."""
    return f"{programme}#{shard}"


def news(published_at: datetime, what: str) -> Key:
    """Something that was published; `what` tells two of the same moment apart."""
    return NEWS, f"{stamp(published_at)}#{what}"


def attempt(send_id: SendId, at: datetime) -> Key:
    """Who was asked or held out, in the month of the attempt."""
    return f"ATTEMPTS#{send_id.programme}#{at:%Y-%m}", f"{stamp(at)}#{send_id}"


def attempt_partitions(programme: str, since: datetime, until: datetime) -> Iterator[str]:
    """The months that lie, wholly or in part, from `since` up to `until`."""
    return (f"ATTEMPTS#{programme}#{month}" for month in _months(since, until))


def _months(since: datetime, until: datetime) -> Iterator[str]:
    year, month = since.astimezone(UTC).year, since.astimezone(UTC).month
    while datetime(year, month, 1, tzinfo=UTC) < until:
        yield f"{year:04}-{month:02}"
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)


def referee(member_id: str) -> str:
    """The partition of what was told of a member as a referee."""
    return f"REFEREE#{member_id}"


def touch(touch: Touch) -> Key:
    """One touch of a referee; in order of when it happened."""
    return f"REFEREE#{touch.referee_id}", f"TOUCH#{stamp(touch.at)}#{touch.referrer_id}#{touch.source}"


def attribution(referee_id: str) -> Key:
    """Whose referee a member is."""
    return f"REFEREE#{referee_id}", "ATTRIBUTION"


def void(referee_id: str, at: datetime, reason: str) -> Key:
    """Something that may undo a member's referral."""
    return f"REFEREE#{referee_id}", f"VOID#{stamp(at)}#{reason}"


def referral(referrer_id: str, referee_id: str) -> Key:
    """A referee of a referrer."""
    return f"MEMBER#{referrer_id}", f"REFERRAL#{referee_id}"


def reward(member_id: str, rule: str) -> Key:
    """A reward of a member: one a rule, for ever."""
    return f"MEMBER#{member_id}", f"REWARD#{rule}"


def reversal(member_id: str, rule: str) -> Key:
    """That a reward was taken back."""
    return f"MEMBER#{member_id}", f"REWARD#{rule}#REVERSED"


def review(referral: Referral) -> Key:
    """A referral that waits for a person."""
    return "REVIEW", f"{referral.referrer_id}#{referral.referee_id}"


def milestone(one: Milestone) -> Key:
    """Something that happened in the referral programme, in the UTC month of it."""
    return f"REFERRALS#{one.at:%Y-%m}", f"{one.kind}#{stamp(one.at)}#{one.member_id}#{one.about}"


def milestone_partitions(since: datetime, until: datetime) -> Iterator[str]:
    """The months that lie, wholly or in part, from `since` up to `until`."""
    return (f"REFERRALS#{month}" for month in _months(since, until))


def invited(email: str) -> str:
    """The partition of the touches of an address that was left on our join page."""
    return invited_by_hash(address_hash(email))


def invited_by(email: str, referrer_id: str) -> Key:
    """That a referrer brought an address which was left on our join page."""
    return invited(email), f"TOUCH#{referrer_id}"


def invited_by_hash(hashed: str) -> str:
    """The same, where only the hash of the address is known."""
    return f"INVITED#{hashed}"


def pulse(kind: str, send_id: SendId, at: datetime) -> Key:
    """A mail that was sent, bounced or was complained of, in the UTC hour of it."""
    return f"PULSE#{at.astimezone(UTC):%Y-%m-%dT%H}", f"{kind}#{stamp(at)}#{send_id.tag}"


def pulse_partitions(since: datetime, until: datetime) -> Iterator[str]:
    """The UTC hours that lie, wholly or in part, from `since` up to `until`."""
    return (f"PULSE#{hour:%Y-%m-%dT%H}" for hour in _hours(since, until))


def _hours(since: datetime, until: datetime) -> Iterator[datetime]:
    hour = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while hour < until:
        yield hour
        hour += timedelta(hours=1)


def rollup(day: date) -> Key:
    """The figures of a local day."""
    return ROLLUPS, day.isoformat()


def bitmap(day: date, kind: str, chunk: int) -> Key:
    """One kind of a local day's bitmaps, of the ordinals of one chunk."""
    return f"ACTIVE#{day.isoformat()}", f"{kind}#{chunk}"


def part(name: str, day: date, number: int) -> Key:
    """A piece of what else is kept of a local day."""
    return f"TALLY#{day.isoformat()}", f"{name}#{number}"


def dirty(what: str) -> Key:
    """That a day (`2030-01-01`), or whatever a member did (`m...`), is to be looked at again."""
    return DIRTY, what


def did(member_id: str, day: date) -> Key:
    """What a member did on a local day."""
    return f"MEMBER#{member_id}", f"{FIRST_DAY}{day.isoformat()}"


def report(edition: Edition, part: str, number: int) -> Key:
    """A piece of a part of a report."""
    return f"REPORT#{edition.kind}", f"{edition.period}#{edition.locale}#{part}#{number}"


def reported(kind: str, period: str) -> Key:
    """The figures of a period as they were first reported."""
    return f"REPORT#{kind}", f"{period}#FIRST"


def erasing(member_id: str) -> Key:
    """An erasure that is not finished."""
    return ERASING, member_id


def erased(mark: str) -> Key:
    """What is remembered of an identity or address that was erased; it is not in the key, nor can be told from it."""
    return f"ERASED#{mark}", "ERASED"


def kind(where: Key) -> str:
    """What an item is, by its key: the first word of its partition, or of its sort key where that is a person's."""
    persons = where[0].startswith(("MEMBER#", "REFEREE#"))
    return where[1 if persons else 0].partition("#")[0]


def due_at(moment: datetime) -> str:
    """A moment as the index sorts it."""
    return stamp(moment)
