from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra import ROOT, STACK, bundle, doctor, letters
from infra.secret import NAMES, parameter
from shared.app import Settings
from shared.store.sends import LINE
from tests.infra.conftest import Template


def of_type(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    return {name: found["Properties"] for name, found in template["Resources"].items() if found["Type"] == kind}


def functions(template: Template) -> dict[str, dict[str, Any]]:
    found = of_type(template, "AWS::Lambda::Function").values()
    return {properties["Handler"].split(".")[1]: properties for properties in found}


def test_every_function_module_is_deployed(template: Template) -> None:
    modules = {file.stem for file in (ROOT / "functions").glob("*.py")} - {"__init__"}
    assert set(functions(template)) == modules


def test_every_function_has_its_own_role(template: Template) -> None:
    roles = [properties["Role"]["Fn::GetAtt"][0] for properties in functions(template).values()]
    assert len(set(roles)) == len(roles)


def test_production_never_has_the_local_clock(template: Template) -> None:
    assert "LOCAL_CLOCK" not in json.dumps(template)


def test_environment_holds_only_known_settings(template: Template) -> None:
    known = {f"FLYWHEEL_{name.upper()}" for name in Settings.model_fields}
    for name, properties in functions(template).items():
        variables = properties["Environment"]["Variables"]
        assert {key for key in variables if key.startswith("FLYWHEEL_")} <= known
        assert variables["POWERTOOLS_SERVICE_NAME"] == name


def test_functions_run_on_arm_and_this_python(template: Template) -> None:
    for properties in functions(template).values():
        assert properties["Architectures"] == ["arm64"]
        assert properties["Runtime"] == f"python{bundle.python_version()}"


def test_every_log_group_forgets(template: Template) -> None:
    groups = of_type(template, "AWS::Logs::LogGroup")
    assert all(properties["RetentionInDays"] for properties in groups.values())
    assert {properties["LoggingConfig"]["LogGroup"]["Ref"] for properties in functions(template).values()} <= set(
        groups
    )


def test_table_is_kept_and_recoverable(template: Template) -> None:
    (table,) = of_type(template, "AWS::DynamoDB::Table").values()
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["DeletionProtectionEnabled"] is True
    kept = [one for one in template["Resources"].values() if one["Type"] == "AWS::DynamoDB::Table"]
    assert [one["DeletionPolicy"] for one in kept] == ["Retain"]


def test_secrets_outlive_the_stack(template: Template) -> None:
    # They are none of its resources; what it knows of them are their names.
    assert of_type(template, "AWS::SSM::Parameter") == of_type(template, "AWS::SecretsManager::Secret") == {}
    named = {template["Outputs"][f"{name}Secret"]["Value"] for name in ("Webhook", "Links", "Rewards")}
    assert named == {parameter(STACK, name) for name in NAMES}


def test_agenda_index_is_sparse_by_key(template: Template) -> None:
    (table,) = of_type(template, "AWS::DynamoDB::Table").values()
    (index,) = [one for one in table["GlobalSecondaryIndexes"] if one["IndexName"] == "agenda"]
    assert (index["IndexName"], [key["AttributeName"] for key in index["KeySchema"]]) == (
        "agenda",
        ["agenda", "due_at"],
    )
    assert index["Projection"] == {"ProjectionType": "ALL"}


def test_late_events_are_found_by_when_they_came(template: Template) -> None:
    (table,) = of_type(template, "AWS::DynamoDB::Table").values()
    (index,) = [one for one in table["GlobalSecondaryIndexes"] if one["IndexName"] == "late"]
    assert [key["AttributeName"] for key in index["KeySchema"]] == ["came_in", "sk"]
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}


def test_the_stack_names_all_of_its_functions(template: Template) -> None:
    named = {part["Ref"] for part in template["Outputs"]["Functions"]["Value"]["Fn::Join"][1] if part != ","}
    assert named == of_type(template, "AWS::Lambda::Function").keys()


def test_the_ledger_by_day_holds_what_is_read_of_it_and_no_more(template: Template) -> None:
    (table,) = of_type(template, "AWS::DynamoDB::Table").values()
    (index,) = [one for one in table["GlobalSecondaryIndexes"] if one["IndexName"] == "sends"]
    assert [key["AttributeName"] for key in index["KeySchema"]] == ["planned_on", "sk"]
    assert index["Projection"] == {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(LINE)}


def test_react_sees_only_new_log_items(template: Template) -> None:
    (mapping,) = [
        one for one in of_type(template, "AWS::Lambda::EventSourceMapping").values() if "FilterCriteria" in one
    ]
    (pattern,) = [json.loads(one["Pattern"]) for one in mapping["FilterCriteria"]["Filters"]]
    assert pattern == {"eventName": ["INSERT"], "dynamodb": {"Keys": {"pk": {"S": [{"prefix": "LOG#"}]}}}}
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert mapping["MaximumRetryAttempts"] > 0


