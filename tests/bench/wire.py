"""A wire that answers at once, under real boto3 clients, so that all the CPU there is to measure is boto3's and ours.

Never imports moto: once imported it has its say in every request.
"""

from __future__ import annotations

import json
from bisect import bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

import boto3
from botocore import xform_name
from botocore.awsrequest import AWSRequest, AWSResponse

from shared.app import ONCE, QUICK, App, Settings, session
from shared.ses import Pace
from shared.store.keys import Key
from tests.builders import ROOT, a_playbook

SETTINGS = Settings(
    table="Flywheel",
    mail_queue_url="https://sqs.eu-west-1.amazonaws.com/000000000000/Mail",
    webhook_secret="webhook",
    links_secret="links",
    links_url="https://links.example.com",
    configuration_set="Flywheel",
)

LAST: Key = ("\x7f", "")
"""Sorts after every key."""

Answer = Callable[[dict[str, Any]], Mapping[str, Any]]
Call = tuple[str, str, dict[str, Any]]
"""A service, an operation and its parameters."""


class Wire:
    """Answers every request of this process's boto3 clients by its operation: with the same each time, or as asked."""

    def __init__(self, **answers: Mapping[str, Any] | Answer) -> None:
        self.says(**answers)
        session().set_credentials("id", "key")
        session().set_config_variable("region", "eu-west-1")
        session().register("before-send", self._answer)  # type: ignore[arg-type] # any keywords may come
        boto3.setup_default_session(botocore_session=session())

    def says(self, **answers: Mapping[str, Any] | Answer) -> None:
        """Answer so from now on, and count the requests anew."""
        self.requests: Counter[str] = Counter()
        self._answers = {
            name: answer if callable(answer) else json.dumps(answer).encode() for name, answer in answers.items()
        }
        self._said: dict[tuple[str, bytes], bytes] = {}

    def _answer(self, request: AWSRequest, event_name: str, **_: Any) -> AWSResponse:
        operation = event_name.rpartition(".")[2]
        self.requests[operation] += 1
        answer = self._answers.get(operation, b"{}")
        return _Canned(str(request.url), answer if isinstance(answer, bytes) else self._say(operation, answer, request))

    def _say(self, operation: str, answer: Answer, request: AWSRequest) -> bytes:
        """What was asked before is answered without a thought: only boto3 and our own code are to take time."""
        asked = operation, cast("bytes", request.body)
        if asked not in self._said:
            self._said[asked] = json.dumps(answer(json.loads(request.body))).encode()
        return self._said[asked]

    @contextmanager
    def recorded(self, *clients: Any) -> Iterator[list[Call]]:
        """Every call that is made by these clients meanwhile."""
        calls: list[Call] = []

        def record(params: dict[str, Any], model: Any, **_: Any) -> None:
            calls.append((model.service_model.service_name, xform_name(model.name), dict(params)))

        for one in clients:
            one.meta.events.register("provide-client-params", record)
        yield calls
        for one in clients:
            one.meta.events.unregister("provide-client-params", record)


class _Canned(AWSResponse):  # type: ignore[misc, unused-ignore]
    def __init__(self, url: str, body: bytes) -> None:
        super().__init__(url, 200, {"content-type": "application/json"}, None)  # type: ignore[arg-type]
        self._content = body


@cache
def client(service: Any) -> Any:
    """A client as the App configures it, for the other side."""
    return boto3.client(service, config=ONCE if service == "sesv2" else QUICK)


def replayed(calls: list[Call]) -> None:
    """The same calls by boto3 alone."""
    for service, operation, params in calls:
        getattr(client(service), operation)(**params)


class Table:
    """As much of a table as the reads of a tick and of a mail need; what is written stays away, so it never changes."""

    def __init__(self, items: Iterable[dict[str, Any]]) -> None:
        self._items: dict[Key, dict[str, Any]] = {}
        self._partitions: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._agenda: dict[str, list[tuple[str, Key]]] = defaultdict(list)
        for item in items:
            key = item["pk"]["S"], item["sk"]["S"]
            self._items[key] = item
            self._partitions[key[0]].append(item)
            if "agenda" in item:
                insort(self._agenda[item["agenda"]["S"]], (item["due_at"]["S"], key))

    def batch_get(self, request: dict[str, Any]) -> Mapping[str, Any]:
        """BatchGetItem."""
        [(name, asked)] = request["RequestItems"].items()
        found = (self._items.get((key["pk"]["S"], key["sk"]["S"])) for key in asked["Keys"])
        return {"Responses": {name: [item for item in found if item]}, "UnprocessedKeys": {}}

    def query(self, request: dict[str, Any]) -> Mapping[str, Any]:
        """Query: all of a partition, or of the index `agenda` what is due, in pages."""
        values = request["ExpressionAttributeValues"]
        if request.get("IndexName") != "agenda":
            items = self._partitions[values[":pk"]["S"]]
            return {"Items": items, "Count": len(items)}
        entries = self._agenda[values[":shard"]["S"]]
        after = int(request["ExclusiveStartKey"]["at"]["N"]) if "ExclusiveStartKey" in request else 0
        full = after + request["Limit"]
        until = min(bisect_right(entries, (values[":now"]["S"], LAST)), full)
        items = [self._items[key] for _, key in entries[after:until]]
        more = {"LastEvaluatedKey": {"at": {"N": str(until)}}} if until == full else {}
        return {"Items": items, "Count": len(items), **more}


def an_app(code: Path = ROOT / "shared") -> App:
    """An App over this wire, with the playbook of the repository, and no wait between mails."""
    app = App(SETTINGS, playbook=a_playbook(at_any_hour=True), code=code)
    app.pace = Pace(1e9, monotonic=lambda: 0.0, sleep=lambda _: None)
    return app
