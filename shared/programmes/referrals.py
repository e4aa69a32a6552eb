"""Referrals: who brought whom, whether it counts, and what is granted for it. Pure: a case in, the next step out.

A case is everything that is known of one referee. It is taken up when they are first touched, when they qualify, when
their hold is over, and when they prove to be somebody else; each look gives the one next step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.events import CommunityEvent, MemberLeft, PurchaseRefunded
from shared.fraud import evidence
from shared.model import Attribution, Member, Referral, Reward, Touch, Void
from shared.playbook import Playbook, RewardRule

NAME = "referrals"
KEY = "referral"


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is known of one referee: of themselves, of who brought them, and of what those have and were granted.

    `referrals` are all of the referrer's, this one among them; `fellows` their other referees; `upline` the ids of who
    brought the referrer, who brought those, and so on; `granted` the rules that either was ever granted.
    """

    referee: Member
    touches: Sequence[Touch]
    voids: Sequence[Void] = ()
    attribution: Attribution | None = None
    referrer: Member | None = None
    referrals: Sequence[Referral] = ()
    fellows: Sequence[Member] = ()
    upline: Sequence[str] = ()
    rewards: Sequence[Reward] = ()


@dataclass(frozen=True, kw_only=True)
class Step:
    """The one next step of a case: at most one of these, and when to look again; None when nothing is left to do."""

    attribute: Attribution | None = None
    settle: Referral | None = None
    grant: Sequence[Reward] = ()
    announce: Sequence[Reward] = ()
    look_at: datetime | None = None


def first_touch(touches: Iterable[Touch]) -> Touch:
    """The touch that counts: the earliest by when it happened, whenever it was told."""
    return min(touches, key=lambda touch: (touch.at, touch.referrer_id, touch.source))


def qualified_at(referee: Member, playbook: Playbook) -> datetime | None:
    """When a member did what the playbook asks of a referee, None while they have not."""
    contributed = [moment for moment in (referee.first_post_at, referee.first_comment_at) if moment]
    known = {
        "joined": referee.joined_at,
        "verified": referee.told_at.get("email"),
        "active": min(contributed, default=None),
        "purchased": referee.first_purchase_at,
    }
    return known[playbook.referrals.qualified_when]


def takes_up(event: CommunityEvent, member: Member, playbook: Playbook) -> bool:
    """Whether an event may bring a referee's case forward. Asked of the event alone: a retry must ask the same."""
    return member.touched_at is not None and event.occurred_at == qualified_at(member, playbook)


def void_of(event: CommunityEvent, member: Member) -> Void | None:
    """What an event tells that may undo the referral of a member whom somebody brought."""
    if member.touched_at is None or not isinstance(event, MemberLeft | PurchaseRefunded):
        return None
    reason = event.reason if isinstance(event, MemberLeft) else "refunded"
    return Void(reason=reason, at=event.occurred_at)


def decide(case: Case, playbook: Playbook, now: datetime) -> Step:
    """The next step of a case."""
    rules = playbook.referrals
    if case.attribution is None:
        return _settle_attribution(case, playbook, now)
    mine = _mine(case)
    if case.referrer is None:
        return Step()
    if mine is None:
        return Step(settle=_attributed(case, case.attribution, now), look_at=now)
    if mine.status == "qualified":
        return _reward(case, playbook, now)
    if mine.status != "attributed":
        return Step()
    qualified = qualified_at(case.referee, playbook)
    if qualified is None:
        return Step()  # the event that qualifies takes the case up again
    over_at = max(qualified, case.attribution.touched_at) + rules.hold
    if over_at > now:
        return Step(look_at=over_at)
    return Step(settle=_judged(case, mine, qualified, over_at, playbook, now), look_at=now)


def _settle_attribution(case: Case, playbook: Playbook, now: datetime) -> Step:
    settle_after = playbook.referrals.settle_after
    touches = [touch for touch in case.touches if _brought(touch, case.referee, settle_after)]
    if not touches:
        return Step()
    settles_at = min(touch.told_at for touch in touches) + settle_after
    if settles_at > now:
        return Step(look_at=settles_at)
    first = first_touch(touches)
    settled = Attribution(
        referee_id=case.referee.id,
        referrer_id=first.referrer_id,
        touched_at=first.at,
        source=first.source,
        utm=first.utm,
        at=now,
    )
    return Step(attribute=settled, look_at=now)


