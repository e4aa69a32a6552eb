"""Platforms that send webhooks: several at once, each signing anew and trying again on anything but 2xx.

Counts what was answered; what an answer meant is judged in `verdicts`.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event, Lock, Thread

import httpx

from infra.local.demo import SECRETS
from infra.local.signing import sign
from infra.local.stack import LocalStack
from tests.load.crowd import Crowd, Post, Told

PATIENCE = 10.0
"""Seconds for which a platform waits for an answer."""

PAUSES = (0.1, 0.3, 1.0, 2.0)
"""Seconds before each further try; the last one again and again."""

TEN = 10
FORGED, AGAIN = 3, 5
"""Of ten things that a sender sends this one is signed by nobody who may, and this one was accepted before."""

FORGERS = {"slack": "guessed", "discourse": "guessed", "standard": "whsec_Z3Vlc3NlZA=="}


@dataclass
class Tally:
    """What all senders count together."""

    posted: int = 0
    retried: int = 0
    duplicates: int = 0
    forged: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    accepted: Counter[Told] = field(default_factory=Counter)
    given_up: Counter[Told] = field(default_factory=Counter)
    """Never answered 2xx, so that nobody knows whether it was logged."""
    seconds: list[float] = field(default_factory=list)
    """How long each 2xx took."""
    wrong: list[str] = field(default_factory=list)
    """A genuine delivery that was refused, or a forged one that was not."""
    _lock: Lock = field(default_factory=Lock, repr=False)

    def answered(self, status: str, *, first: bool, seconds: float) -> None:
        """One answer, or what there was in its place."""
        with self._lock:
            self.posted += 1
            self.retried += not first
            self.statuses[status] += 1
            if status.startswith("2"):
                self.seconds.append(seconds)

    def told(self, told: Told, *, accepted: bool) -> None:
        """What became of a delivery in the end."""
        with self._lock:
            (self.accepted if accepted else self.given_up)[told] += 1

    def repeated(self) -> None:
        """A delivery has come once more."""
        with self._lock:
            self.duplicates += 1

    def tried_to_forge(self) -> None:
        """Something came that was signed by nobody who may."""
        with self._lock:
            self.forged += 1


class Sender(Thread):
    """One platform's worker: a delivery after the other, until it is told to stop; what it has begun it brings home."""

    def __init__(self, stack: LocalStack, crowd: Crowd, tally: Tally, now: Callable[[], datetime]) -> None:
        super().__init__(daemon=True, name=f"sender-{crowd.first}")
        self._crowd = crowd
        self._tally = tally
        self._now = now
        self._sent = 0
        self._accepted: deque[Post] = deque(maxlen=20)
        self._stopped = Event()
        self._gives_up_at: float | None = None
        self._http = httpx.Client(base_url=stack.machine.url, timeout=PATIENCE, headers={"host": stack.host})

    def run(self) -> None:
        """Send, until `stop`."""
        with self._http:
            while not self._stopped.is_set():
                self._one()

    def stop(self, within: float) -> None:
        """Begin nothing new, and give up what is not accepted `within` seconds."""
        self._gives_up_at = time.monotonic() + within
        self._stopped.set()

    def _one(self) -> None:
        self._sent += 1
        if self._sent % TEN == FORGED:
            self._forge()
        elif self._sent % TEN == AGAIN and self._accepted:
            self._duplicate(self._crowd.random.choice(self._accepted))
        else:
            self._tell()

    def _tell(self) -> None:
        post = self._crowd.post(self._now())
        accepted = self._deliver(post, SECRETS[post.delivery.platform][-1], "2")
        self._tally.told(post.told, accepted=accepted)
        if accepted:
            self._accepted.append(post)

    def _duplicate(self, post: Post) -> None:
        self._deliver(post, SECRETS[post.delivery.platform][-1], "2")
        self._tally.repeated()

    def _forge(self) -> None:
        """Something that would be accepted if it were signed by who may."""
        post = self._crowd.act(self._now())
        self._deliver(post, FORGERS[post.delivery.platform], "401")
        self._tally.tried_to_forge()

    def _deliver(self, post: Post, secret: str, wanted: str) -> bool:
        """Try until the answer is the one that is wanted; whether it came."""
        tries = 0
        while True:
            status = self._try(post, secret, first=not tries)
            if status.startswith(wanted):
                return True
            if status[0] in "24" and status != "429":
                self._tally.wrong.append(f"{post.told}: {status} in place of {wanted}")
                return False
            if self._gives_up_at is not None and time.monotonic() > self._gives_up_at:
                return False
            time.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
            tries += 1

    def _try(self, post: Post, secret: str, *, first: bool) -> str:
        delivery, began = post.delivery, time.monotonic()
        headers = sign(delivery.platform, delivery.headers, delivery.body, secret=secret, now=self._now())
        try:
            got = self._http.post(f"/webhooks/{delivery.platform}", headers=headers, content=delivery.body)
            status = str(got.status_code)
        except httpx.TimeoutException:
            status = "timeout"
        except httpx.TransportError:
            status = "no connection"
        self._tally.answered(status, first=first, seconds=time.monotonic() - began)
        return status
