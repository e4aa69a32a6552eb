"""The whole error contract on one screen.

FlywheelError
├── PlaybookError        the playbook is wrong: every problem with its path and what is allowed
├── UsageError           a person asked for something that cannot be: one sentence, exit code 2
├── WebhookError         a delivery we refuse; carries the HTTP status it is answered with
│   ├── Unauthentic      401: no, stale or wrong proof of who sent it
│   ├── Malformed        400: proved genuine, but not what this platform sends
│   ├── TooLarge         413: larger than the receiver reads
│   └── UnknownPlatform  404: no such receiver
├── Unavailable          the table or queue is throttled or away; the caller should try again
└── InvalidToken         a link's token that we did not sign, or signed for another purpose
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class FlywheelError(Exception):
    """Base of every error that Flywheel raises on purpose."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a playbook: where (`onboarding.steps[2].day`) and what, with what is allowed."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


class PlaybookError(FlywheelError):
    """The playbook cannot be used; `problems` lists every reason at once."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{source}: {problem}" for problem in self.problems))


class UsageError(FlywheelError):
    """What a person asked for cannot be done; the message says why and what can."""


class WebhookError(FlywheelError):
    """A delivery that is refused with `status`; the message never quotes the body."""

    status = 400


class Unauthentic(WebhookError):
    """No secret, no signature, a wrong or a stale one."""

    status = 401


class Malformed(WebhookError):
    """Proved genuine, but not the shape this platform sends."""

    status = 400


class TooLarge(WebhookError):
    """More bytes than the receiver reads."""

    status = 413


class UnknownPlatform(WebhookError):
    """No receiver of this name."""

    status = 404


class Unavailable(FlywheelError):
    """A dependency is throttled or away; nothing was half done, the caller should try again."""


class InvalidToken(FlywheelError):
    """A token that was not signed by us for this purpose."""
