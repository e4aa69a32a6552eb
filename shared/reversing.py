"""What cannot stand once a referral is rejected: rewards that are no longer earned, and the levels they gave. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.model import Member, Reward
from shared.programmes.referrals import Case, people_brought


def to_reverse(case: Case) -> list[Reward]:
    """The rewards that the case as it stands does not bear, whether they were taken back already or not.

    Of the referrer: those for more referees, as was asked when they were granted, than remain. Those in review remain
    until somebody decides: a reward that is taken back never comes again. Of the referee: what they got for being
    brought, unless their referral counts.
    """
    count = people_brought(case, "qualified", "in_review")
    referees, referrers = _ids(case.referee), _ids(case.referrer)
    everywhere = [*case.referrals, *case.elsewhere]
    counts = any(one.status == "qualified" and one.referee_id in referees for one in everywhere)
    too_many = [one for one in case.rewards if one.member_id in referrers and (one.at or 0) > count]
    unearned = [one for one in case.rewards if one.member_id in referees and one.at is None and not counts]
    return [*too_many, *unearned]


def lowered(member: Member, reversed_: Iterable[Reward], kept: Sequence[Reward]) -> Member:
    """The member without the level that a reward had given: with that of the last one they keep, or none."""
    if member.level is None or member.level not in {one.level for one in reversed_}:
        return member
    left = [one.level for one in sorted(kept, key=lambda one: one.granted_at) if one.level]
    return member.model_copy(update={"level": left[-1] if left else None})


def _ids(member: Member | None) -> set[str]:
    return {member.id, *member.absorbed} if member else set()
