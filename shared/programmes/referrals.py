"""Referrals: who brought whom, whether it counts, and what is granted for it. Pure: a case in, the next step out.

A case is everything that is known of one referee. It is taken up when they are first touched, when they qualify, when
their hold is over, and when they prove to be somebody else; each look gives the one next step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.events import CommunityEvent, MemberLeft, PurchaseRefunded
from shared.fraud import evidence, long_a_member
from shared.model import Attribution, Member, Referral, ReferralStatus, Reward, Touch, Void
from shared.playbook import Playbook, RewardRule

NAME = "referrals"
KEY = "referral"

AGAIN = timedelta(minutes=5)
"""How long after a reward was granted it is looked whether it was announced."""

OF_IDENTITY = frozenset({"self", "cycle", "member_before"})
"""What may come out about a referral after it counted, when two members prove to be one person."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is known of one referee: of themselves, of who brought them, and of what those have and were granted.

    `referrals` are all of the referrer's, this one among them; `fellows` their other referees, each once;
    `upline` the ids of who brought the referrer, who brought those, and so on; `elsewhere` are the referee's referrals
    under somebody else, from when they were two members; `rewards` are all that either was ever granted, and
    `reversed` names those of them, by id, that were taken back.
    """

    referee: Member
    touches: Sequence[Touch]
    voids: Sequence[Void] = ()
    attribution: Attribution | None = None
    referrer: Member | None = None
    referrals: Sequence[Referral] = ()
    fellows: Sequence[Member] = ()
    upline: Sequence[str] = ()
    elsewhere: Sequence[Referral] = ()
    rewards: Sequence[Reward] = ()
    reversed: Collection[str] = ()


@dataclass(frozen=True, kw_only=True)
class Move:
    """A referral as it is to be, and the status that it has now, None for a new one."""

    to: Referral
    was: ReferralStatus | None


@dataclass(frozen=True, kw_only=True)
class Step:
    """The one next step of a case: at most one of these, and when to look again; None when nothing is left to do.

    What is granted is announced with it.
    """

    attribute: Attribution | None = None
    moves: Sequence[Move] = ()
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
        "verified": referee.verified_at,
        "active": min(contributed, default=None),
        "purchased": referee.first_purchase_at,
    }
    return known[playbook.referrals.qualified_when]


def takes_up(event: CommunityEvent, member: Member, playbook: Playbook) -> bool:
    """Whether an event may bring a referee's case forward. Asked of the event alone: a retry must ask the same."""
    if member.touched_at is None:
        return False
    return void_of(event) is not None or event.occurred_at == qualified_at(member, playbook)


def void_of(event: CommunityEvent) -> Void | None:
    """What an event tells that may undo the referral of its actor, whom somebody may yet prove to have brought."""
    if not isinstance(event, MemberLeft | PurchaseRefunded):
        return None
    reason = event.reason if isinstance(event, MemberLeft) else "refunded"
    return Void(reason=reason, at=event.occurred_at)


def decide(case: Case, playbook: Playbook, now: datetime) -> Step:
    """The next step of a case."""
    if case.attribution is None:
        return _settle_attribution(case, playbook, now)
    if case.referrer is None:
        return Step()
    if elsewhere := _undone_elsewhere(case, now):
        return Step(moves=elsewhere, look_at=now)
    mine = referral_of(case)
    if mine is None:
        return Step(moves=[Move(to=_attributed(case, case.attribution, case.referrer, now), was=None)], look_at=now)
    if mine.status == "attributed":
        return _judge(case, mine, playbook, now)
    if mine.status == "qualified":
        return _doubt(case, mine, playbook, now) or _reward(case, playbook, now)
    return Step()


def _settle_attribution(case: Case, playbook: Playbook, now: datetime) -> Step:
    """Of the touches told within the settling time the one that happened first, for good."""
    rules = playbook.referrals
    touches = [touch for touch in case.touches if not long_a_member(case.referee, touch.at, rules)]
    if not touches:
        return Step()
    settles_at = min(touch.told_at for touch in touches) + rules.settle_after
    if settles_at > now:
        return Step(look_at=settles_at)
    first = first_touch(touch for touch in touches if touch.told_at <= settles_at)
    settled = Attribution(
        referee_id=case.referee.id,
        referrer_id=first.referrer_id,
        touched_at=first.at,
        source=first.source,
        utm=first.utm,
        at=now,
    )
    return Step(attribute=settled, look_at=now)


def _undone_elsewhere(case: Case, now: datetime) -> list[Move]:
    """What becomes of referrals of the same person under somebody else: one person has one referrer.

    What did not count yet is void. What did, or is the person's own, is for a person to look at.
    """
    moves = []
    for other in case.elsewhere:
        own = other.referrer_id in _ids(case.referee)
        doubt = "self" if own else "brought_by_another"
        if doubt in other.evidence:
            continue
        if other.status == "qualified" or (other.status == "attributed" and own):
            moves.append(_in_review(other, [doubt], now))
        elif other.status == "attributed":
            moves.append(_moved(other, "voided", now, reason=doubt))
    return moves


