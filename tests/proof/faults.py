"""Faults at botocore's hooks, on real clients: what a network, a service or the end of a process can do to one call."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import SimpleNamespace
from typing import Any, cast

from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from botocore.parsers import create_parser

from tests.proof.dynamo import Canned

WRITES = frozenset(
    {
        *("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"),
        *("SendMessageBatch", "PutEvents", "SendEmail"),
    }
)
"""Calls that change something; of all others it is the same whether they were carried out or not."""

OK = 200

Answer = Callable[[AWSPreparedRequest], AWSResponse]
"""What stands in for a service."""


TOO_MUCH = {"SendEmail": "TooManyRequestsException", "TransactWriteItems": "TransactionInProgressException"}
"""What a service calls it when it is asked too much of."""


class Death(BaseException):
    """The process ends here: nothing of ours may catch it, and whatever tries to go on dies again."""


class Fault(StrEnum):
    """What happens to one call. Where the client tries again by itself, it does: all its attempts are meant."""

    REFUSED = "not applied, the caller sees an error"
    UNHEARD = "applied, the caller sees an error"
    UNHEARD_ONCE = "applied, the first reply is lost"
    THROTTLED = "not applied, the service says that it is too much"
    BROKEN = "applied, the service says that it is broken"
    DIES_BEFORE = "the process dies before it"
    DIES_AFTER = "the process dies after it"


def faults_of(operation: str, *, first: bool) -> list[Fault]:
    """What can happen to a call of this kind that does not come to the same as something else.

    A process leaves behind what it wrote and nothing else: so it is enough that it dies before the `first` call of an
    invocation, and after each one that writes.
    """
    before = [Fault.DIES_BEFORE] if first else []
    if operation not in WRITES:
        return [Fault.REFUSED, *before]
    # SES gets one attempt: to lose the first reply is to lose it. What it says when it refuses is another way of ours.
    own = [Fault.THROTTLED, Fault.BROKEN] if operation == "SendEmail" else [Fault.UNHEARD_ONCE]
    return [Fault.REFUSED, Fault.UNHEARD, *own, *before, Fault.DIES_AFTER]


def _binary(told: dict[str, Any]) -> bool:
    """Whether there is anything in an answer that is not the same before it is read and after."""
    return '"B": ' in json.dumps(told)


class Faults:
    """Counts the calls of the clients it watches, and strikes those that were planned."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self.calls: list[str] = []
        self.plan: dict[int, Fault] = {}
        self.struck: list[tuple[str, Fault]] = []
        self.draw: Callable[[str], Fault | None] = lambda _: None
        self.shortcut = True
        """Whether calls that nothing happens to are answered past most of the SDK."""
        self.meanwhile: Callable[[str], None] = lambda _: None
        """What others do while a worker is between two calls."""
        self._answers = answers
        self._dead = False
        self._fault: Fault | None = None
        self._attempts = 0
        self._parsers: dict[str, Any] = {}

    def watch(self, client: Any) -> None:
        """Stand at a client's hooks, once."""
        hooks = client.meta.events
        hooks.register("choose-signer", lambda **_: UNSIGNED, unique_id="proof-unsigned")  # nobody here asks who calls
        hooks.register_first("before-call", self._before, unique_id="proof")
        hooks.register_first("before-send", self._sending, unique_id="proof-sending")
        hooks.register_last("before-send", self._sent, unique_id="proof-sent")
        hooks.register_last("after-call", self._after, unique_id="proof-after")
        # Where to, of an operation, is the same each time, and finding it out is a tenth of what a call costs.
        client._ruleset_resolver.construct_endpoint = _remembered(client._ruleset_resolver.construct_endpoint)

    def leave(self, client: Any) -> None:
        """Take the hooks off a client again."""
        hooks = client.meta.events
        hooks.unregister("choose-signer", unique_id="proof-unsigned")
        hooks.unregister("before-call", unique_id="proof")
        hooks.unregister("before-send", unique_id="proof-sending")
        hooks.unregister("before-send", unique_id="proof-sent")
        hooks.unregister("after-call", unique_id="proof-after")
        vars(client._ruleset_resolver).pop("construct_endpoint", None)

    def begin(self, plan: Mapping[int, Fault] | None = None) -> None:
        """Count from 1 again, and strike the calls of these numbers."""
        self.calls, self.plan, self.struck, self._dead = [], dict(plan or {}), [], False
        self._fault = None

    def revive(self) -> None:
        """A new process begins."""
        self._dead = False

    def _before(self, model: Any, params: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]] | None:
        if self._dead:
            raise Death
        self.meanwhile(model.name)
        self.calls.append(model.name)
        self._attempts = 0
        self._fault = self.plan.get(len(self.calls)) or self.draw(model.name)
        if self._fault is not None:
            self.struck.append((f"{len(self.calls)}: {model.name}", self._fault))
        if self._fault is Fault.DIES_BEFORE:
            self._die()
        return self._at_once(model, params) if self.shortcut and not self._fault else None

    def _at_once(self, model: Any, params: dict[str, Any]) -> tuple[AWSResponse, dict[str, Any]] | None:
        """The answer to a call that nothing happens to, past the SDK's signing and retries, which saves half the time.

        None for a refusal, which has changed nothing and is asked for again on the long way.
        """
        answer = self._answers[model.name](cast("AWSPreparedRequest", SimpleNamespace(**params)))
        if answer.status_code != OK:
            return None
        if isinstance(answer, Canned) and isinstance(answer.told, dict) and not _binary(answer.told):
            return answer, {**answer.told, "ResponseMetadata": {"HTTPStatusCode": OK}}
        protocol = model.service_model.resolved_protocol
        parser = self._parsers.get(protocol) or self._parsers.setdefault(protocol, create_parser(protocol))
        told = {"body": answer.content, "headers": answer.headers, "status_code": answer.status_code}
        return answer, parser.parse(told, model.output_shape)

    def _sending(self, request: AWSPreparedRequest, event_name: str, **_: Any) -> AWSResponse:
        self._attempts += 1
        if self._fault is Fault.REFUSED:
            raise EndpointConnectionError(endpoint_url="https://aws.example.com")
        operation = event_name.rpartition(".")[2]
        if self._fault is Fault.THROTTLED:
            return Canned({"__type": TOO_MUCH.get(operation, "ThrottlingException"), "message": "too much"}, 429)
        answer = self._answers[operation](request)
        return Canned({"__type": "InternalFailure", "message": "no"}, 500) if self._fault is Fault.BROKEN else answer

    def _sent(self, **_: Any) -> None:
        if self._fault is Fault.UNHEARD or (self._fault is Fault.UNHEARD_ONCE and self._attempts == 1):
            raise ReadTimeoutError(endpoint_url="https://aws.example.com")

    def _after(self, **_: Any) -> None:
        if self._fault is Fault.DIES_AFTER:
            self._die()

    def _die(self) -> None:
        self._dead = True
        raise Death


def _remembered(resolve: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[str, Any] = {}

    def resolved(operation_model: Any, call_args: Any, request_context: Any) -> Any:
        name = operation_model.name
        if name not in known:
            known[name] = resolve(operation_model=operation_model, call_args=call_args, request_context=request_context)
        return known[name]

    return resolved
