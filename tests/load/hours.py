"""Time that runs `faster` times as fast on the local stack, and the deployed schedules that fire by it.

As EventBridge Scheduler does it, a tick is invoked asynchronously: if its worker dies, Lambda tries it twice more, and
then it is a dead letter. But no tick begins while the one before is at work: time runs faster here, the machine not.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from threading import Event, Thread

from infra.local.stack import SCHEDULED_TIME, LocalStack, Schedule
from shared.model import stamp
from tests.load.killing import workers

STEP = 0.25
"""Seconds after which the functions' clock is set anew."""

CADENCE: Mapping[str, timedelta] = {
    "onboarding": timedelta(minutes=1),
    "mailfollowups": timedelta(minutes=1),
    "referralrewards": timedelta(minutes=5),
    "reengagement": timedelta(minutes=15),
    "metricsrollup": timedelta(hours=1),
}
"""How often each tick fires, by a part of its schedule's name."""


class Hours(Thread):
    """Moves the stack's clock on from `start` and fires what is due, until it is stopped."""

    def __init__(self, stack: LocalStack, start: datetime, faster: float) -> None:
        super().__init__(daemon=True, name="hours")
        self.fired = 0
        self._stack = stack
        self._faster = faster
        self._start = start
        self._shown = start
        self._stopped = Event()
        self._schedules: dict[str, Schedule] = {
            name: next(one for one in stack.schedules() if f"{name}tick" in one.name) for name in CADENCE
        }
        self._next = dict.fromkeys(CADENCE, start)
        stack.set_clock(start)

    def now(self) -> datetime:
        """What the functions' clock shows."""
        return self._shown

    def fire_all(self) -> None:
        """Fire every tick once, one after the other, and wait for each; FlywheelError when one fails."""
        for schedule in self._schedules.values():
            self._stack.fire(schedule, self._shown)

    def run(self) -> None:
        """Let time pass, until `stop`."""
        began = time.monotonic()
        while not self._stopped.wait(STEP):
            now = self._start + timedelta(seconds=(time.monotonic() - began) * self._faster)
            self._stack.set_clock(now)
            self._shown = now
            self._fire_due(now)

    def stop(self) -> datetime:
        """Let time stand still; where it stands."""
        self._stopped.set()
        self.join()
        return self._shown

    def _fire_due(self, now: datetime) -> None:
        for name, schedule in self._schedules.items():
            if self._next[name] <= now and not self._is_at_work(schedule):
                self._next[name] = now + CADENCE[name]
                payload = schedule.input.replace(SCHEDULED_TIME, stamp(now)).encode()
                self._stack.lambda_.invoke(FunctionName=schedule.function_arn, InvocationType="Event", Payload=payload)
                self.fired += 1

    def _is_at_work(self, schedule: Schedule) -> bool:
        alive = workers(self._stack.machine)
        return any(worker.busy and worker.function.replace("_", "") in schedule.name for worker in alive)
