"""One run of the load: senders send, workers die, time passes; then everything must come to rest by itself.

It runs twice over: first while people join and are active, then on their third day, on which a mail to each falls due
at once.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from infra import ROOT
from infra.letters import QUEUES
from infra.local.demo import TICKS
from infra.local.people import START
from infra.local.stack import LocalStack
from shared.errors import FlywheelError
from shared.store import Store
from tests.load.crowd import Crowd
from tests.load.hours import Hours
from tests.load.killing import Killer
from tests.load.senders import Sender, Tally

IN_DOUBT_ENDS = timedelta(minutes=20)
"""More than a lease, and than SES's Send event is waited for."""

THIRD_DAY = START + timedelta(days=3)
"""When the third day's ten o'clock is over everywhere."""

REDELIVERY = timedelta(minutes=6)
"""After this much of the stack's own time a message whose worker died comes again, as the stack says for AWS."""

DIED = re.compile(r"ESM: Lambda \S+?-(mailer|react|rewardnotices)\S* failed processing")
"""How MiniStack tells that a queue's or the stream's batch came to nothing."""

REST = 300.0
"""Seconds within which what was set going must be over."""

WARMED = 8
"""How many functions run before anybody dies: the ticks, and those that a member's joining sets going."""

COLD_STARTS, LEAST_PAUSE = 1.0, 1.0
"""Between two deaths lie so many cold starts, in the mean, or at least so many seconds: what dies must get to work."""

DOUBLINGS, MEASURED, MORE = (1, 2, 4, 8, 16), 5.0, 1.15
"""How many senders are tried, for how many seconds, and how much more than half of them they must get through."""

CROWDS = 100
"""More than there are senders in a run."""

AT_MOST = 10
"""Rounds of ticks after which what is still due is not left alone by time."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be run: for how many seconds, by how many senders, and how fast time is.

    It is run for longer, but not without end, while fewer events than `least_accepted` have been accepted or fewer
    workers than `least_killed` have died. `senders` None is for as many as this machine can take. `every` is how many
    seconds lie between two deaths, in the mean; None is for as few as let what died get to work again.
    """

    seconds: float
    seed: int
    senders: int | None = None
    every: float | None = None
    faster: float = 20.0
    third_day: float = 10.0
    least_accepted: int = 0
    least_killed: int = 0


@dataclass
class Run:
    """What was done to a stack, and when it had come to rest."""

    plan: Plan
    tally: Tally = field(default_factory=Tally)
    killed: Counter[str] = field(default_factory=Counter)
    died: Counter[str] = field(default_factory=Counter)
    """Batches that a worker of a queue or of the stream died with."""
    redriven: Counter[str] = field(default_factory=Counter)
    """Dead letters by their queue."""
    cold_start: float = 0.0
    """Seconds that a function takes here from nothing to its first answer."""
    senders: int = 0
    rates: dict[int, float] = field(default_factory=dict)
    """Webhooks accepted a second, by so many senders, before anybody died."""
    unrest: list[str] = field(default_factory=list)
    """What did not come to rest in time, or failed though nobody died."""
    sent_for: float = 0.0
    end: datetime = START