def test_batches_report_partial_failures(template: Template) -> None:
    for mapping in of_type(template, "AWS::Lambda::EventSourceMapping").values():
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_whatever_fails_ends_in_a_dead_letter_queue(template: Template) -> None:
    streams = [
        one for one in of_type(template, "AWS::Lambda::EventSourceMapping").values() if "StartingPosition" in one
    ]
    asynchronous = of_type(template, "AWS::Lambda::EventInvokeConfig").values()
    rules = [one for rule in of_type(template, "AWS::Events::Rule").values() for one in rule["Targets"]]
    schedules = [one["Target"] for one in of_type(template, "AWS::Scheduler::Schedule").values()]
    assert all("OnFailure" in one["DestinationConfig"] for one in [*streams, *asynchronous])
    assert all("DeadLetterConfig" in one and "RetryPolicy" in one for one in [*rules, *schedules])
    targets = {json.dumps(one["Arn"]) for one in [*rules, *schedules]}
    assert {json.dumps({"Fn::GetAtt": [one["FunctionName"]["Ref"], "Arn"]}) for one in asynchronous} == targets


DELIVERS = {
    "AWS::Lambda::EventSourceMapping": "a stream's has its own queue, and a queue has one for its dead letters",
    "AWS::Lambda::EventInvokeConfig": "has a queue for what its function failed at",
    "AWS::Events::Rule": "each target has a queue",
    "AWS::Scheduler::Schedule": "its target has a queue",
    "AWS::ApiGatewayV2::Integration": "answers whoever asked, who tries again",
    "AWS::StepFunctions::StateMachine": "the day stays marked, so the next tick tries again; an alarm tells",
    "AWS::SES::ConfigurationSetEventDestination": "SES hands over to the bus, and has no queue for what it cannot",
}
"""Everything that hands something on, and what becomes of what it cannot hand on."""

HOLDS = {
    *("AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::ApiMapping", "AWS::ApiGatewayV2::DomainName"),
    *("AWS::ApiGatewayV2::Route", "AWS::ApiGatewayV2::Stage", "AWS::Budgets::Budget", "AWS::CloudWatch::Alarm"),
    *("AWS::CloudWatch::Dashboard", "AWS::DynamoDB::Table", "AWS::Events::EventBus", "AWS::IAM::Policy"),
    *("AWS::IAM::Role", "AWS::Lambda::Function", "AWS::Lambda::LayerVersion", "AWS::Lambda::Permission"),
    *("AWS::Logs::LogGroup", "AWS::SES::ConfigurationSet", "AWS::SQS::Queue", "AWS::SQS::QueuePolicy"),
}
"""Everything that hands on nothing by itself."""

BY_ITSELF = {"apigateway.amazonaws.com": False, "events.amazonaws.com": True}
"""Who may invoke a function, and whether they do so without waiting for its answer; schedules have a role of theirs."""


def test_nothing_hands_on_what_no_rule_of_dead_letters_knows(template: Template, other_template: Template) -> None:
    found = {one["Type"] for each in (template, other_template) for one in each["Resources"].values()}
    assert found == DELIVERS.keys() | HOLDS


def test_who_is_invoked_without_being_waited_for_has_a_queue(template: Template) -> None:
    permissions = list(of_type(template, "AWS::Lambda::Permission").values())
    assert {one["Principal"] for one in permissions} == BY_ITSELF.keys()
    invoked = {one["FunctionName"]["Fn::GetAtt"][0] for one in permissions if BY_ITSELF[one["Principal"]]}
    schedules = of_type(template, "AWS::Scheduler::Schedule").values()
    invoked |= {one["Target"]["Arn"]["Fn::GetAtt"][0] for one in schedules}
    with_queue = {one["FunctionName"]["Ref"] for one in of_type(template, "AWS::Lambda::EventInvokeConfig").values()}
    assert invoked == with_queue


