"""Five months of a small community on the deployed stack, in virtual time: webhooks in, mails and rewards out.

Time jumps from one thing that happens to the next: a webhook, or an agenda item that falls due. What it skips is ticks
that would have found nothing to do.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from infra.local import reports
from infra.local.community import Community, imagine
from infra.local.doors import Doors
from infra.local.mailboxes import Mailboxes
from infra.local.people import START
from infra.local.receiver import Receiver
from infra.local.signing import sign
from infra.local.stack import LocalStack, Schedule
from infra.local.voices import Delivery
from shared.errors import FlywheelError
from shared.model import Due
from shared.playbook import Playbook, ReportKind
from shared.store import Store

SECRETS = {
    "slack": ["an-earlier-signing-secret", "a-slack-signing-secret"],
    "discourse": ["a-discourse-secret"],
    "standard": ["whsec_" + base64.b64encode(b"a secret of the demo, 32 bytes..").decode()],
}
"""What each platform signs with on this machine; the last of several is the one in use."""

TICKS = {
    "onboarding": "onboarding",
    "reengagement": "reengagement",
    "mail": "mailfollowups",
    "referrals": "referralrewards",
    "reward_notices": "referralrewards",
}
"""Which deployed schedule takes what is due of an agenda; the others would find nothing."""

ROLLUP = "metricsrollup"
"""The schedule that measures."""

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
    """One run over a started stack, which tells `receiver` of its rewards."""

    def __init__(
        self, stack: LocalStack, playbook: Playbook, receiver: Receiver, *, members: int, days: int, seed: int
    ) -> None:
        self.stack = stack
        self.playbook = playbook
        self.receiver = receiver
        self.days = days
        self.end = START + timedelta(days=days)
        self.community: Community = imagine(members, days, seed)
        self.store = Store(stack.dynamodb, stack.outputs["TableName"])
        self.schedules: list[Schedule] = stack.schedules()
        self.told = Told()
        self.mailboxes = Mailboxes(stack, self.store, self.community.people)
        self.doors = Doors(stack, self.community.friends, self.community.people)
        self._reports = reports.moments(playbook, days)
        self._agenda: list[Due] = []

    def run(self, progress: Progress) -> None:
        """Live through it all."""
        moments = _moments(self.community.deliveries, self.end)
        moments |= {moment: moments.get(moment, []) for moment in self.doors.moments() if moment <= self.end}
        self.receiver.secret = self.stack.secret("RewardsSecret")["current"]
        moments |= {moment: moments.get(moment, []) for moment in self._reports}
        self.stack.set_clock(START)
        self._fire({*TICKS.values(), ROLLUP}, START)
        while (now := self._next(moments)) is not None:
            self.stack.set_clock(now)
            deliveries = moments.pop(now, []) + self.doors.open(now)
            self._post(deliveries, now)
            turns = self._tick(now, looked=not deliveries)
            if self.mailboxes.look(turns, now):
                self._tick(now, looked=False)
            self._report(self._reports.get(now, ()), now)
            progress(now)
        self.stack.set_clock(self.end)
        self._fire({ROLLUP}, self.end)
        progress(self.end)

    def _report(self, kinds: Collection[ReportKind], now: datetime) -> None:
        """Have the days measured that are due, and then these reports made and mailed."""
        if kinds:
            self._fire({ROLLUP}, now)
            self._fire({f"{kind}report" for kind in kinds}, now)
            self.stack.quiet(logged=False)

    def _next(self, moments: dict[datetime, list[Delivery]]) -> datetime | None:
        """The next moment at which something happens, None when nothing does before the end."""
        coming = [*moments, *(due.due_at for due in self._agenda)]
        return min((moment for moment in coming if moment <= self.end), default=None)

    def _post(self, deliveries: Sequence[Delivery], now: datetime) -> None:
        if not deliveries:
            return
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

    def _tick(self, now: datetime, *, looked: bool) -> set[str]:
        """Fire the deployed schedules that have something due, until none has; the members whose turn it was.

        `looked`: nothing has happened since the agenda was read last.
        """
        seen: set[str] = set()
        for _ in range(10):
            if not looked:
                self._agenda = self.store.agenda()
            due = [item for item in self._agenda if item.due_at <= now]
            if not due:
                return seen
            looked = False
            seen |= {item.member_id for item in due}
            self._fire({TICKS[item.programme] for item in due}, now)
            self.stack.quiet(logged=False)
        raise FlywheelError(f"what is due at {now.isoformat()} does not come to rest: {due[0].key}")

    def _fire(self, ticking: Collection[str], now: datetime) -> None:
        schedules = [schedule for schedule in self.schedules if any(tick in schedule.name for tick in ticking)]
        with ThreadPoolExecutor(max(len(schedules), 1)) as pool:
            list(pool.map(lambda schedule: self.stack.fire(schedule, now), schedules))


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
