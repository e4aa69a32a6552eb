"""A DynamoDB in memory that is only as kind as AWS promises to be: indexes lag, batches and pages come in parts.

It answers at botocore's `before-send`, so clients, serialisation and errors are the real ones. The store's contract
tests run on it, too, so that it does not certify itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from moto.core.models import botocore_stubber

from shared.store.sends import LINE
from tests.budget.capacity import Index, size
from tests.proof.expressions import Attribute, Invalid, Item, Scope, check_placeholders, comparable, condition, update

Key = tuple[str, str]
Answer = dict[str, Any]
Found = tuple[tuple[str, str], Key, Item]

TOO_LARGE = 400 * 1024
"""Bytes that an item may have."""

ACTIONS, PUTS, GETS = 100, 25, 100
"""Of a transaction, a batch of writes and a batch of reads, at the most."""

INDEXES = {
    "agenda": Index(("agenda", "due_at")),
    "sends": Index(("planned_on", "sk"), frozenset(LINE)),
    "late": Index(("came_in", "sk"), frozenset()),
}
"""The table's indexes, as the template has them."""

A_PAGE, A_BATCH = 1_000_000, 16_000_000
"""Bytes that a page of a query, and the answer to a batch of reads, hold at the most."""


_INDEXED = {name for index in INDEXES.values() for name in index.keys}


class Refused(Exception):
    """AWS's answer when it does not do what it was asked."""

    def __init__(self, code: str, **more: Any) -> None:
        super().__init__(code)
        self.code, self.more = code, more


class Canned(AWSResponse):  # type: ignore[misc, unused-ignore]
    """An answer that nobody had to be asked for."""

    def __init__(self, told: object, status: int = 200, **headers: str) -> None:
        plain = {"content-type": "application/x-amz-json-1.0"} | {
            name.replace("_", "-"): headers[name] for name in headers
        }
        super().__init__("https://aws.example.com", status, plain, None)  # type: ignore[arg-type]
        self.told = told

    @property
    def content(self) -> bytes:
        """The answer as it goes over the wire; most that ask take it as it was told."""
        return json.dumps(self.told).encode()


@dataclass
class State:
    """All that a table holds; items are never changed, only replaced, so a copy of the maps is a copy of all.

    `pending` are the writes that the indexes do not know yet, in order.
    """

    items: dict[Key, Item] = field(default_factory=dict)
    indexed: dict[str, dict[Key, Item]] = field(default_factory=lambda: {name: {} for name in INDEXES})
    pending: list[tuple[Key, Item | None]] = field(default_factory=list)
    logged: list[Item] = field(default_factory=list)

    def copy(self) -> State:
        """The same, to be changed without this one."""
        indexed = {name: dict(items) for name, items in self.indexed.items()}
        return State(dict(self.items), indexed, list(self.pending), list(self.logged))


def answered_by(client: Any, answer: Callable[[AWSPreparedRequest], AWSResponse]) -> None:
    """Have all that a client asks answered so, and no more by a moto that another test has at work in this process."""
    client.meta.events.unregister("before-send", botocore_stubber)
    client.meta.events.register_first("before-send", lambda request, **_: answer(request))


