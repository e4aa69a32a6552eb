"""`flywheel doctor`: is it alive? Everything is asked once, on one screen, and nothing is changed.

What cannot be asked, for want of a permission or an answer, is itself a finding; the others are still told.
"""

from __future__ import annotations

import io
import json
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from zipfile import ZipFile

import boto3
import typer
from botocore.exceptions import ClientError
from rich.table import Column, Table
from rich.text import Text

from infra import ROOT, STACK, findings, records, secret
from infra.findings import Finding
from infra.letters import QUEUES, function_name
from infra.operate import deployed, now_of, outputs, region
from infra.terminal import Json, PlaybookFile, StackName, TableName, out, print_json, read_playbook
from shared.app import QUICK
from shared.errors import UsageError
from shared.members import zone_of
from shared.playbook import Playbook
from shared.store import Store
from shared.watching import balance, oldest_due

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sqs import SQSClient

EVER = timedelta(days=400)
"""How far back a measured day tells that measuring has begun."""

LATELY = timedelta(days=7)
"""How far back it is looked for events, where no day was measured yet."""

IN_HANDS = "ApproximateNumberOfMessagesNotVisible"
"""Messages that were received and neither deleted nor given back."""

TICKS = 6
"""The schedules that do not depend on the playbook."""

MAPPINGS = 3
"""The log, the mail queue and the reward queue."""

OUTPUTS = (
    *(f"{queue}QueueUrl" for queue in QUEUES),
    "MailQueueUrl",
    "RewardQueueUrl",
    "WebhookSecret",
    "LinksSecret",
    "RewardsSecret",
    "SenderDomains",
    "MailFeedbackFunction",
    "Functions",
)

COLOURS = {"fine": "green", "look": "yellow", "act": "red", "unseen": "magenta"}

Fetch = Callable[[str], bytes]


@dataclass(frozen=True, kw_only=True)
class Patient:
    """A deployed stack and what is known of it: `outputs` by name, the playbook here, and the time there.

    `fetch` gets what an address of AWS's holds; `lookup` asks the DNS, where that is wanted.
    """

    store: Store
    playbook: Playbook
    outputs: Mapping[str, str]
    now: datetime
    fetch: Fetch
    lookup: records.Lookup | None = None

    @property
    def functions(self) -> frozenset[str]:
        """The names of the stack's own functions."""
        return frozenset(self.outputs["Functions"].split(","))


Dns = Annotated[bool, typer.Option("--dns", help="Also look up DMARC, DKIM and SPF of the senders' domains.")]


def doctor(
    *,
    table: TableName = None,
    stack: StackName = STACK,
    playbook: PlaybookFile = ROOT / "playbook.yaml",
    dns: Dns = False,
    as_json: Json = False,
) -> None:
    """Look whether everything is well: one screen; the exit code is 1 when something has to be done, for cron."""
    rules = read_playbook(playbook)
    with deployed(table=table, stack=stack) as store:
        told = outputs(OUTPUTS, stack)
        lookup = records.looking() if dns else None
        patient = Patient(store=store, playbook=rules, outputs=told, now=now_of(store), fetch=_fetch)
        found = examine(replace(patient, lookup=lookup))
    if as_json:
        print_json({"well": not findings.worst(found), "findings": [asdict(finding) for finding in found]})
    else:
        out.print(_screen(found), soft_wrap=True)
    raise typer.Exit(findings.worst(found))


def examine(patient: Patient) -> list[Finding]:
    """Everything that is looked at, in the order in which a person should care."""
    return [finding for name, check in CHECKS.items() for finding in _seen(name, check, patient)]


def _seen(name: str, check: Check, patient: Patient) -> list[Finding]:
    try:
        found = check(patient)
    except Exception as exc:  # noqa: BLE001 - what is broken here may be what is to be found; the others are still told
        code = exc.response["Error"]["Code"] if isinstance(exc, ClientError) else type(exc).__name__
        return [Finding(name=name, state="unseen", text=f"could not be asked: {code}")]
    return found if isinstance(found, list) else [found]


# --- the table -----------------------------------------------------------------------------------


