"""The golden deliveries of events/webhooks: reading them, and signing them as each platform would."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from infra.local.signing import sign
from tests.builders import ROOT, at

FOLDER = ROOT / "events" / "webhooks"

SECRETS = {
    "slack": "8f742231b10e8888abcd99yyyzzz85a5",
    "discourse": "my_lovely_secret_for_web_hook",
    "standard": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}
OTHERS = {"slack": "another", "discourse": "another_secret", "standard": "whsec_" + "QUJD" * 8}

_OFFSETS = {"301 seconds ago": timedelta(seconds=-301), "301 seconds ahead": timedelta(seconds=301)}


@dataclass(frozen=True)
class Golden:
    """One file: a delivery before it is signed, how it is signed, and what is to come of it."""

    name: str
    received_at: datetime
    headers: Mapping[str, str]
    body: bytes
    expect: Mapping[str, Any]
    signed: str = field(default="")

    @property
    def platform(self) -> str:
        return self.name.split(".", maxsplit=1)[0]

    def signed_headers(self) -> dict[str, str]:
        """The headers as the file says they are signed; what the file itself gives always stays."""
        if self.signed == "not at all":
            return dict(self.headers)
        secret = (OTHERS if self.signed == "with another secret" else SECRETS)[self.platform]
        now = self.received_at + _OFFSETS.get(self.signed, timedelta(0))
        headers = sign(self.platform, self.headers, self.body, secret=secret, now=now)
        if self.signed == "with two secrets":
            other = sign(self.platform, self.headers, self.body, secret=OTHERS[self.platform], now=now)
            headers["webhook-signature"] = f"{other['webhook-signature']} {headers['webhook-signature']}"
        return headers | dict(self.headers)


def serialised(body: object) -> bytes:
    """A golden body as bytes: text stands as it is, anything else is compact JSON in UTF-8."""
    if isinstance(body, str):
        return body.encode()
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


@cache
def golden(name: str) -> Golden:
    """The golden delivery of a file's name, without `.json`."""
    raw = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    raw |= {"received_at": at(raw["received_at"]), "body": serialised(raw["body"])}
    return Golden(name=name, **raw)


def names(platform: str = "") -> list[str]:
    """The names of all golden deliveries, or of one platform's."""
    return sorted(path.stem for path in FOLDER.glob(f"{platform}*.json"))
