"""What measuring needs beside a function: the state machine that reads the shards of a large day side by side.

The function starts the machine and the machine invokes the function, so the machine's name is made here, from the
stack's: a reference each way would be a circle.
"""

from __future__ import annotations

import json
from typing import Any

import aws_cdk as cdk
from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.observability import described

TIMEOUT = Duration.minutes(15)
"""As long as a function may run: a tick works off what there is, oldest day first, and leaves the rest in good time."""

MEMORY = 1769
"""MB: as much as brings a whole processor with it, for to measure is to compute."""

WHOLE_RUN = Duration.hours(3)
"""Longer than a shard that runs out of its time takes to fail for good: six times 15 minutes, and 31 between them."""

AGAIN = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 60, "MaxAttempts": 5, "BackoffRate": 2}
"""After an error, also while another tick is still rolling days up."""


def machine_name(stack: cdk.Stack) -> str:
    """The state machine's name."""
    return f"{stack.stack_name}-large-days"


def machine_arn(stack: cdk.Stack) -> str:
    """The state machine's ARN, without a reference to it."""
    return stack.format_arn(
        service="states",
        resource="stateMachine",
        resource_name=machine_name(stack),
        arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
    )


def large_days(stack: cdk.Stack, function: lambda_.Function, *, alarm_topic_arn: str | None) -> None:
    """The state machine, its right to invoke the function and nothing else, and alarms when a run of it fails."""
    role = iam.Role(stack, "LargeDaysRole", assumed_by=iam.ServicePrincipal("states.amazonaws.com"))
    role.add_to_policy(iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[function.function_arn]))
    machine = sfn.StateMachine(
        stack,
        "LargeDays",
        state_machine_name=machine_name(stack),
        comment="Reads the shards of a large day side by side, and then makes its figures",
        definition_body=sfn.DefinitionBody.from_string(json.dumps(definition())),
        definition_substitutions={"function": function.function_arn},
        role=role,
        timeout=WHOLE_RUN,
    )
    function.add_to_role_policy(iam.PolicyStatement(actions=["states:StartExecution"], resources=[machine_arn(stack)]))
    _alarms(stack, machine, alarm_topic_arn)


def definition() -> dict[str, Any]:
    """The machine in the States Language: the function for every shard, and then once for the whole."""
    told = {name: f"$.{name}" for name in ("scheduled_time", "day", "run", "mark")}
    given = {f"{name}.$": path for name, path in told.items()}
    invoke = {"Type": "Task", "Resource": "${function}", "Retry": [AGAIN], "ResultPath": None, "End": True}
    return {
        "StartAt": "Shards",
        "States": {
            "Shards": {
                "Type": "Map",
                "ItemsPath": "$.shards",
                "ItemSelector": {**given, "shard.$": "$$.Map.Item.Value"},
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "INLINE"},
                    "StartAt": "Shard",
                    "States": {"Shard": invoke},
                },
                "ResultPath": None,
                "Next": "Whole",
            },
            "Whole": {**invoke, "Parameters": given},
        },
        "TimeoutSeconds": WHOLE_RUN.to_seconds(),
    }


def _alarms(scope: Construct, machine: sfn.StateMachine, alarm_topic_arn: str | None) -> None:
    """One for each way in which a run ends without its figures by itself; together in one they would be metric math."""
    topic = sns.Topic.from_topic_arn(scope, "LargeDaysTopic", alarm_topic_arn) if alarm_topic_arn else None
    says = described("A large day could not be measured; the next tick tries again", "rollup-missing")
    for how, metric in (("Failed", machine.metric_failed), ("TimedOut", machine.metric_timed_out)):
        alarm = metric(period=Duration.minutes(5), statistic="Sum").create_alarm(
            scope,
            f"LargeDays{how}Alarm",
            alarm_description=says,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            evaluation_periods=1,
            threshold=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        if topic:
            alarm.add_alarm_action(actions.SnsAction(topic))
