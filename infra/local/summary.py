"""What stands at the end of the demo, what it comes to in figures, and the checks that must all be 0.

Shares no code with what it checks: quiet hours, budget, coming back and rewards are counted here in a way of their own.
"""

from __future__ import annotations

import time as clock
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from infra.local import reports
from infra.local.demo import Demo
from infra.local.mailboxes import address_of
from infra.local.reports import Printed, printed
from infra.local.stack import LocalStack
from shared.events import ACTIVITY, CommunityEvent
from shared.members import is_dormant, suppression_of
from shared.model import Attribution, Member, Referral, Reward, Send, SendId, SendStatus
from shared.playbook import Playbook
from shared.recipients import manager_of
from shared.rollups import Rollup
from shared.store import Store, event_of, member_of, send_of
from shared.store.wire import values

Fact = TypeVar("Fact", Attribution, Referral, Reward)

AT_ONCE = timedelta(hours=1)
"""How long a mail that is answered to at once may disregard the hour."""


@dataclass(frozen=True)
class Outcome:
    """What stands in the table and the inbox at the end."""

    members: dict[str, Member]
    sends: list[Send]
    events: list[CommunityEvent]
    inbox: list[dict[str, Any]]
    attributions: list[Attribution]
    referrals: list[Referral]
    rewards: list[Reward]
    rollups: list[Rollup]
    reports: list[Printed]

    @property
    def logged(self) -> Counter[str]:
        """How many events of each type are in the log."""
        return Counter(event.type for event in self.events)

    def who(self, member_id: str) -> Member:
        """The person behind a member id, whom it may have been merged into."""
        member = self.members[member_id]
        return member if member.merged_into is None else self.who(member.merged_into)


def outcome(stack: LocalStack, playbook: Playbook) -> Outcome:
    """Read everything back; managers who got mail are among the members."""
    items: list[dict[str, Any]] = []
    store = Store(stack.dynamodb, stack.outputs["TableName"])
    for page in stack.dynamodb.get_paginator("scan").paginate(TableName=stack.outputs["TableName"]):
        items += map(values, page["Items"])
    sends = [send_of(item) for item in items if item["sk"].startswith("SEND#")]
    managers = [manager for send in sends if (manager := manager_of(send.member_id, playbook))]
    members = [member_of(item) for item in items if item["sk"] == "PROFILE"]
    return Outcome(
        members={member.id: member for member in (*members, *managers)},
        sends=sorted(sends, key=lambda send: (send.at, send.send_id)),
        events=[event_of(item) for item in items if item["pk"].startswith("LOG#")],
        inbox=stack.inbox(),
        attributions=[_fact(Attribution, item) for item in items if item["sk"] == "ATTRIBUTION"],
        referrals=[_fact(Referral, item) for item in items if item["sk"].startswith("REFERRAL#")],
        rewards=sorted(map(_reward, filter(_is_reward, items)), key=lambda reward: (reward.granted_at, reward.id)),
        rollups=list(store.rollups(date.min, date.max)),
        reports=printed(sends, store),
    )


def _is_reward(item: Mapping[str, Any]) -> bool:
    """Whether an item is a grant, not the taking back of one."""
    return bool(item["sk"].startswith("REWARD#")) and not item["sk"].endswith("#REVERSED")


def _reward(item: Mapping[str, Any]) -> Reward:
    return _fact(Reward, item)


def _fact(kind: type[Fact], item: Mapping[str, Any]) -> Fact:
    return kind.model_validate({name: item[name] for name in kind.model_fields if name in item})


