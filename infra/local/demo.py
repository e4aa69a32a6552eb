"""Five weeks of a small community on the deployed stack, in virtual time: webhooks in, mails out, everything checked.

Time jumps from one thing that happens to the next: a webhook, or an agenda item that falls due. What it skips is ticks
that would have found nothing to do.
"""

from __future__ import annotations

import base64
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from infra.local.community import START, Community, Delivery, Person, imagine
from infra.local.signing import sign
from infra.local.stack import LocalStack, Schedule
from shared.errors import FlywheelError
from shared.model import Due, Identity, Member, Send, SendId, SendStatus, member_id_of
from shared.playbook import Playbook
from shared.store import Store, event_of
from shared.store import member_of, send_of
from shared.store.wire import values

SECRETS = {
    "slack": ["an-earlier-signing-secret", "a-slack-signing-secret"],
    "discourse": ["a-discourse-secret"],
    "standard": ["whsec_" + base64.b64encode(b"a secret of the demo, 32 bytes..").decode()],
}
"""What each platform signs with on this machine; the last of several is the one in use."""

TICKS = {"onboarding": "onboarding", "mail": "mailfollowups"}
"""Which deployed schedule takes what is due of an agenda; the others would find nothing."""

SENDERS = 2
"""How many webhooks are on their way at once: each more costs a function's cold start."""

SOON = timedelta(hours=48)
"""How long an ordinary delivery may lie at its platform before it is sent: as many steps of time fewer to take."""

Progress = Callable[[datetime], None]


@dataclass
class Told:
    """What the demo keeps count of while it runs."""

    posted: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    expected: Counter[str] = field(default_factory=Counter)


class Demo:
    """One run over a started stack."""

    def __init__(self, stack: LocalStack, playbook: Playbook, *, members: int, days: int, seed: int) -> None:
        self.stack = stack
        self.playbook = playbook
        self.days = days
        self.end = START + timedelta(days=days)
        self.community: Community = imagine(members, days, seed)
        self.store = Store(stack.dynamodb, stack.outputs["TableName"])
        self.schedules: list[Schedule] = stack.schedules()
        self.told = Told()
        self._agenda: list[Due] = []
        self._readers = {_member_id(person): person for person in self.community.people if _reads(person)}
        self._unsubscribed = False
        self._read = 0

    def run(self, progress: Progress) -> None:
        """Live through it all."""
        moments = _moments(self.community.deliveries, self.end)
        self.stack.set_clock(START)
        for schedule in self.schedules:
            self.stack.fire(schedule, START)
        while (now := self._next(moments)) is not None:
            self.stack.set_clock(now)
            self._post(moments.pop(now, []), now)
            if self._tick(now) & self._readers.keys():
                self._visit_links()
            progress(now)
        progress(self.end)

    def _next(self, moments: dict[datetime, list[Delivery]]) -> datetime | None:
        """The next moment at which something happens, None when nothing does before the end."""
        coming = [*moments, *(due.due_at for due in self._agenda)]
        return min((moment for moment in coming if moment <= self.end), default=None)

    def _post(self, deliveries: Iterable[Delivery], now: datetime) -> None:
        with ThreadPoolExecutor(SENDERS) as pool:
            list(pool.map(lambda delivery: self._post_one(delivery, now), deliveries))
        self.stack.quiet()

    def _post_one(self, delivery: Delivery, now: datetime) -> None:
        signed_at = now - (delivery.at - delivery.signed_at) if delivery.signed_at else now
        if delivery.forged:
            headers = {
                **delivery.headers,
                "x-slack-request-timestamp": str(int(now.timestamp())),
                "x-slack-signature": "v0=00",
            }
        else:
            secret = SECRETS[delivery.platform][-1]
            headers = sign(delivery.platform, delivery.headers, delivery.body, secret=secret, now=signed_at)
        got = self.stack.http("POST", f"/webhooks/{delivery.platform}", headers=headers, content=delivery.body)
        self.told.posted[delivery.kind] += 1
        self.told.statuses[got.status_code] += 1
        if delivery.kind == "first" and delivery.expect:
            self.told.expected[delivery.expect] += 1
        if got.status_code != delivery.status:
            self.told.unexpected.append(f"{delivery.platform} {delivery.expect or delivery.kind}: {got.status_code}")

    def _tick(self, now: datetime) -> set[str]:
        """Fire the deployed schedules that have something due, until none has; the members whose turn it was."""
        seen: set[str] = set()
        for _ in range(10):
            self._agenda = self.store.agenda()
            due = [item for item in self._agenda if item.due_at <= now]
            if not due:
                return seen
            seen |= {item.member_id for item in due}
            ticking = {TICKS[item.programme] for item in due}
            for schedule in self.schedules:
                if any(tick in schedule.name for tick in ticking):
                    self.stack.fire(schedule, now)
            self.stack.quiet()
        raise FlywheelError(f"what is due at {now.isoformat()} does not come to rest: {due[0].key}")

    def _visit_links(self) -> None:
        """Some members use the links in the mails that have just come."""
        inbox = self.stack.inbox()
        people = {person.email: person for person in self._readers.values()}
        for message in inbox[self._read :]:
            person = people.get(re.sub(r".*<(.+)>", r"\1", message["To"][0]))
            if person is not None:
                self._react_to(message["BodyText"], person)
        self._read = len(inbox)
        self.stack.quiet()

    def _react_to(self, text: str, person: Person) -> None:
        if person.quirk == "unsubscribes" and not self._unsubscribed:
            self._unsubscribe(text)
        elif "/l/s/" in text:
            self._answer(text, person)

    def _unsubscribe(self, text: str) -> None:
        """As a mail client does for its user: RFC 8058, one POST, no page."""
        self._unsubscribed = True
        got = self.stack.http("POST", _link(text, "/l/u/"), data={"List-Unsubscribe": "One-Click"})
        if got.status_code != 200:
            self.told.unexpected.append(f"unsubscribe: {got.status_code}")

    def _answer(self, text: str, person: Person) -> None:
        path = _link(text, "/l/s/")
        answer = {"score": str(10 - person.number % 5), "comment": "More evenings like the last one, please."}
        statuses = [
            self.stack.http("GET", f"{path}?score={answer['score']}").status_code,
            self.stack.http("POST", path, data=answer).status_code,
        ]
        self.told.expected["survey.answered"] += 1
        if statuses != [200, 200]:
            self.told.unexpected.append(f"survey: {statuses}")


