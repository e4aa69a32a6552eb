"""Who brought whom, and what came of it, in words for an operator. Reads the table; decides nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from infra.lines import Line
from infra.resume import clock
from shared.model import Attribution, Member, Referral, Reversal, Reward, Touch
from shared.store import Store
from shared.store.referrals import Standing

VOIDS = {
    "left": "they left within the hold",
    "removed": "they were removed within the hold",
    "banned": "they were banned within the hold",
    "refunded": "their purchase was refunded within the hold",
    "brought_by_another": "they proved to be two members, and somebody else had brought the other one before",
}
"""What undid a referral."""

EVIDENCE = {
    "self": "they share an address with who brought them, or are the same member",
    "referrer_banned": "who brought them was removed or banned",
    "not_a_member": "they are staff, or a bot",
    "cycle": "they had themselves brought whoever brought them, directly or through others",
    "disposable_address": "their address is of a provider of throw-away addresses",
    "never_active": "they have never been seen doing anything",
    "member_before": "they had been a member long before that",
    "brought_by_another": "they proved to be two members, and somebody else had brought the other one before",
    **{f"{reason}_within_hold": words for reason, words in VOIDS.items()},
}
"""What speaks against a referral, in words for the person who decides."""

TOO_MANY = re.compile(r"more_than_(\d+)_(an_hour|a_day|on_one_payer)")

HOW = {
    "an_hour": "came within an hour",
    "a_day": "came within a day",
    "on_one_payer": "paid from the same pocket",
}
"""What too many referees of one referrer did."""

SOURCES = {
    "link": "by a click on their link",
    "code": "by their code",
    "invitation": "by an invitation on the platform",
    "join_page": "by their link and our join page",
}
"""How a touch came about."""

STATUSES = {
    "attributed": "does not count yet",
    "qualified": "counts",
    "voided": "was undone",
    "in_review": "waits for a person",
    "rejected": "was rejected",
}
"""How a referral stands."""


@dataclass(frozen=True, kw_only=True)
class Bonds:
    """What is known of a member as a referee and as a referrer; in `brought` they are the referee.

    `people` are the others by the id they are named by.
    """

    touches: Sequence[Touch] = ()
    attribution: Attribution | None = None
    brought: Sequence[Referral] = ()
    referrals: Sequence[Referral] = ()
    rewards: Sequence[Reward] = ()
    reversals: Sequence[Reversal] = ()
    people: Mapping[str, Member] = field(default_factory=dict)


def bonds_of(member: Member, store: Store) -> Bonds:
    """Everything about a member's referrals, under all the ids they had; who was never touched costs one query less."""
    ids = [member.id, *sorted(member.absorbed)]
    standing = store.standing(ids)
    if member.touched_at is None:
        return _bonds(standing, (), None, (), store)
    told = store.referee(ids)
    referrers = [store.survivor(one.referrer_id) for one in told.attributions]
    theirs = store.standing(sorted({i for one in referrers if one for i in (one.id, *one.absorbed)})).referrals
    return _bonds(standing, told.touches, told.attribution, [one for one in theirs if one.referee_id in ids], store)


def _bonds(
    standing: Standing,
    touches: Sequence[Touch],
    attribution: Attribution | None,
    brought: Sequence[Referral],
    store: Store,
) -> Bonds:
    others = {one.referee_id for one in standing.referrals} | {one.referrer_id for one in touches}
    others |= {one.because for one in standing.rewards}
    return Bonds(
        touches=touches,
        attribution=attribution,
        brought=brought,
        referrals=standing.referrals,
        rewards=standing.rewards,
        reversals=standing.reversals,
        people=store.members(sorted(others)) if others else {},
    )


def named(member_id: str, people: Mapping[str, Member]) -> str:
    """A member as an operator knows them: by name and a platform id, or else by the member id alone."""
    member = people.get(member_id)
    known = [one for one in (member.name, min(member.identities, default=None)) if one] if member else []
    return f"{', '.join(known)} ({member_id})" if known else member_id


def in_words(evidence: str) -> str:
    """One line of evidence as a sentence's part; what is not known here, as it is."""
    if many := TOO_MANY.fullmatch(evidence):
        return f"more than {many[1]} referees of this referrer {HOW[many[2]]}"
    return EVIDENCE.get(evidence, evidence.replace("_", " "))


def why_so(referral: Referral) -> list[str]:
    """What made a referral stand as it does, where that is to be told; a sentence's part each."""
    if referral.status == "voided":
        return [VOIDS.get(referral.reason or "", (referral.reason or "no reason was noted").replace("_", " "))]
    if referral.status == "rejected":
        return [f"the reason given: {referral.reason}"]
    return [in_words(one) for one in referral.evidence] if referral.status == "in_review" else []


def gift(reward: Reward) -> str:
    """What a reward gives."""
    kind = reward.gives.replace("_", " ")
    more = f" for {reward.days} days" if reward.days else f" {reward.level}" if reward.level else ""
    return f"{reward.rule} ({kind}{more})"


def story(bonds: Bonds, zone: ZoneInfo) -> Iterator[Line]:
    """A member's referrals and rewards as lines of their story."""
    for touch in bonds.touches:
        text = f"{named(touch.referrer_id, bonds.people)} brought them, it was said, {SOURCES[touch.source]}"
        yield Line(kind="touched", at=touch.at, text=text, facts=touch.model_dump(mode="json", exclude_none=True))
    if (settled := bonds.attribution) is not None:
        yield _settled(settled, bonds, zone)
    for referral in bonds.brought:
        yield _standing(referral, f"brought by {named(referral.referrer_id, bonds.people)}")
    for referral in bonds.referrals:
        yield _standing(referral, f"they brought {named(referral.referee_id, bonds.people)}")
    for reward in bonds.rewards:
        yield _reward(reward, bonds, zone)
    for reversal in bonds.reversals:
        facts = reversal.model_dump(mode="json")
        yield Line(kind="reversed", at=reversal.at, text=f"{reversal.rule}: {reversal.reason}", facts=facts)


def _settled(settled: Attribution, bonds: Bonds, zone: ZoneInfo) -> Line:
    how = SOURCES.get(settled.source, settled.source)
    first = f"the first touch, {clock(settled.touched_at, zone)}, {how}"
    utm = ", ".join(f"{name} {value}" for name, value in sorted(settled.utm.items()))
    return Line(
        kind="brought",
        at=settled.at,
        text=f"{named(settled.referrer_id, bonds.people)}, for good",
        notes=(first, *([utm] if utm else [])),
        facts=settled.model_dump(mode="json"),
    )


def _standing(referral: Referral, who: str) -> Line:
    facts: dict[str, JsonValue] = referral.model_dump(mode="json", exclude_none=True)
    text = f"{who}: that {STATUSES[referral.status]}"
    return Line(kind="referral", at=referral.at, text=text, notes=tuple(why_so(referral)), facts=facts)


def _reward(reward: Reward, bonds: Bonds, zone: ZoneInfo) -> Line:
    notes = [f"because of {named(reward.because, bonds.people)}"]
    notes += [f"its receiver took it {clock(reward.fulfilled_at, zone)}"] if reward.fulfilled_at else []
    notes += [f"its receiver refused it for good {clock(reward.refused_at, zone)}"] if reward.refused_at else []
    facts: dict[str, JsonValue] = reward.model_dump(mode="json", exclude_none=True)
    return Line(kind="reward", at=reward.granted_at, text=f"granted {gift(reward)}", notes=tuple(notes), facts=facts)
