"""Counts what the functions ask of AWS, at botocore's hooks: requests, units, bytes, log lines, metrics, CPU time.

What the table in memory and the counting itself compute is not counted as CPU time of ours.
"""

from __future__ import annotations

import io
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from fractions import Fraction
from types import ModuleType
from typing import Any
from unittest.mock import patch

from tests.budget.capacity import Item, batch_units, index_units, read_units, size, write_units
from tests.proof.dynamo import INDEXES, Dynamo
from tests.proof.house import House
from tests.proof.world import TABLE, plain

STORED_BESIDES = 100
"""Bytes that DynamoDB bills for each item it stores, and for each in an index, besides what the item holds."""

SINGLE = {"PutItem", "UpdateItem", "DeleteItem"}
DAY = 24 * 3600


@dataclass
class Spent:
    """What was asked of AWS. `stored` are bytes more than before, by the days they are kept, or "ever"."""

    requests: Counter[str] = field(default_factory=Counter)
    wru: int = 0
    rru: Fraction = Fraction(0)
    written: int = 0
    read: int = 0
    stored: Counter[str] = field(default_factory=Counter)
    bitmaps: Counter[str] = field(default_factory=Counter)
    invocations: Counter[str] = field(default_factory=Counter)
    logged: Counter[str] = field(default_factory=Counter)
    metrics: Counter[str] = field(default_factory=Counter)
    cpu: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    asked: Counter[str] = field(default_factory=Counter)