def test_whatever_is_given_up_is_where_the_command_looks(template: Template) -> None:
    """Each way of failing ends in a queue that `flywheel dead` reads, and it reads none that nothing ends in."""
    streams = of_type(template, "AWS::Lambda::EventSourceMapping").values()
    asynchronous = of_type(template, "AWS::Lambda::EventInvokeConfig").values()
    queues = of_type(template, "AWS::SQS::Queue")
    given = [one["EventSourceArn"]["Fn::GetAtt"][0] for one in streams if "StartingPosition" not in one]
    ends = [queues[name]["RedrivePolicy"]["deadLetterTargetArn"] for name in given]
    ends += [one["DestinationConfig"]["OnFailure"]["Destination"] for one in streams if "StartingPosition" in one]
    ends += [one["DestinationConfig"]["OnFailure"]["Destination"] for one in asynchronous]
    ends += [one["Target"]["DeadLetterConfig"]["Arn"] for one in of_type(template, "AWS::Scheduler::Schedule").values()]
    rules = [one for rule in of_type(template, "AWS::Events::Rule").values() for one in rule["Targets"]]
    ends += [one["DeadLetterConfig"]["Arn"] for one in rules]
    read = {template["Outputs"][f"{queue}QueueUrl"]["Value"]["Ref"] for queue in letters.QUEUES}
    assert {one["Fn::GetAtt"][0] for one in ends} == read


@pytest.mark.parametrize(("queue", "worker"), [("Mail", "mailer"), ("Reward", "reward_notices")])
def test_a_queue_outlasts_its_worker(template: Template, queue: str, worker: str) -> None:
    (found,) = [
        one
        for name, one in of_type(template, "AWS::SQS::Queue").items()
        if name.startswith(f"{queue}Queue") and "RedrivePolicy" in one
    ]
    assert found["VisibilityTimeout"] >= 6 * functions(template)[worker]["Timeout"]


def test_a_mailer_is_given_what_it_takes_to_use_all_of_its_rate(template: Template) -> None:
    (queue,) = [
        name
        for name, one in of_type(template, "AWS::SQS::Queue").items()
        if name.startswith("MailQueue") and "RedrivePolicy" in one
    ]
    (mapping,) = [
        one
        for one in of_type(template, "AWS::Lambda::EventSourceMapping").values()
        if one["EventSourceArn"] == {"Fn::GetAtt": [queue, "Arn"]}
    ]
    mailer = functions(template)["mailer"]
    told = mailer["Environment"]["Variables"]
    assert (mapping["BatchSize"], mapping["MaximumBatchingWindowInSeconds"]) == (100, 1)
    assert mapping["ScalingConfig"]["MaximumConcurrency"] == int(told["FLYWHEEL_MAILER_WORKERS"])
    assert int(told["FLYWHEEL_MAILS_AT_ONCE"]) >= 200 * 0.1  # 200 a second, each a tenth of a second in hand
    assert mailer["MemorySize"] == 1769


def test_rewards_are_told_a_few_at_once(template: Template) -> None:
    (queue,) = [name for name in of_type(template, "AWS::SQS::Queue") if name.startswith("RewardQueue")]
    (mapping,) = [
        one
        for one in of_type(template, "AWS::Lambda::EventSourceMapping").values()
        if one["EventSourceArn"] == {"Fn::GetAtt": [queue, "Arn"]}
    ]
    assert mapping["BatchSize"] == 1
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 2}


def test_queues_are_encrypted_and_want_tls(template: Template) -> None:
    queues = of_type(template, "AWS::SQS::Queue")
    policies = of_type(template, "AWS::SQS::QueuePolicy").values()
    assert all(queue["SqsManagedSseEnabled"] for queue in queues.values())
    assert {policy["Queues"][0]["Ref"] for policy in policies} == set(queues)
    assert all('"aws:SecureTransport": "false"' in json.dumps(policy["PolicyDocument"]) for policy in policies)


def test_every_dead_letter_queue_raises_an_alarm(template: Template) -> None:
    dead = {name for name, queue in of_type(template, "AWS::SQS::Queue").items() if "RedrivePolicy" not in queue}
    alarms = json.dumps(of_type(template, "AWS::CloudWatch::Alarm"))
    assert dead
    assert all(name in alarms for name in dead)


def test_every_queue_of_dead_letters_is_named_by_an_output(template: Template) -> None:
    dead = {name for name, queue in of_type(template, "AWS::SQS::Queue").items() if "RedrivePolicy" not in queue}
    outputs = {name: one["Value"] for name, one in template["Outputs"].items()}
    told = {name: value["Ref"] for name, value in outputs.items() if "Ref" in value}
    assert {told[f"{queue}QueueUrl"] for queue in letters.QUEUES} == dead
    assert all(told[output].startswith(output[:-3]) for output in letters.SENT_BACK.values())


def test_schedules_pass_their_own_time(template: Template) -> None:
    for schedule in of_type(template, "AWS::Scheduler::Schedule").values():
        told = json.loads(schedule["Target"]["Input"])
        assert told.pop("scheduled_time") == "<aws.scheduler.scheduled-time>"
        assert set(told) <= {"kind"}