def _agenda(patient: Patient) -> Finding:
    return findings.agenda(oldest_due(patient.store, patient.now), patient.now)


def _ledger(patient: Patient) -> list[Finding]:
    mails = balance(patient.store, patient.now)
    return [findings.ledger(mails), findings.parked(mails)]


def _marketing(patient: Patient) -> Finding:
    zone = zone_of(None, patient.playbook)
    return findings.marketing(patient.store.pause(), patient.playbook.breaker, zone=zone, now=patient.now)


def _measured(patient: Patient) -> Finding:
    today = patient.now.astimezone(UTC).date()
    days = [rollup.day for rollup in patient.store.rollups(today - EVER, today) if rollup.closed]
    since_yesterday = not days and _came_by(patient.now - timedelta(days=1), patient)
    zone = zone_of(None, patient.playbook)
    return findings.measured(days, since_yesterday=since_yesterday, zone=zone, now=patient.now)


def _came_by(moment: datetime, patient: Patient) -> bool:
    """Whether any event had come by then, of those that came on one of some days before it."""
    return any(True for _ in patient.store.received(moment - LATELY, moment))


# --- what moves ----------------------------------------------------------------------------------


def _dead(patient: Patient) -> Finding:
    # Also those that are being looked at, or were when a command was killed: nobody sees them for up to 15 minutes.
    return findings.dead({queue: _waiting(patient, queue) + _waiting(patient, queue, IN_HANDS) for queue in QUEUES})


def _queues(patient: Patient) -> Finding:
    waiting = {queue: _waiting(patient, queue) for queue in ("Mail", "Reward")}
    age = "ApproximateAgeOfOldestMessage"
    names = {queue: patient.outputs[f"{queue}QueueUrl"].rsplit("/", 1)[-1] for queue in waiting}
    ages = {queue: _latest("AWS/SQS", age, patient, QueueName=name) for queue, name in names.items()}
    return findings.queues(waiting, {queue: timedelta(seconds=age) for queue, age in ages.items() if age is not None})


def _waiting(patient: Patient, queue: str, name: Any = "ApproximateNumberOfMessages") -> int:  # noqa: ANN401 - a literal
    client: SQSClient = _client("sqs")
    told = client.get_queue_attributes(QueueUrl=patient.outputs[f"{queue}QueueUrl"], AttributeNames=[name])
    return int(told["Attributes"][name])


def _stream(patient: Patient) -> Finding:
    reacting = next((name for name, source, _ in _mappings(patient) if ":dynamodb:" in source), "")
    age = _latest("AWS/Lambda", "IteratorAge", patient, FunctionName=reacting)
    return findings.stream(timedelta(milliseconds=age) if age is not None else None)


def _triggers(patient: Patient) -> list[Finding]:
    mappings = {name: state for name, _, state in _mappings(patient)}
    expected = TICKS + len(patient.playbook.reports.kinds)
    return [
        findings.triggers("schedules", dict(_schedules(patient)), expected),
        findings.triggers("mappings", mappings, MAPPINGS),
    ]


def _schedules(patient: Patient) -> Iterator[tuple[str, str]]:
    """The schedules that wake functions of the stack, with their states."""
    client: EventBridgeSchedulerClient = _client("scheduler")
    for page in client.get_paginator("list_schedules").paginate():
        for schedule in page["Schedules"]:
            if function_name(schedule["Target"]["Arn"]) in patient.functions:
                yield schedule["Name"], schedule["State"]


def _mappings(patient: Patient) -> list[tuple[str, str, str]]:
    """What feeds functions of the stack from a queue or a stream: the function's name, the source and the state."""
    client: LambdaClient = _client("lambda")
    found = [
        one
        for page in client.get_paginator("list_event_source_mappings").paginate()
        for one in page["EventSourceMappings"]
    ]
    told = [(function_name(one["FunctionArn"]), one["EventSourceArn"], one["State"]) for one in found]
    return [one for one in told if one[0] in patient.functions]


# --- mail ----------------------------------------------------------------------------------------


