"""The reward queue: what rewards are to be told of, as ids, ten a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection

from shared.errors import Unavailable
from shared.model import RewardNotice

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BATCH = 10


class NoticeQueue:
    """The SQS queue between granting a reward and telling of it."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client = client
        self._url = url

    def put(self, notices: Sequence[RewardNotice]) -> None:
        """Enqueue notices; raises Unavailable unless all were taken."""
        for at in range(0, len(notices), BATCH):
            entries = [
                {"Id": str(number), "MessageBody": notice.model_dump_json()}
                for number, notice in enumerate(notices[at : at + BATCH])
            ]
            try:
                got = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)  # type: ignore[arg-type]
            except (ClientError, HTTPClientError, NoConnection) as exc:
                raise Unavailable(f"the reward queue did not take a batch: {type(exc).__name__}") from exc
            if got.get("Failed"):
                raise Unavailable(f"the reward queue refused {len(got['Failed'])} notices")
