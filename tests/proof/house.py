"""What all worlds of a run share: one client a service, compiled mails, secrets, and who answers in AWS's place."""

from __future__ import annotations

import io
import json
import logging
import os
import tempfile
import types
import warnings
from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.useragent import UserAgentString

from functions import (
    links,
    mail_feedback,
    mail_followups,
    mailer,
    manager_report,
    metrics_rollup,
    onboarding,
    react,
    reengagement,
    referral_rewards,
    reward_notices,
    webhooks,
)
from infra.mails import compile_mails
from shared.app import App, client, session
from shared.charts import png
from shared.mail import Mails
from shared.pages import Pages
from tests.builders import ROOT
from tests.golden import SECRETS
from tests.proof.dynamo import Canned, Dynamo, answered_by
from tests.proof.faults import Answer, Faults
from tests.receiver import Receiver, receiving

OF_THE_TABLE = (
    *("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"),
    *("GetItem", "BatchGetItem", "Query", "Scan"),
)

FUNCTIONS = {
    one.__name__.rpartition(".")[2]: one
    for one in (
        *(links, mail_feedback, mail_followups, mailer, manager_report, metrics_rollup, onboarding),
        *(react, reengagement, referral_rewards, reward_notices, webhooks),
    )
}


@dataclass
class Outside:
    """What others were told by us: mails that SES accepted, by the tag of their intent; events of our bus; messages.

    `part(n)`: how many of n messages a queue takes at once. `taken` is told of each mail that SES takes.
    """

    accepted: Counter[str] = field(default_factory=Counter)
    message_ids: dict[str, str] = field(default_factory=dict)
    on_bus: Counter[str] = field(default_factory=Counter)
    queued: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    part: Callable[[int], int] = lambda count: count
    taken: Callable[[str], None] = lambda _: None

    def accept(self, request: AWSPreparedRequest) -> AWSResponse:
        """SES takes a mail."""
        told = json.loads(cast("bytes", request.body))
        [tag] = [one["Value"] for one in told["EmailTags"] if one["Name"] == "send"]
        self.accepted[tag] += 1
        self.taken(tag)
        number = self.accepted.total()
        self.message_ids[f"ses-{number}"] = tag
        return Canned({"MessageId": f"ses-{number}"})

    def put_events(self, request: AWSPreparedRequest) -> AWSResponse:
        """Our bus takes events."""
        entries = json.loads(cast("bytes", request.body))["Entries"]
        self.on_bus.update(json.loads(entry["Detail"])["id"] for entry in entries)
        return Canned({"FailedEntryCount": 0, "Entries": [{"EventId": "e"} for _ in entries]})

    def enqueue(self, request: AWSPreparedRequest) -> AWSResponse:
        """A queue takes messages, not always all of them."""
        told = json.loads(cast("bytes", request.body))
        done = self.part(len(told["Entries"]))
        self.queued[told["QueueUrl"]] += [entry["MessageBody"] for entry in told["Entries"][:done]]
        failed = [{"Id": one["Id"], "Code": "InternalError", "SenderFault": False} for one in told["Entries"][done:]]
        taken = [{"Id": one["Id"], "MessageId": "m", "MD5OfMessageBody": ""} for one in told["Entries"][:done]]
        return Canned({"Successful": taken, "Failed": failed})


class _Nowhere(io.StringIO):
    """Takes log lines and keeps none."""

    def write(self, text: str) -> int:
        return len(text)


