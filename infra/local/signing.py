"""Signs deliveries as each platform would, for demo, curl and tests. Shares no code with the receiver."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime

Headers = dict[str, str]


def sign(platform: str, headers: Mapping[str, str], body: bytes, *, secret: str, now: datetime) -> Headers:
    """The headers, with lower-case names, and what proves the platform's authorship of these bytes at `now`.

    `standard` needs a `webhook-id` among the headers. KeyError for a platform that signs nothing we know.
    """
    named = {"content-type": "application/json"} | {name.lower(): value for name, value in headers.items()}
    return named | _SIGNERS[platform](named, body, secret, str(int(now.timestamp())))


def _slack(_headers: Headers, body: bytes, secret: str, stamp: str) -> Headers:
    signature = _hmac(secret.encode(), b"v0:%s:%s" % (stamp.encode(), body)).hex()
    return {"x-slack-request-timestamp": stamp, "x-slack-signature": f"v0={signature}"}


def _discourse(_headers: Headers, body: bytes, secret: str, _stamp: str) -> Headers:
    return {"x-discourse-event-signature": f"sha256={_hmac(secret.encode(), body).hex()}"}


def _standard(headers: Headers, body: bytes, secret: str, stamp: str) -> Headers:
    message = f"{headers['webhook-id']}.{stamp}.".encode() + body
    signature = base64.b64encode(_hmac(base64.b64decode(secret.removeprefix("whsec_")), message)).decode()
    return {"webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}


_SIGNERS: Mapping[str, Callable[[Headers, bytes, str, str], Headers]] = {
    "slack": _slack,
    "discourse": _discourse,
    "standard": _standard,
}


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()