class Load:
    """A run over a started stack that nobody else uses."""

    def __init__(self, stack: LocalStack, plan: Plan, tell: Callable[[Run], None] = lambda _: None) -> None:
        self.stack = stack
        self.run = Run(plan)
        self.store = Store(stack.dynamodb, stack.outputs["TableName"])
        self._random = Random(plan.seed)  # noqa: S311 - chance that comes again
        self._tell = tell
        self._numbers = iter(range(CROWDS))
        for output in ("MailQueueUrl", "RewardQueueUrl"):
            seconds = max(1, round(REDELIVERY.total_seconds() / plan.faster))
            stack.sqs.set_queue_attributes(
                QueueUrl=stack.outputs[output], Attributes={"VisibilityTimeout": str(seconds)}
            )

    def go(self) -> Run:
        """Send and kill, come to rest; jump to the third day, kill, come to rest."""
        plan = self.run.plan
        self._warm_up()
        self.run.senders = plan.senders or self._knee()
        with (
            self._time_from(START) as hours,
            self._sending(self.run.senders, hours.now),
            self._killing(self.run.tally.accepted.total),
        ):
            self._last(plan.seconds)
        self._come_to_rest(self.run.end)
        with self._time_from(THIRD_DAY), self._killing():
            self._last(plan.third_day)
        self._come_to_rest(self.run.end)
        self._count_died()
        return self.run

    def _warm_up(self) -> None:
        """Have each function run once, one after the other: what that takes here says how often one may die."""
        hours, began = Hours(self.stack, START, self.run.plan.faster), time.monotonic()
        hours.fire_all()
        with self._sending(1, hours.now):
            self._last(0.5)  # what has been begun then is brought home
        self.stack.quiet(timeout=REST)
        self.run.cold_start = (time.monotonic() - began) / WARMED

    def _knee(self) -> int:
        """How many senders this machine can take: the last doubling that still had more webhooks accepted."""
        knee, best = 1, 0.0
        for many in DOUBLINGS:
            with self._sending(many, lambda: START):
                self._last(2 + self.run.cold_start)  # by then each has a worker of its own
                before = self.run.tally.accepted.total()
                self._last(MEASURED)
                rate = (self.run.tally.accepted.total() - before) / MEASURED
            self.run.rates[many] = round(rate, 1)
            if rate < best * MORE:
                break
            knee, best = many, rate
        self.stack.quiet(timeout=REST)
        return knee

    @contextmanager
    def _time_from(self, start: datetime) -> Iterator[Hours]:
        """Let time pass; and afterwards on, until what a dead worker had in hand has come again."""
        hours = Hours(self.stack, start, self.run.plan.faster)
        hours.start()
        try:
            yield hours
            with self._noting_unrest():
                self.stack.quiet(timeout=REST)
        finally:
            self.run.end = hours.stop()

    @contextmanager
    def _killing(self, done: Callable[[], int] | None = None) -> Iterator[None]:
        every = self.run.plan.every or max(LEAST_PAUSE, COLD_STARTS * self.run.cold_start)
        killer = Killer(self.stack.machine, self._chance(), every, done)
        killer.killed = self.run.killed
        killer.start()
        try:
            yield
        finally:
            killer.stop()

    @contextmanager
    def _sending(self, many: int, now: Callable[[], datetime]) -> Iterator[None]:
        began = time.monotonic()
        senders = [Sender(self.stack, self._crowd(), self.run.tally, now) for _ in range(many)]
        for sender in senders:
            sender.start()
        try:
            yield
        finally:
            for sender in senders:
                sender.stop(within=REST)
            for sender in senders:
                sender.join()
            self.run.sent_for += time.monotonic() - began

    def _crowd(self) -> Crowd:
        return Crowd(self._chance(), first=next(self._numbers), step=CROWDS)

    def _chance(self) -> Random:
        """Chance of its own for each thread, the same for the same seed."""
        return Random(self._random.random())  # noqa: S311 - chance that comes again

    def _was_enough(self) -> bool:
        plan, run = self.run.plan, self.run
        return run.tally.accepted.total() >= plan.least_accepted and run.killed.total() >= plan.least_killed

    def _last(self, seconds: float, *, enough: Callable[[], bool] = lambda: False) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not enough():
            time.sleep(min(left, 1.0))
            self._tell(self.run)

    def _come_to_rest(self, since: datetime) -> None:
        """What needs time gets it, what is due its ticks, and what died goes back, until nothing is left to do.

        What does not come to rest is found by whoever looks at what stands afterwards.
        """
        now = self.run.end = since + IN_DOUBT_ENDS
        self.stack.set_clock(now)
        for _ in range(AT_MOST):
            letters = self._redrive()
            due = {item.programme for item in self.store.agenda() if item.due_at <= now}
            if not due and not letters:
                return
            ticking = {TICKS[programme] for programme in due}
            with self._noting_unrest():
                for schedule in self.stack.schedules():
                    if any(tick in schedule.name for tick in ticking):
                        self.stack.fire(schedule, now)
                self.stack.quiet(timeout=REST)

    @contextmanager
    def _noting_unrest(self) -> Iterator[None]:
        """What fails now is a finding like others, and what stands is looked at nevertheless."""
        try:
            yield
        except FlywheelError as exc:
            self.run.unrest.append(str(exc))

    def _redrive(self) -> Counter[str]:
        """Have dead letters tried again as an operator does; how many there were, by their queue."""
        letters = Counter({queue: count for queue in QUEUES if (count := self.waiting(f"{queue}QueueUrl"))})
        if letters:
            line = [sys.executable, "-m", "infra.cli", "dead", "redrive", "--all"]
            environment = self.stack.machine.environment()
            subprocess.run(
                line, cwd=ROOT, env=environment, check=False, stdout=subprocess.DEVNULL
            )  # it tells by staying
            self.run.redriven += letters
        return letters

    def waiting(self, output: str) -> int:
        """Messages in a queue, whether anybody can receive them now or not."""
        got = self.stack.sqs.get_queue_attributes(QueueUrl=self.stack.outputs[output], AttributeNames=["All"])
        told = got["Attributes"].items()
        return sum(int(count) for name, count in told if name.startswith("ApproximateNumberOfMessages"))

    def _count_died(self) -> None:
        for line in self.stack.machine.log.read_text(encoding="utf-8", errors="replace").splitlines():
            if found := DIED.search(line):
                self.run.died[found[1]] += 1
