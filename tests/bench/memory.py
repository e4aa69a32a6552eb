"""A table, a queue and an SES in memory, at the wire: what botocore would send is answered before it leaves us.

So all of boto3's own work is done and measured, and no network's. It understands what our store asks on the way of a
mail, and raises for anything else. Safe under threads.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from functools import cache
from itertools import count
from threading import Lock
from time import process_time, sleep
from types import CodeType
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse

Item = dict[str, Any]
Request = dict[str, Any]

_WORDS = {"AND": "and", "OR": "or", "NOT": "not", "IN": "in", "=": "=="}


class Answer(AWSResponse):  # type: ignore[misc, unused-ignore]
    """What a service would have answered."""

    def __init__(self, body: Mapping[str, Any], *, status: int = 200, **headers: str) -> None:
        super().__init__("https://example.com", status, {"content-type": "application/json", **headers}, None)  # type: ignore[arg-type]
        self._content = json.dumps(body).encode()


class Memory:
    """The services: `requests` counts by operation, `queued` are bodies of messages, `mails` counts mails by tag.

    `spent` is how many seconds of CPU the answers took.
    """

    def __init__(self, *, latency: float = 0) -> None:
        """`latency` is how many seconds the table takes to answer."""
        self._latency = latency
        self.requests: Counter[str] = Counter()
        self.queued: list[str] = []
        self.mails: Counter[str] = Counter()
        self.items: defaultdict[str, dict[str, Item]] = defaultdict(dict)
        self._agenda: defaultdict[str, dict[str, Item]] = defaultdict(dict)
        self._unread: dict[str, list[Item]] = {}
        self._lock, self._numbers = Lock(), count()
        self.last_mail: dict[str, Any] = {}
        self.spent = 0.0

    def answer_all(self) -> None:
        """Answer every request of every client that the default session makes from now on."""
        events = boto3._get_default_session()._session.get_component("event_emitter")
        events.register("before-send.ssm", self._on_secret)
        events.register("before-send.dynamodb", self._timed(self._on_table))
        events.register("before-send.sqs.SendMessageBatch", self._timed(self._on_queue))
        if "AWS_ENDPOINT_URL_SESV2" not in os.environ:
            events.register("before-send.sesv2", self._timed(self._on_mail))

    def forget(self) -> None:
        """Be as at the beginning."""
        for kept in (self.requests, self.queued, self.mails, self.items, self._agenda, self._unread):
            kept.clear()

    def _timed(self, answer: Callable[..., Answer]) -> Callable[..., Answer]:
        def timed(**told: object) -> Answer:
            began = process_time()
            try:
                return answer(**told)
            finally:
                self.spent += process_time() - began

        return timed

    def _on_table(self, request: Any, **_: object) -> Answer:
        operation = request.headers["X-Amz-Target"].decode().partition(".")[2]
        asked: Request = json.loads(request.body)
        sleep(self._latency)
        with self._lock:
            self.requests[operation] += 1
            answers: Mapping[str, Callable[[Request], Answer]] = {
                "GetItem": self._get,
                "BatchGetItem": self._get_all,
                "Query": self._query,
                "PutItem": self._put,
                "UpdateItem": self._update,
            }
            return answers[operation](asked)

    def _on_secret(self, **_: object) -> Answer:
        return Answer({"Parameter": {"Value": json.dumps({"current": "1", "1": "a-link-key"})}})

    def _on_queue(self, request: Any, **_: object) -> Answer:
        entries = json.loads(request.body)["Entries"]
        with self._lock:
            self.requests["SendMessageBatch"] += 1
            self.queued += [entry["MessageBody"] for entry in entries]
        return Answer({"Successful": [{"Id": entry["Id"], "MessageId": entry["Id"]} for entry in entries]})

    def _on_mail(self, request: Any, **_: object) -> Answer:
        if request.method == "GET":
            return Answer({"SendQuota": {"MaxSendRate": 1e6}})
        mail = json.loads(request.body)
        self.last_mail = mail
        with self._lock:
            self.requests["SendEmail"] += 1
            self.mails[mail["EmailTags"][0]["Value"]] += 1
            return Answer({"MessageId": f"mail{next(self._numbers)}"})

    def _at(self, key: Item) -> Item:
        return self.items[key["pk"]["S"]].get(key["sk"]["S"], {})

    def _get(self, asked: Request) -> Answer:
        found = self._at(asked["Key"])
        return Answer({"Item": found} if found else {})

    def _get_all(self, asked: Request) -> Answer:
        found = {table: list(filter(None, map(self._at, one["Keys"]))) for table, one in asked["RequestItems"].items()}
        return Answer({"Responses": found, "UnprocessedKeys": {}})

    def _query(self, asked: Request) -> Answer:
        """A page of what there was when the first was asked for: an index is no newer than that on AWS, either."""
        partition = asked["ExpressionAttributeValues"][asked["KeyConditionExpression"].split()[2]]["S"]
        indexed = asked.get("IndexName") == "agenda"
        if "ExclusiveStartKey" not in asked:
            items = (self._agenda if indexed else self.items)[partition].values()
            found = [item for item in items if _holds(asked, "KeyConditionExpression", item)]
            self._unread[partition] = sorted(found, key=lambda item: str(item["due_at" if indexed else "sk"]["S"]))
        page, rest = (
            self._unread[partition][: asked.get("Limit")],
            self._unread[partition][asked.get("Limit", 10**9) :],
        )
        self._unread[partition] = rest
        more = {"LastEvaluatedKey": {"pk": page[-1]["pk"], "sk": page[-1]["sk"]}} if rest else {}
        return Answer({"Items": page, "Count": len(page), **more})

    def _put(self, asked: Request) -> Answer:
        return self._replace(asked, asked["Item"], lambda _: asked["Item"])

    def _update(self, asked: Request) -> Answer:
        return self._replace(asked, asked["Key"], lambda old: {**asked["Key"], **_updated(asked, old)})

    def _replace(self, asked: Request, key: Item, change: Callable[[Item], Item]) -> Answer:
        old = self._at(key)
        if "ConditionExpression" in asked and not _holds(asked, "ConditionExpression", old):
            refused = {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}
            return Answer({**refused, **({"Item": old} if old else {})}, status=400)
        new = change(old)
        self.items[key["pk"]["S"]][key["sk"]["S"]] = new
        if "agenda" in new:
            self._agenda[new["agenda"]["S"]][f"{key['pk']['S']} {key['sk']['S']}"] = new
        return Answer({})


def _holds(asked: Request, which: str, item: Item) -> bool:
    """Whether a request's condition holds of an item ({} when there is none)."""
    names, values = asked.get("ExpressionAttributeNames", {}), asked.get("ExpressionAttributeValues", {})
    known = {"item": item, "values": values, "plain": _plain}
    return bool(eval(_condition(_named(asked[which], names)), known))  # noqa: S307 - our own store's conditions


