"""What people did on one local day: from its events to a tally. Tallies of parts of a day merge into that of the whole.

Pure; knows no store. Which days lie before, and who was a member, is for `shared.rollups`.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
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
    Sentiment,
    SurveyAnswered,
)
from shared.measured import Counts, total
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


_DOING = {
    "post.created": "posts",
    "comment.created": "comments",
    "reaction.added": "reactions",
    "event.attended": "attended",
    "survey.answered": "answers",
    "answer.accepted": "accepted",
}
_PLACE = {event_type: Doings._fields.index(name) for event_type, name in _DOING.items()}
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
    earliest people, of whom one at least did not open it. Everything is in an order of its own, so that equal parts
    make equal tallies.
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
    counting = _Counting({identity: one for identity, one in people.items() if one.role == "member"})
    for event in events:
        counting.take(event)
    return counting.tally()


class _Counting:
    """A tally in the making."""

    def __init__(self, people: Mapping[str, Member]) -> None:
        self._people = people
        self._seen: set[tuple[str, str]] = set()
        self._counts: Counter[str] = Counter()
        self._scores: Counter[int] = Counter()
        self._ugc: Counter[str] = Counter()
        self._joined: set[int] = set()
        self._active: set[int] = set()
        self._present: dict[int, datetime] = {}
        self._left: dict[int, datetime] = {}
        self._days: dict[str, list[int]] = {}
        self._solved: set[str] = set()
        self._purchases: list[Purchase] = []
        self._threads: dict[str, Said] = {}
        self._replies: dict[str, dict[int, datetime]] = {}

    def take(self, event: CommunityEvent) -> None:
        """Count one event, unless it was counted already."""
        identity = f"{event.platform}:{event.actor}"
        if (identity, event.id) in self._seen:
            return
        self._seen.add((identity, event.id))
        member = self._people.get(identity) if event.actor != COMMUNITY else None
        if member is None:
            return
        kind = event.type
        if kind in PRESENCE:
            _keep_latest(self._present, member.ordinal, event.occurred_at)
        elif kind == "member.left":
            _keep_latest(self._left, member.ordinal, event.occurred_at)
        if kind in _PLACE:
            self._active.add(member.ordinal)
            self._days.setdefault(member.id, [0] * len(Doings._fields))[_PLACE[kind]] += 1
        if kind in _COUNTED:
            self._counts[_COUNTED[kind]] += 1
        if more := _MORE.get(kind):
            more(self, event, member)

    def join(self, event: MemberJoined, member: Member) -> None:
        if not event.returning:
            self._joined.add(member.ordinal)

    def post(self, event: PostCreated, member: Member) -> None:
        self._feel(event.body.sentiment if event.body else None)
        if event.object is not None:
            key, said = f"{event.platform}:{event.object}", Said(event.occurred_at, member.ordinal)
            self._threads[key] = min(said, self._threads.get(key, said))

    def comment(self, event: CommentCreated, member: Member) -> None:
        self._feel(event.body.sentiment if event.body else None)
        if event.parent is not None:
            replies = self._replies.setdefault(f"{event.platform}:{event.parent}", {})
            replies[member.ordinal] = min(event.occurred_at, replies.get(member.ordinal, event.occurred_at))

    def react(self, event: ReactionAdded, _: Member) -> None:
        self._feel(event.sentiment)

    def _feel(self, sentiment: Sentiment | None) -> None:
        if sentiment is not None:
            self._counts[sentiment] += 1

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
        counts = {**self._counts, "events": len(self._seen), "scores": _ordered(self._scores)}
        return Tally(
            counts=Counts.model_validate({**counts, "ugc": _ordered(self._ugc)}),
            active=BitMap(self._active),
            joined=BitMap(self._joined),
            present=_ordered(self._present),
            left=_ordered(self._left),
            days=_ordered({member_id: Doings(*did) for member_id, did in self._days.items()}),
            solved=frozenset(self._solved),
            purchases=tuple(sorted(self._purchases)),
            threads=_ordered(self._threads),
            replies=_ordered({key: _earliest(replies) for key, replies in self._replies.items()}),
        )


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


def merge(one: Tally, other: Tally) -> Tally:
    """The tally of two disjoint parts of a day together, in whatever order parts are merged."""
    return Tally(
        counts=total((one.counts, other.counts)),
        active=one.active | other.active,
        joined=one.joined | other.joined,
        present=_joint(one.present, other.present, max),
        left=_joint(one.left, other.left, max),
        days=_joint(one.days, other.days, lambda mine, theirs: Doings(*map(sum, zip(mine, theirs, strict=True)))),
        solved=one.solved | other.solved,
        purchases=tuple(sorted(one.purchases + other.purchases)),
        threads=_joint(one.threads, other.threads, min),
        replies=_joint(one.replies, other.replies, _two),
    )


def packed(tally: Tally) -> bytes:
    """A tally as bytes, to be kept for a while; the same bytes for the same tally."""
    plain = {
        "counts": tally.counts.model_dump(mode="json", exclude_defaults=True),
        "active": _text(tally.active),
        "joined": _text(tally.joined),
        "present": [[ordinal, _micros(at)] for ordinal, at in tally.present.items()],
        "left": [[ordinal, _micros(at)] for ordinal, at in tally.left.items()],
        "days": tally.days,
        "solved": sorted(tally.solved),
        "purchases": [[_micros(at), *bought] for at, *bought in tally.purchases],
        "threads": {key: [_micros(at), ordinal] for key, (at, ordinal) in tally.threads.items()},
        "replies": {key: [[_micros(at), ordinal] for at, ordinal in said] for key, said in tally.replies.items()},
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


def _keep_latest(moments: dict[int, datetime], ordinal: int, at: datetime) -> None:
    known = moments.get(ordinal)
    if known is None or known < at:
        moments[ordinal] = at


def _ordered(values: Mapping[K, V]) -> dict[K, V]:
    return {key: values[key] for key in sorted(values)}


def _joint(one: Mapping[K, V], other: Mapping[K, V], both: Callable[[V, V], V]) -> dict[K, V]:
    """Two mappings as one; `both` says what stands under a key of each."""
    shared = {key: both(one[key], other[key]) for key in one.keys() & other.keys()}
    return _ordered({**one, **other, **shared})


def _earliest(replies: Mapping[int, datetime]) -> tuple[Said, ...]:
    """The earliest reply of each of the two earliest people."""
    return tuple(sorted(Said(at, ordinal) for ordinal, at in replies.items())[:2])


def _two(one: tuple[Said, ...], other: tuple[Said, ...]) -> tuple[Said, ...]:
    first: dict[int, datetime] = {}
    for said in (*one, *other):
        first[said.ordinal] = min(said.at, first.get(said.ordinal, said.at))
    return _earliest(first)
