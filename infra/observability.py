"""What calls for a person: letters that died, and an HTTP API that answers 5xx."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2 as http
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

PERIOD = cdk.Duration.minutes(5)


def watch(
    scope: Construct, *, queues: Mapping[str, sqs.IQueue], api: http.HttpApi, alarm_topic_arn: str | None
) -> None:
    """An alarm on every dead letter queue and on the API's own errors, sent to the topic where one is given."""
    metrics = {
        f"Dead{name}": (queue.metric_approximate_number_of_messages_visible(period=PERIOD, statistic="Maximum"), 1)
        for name, queue in queues.items()
    }
    metrics["ServerErrors"] = (api.metric_server_error(period=PERIOD, statistic="Sum"), 5)
    topic = sns.Topic.from_topic_arn(scope, "AlarmTopic", alarm_topic_arn) if alarm_topic_arn else None
    for name, (metric, threshold) in metrics.items():
        alarm = metric.create_alarm(
            scope,
            f"{name}Alarm",
            alarm_description=f"{name}: {threshold} or more within 5 minutes",
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            evaluation_periods=1,
            threshold=threshold,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        if topic:
            alarm.add_alarm_action(actions.SnsAction(topic))