class Stopwatch:
    """CPU seconds of this process, without those that were spent aside."""

    def __init__(self) -> None:
        self._aside = 0.0
        self._deep = 0

    def read(self) -> float:
        """Seconds so far; only differences mean anything."""
        return time.process_time() - self._aside

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What is done here does not count."""
        began, self._deep = time.process_time(), self._deep + 1
        try:
            yield
        finally:
            self._deep -= 1
            if not self._deep:
                self._aside += time.process_time() - began


class Counted:
    """Stands at the hooks of the clients of one world, and counts while it is open; `began` is the world's time."""

    def __init__(self, house: House, began: float) -> None:
        self.spent = Spent()
        self.watch = Stopwatch()
        self._house, self._began = house, began
        self._function = ""
        self._asked: dict[str, Any] = {}
        self._before: list[tuple[Item, Item | None]] = []

    @contextmanager
    def open(self, clients: list[Any]) -> Iterator[Spent]:
        """Count what these clients are asked for until the block ends."""
        answer = Dynamo.answer

        def answered(*arguments: Any) -> Any:
            with self.watch.aside():
                return answer(*arguments)

        for client in clients:
            client.meta.events.register_first("before-call", self._called, unique_id="budget")
            client.meta.events.register_first("after-call", self._answered, unique_id="budget-after")
        try:
            self._house.faults.shortcut = False  # what the SDK computes is ours to pay
            with patch.object(Dynamo, "answer", answered):
                yield self.spent
        finally:
            self._house.faults.shortcut = True
            for client in clients:
                client.meta.events.unregister("before-call", unique_id="budget")
                client.meta.events.unregister("after-call", unique_id="budget-after")

    @contextmanager
    def invocation(self, name: str, function: ModuleType) -> Iterator[None]:
        """One invocation of a function: what it writes, and how long it computes."""
        told = io.StringIO()
        self._function, began = name, self.watch.read()
        with patch.object(function.logger.registered_handler, "stream", told), redirect_stdout(told):
            yield
        self.spent.cpu[name] += self.watch.read() - began
        self.spent.invocations[name] += 1
        self.spent.logged[name] += len(told.getvalue().encode())
        for line in told.getvalue().splitlines():
            self.spent.metrics.update(f"{name}: {metric}" for metric in _metrics(json.loads(line)))

    # --- the hooks -------------------------------------------------------------------------------

    def _called(self, model: Any, params: dict[str, Any], **_: Any) -> None:
        with self.watch.aside():
            self.spent.requests[model.name] += 1
            self.spent.asked[self._function] += 1
            if model.service_model.service_name == "dynamodb":
                self._asked = json.loads(params["body"])
                self._before = [(key, self._stands(key)) for key in _written_keys(model.name, self._asked)]

    def _answered(self, model: Any, parsed: dict[str, Any], **_: Any) -> None:
        if model.service_model.service_name != "dynamodb":
            return
        with self.watch.aside():
            self._read(model.name, self._asked, parsed)
            transactional = model.name == "TransactWriteItems"
            for key, old in self._before:
                self._wrote(old, self._stands(key), transactional=transactional)

    def _wrote(self, old: Item | None, new: Item | None, *, transactional: bool) -> None:
        self.spent.wru += write_units(old, new, transactional=transactional)
        self.spent.wru += sum(index_units(index, old, new) for index in INDEXES.values())
        if new is not None and new != old:
            self.spent.written += size(new)
        for sign, image in ((-1, old), (1, new)):
            if image is not None and old != new:
                self.spent.stored[self._kept(image)] += sign * _stored(image)
        if new is not None and new["pk"]["S"].startswith("ACTIVE#"):
            self.spent.bitmaps["written"] += 1

    def _read(self, operation: str, asked: dict[str, Any], got: dict[str, Any]) -> None:
        if operation == "GetItem":
            self._found([got["Item"]] if "Item" in got else [], consistent=asked.get("ConsistentRead", False))
        elif operation == "Query":
            items = got["Items"] if "Items" in got else self._again(asked)
            self._found(items, consistent=asked.get("ConsistentRead", False))
        elif operation == "BatchGetItem":
            found = got["Responses"].get(TABLE, [])
            request = asked["RequestItems"][TABLE]
            consistent = request.get("ConsistentRead", False)
            self.spent.rru += batch_units(found, asked=len(request["Keys"]), consistent=consistent)
            self.spent.read += sum(map(size, found))
            self.spent.bitmaps["read"] += sum(item["pk"]["S"].startswith("ACTIVE#") for item in found)

    def _again(self, asked: dict[str, Any]) -> list[Any]:
        """What a query only counted was read all the same."""
        told = {name: value for name, value in asked.items() if name != "Select"}
        items: list[Any] = self._house.client.query(**told)["Items"]
        return items

    def _found(self, items: list[Any], *, consistent: bool) -> None:
        read = sum(size(item) for item in items)
        self.spent.rru += read_units(read, consistent=consistent)
        self.spent.read += read

    def _stands(self, key: Item) -> Item | None:
        found = self._house.table.state.items.get((key["pk"]["S"], key["sk"]["S"]))
        return None if found is None else plain(found)

    def _kept(self, item: Item) -> str:
        if "expires_at" not in item:
            return "ever"
        return str(round((int(item["expires_at"]["N"]) - self._began) / DAY))


def _written_keys(operation: str, asked: dict[str, Any]) -> Iterator[Item]:
    """The keys of all that a request writes."""
    if operation in SINGLE:
        yield _key(asked)
    for one in asked.get("TransactItems", []):
        yield from map(_key, one.values())
    for table in asked.get("RequestItems", {}).values():
        for one in table if operation == "BatchWriteItem" else ():
            yield from map(_key, one.values())


def _key(write: dict[str, Any]) -> Item:
    whole = write.get("Key") or write["Item"]
    return {name: whole[name] for name in ("pk", "sk")}


def _stored(item: Item) -> int:
    images = (item, *(index.entry(item) for index in INDEXES.values()))
    return sum(size(image) + STORED_BESIDES for image in images if image is not None)


def _metrics(line: dict[str, Any]) -> Iterator[str]:
    """The metrics that a log line carries, each with the dimensions that tell it from its neighbours."""
    for told in line.get("_aws", {}).get("CloudWatchMetrics", []):
        for dimensions in told["Dimensions"]:
            which = [str(line[name]) for name in dimensions if name != "service"]
            yield from (" ".join((metric["Name"], *which)) for metric in told["Metrics"])