class Dynamo:
    """One table. Of n writes the indexes do not know `lag(n)` yet; of a batch or a page of n, `part(n)` is done."""

    def __init__(self) -> None:
        self.state = State()
        self.lag: Callable[[int], int] = lambda _: 0
        self.part: Callable[[int], int] = lambda count: count

    def answer(self, request: AWSPreparedRequest) -> AWSResponse:
        """What a request over the wire is answered."""
        target = request.headers["X-Amz-Target"]
        operation = (target if isinstance(target, str) else str(target, "ascii")).rpartition(".")[2]
        try:
            return Canned(self.do(operation, json.loads(cast("bytes", request.body))))
        except Refused as exc:
            return Canned({"__type": f"com.amazonaws.dynamodb.v20120810#{exc.code}", **exc.more}, 400)
        except Invalid as exc:
            return Canned({"__type": "com.amazon.coral.validate#ValidationException", "message": str(exc)}, 400)

    def do(self, operation: str, asked: Mapping[str, Any]) -> Answer:
        """Carry out an operation; raises Refused and Invalid."""
        operations: dict[str, Callable[[Mapping[str, Any]], Answer]] = {
            "PutItem": self._write_one("Put"),
            "UpdateItem": self._write_one("Update"),
            "DeleteItem": self._write_one("Delete"),
            "TransactWriteItems": self._transact,
            "BatchWriteItem": self._write_batch,
            "GetItem": self._get,
            "BatchGetItem": self._get_batch,
            "Query": self._query,
            "Scan": self._scan,
            "CreateTable": self._begin,
            "DeleteTable": self._begin,
        }
        return operations[operation](asked)

    def forget_expired(self, now: float) -> None:
        """Delete what has expired by a moment (seconds since 1970): some time within days, or not yet."""
        for key, item in list(self.state.items.items()):
            if "expires_at" in item and float(item["expires_at"]["N"]) < now:
                self._store(key, None)

    def _begin(self, asked: Mapping[str, Any]) -> Answer:
        """The table, whatever it is called, is empty."""
        self.state = State()
        return {"TableDescription": {"TableName": asked["TableName"], "TableStatus": "ACTIVE"}}

    # --- writes ----------------------------------------------------------------------------------

    def _write_one(self, kind: str) -> Callable[[Mapping[str, Any]], Answer]:
        def write(asked: Mapping[str, Any]) -> Answer:
            key, old, new = self._planned(kind, asked)
            self._store(key, new)
            wanted = asked.get("ReturnValues", "NONE")
            if wanted in {"ALL_NEW", "UPDATED_NEW"}:
                changed = {
                    name: value
                    for name, value in (new or {}).items()
                    if wanted == "ALL_NEW" or (old or {}).get(name) != value
                }
                return {"Attributes": changed}
            return {}

        return write

    def _planned(self, kind: str, asked: Mapping[str, Any]) -> tuple[Key, Item | None, Item | None]:
        """What a write would do: the key, the item before, and after it; raises Refused by its condition."""
        key = _key(asked["Item"] if kind == "Put" else asked["Key"])
        old = self.state.items.get(key)
        names, given = asked.get("ExpressionAttributeNames", {}), asked.get("ExpressionAttributeValues", {})
        expressions = (asked.get("ConditionExpression", ""), asked.get("UpdateExpression", ""))
        check_placeholders(expressions, names, given)
        scope = Scope(old or {}, names, given)
        allowed = condition(asked["ConditionExpression"])(scope) if "ConditionExpression" in asked else True
        if not allowed:
            shown = {"Item": old} if old and asked.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" else {}
            raise Refused("ConditionalCheckFailedException", message="The conditional request failed", **shown)
        return key, old, self._after(kind, asked, old, scope)

    def _after(self, kind: str, asked: Mapping[str, Any], old: Item | None, scope: Scope) -> Item | None:
        if kind == "Delete":
            return None
        if kind == "ConditionCheck":
            return old
        if kind == "Put":
            return _checked(asked["Item"])
        changed = dict(old or asked["Key"])
        for change in update(asked["UpdateExpression"]):
            change(scope, changed)
        return _checked(changed)

    def _store(self, key: Key, item: Item | None) -> None:
        if item is None:
            self.state.items.pop(key, None)
        else:
            if key[0].startswith("LOG#") and key not in self.state.items:
                self.state.logged.append(item)
            self.state.items[key] = item
        self.state.pending.append((key, item))

    def _transact(self, asked: Mapping[str, Any]) -> Answer:
        actions = [(kind, one) for action in asked["TransactItems"] for kind, one in action.items()]
        keys = [_key(one["Item"] if kind == "Put" else one["Key"]) for kind, one in actions]
        if len(actions) > ACTIONS or len(set(keys)) < len(keys):
            raise Invalid("a transaction has a hundred actions at the most, one an item")
        planned, reasons = [], []
        for kind, one in actions:
            try:
                planned.append(self._planned(kind, one))
                reasons.append({"Code": "None"})
            except Refused as exc:
                reasons.append({"Code": exc.code.removesuffix("Exception")})
        if len(planned) < len(actions):
            raise Refused("TransactionCanceledException", message="Transaction cancelled", CancellationReasons=reasons)
        for key, old, new in planned:
            if new is not old:
                self._store(key, new)
        return {}

    def _write_batch(self, asked: Mapping[str, Any]) -> Answer:
        [(table, requests)] = asked["RequestItems"].items()
        if len(requests) > PUTS:
            raise Invalid(f"more than {PUTS} writes in a batch")
        done = self.part(len(requests))
        for request in requests[:done]:
            [(kind, one)] = request.items()
            key, _, new = self._planned(kind.removesuffix("Request"), one)
            self._store(key, new)
        return {"UnprocessedItems": {table: requests[done:]} if requests[done:] else {}}

    # --- reads -----------------------------------------------------------------------------------

    def _get(self, asked: Mapping[str, Any]) -> Answer:
        item = self.state.items.get(_key(asked["Key"]))
        return {} if item is None else {"Item": item}

    def _get_batch(self, asked: Mapping[str, Any]) -> Answer:
        [(table, wanted)] = asked["RequestItems"].items()
        keys = [_key(one) for one in wanted["Keys"]]
        if len(keys) > GETS or len(set(keys)) < len(keys):
            raise Invalid(f"a batch reads {GETS} different keys at the most")
        there = [self.state.items.get(key, {}) for key in keys]
        done = self.part(_that_fit(there, A_BATCH))
        found = [self.state.items[key] for key in keys[:done] if key in self.state.items]
        left = {**wanted, "Keys": wanted["Keys"][done:]}
        return {"Responses": {table: found}, "UnprocessedKeys": {table: left} if left["Keys"] else {}}

    def _query(self, asked: Mapping[str, Any]) -> Answer:
        index = asked.get("IndexName")
        if index and asked.get("ConsistentRead"):
            raise Invalid("an index has no consistent reads")
        names, given = asked.get("ExpressionAttributeNames", {}), asked.get("ExpressionAttributeValues", {})
        check_placeholders((asked["KeyConditionExpression"], asked.get("ProjectionExpression", "")), names, given)
        test = condition(asked["KeyConditionExpression"])
        # The partition first, as text: of all others not even the condition has to be asked.
        partition, _, whose = asked["KeyConditionExpression"].split(" ", 3)[:3]
        found = [
            (_place(item, index), key, item)
            for key, item in self._seen(index).items()
            if item.get(partition) == given[whose] and test(Scope(item, names, given))
        ]
        shown = [names.get(word.strip(), word.strip()) for word in asked.get("ProjectionExpression", "").split(",")]
        return self._page(asked, sorted(found, key=_sorted, reverse=not asked.get("ScanIndexForward", True)), shown)

    def _scan(self, asked: Mapping[str, Any]) -> Answer:
        index = asked.get("IndexName")
        found = [(_place(item, index), key, item) for key, item in self._seen(index).items()]
        return self._page(asked, sorted(found, key=_sorted), [""])

    def _page(self, asked: Mapping[str, Any], found: list[Found], shown: list[str]) -> Answer:
        """A page: as many as were asked for, or fewer, as AWS does after 1 MB or whenever it likes."""
        if "ExclusiveStartKey" in asked:
            last = tuple(json.loads(asked["ExclusiveStartKey"]["cursor"]["S"]))
            forward = asked.get("ScanIndexForward", True)
            found = [one for one in found if (_sorted(one) > last if forward else _sorted(one) < last)]
        most = min(asked.get("Limit", len(found)), len(found))
        most = _that_fit([item for _, _, item in found[:most]], A_PAGE)
        page = found[: self.part(most)] if most else []
        answer: Answer = {"Count": len(page), "ScannedCount": len(page)}
        if asked.get("Select") != "COUNT":
            answer["Items"] = [
                item if shown == [""] else {name: item[name] for name in shown if name in item} for _, _, item in page
            ]
        if len(page) < len(found):
            answer["LastEvaluatedKey"] = {"cursor": {"S": json.dumps(_sorted(page[-1]))}}
        return answer

    def _seen(self, index: str | None) -> Mapping[Key, Item]:
        if index is None:
            return self.state.items
        known = len(self.state.pending) - self.lag(len(self.state.pending))
        for key, item in self.state.pending[:known]:
            for name, index_of in INDEXES.items():
                entry = index_of.entry(item)
                if entry is None:
                    self.state.indexed[name].pop(key, None)
                else:
                    self.state.indexed[name][key] = cast("Item", entry)
        del self.state.pending[:known]
        return self.state.indexed[index]


