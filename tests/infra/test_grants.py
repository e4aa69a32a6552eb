"""Who may touch what, read from the template: no wildcard without a reason, and each function its own partitions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra import STACK
from infra.budget import RESERVED
from infra.grants import TABLE
from infra.local.assembly import assembly
from shared.errors import FlywheelError
from tests.infra.conftest import Template
from tests.infra.test_template import functions, of_type

OPERATIONS = {
    "links": {"dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"},
    "mail_feedback": {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"},
    "webhooks": {"dynamodb:PutItem"},
}
"""What the functions that hear from outside may do to the table."""

WIDE = {
    ("react-role", "dynamodb:ListStreams", "*"): "knows no narrower resource",
    ("mailer-role", "ses:GetAccount", "*"): "knows no narrower resource",
    (
        "mailer-role",
        "ses:SendEmail",
        ":identity/*",
    ): "the sandbox asks for the recipient's; bound to our senders",
    (
        "SchedulerRole",
        "lambda:InvokeFunction",
        ":*",
    ): "versions and aliases of the one function, by the CDK",
}
"""Every grant to more than one resource by its role, action and what its resource ends with, and why it is so."""


def listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def grants(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement of a policy, with the logical id of the role that has it."""
    for properties in of_type(template, "AWS::IAM::Policy").values():
        for statement in properties["PolicyDocument"]["Statement"]:
            yield properties["Roles"][0]["Ref"], statement


def role_of(template: Template, function: str) -> str:
    return str(functions(template)[function]["Role"]["Fn::GetAtt"][0])


def actions_of(template: Template, function: str, service: str) -> set[str]:
    role = functions(template)[function]["Role"]["Fn::GetAtt"][0]
    allowed = {action for owner, one in grants(template) if owner == role for action in listed(one["Action"])}
    return {action for action in allowed if action.startswith(f"{service}:")}


def ending(resource: object) -> str:
    """The literal end of a resource: all of it, or what follows the last reference to another one."""
    if isinstance(resource, dict) and "Fn::Join" in resource:
        return ending(resource["Fn::Join"][1][-1])
    return resource if isinstance(resource, str) else ""


def wide(template: Template) -> Iterator[tuple[str, str, str]]:
    """Every grant whose resource has a wildcard."""
    for owner, statement in grants(template):
        for resource in listed(statement["Resource"]):
            if "*" in json.dumps(resource):
                yield from ((owner, action, ending(resource)) for action in listed(statement["Action"]))


def explanation(owner: str, action: str, resource: str) -> tuple[str, str, str] | None:
    """The row that explains a wide grant; a role's logical id is its name without hyphens, and a digest."""
    for role, allowed, end in WIDE:
        same_end = resource == end or (len(end) > 1 and resource.endswith(end))
        if owner.startswith(role.replace("-", "")) and action == allowed and same_end:
            return role, allowed, end
    return None


def conditions(template: Template, function: str) -> list[dict[str, Any]]:
    """What binds each of a function's grants on the table or an index of it."""
    (table,) = of_type(template, "AWS::DynamoDB::Table")
    on_table = [
        one
        for owner, one in grants(template)
        if owner == role_of(template, function) and f'"{table}", "Arn"' in json.dumps(one["Resource"])
    ]
    return [one.get("Condition", {}) for one in on_table]


def test_roles_have_no_managed_policies(template: Template) -> None:
    assert not [name for name, role in of_type(template, "AWS::IAM::Role").items() if "ManagedPolicyArns" in role]


def test_no_action_has_a_wildcard(template: Template, other_template: Template) -> None:
    for one in (template, other_template):
        actions = {action for _, statement in grants(one) for action in listed(statement["Action"])}
        assert actions
        assert [action for action in actions if "*" in action] == []
        assert not [statement for _, statement in grants(one) if {"NotAction", "NotResource"} & statement.keys()]


def test_every_wide_resource_is_explained_and_no_other(template: Template, other_template: Template) -> None:
    found = {one: explanation(*one) for part in (template, other_template) for one in wide(part)}
    assert [one for one, why in found.items() if why is None] == []
    assert set(found.values()) == set(WIDE)


def test_who_is_let_in_is_a_service_with_a_source(template: Template) -> None:
    queues = of_type(template, "AWS::SQS::QueuePolicy").values()
    statements = [one for policy in queues for one in policy["PolicyDocument"]["Statement"]]
    allowed = [one for one in statements if one["Effect"] == "Allow"]
    assert all(one["Condition"]["ArnEquals"]["aws:SourceArn"] and one["Principal"]["Service"] for one in allowed)
    let_in = of_type(template, "AWS::Lambda::Permission").values()
    assert let_in
    assert all(one["SourceArn"] and one["Principal"].endswith(".amazonaws.com") for one in let_in)


@pytest.mark.parametrize("function", TABLE)
def test_a_function_touches_only_its_own_partitions(template: Template, function: str) -> None:
    bound = [one["ForAllValues:StringLike"]["dynamodb:LeadingKeys"] for one in conditions(template, function)]
    assert sorted(sorted(listed(keys)) for keys in bound) == sorted(sorted(one.keys) for one in TABLE[function])


