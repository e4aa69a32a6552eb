"""What a person decides of a referral: that it counts, or that it does not.

Every part may be done again: a decision that was cut short is completed by deciding the same once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.app import App
from shared.errors import UsageError
from shared.model import Due, Member, Referral, Reversal, Reward, RewardNotice
from shared.playbook import Playbook
from shared.programmes.referrals import KEY, NAME, Case, Move, decide
from shared.reversing import lowered, to_reverse
from shared.rewarding import gather
from shared.store import Store


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """What a rejection does: the moves of referrals, and the rewards to take back; `again` when it was decided before.

    There is most often one referral: more when the referee proved to be two members, both brought by the same one.
    """

    case: Case
    moves: Sequence[Move]
    take_back: Sequence[Reward]
    again: bool


def case_of(referee_id: str, app: App, *, under: str | None = None) -> Case:
    """The case of a referee as of now, under who brought them or the member named by `under`.

    UsageError when there is none, or it is not settled yet who brought them.
    """
    case = gather(referee_id, app)
    if case is None:
        raise UsageError(f"nobody is known as {referee_id!r}")
    if case.attribution is None and case.touches:
        raise UsageError(f"it is not settled yet who brought {case.referee.id}")
    if case.referrer is None:
        raise UsageError(f"nobody is known to have brought {case.referee.id}")
    return case if under in (None, *_ids(case.referrer)) else _elsewhere(case, str(under), app)


def _elsewhere(case: Case, referrer_id: str, app: App) -> Case:
    """The same referee's case under another member, from when the referee, or the other, was two members."""
    referrer = app.store.survivor(referrer_id)
    ids = _ids(referrer) if referrer else []
    if referrer is None or not any(one.referrer_id in ids for one in case.elsewhere):
        raise UsageError(f"{case.referee.id} is no referee of {referrer_id}")
    theirs, own = app.store.standing(ids), app.store.standing(_ids(case.referee))
    found = filter(None, [app.store.survivor(one.referee_id) for one in theirs.referrals])
    all_of_referee = [*_of_referee(case), *case.elsewhere]
    return replace(
        case,
        referrer=referrer,
        referrals=theirs.referrals,
        fellows=list({one.id: one for one in found if one.id != case.referee.id}.values()),
        elsewhere=[one for one in all_of_referee if one.referrer_id not in ids],
        rewards=list({one.id: one for one in [*theirs.rewards, *own.rewards]}.values()),
        reversed={one.reward_id for one in [*theirs.reversals, *own.reversals]},
    )


def approvable(case: Case, playbook: Playbook, now: datetime) -> list[Referral]:
    """The referrals that a person may let count: those that wait, or count already but nothing has come of it.

    UsageError when there is none.
    """
    mine = _of_referee(case)
    waiting = [one for one in mine if one.status == "in_review"]
    if not waiting and decide(case, playbook, now).grant:
        waiting = [one for one in mine if one.status == "qualified"]
    if not waiting:
        raise UsageError(f"the referral of {case.referee.id} does not wait for a person: {_stands(mine)}")
    return waiting


def approve(case: Case, app: App, now: datetime) -> None:
    """Let a referral count, and have its case taken up with the next tick.

    UsageError when it may not be, or somebody else decides at the same moment.
    """
    for one in approvable(case, app.playbook, now):
        qualified_at = one.qualified_at or now
        counts = one.model_copy(update={"status": "qualified", "at": now, "qualified_at": qualified_at, "reason": None})
        _settle(Move(to=one if one.status == "qualified" else counts, was=one.status), app.store)
    # Whatever a tick is just doing with the case, it cannot close it now.
    app.store.rearm(Due(programme=NAME, member_id=case.referee.id, key=KEY, due_at=now))


