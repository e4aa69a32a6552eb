"""Tells when the deployed stack has come to rest: log items reacted to, rewards told, planned mails dealt with.

The number of log items comes from the table's stream. How many of them react has taken comes from MiniStack's log,
which says so after each batch: there is no API for a stream reader's position.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import FlywheelError

if TYPE_CHECKING:
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_sqs import SQSClient

TAKEN = re.compile(r"ESM: Lambda \S+ processed (\d+) DynamoDB stream records from ")
FAILED = re.compile(r'ESM: Lambda \S+ failed processing |\(\d+ partial failures\)|"level":"ERROR"')
PAUSE = 0.03


@dataclass
class Watch:
    """Counts, from where it last stopped: what entered the log, and what react has taken of it."""

    log: Path
    streams: DynamoDBStreamsClient
    stream_arn: str
    sqs: SQSClient
    queue_urls: Sequence[str]
    """In the order in which one thing leads to another: who takes from one may put into those after it."""
    entered: int = 0
    taken: int = 0
    failures: list[str] = field(default_factory=list)
    """Log lines of what failed, once for each time."""
    _read: int = 0
    _last: str | None = None
    _iterator: str | None = None

    def quiet(self, timeout: float, *, logged: bool = True) -> None:
        """Return when all is at rest; FlywheelError with the newest failures when it is not within `timeout` s.

        Not `logged`: nothing can have entered the log since it was at rest last, so only messages may be on their way.
        """
        deadline = time.monotonic() + timeout
        while self._in_queue() or (logged and not self._at_rest()):
            if time.monotonic() > deadline:
                raise FlywheelError(self._unrest(timeout))
            time.sleep(PAUSE)

    def _at_rest(self) -> bool:
        """In this order: what react plans stands in the queue before the log says that it has taken its batch."""
        self._count_entered()
        self._count_taken()
        return self.taken >= self.entered and not self._in_queue()

    def _count_entered(self) -> None:
        for record in self._new_records():
            pk = record["dynamodb"]["Keys"]["pk"]["S"]
            self.entered += record["eventName"] == "INSERT" and pk.startswith("LOG#")
            self._last = record["dynamodb"]["SequenceNumber"]

    def _new_records(self) -> Iterator[Any]:
        iterator = self._iterator or self._renewed()
        while True:
            try:
                got = self.streams.get_records(ShardIterator=iterator)
            except self.streams.exceptions.ExpiredIteratorException:  # after a quarter of an hour without a look
                iterator = self._renewed()
                continue
            yield from got["Records"]
            self._iterator = iterator = got["NextShardIterator"]
            if not got["Records"]:
                return

    def _renewed(self) -> str:
        """An iterator from where we stopped. MiniStack gives a stream one shard."""
        (shard,) = self.streams.describe_stream(StreamArn=self.stream_arn)["StreamDescription"]["Shards"]
        after: Any = {"ShardIteratorType": "TRIM_HORIZON"}
        if self._last is not None:
            after = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": self._last}
        got = self.streams.get_shard_iterator(StreamArn=self.stream_arn, ShardId=shard["ShardId"], **after)
        return got["ShardIterator"]

    def _count_taken(self) -> None:
        with self.log.open("rb") as log:
            log.seek(self._read)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            if found := TAKEN.search(line):
                self.taken += int(found[1])
            elif FAILED.search(line):
                self.failures.append(line)

    def _in_queue(self) -> int:
        """Messages that wait, are being worked on, or will come again."""
        return sum(map(self._messages_in, self.queue_urls))

    def _messages_in(self, queue_url: str) -> int:
        got = self.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])["Attributes"]
        return sum(int(count) for name, count in got.items() if name.startswith("ApproximateNumberOfMessages"))

    def _unrest(self, timeout: float) -> str:
        newest = "\n".join(self.failures[-5:]) or "no function failed"
        return (
            f"not at rest after {timeout:g} s: {self.entered} log items, {self.taken} of them taken, "
            f"{self._in_queue()} messages in the queues; in {self.log}: {newest}"
        )
