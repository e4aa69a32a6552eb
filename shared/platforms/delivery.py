"""What a delivery is read with and answered with.

Senders are strangers until they prove otherwise, and careless after that: whatever is not as expected becomes
Malformed, with a message that names the place in the JSON and never quotes what stands there.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, NoReturn, TypeVar

from shared.errors import Malformed
from shared.events import Profile, Role

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_EARLIEST_SECOND, _LATEST_SECOND = (int(moment.timestamp()) for moment in (EARLIEST, LATEST))
LONGEST_ID = 256
"""Bytes of UTF-8 in an id that we keep: with the event's own id it must fit into a sort key of 1024."""

_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class Answer:
    """What a handshake is answered with: nothing happened in the community, but the platform waits for these words."""

    status: int
    content_type: str
    body: str


class Node(NamedTuple):
    """A JSON object and the path to it. Getters raise Malformed; `maybe_` ones give None for what is absent or null."""

    value: Mapping[str, Any]
    path: str = ""

    def at(self, key: str) -> str:
        """The path of a key of this object."""
        return f"{self.path}.{key}" if self.path else key

    def wrong(self, key: str, reason: str) -> NoReturn:
        """Refuse the delivery for what stands at `key`."""
        raise Malformed(f"{self.at(key)}: {reason}")

    def only(self, allowed: Collection[str]) -> None:
        """Refuse names that are not among those allowed."""
        for key in self.value:
            if key not in allowed:
                self.wrong(_valid(key[:40]), f"is not known here; known are {', '.join(sorted(allowed))}")

    def maybe_node(self, key: str) -> Node | None:
        """The object at `key`."""
        value = self._maybe(key, dict, "an object")
        return None if value is None else Node(value, self.at(key))

    def node(self, key: str) -> Node:
        """The object that must be at `key`."""
        return self.maybe_node(key) or self.wrong(key, "must be an object")

    def nodes(self, key: str) -> list[Node]:
        """The objects of the list at `key`; none when it is absent."""
        values = self._maybe(key, list, "a list") or []
        for at, value in enumerate(values):
            if not isinstance(value, dict):
                self.wrong(f"{key}[{at}]", "must be an object")
        return [Node(value, f"{self.at(key)}[{at}]") for at, value in enumerate(values)]

    def maybe_text(self, key: str) -> str | None:
        """The text at `key`, possibly empty, always encodable."""
        value = self.value.get(key)  # by itself, for no other kind is read so often
        if value is None:
            return None
        if not isinstance(value, str):
            self.wrong(key, "must be text")
        return value if value.isascii() else _valid(value)

    def text(self, key: str) -> str:
        """The text that must be at `key`, and not be empty."""
        return self.maybe_text(key) or self.wrong(key, "must be text, and not empty")

    def maybe_ident(self, key: str) -> str | None:
        """The id at `key`: text of 1 to LONGEST_ID bytes without blanks or control characters."""
        value = self.maybe_text(key)
        if value is None:
            return None
        if not value or len(value.encode()) > LONGEST_ID or not value.isprintable() or " " in value:
            self.wrong(key, f"must be an id of 1 to {LONGEST_ID} bytes, without blanks")
        return value

    def ident(self, key: str) -> str:
        """The id that must be at `key`."""
        return self.maybe_ident(key) or self.wrong(key, "must be an id")

    def maybe_number(self, key: str) -> int | None:
        """The whole number of at most 63 bits at `key`."""
        value = self._maybe(key, int, "a whole number")
        if value is not None and (isinstance(value, bool) or value.bit_length() > 63):
            self.wrong(key, "must be a whole number")
        return value

    def number(self, key: str) -> int:
        """The whole number that must be at `key`."""
        value = self.maybe_number(key)
        return self.wrong(key, "must be a whole number") if value is None else value

    def flag(self, key: str, *, default: bool = False) -> bool:
        """The yes or no at `key`."""
        value = self._maybe(key, bool, "true or false")
        return default if value is None else value

    def moment(self, key: str) -> datetime:
        """The ISO 8601 moment with an offset that must be at `key`, in UTC."""
        text = self.text(key)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.wrong(key, "must be an ISO 8601 moment such as 2026-03-04T10:00:00Z")
        if moment.tzinfo is None:
            self.wrong(key, "must say its offset from UTC, such as Z or +02:00")
        if not EARLIEST <= moment < LATEST:
            self.wrong(key, "must lie between the years 2000 and 2100")
        return moment.astimezone(UTC)

    def unix(self, key: str) -> datetime:
        """The unix time in whole seconds that must be at `key`, in UTC."""
        return self.since_epoch(key, self.number(key))

    def since_epoch(self, key: str, seconds: int, microseconds: int = 0) -> datetime:
        """The moment that the number read at `key` stands for, in UTC."""
        if not _EARLIEST_SECOND <= seconds < _LATEST_SECOND:
            self.wrong(key, "must lie between the years 2000 and 2100")
        return EPOCH + timedelta(0, seconds, microseconds)

    def _maybe(self, key: str, kind: type[_Kind], name: str) -> _Kind | None:
        value = self.value.get(key)
        if value is not None and not isinstance(value, kind):
            self.wrong(key, f"must be {name}")
        return value


def load(body: bytes) -> Node:
    """Read a body that must be a JSON object in UTF-8; raises Malformed."""
    try:
        value = _JSON.decode(body.decode())
    except (ValueError, RecursionError) as exc:
        raise Malformed("the body must be JSON in UTF-8") from exc
    if not isinstance(value, dict):
        raise Malformed("the body must be a JSON object")
    return Node(value)


def profile(
    *, name: str | None, email: str | None, verified: bool, locale: str | None, timezone: str | None, role: Role
) -> Profile:
    """A person as a platform tells of them, with what cannot be right left out: blank names, addresses without an @."""
    address = (email or "").strip()
    local, at, domain = address.partition("@")
    usable = at and local and domain and "@" not in domain and address.split() == [address] and len(address) <= 320
    return Profile(
        name=" ".join((name or "").split())[:200] or None,
        email=address if usable else None,
        email_verified=bool(usable) and verified,
        locale=(locale or "")[:35] or None,
        timezone=(timezone or "")[:64] or None,
        role=role,
    )


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_JSON = json.JSONDecoder(parse_constant=_refuse)


def _valid(text: str) -> str:
    """Text without halves of surrogate pairs, which JSON can spell and UTF-8 cannot carry."""
    return text.encode("utf-8", "replace").decode()