@dataclass
class House:
    """Opened once, for many worlds one after the other."""

    mails: Mails
    pages: Pages
    code: Path
    secrets: dict[str, Any]
    receiver: Receiver
    outside: Outside = field(default_factory=Outside)
    table: Dynamo = field(default_factory=Dynamo)
    app: Callable[[], App] | None = None

    def __post_init__(self) -> None:
        answers: dict[str, Answer] = {
            **dict.fromkeys(OF_THE_TABLE, self._of_the_table),
            "SendEmail": self._by_outside(Outside.accept),
            "PutEvents": self._by_outside(Outside.put_events),
            "SendMessageBatch": self._by_outside(Outside.enqueue),
            "GetParameter": self._tell_secret,
        }
        self.faults = Faults(answers)
        self.client = boto3.client("dynamodb", region_name="eu-west-1")
        """The table as the outside reaches it: no call of its is ever struck."""
        answered_by(self.client, self._of_the_table)

    def _of_the_table(self, request: AWSPreparedRequest) -> AWSResponse:
        return self.table.answer(request)

    def _by_outside(self, way: Callable[[Outside, AWSPreparedRequest], AWSResponse]) -> Answer:
        """By whoever is outside when it is asked: each world has its own."""
        return lambda request: way(self.outside, request)

    def _tell_secret(self, request: AWSPreparedRequest) -> AWSResponse:
        name = json.loads(cast("bytes", request.body))["Name"]
        return Canned({"Parameter": {"Name": name, "Value": json.dumps(self.secrets[name])}})

    def fresh(self) -> None:
        """Nothing has been told to anybody."""
        self.outside = Outside()
        self.receiver.deliveries.clear()
        self.receiver.replies.clear()


@contextmanager
def opened() -> Iterator[House]:
    """A house, closed when the block ends."""
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, _environment()))
        loud = logging.getLogger("botocore")
        stack.callback(loud.setLevel, loud.level)
        loud.setLevel(logging.ERROR)  # it tells of every call, to whoever listens at the root
        for made_before in (client, session):
            made_before.cache_clear()
            stack.callback(made_before.cache_clear)
        # The SDK's waits between its attempts are real time, which nothing here is about.
        at_once = types.SimpleNamespace(sleep=lambda _: None)
        stack.enter_context(patch("botocore.endpoint.time", at_once))
        # What each request costs that no answer here depends on: who we say we are, and a number for the attempt.
        stack.enter_context(patch.object(UserAgentString, "to_string", lambda _: "proof"))
        stack.enter_context(patch("botocore.endpoint.uuid", types.SimpleNamespace(uuid4=lambda: "attempt")))
        stack.enter_context(patch("shared.editions.png", _drawn_once(png)))
        code = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        compile_mails(ROOT / "shared" / "mails", code / "mails")
        (code / "pages").symlink_to(ROOT / "shared" / "pages")
        house = House(
            mails=Mails(code / "mails"),
            pages=Pages(code / "pages"),
            code=code,
            secrets=_secrets(),
            receiver=stack.enter_context(receiving()),
        )
        _wire(house, stack)
        yield house


def _environment() -> dict[str, str]:
    return {
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "POWERTOOLS_METRICS_NAMESPACE": "Flywheel",
    }


def _drawn_once(draw: Callable[..., bytes]) -> Callable[..., bytes]:
    """The same chart is the same picture, however often a report is made again."""
    drawn: dict[str, bytes] = {}

    def once(chart: Any, told: Any) -> bytes:
        name = repr(chart)
        if name not in drawn:
            drawn[name] = draw(chart, told)
        return drawn[name]

    return once


def _secrets() -> dict[str, Any]:
    return {
        "links": {"current": "1", "1": "a-link-key"},
        "webhook": {platform: [secret] for platform, secret in SECRETS.items()},
        "rewards": {"current": "whsec_" + b64encode(b"the key that signs rewards now.").decode()},
    }


def _wire(house: House, stack: ExitStack) -> None:
    """Every function finds the App of the world that is on, and writes its log nowhere."""
    nowhere = _Nowhere()
    for function in FUNCTIONS.values():
        stack.enter_context(patch.object(function, "app", lambda: house.app() if house.app else None))
        stack.enter_context(patch.object(function.logger.registered_handler, "stream", nowhere))
        if hasattr(function, "metrics"):
            stack.enter_context(patch.object(function.metrics.provider, "namespace", "Flywheel"))
    stack.enter_context(warnings.catch_warnings())
    warnings.filterwarnings("ignore", message="No application metrics")
