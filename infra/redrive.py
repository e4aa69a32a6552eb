"""Trying dead letters again: what each kind needs of AWS, and when its letter may go.

A letter is deleted only after what it is about has been tried again and has succeeded, so a crash in between tries it
once more; everything behind it is put-if-absent, claimed or versioned, so that twice is the same as once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, HTTPClientError

from infra.letters import QUEUES, Again, Back, Batch, Letter, Unreadable, remedy
from shared.errors import FlywheelError
from shared.store import Store
from shared.store.wire import Attributes, values

if TYPE_CHECKING:
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

AT_ONCE = 100
"""Events that `react` is given at once, as many as the stream gives it."""

HELD = 900
"""Seconds for which letters are nobody else's while they are tried again."""

LEEWAY = timedelta(minutes=15)
"""How far a webhook's receipt and its record's arrival in the stream may lie apart."""

MOST = 10_000
"""Letters of a queue that are received at once, which takes under a minute: beyond it the first would reappear."""

Invoke = Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None]
"""Gives a function, by its name, its payload and returns its answer; `StillFails` when it does."""


class StillFails(FlywheelError):
    """What a letter is about failed again, in a sentence; the letter stays."""


@dataclass(frozen=True)
class Queues:
    """The queues of dead letters, by the URLs that the stack's outputs name; `wait` is how long one look may take.

    Of a queue `most` letters are received at a time, or a few more.
    """

    client: SQSClient
    urls: Mapping[str, str]
    wait: int = 1
    most: int = MOST

    @contextmanager
    def letters(self, queues: Iterable[str] = QUEUES, *, held: int = 60) -> Iterator[list[Letter]]:
        """The letters of these queues, oldest first; those that are still there afterwards can be received again."""
        found: dict[str, Letter] = {}
        try:
            for queue in queues:
                self._receive_all(queue, held, found)
            yield sorted(found.values(), key=lambda letter: letter.died_at)
        finally:
            for letter in found.values():
                self._release(letter)

    def delete(self, letter: Letter) -> None:
        """Take a letter out of its queue; nothing when it is gone."""
        self.client.delete_message(QueueUrl=self._url(letter.queue), ReceiptHandle=letter.handle)

    def send_back(self, letter: Letter, output: str) -> None:
        """Put a copy of a letter into the queue that it came from."""
        self.client.send_message(QueueUrl=self.urls[output], MessageBody=letter.body)

    def _url(self, queue: str) -> str:
        return self.urls[f"{queue}QueueUrl"]

    def _receive_all(self, queue: str, held: int, found: dict[str, Letter]) -> None:
        """Add a queue's letters to those found, until there is none, one comes again, or there are enough of them.

        One that comes again says that receiving takes longer than letters are held, and so would never end.
        """
        enough = len(found) + self.most
        while len(found) < enough:
            letters = self._receive(queue, held)
            again = any(letter.id in found for letter in letters)
            found |= {letter.id: letter for letter in letters}  # of one that comes again only the newest handle is good
            if again or not letters:
                return

    def _receive(self, queue: str, held: int) -> list[Letter]:
        got = self.client.receive_message(
            QueueUrl=self._url(queue),
            MaxNumberOfMessages=10,
            WaitTimeSeconds=self.wait,
            VisibilityTimeout=held,
            MessageSystemAttributeNames=["SentTimestamp"],
            MessageAttributeNames=["All"],
        )
        return [_letter(queue, message) for message in got.get("Messages", [])]

    def _release(self, letter: Letter) -> None:
        try:
            self.client.change_message_visibility(
                QueueUrl=self._url(letter.queue), ReceiptHandle=letter.handle, VisibilityTimeout=0
            )
        except ClientError as exc:
            if exc.response["Error"]["Code"] not in _GONE:  # it was deleted meanwhile
                raise


def _letter(queue: str, message: MessageTypeDef) -> Letter:
    told = message.get("MessageAttributes", {})
    return Letter(
        queue=queue,
        id=message["MessageId"],
        handle=message["ReceiptHandle"],
        body=message["Body"],
        died_at=datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC),
        attributes={name: value.get("StringValue", "") for name, value in told.items()},
    )


_GONE = {
    "MessageNotInflight",
    "AWS.SimpleQueueService.MessageNotInflight",
    "InvalidParameterValue",
    "ReceiptHandleIsInvalid",
    "ResourceNotFoundException",
}


