"""Values to DynamoDB attributes and back, and AWS faults to our one `Unavailable`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection

from shared.errors import Unavailable
from shared.store.keys import Key

Attributes = dict[str, Any]

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
    return {name: _attribute(value) for name, value in values.items() if value is not None}


def values(item: Mapping[str, Any]) -> dict[str, Any]:
    """DynamoDB attributes as plain values."""
    return {name: _value(attribute) for name, attribute in item.items()}


def _attribute(value: object) -> dict[str, Any]:
    """One value, of the kinds that we store; TypeError for any other, such as a float, which would lose digits."""
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int() | Decimal():
            return {"N": str(value)}
        case None:
            return {"NULL": True}
        case Mapping():
            return {"M": {name: _attribute(one) for name, one in value.items()}}
        case list() | tuple():
            return {"L": [_attribute(one) for one in value]}
        case bytes():
            return {"B": value}
        case set() | frozenset():
            return {"SS": sorted(value)}
    raise TypeError(f"a {type(value).__name__} is not stored")


def _value(attribute: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever was stored
    [(kind, value)] = attribute.items()
    match kind:
        case "S" | "BOOL" | "B":
            return value
        case "N":
            return int(value) if value.lstrip("-").isdigit() else Decimal(value)
        case "M":
            return {name: _value(one) for name, one in value.items()}
        case "L":
            return [_value(one) for one in value]
        case "NULL":
            return None
        case "SS":
            return set(value)
    raise TypeError(f"an attribute of the kind {kind} is never stored")


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
