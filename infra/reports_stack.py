"""What reports need beside a function: a layer to draw with, a schedule a kind, and the ledger's index by day."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import Duration
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as scheduled
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from shared.playbook import Report
from shared.playbook.measuring import MonthlyReport, ReportKind, WeeklyReport
from shared.store.sends import LINE

TIMEOUT = Duration.minutes(5)
"""A report of a small community takes seconds; with very many mails in a month, to count them takes the most."""

FONTS = {"MPLCONFIGDIR": "/tmp/matplotlib"}  # noqa: S108 - all that a function can write to # nosec B108
"""Where matplotlib notes which fonts it has found."""


def index_sends(table: dynamodb.Table) -> None:
    """The ledger by the UTC day on which a mail was planned, for whoever looks at a period rather than at a member."""
    string = dynamodb.AttributeType.STRING
    table.add_global_secondary_index(
        index_name="sends",
        partition_key=dynamodb.Attribute(name="planned_on", type=string),
        sort_key=dynamodb.Attribute(name="sk", type=string),
        projection_type=dynamodb.ProjectionType.INCLUDE,
        non_key_attributes=list(LINE),
    )


def let_draw(function: lambda_.Function, drawing: lambda_.LayerVersion) -> None:
    """Give the function that makes reports what it draws with; no other needs it."""
    function.add_layers(drawing)
    for name, value in FONTS.items():
        function.add_environment(name, value)


def schedule(
    scope: Construct,
    function: lambda_.Function,
    reports: Mapping[ReportKind, Report],
    *,
    timezone: str,
    dead_letters: sqs.IQueue,
) -> None:
    """A schedule for each report of the playbook, in its own time zone or else in the community's."""
    for kind, report in reports.items():
        when = {"scheduled_time": scheduler.ContextAttribute.scheduled_time, "kind": kind}
        scheduler.Schedule(
            scope,
            f"{kind}-report",
            schedule=_expression(report, report.timezone or timezone),
            target=scheduled.LambdaInvoke(
                function,
                input=scheduler.ScheduleTargetInput.from_object(when),
                dead_letter_queue=dead_letters,
                retry_attempts=3,
                max_event_age=Duration.hours(1),
            ),
        )


def _expression(report: Report, timezone: str) -> scheduler.ScheduleExpression:
    return scheduler.ScheduleExpression.cron(
        minute=str(report.at.minute),
        hour=str(report.at.hour),
        week_day=report.weekday[:3].upper() if isinstance(report, WeeklyReport) else None,
        day=str(report.day) if isinstance(report, MonthlyReport) else None,
        time_zone=cdk.TimeZone.of(timezone),
    )
