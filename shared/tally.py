"""What people did on one local day: from its events to a tally. Tallies of parts of a day merge into that of the whole.

Pure; knows no store. Which days lie before, and who was a member, is for `shared.rollups`.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import add
from typing import Any, NamedTuple, TypeVar
from zlib import compress, decompress

from pyroaring import BitMap

from shared.events import (
    ACTIVITY,
    COMMUNITY,
    AnswerAccepted,
    CommentCreated,
    CommunityEvent,
    ContentApproved,
    MemberJoined,
    PostCreated,
    PurchaseMade,
    ReactionAdded,
    SurveyAnswered,
)
from shared.measured import Counts, added, total
from shared.model import Member

PRESENCE = ACTIVITY | {"member.joined"}
"""Whoever does such a thing is a member from then on, until a `member.left` is their last word."""


class Said(NamedTuple):
    """A moment and who did something then, by ordinal; the earlier sorts first."""

    at: datetime
    ordinal: int


class Purchase(NamedTuple):
    """Something bought, by whom, for minor units of a currency."""

    at: datetime
    ordinal: int
    member_id: str
    amount: int
    currency: str


class Doings(NamedTuple):
    """What one member did on one day; `answers` are those to surveys, `accepted` those that solved a question."""

    posts: int = 0
    comments: int = 0
    reactions: int = 0
    attended: int = 0
    answers: int = 0
    accepted: int = 0


_NEVER = datetime.min.replace(tzinfo=UTC)

_DOING = {
    "post.created": "posts",
    "comment.created": "comments",
    "reaction.added": "reactions",
    "event.attended": "attended",
    "survey.answered": "answers",
    "answer.accepted": "accepted",
}
_COUNTED = {
    **{event_type: name for event_type, name in _DOING.items() if name in Counts.model_fields},
    "ticket.opened": "tickets",
    "feedback.implemented": "implemented",
}


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What people did on one local day, or in one part of it.

    `counts` lacks what needs more than the day: threads answered, revenue, sign-ups, and what is counted by key here.
    `active` and `joined` are ordinals; `present` and `left` say, by ordinal, when somebody last did something that a
    member does, and when they last left. `days` are by member id. `solved` are the keys of questions. `threads` and
    `replies` are by thread (`<platform>:<object>`): who opened it and when; the earliest reply of each of the two
    earliest people, of whom one at least did not open it.
    """

    counts: Counts = field(default_factory=Counts)
    active: BitMap = field(default_factory=BitMap)
    joined: BitMap = field(default_factory=BitMap)
    present: Mapping[int, datetime] = field(default_factory=dict)
    left: Mapping[int, datetime] = field(default_factory=dict)
    days: Mapping[str, Doings] = field(default_factory=dict)
    solved: frozenset[str] = frozenset()
    purchases: tuple[Purchase, ...] = ()
    threads: Mapping[str, Said] = field(default_factory=dict)
    replies: Mapping[str, tuple[Said, ...]] = field(default_factory=dict)


def tally(events: Iterable[CommunityEvent], people: Mapping[str, Member]) -> Tally:
    """The tally of a day's events, each counted once however often it is given.

    `people` are the members behind identities (`slack:U1`), those who proved to be one being one. Staff, bots, the
    community itself and whoever is not among `people` are nobody: what they do is in `counts.events` alone.
    """
    counting = _Counting(people)
    counting.take(events)
    return counting.tally()


class _Doer:
    """What one identity did, in the making; `member` is None for nobody, of whom only `seen` events are counted."""

    __slots__ = ("kinds", "left", "member", "present", "seen")

    def __init__(self, member: Member | None) -> None:
        self.member = member
        self.seen: set[str] = set()
        self.kinds: defaultdict[str, int] = defaultdict(int)
        self.present = self.left = _NEVER