def summary(demo: Demo, found: Outcome, started: float) -> dict[str, Any]:
    """What happened, in figures; `started` is the monotonic second at which it began."""
    people = [member for member in found.members.values() if member.merged_into is None]
    skipped = Counter(send.reason for send in found.sends if send.status is SendStatus.SKIPPED)
    return {
        "seconds": round(clock.monotonic() - started, 1),
        "virtual_days": demo.days,
        "members": len(demo.community.people),
        "webhooks": _webhooks(demo),
        "events": {"logged": found.logged.total(), "by_type": dict(sorted(found.logged.items()))},
        "reengagement": _reengagement(found, demo.playbook),
        "referrals": _referrals(found),
        "rewards": [_granted(reward) for reward in found.rewards],
        "rollups": {f"{rollup.day}": rollup.figures for rollup in found.rollups},
        "reports": [reports.told(report, found.inbox) for report in found.reports],
        "skips": {str(reason): count for reason, count in skipped.most_common()},
        "suppressed": sum(suppression_of(member) is not None for member in people),
        "deferred": deferred(found),
        "sends": [_send(send, found, demo.playbook) for send in found.sends],
        "checks": checks(demo, found),
    }


def deferred(found: Outcome) -> int:
    """How many mails were put off at least once."""
    return sum(bool(send.waited_for) or send.status is SendStatus.DEFERRED for send in found.sends)


def checks(demo: Demo, found: Outcome) -> dict[str, int]:
    """What must all be 0."""
    logged = found.logged
    asked = {"survey.answered": demo.mailboxes.answered, "referral.clicked": demo.doors.clicks}
    expected = demo.told.expected + Counter(asked)
    received = Counter(address_of(message) for message in found.inbox)
    sent = [send for send in found.sends if send.status is SendStatus.SENT]
    marketing = [send for send in sent if demo.playbook.mails[send.mail].class_ == "marketing"]
    return {
        "duplicate_sends": len(found.inbox) - len(_occasions(sent, found)),
        "lost_events": sum((expected - logged).values()) + sum((logged - expected).values()),
        "overdue": sum(due.due_at <= demo.end for due in demo.store.agenda()),
        "lost_mails": abs(len(sent) - len(found.inbox)),
        "after_unsubscribe": sum(received[address] - before for address, before in demo.mailboxes.refused.items()),
        "in_quiet_hours": sum(_in_quiet_hours(send, found, demo.playbook) for send in marketing),
        "over_budget": _over_budget(marketing, found, demo.playbook),
        "rewards_twice": rewards_twice(demo, found),
        "rewards_lost": len(lost_rewards(demo, found)),
    }


def rewards_twice(demo: Demo, found: Outcome) -> int:
    """Rewards that their receiver took more than once, and rewards that one person was granted more than once."""
    taken = sum(count - 1 for count in demo.receiver.taken.values())
    return taken + len(found.rewards) - len({(found.who(one.member_id).id, one.rule) for one in found.rewards})


def lost_rewards(demo: Demo, found: Outcome) -> set[str]:
    """The ids of rewards that their receiver never took, or that nobody noted as taken."""
    unfulfilled = {reward.id for reward in found.rewards if reward.fulfilled_at is None}
    return unfulfilled | ({reward.id for reward in found.rewards} ^ demo.receiver.taken.keys())


def _referrals(found: Outcome) -> dict[str, int]:
    """Clicks that count, and the referees: all who have a referrer, and of them those who came to an end so far."""
    statuses = Counter(referral.status for referral in found.referrals)
    return {
        "clicks": found.logged["referral.clicked"],
        "attributed": len(found.attributions),
        "qualified": statuses["qualified"],
        "voided": statuses["voided"],
        "held_for_review": statuses["in_review"],
    }


def _granted(reward: Reward) -> dict[str, str | None]:
    return {
        "member_id": reward.member_id,
        "rule": reward.rule,
        "kind": reward.gives,
        "granted_at": reward.granted_at.isoformat(),
        "fulfilled_at": reward.fulfilled_at.isoformat() if reward.fulfilled_at else None,
    }


def _occasions(sent: Iterable[Send], found: Outcome) -> set[tuple[str, str, str, str]]:
    """What the mails that came were for: to the same address, the same step comes once in a silence or a life."""
    addressed = {message["MessageId"]: address_of(message) for message in found.inbox}
    parts = ((SendId.parse(send.send_id), addressed.get(send.message_id or "")) for send in sent)
    return {(address, part.programme, part.step, part.occurrence) for part, address in parts if address}