def rejection(case: Case, reason: str, app: App, now: datetime) -> Rejection:
    """What rejecting a referral would do; UsageError when it neither waits nor counts, or all of it is done."""
    mine = _of_referee(case)
    moves = [
        Move(to=one.model_copy(update={"status": "rejected", "at": now, "reason": reason}), was=one.status)
        for one in mine
        if one.status in ("in_review", "qualified")
    ]
    again = not moves
    moves = moves or [Move(to=one, was="rejected") for one in mine if one.status == "rejected"]
    if not moves:
        raise UsageError(f"the referral of {case.referee.id} neither waits for a person nor counts: {_stands(mine)}")
    take_back = _to_take_back(_moved(case, moves), moves, app)
    if again and not take_back:
        raise UsageError(f"the referral of {case.referee.id} is decided already: {_stands(mine)}")
    return Rejection(case=case, moves=moves, take_back=take_back, again=again)


def reject(planned: Rejection, app: App, now: datetime) -> list[Reward]:
    """Carry a rejection out; the rewards that were taken back, whose receivers are told.

    UsageError when somebody else decides at the same moment.
    """
    for move in planned.moves:
        _settle(move, app.store)
    referrer = planned.case.referrer
    case = case_of(planned.case.referee.id, app, under=referrer.id if referrer else None)
    taken = _to_take_back(case, planned.moves, app)  # as of now: a tick may have granted something meanwhile
    reason = planned.moves[0].to.reason or "rejected"
    for reward in taken:
        app.store.reverse(Reversal(member_id=reward.member_id, rule=reward.rule, reason=reason, at=now))
    for person in (case.referee, case.referrer):
        if person is not None:
            _lower(person, taken, case, app)
    app.notices.put([RewardNotice(member_id=one.member_id, rule=one.rule, about="reversed") for one in taken])
    return taken


def _to_take_back(case: Case, moves: Sequence[Move], app: App) -> list[Reward]:
    """What is to be reversed, and what this very rejection reversed before: nobody knows whether that was told."""
    since = min(move.to.at for move in moves)
    reversed_at = {(one.member_id, one.rule): one.at for one in _reversals(case, app.store)}
    unearned = to_reverse(case)
    return [one for one in unearned if reversed_at.get((one.member_id, one.rule), since) >= since]


def _lower(person: Member, taken: Sequence[Reward], case: Case, app: App) -> None:
    """Take the levels from a person that they were given by what is taken back."""
    mine = [one for one in case.rewards if one.member_id in _ids(person)]
    gone = {*case.reversed, *(one.id for one in taken)}
    lost = [one for one in mine if one in taken and one.level]
    kept = [one for one in mine if one.id not in gone]
    if lost:
        app.store.change_member(person.id, lambda member: lowered(member, lost, kept))


def _reversals(case: Case, store: Store) -> list[Reversal]:
    people = [case.referee, *([case.referrer] if case.referrer else [])]
    return store.standing(sorted({member_id for person in people for member_id in _ids(person)})).reversals


def _of_referee(case: Case) -> list[Referral]:
    return [one for one in case.referrals if one.referee_id in _ids(case.referee)]


def _moved(case: Case, moves: Iterable[Move]) -> Case:
    after = {(move.to.referrer_id, move.to.referee_id): move.to for move in moves}
    return replace(case, referrals=[after.get((one.referrer_id, one.referee_id), one) for one in case.referrals])


def _settle(move: Move, store: Store) -> None:
    if not store.settle_referral(move.to, was=move.was):
        raise UsageError(f"somebody else has just decided the referral of {move.to.referee_id}; look again")


def _ids(member: Member) -> list[str]:
    return [member.id, *sorted(member.absorbed)]


def _stands(referrals: Sequence[Referral]) -> str:
    """How referrals stand, for a sentence."""
    told = {
        "attributed": "it has not come to a decision yet",
        "in_review": "it waits for a person",
        "qualified": "it counts already",
        "rejected": "it was rejected",
        "voided": "it was undone within its hold",
    }
    found = [f"{told[one.status]}, since {one.at:%Y-%m-%d %H:%M} UTC" for one in referrals]
    return " and ".join(found) or "it is not settled yet"