def referral_of(case: Case) -> Referral | None:
    """The one referral of a case: of the referee's, under whatever ids, the one that came furthest."""
    ids = _ids(case.referee)
    ours = [referral for referral in case.referrals if referral.referee_id in ids]
    furthest = ("attributed", "voided", "in_review", "rejected", "qualified")
    ours.sort(key=lambda referral: referral.touched_at)
    return max(ours, key=lambda referral: furthest.index(referral.status), default=None)  # of equals the earliest


def _attributed(case: Case, attribution: Attribution, referrer: Member, now: datetime) -> Referral:
    return Referral(
        referrer_id=referrer.id,
        referee_id=case.referee.id,
        status="attributed",
        at=now,
        touched_at=attribution.touched_at,
    )


def _judge(case: Case, mine: Referral, playbook: Playbook, now: datetime) -> Step:
    """The referral once its hold is over: undone, in review with what speaks against it, or qualified."""
    hold = _hold(case, mine, playbook)
    if hold is None:
        return Step()  # the event that qualifies takes the case up again
    if hold[1] > now:
        return Step(look_at=hold[1])
    undone = min(_voids(case, hold), key=lambda void: void.at, default=None)
    if undone is not None:
        return Step(moves=[_moved(mine, "voided", now, reason=undone.reason)], look_at=now)
    against = suspicions(case, mine, playbook)
    return Step(moves=[_in_review(mine, against, now) if against else _moved(mine, "qualified", now)], look_at=now)


def _doubt(case: Case, mine: Referral, playbook: Playbook, now: datetime) -> Step | None:
    """A referral that counts goes to review for what came out since: who somebody is, or a leave told late.

    Only for what no person has decided about yet.
    """
    hold = _hold(case, mine, playbook)
    late = [f"{void.reason}_within_hold" for void in _voids(case, hold)] if hold else []
    found = [*(doubt for doubt in suspicions(case, mine, playbook) if doubt in OF_IDENTITY), *late]
    new = [doubt for doubt in dict.fromkeys(found) if doubt not in mine.evidence]
    return Step(moves=[_in_review(mine, new, now)], look_at=now) if new else None


def _hold(case: Case, mine: Referral, playbook: Playbook) -> tuple[datetime, datetime] | None:
    """From when to when a leave, ban or refund undoes a referral; None while the referee has not qualified."""
    qualified = qualified_at(case.referee, playbook)
    if qualified is None:
        return None
    start = max(qualified, mine.touched_at)
    return start, start + playbook.referrals.hold


def _voids(case: Case, hold: tuple[datetime, datetime]) -> list[Void]:
    return [void for void in case.voids if hold[0] <= void.at < hold[1]]


def _in_review(referral: Referral, doubts: Sequence[str], now: datetime) -> Move:
    evidence = [*referral.evidence, *doubts]
    to = referral.model_copy(update={"status": "in_review", "at": now, "reason": "suspicious", "evidence": evidence})
    return Move(to=to, was=referral.status)


def _moved(referral: Referral, status: ReferralStatus, now: datetime, *, reason: str | None = None) -> Move:
    changes = {"status": status, "at": now, "reason": reason}
    if status == "qualified":
        changes["qualified_at"] = referral.qualified_at or now
    return Move(to=referral.model_copy(update=changes), was=referral.status)


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
    granted = {(reward.member_id, reward.rule) for reward in case.rewards}
    known = {person.id: _ids(person) for person in (case.referee, case.referrer) if person}
    new = [one for one in due if not any((member_id, one.rule) in granted for member_id in known[one.member_id])]
    if new:
        return Step(grant=new, look_at=now)
    # Who grants announces at once. What was left by who could not any more is announced by any other case; what was
    # granted at this very moment may be in somebody's hands.
    left = [one for one in case.rewards if one.announced_at is None and one.id not in case.reversed]
    fresh = any(one.granted_at >= now for one in left)
    return Step(announce=[one for one in left if one.granted_at < now], look_at=now + AGAIN if fresh else None)


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
    return people_brought(case, "qualified")


def people_brought(case: Case, *statuses: ReferralStatus) -> int:
    """How many people the referrer brought whose referrals stand so."""
    survivor = {merged: fellow.id for fellow in [*case.fellows, case.referee] for merged in fellow.absorbed}
    brought = [referral.referee_id for referral in case.referrals if referral.status in statuses]
    return len({survivor.get(referee, referee) for referee in brought})


def _ids(member: Member) -> set[str]:
    return {member.id, *member.absorbed}


def _reward_of(rule: RewardRule, case: Case, now: datetime) -> Reward:
    to = case.referee if rule.to == "referee" or case.referrer is None else case.referrer
    return Reward(
        member_id=to.id,
        rule=rule.key,
        gives=rule.gives,
        days=rule.days,
        level=rule.level,
        at=rule.at,
        because=case.referee.id,
        granted_at=now,
    )
