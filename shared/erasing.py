"""What is held of a person, and what remains of it when they are erased. Pure: items in, items out.

Nothing that is counted is taken away: the person is. Every item that a figure is made of goes on under names that were
made up for it and can be traced to nobody, so a day that is measured again comes out as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from shared.addresses import address_hash, mark_of
from shared.events import EVENT, GHOST, CommunityEvent, Frozen, MemberJoined, MemberUpdated, Profile
from shared.members import decide, suppress
from shared.model import (
    Attribution,
    Consent,
    Erased,
    Identity,
    Member,
    Milestone,
    Referral,
    Reversal,
    Reward,
    SendStatus,
    Suppression,
    stamp,
)
from shared.playbook import ALL_MARKETING
from shared.store import keys
from shared.store.items import KEPT, plain

Item = Mapping[str, Any]
"""An item of the table as plain values."""

BY_ERASURE = "erasure"
"""What made the decisions that outlive a person."""

ERASED = "erased"
"""The reason of a mail that did not go, or of a reward taken back, when nobody is there any more to be told another."""

OPEN = frozenset({SendStatus.CLAIMED, SendStatus.DEFERRED, SendStatus.UNKNOWN})
"""What becomes of a send is still to come. Of an erased one nothing would come: nobody looks after a nobody's mail."""

TRIED_AGAIN = timedelta(days=14)
"""How long after an erasure a delivery of before it may yet be tried again: as long as a queue keeps one."""

FORGOTTEN = frozenset({"DUE", "DAY", "VOID", "TOUCH", "INVITED", "EMAIL", "IDENTITY", "PROFILE", "DIRTY"})
"""Kinds of items of which nothing remains: what is to come, and what no figure is made of."""

PERSONAL: Mapping[str, frozenset[str]] = {
    "SEND": frozenset({"subject", "locale", "message_id", "token", "lease_until"}),
    "ATTRIBUTION": frozenset({"utm"}),
}
"""What is left out of the items that remain."""

_KEPT_OF_EVENTS: Mapping[str, frozenset[str]] = {
    "post.created": frozenset({"object"}),
    "comment.created": frozenset({"parent"}),
    "answer.accepted": frozenset({"object", "parent"}),
}
"""The names of threads and answers: the answers that others gave are told apart by them."""

_LEFT_OUT: Mapping[str, Any] = {
    "object": None,
    "parent": None,
    "channel": None,
    "profile": Profile(),
    "invited_by": None,
    "comment": None,
    "payer": None,
    "ref": None,
    "code": None,
    "utm": {},
    "title": "erased",
    "url": "https://erased.invalid/",
}
"""What stands in an event instead of what it told of a person."""

