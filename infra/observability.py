"""What calls for a person: alarms, each with the page that says what to do; and one screen of figures.

Every alarm's description names its runbook, `docs/runbooks/<runbook>.md`. They are few on purpose: what mends itself
raises none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import Duration
from aws_cdk import aws_apigatewayv2 as http
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

if TYPE_CHECKING:
    from aws_cdk.aws_cloudwatch import IMetric

FIVE_MINUTES, QUARTER, HOUR = Duration.minutes(5), Duration.minutes(15), Duration.hours(1)

TICKS = {"onboarding": 1, "watch": 12}
"""How many quarters of an hour may pass without a tick: the one of every minute tells soonest that none come any more,
and of all others `watch` finds what they leave undone. An alarm for each would cost as much as a small community's log.
"""

BOUNCES, COMPLAINTS = 0.04, 0.0008
"""SES's own rates of the account at which a person should look: it reviews accounts from 5 % and 0.1 %."""

NAMESPACE = "Flywheel"


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What is looked at: queues by their names, functions by their modules'."""

    dead: Mapping[str, sqs.IQueue]
    queues: Mapping[str, sqs.IQueue]
    functions: Mapping[str, lambda_.Function]
    api: http.HttpApi


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """An alarm when `metric` is at `threshold` or above, or with `below` under it, for `periods` in a row.

    Where `silence` is an alarm, too, the figure must keep coming.
    """

    name: str
    metric: IMetric
    threshold: float
    says: str
    runbook: str
    periods: int = 1
    below: bool = False
    silence: bool = False


def watch(stack: cdk.Stack, watched: Watched, *, alarm_topic_arn: str | None) -> None:
    """Every alarm, sent to the topic where one is given, and the dashboard."""
    topic = sns.Topic.from_topic_arn(stack, "AlarmTopic", alarm_topic_arn) if alarm_topic_arn else None
    for one in _alarms(watched):
        alarm = _raise(stack, one)
        if topic:
            alarm.add_alarm_action(actions.SnsAction(topic))
    _dashboard(stack, watched)


def described(says: str, runbook: str) -> str:
    """An alarm's description: what it says, and where to read what to do."""
    return f"{says}. What to do: docs/runbooks/{runbook}.md"


def _alarms(watched: Watched) -> Iterator[Alarm]:
    for name, queue in watched.dead.items():
        letters = queue.metric_approximate_number_of_messages_visible(period=FIVE_MINUTES, statistic="Maximum")
        says = f"Dead{name} holds a letter: what it is about was tried as often as it may be"
        yield Alarm(name=f"Dead{name}", metric=letters, threshold=1, says=says, runbook="dead-letters")
    errors = watched.api.metric_server_error(period=FIVE_MINUTES, statistic="Sum")
    says = "The HTTP API has answered 5xx five times or more within 5 minutes"
    yield Alarm(name="ServerErrors", metric=errors, threshold=5, says=says, runbook="server-errors")
    yield from _late(watched)
    yield from _of_mail()
    rolled = _ours("DaysRolled", "metrics_rollup", period=HOUR)
    yield Alarm(
        name="RollupMissing",
        metric=rolled,
        threshold=1,
        says="No day has been measured for six hours",
        runbook="rollup-missing",
        periods=6,
        below=True,
        silence=True,
    )


def _late(watched: Watched) -> Iterator[Alarm]:
    """What is not worked off in its time."""
    age = watched.functions["react"].metric("IteratorAge", period=FIVE_MINUTES, statistic="Maximum")
    behind, says = 15 * 60 * 1000, "The reactions are a quarter of an hour or more behind the log"
    yield Alarm(name="StreamAge", metric=age, threshold=behind, says=says, runbook="stream-age", periods=3)
    for name, queue in watched.queues.items():
        oldest = queue.metric_approximate_age_of_oldest_message(period=FIVE_MINUTES, statistic="Maximum")
        says = f"A message has waited in {name}Queue for two hours"
        yield Alarm(name=f"{name}QueueAge", metric=oldest, threshold=2 * 3600, says=says, runbook="queue-age")
    for tick, quarters in TICKS.items():
        yield Alarm(
            name=f"Overdue-{tick}",
            metric=watched.functions[tick].metric_invocations(period=QUARTER, statistic="Sum"),
            threshold=1,
            says=f"{tick} has not been invoked for {15 * quarters} minutes",
            runbook="overdue",
            periods=quarters,
            below=True,
            silence=True,
        )

    oldest = _ours("OldestOverdue", "watch", period=HOUR, statistic="Maximum")
    says = "Something is still on an agenda long after its time, whether or not its tick has failed"
    yield Alarm(name="AgendaOverdue", metric=oldest, threshold=1, says=says, runbook="overdue")