def _brought(touch: Touch, referee: Member, settle_after: timedelta) -> bool:
    """Whether a touch can have brought the referee: whoever was a member long before was brought by nobody."""
    return referee.joined_at is None or touch.at <= referee.joined_at + settle_after


def _mine(case: Case) -> Referral | None:
    ids = {case.referee.id, *case.referee.absorbed}
    ours = [referral for referral in case.referrals if referral.referee_id in ids]
    furthest = ("attributed", "voided", "in_review", "rejected", "qualified")
    return max(ours, key=lambda referral: furthest.index(referral.status), default=None)


def _attributed(case: Case, attribution: Attribution, now: datetime) -> Referral:
    return Referral(
        referrer_id=case.referrer.id if case.referrer else attribution.referrer_id,
        referee_id=case.referee.id,
        status="attributed",
        at=now,
        touched_at=attribution.touched_at,
    )


def _judged(
    case: Case, mine: Referral, qualified: datetime, over_at: datetime, playbook: Playbook, now: datetime
) -> Referral:
    """The referral once its hold is over: undone, in review with what speaks against it, or qualified."""
    undone = min(
        (void for void in case.voids if qualified <= void.at <= over_at), key=lambda void: void.at, default=None
    )
    if undone is not None:
        return mine.model_copy(update={"status": "voided", "at": now, "reason": undone.reason})
    against = suspicions(case, mine, playbook)
    if against:
        return mine.model_copy(update={"status": "in_review", "at": now, "reason": "suspicious", "evidence": against})
    return mine.model_copy(update={"status": "qualified", "at": now})


def suspicions(case: Case, mine: Referral, playbook: Playbook) -> list[str]:
    """What speaks against a case's referral."""
    if case.referrer is None:
        return []
    others = [referral for referral in case.referrals if referral is not mine]
    return evidence(
        case.referee,
        case.referrer,
        upline=case.upline,
        others=others,
        fellows=case.fellows,
        rules=playbook.referrals,
        referral=mine,
    )


def _reward(case: Case, playbook: Playbook, now: datetime) -> Step:
    """What a qualified referral earns: granted what was never granted, announced what this very referral earned."""
    due = [_reward_of(rule, case, now) for rule in earned(case, playbook)]
    granted = {(reward.member_id, reward.rule): reward for reward in case.rewards}
    known = _known_ids(case)
    new = [
        reward
        for reward in due
        if not any((member_id, reward.rule) in granted for member_id in known[reward.member_id])
    ]
    if new:
        return Step(grant=new, look_at=now)
    ids = {case.referee.id, *case.referee.absorbed}
    return Step(announce=[reward for reward in case.rewards if reward.because in ids])


def earned(case: Case, playbook: Playbook) -> list[RewardRule]:
    """The rules whose threshold the referrer's qualified referees have reached, and the referee's own."""
    count = qualified_count(case)
    return [
        rule
        for rule in playbook.referrals.rewards
        if rule.to == "referee" or (rule.at is not None and rule.at <= count)
    ]


def qualified_count(case: Case) -> int:
    """How many people have qualified: two members who proved to be one person are one."""
    survivor = {merged: fellow.id for fellow in [*case.fellows, case.referee] for merged in fellow.absorbed}
    qualified = [referral.referee_id for referral in case.referrals if referral.status == "qualified"]
    return len({survivor.get(referee, referee) for referee in qualified})


def _known_ids(case: Case) -> dict[str, set[str]]:
    people = [case.referee, *([case.referrer] if case.referrer else [])]
    return {person.id: {person.id, *person.absorbed} for person in people}


def _reward_of(rule: RewardRule, case: Case, now: datetime) -> Reward:
    to = case.referee if rule.to == "referee" or case.referrer is None else case.referrer
    return Reward(
        member_id=to.id,
        rule=rule.key,
        gives=rule.gives,
        days=rule.days,
        level=rule.level,
        because=case.referee.id,
        granted_at=now,
    )
