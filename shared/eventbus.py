"""Our own event bus: what happened here, for the owner's own rules to act on. Ids and facts, no person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection

from shared.errors import Unavailable

SOURCE = "flywheel"


class _Client(Protocol):
    def put_events(self, *, Entries: list[dict[str, Any]]) -> Mapping[str, Any]: ...  # noqa: N803 - EventBridge's name


class EventBus:
    """The EventBridge bus that is Flywheel's own."""

    def __init__(self, client: _Client, name: str) -> None:
        self._client = client
        self._name = name

    def put(self, kind: str, detail: Mapping[str, Any]) -> None:
        """Tell of one thing, `kind` such as `reward.granted`; raises Unavailable unless the bus took it."""
        entry = {"EventBusName": self._name, "Source": SOURCE, "DetailType": kind, "Detail": json.dumps(detail)}
        try:
            got = self._client.put_events(Entries=[entry])
        except (ClientError, HTTPClientError, NoConnection) as exc:
            raise Unavailable(f"the event bus did not take an event: {type(exc).__name__}") from exc
        if got.get("FailedEntryCount"):
            raise Unavailable(f"the event bus refused an event: {got['Entries'][0].get('ErrorCode')}")