class _Counting:
    """A tally in the making. What is done for each event is little, for there may be a million of them."""

    def __init__(self, people: Mapping[str, Member]) -> None:
        self._people = people
        self._doers: dict[tuple[str, str], _Doer] = {}
        self._feelings: Counter[str] = Counter()
        self._scores: Counter[int] = Counter()
        self._ugc: Counter[str] = Counter()
        self._joined: set[int] = set()
        self._solved: set[str] = set()
        self._purchases: list[Purchase] = []
        self._threads: dict[str, Said] = {}
        self._replies: dict[str, tuple[Said, ...]] = {}

    def take(self, events: Iterable[CommunityEvent]) -> None:
        """Count events, but for those that were counted already."""
        doers, more_of = self._doers, _MORE.get
        doer, actor, platform = _Doer(None), "", ""
        for event in events:
            if event.actor != actor or event.platform != platform:  # the log tells of one after the other
                actor, platform = event.actor, event.platform
                doer = doers.get((platform, actor)) or self._doer(event)
            if event.id in doer.seen:
                continue
            doer.seen.add(event.id)
            member = doer.member
            if member is None:
                continue
            kind = event.type
            doer.kinds[kind] += 1
            if kind in PRESENCE:
                if event.occurred_at > doer.present:
                    doer.present = event.occurred_at
            elif kind == "member.left" and event.occurred_at > doer.left:
                doer.left = event.occurred_at
            if more := more_of(kind):
                more(self, event, member)

    def _doer(self, event: CommunityEvent) -> _Doer:
        """Whoever did something for the first time."""
        member = self._people.get(f"{event.platform}:{event.actor}") if event.actor != COMMUNITY else None
        doer = _Doer(member if member is not None and member.role == "member" else None)
        self._doers[event.platform, event.actor] = doer
        return doer

    def join(self, event: MemberJoined, member: Member) -> None:
        if not event.returning:
            self._joined.add(member.ordinal)

    def post(self, event: PostCreated, member: Member) -> None:
        if event.body and event.body.sentiment:
            self._feelings[event.body.sentiment] += 1
        if event.object is not None:
            key, said = f"{event.platform}:{event.object}", Said(event.occurred_at, member.ordinal)
            self._threads[key] = min(said, self._threads.get(key, said))

    def comment(self, event: CommentCreated, member: Member) -> None:
        if event.body and event.body.sentiment:
            self._feelings[event.body.sentiment] += 1
        if event.parent is None:
            return
        key, at = f"{event.platform}:{event.parent}", event.occurred_at
        known = self._replies.get(key, ())
        if len(known) < 2 or at <= known[1].at:  # most come later than the two that count
            said = Said(at, member.ordinal)
            self._replies[key] = _two(known, (said,)) if known else (said,)

    def react(self, event: ReactionAdded, _: Member) -> None:
        if event.sentiment:
            self._feelings[event.sentiment] += 1

    def answer(self, event: SurveyAnswered, _: Member) -> None:
        self._scores[event.score] += 1

    def solve(self, event: AnswerAccepted, _: Member) -> None:
        self._solved.add(f"{event.platform}:{event.parent or event.object or event.id}")

    def buy(self, event: PurchaseMade, member: Member) -> None:
        bought = Purchase(event.occurred_at, member.ordinal, member.id, event.amount, event.currency)
        self._purchases.append(bought)

    def approve(self, event: ContentApproved, _: Member) -> None:
        self._ugc[event.format] += 1

    def tally(self) -> Tally:
        """What was counted."""
        known = [(doer.member, doer) for doer in self._doers.values() if doer.member is not None]
        days = _days(known)
        return Tally(
            counts=self._counts(doer for _, doer in known),
            active=BitMap(member.ordinal for member, _ in known if member.id in days),
            joined=BitMap(self._joined),
            present=_latest((member.ordinal, doer.present) for member, doer in known),
            left=_latest((member.ordinal, doer.left) for member, doer in known),
            days=days,
            solved=frozenset(self._solved),
            purchases=tuple(sorted(self._purchases)),
            threads=self._threads,
            replies=self._replies,
        )

    def _counts(self, doers: Iterable[_Doer]) -> Counts:
        kinds = added(doer.kinds for doer in doers)
        counts: dict[str, object] = {name: kinds.get(kind, 0) for kind, name in _COUNTED.items()}
        events = sum(len(doer.seen) for doer in self._doers.values())
        counts |= self._feelings
        return Counts.model_validate(
            counts | {"events": events, "scores": _ordered(self._scores), "ugc": _ordered(self._ugc)}
        )


def _days(known: Iterable[tuple[Member, _Doer]]) -> dict[str, Doings]:
    """By member id, what was done by whoever did something that counts as activity."""
    days: dict[str, Doings] = {}
    for member, doer in known:
        did = Doings(*(doer.kinds.get(kind, 0) for kind in _DOING))
        if any(did):
            days[member.id] = _sum(days[member.id], did) if member.id in days else did
    return days


