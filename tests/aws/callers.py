"""Judges every request to the table as IAM would: on behalf of which function it is made, and whether that one may."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from infra.grants import allowed
from shared import editions, feedback, fulfilment, links, react, rewarding, rolling, sending
from shared.agenda import tick
from shared.store.wire import values

ENTRIES = {
    react.react.__code__: "react",
    links.visit.__code__: "links",
    sending.send_planned.__code__: "mailer",
    sending.follow_up_all.__code__: "mail_followups",
    sending.follow_up.__code__: "mail_followups",
    feedback.note.__code__: "mail_feedback",
    rewarding.settle_all.__code__: "referral_rewards",
    fulfilment.put_back.__code__: "referral_rewards",
    fulfilment.fulfil.__code__: "reward_notices",
    rolling.roll.__code__: "metrics_rollup",
    rolling.keep_shard.__code__: "metrics_rollup",
    editions.publish.__code__: "manager_report",
}
"""What a function calls into the domain, and only that function does; tests call it without the function, too."""

MEASURING = {"shared.daylog", "shared.rolling"}
"""Only one function calls these, and some of their calls are made in threads, whose frames do not lead to who asked."""

SINGLE = {"GetItem", "PutItem", "UpdateItem", "DeleteItem"}

TRANSACTED = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}


class NotGranted(BaseException):
    """A function asked for what its role does not allow; no code of ours may catch it."""


@dataclass(frozen=True)
class Asked:
    """What one request asks: as which operation, of which partitions at once, by which index if any."""

    operation: str
    partitions: frozenset[str]
    index: str | None = None


def caller() -> str | None:
    """The function on whose behalf the code runs; None when it is a test or the command line."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code, module = frame.f_code, str(frame.f_globals.get("__name__"))
        if code is tick.__code__:
            return str(frame.f_locals["name"])
        if code in ENTRIES:
            return ENTRIES[code]
        if module.startswith("functions.") and code.co_name != "<module>":
            return module.removeprefix("functions.")
        if module in MEASURING:
            return "metrics_rollup"
        frame = frame.f_back
    return None


def asked_in(operation: str, params: Mapping[str, Any]) -> Iterator[Asked]:
    """Everything that one call asks for, as IAM takes it apart: a transaction is several operations."""
    if operation in SINGLE:
        yield Asked(operation, frozenset({_partition(params)}))
    elif operation == "Query":
        yield Asked(operation, frozenset({_queried(params)}), params.get("IndexName"))
    elif operation == "BatchGetItem":
        keys = [{"Key": key} for one in params["RequestItems"].values() for key in one["Keys"]]
        yield Asked(operation, frozenset(map(_partition, keys)))
    elif operation == "BatchWriteItem":
        writes = [what for asked in params["RequestItems"].values() for one in asked for what in one.values()]
        yield Asked(operation, frozenset(map(_partition, writes)))
    elif operation == "TransactWriteItems":
        for kind, one in (pair for item in params["TransactItems"] for pair in item.items()):
            yield Asked(TRANSACTED[kind], frozenset({_partition(one)}))
    else:
        yield Asked(operation, frozenset(), params.get("IndexName"))


def judge(params: Mapping[str, Any], model: Any, **_: object) -> None:
    """Refuse, as IAM would, what the function on whose behalf it is asked has no grant for."""
    function = caller()
    if function is None:
        return
    for one in asked_in(model.name, params):
        if not allowed(function, one.operation, one.partitions, one.index):
            raise NotGranted(f"{function} may not {one.operation} {sorted(one.partitions)} (index: {one.index})")


def _partition(request: Mapping[str, Any]) -> str:
    return str((request.get("Key") or request["Item"])["pk"]["S"])


def _queried(params: Mapping[str, Any]) -> str:
    """What a query's condition says that the partition key is: always its first term."""
    placeholder = params["KeyConditionExpression"].split(" AND ")[0].split("=")[1].strip()
    return str(values({"key": params["ExpressionAttributeValues"][placeholder]})["key"])