def _named(expression: str, names: Mapping[str, str]) -> str:
    return re.sub(r"#\w+", lambda found: names[found[0]], expression) if names else expression


@cache
def _condition(expression: str) -> CodeType:
    """A condition as Python says it."""
    chained = re.sub(r"(\w+) BETWEEN (:\w+) AND (:\w+)", r"\2 <= \1 <= \3", expression)
    asked = re.sub(r"attribute_(not_)?exists\((\w+)\)", r"('\2' \1in item)", chained).replace("not_in", "not in")
    words = re.sub(r"'\w+'|:?\w+|=(?!=)(?<![<>]=)", lambda found: _word(found[0]), asked)
    return compile(words, expression, "eval")


def _word(word: str) -> str:
    if word in _WORDS:
        return _WORDS[word]
    if word[0] == "'" or word in {"in", "not", "item"}:
        return word
    return f"plain(values['{word}'])" if word[0] == ":" else f"plain(item.get('{word}'))"


def _plain(attribute: Item | None) -> object:
    """What an attribute holds, as it can be compared; None when it is not there."""
    if attribute is None:
        return None
    [(kind, value)] = attribute.items()
    return int(value) if kind == "N" else value


def _updated(asked: Request, old: Item) -> Item:
    """What an item becomes; all changes see it as it was."""
    values = asked["ExpressionAttributeValues"]
    expression = _named(asked["UpdateExpression"], asked.get("ExpressionAttributeNames", {}))
    sets, _, removes = expression.removeprefix("SET ").partition(" REMOVE ")
    terms = (term.split(" = ", 1) for term in re.split(r", (?=\w+ = )", sets))
    kept = {name: value for name, value in old.items() if name not in removes.split(", ")}
    return kept | {name: _term(term, old, values) for name, term in terms}


def _term(term: str, old: Item, values: Mapping[str, Item]) -> Item:
    if " + " in term:
        parts = (_plain(_term(part, old, values)) for part in term.split(" + "))
        return {"N": str(sum(part for part in parts if isinstance(part, int)))}
    if told := re.fullmatch(r"if_not_exists\((\w+), (:\w+)\)", term):
        return old.get(told[1]) or values[told[2]]
    return values[term]
