"""Values to DynamoDB attributes and back, and AWS faults to our one `Unavailable`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection

from shared.errors import Unavailable
from shared.store.keys import Key

Attributes = dict[str, Any]

_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize

AWAY = frozenset(
    {
        "InternalServerError",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ThrottlingException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
"""Errors that pass by themselves: the same request may succeed later."""


def attributes(values: Mapping[str, Any]) -> Attributes:
    """Plain values as DynamoDB attributes; None is left out."""
    return {name: _serialize(value) for name, value in values.items() if value is not None}


def values(item: Mapping[str, Any]) -> dict[str, Any]:
    """DynamoDB attributes as plain values."""
    return {name: _deserialize(value) for name, value in item.items()}


def key(key: Key) -> Attributes:
    """A key as DynamoDB wants it."""
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def condition_failed(exc: ClientError) -> bool:
    """Whether a request was refused by its own condition, alone or inside a transaction."""
    code = exc.response["Error"]["Code"]
    if code != "TransactionCanceledException":
        return code == "ConditionalCheckFailedException"
    reasons = [reason.get("Code") for reason in exc.response.get("CancellationReasons", [])]
    return "ConditionalCheckFailed" in reasons


def _passes(exc: ClientError) -> bool:
    code = exc.response["Error"]["Code"]
    if code == "TransactionCanceledException":
        return not condition_failed(exc)
    return code in AWAY or exc.response["ResponseMetadata"].get("HTTPStatusCode", 0) >= 500


@contextmanager
def available() -> Iterator[None]:
    """Turn throttling and lost connections into Unavailable; every other error passes as it is."""
    try:
        yield
    except ClientError as exc:
        if not _passes(exc):
            raise
        raise Unavailable(f"the table answered {exc.response['Error']['Code']}") from exc
    except (HTTPClientError, NoConnection) as exc:
        raise Unavailable(f"the table did not answer: {type(exc).__name__}") from exc
