"""A whole App on moto, with every request counted and SES ready to misbehave."""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ReadTimeoutError
from moto import mock_aws

from infra import cli
from infra.mails import compile_mails
from shared.app import App, Settings, client, session
from shared.mail import Mails
from shared.pages import Pages
from shared.ses import Pace
from shared.store.sends import LINE
from tests.aws.callers import judge
from tests.builders import JOINED, ROOT, a_playbook

REWARDS_KEY = "whsec_" + b64encode(b"the key that signs rewards now.").decode()
REWARDS_KEY_BEFORE = "whsec_" + b64encode(b"the key that signed them before").decode()


class Wire:
    """What went over the wire: requests by operation, mails, events of our bus, and what SES is to answer next."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.mails: list[dict[str, Any]] = []
        self.bus: list[dict[str, Any]] = []
        self.ses_answers: list[Callable[[], AWSResponse | None]] = []
        self.lost_replies = 0

    def count(self, model: Any, params: dict[str, Any], **_: Any) -> None:
        self.requests[model.name] += 1
        if model.name == "SendEmail":
            self.mails.append(json.loads(params["body"]))
        if model.name == "PutEvents":
            self.bus += json.loads(params["body"])["Entries"]

    def answer(self, **_: Any) -> AWSResponse | None:
        return self.ses_answers.pop(0)() if self.ses_answers else None

    def lose(self, **_: Any) -> None:
        if self.lost_replies:
            self.lost_replies -= 1
            raise ReadTimeoutError(endpoint_url="https://email.example.com")

    def ses_will_answer(self, status: int, code: str) -> None:
        """Let SES's next answer be this error."""
        body = json.dumps({"message": "no"}).encode()
        headers = {"x-amzn-errortype": code, "content-type": "application/json"}
        self.ses_answers.append(lambda: _Canned(status, headers, body))

    def reads(self) -> int:
        return sum(self.requests[name] for name in ("GetItem", "BatchGetItem", "Query"))

    def writes(self) -> int:
        return sum(self.requests[name] for name in ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"))


class _Canned(AWSResponse):  # type: ignore[misc, unused-ignore]
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__("https://email.example.com", status, headers, None)  # type: ignore[arg-type]
        self._content = body


@pytest.fixture(scope="session")
def aws() -> Iterator[Wire]:
    """moto for the whole session, and one client a service: making them is most of what a test would cost."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        patch.setattr(boto3, "client", cache(boto3.client))
        client.cache_clear()
        session.cache_clear()
        boto3.setup_default_session(botocore_session=session())
        wire = Wire()
        events = session().get_component("event_emitter")
        events.register("before-call.*.*", wire.count)
        events.register("provide-client-params.dynamodb.*", judge)
        events.register_first("before-send.sesv2.SendEmail", wire.answer)
        events.register("after-call.sesv2.SendEmail", wire.lose)
        boto3.client("sesv2").create_email_identity(EmailIdentity="hello@community.example.com")
        boto3.client("events").create_event_bus(Name="flywheel")
        yield wire
    boto3.DEFAULT_SESSION = None
    client.cache_clear()
    session.cache_clear()


@pytest.fixture
def wire(aws: Wire) -> Wire:
    """The wire, with nothing counted yet."""
    aws.__init__()  # type: ignore[misc]
    return aws


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the bundle holds beside the code: compiled mails, pages."""
    folder = tmp_path_factory.mktemp("code")
    compile_mails(ROOT / "shared" / "mails", folder / "mails")
    (folder / "pages").symlink_to(ROOT / "shared" / "pages")
    return folder


@pytest.fixture(scope="session")
def templates(code: Path) -> tuple[Mails, Pages]:
    """The mails and pages, whose templates are compiled once: that is most of what a first mail costs."""
    return Mails(code / "mails"), Pages(code / "pages")


@pytest.fixture(scope="session")
def secrets(aws: Wire) -> dict[str, str]:  # noqa: ARG001 - moto must be there first
    """The secrets, made once."""
    told = {
        "links": {"current": "1", "1": "a-link-key"},
        "webhook": {"slack": ["a-signing-secret"]},
        "rewards": {"current": REWARDS_KEY, "previous": REWARDS_KEY_BEFORE},
    }
    for name, one in told.items():
        boto3.client("ssm").put_parameter(Name=f"/flywheel/{name}", Value=json.dumps(one), Type="SecureString")
    return {name: f"/flywheel/{name}" for name in told}


class Clock:
    """The App's clock, set by the test."""

    def __init__(self) -> None:
        self.now: datetime = JOINED


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(
    wire: Wire,
    code: Path,
    templates: tuple[Mails, Pages],
    secrets: dict[str, str],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> App:
    """An App over a fresh table, fresh queues, secrets, a bus and a verified sender."""
    name = f"flywheel-{uuid4().hex}"
    _create_table(name)
    app = App(
        Settings(
            table=name,
            mail_queue_url=boto3.client("sqs").create_queue(QueueName=name)["QueueUrl"],
            reward_queue_url=boto3.client("sqs").create_queue(QueueName=f"{name}-rewards")["QueueUrl"],
            rewards_secret=secrets["rewards"],
            event_bus="flywheel",
            links_url="https://links.example.com",
            webhook_secret=secrets["webhook"],
            links_secret=secrets["links"],
            configuration_set="flywheel",
            rollup_readers=1,  # moto is not safe under threads
        ),
        playbook=a_playbook(),
        code=code,
    )
    app.mails, app.pages = templates
    app.pace = Pace(1e9, monotonic=lambda: 0.0, sleep=lambda _: None)
    monkeypatch.setattr(app, "clock", lambda: clock.now)
    wire.requests.clear()
    return app


def _create_table(name: str) -> None:
    boto3.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"}
            for name in ("pk", "sk", "agenda", "due_at", "planned_on", "came_in")
        ],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "agenda",
                "KeySchema": [
                    {"AttributeName": "agenda", "KeyType": "HASH"},
                    {"AttributeName": "due_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            },
            {
                "IndexName": "sends",
                "KeySchema": [
                    {"AttributeName": "planned_on", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(LINE)},
            },
            {
                "IndexName": "late",
                "KeySchema": [
                    {"AttributeName": "came_in", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            },
        ],
    )


Run = Callable[..., tuple[int | str, str, str]]


@pytest.fixture
def flywheel(app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a `flywheel` command on the test's table; its exit code, and what it said on either stream."""

    def run(*arguments: str, answer: str = "") -> tuple[int | str, str, str]:
        monkeypatch.setattr(sys, "argv", ["flywheel", *arguments, "--table", app.settings.table])
        monkeypatch.setattr(sys, "stdin", StringIO(answer))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return run
