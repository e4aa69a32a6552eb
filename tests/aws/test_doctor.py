"""`flywheel doctor` against a stack: what it asks, what it finds, and that nothing unseen passes as well."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4
from zipfile import ZipFile

import boto3
import pytest
from botocore.stub import Stubber

from infra import doctor, records
from infra.findings import Finding
from infra.letters import QUEUES
from infra.records import Unanswered
from shared import balance
from shared.app import QUICK, App
from shared.model import Due, Pause, SendStatus
from shared.rollups import Rollup
from tests.aws.conftest import Run
from tests.aws.test_operate import a_stack
from tests.builders import JOINED, a_playbook, a_send, posted
from tests.unit.test_findings import HEALTHY

NOW = JOINED + timedelta(days=1)
ARN = "arn:aws:lambda:eu-west-1:111122223333:function:"
SERVICES = ("cloudwatch", "lambda", "scheduler", "sesv2")
AWS_SAYS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "cloudwatch": [("get_metric_statistics", {"Datapoints": []})] * 5,
    "lambda": [
        (
            "list_event_source_mappings",
            {
                "EventSourceMappings": [
                    {"FunctionArn": f"{ARN}Flywheel-{name}-x", "EventSourceArn": source, "State": "Enabled"}
                    for name, source in (
                        ("react", "arn:aws:dynamodb:eu-west-1:1:table/t/stream/s"),
                        ("mailer", "arn:aws:sqs:eu-west-1:1:mail"),
                        ("reward_notices", "arn:aws:sqs:eu-west-1:1:reward"),
                    )
                ]
            },
        )
    ]
    * 2,
    "scheduler": [
        (
            "list_schedules",
            {
                "Schedules": [
                    {"Name": f"s{number}", "State": "ENABLED", "Target": {"Arn": f"{ARN}Flywheel-onboarding-x"}}
                    for number in range(9)
                ]
                + [{"Name": "theirs", "State": "DISABLED", "Target": {"Arn": f"{ARN}payroll"}}]
            },
        )
    ],
    "sesv2": [
        ("get_account", HEALTHY),
        ("get_email_identity", {"VerifiedForSendingStatus": True, "DkimAttributes": {"Status": "SUCCESS"}}),
    ],
}
"""What a healthy account answers, in the order in which it is asked."""


def bundled(*, changed: bool = False) -> bytes:
    """A bundle with the playbook in it, or with one that was edited since."""
    playbook = a_playbook().model_dump(mode="json", by_alias=True)
    playbook["postal_address"] = "elsewhere" if changed else playbook["postal_address"]
    made = io.BytesIO()
    with ZipFile(made, "w") as bundle:
        bundle.writestr("shared/playbook.json", json.dumps(playbook))
    return made.getvalue()


@pytest.fixture
def aws_says() -> Iterator[dict[str, Stubber]]:
    """An account in which all is well; a test may say otherwise before it asks."""
    with ExitStack() as stack:
        said = {}
        for service in SERVICES:
            client = boto3.client(service, region_name=None, config=QUICK)
            said[service] = stack.enter_context(Stubber(client))
            for operation, answer in AWS_SAYS[service]:
                said[service].add_response(operation, deepcopy(answer))
        said["lambda"].add_response("get_function", {"Code": {"Location": "https://bundle.example.com"}})
        yield said


@pytest.fixture
def told(app: App) -> dict[str, str]:
    """The outputs of the stack."""
    sqs, parameter = boto3.client("sqs"), f"/{uuid4().hex}/webhooks"
    made = {f"{name}QueueUrl": sqs.create_queue(QueueName=f"{name}-{uuid4().hex}")["QueueUrl"] for name in QUEUES}
    webhooks = {platform: ["a-secret"] for platform in a_playbook().platforms}
    boto3.client("ssm").put_parameter(Name=parameter, Value=json.dumps(webhooks), Type="SecureString")
    return made | {
        "MailQueueUrl": app.settings.mail_queue_url,
        "RewardQueueUrl": app.settings.reward_queue_url,
        "WebhookSecret": parameter,
        "LinksSecret": app.settings.links_secret,
        "RewardsSecret": app.settings.rewards_secret,
        "SenderDomains": "community.example.com",
        "MailFeedbackFunction": "Flywheel-mail_feedback-x",
        "Functions": ",".join(f"Flywheel-{name}-x" for name in ("react", "mailer", "reward_notices", "onboarding")),
    }


@pytest.fixture
def patient(app: App, told: dict[str, str]) -> doctor.Patient:
    """A stack in which all is well: yesterday is measured, a mail has gone, an item is due later."""
    app.store.put_rollup(Rollup(day=JOINED.date(), computed_at=NOW, closed=True))
    app.store.skip(a_send("welcome", status=SendStatus.SENT, planned_at=JOINED))
    app.store.arm(a_due("onboarding", NOW + timedelta(days=1)))
    return doctor.Patient(
        store=app.store,
        playbook=a_playbook(),
        outputs=told,
        now=NOW,
        fetch=lambda _: bundled(),
    )


def a_due(programme: str, moment: datetime) -> Due:
    return Due(programme=programme, member_id="m1", key=moment.isoformat(), due_at=moment)


def states(found: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.state for finding in found if finding.state != "fine"}


@pytest.mark.usefixtures("aws_says")
class TestExamine:
    def test_a_healthy_stack_needs_nobody(self, patient: doctor.Patient) -> None:
        found = doctor.examine(patient)
        assert states(found) == {}
        assert len(found) == len(doctor.CHECKS) + 1  # parked mails, and mappings beside schedules; but not the DNS

    def test_a_dead_letter_is_found(self, patient: doctor.Patient, told: dict[str, str]) -> None:
        boto3.client("sqs").send_message(QueueUrl=told["DeadLogQueueUrl"], MessageBody="{}")
        assert states(doctor.examine(patient)) == {"dead letters": "act"}

    def test_an_overdue_item_of_any_programme_is_found(self, patient: doctor.Patient, app: App) -> None:
        for programme in balance.PATIENCE:
            app.store.arm(a_due(programme, NOW - timedelta(hours=1)))
        app.store.set_plan("onboarding", 0, "a plan")
        [agenda] = [finding for finding in doctor.examine(patient) if finding.name == "agenda"]
        assert agenda.state == "act"
        assert set(agenda.facts) == set(balance.PATIENCE)

    def test_a_lost_claim_and_a_parked_mail_are_found(self, patient: doctor.Patient, app: App) -> None:
        lost = {"status": SendStatus.CLAIMED, "token": "t", "lease_until": JOINED}
        app.store.skip(a_send("check_in", planned_at=JOINED, **lost))
        app.store.skip(a_send("survey", planned_at=JOINED, status=SendStatus.PARKED, reason="in_doubt"))
        assert states(doctor.examine(patient)) == {"ledger": "act", "parked mails": "look"}

    def test_paused_marketing_mail_is_found(self, patient: doctor.Patient, app: App) -> None:
        app.store.trip(Pause(tripped_at=JOINED, reason="bounces"))
        assert states(doctor.examine(patient)) == {"marketing mail": "act"}

    def test_a_day_that_was_not_measured_is_found(self, patient: doctor.Patient) -> None:
        assert states(doctor.examine(replace(patient, now=NOW + timedelta(days=1)))) == {"measuring": "act"}

    def test_a_day_that_was_measured_before_it_was_over_is_found(self, patient: doctor.Patient, app: App) -> None:
        app.store.put_rollup(Rollup(day=NOW.date(), computed_at=NOW, closed=False))
        assert states(doctor.examine(replace(patient, now=NOW + timedelta(days=1)))) == {"measuring": "act"}

    @pytest.mark.parametrize(("hours", "state"), [(23, "look"), (24, "act"), (7 * 24, "act")])
    def test_that_no_day_was_ever_measured_is_found_a_day_after_the_first_event(
        self, patient: doctor.Patient, app: App, hours: int, state: str
    ) -> None:
        long_after = NOW + timedelta(days=500)  # the rollup of the healthy stack is out of sight
        came = long_after - timedelta(hours=hours)
        app.store.log([posted(at=came - timedelta(days=900), received_at=came)])
        [found] = [one for one in doctor.examine(replace(patient, now=long_after)) if one.name == "measuring"]
        assert found.state == state

    def test_letters_that_a_killed_command_still_holds_are_found(
        self, patient: doctor.Patient, told: dict[str, str]
    ) -> None:
        sqs, url = boto3.client("sqs"), told["DeadLogQueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody="{}")
        sqs.receive_message(QueueUrl=url, VisibilityTimeout=900)
        assert states(doctor.examine(patient)) == {"dead letters": "act"}

    @pytest.mark.parametrize("held", ["{'slack': ['x']}", "[]", "null"])
    def test_a_secret_that_is_no_json_object_is_found(
        self, patient: doctor.Patient, told: dict[str, str], held: str
    ) -> None:
        boto3.client("ssm").put_parameter(Name=told["WebhookSecret"], Value=held, Overwrite=True)
        assert states(doctor.examine(patient)) == {"secrets": "act"}

    def test_what_makes_a_check_stumble_is_told_and_so_are_the_others(
        self, patient: doctor.Patient, told: dict[str, str]
    ) -> None:
        boto3.client("sqs").send_message(QueueUrl=told["DeadLogQueueUrl"], MessageBody="{}")
        broken = replace(patient, fetch=lambda _: b"no bundle")
        found = doctor.examine(broken)
        assert states(found) == {"dead letters": "act", "playbook": "unseen"}
        assert [one.text for one in found if one.state == "unseen"] == ["could not be asked: BadZipFile"]

    def test_a_platform_without_a_secret_is_found(self, patient: doctor.Patient, told: dict[str, str]) -> None:
        boto3.client("ssm").put_parameter(Name=told["WebhookSecret"], Value="{}", Overwrite=True)
        assert states(doctor.examine(patient)) == {"secrets": "act"}

    def test_a_secret_that_was_never_made_is_found(self, patient: doctor.Patient, told: dict[str, str]) -> None:
        boto3.client("ssm").delete_parameter(Name=told["WebhookSecret"])
        assert states(doctor.examine(patient)) == {"secrets": "act"}

    def test_another_playbook_than_the_deployed_is_found(self, patient: doctor.Patient) -> None:
        edited = replace(patient, fetch=lambda _: bundled(changed=True))
        assert states(doctor.examine(edited)) == {"playbook": "look"}

    def test_the_dns_is_asked_only_where_that_is_wanted(
        self, patient: doctor.Patient, aws_says: dict[str, Stubber]
    ) -> None:
        for operation, answer in AWS_SAYS["sesv2"]:
            aws_says["sesv2"].add_response(operation, deepcopy(answer))
        asked: list[str] = []

        def lookup(name: str, kind: str) -> list[str]:
            asked.append(f"{kind} {name}")
            return []

        found = doctor.examine(replace(patient, lookup=lookup))
        assert states(found) == {"DMARC of community.example.com": "look", "DKIM of community.example.com": "look"}
        assert asked == [f"TXT _dmarc.{name}" for name in ("community.example.com", "example.com")]


class TestUnseen:
    def test_what_may_not_be_asked_is_a_finding_of_its_own(
        self, patient: doctor.Patient, aws_says: dict[str, Stubber]
    ) -> None:
        _still_to_come(aws_says["scheduler"]).clear()
        aws_says["scheduler"].add_client_error("list_schedules", "AccessDeniedException")
        found = doctor.examine(patient)
        assert states(found) == {"schedules and mappings": "unseen"}
        [unseen] = [finding for finding in found if finding.state == "unseen"]
        assert unseen.text == "could not be asked: AccessDeniedException"

    @pytest.mark.parametrize("ours", [True, False])
    def test_mappings_of_another_stack_whose_name_begins_as_ours_are_not_ours(
        self, patient: doctor.Patient, aws_says: dict[str, Stubber], *, ours: bool
    ) -> None:
        for answer in list(_still_to_come(aws_says["lambda"]))[:2]:
            mappings = answer["response"][1]["EventSourceMappings"]
            for name, source in (
                ("react", "dynamodb:eu-west-1:1:table/theirs/stream/s"),
                ("mailer", "sqs:eu-west-1:1:m"),
            ):
                function = f"{ARN}Flywheel-trial-{name}-y"
                mappings.append({"FunctionArn": function, "EventSourceArn": f"arn:aws:{source}", "State": "Enabled"})
            if not ours:
                del mappings[1]
        assert states(doctor.examine(patient)) == ({} if ours else {"mappings": "act"})

    def test_a_switched_off_mapping_is_found(self, patient: doctor.Patient, aws_says: dict[str, Stubber]) -> None:
        queue = _still_to_come(aws_says["lambda"])
        queue[1]["response"][1]["EventSourceMappings"][1]["State"] = "Disabled"
        assert states(doctor.examine(patient)) == {"mappings": "act"}


class TestCommand:
    @pytest.fixture
    def run(self, patient: doctor.Patient, flywheel: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        """Runs `flywheel doctor` on the test's stack; its exit code, and what it printed."""
        monkeypatch.setattr(doctor, "now_of", lambda _: NOW)
        monkeypatch.setattr(doctor, "_fetch", patient.fetch)
        cloudformation = boto3.client("cloudformation", region_name=None, config=QUICK)

        with Stubber(cloudformation) as stubber:
            stubber.add_response("describe_stacks", a_stack(**patient.outputs), {"StackName": "Flywheel"})
            yield lambda *arguments: flywheel("doctor", *arguments)[:2]

    @pytest.mark.usefixtures("aws_says")
    def test_a_healthy_stack_is_one_screen_and_exit_code_0(self, run: Any) -> None:
        code, screen = run()
        assert (code, screen.count("\n") <= 24, "fine" in screen) == (0, True, True)

    @pytest.mark.usefixtures("aws_says")
    def test_what_has_to_be_done_is_exit_code_1_with_its_runbook(self, run: Any, told: dict[str, str]) -> None:
        boto3.client("sqs").send_message(QueueUrl=told["DeadLogQueueUrl"], MessageBody="{}")
        code, screen = run()
        assert (code, "docs/runbooks/dead-letters.md" in screen) == (1, True)

    def test_an_option_has_the_dns_asked(
        self, run: Any, aws_says: dict[str, Stubber], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for operation, answer in AWS_SAYS["sesv2"]:
            aws_says["sesv2"].add_response(operation, deepcopy(answer))

        def silent(name: str, kind: str) -> list[str]:
            raise Unanswered(f"the DNS did not answer for {kind} {name}")

        monkeypatch.setattr(records, "looking", lambda: silent)
        code, said = run("--dns", "--json")
        [unseen] = [one for one in json.loads(said)["findings"] if one["state"] == "unseen"]
        assert (code, unseen["name"]) == (1, "DMARC of community.example.com")
        assert unseen["text"] == "the DNS did not answer for TXT _dmarc.community.example.com"

    @pytest.mark.usefixtures("aws_says")
    def test_scripts_read_json(self, run: Any) -> None:
        code, said = run("--json")
        read = json.loads(said)
        assert (code, read["well"]) == (0, True)
        assert {"name": "dead letters", "state": "fine"}.items() <= read["findings"][0].items()


def _still_to_come(stubber: Any) -> Any:
    """The answers that a stub has not given yet."""
    return stubber._queue
