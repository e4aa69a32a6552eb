"""Tokens in links: signed with HMAC-SHA256, bound to one purpose, keyed so that keys can be rotated.

A token never expires by itself, and says nothing to who reads it but opaque ids, which report, and when something ends.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest, digest
from typing import Any, Literal

from itsdangerous import BadData, URLSafeSerializer

from shared.errors import FlywheelError, InvalidToken

Purpose = Literal["unsubscribe", "survey", "preferences", "bonus", "referral", "report"]

CHECK = 5
"""Bytes of the keyed check in a referral code: of a million million guesses, each a request, one is right."""


class Signer:
    """Signs with the current key and accepts every key it is given.

    `keys` is what the links secret holds: `{"current": "2", "1": "<old key>", "2": "<key>"}`; FlywheelError when
    there is nothing in it to sign with.
    """

    def __init__(self, keys: Mapping[str, str]) -> None:
        current = keys.get("current")
        named = {name: key for name, key in keys.items() if name != "current"}
        if current not in named or not all(isinstance(key, str) and key for key in named.values()):
            raise FlywheelError('the links secret must be {"current": "<name>", "<name>": "<key>"}, each key some text')
        # itsdangerous signs with the last key of the list and accepts all of them.
        self._keys = [key for name, key in named.items() if name != current] + [named[current]]

    def sign(self, purpose: Purpose, *parts: str) -> str:
        """A token for one purpose, carrying `parts` in the open, in letters that a URL takes as they are."""
        return str(self._serializer(purpose).dumps(list(parts)))

    def read(self, purpose: Purpose, token: str) -> tuple[str, ...]:
        """The parts of a token that we signed for this purpose; InvalidToken otherwise."""
        try:
            parts: Any = self._serializer(purpose).loads(token)
        except (BadData, UnicodeEncodeError) as exc:
            raise InvalidToken("this token was not signed by us for this purpose") from exc
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            raise InvalidToken("this token does not hold what its purpose needs")
        return tuple(parts)

    def code(self, member_id: str) -> str:
        """The code of a member's referral link, 20 letters: who it is and a keyed check, so nothing need be stored.

        ValueError for an id that is not one of a member's.
        """
        if not re.fullmatch(r"m[0-9a-f]{20}", member_id):
            raise ValueError("only a member has a referral code")
        who = bytes.fromhex(member_id[1:])
        return urlsafe_b64encode(who + _check(who, self._keys[-1])).decode()

    def member_of(self, code: str) -> str:
        """Whose referral link has this code; InvalidToken when none has."""
        if not re.fullmatch(r"[A-Za-z0-9_-]{20}", code):
            raise InvalidToken("this is no referral code of ours")
        raw = urlsafe_b64decode(code)
        who, check = raw[:-CHECK], raw[-CHECK:]
        if not any(compare_digest(check, _check(who, key)) for key in self._keys):
            raise InvalidToken("this is no referral code of ours")
        return f"m{who.hex()}"

    def _serializer(self, purpose: Purpose) -> URLSafeSerializer:
        return URLSafeSerializer(
            self._keys, salt=f"flywheel.{purpose}.v1", signer_kwargs={"digest_method": sha256, "key_derivation": "hmac"}
        )


def _check(who: bytes, key: str) -> bytes:
    return digest(key.encode(), b"flywheel.code.v1" + who, sha256)[:CHECK]
