"""The way out for a day of too many events: the state machine that reads its shards side by side, then merges them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Protocol

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection

from shared.errors import Unavailable
from shared.model import stamp

SHARDS = 8
"""Parts that a day is read in: the shards of the log."""


class _Client(Protocol):
    def start_execution(
        self,
        *,
        stateMachineArn: str,  # noqa: N803 - Step Functions' names
        name: str,
        input: str,  # noqa: A002 - as above
    ) -> Mapping[str, Any]: ...


class LargeDays:
    """The Step Functions state machine that rolls a large day up; `available` where there is one."""

    def __init__(self, client: _Client, arn: str) -> None:
        self._client = client
        self._arn = arn

    @property
    def available(self) -> bool:
        """Whether large days can be handed over; without it they are read in one go, however long that takes."""
        return bool(self._arn)

    def start(self, day: date, *, mark: str | None, now: datetime) -> bool:
        """Have a day rolled up as of `now`; False when that very run was started before, which is as good.

        `mark` is the token of the mark that the run will have dealt with. Raises Unavailable.
        """
        run = f"{day.isoformat()}-{now:%Y%m%dT%H%M%S}"
        told = {
            "scheduled_time": stamp(now),
            "day": day.isoformat(),
            "run": run,
            "mark": mark or "",
            "shards": list(range(SHARDS)),
        }
        try:
            self._client.start_execution(stateMachineArn=self._arn, name=run, input=json.dumps(told))
        except ClientError as exc:
            if exc.response["Error"]["Code"] == "ExecutionAlreadyExists":
                return False
            raise Unavailable(f"a large day was not taken over: {exc.response['Error']['Code']}") from exc
        except (HTTPClientError, NoConnection) as exc:
            raise Unavailable(f"a large day was not taken over: {type(exc).__name__}") from exc
        return True