@dataclass(frozen=True, kw_only=True)
class Redrive:
    """All that trying a letter again may need; only `functions` are invoked, whatever a letter says."""

    queues: Queues
    streams: DynamoDBStreamsClient
    invoke: Invoke
    store: Store
    functions: Collection[str]

    def redrive(self, letter: Letter) -> str:
        """Try again, then delete the letter; what was done, in a sentence. StillFails, and the letter stays."""
        match remedy(letter):
            case Back(output=output, about=about):
                self.queues.send_back(letter, output)
                done = f"{about}: back in its queue"
            case Again(function=function, payload=payload, about=about):
                self._invoke(function, payload)
                done = f"{about}: done"
            case Batch() as batch:
                done = f"{self._react_again(batch)} reacted to again"
            case Unreadable(about=about):
                raise StillFails(f"{about}; look at it with `flywheel dead show {letter.short}`")
        self.queues.delete(letter)
        return done

    def _invoke(self, function: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        if function not in self.functions:
            raise StillFails(f"{function} is no function of this stack")
        return self.invoke(function, payload) or {}

    # --- a batch of the stream ---------------------------------------------------------------------

    def _react_again(self, batch: Batch) -> str:
        """React to a batch's events as the log has them now, a hundred at a time; how many that were.

        StillFails, though all that was found was reacted to, when some of them may not have been found.
        """
        entries, are_all = self._entries(batch)
        for at in range(0, len(entries), AT_ONCE):
            self._react(batch.function, entries[at : at + AT_ONCE])
        events = "1 event" if len(entries) == 1 else f"{len(entries)} events"
        if not are_all:
            raise StillFails(
                f"the stream no longer tells which {batch.count} events they were; the {events} of the log that came "
                "then were reacted to again, which may not be all: see docs/runbooks/dead-letters.md"
            )
        return events

    def _entries(self, batch: Batch) -> tuple[list[Attributes], bool]:
        """A batch's log items without what has been erased meanwhile, and whether none is missing otherwise."""
        try:
            keys = self._keys(batch)
        except ClientError as exc:
            if exc.response["Error"]["Code"] not in _TRIMMED:
                raise
            keys = []
        if len(keys) >= batch.count:
            return self.store.entries(keys), True
        # Everything that came then, theirs and others': fewer than the batch had are not all of it, for some reason.
        came = list(self.store.received(batch.since - LEEWAY, batch.until + LEEWAY))
        return came, len(came) >= batch.count

    def _keys(self, batch: Batch) -> list[tuple[str, str]]:
        """The keys of the log items that a batch was made of; the stream tells them for 24 hours."""
        place = {"StreamArn": batch.stream, "ShardId": batch.shard, "SequenceNumber": batch.first}
        got = self.streams.get_shard_iterator(ShardIteratorType="AT_SEQUENCE_NUMBER", **place)
        found: list[tuple[str, str]] = []
        iterator = got.get("ShardIterator")
        while iterator:
            page = self.streams.get_records(ShardIterator=iterator)
            for record in page["Records"]:
                told = record["dynamodb"]
                if int(told["SequenceNumber"]) > int(batch.last):
                    return found
                key = values(told["Keys"])
                if record["eventName"] == "INSERT" and key["pk"].startswith("LOG#"):
                    found.append((key["pk"], key["sk"]))
                if int(told["SequenceNumber"]) == int(batch.last):
                    return found
            iterator = page.get("NextShardIterator")
        return found

    def _react(self, function: str, entries: Sequence[Attributes]) -> None:
        records = [
            {"dynamodb": {"SequenceNumber": str(number), "NewImage": entry}} for number, entry in enumerate(entries)
        ]
        failed = self._invoke(function, {"Records": records}).get("batchItemFailures", [])
        if failed:
            raise StillFails(f"{len(failed)} of {len(entries)} events failed again; the log of `react` says why")


_TRIMMED = {"TrimmedDataAccessException", "ResourceNotFoundException", "ExpiredIteratorException"}
"""How the stream says that it no longer has what was asked for."""


def invoking(client: LambdaClient) -> Invoke:
    """Functions as Lambda runs them, waited for."""

    def invoke(function: str, payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
        try:
            got = client.invoke(FunctionName=function, Payload=json.dumps(payload).encode())
        except HTTPClientError as exc:
            raise StillFails(f"{function} did not answer ({type(exc).__name__}); it may have done its work") from exc
        except ClientError as exc:
            raise StillFails(f"{function} could not be invoked: {exc.response['Error']['Code']}") from exc
        answer = json.loads(got["Payload"].read() or b"null")
        if "FunctionError" in got:
            kind = answer.get("errorType", got["FunctionError"]) if isinstance(answer, dict) else got["FunctionError"]
            raise StillFails(f"{function} failed again ({kind}); its log says why")
        found: Mapping[str, Any] | None = answer
        return found

    return invoke
