"""What speaks against a referral: each suspicion as one line of evidence for the person who decides. Pure.

Nothing is refused by itself: a suspicious referral waits for review.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from disposable_email_domains import blocklist

from shared.members import here_since
from shared.model import Member, Referral
from shared.playbook import Referrals

_GMAIL = {"gmail.com", "googlemail.com"}


def canonical_address(email: str) -> str:
    """An address as its owner's provider reads it: without a plus tag, and for Gmail without dots."""
    local, _, domain = email.strip().lower().rpartition("@")
    local = local.partition("+")[0]
    if domain in _GMAIL:
        return f"{local.replace('.', '')}@gmail.com"
    return f"{local}@{domain}"


def is_disposable(email: str) -> bool:
    """Whether an address is of a provider of throw-away addresses, or of a domain below one."""
    labels = email.rpartition("@")[2].strip().lower().split(".")
    return any(".".join(labels[at:]) in blocklist for at in range(len(labels) - 1))


def evidence(
    referee: Member,
    referrer: Member,
    *,
    upline: Sequence[str],
    others: Sequence[Referral],
    fellows: Sequence[Member],
    rules: Referrals,
    referral: Referral,
) -> list[str]:
    """Everything that speaks against a referral.

    `upline` are the ids of who brought the referrer, who brought those, and so on; `others` are the referrer's other
    referrals, `fellows` their referees.
    """
    hour, day = timedelta(hours=1), timedelta(days=1)
    busy = {within: _busier(referee, others, fellows, referral, within) for within in (hour, day)}
    limits = rules.suspicion
    found = [
        ("self", _same_person(referee, referrer)),
        ("cycle", referee.id in upline),
        ("referrer_banned", referrer.status in ("removed", "banned")),
        ("not_a_member", referee.role != "member"),
        ("member_before", long_a_member(referee, referral.touched_at, rules)),
        ("disposable_address", bool(referee.email) and is_disposable(referee.email or "")),
        ("never_active", referee.last_active_at is None),
        (f"more_than_{limits.an_hour}_an_hour", busy[hour] > limits.an_hour),
        (f"more_than_{limits.a_day}_a_day", busy[day] > limits.a_day),
        (f"more_than_{limits.one_payer}_on_one_payer", _sharing(referee, [*fellows, referrer]) > limits.one_payer),
    ]
    return [what for what, holds in found if holds]


def long_a_member(referee: Member, touched_at: datetime, rules: Referrals) -> bool:
    """Whether somebody was here too long before a touch to have been brought by it."""
    return touched_at > here_since(referee) + rules.settle_after


def _same_person(one: Member, other: Member) -> bool:
    if one.id == other.id:
        return True
    return bool(one.email and other.email) and canonical_address(one.email or "") == canonical_address(
        other.email or ""
    )


def _busier(
    referee: Member, others: Sequence[Referral], fellows: Sequence[Member], referral: Referral, within: timedelta
) -> int:
    """The most referees that were touched, or joined, within such a stretch of time that has this one in it.

    Both, for a click can be kept and used later, and one link can be followed by many who join much later.
    """
    touched = _most([one.touched_at for one in others], referral.touched_at, within)
    return max(touched, _most([here_since(fellow) for fellow in fellows], here_since(referee), within))


def _most(others: Sequence[datetime], mine: datetime, within: timedelta) -> int:
    moments = [*others, mine]
    starts = [start for start in moments if start <= mine <= start + within]
    return max(sum(start <= moment <= start + within for moment in moments) for start in starts)


def _sharing(referee: Member, others: Sequence[Member]) -> int:
    """How many people, the referee among them, paid with something that they paid with."""
    return 1 + sum(bool(other.payers & referee.payers) for other in others) if referee.payers else 0