_KEPT_OF_MEMBERS = (
    *("ordinal", "created_at", "role", "status_at", "joined_at", "last_active_at", "active_days", "first_post_at"),
    *("first_comment_at", "survey_answered_at", "verified_at", "first_purchase_at", "dormant_at", "woken_at"),
)
"""What of a profile figures of a past period are made of: when something happened, and the number in the bitmaps."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """Whom it is about: every profile, who they are now first, and the hashes of every address they ever had."""

    profiles: Sequence[Member]
    addresses: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        """The id that they have now."""
        return self.profiles[0].id

    @property
    def ids(self) -> list[str]:
        """Every id that they ever had, the present one first."""
        return list(dict.fromkeys([*(one.id for one in self.profiles), *sorted(self.profiles[0].absorbed)]))

    @property
    def identities(self) -> list[Identity]:
        """Every id that they have on a platform."""
        return [_identity(text) for text in sorted({text for one in self.profiles for text in one.identities})]

    @property
    def lookups(self) -> list[keys.Key]:
        """By what they are found: identities and addresses."""
        return [*map(keys.identity, self.identities), *map(keys.hashed_address, sorted(self.addresses))]


@dataclass(frozen=True, kw_only=True)
class Ghosts:
    """The made-up names of one person. Who does not know the tokens, which are thrown away, cannot make them again."""

    tokens: Mapping[str, str]
    """What the name of each of their ids is made of: an id that was being erased before goes on under its own."""

    names: Mapping[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = {one: f"m{mark_of(one, token)[:20]}" for one, token in self.tokens.items()}
        object.__setattr__(self, "names", names)

    def identity(self, identity: Identity) -> Identity:
        """The made-up id on the same platform."""
        return Identity(identity.platform, f"{GHOST}{self._made_of(str(identity))[:20]}")

    def event_id(self, event_id: str) -> str:
        """The made-up id of an event."""
        return f"{GHOST}{self._made_of(event_id)[:32]}"

    def renamed(self, value: Any) -> Any:  # noqa: ANN401 - whatever an item holds
        """A value with every id of the person, wherever it stands, in place of which stands the made-up one."""
        if isinstance(value, str):
            return re.sub("|".join(map(re.escape, self.names)), lambda found: self.names[found[0]], value)
        if isinstance(value, Mapping):
            return {self.renamed(name): self.renamed(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.renamed(one) for one in value]
        return value

    def _made_of(self, text: str) -> str:
        return mark_of(text, next(iter(self.tokens.values())))


# --- what is held --------------------------------------------------------------------------------


def person_of(profiles: Sequence[Member], events: Iterable[CommunityEvent] = ()) -> Person:
    """Whoever has these profiles, with every address that profiles and events tell of."""
    hashes = {hashed for one in profiles for hashed in _hashes(one)}
    told = (event.profile.email for event in events if isinstance(event, MemberJoined | MemberUpdated))
    return Person(profiles=profiles, addresses=frozenset(hashes | {address_hash(one) for one in told if one}))


def _hashes(member: Member) -> Iterator[str]:
    if member.email is not None:
        yield address_hash(member.email)
    yield from member.suppressions
    yield from (one.address for one in member.soft_bounces.values())


def log_days(person: Person, held: Iterable[Item], now: datetime, back: timedelta = KEPT) -> list[date]:
    """The UTC days in whose log something of them may stand: as far back as the log is kept, or they are known.

    One day more at either end: clocks differ, and days of members are local.
    """
    moments = [now - back, *(moment for one in person.profiles for moment in _moments(one))]
    did = [item["sk"].removeprefix(keys.FIRST_DAY) for item in held if keys.kind((item["pk"], item["sk"])) == "DAY"]
    days = [moment.date() for moment in moments] + [date.fromisoformat(day) for day in did]
    first = min(days) - timedelta(days=1)
    return [first + timedelta(days=at) for at in range((now.date() - first).days + 2)]


def _moments(member: Member) -> Iterator[datetime]:
    for value in (getattr(member, name) for name in Member.model_fields):
        if isinstance(value, datetime):
            yield value
    yield from member.told_at.values()
    yield from (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in member.active_days)


def events_of(items: Iterable[Item]) -> list[CommunityEvent]:
    """The events among items; one that this version cannot read is left out."""
    texts = [item["event"] for item in items if keys.kind((item["pk"], item["sk"])) == "LOG"]
    return [event for event in map(_read, texts) if event is not None]


def _read(text: str) -> CommunityEvent | None:
    try:
        return EVENT.validate_json(text)
    except ValueError:
        return None


def elsewhere(items: Iterable[Item]) -> set[keys.Key]:
    """Where else something of the person stands, by what their own items tell: reviews, milestones, their friends."""
    return {where for item in items for where in _LEADS.get(keys.kind((item["pk"], item["sk"])), _nowhere)(item)}


def _nowhere(_: Item) -> Iterator[keys.Key]:
    yield from ()


def _of_referral(item: Item) -> Iterator[keys.Key]:
    one = Referral.model_validate(_fields(item, Referral))
    yield keys.review(one)
    yield keys.referral(one.referrer_id, one.referee_id)
    yield keys.attribution(one.referee_id)
    if one.qualified_at is not None:
        yield keys.milestone(
            Milestone(kind="qualified", at=one.qualified_at, member_id=one.referrer_id, about=one.referee_id)
        )


def _of_attribution(item: Item) -> Iterator[keys.Key]:
    one = Attribution.model_validate(_fields(item, Attribution))
    yield keys.referral(one.referrer_id, one.referee_id)
    yield keys.milestone(Milestone(kind="attributed", at=one.at, member_id=one.referrer_id, about=one.referee_id))


def _of_reward(item: Item) -> Iterator[keys.Key]:
    if "granted_at" in item:
        reward = Reward.model_validate(_fields(item, Reward))
        yield keys.milestone(
            Milestone(kind="granted", at=reward.granted_at, member_id=reward.member_id, about=reward.rule)
        )
        return
    reversal = Reversal.model_validate(_fields(item, Reversal))
    yield keys.milestone(Milestone(kind="reversed", at=reversal.at, member_id=reversal.member_id, about=reversal.rule))


def _of_event(item: Item) -> Iterator[keys.Key]:
    event = _read(item["event"])
    if event is not None and not event.timed:
        yield keys.seen(event.id)


_LEADS: Mapping[str, Callable[[Item], Iterator[keys.Key]]] = {
    "REFERRAL": _of_referral,
    "ATTRIBUTION": _of_attribution,
    "REWARD": _of_reward,
    "LOG": _of_event,
}


def mentions(item: Item, ids: Collection[str]) -> bool:
    """Whether any of these ids stands in an item."""
    return re.search("|".join(map(re.escape, ids)), repr(item)) is not None


def pulse_hours(items: Iterable[Item], now: datetime, kept: timedelta) -> list[datetime]:
    """The hours around which a mail of theirs may stand among the pulses, which are kept for so long."""
    moments = {
        datetime.fromisoformat(text)
        for item in items
        if keys.kind((item["pk"], item["sk"])) == "SEND"
        for text in (item["at"], item["planned_at"], *item.get("feedback", {}).values())
    }
    hours = {moment.replace(minute=0, second=0, microsecond=0) for moment in moments if moment >= now - kept}
    return sorted({hour + timedelta(hours=by) for hour in hours for by in (-1, 0, 1)})


# --- what remains --------------------------------------------------------------------------------


def remains(item: Item, ghosts: Ghosts, now: datetime) -> Item | None:
    """What remains of an item once the person is erased: the same with other names, or None for nothing.

    The guard against taking a delivery without a time twice stays for as long as one may be tried again.
    """
    kind = keys.kind((item["pk"], item["sk"]))
    theirs = item["pk"].partition("#")[2] in ghosts.names
    if kind in FORGOTTEN:
        return None
    if kind == "SEEN":
        return {**item, "expires_at": min(int(item["expires_at"]), int((now + TRIED_AGAIN).timestamp()))}
    if kind == "LOG":
        return _ghostly(item, ghosts)
    left_out = PERSONAL.get(kind, frozenset()) if theirs else frozenset()
    kept = {name: value for name, value in item.items() if name not in left_out}
    new: dict[str, Any] = ghosts.renamed(kept)
    if kind == "SEND" and "planned_on" in new:
        day = date.fromisoformat(new["planned_on"].partition("#")[0])
        new["planned_on"] = keys.planned_on(day, new["member_id"])
    if kind == "SEND" and theirs and item["status"] in OPEN:
        new |= {"status": SendStatus.SKIPPED.value, "reason": ERASED, "at": stamp(now)}
        new.pop("until", None)
    if kind == "REWARD" and "reason" in new and theirs:
        new["reason"] = ERASED
    return new


def _ghostly(item: Item, ghosts: Ghosts) -> Item | None:
    event = _read(item["event"])
    if event is None:
        return None  # nothing counts what cannot be read
    new = ghost_event(event, ghosts)
    pk, sk = keys.log(new.occurred_at.date(), Identity(new.platform, new.actor), new.id)
    return {**item, "pk": pk, "sk": sk, "event": new.model_dump_json(exclude_none=True)}


def ghost_event(event: CommunityEvent, ghosts: Ghosts) -> CommunityEvent:
    """An event as nobody's: what happened and when, and what it answers, where figures are made of that."""
    kept = _KEPT_OF_EVENTS.get(event.type, frozenset())
    names = type(event).model_fields
    changes = {name: value for name, value in _LEFT_OUT.items() if name in names and name not in kept}
    identity = ghosts.identity(Identity(event.platform, event.actor))
    return event.model_copy(update={**changes, "actor": identity.external_id, "id": ghosts.event_id(event.id)})


