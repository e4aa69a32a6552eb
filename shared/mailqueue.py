"""The mail queue: planned mails as ids, ten a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection

from shared.errors import Unavailable
from shared.model import PlannedMail

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BATCH = 10


class MailQueue:
    """The SQS queue between deciding a mail and sending it."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client = client
        self._url = url

    def put(self, mails: Sequence[PlannedMail]) -> frozenset[str]:
        """Enqueue mails; the send ids of those that the queue refused. Raises Unavailable when it is away."""
        refused: set[str] = set()
        for at in range(0, len(mails), BATCH):
            batch = mails[at : at + BATCH]
            entries = [{"Id": str(number), "MessageBody": mail.model_dump_json()} for number, mail in enumerate(batch)]
            try:
                got = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)  # type: ignore[arg-type]
            except (ClientError, HTTPClientError, NoConnection) as exc:
                raise Unavailable(f"the mail queue did not take a batch: {type(exc).__name__}") from exc
            refused |= {batch[int(failed["Id"])].send_id for failed in got.get("Failed", [])}
        return frozenset(refused)