def _latest(moments: Iterable[tuple[int, datetime]]) -> dict[int, datetime]:
    """The latest moment by ordinal, of those that there are."""
    latest: dict[int, datetime] = {}
    for ordinal, at in moments:
        if at > latest.get(ordinal, _NEVER):
            latest[ordinal] = at
    return latest


_MORE: Mapping[str, Callable[..., None]] = {
    "member.joined": _Counting.join,
    "post.created": _Counting.post,
    "comment.created": _Counting.comment,
    "reaction.added": _Counting.react,
    "survey.answered": _Counting.answer,
    "answer.accepted": _Counting.solve,
    "purchase.made": _Counting.buy,
    "content.approved": _Counting.approve,
}


def merge(*parts: Tally) -> Tally:
    """The tally of disjoint parts of a day together, in whatever order they are given."""
    return Tally(
        counts=total(one.counts for one in parts),
        active=BitMap().union(*(one.active for one in parts)),
        joined=BitMap().union(*(one.joined for one in parts)),
        present=_joint((one.present for one in parts), max),
        left=_joint((one.left for one in parts), max),
        days=_joint((one.days for one in parts), _sum),
        solved=frozenset().union(*(one.solved for one in parts)),
        purchases=tuple(sorted(bought for one in parts for bought in one.purchases)),
        threads=_joint((one.threads for one in parts), min),
        replies=_joint((one.replies for one in parts), _two),
    )


def packed(tally: Tally) -> bytes:
    """A tally as bytes, to be kept for a while; the same bytes for the same tally."""
    plain = {
        "counts": tally.counts.model_dump(mode="json", exclude_defaults=True),
        "active": _text(tally.active),
        "joined": _text(tally.joined),
        "present": [[ordinal, _micros(at)] for ordinal, at in sorted(tally.present.items())],
        "left": [[ordinal, _micros(at)] for ordinal, at in sorted(tally.left.items())],
        "days": _ordered(tally.days),
        "solved": sorted(tally.solved),
        "purchases": [[_micros(at), *bought] for at, *bought in tally.purchases],
        "threads": {key: [_micros(at), ordinal] for key, (at, ordinal) in sorted(tally.threads.items())},
        "replies": {
            key: [[_micros(at), ordinal] for at, ordinal in said] for key, said in sorted(tally.replies.items())
        },
    }
    return compress(json.dumps(plain, separators=(",", ":")).encode())


def unpacked(content: bytes) -> Tally:
    """The tally that `packed` was given."""
    plain: dict[str, Any] = json.loads(decompress(content))
    return Tally(
        counts=Counts.model_validate(plain["counts"]),
        active=BitMap.deserialize(b64decode(plain["active"])),
        joined=BitMap.deserialize(b64decode(plain["joined"])),
        present={ordinal: _moment(at) for ordinal, at in plain["present"]},
        left={ordinal: _moment(at) for ordinal, at in plain["left"]},
        days={member_id: Doings(*did) for member_id, did in plain["days"].items()},
        solved=frozenset(plain["solved"]),
        purchases=tuple(Purchase(_moment(at), *bought) for at, *bought in plain["purchases"]),
        threads={key: Said(_moment(at), ordinal) for key, (at, ordinal) in plain["threads"].items()},
        replies={key: tuple(Said(_moment(at), one) for at, one in said) for key, said in plain["replies"].items()},
    )


K = TypeVar("K", int, str)
V = TypeVar("V")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND


def _text(bitmap: BitMap) -> str:
    return b64encode(bitmap.serialize()).decode()


def _ordered(values: Mapping[K, V]) -> dict[K, V]:
    return {key: values[key] for key in sorted(values)}


def _joint(parts: Iterable[Mapping[K, V]], both: Callable[[V, V], V]) -> dict[K, V]:
    """Mappings as one; `both` says what stands under a key that two of them have."""
    whole: dict[K, V] = {}
    for part in parts:
        in_both = {key: both(whole[key], part[key]) for key in whole.keys() & part.keys()}
        whole.update(part)
        whole.update(in_both)
    return whole


def _sum(mine: Doings, theirs: Doings) -> Doings:
    return Doings(*map(add, mine, theirs))


def _two(one: tuple[Said, ...], other: tuple[Said, ...]) -> tuple[Said, ...]:
    """The earliest reply of each of the two earliest people."""
    first, *later = sorted(one + other)
    for said in later:
        if said.ordinal != first.ordinal:
            return first, said
    return (first,)