def ghost_of(member: Member, ghosts: Ghosts) -> Member:
    """The nobody that figures go on to count: gone from the community, with no name, address, choice or wish."""
    absorbed = {ghosts.names[one] for one in member.absorbed if one in ghosts.names}
    into = ghosts.names.get(member.merged_into) if member.merged_into else None
    return Member(
        id=ghosts.names[member.id],
        identities=frozenset(str(ghosts.identity(_identity(text))) for text in member.identities),
        status="removed",
        absorbed=frozenset(absorbed),
        merged_into=into,
        **{name: getattr(member, name) for name in _KEPT_OF_MEMBERS},
    )


def haunted(person: Person, ghosts: Ghosts, standing: Mapping[str, Member]) -> list[Item]:
    """The profiles of the nobodies, and whose their made-up identities are.

    `standing` are the nobodies that there are already, by id. One that an erasure that was broken off put there before
    its member proved to be another stays a person of its own: so it has been counted since.
    """
    apart = {one.id for one in person.profiles if one.merged_into and _stands_alone(ghosts.names[one.id], standing)}
    found: list[Item] = []
    for one in person.profiles:
        if one.id not in apart:
            new = ghost_of(one.model_copy(update={"absorbed": one.absorbed - apart}), ghosts)
            found.append({**_at(keys.member(new.id)), **plain(new)})
    for identity in person.identities:
        where = keys.identity(ghosts.identity(identity))
        found.append({**_at(where), "member_id": ghosts.names[person.id]})
    return found


