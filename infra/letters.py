"""A dead letter: what it is about, why it died, and what would have it tried again. Knows no AWS.

The shapes are AWS's own: what a queue redrives is the message itself; a stream or an invocation leaves a record of
itself (Lambda's destinations); a schedule or a rule leaves what it would have sent, with the error in the attributes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from shared.model import PlannedMail, RewardNotice

SENT_BACK = {"DeadMail": "MailQueueUrl", "DeadReward": "RewardQueueUrl"}
"""Queues whose letters are another queue's messages, and the output of the stack that names that one."""

QUEUES = (*SENT_BACK, "DeadLog", "DeadSchedules", "DeadFeedback")
"""Every queue of dead letters; the stack has an output `<name>QueueUrl` for each."""


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A message of a dead-letter queue as it was received; `handle` is good for this receipt only."""

    queue: str
    id: str
    handle: str = field(repr=False)
    body: str = field(repr=False)
    died_at: datetime
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def short(self) -> str:
        """As much of the id as a person wants to type."""
        return self.id[:8]


@dataclass(frozen=True)
class Back:
    """To be sent back to the queue that an output of the stack names."""

    output: str
    about: str


@dataclass(frozen=True)
class Again:
    """To be given to the function of this name again."""

    function: str
    payload: Mapping[str, Any] = field(repr=False)
    about: str


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Records of the table's stream to be reacted to again by the function of this name: where they stand, how many,
    and when they came.
    """

    function: str
    stream: str
    shard: str
    first: str
    last: str
    since: datetime
    until: datetime
    count: int

    @property
    def about(self) -> str:
        """How many events, and when they came."""
        events = "1 event" if self.count == 1 else f"{self.count} events"
        return f"{events} that came from {self.since:%Y-%m-%d %H:%M:%S} to {self.until:%H:%M:%S} UTC"


@dataclass(frozen=True)
class Unreadable:
    """Not what its queue holds; `about` says why."""

    about: str


Remedy = Back | Again | Batch | Unreadable

_MALFORMED = (ValidationError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What reading a letter may raise: one that is no letter, too deep or too large must not hide all the others."""


def remedy(letter: Letter) -> Remedy:
    """What would have a letter tried again."""
    try:
        if letter.queue in SENT_BACK:
            return Back(SENT_BACK[letter.queue], _told_of(letter))
        body = json.loads(letter.body)
        if "DDBStreamBatchInfo" in body:
            return _batch(body)
        if "requestContext" in body:
            return _again(body["requestContext"]["functionArn"], body["requestPayload"])
        return _again(letter.attributes["TARGET_ARN"], _input(body))
    except _MALFORMED as exc:
        return Unreadable(f"not a letter that {letter.queue} should hold ({type(exc).__name__})")


def why(letter: Letter) -> str:
    """Why it died, as far as AWS says: codes and conditions only, for an error's own text may quote a person."""
    told = [
        letter.attributes[name] for name in ("ERROR_CODE", "EXHAUSTED_RETRY_CONDITION") if name in letter.attributes
    ]
    try:
        body = json.loads(letter.body)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict):
        told += [str(found) for found in (_under(body, *path) for path in _CAUSES) if found]
    return _printable(", ".join(told)) or "received too often"


_CAUSES = (
    ("requestContext", "condition"),
    ("responseContext", "functionError"),
    ("responsePayload", "errorType"),
)


def _under(body: Mapping[str, Any], *path: str) -> object:
    found: object = body
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _told_of(letter: Letter) -> str:
    if letter.queue == "DeadMail":
        mail = PlannedMail.model_validate_json(letter.body)
        return _printable(f"the mail {mail.mail}, {mail.send_id}")
    notice = RewardNotice.model_validate_json(letter.body)
    return _printable(f"the reward {notice.rule} of {notice.member_id}")


def _batch(body: Mapping[str, Any]) -> Batch:
    told = body["DDBStreamBatchInfo"]
    return Batch(
        function=_function(body["requestContext"]["functionArn"]),
        stream=told["streamArn"],
        shard=told["shardId"],
        first=str(int(told["startSequenceNumber"])),
        last=str(int(told["endSequenceNumber"])),
        since=_moment(told["approximateArrivalOfFirstRecord"]),
        until=_moment(told["approximateArrivalOfLastRecord"]),
        count=int(told["batchSize"]),
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment without its offset")
    return moment.astimezone(UTC)


def _input(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the function would have been given: the body itself, or the request that carried it."""
    if "Payload" not in body:
        return body
    payload: Mapping[str, Any] = json.loads(body["Payload"])
    return payload


def _again(arn: str, payload: Mapping[str, Any]) -> Again:
    function = _function(arn)
    if payload.get("source") == "aws.ses":
        return Again(function, payload, _printable(f"{function}: {payload['detail-type']}"))
    given = dict(payload)
    when = given["scheduled_time"]
    if "kind" in given:
        return Again(function, given, _printable(f"{function}: the {given['kind']} report, due {when}"))
    # A tick takes what is due, and what is due now includes what was due then. With its old time it would judge
    # leases and delays as of a moment that is over.
    del given["scheduled_time"]
    return Again(function, given, _printable(f"{function}: the tick of {when}"))


def _function(arn: str) -> str:
    """The function's name alone: whose account it is in is not for a letter to say."""
    name = function_name(arn)
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ValueError("not a function's name")
    return name


def _printable(text: str) -> str:
    """A letter's own words, of which none may steer a terminal or be beyond what it can show."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def function_name(arn: str) -> str:
    """The name in a function's ARN, without the version that may follow it."""
    return arn.rsplit(":function:", maxsplit=1)[-1].split(":", maxsplit=1)[0]