def test_every_function_has_partitions_of_its_own(template: Template) -> None:
    assert set(TABLE) == set(functions(template))
    keys = [key for touched in TABLE.values() for one in touched for key in one.keys]
    assert [key for key in keys if key.startswith("*")] == []


def test_nobody_may_ask_without_naming_a_partition(template: Template) -> None:
    # A scan, and the query language, name none: a condition on partitions would let them pass.
    allowed = {action for name in TABLE for action in actions_of(template, name, "dynamodb")}
    assert not allowed & {"dynamodb:Scan", "dynamodb:PartiQLSelect", "dynamodb:ExportTableToPointInTime"}


@pytest.mark.parametrize("function", OPERATIONS)
def test_outside_facing_functions_touch_little(template: Template, function: str) -> None:
    assert actions_of(template, function, "dynamodb") == OPERATIONS[function]


def test_webhooks_write_only_to_the_log(template: Template) -> None:
    keys = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["LOG#*", "SEEN#*"]}}
    assert conditions(template, "webhooks") == [keys]


def test_only_the_mailer_sends_and_only_as_us(template: Template) -> None:
    (statement,) = [one for _, one in grants(template) if "ses:SendEmail" in listed(one["Action"])]
    assert statement["Condition"] == {"StringEquals": {"ses:FromAddress": ["hello@community.example.com"]}}
    assert actions_of(template, "mailer", "ses") == {"ses:SendEmail", "ses:GetAccount"}


@pytest.mark.parametrize(
    ("secret", "readers"),
    [
        ("webhooks", {"webhooks"}),
        ("links", {"links", "mailer", "react"}),
        ("rewards", {"reward_notices"}),
    ],
)
def test_only_who_needs_a_secret_reads_it(template: Template, secret: str, readers: set[str]) -> None:
    known = {properties["Role"]["Fn::GetAtt"][0]: name for name, properties in functions(template).items()}
    reading = [(owner, one) for owner, one in grants(template) if "ssm:GetParameter" in listed(one["Action"])]
    wanted = f":parameter/{STACK}/{secret}"
    assert {known[owner] for owner, one in reading if ending(one["Resource"]) == wanted} == readers


def test_parameters_are_read_by_name_and_nothing_else_is_done_to_them(template: Template) -> None:
    asked = {action for name in TABLE for service in ("ssm", "kms") for action in actions_of(template, name, service)}
    assert asked == {"ssm:GetParameter"}


def test_rewards_are_told_of_by_one_function_on_one_bus(template: Template) -> None:
    telling = {name for name in functions(template) if actions_of(template, name, "events")}
    assert telling == {"reward_notices"}
    (bus,) = of_type(template, "AWS::Events::EventBus")
    (statement,) = [one for _, one in grants(template) if one["Action"] == "events:PutEvents"]
    assert statement["Resource"] == {"Fn::GetAtt": [bus, "Arn"]}


def test_who_makes_reports_changes_nothing_but_them(template: Template) -> None:
    assert actions_of(template, "manager_report", "dynamodb") == {
        "dynamodb:GetItem",
        "dynamodb:BatchGetItem",
        "dynamodb:Query",
        "dynamodb:PutItem",
    }
    assert actions_of(template, "manager_report", "ses") == set()


def test_concurrency_is_reserved_only_where_asked_for(template: Template, other_template: Template) -> None:
    def reserved(one: Template) -> dict[str, int]:
        found = {name: properties.get("ReservedConcurrentExecutions") for name, properties in functions(one).items()}
        return {name: count for name, count in found.items() if count is not None}

    assert reserved(template) == {}
    assert reserved(other_template) == RESERVED
    assert set(RESERVED) == {"mailer", "webhooks", "links"}


def test_all_mailers_fit_into_what_is_reserved(template: Template) -> None:
    (queue,) = [
        name
        for name, one in of_type(template, "AWS::SQS::Queue").items()
        if name.startswith("MailQueue") and "RedrivePolicy" in one
    ]
    (workers,) = [
        one["ScalingConfig"]["MaximumConcurrency"]
        for one in of_type(template, "AWS::Lambda::EventSourceMapping").values()
        if one["EventSourceArn"] == {"Fn::GetAtt": [queue, "Arn"]}
    ]
    assert workers == RESERVED["mailer"]


def test_a_budget_tells_before_it_is_spent(template: Template, other_template: Template) -> None:
    assert of_type(template, "AWS::Budgets::Budget") == {}
    (budget,) = of_type(other_template, "AWS::Budgets::Budget").values()
    assert budget["Budget"]["BudgetLimit"] == {"Amount": 25, "Unit": "USD"}
    told = budget["NotificationsWithSubscribers"]
    assert {(one["Notification"]["NotificationType"], one["Notification"]["Threshold"]) for one in told} == {
        ("ACTUAL", 80),
        ("FORECASTED", 100),
        ("ACTUAL", 100),
    }
    topic = {"Address": "arn:aws:sns:eu-west-1:111122223333:alarms", "SubscriptionType": "SNS"}
    assert all(one["Subscribers"] == [topic] for one in told)


def test_a_budget_that_nobody_is_told_of_is_refused() -> None:
    with pytest.raises(FlywheelError, match="budget needs alarm_topic_arn"):
        assembly({"budget": "25"})