def _account(patient: Patient) -> Finding:  # noqa: ARG001 - every check takes the patient
    client: SESV2Client = _client("sesv2")
    return findings.account(client.get_account())


def _reputation(patient: Patient) -> Finding:
    rates = [_latest("AWS/SES", f"Reputation.{kind}Rate", patient) for kind in ("Bounce", "Complaint")]
    return findings.reputation(rates[0], rates[1], patient.playbook.breaker)


def _identities(patient: Patient) -> list[Finding]:
    client: SESV2Client = _client("sesv2")
    domains = patient.outputs["SenderDomains"].split(",")
    return [findings.identity(domain, client.get_email_identity(EmailIdentity=domain)) for domain in domains]


def _records(patient: Patient) -> list[Finding]:
    """What the DNS says of each sender's domain; nothing where it is not to be asked."""
    if patient.lookup is None:
        return []
    client: SESV2Client = _client("sesv2")
    sent = client.get_account().get("SendQuota", {}).get("SentLast24Hours", 0)
    domains = patient.outputs["SenderDomains"].split(",")
    told = {domain: client.get_email_identity(EmailIdentity=domain) for domain in domains}
    return [
        finding
        for domain, identity in told.items()
        for finding in records.examine(domain, identity, sent=sent, lookup=patient.lookup)
    ]


# --- what was set --------------------------------------------------------------------------------


def _secrets(patient: Patient) -> Finding:
    told = {name: _secret(patient, name) for name in ("Webhook", "Links", "Rewards")}
    return findings.secrets(told, patient.playbook.platforms)


def _secret(patient: Patient, name: str) -> dict[str, Any] | None:
    """What a secret holds; None when it is not there, or no JSON object."""
    try:
        return secret.read(_client("ssm"), patient.outputs[f"{name}Secret"])
    except UsageError:
        return None


def _playbook(patient: Patient) -> Finding:
    client: LambdaClient = _client("lambda")
    code = client.get_function(FunctionName=patient.outputs["MailFeedbackFunction"])["Code"]
    with ZipFile(io.BytesIO(patient.fetch(code["Location"]))) as bundle:
        there = json.loads(bundle.read("shared/playbook.json"))
    return findings.playbook(same=there == json.loads(patient.playbook.model_dump_json(by_alias=True)))


Check = Callable[[Patient], Finding | list[Finding]]

CHECKS: dict[str, Check] = {
    "dead letters": _dead,
    "agenda": _agenda,
    "stream": _stream,
    "queues": _queues,
    "ledger": _ledger,
    "marketing mail": _marketing,
    "measuring": _measured,
    "ses": _account,
    "reputation": _reputation,
    "identities": _identities,
    "dns": _records,
    "secrets": _secrets,
    "schedules and mappings": _triggers,
    "playbook": _playbook,
}
"""Everything that is looked at, by the name of what could not be asked."""


def _latest(namespace: str, metric: str, patient: Patient, **dimensions: str) -> float | None:
    """The greatest value of a metric within the last quarter of an hour, or None; SES tells its own more rarely."""
    hours = 24 if namespace == "AWS/SES" else 0.25
    told = _client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=patient.now - timedelta(hours=hours),
        EndTime=patient.now,
        Period=int(hours * 3600),
        Statistics=["Maximum"],
    )
    return max((point["Maximum"] for point in told["Datapoints"]), default=None)


def _client(service: Any) -> Any:  # noqa: ANN401 - boto3's own types go by literal names
    return boto3.client(service, region_name=region(), config=QUICK)


def _fetch(url: str) -> bytes:
    """What is behind an address that Lambda has just signed."""
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - AWS's own address, from its own answer
        got: bytes = answer.read()
    return got


def _screen(found: list[Finding]) -> Table:
    table = Table(Column(), Column(), Column(overflow="fold"), box=None, show_header=False, padding=(0, 2, 0, 0))
    for finding in found:
        more = f"  docs/runbooks/{finding.runbook}.md" if finding.runbook else ""
        table.add_row(Text(finding.state, COLOURS[finding.state]), finding.name, Text(f"{finding.text}{more}"))
    return table
