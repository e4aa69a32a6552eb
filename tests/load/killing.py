"""Kills the processes in which the local stack runs its functions, at random moments, as a machine that fails does.

Nothing else can be hit: a victim is a child of the MiniStack that we started and runs from that one's own folder, and
it is killed through a handle that was opened before this was looked at, so that its pid can mean no other process.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import NamedTuple

from infra.local.ministack import MiniStack

PROC = Path("/proc")

WAITS = {"pipe_read", "anon_pipe_read"}
"""Where in the kernel a worker sleeps that has nothing to do. A kernel that does not tell shows nobody idle."""

RATHER = {"webhooks": 3, "react": 3, "mailer": 3, "onboarding": 2, "mail_followups": 2}
"""Functions that are struck more often than others, for they do most of what can be lost."""

BETWEEN = 5
"""How much is done between two deaths, at least."""

SOON, MIDST = 2.0, 0.05
"""Seconds for which a victim's work is waited for, and within which of its beginning it is struck."""


class Worker(NamedTuple):
    """A process that runs one function, by the function's name; `busy` unless it waits for something to do."""

    pid: int
    function: str
    busy: bool


def supported() -> bool:
    """Whether processes can be found and killed here as Linux has it."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return (PROC / str(os.getpid()) / "environ").exists()


def workers(machine: MiniStack) -> list[Worker]:
    """Every worker of this MiniStack that is alive."""
    return [found for child in _children(machine.group) if (found := _worker(child, machine))]


def kill(worker: Worker, machine: MiniStack) -> bool:
    """Kill a worker with SIGKILL; whether it was still there."""
    try:
        handle = os.pidfd_open(worker.pid)
    except ProcessLookupError:
        return False
    try:
        if _parent(PROC / str(worker.pid)) != machine.group or _worker(worker.pid, machine) is None:
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


class Killer(Thread):
    """Kills one worker every `every` seconds or so, until it is stopped.

    `done` counts what gets done meanwhile: nobody dies before some was, so that on a busy machine, where what died
    takes long to get to work again, there are fewer deaths and not an end to all work.
    """

    def __init__(self, machine: MiniStack, random: Random, every: float, done: Callable[[], int] | None = None) -> None:
        super().__init__(daemon=True, name="killer")
        self.killed: Counter[str] = Counter()
        self._machine = machine
        self._random = random
        self._every = every
        self._done = done
        self._stopped = Event()

    def run(self) -> None:
        """Kill, until `stop`."""
        enough = 0
        while not self._stopped.wait(self._random.expovariate(1 / self._every)):
            if self._done is None or self._done() >= enough:
                self.strike()
                enough = self._done() + BETWEEN if self._done else 0

    def strike(self) -> None:
        """Kill one worker, if there is one: in the midst of its work, if it gets any soon."""
        alive = sorted({worker.function for worker in workers(self._machine)})
        if not alive:
            return
        [function] = self._random.choices(alive, [RATHER.get(one, 1) for one in alive])
        victim = self._at_work(function)
        if victim is not None and kill(victim, self._machine):
            self.killed[function] += 1

    def _at_work(self, function: str) -> Worker | None:
        """A worker of a function, at some moment of its work; one that waits when none has any for a while."""
        until = time.monotonic() + SOON
        while True:
            alive = [worker for worker in workers(self._machine) if worker.function == function]
            busy = [worker for worker in alive if worker.busy]
            if busy:
                time.sleep(self._random.random() * MIDST)
                return self._random.choice(busy)
            if time.monotonic() > until:
                return self._random.choice(alive) if alive else None
            time.sleep(0.005)

    def stop(self) -> None:
        """Kill nobody from now on."""
        self._stopped.set()
        self.join()


def _children(pid: int) -> list[int]:
    """The pids of a process's children."""
    return [int(home.name) for home in PROC.iterdir() if home.name.isdecimal() and _parent(home) == pid]


def _parent(home: Path) -> int | None:
    """The pid of a process's parent, None when the process is gone."""
    try:
        told = (home / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(told.rpartition(")")[2].split()[1])  # its name, in parentheses, may hold anything


def _worker(pid: int, machine: MiniStack) -> Worker | None:
    """What a child of MiniStack is, None when it is no worker of that machine or is gone."""
    home = PROC / str(pid)
    try:
        line = (home / "cmdline").read_bytes().split(b"\0")
        function = dict(_variables(home)).get("POWERTOOLS_SERVICE_NAME")
    except (FileNotFoundError, ProcessLookupError):
        return None
    ours = str(machine.folder / "tmp" / "ministack-lambda-").encode()
    is_worker = any(part.startswith(ours) for part in line)
    return Worker(pid, function, _sleeps_in(home) not in WAITS) if is_worker and function else None


def _sleeps_in(home: Path) -> str | None:
    """Where in the kernel a process sleeps, None where this is not told."""
    try:
        return (home / "wchan").read_text()
    except OSError:
        return None


def _variables(home: Path) -> Iterator[tuple[str, str]]:
    for variable in (home / "environ").read_bytes().split(b"\0"):
        name, _, value = variable.decode(errors="replace").partition("=")
        yield name, value
