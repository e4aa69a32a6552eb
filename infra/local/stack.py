"""Flywheel deployed on this machine: the synthesised stack, put by the CDK's command line into MiniStack.

What MiniStack does otherwise than AWS, as far as it matters here:
- a function that fails on a stream batch, or on records of it, gets the same batch every second, without bisecting and
  without an end to it, until it is too old (the records by our `gateway`: MiniStack takes them for done);
- a worker that dies has its call answered 502, its batch of a queue come again when the queue's time is over, its batch
  of the stream after a second, its scheduled or asynchronous call twice more within seconds, and then as a dead letter;
- the stream and the schedules run by this machine's clock; `<aws.scheduler.scheduled-time>` is left unfilled;
- there are no SES events, and headers and tags of a mail are not kept: `feed_back` brings events;
- IAM is not enforced, and neither are reserved concurrency of the account, throttles of the HTTP API and TTL.
"""

from __future__ import annotations

import base64
import json
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import boto3
import httpx

from infra import STACK, node, secret
from infra.local.assembly import assembly
from infra.local.ministack import ACCOUNT, REGION, MiniStack, tail
from infra.local.quiet import Watch
from shared.errors import FlywheelError
from shared.model import stamp
from shared.store import keys

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sqs import SQSClient

SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Schedule:
    """A deployed schedule: when it fires, which function it invokes, and with what input (JSON)."""

    name: str
    expression: str
    function_arn: str
    input: str


