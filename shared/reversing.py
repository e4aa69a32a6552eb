"""What cannot stand once a referral is rejected: rewards that are no longer earned, and the levels they gave. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.model import Member, Reward
from shared.playbook import Playbook
from shared.programmes.referrals import Case, qualified_count


def to_reverse(case: Case, playbook: Playbook) -> list[Reward]:
    """The rewards that the case as it stands does not bear, whether they were taken back already or not.

    Of the referrer: those for more referees than remain qualified. Of the referee: what they got for being brought,
    unless their referral counts. What the playbook has no rule for any more is left alone: nobody knows its threshold.
    """
    count = qualified_count(case)
    referees, referrers = _ids(case.referee), _ids(case.referrer)
    everywhere = [*case.referrals, *case.elsewhere]
    counts = any(one.status == "qualified" and one.referee_id in referees for one in everywhere)
    thresholds = {rule.key: rule.at for rule in playbook.referrals.rewards if rule.to == "referrer" and rule.at}
    own = {rule.key for rule in playbook.referrals.rewards if rule.to == "referee"}
    too_many = [one for one in case.rewards if one.member_id in referrers and thresholds.get(one.rule, 0) > count]
    unearned = [one for one in case.rewards if one.member_id in referees and one.rule in own and not counts]
    return [*too_many, *unearned]


def lowered(member: Member, reversed_: Iterable[Reward], kept: Sequence[Reward]) -> Member:
    """The member without the level that a reward had given: with that of the last one they keep, or none."""
    if member.level is None or member.level not in {one.level for one in reversed_}:
        return member
    left = [one.level for one in sorted(kept, key=lambda one: one.granted_at) if one.level]
    return member.model_copy(update={"level": left[-1] if left else None})


def _ids(member: Member | None) -> set[str]:
    return {member.id, *member.absorbed} if member else set()