@dataclass(frozen=True)
class Outcome:
    """What stands in the table and the inbox at the end."""

    members: dict[str, Member]
    sends: list[Send]
    logged: Counter[str]
    inbox: list[dict[str, Any]]


def outcome(stack: LocalStack) -> Outcome:
    """Read everything back."""
    items: list[dict[str, Any]] = []
    for page in stack.dynamodb.get_paginator("scan").paginate(TableName=stack.outputs["TableName"]):
        items += map(values, page["Items"])
    sends = [send_of(item) for item in items if item["sk"].startswith("SEND#")]
    return Outcome(
        members={item["id"]: member_of(item) for item in items if item["sk"] == "PROFILE"},
        sends=sorted(sends, key=lambda send: (send.at, send.send_id)),
        logged=Counter(event_of(item).type for item in items if item["pk"].startswith("LOG#")),
        inbox=stack.inbox(),
    )


def summary(demo: Demo, found: Outcome, started: float) -> dict[str, Any]:
    """What happened, in figures; `started` is the monotonic second at which it began."""
    told, logged = demo.told, found.logged
    addressed = Counter((tuple(message["To"]), message["Subject"]) for message in found.inbox)
    sent = sum(send.status is SendStatus.SENT for send in found.sends)
    return {
        "seconds": round(time.monotonic() - started, 1),
        "virtual_days": demo.days,
        "members": len(demo.community.people),
        "webhooks": {
            "posted": sum(told.posted.values()),
            "accepted": sum(count for status, count in told.statuses.items() if status < 300),
            "duplicates_posted": told.posted["duplicate"],
            "unused": told.posted["unused"],
            "rejected": {str(status): count for status, count in sorted(told.statuses.items()) if status >= 300},
            "unexpected": told.unexpected,
        },
        "events": {"logged": logged.total(), "by_type": dict(sorted(logged.items()))},
        "sends": [_send(send, found.members, demo.playbook) for send in found.sends],
        "checks": {
            "duplicate_sends": sum(count - 1 for count in addressed.values()),
            "lost_events": sum((told.expected - logged).values()) + sum((logged - told.expected).values()),
            "overdue": sum(due.due_at <= demo.end for due in demo.store.agenda()),
            "lost_mails": abs(sent - len(found.inbox)),
        },
    }


def _send(send: Send, members: dict[str, Member], playbook: Playbook) -> dict[str, Any]:
    member, parts = members[send.member_id], SendId.parse(send.send_id)
    zone = ZoneInfo(member.timezone or playbook.community.timezone)
    return {
        "send_id": send.send_id,
        "member_id": send.member_id,
        "email": member.email,
        "programme": parts.programme,
        "step": parts.step,
        "locale": send.locale,
        "subject": send.subject,
        "at": send.at.isoformat(),
        "local_time": send.at.astimezone(zone).isoformat(),
        "status": send.status.value,
        "reason": send.reason,
    }


def _moments(deliveries: Iterable[Delivery], end: datetime) -> dict[datetime, list[Delivery]]:
    """When each delivery is posted: some at once, the rest with others of the same hours."""
    moments: dict[datetime, list[Delivery]] = {}
    for delivery in deliveries:
        at = delivery.at
        if not delivery.prompt:
            at = START + SOON * (-((START - at) // SOON) if at > START else 0)
        if at <= end:
            moments.setdefault(at, []).append(delivery)
    return dict(sorted(moments.items()))


def _reads(person: Person) -> bool:
    """Whether a person uses the links in their mails: to unsubscribe, or to answer the survey."""
    return person.quirk in {"unsubscribes", "answers the survey"} or (not person.quirk and person.number % 4 == 1)


def _member_id(person: Person) -> str:
    return member_id_of(Identity(person.platform, person.external_id))


def _link(text: str, path: str) -> str:
    found = re.search(rf"https?://[^/\s]+({re.escape(path)}[^\s?>)]+)", text)
    if found is None:
        raise FlywheelError(f"a mail holds no link to {path}")
    return found[1]
