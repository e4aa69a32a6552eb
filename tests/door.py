"""The webhooks function behind its real handler, with an App that keeps its log in a dict."""

from __future__ import annotations

import io
import json
import os
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast
from unittest.mock import patch

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import webhooks
from shared.errors import Unavailable
from shared.events import EVENT, CommunityEvent
from shared.model import Identity
from shared.playbook import Playbook
from shared.store import keys
from tests.builders import a_playbook, at
from tests.golden import SECRETS, Golden

LARGEST_SORT_KEY = 1024


@dataclass
class Log:
    """What `App.store` is to the webhooks function; refuses what the table would refuse."""

    events: dict[str, CommunityEvent] = field(default_factory=dict)
    away: bool = False

    def log(self, events: Sequence[CommunityEvent]) -> int:
        if self.away:
            raise Unavailable("throttled")
        before = len(self.events)
        for event in events:
            assert EVENT.validate_json(event.model_dump_json()) == event
            _, sort_key = keys.log(event.occurred_at.date(), Identity(event.platform, event.actor), event.id)
            assert len(sort_key.encode()) <= LARGEST_SORT_KEY
            self.events.setdefault(event.id, event)
        return len(self.events) - before


@dataclass
class House:
    """What `App` is to the webhooks function."""

    playbook: Playbook = field(default_factory=a_playbook)
    now: datetime = field(default_factory=lambda: at("2026-03-04T10:00:05Z"))
    secrets: Mapping[str, list[str]] = field(default_factory=lambda: {name: [one] for name, one in SECRETS.items()})
    secrets_away: bool = False
    secrets_asked: int = 0
    store: Log = field(default_factory=Log)
    log_lines: io.StringIO = field(default_factory=io.StringIO)

    def webhook_secrets(self, platform: str) -> list[str]:
        self.secrets_asked += 1
        if self.secrets_away:
            raise Unavailable("throttled")
        return self.secrets[platform]

    def clock(self) -> datetime:
        return self.now

    def post(self, platform: str, headers: Mapping[str, str], body: bytes | str) -> dict[str, Any]:
        """What the HTTP API would answer; bytes arrive in base64, text as it is."""
        encoded = isinstance(body, bytes)
        event = {
            "version": "2.0",
            "rawPath": f"/webhooks/{platform}",
            "headers": headers,
            "pathParameters": {"platform": platform},
            "isBase64Encoded": encoded,
            "body": b64encode(cast("bytes", body)).decode() if encoded else body,
        }
        answer: dict[str, Any] = webhooks.handler(event, _context())
        json.dumps(answer)
        return answer

    def post_golden(self, delivery: Golden) -> dict[str, Any]:
        """Post a golden delivery at the time at which it is received."""
        self.now = delivery.received_at
        return self.post(delivery.platform, delivery.signed_headers(), delivery.body)


@contextmanager
def open_door(house: House | None = None) -> Iterator[House]:
    """The function wired to a House, its log lines in `House.log_lines`."""
    house = house or House()
    stream = webhooks.logger.registered_handler
    assert hasattr(stream, "setStream")
    before = stream.setStream(house.log_lines)
    namespace = patch.dict(os.environ, {"POWERTOOLS_METRICS_NAMESPACE": "Flywheel"})
    with patch.object(webhooks, "app", lambda: house), namespace:
        try:
            yield house
        finally:
            stream.setStream(before)


def _context() -> LambdaContext:
    context = LambdaContext()
    context._function_name = "webhooks"
    context._memory_limit_in_mb = 512
    context._invoked_function_arn = "arn:aws:lambda:eu-west-1:000000000000:function:webhooks"
    context._aws_request_id = "request-1"
    return context