def _that_fit(items: Sequence[Item], most: int) -> int:
    """How many of these, from the first on, fit into an answer: one at least."""
    taken = 0
    for count, item in enumerate(items):
        taken += size(item)
        if taken > most:
            return max(count, 1)
    return len(items)


def _sorted(found: Found) -> tuple[str, ...]:
    (partition, sort), key, _ = found
    return partition, sort, *key


def _place(item: Item, index: str | None) -> tuple[str, str]:
    partition, sort = INDEXES[index].keys if index else ("pk", "sk")
    return item[partition]["S"], item[sort]["S"]


def _key(item: Mapping[str, Attribute]) -> Key:
    try:
        pk, sk = item["pk"]["S"], item["sk"]["S"]
    except KeyError as exc:
        raise Invalid("a key is two strings, pk and sk") from exc
    if not pk or not sk:
        raise Invalid("a key must not be empty")
    return pk, sk


def _checked(item: dict[str, Attribute]) -> Item:
    """An item as it may be stored; raises Invalid where AWS does."""
    if size(item) > TOO_LARGE:
        raise Invalid("Item size has exceeded the maximum allowed size")
    for name in _INDEXED & item.keys():
        if "S" not in item[name] or not item[name]["S"]:
            raise Invalid(f"the key {name} of an index must be a string")
    for value in _numbers(item):
        comparable({"N": value})
    return item


def _numbers(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for kind, inner in value.items():
            if kind == "N" and isinstance(inner, str):
                yield inner
            else:
                yield from _numbers(inner)
    elif isinstance(value, list):
        for one in value:
            yield from _numbers(one)
