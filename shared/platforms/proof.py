"""Proof of who sent a delivery: keyed hashes over the bytes as they came. Every doubt is Unauthentic."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from shared.errors import Unauthentic

TOLERANCE = timedelta(seconds=300)
"""How far a signed timestamp may lie from our clock, before or after it."""


def header(headers: Mapping[str, str], name: str) -> bytes:
    """A header that a proof needs, as bytes: comparing text would raise on anything but ASCII."""
    value = headers.get(name)
    if not value:
        raise Unauthentic(f"no {name} header")
    return value.encode("utf-8", "surrogatepass")


def keys(secrets: Sequence[str]) -> list[str]:
    """The secrets that are really secrets: a blank one would let anybody sign. Unauthentic when there is none."""
    real = [secret.strip() for secret in secrets if secret.strip()]
    if not real:
        raise Unauthentic("no secret is configured")
    return real


def fresh(stamp: bytes, now: datetime) -> None:
    """Refuse a unix timestamp that is not one, or that lies more than TOLERANCE from `now`."""
    if not re.fullmatch(rb"[0-9]{1,12}", stamp):
        raise Unauthentic("the timestamp is not one")
    if abs(now.timestamp() - int(stamp)) > TOLERANCE.total_seconds():
        raise Unauthentic("the timestamp is too far from now")


def digest(key: bytes, message: bytes) -> hmac.HMAC:
    """HMAC-SHA256."""
    return hmac.new(key, message, "sha256")


def agree(given: Iterable[bytes], expected: Sequence[bytes]) -> None:
    """Refuse unless one signature given is one expected; each comparison takes constant time."""
    if not any(hmac.compare_digest(one, other) for one in given for other in expected):
        raise Unauthentic("the signature is not ours")