class LocalStack:
    """A deployed Flywheel on this machine. Use `running()`, which ends it again."""

    def __init__(self, machine: MiniStack) -> None:
        self.machine = machine
        self._connections = ExitStack()
        self.dynamodb: DynamoDBClient = self._client("dynamodb")
        self.lambda_: LambdaClient = self._client("lambda")
        self.scheduler: EventBridgeSchedulerClient = self._client("scheduler")
        self.ssm = self._client("ssm")
        self.sesv2: SESV2Client = self._client("sesv2")
        self.sqs: SQSClient = self._client("sqs")
        self._http = self._connections.enter_context(httpx.Client(base_url=machine.url, timeout=60))

    def close(self) -> None:
        """Close every connection to it."""
        self._connections.close()

    # --- as an operator --------------------------------------------------------------------------

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs by name."""
        cloudformation: CloudFormationClient = self._client("cloudformation")
        (stack,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def make_secrets(self, webhooks: Mapping[str, list[str]]) -> None:
        """Make the secrets, and give each platform's, as an operator does."""
        secret.make(self.ssm, STACK, {})
        secret.put(self.ssm, STACK, "webhooks", json.dumps(dict(webhooks)))

    def secret(self, output: str) -> dict[str, str]:
        """A secret of the stack's own, by the output that names its parameter."""
        return secret.read(self.ssm, self.outputs[output])

    def verify_senders(self) -> None:
        """Make SES identities of the domains that the deployed playbook's mails are from, as an operator does."""
        for domain in self.outputs["SenderDomains"].split(","):
            self.sesv2.create_email_identity(EmailIdentity=domain)

    def schedules(self) -> list[Schedule]:
        """The deployed schedules, in the order of their names."""
        names = sorted(found["Name"] for found in self.scheduler.list_schedules()["Schedules"])
        return [_schedule(self.scheduler.get_schedule(Name=name)) for name in names]

    def pause_schedules(self) -> None:
        """Disable the deployed schedules, through the API, so that only `fire` fires them."""
        for schedule in self.schedules():
            got = self.scheduler.get_schedule(Name=schedule.name)
            self.scheduler.update_schedule(
                Name=schedule.name,
                ScheduleExpression=got["ScheduleExpression"],
                FlexibleTimeWindow=got["FlexibleTimeWindow"],
                Target=got["Target"],
                State="DISABLED",
            )

    # --- time and what it brings -----------------------------------------------------------------

    def set_clock(self, now: datetime) -> None:
        """Let every function see exactly this instant, until the next one is set."""
        pk, sk = keys.LOCAL_CLOCK
        item = {"pk": {"S": pk}, "sk": {"S": sk}, "now": {"S": stamp(now)}}
        self.dynamodb.put_item(TableName=self.outputs["TableName"], Item=item)

    def fire(self, schedule: Schedule, at: datetime) -> Any:  # noqa: ANN401 - whatever the function returns
        """Invoke a schedule's function with the schedule's own input, as of `at`; FlywheelError when it fails."""
        return self.invoke(schedule.function_arn, schedule.input.replace(SCHEDULED_TIME, stamp(at)))

    def feed_back(self, event: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever the function returns
        """Give an SES event to the function that its rule names; FlywheelError when it fails."""
        return self.invoke(self.outputs["MailFeedbackFunction"], json.dumps(event))

    def invoke(self, function: str, payload: str) -> Any:  # noqa: ANN401 - whatever the function returns
        """Invoke a function and wait for its answer; FlywheelError with the end of its log when it fails."""
        got = self.lambda_.invoke(FunctionName=function, Payload=payload.encode(), LogType="Tail")
        answer = json.loads(got["Payload"].read() or b"null")
        if "FunctionError" in got:
            log = base64.b64decode(got.get("LogResult", "")).decode(errors="replace")
            raise FlywheelError(f"{function} failed: {json.dumps(answer)}\n{log}")
        return answer

    @cached_property
    def watch(self) -> Watch:
        """Knows whether what was set going has come to rest."""
        streams: DynamoDBStreamsClient = self._client("dynamodbstreams")
        table = self.dynamodb.describe_table(TableName=self.outputs["TableName"])["Table"]
        return Watch(
            log=self.machine.log,
            streams=streams,
            stream_arn=table["LatestStreamArn"],
            sqs=self.sqs,
            queue_urls=(self.outputs["RewardQueueUrl"], self.outputs["MailQueueUrl"]),
        )

    def quiet(self, timeout: float = 60, *, logged: bool = True) -> None:
        """Wait until every log item has been reacted to, and every reward told and mail sent that was queued.

        Not `logged`: nothing has been logged since it was so, and only the queues need to be looked at.
        Raises FlywheelError with what failed when that does not come within `timeout` seconds.
        """
        self.watch.quiet(timeout, logged=logged)

    # --- as the outside world --------------------------------------------------------------------

    @property
    def host(self) -> str:
        """The host name under which the HTTP API answers; `*.localhost` is loopback for curl and browsers."""
        return httpx.URL(self.outputs["WebhooksUrl"]).netloc.decode()

    def http(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own options
        """A request through the HTTP API; `path` begins with `/webhooks/` or `/l/`."""
        headers = {**dict(options.pop("headers", None) or {}), "host": self.host}
        return self._http.request(method, path, headers=headers, **options)

    def inbox(self) -> list[dict[str, Any]]:
        """Every mail that was sent, oldest first, as MiniStack keeps it."""
        got = self._http.get("/_ministack/ses/messages")
        messages: list[dict[str, Any]] = got.raise_for_status().json()["messages"].get(ACCOUNT, [])
        return messages

    def _client(self, service: str) -> Any:  # noqa: ANN401 - boto3's own classes, made at run time
        client = boto3.client(
            service,
            endpoint_url=self.machine.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - MiniStack takes any
        )
        return self._connections.enter_context(closing(client))


@contextmanager
def running(
    *,
    port: int | None = None,
    virtual_time: bool = True,
    secrets: Mapping[str, list[str]] | None = None,
    context: dict[str, Any] | None = None,
    tell: Tell = lambda _: None,
) -> Iterator[LocalStack]:
    """Start and deploy everything, hand it over, and end everything, whatever happens in between.

    `virtual_time`: functions ask the clock that `set_clock` sets, and schedules fire only by `fire`; without it, all
    runs by the real clock. `port`: on loopback, a free one by default. `secrets`: of webhooks, by platform. `context`:
    the CDK's, such as another `playbook`. `tell` is called with a few words before each step.
    Raises UsageError when the port is in use, and FlywheelError when a step fails.
    """
    with _terminable():
        tell("Starting the local AWS")
        machine = MiniStack(port, {"FLYWHEEL_LOCAL_CLOCK": "1"} if virtual_time else {})
        try:
            machine.wait_until_healthy()
            tell("Synthesising the stack")
            with ThreadPoolExecutor(1) as pool:
                bootstrapped = pool.submit(bootstrap, machine)
                made = assembly(context)
                bootstrapped.result()
            tell("Deploying it with the CDK")
            deploy(machine, made)
            with closing(LocalStack(machine)) as stack:
                stack.make_secrets(secrets or {})
                stack.verify_senders()
                if virtual_time:
                    stack.pause_schedules()
                yield stack
        finally:
            machine.stop()


def bootstrap(machine: MiniStack) -> None:
    """Prepare the account for the CDK, as one does once; FlywheelError with the end of the CDK's log when it fails."""
    _cdk(machine, "bootstrap", f"aws://{ACCOUNT}/{REGION}")


def deploy(machine: MiniStack, made: Path) -> None:
    """Deploy as one does to an account; FlywheelError with the end of the CDK's log when it fails."""
    _cdk(machine, "deploy", STACK, "--app", str(made), "--require-approval", "never", "--method", "direct")


def _cdk(machine: MiniStack, *arguments: str) -> None:
    log = machine.folder / "cdk.log"
    environment = machine.environment() | {
        "CDK_HOME": str(machine.folder / "cdk"),
        "CDK_DISABLE_CLI_TELEMETRY": "true",
    }
    with log.open("ab") as output:
        line = node.command("cdk", *arguments, "--no-notices", "--no-color", "--ci")
        # Not in the project's folder, where cdk.json would have the app synthesised again.
        ran = subprocess.run(line, cwd=machine.folder, env=environment, stdout=output, stderr=output, check=False)
    if ran.returncode:
        raise FlywheelError(f"cdk {arguments[0]} failed; {log} ends with:\n{tail(log)}")


def _schedule(got: Any) -> Schedule:  # noqa: ANN401 - boto3's answer
    return Schedule(got["Name"], got["ScheduleExpression"], got["Target"]["Arn"], got["Target"].get("Input", "{}"))


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end this process as an exception, so that what it started is ended too."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
