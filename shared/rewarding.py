"""Takes up the referrals that are due: gathers each case, has its next step decided, and carries it out.

Every step may be done again: an attribution, a referral and a reward are each put once, and a reward is announced
until its case is closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from shared.app import App
from shared.errors import FlywheelError
from shared.members import raise_to
from shared.model import Attribution, Due, Member, Referral, Reward, RewardNotice, Touch
from shared.programmes.referrals import NAME, Case, Step, decide, qualified_count, referral_of
from shared.store.keys import AGENDA_SHARDS

PAGE = 25
"""Items a query."""

STEPS = 8
"""More than a case ever takes at once; a bound, so that a mistake in the rules cannot go round for ever."""

UPLINE = 10
"""How far up it is looked for a circle of people who brought one another."""


def settle_all(app: App, now: datetime) -> int:
    """Take up every case that is due by `now`; how many there were.

    One that fails does not hold up the others: all errors are raised together at the end.
    """
    failed: list[Exception] = []
    looked_at = 0
    for shard in range(AGENDA_SHARDS):
        for _, items in app.store.due(NAME, shard, now, PAGE):
            for due in items:
                looked_at += 1
                try:
                    look(due, app, now)
                except Exception as exc:  # noqa: BLE001 - raised with all the others once the rest is done
                    exc.add_note(f"the referral of member {due.member_id}")
                    failed.append(exc)
    if failed:
        raise ExceptionGroup(f"{len(failed)} referrals could not be settled", failed)
    return looked_at


def look(due: Due, app: App, now: datetime) -> None:
    """Carry a case on as far as it goes now, then say when to look again, or close it."""
    for _ in range(STEPS):
        case = gather(due.member_id, app)
        step = decide(case, app.playbook, now) if case else Step()
        if case is not None:
            carry_out(step, case, app, now)
        if step.look_at is None:
            app.store.done(due)
            return
        if step.look_at > now:
            app.store.advance(due, due.model_copy(update={"due_at": step.look_at}))
            return
    raise FlywheelError("a referral's case does not come to rest")


def gather(referee_id: str, app: App) -> Case | None:
    """What is known of a referee's case as of now; None when the referee is gone."""
    referee = app.store.survivor(referee_id)
    if referee is None:
        return None
    told = app.store.referee(_ids(referee))
    referrer = app.store.survivor(told.attribution.referrer_id) if told.attribution else None
    if referrer is None:
        touches = told.touches if told.attribution else _of_somebody(told.touches, app)
        return Case(referee=referee, touches=touches, voids=told.voids, attribution=told.attribution)
    theirs, own = app.store.standing(_ids(referrer)), app.store.standing(_ids(referee))
    return Case(
        referee=referee,
        touches=told.touches,
        voids=told.voids,
        attribution=told.attribution,
        referrer=referrer,
        referrals=theirs.referrals,
        fellows=[one for one in _people(theirs.referrals, app) if one.id != referee.id],
        upline=list(_upline(referrer, app)),
        elsewhere=list(_elsewhere(told.attributions, referee, referrer, app)),
        rewards=list({one.id: one for one in [*theirs.rewards, *own.rewards]}.values()),
        reversed={one.reward_id for one in [*theirs.reversals, *own.reversals]},
    )


def _of_somebody(touches: Sequence[Touch], app: App) -> list[Touch]:
    """The touches without those by somebody who was erased: nobody is to be brought by who is not there."""
    here = {one: app.store.survivor(one) is not None for one in {touch.referrer_id for touch in touches}}
    return [touch for touch in touches if here[touch.referrer_id]]


def carry_out(step: Step, case: Case, app: App, now: datetime) -> None:
    """Do what a step of a case says, each part as often as one likes."""
    if step.attribute is not None:
        app.store.attribute(step.attribute)
    for move in step.moves:
        app.store.settle_referral(move.to, was=move.was)
    for reward in step.grant:
        if not _grant(reward, case, app):
            return  # it was granted meanwhile, or the referral counts no more, or two proved to be one: look again
        _announce([reward], app, now)
    _announce(step.announce, app, now)


def _announce(rewards: Sequence[Reward], app: App, now: datetime) -> None:
    if rewards:
        app.notices.put([RewardNotice(member_id=one.member_id, rule=one.rule, about="granted") for one in rewards])
    for reward in rewards:
        app.store.note_reward(reward, "announced_at", now)


def _grant(reward: Reward, case: Case, app: App) -> bool:
    to = case.referee if reward.member_id == case.referee.id else case.referrer
    raised = raise_to(to, reward.level, app.playbook.levels) if to and reward.level else to
    level = raised.level if to and raised and raised.level != to.level else None
    return app.store.grant(reward, to=to, by=referral_of(case), level=level)


def qualified_of(member_id: str, app: App) -> int:
    """How many people a member has brought that count, by now."""
    member = app.store.survivor(member_id)
    if member is None:
        return 0
    referrals = app.store.standing(_ids(member)).referrals
    return qualified_count(Case(referee=member, touches=(), referrals=referrals, fellows=_people(referrals, app)))


def _people(referrals: Iterable[Referral], app: App) -> list[Member]:
    """The referees of these, each person once, as who they proved to be."""
    found = app.store.members(referral.referee_id for referral in referrals)
    while further := {member.merged_into for member in found.values() if member.merged_into} - found.keys():
        found |= app.store.members(further)
    return [member for member in found.values() if member.merged_into is None]


def _elsewhere(attributions: Iterable[Attribution], referee: Member, referrer: Member, app: App) -> Iterator[Referral]:
    """The referee's referrals under others than their referrer, from when they were two members."""
    others = {one.referrer_id for one in attributions} - set(_ids(referrer))
    owners = {owner.id: owner for owner in map(app.store.survivor, others) if owner and owner.id != referrer.id}
    for owner in owners.values():
        theirs = app.store.standing(_ids(owner)).referrals
        yield from (referral for referral in theirs if referral.referee_id in _ids(referee))


def _ids(member: Member) -> list[str]:
    return [member.id, *sorted(member.absorbed)]


def _upline(member: Member, app: App) -> Iterator[str]:
    """Who brought a member, who brought those, and so on."""
    seen = {member.id}
    for _ in range(UPLINE):
        attribution = app.store.referee(_ids(member)).attribution
        above = app.store.survivor(attribution.referrer_id) if attribution else None
        if above is None or above.id in seen:
            return
        yield above.id
        seen.add(above.id)
        member = above