def _stands_alone(ghost: str, standing: Mapping[str, Member]) -> bool:
    return ghost in standing and standing[ghost].merged_into is None


_FIRST = {"DUE": 0, "REFERRALS": 1, "REVIEW": 1, "ATTEMPTS": 1, "PULSE": 1, "SEEN": 1, "INVITED": 1}
_LATER = {"SEND": 3, "EMAIL": 3, "LOG": 4}
_LAST = {"IDENTITY", "PROFILE"}


def in_order(items: Iterable[Item], ids: Collection[str]) -> list[Item]:
    """What is to be dealt with, in such an order that after a crash everything left is found again.

    What is due goes first, so that nothing new comes of it; whatever leads to something else goes after that. By
    profiles and identities the person is found: those go at the very end, together.
    """

    def rank(item: Item) -> int:
        kind, owner = keys.kind((item["pk"], item["sk"])), item["pk"].partition("#")[2]
        if kind in _FIRST:
            return _FIRST[kind]
        return _LATER.get(kind, 5 if owner in ids else 2)

    left = [item for item in items if keys.kind((item["pk"], item["sk"])) not in _LAST]
    return sorted(left, key=lambda item: (rank(item), item["pk"], item["sk"]))


# --- what is remembered --------------------------------------------------------------------------


def memories(person: Person, at: datetime) -> dict[keys.Key, Erased]:
    """What is remembered of each identity and address. An erasure is a no to all marketing, until they say yes."""
    no = Consent(given=False, at=at, by=BY_ERASURE)
    refused = {
        category: decision.model_copy(update={"by": BY_ERASURE})
        for one in person.profiles
        for category, decision in one.consent.items()
        if not decision.given
    }
    known = {
        hashed: proof.model_copy(update={"by": BY_ERASURE})
        for one in reversed(person.profiles)
        for hashed, proof in one.suppressions.items()
    }
    one = Erased(at=at, refused={**refused, ALL_MARKETING: no})
    remembered = {keys.identity(identity): one for identity in person.identities}
    for hashed in person.addresses:
        remembered[keys.hashed_address(hashed)] = one.model_copy(update={"suppression": known.get(hashed)})
    return remembered


def erased_as_of(events: Iterable[CommunityEvent], now: datetime) -> datetime:
    """The moment of an erasure: `now`, or when the last of the person's events came, if that was while it ran.

    That one's reaction may be yet to come. By our clock, for what a platform's says may lie far ahead.
    """
    return max([now, *(event.received_at for event in events)])


def was_erased(event: CommunityEvent, remembered: Mapping[keys.Key, Erased]) -> bool:
    """Whether an event is of before its actor was erased: one that was on its way, or an old one that is told again."""
    erased = remembered.get(keys.identity(Identity(event.platform, event.actor)))
    return erased is not None and told_of(event) <= erased.at


def told_of(event: CommunityEvent) -> datetime:
    """When something happened, at the latest: not after it came, whatever a platform's clock says."""
    return min(event.occurred_at, event.received_at)


def recall(member: Member, remembered: Mapping[keys.Key, Erased]) -> Member:
    """Somebody who came back, or has an address that was erased, with what was refused then."""
    for where, erased in remembered.items():
        for category, decision in erased.refused.items():
            member = decide(member, category, decision)
        if erased.suppression is not None:
            member = suppress(member, where[0].removeprefix(keys.ADDRESS), erased.suppression)
    return member


def late_bounce(at: datetime) -> Suppression:
    """What is remembered of an address that bounced after it was erased; not by which mail, which has their id."""
    return Suppression(reason="bounce", at=at, by=BY_ERASURE)


def _identity(text: str) -> Identity:
    return Identity(*text.split(":", 1))


def _at(where: keys.Key) -> dict[str, str]:
    return {"pk": where[0], "sk": where[1]}


def _fields(item: Item, kind: type[Frozen]) -> dict[str, Any]:
    return {name: item[name] for name in kind.model_fields if name in item}