def test_doctor_expects_the_schedules_and_mappings_that_there_are(template: Template) -> None:
    kinds = [json.loads(one["Target"]["Input"]) for one in of_type(template, "AWS::Scheduler::Schedule").values()]
    assert sum("kind" not in told for told in kinds) == doctor.TICKS
    assert len(of_type(template, "AWS::Lambda::EventSourceMapping")) == doctor.MAPPINGS


def test_every_report_of_the_playbook_has_its_schedule_in_its_zone(template: Template) -> None:
    schedules = of_type(template, "AWS::Scheduler::Schedule").values()
    told = {
        json.loads(one["Target"]["Input"]).get("kind"): (
            one["ScheduleExpression"],
            one["ScheduleExpressionTimezone"],
        )
        for one in schedules
    }
    del told[None]
    assert told == {
        "daily": ("cron(0 8 * * ? *)", "Europe/Berlin"),
        "weekly": ("cron(0 8 ? * MON *)", "Europe/Berlin"),
        "monthly": ("cron(0 8 1 * ? *)", "Europe/Berlin"),
    }


def test_only_the_function_that_makes_reports_can_draw(template: Template) -> None:
    layers = {name: len(properties["Layers"]) for name, properties in functions(template).items()}
    assert {name for name, count in layers.items() if count > 1} == {"manager_report"}
    assert functions(template)["manager_report"]["MemorySize"] == 512


def test_public_routes_are_these_and_throttled(template: Template) -> None:
    routes = {route["RouteKey"] for route in of_type(template, "AWS::ApiGatewayV2::Route").values()}
    assert routes == {
        "POST /webhooks/{platform}",
        "GET /l/{proxy+}",
        "HEAD /l/{proxy+}",
        "POST /l/{proxy+}",
    }
    (stage,) = of_type(template, "AWS::ApiGatewayV2::Stage").values()
    assert stage["DefaultRouteSettings"] == {"ThrottlingBurstLimit": 100, "ThrottlingRateLimit": 50}


def test_access_log_holds_no_person(template: Template) -> None:
    (stage,) = of_type(template, "AWS::ApiGatewayV2::Stage").values()
    logged = stage["AccessLogSettings"]["Format"]
    assert not [word for word in ("$context.path", "sourceIp", "userAgent", "identity") if word in logged]


def test_ses_events_rewrite_no_mail(template: Template) -> None:
    (destination,) = of_type(template, "AWS::SES::ConfigurationSetEventDestination").values()
    kinds = set(destination["EventDestination"]["MatchingEventTypes"])
    assert {"send", "bounce", "complaint", "delivery", "reject"} <= kinds
    assert not kinds & {"open", "click"}


def test_no_secret_value_is_in_the_template(template: Template) -> None:
    told = {name: one["Environment"]["Variables"] for name, one in functions(template).items()}
    about = {value for one in told.values() for name, value in one.items() if name.endswith("_SECRET")}
    assert about == {parameter(STACK, name) for name in NAMES}
    assert "{{resolve:" not in json.dumps(template)  # which has CloudFormation put a secret where it can be read


def test_a_disposable_stack_leaves_nothing_behind(other_template: Template) -> None:
    (table,) = of_type(other_template, "AWS::DynamoDB::Table").values()
    assert table["DeletionProtectionEnabled"] is False
    assert "Retain" not in {one.get("DeletionPolicy") for one in other_template["Resources"].values()}


def test_links_and_webhooks_use_the_own_domain(other_template: Template) -> None:
    assert other_template["Outputs"]["WebhooksUrl"]["Value"] == "https://go.community.example.com/webhooks"
    for properties in functions(other_template).values():
        assert properties["Environment"]["Variables"]["FLYWHEEL_LINKS_URL"] == "https://go.community.example.com"
    (api,) = of_type(other_template, "AWS::ApiGatewayV2::Api").values()
    assert api["DisableExecuteApiEndpoint"] is True
    (domain,) = other_template["Outputs"]["DomainTarget"]["Value"]["Fn::GetAtt"][:1]
    assert domain in of_type(other_template, "AWS::ApiGatewayV2::DomainName")


def test_opens_and_clicks_are_told_only_where_asked_for(template: Template, other_template: Template) -> None:
    def told(one: Template) -> set[str]:
        (destination,) = of_type(one, "AWS::SES::ConfigurationSetEventDestination").values()
        return set(destination["EventDestination"]["MatchingEventTypes"])

    assert told(other_template) - told(template) == {"open", "click"}


def test_alarms_go_to_the_given_topic(other_template: Template) -> None:
    for alarm in of_type(other_template, "AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == ["arn:aws:sns:eu-west-1:111122223333:alarms"]


def test_cfn_lint_finds_nothing(template_file: Path) -> None:
    ran = subprocess.run(
        [str(Path(sys.executable).with_name("cfn-lint")), str(template_file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