def _in_quiet_hours(send: Send, found: Outcome, playbook: Playbook) -> bool:
    if playbook.mails[send.mail].at_once and send.at - send.planned_at < AT_ONCE:
        return False
    local, limits = _local(send, found, playbook), playbook.limits
    quiet = limits.quiet_hours
    within = quiet is not None and (
        quiet.from_ <= local.time() < quiet.until
        if quiet.from_ < quiet.until
        else not quiet.until <= local.time() < quiet.from_
    )
    return within or f"{local:%A}".lower() in limits.excluded_weekdays


def _over_budget(marketing: Iterable[Send], found: Outcome, playbook: Playbook) -> int:
    """Mails beyond a member's day or week, whichever says more."""
    days: dict[str, Counter[date]] = {}
    for send in marketing:
        member = found.who(send.member_id)
        days.setdefault(member.id, Counter())[_local(send, found, playbook).date()] += 1
    limits = playbook.limits
    return sum(
        max(count - limits.a_day, _week(theirs, day) - limits.a_week, 0)
        for theirs in days.values()
        for day, count in theirs.items()
    )


def _week(theirs: Mapping[date, int], day: date) -> int:
    return sum(count for one, count in theirs.items() if timedelta(0) <= day - one < timedelta(days=7))


def _local(send: Send, found: Outcome, playbook: Playbook) -> datetime:
    return send.at.astimezone(ZoneInfo(found.who(send.member_id).timezone or playbook.community.timezone))


def _reengagement(found: Outcome, playbook: Playbook) -> dict[str, int]:
    """Attempts that came due, were sent and were held out; members won back by one, and dormant at the end."""
    attempts = [send for send in found.sends if SendId.parse(send.send_id).programme == "reengagement"]
    sent = [send for send in attempts if send.status is SendStatus.SENT]
    asked = [(found.who(send.member_id).id, send.at) for send in sent]
    active, within = _active(found), playbook.reengagement.win_back_within
    won_back = {member for member, at in asked if any(at < seen <= at + within for seen in active.get(member, ()))}
    return {
        "due": len(attempts),
        "sent": len(sent),
        "held_out": sum(send.reason == "holdout" for send in attempts),
        "won_back": len(won_back),
        "dormant": sum(is_dormant(member) for member in found.members.values() if member.merged_into is None),
    }


def _active(found: Outcome) -> dict[str, list[datetime]]:
    """When each member did something, by the log."""
    behind = {
        identity: member.id
        for member in found.members.values()
        if member.merged_into is None
        for identity in member.identities
    }
    active: dict[str, list[datetime]] = {}
    for event in found.events:
        if event.type in ACTIVITY:
            active.setdefault(behind[f"{event.platform}:{event.actor}"], []).append(event.occurred_at)
    return active


def _webhooks(demo: Demo) -> dict[str, Any]:
    told = demo.told
    return {
        "posted": sum(told.posted.values()),
        "accepted": sum(count for status, count in told.statuses.items() if status < 300),
        "duplicates_posted": told.posted["duplicate"],
        "unused": told.posted["unused"],
        "rejected": {str(status): count for status, count in sorted(told.statuses.items()) if status >= 300},
        "unexpected": told.unexpected + demo.mailboxes.unexpected + demo.doors.unexpected + _forged(demo),
    }


def _forged(demo: Demo) -> list[str]:
    forged = demo.receiver.forged
    return [f"{forged} rewards were told without a signature that proves them"] if forged else []


def _send(send: Send, found: Outcome, playbook: Playbook) -> dict[str, Any]:
    member, parts = found.members[send.member_id], SendId.parse(send.send_id)
    return {
        "send_id": send.send_id,
        "member_id": send.member_id,
        "email": member.email,
        "programme": parts.programme,
        "step": parts.step,
        "locale": send.locale,
        "subject": send.subject,
        "at": send.at.isoformat(),
        "local_time": _local(send, found, playbook).isoformat(),
        "status": send.status.value,
        "reason": send.reason,
    }