def _of_mail() -> Iterator[Alarm]:
    stuck = _ours("SendsStuck", "watch", period=HOUR, statistic="Maximum")
    says = "A planned mail is neither settled nor looked at again: it is open an hour beyond its time"
    yield Alarm(name="LedgerImbalance", metric=stuck, threshold=1, says=says, runbook="ledger-imbalance")
    doubted = _ours("SendsParked", "mail_followups", period=HOUR)
    says = "A mail that SES may have taken was parked: it does not go by itself any more"
    yield Alarm(name="MailsInDoubt", metric=doubted, threshold=1, says=says, runbook="parked-mails")
    refused = _ours("Mails", "mailer", period=HOUR, only={"status": "parked"})
    says = "SES has refused a mail for good, which was parked: it does not go by itself any more"
    yield Alarm(name="MailsRefused", metric=refused, threshold=1, says=says, runbook="parked-mails")
    for kind, line in (("Bounce", BOUNCES), ("Complaint", COMPLAINTS)):
        rate = cloudwatch.Metric(
            namespace="AWS/SES", metric_name=f"Reputation.{kind}Rate", period=HOUR, statistic="Maximum"
        )
        says = f"SES's own {kind.lower()} rate of the account has reached {line:.2%}"
        yield Alarm(name=f"{kind}s", metric=rate, threshold=line, says=says, runbook="reputation")
    paused = _ours("MarketingPaused", "mail_followups", statistic="Maximum")
    says = "Marketing mail has paused by itself, and waits for a person"
    yield Alarm(name="BreakerTripped", metric=paused, threshold=1, says=says, runbook="breaker-tripped")


def _raise(scope: Construct, one: Alarm) -> cloudwatch.Alarm:
    compared = cloudwatch.ComparisonOperator
    missing = cloudwatch.TreatMissingData
    return cloudwatch.Alarm(
        scope,
        f"{one.name}Alarm",
        metric=one.metric,
        threshold=one.threshold,
        evaluation_periods=one.periods,
        alarm_description=described(one.says, one.runbook),
        comparison_operator=compared.LESS_THAN_THRESHOLD if one.below else compared.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        treat_missing_data=missing.BREACHING if one.silence else missing.NOT_BREACHING,
    )


def _ours(
    name: str,
    function: str,
    *,
    only: Mapping[str, str] | None = None,
    period: Duration = FIVE_MINUTES,
    statistic: str = "Sum",
) -> cloudwatch.Metric:
    """A figure that a function of ours writes into its log; Powertools names the function in `service`."""
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=name,
        dimensions_map={"service": function, **(only or {})},
        period=period,
        statistic=statistic,
    )


def _shown(name: str, function: str, *, only: Mapping[str, str] | None = None) -> cloudwatch.Metric:
    """The same for a graph, by what tells it from its neighbours; an alarm on a metric with a label is another kind."""
    return _ours(name, function, only=only).with_(label=" ".join((name, *(only or {}).values())))


# --- the dashboard -------------------------------------------------------------------------------
#
# By hand, though cdk-monitoring-constructs works with our CDK: of our functions and queues alone it draws 126 graphs.
# What a person looks at first is one screen of our own figures, and those it would have us list just the same.


def _dashboard(stack: cdk.Stack, watched: Watched) -> None:
    """What comes in, what goes out, what waits, what failed: a row each."""
    dashboard = cloudwatch.Dashboard(stack, "Dashboard", dashboard_name=stack.stack_name)
    # Most of these come from AWS for nothing: what we tell ourselves costs by the metric.
    logged = [_shown("EventsLogged", "webhooks"), watched.api.metric_count(label="requests", statistic="Sum")]
    reacted = [watched.functions["react"].metric_invocations(label="batches"), _shown("EventsFailed", "react")]
    settled = [
        _shown("Mails", "mailer", only={"status": status}) for status in ("sent", "skipped", "deferred", "parked")
    ]
    feedback = [_of_ses(kind) for kind in ("Send", "Delivery", "Bounce", "Complaint")]
    looked = [watched.functions[name].metric_duration(label=name, statistic="Average") for name in TICKS]
    waiting = [queue.metric_approximate_number_of_messages_visible() for queue in watched.queues.values()]
    oldest = [queue.metric_approximate_age_of_oldest_message() for queue in watched.queues.values()]
    oldest.append(_shown("OldestOverdue", "watch"))
    age = watched.functions["react"].metric("IteratorAge", statistic="Maximum")
    dead = [queue.metric_approximate_number_of_messages_visible() for queue in watched.dead.values()]
    dead.append(_shown("SendsStuck", "watch"))
    errors = [function.metric_errors(label=name) for name, function in watched.functions.items()]
    slow = [function.metric_duration(label=name, statistic="p99") for name, function in watched.functions.items()]
    for row in (
        (_graph("Events in", logged), _graph("Reactions", reacted), _graph("5xx", [watched.api.metric_server_error()])),
        (_graph("Mails", settled), _graph("What SES tells", feedback), _graph("Ticks, milliseconds", looked)),
        (_graph("Waiting", waiting), _graph("Oldest that waits", oldest), _graph("Stream age", [age])),
        (_graph("Dead letters, stuck mails", dead), _graph("Errors", errors), _graph("Duration, p99", slow)),
    ):
        dashboard.add_widgets(*row)


def _of_ses(name: str) -> cloudwatch.Metric:
    """What SES counts of the account."""
    return cloudwatch.Metric(namespace="AWS/SES", metric_name=name, period=FIVE_MINUTES, statistic="Sum", label=name)


def _graph(title: str, metrics: Sequence[IMetric]) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(metrics), width=8, height=6)
