"""How the table is read and written: conditions, pages, batches. Knows no items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shared.errors import Unavailable
from shared.store import keys
from shared.store.wire import available, condition_failed, key, values

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

BATCH = 100


class Table:
    """The table. Raises Unavailable when DynamoDB is throttled or away."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def _write(self, operation: str, **request: Any) -> bool:  # noqa: ANN401 - boto3's request
        return self._write_or_old(operation, **request) is None

    def _write_or_old(self, operation: str, **request: Any) -> dict[str, Any] | None:  # noqa: ANN401 - boto3's request
        """None when written, else the item that the condition refused ({} when there is none)."""
        written, item = self._try_write(operation, **request)
        return None if written else item

    def _try_write(self, operation: str, **request: Any) -> tuple[bool, dict[str, Any]]:  # noqa: ANN401 - boto3's request
        """Whether it was written, and the item: as `ReturnValues` asks for it, or as the condition refused it."""
        if "ConditionExpression" in request:
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        with available():
            try:
                got = getattr(self._client, operation)(TableName=self._table, **request)
            except ClientError as exc:
                if not condition_failed(exc):
                    raise
                response: dict[str, Any] = dict(exc.response)
                return False, values(response.get("Item", {}))
        return True, values(got.get("Attributes", {}))

    def _write_all(self, items: Sequence[dict[str, Any]]) -> bool:
        """Write all of these in one transaction, or none; False when a condition refused it."""
        with available():
            try:
                self._client.transact_write_items(TransactItems=items)  # type: ignore[arg-type]
            except ClientError as exc:
                if not condition_failed(exc):
                    raise
                return False
        return True

    def _query(self, **request: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - boto3's request
        for items in self._pages(**request):
            yield from items

    def _pages(self, **request: Any) -> Iterator[list[dict[str, Any]]]:  # noqa: ANN401 - boto3's request
        start: dict[str, Any] = {}
        while True:
            with available():
                got = self._client.query(TableName=self._table, **request, **start)
            yield [values(item) for item in got["Items"]]
            if "LastEvaluatedKey" not in got:
                return
            start = {"ExclusiveStartKey": got["LastEvaluatedKey"]}

    def _batch_get(self, wanted: Iterable[keys.Key], *, consistent: bool = True) -> list[dict[str, Any]]:
        """Those of these items that are there: as of now, or for half the price as of some moment shortly before."""
        unique = list(dict.fromkeys(wanted))
        found: list[dict[str, Any]] = []
        for at in range(0, len(unique), BATCH):
            request: Any = {
                self._table: {"Keys": [key(one) for one in unique[at : at + BATCH]], "ConsistentRead": consistent}
            }
            for _ in range(5):
                with available():
                    got = self._client.batch_get_item(RequestItems=request)
                found += map(values, got["Responses"].get(self._table, []))
                request = got.get("UnprocessedKeys")
                if not request:
                    break
            else:
                raise Unavailable("the table left keys of a batch unread")
        return found

    def _get(self, wanted: keys.Key) -> dict[str, Any] | None:
        """One item as of now (a consistent read)."""
        with available():
            got = self._client.get_item(TableName=self._table, Key=key(wanted), ConsistentRead=True)
        return values(got["Item"]) if "Item" in got else None
