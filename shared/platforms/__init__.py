"""Platforms in: one table of who may send us webhooks, and the one way a delivery is received.

Pure: what is known of secrets and of the playbook is given, and the time is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from shared.errors import Malformed, TooLarge, Unauthentic, UnknownPlatform
from shared.events import CommunityEvent
from shared.platforms import discourse, slack, standard
from shared.platforms.delivery import Answer
from shared.playbook.model import Platform as Settings

__all__ = ["LARGEST", "PLATFORMS", "Answer", "Platform", "receive"]

LARGEST = 256 * 1024
"""Bytes of a body that are read at all."""

Verify = Callable[[Mapping[str, str], bytes, Sequence[str], datetime], None]
Parse = Callable[[Mapping[str, str], bytes, datetime, Settings], list[CommunityEvent] | Answer]


class Platform(NamedTuple):
    """How a platform proves itself (headers, body, secrets, now) and is read (headers, body, received_at, settings)."""

    verify: Verify
    parse: Parse


PLATFORMS: Mapping[str, Platform] = {
    "slack": Platform(slack.verify, slack.parse),
    "discourse": Platform(discourse.verify, discourse.parse),
    "standard": Platform(standard.verify, standard.parse),
}


def receive(
    platform: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    secrets: Callable[[str], Sequence[str]],
    enabled: Mapping[Any, Settings],
    now: datetime,
) -> list[CommunityEvent] | Answer:
    """Read a delivery that proved itself: its events (none, if it is nothing we use), or the answer to a handshake.

    Header names are lower case. `enabled` are the platforms that the playbook names, with its settings. `secrets` is
    asked only for an enabled platform and a body of bearable size; what it raises passes through. Raises
    TooLarge, UnknownPlatform, Unauthentic, Malformed: checked in this order.
    """
    if len(body) > LARGEST:
        raise TooLarge(f"the body is larger than {LARGEST} bytes")
    if platform not in PLATFORMS or platform not in enabled:
        raise UnknownPlatform("no such platform, or it is not in the playbook")
    known, settings = secrets(platform), enabled[platform]
    _prove(PLATFORMS[platform], headers, body, known, now)
    return _read(PLATFORMS[platform], headers, body, now, settings)


def _prove(platform: Platform, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime) -> None:
    try:
        platform.verify(headers, body, secrets, now)
    except Unauthentic:
        raise
    except Exception as exc:
        raise Unauthentic("the proof cannot be read") from exc


def _read(
    platform: Platform, headers: Mapping[str, str], body: bytes, now: datetime, settings: Settings
) -> list[CommunityEvent] | Answer:
    try:
        return platform.parse(headers, body, now, settings)
    except (ValueError, ArithmeticError, RecursionError) as exc:
        raise Malformed("the body is not what this platform sends") from exc
