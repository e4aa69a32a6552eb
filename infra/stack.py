"""The whole system on one page: what exists, what triggers what, and who may touch what.

`_grants` lists what each function's code may do. What its trigger needs besides, to read a queue or to put dead letters
into one, the CDK grants to the same role where the trigger is made.
What strangers can make us pay is bounded by the HTTP API's throttles and, where `reserve` is chosen, by how many of a
function run at once: a new account has too little to reserve any.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import Duration
from aws_cdk import aws_apigatewayv2 as http
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_logs as logs
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as scheduled
from aws_cdk import aws_ses as ses
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra import budget, grants, mailers, measuring, reports_stack, secret
from infra.bundle import Asset
from infra.observability import Watched, watch
from shared.errors import UsageError
from shared.playbook import Report, ReportKind

TICKING = (
    *("onboarding", "reengagement", "referral_rewards", "mail_followups", "metrics_rollup", "manager_report"),
    "watch",
)
"""Those that a schedule wakes, to take what is due, or to see whether it was taken."""

STREAM = ("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator")

TIMEOUTS = {
    "webhooks": Duration.seconds(10),
    "links": Duration.seconds(10),
    "react": Duration.seconds(60),
    "onboarding": Duration.seconds(120),
    "reengagement": Duration.seconds(120),
    "referral_rewards": Duration.seconds(120),
    "reward_notices": Duration.seconds(60),
    "mailer": Duration.seconds(60),
    "mail_followups": Duration.seconds(120),
    "mail_feedback": Duration.seconds(30),
    "metrics_rollup": measuring.TIMEOUT,
    "manager_report": reports_stack.TIMEOUT,
    "watch": Duration.minutes(5),
}
"""One for each module of functions/: those that a person or a platform waits for, and those that work off a pile."""

MEMORY = {"metrics_rollup": measuring.MEMORY, "mailer": mailers.MEMORY}
"""MB, of those that need more than the others."""

SECRETS_READ: Mapping[str, secret.Name] = {
    "webhooks": "webhooks",
    "links": "links",
    "react": "links",
    "mailer": "links",
    "reward_notices": "rewards",
}
"""The one secret that a function reads."""

ACCESS_LOG = {
    # The path of a link carries its token, and an IP address is a person's: neither is logged.
    "request": "$context.requestId",
    "at": "$context.requestTime",
    "route": "$context.routeKey",
    "status": "$context.status",
    "latency": "$context.responseLatency",
    "error": "$context.integrationErrorMessage",
}

EVENTS_OF_MAILS = [
    ses.EmailSendingEvent.SEND,
    ses.EmailSendingEvent.DELIVERY,
    ses.EmailSendingEvent.DELIVERY_DELAY,
    ses.EmailSendingEvent.BOUNCE,
    ses.EmailSendingEvent.COMPLAINT,
    ses.EmailSendingEvent.REJECT,
    ses.EmailSendingEvent.RENDERING_FAILURE,
    ses.EmailSendingEvent.SUBSCRIPTION,
]

OPENS_AND_CLICKS = [ses.EmailSendingEvent.OPEN, ses.EmailSendingEvent.CLICK]
"""Only where asked for: to tell of these, SES puts a pixel into every mail and rewrites every link in it."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What may differ between two deployments.

    `senders` are the addresses that mails are from; `reports` go out in the community's `timezone` unless they say
    another. `disposable` leaves nothing behind when the stack is destroyed but the secrets, which are not the stack's;
    without it the table and the logs outlive the stack. `domain_name` needs `certificate_arn`. `budget` is in US
    dollars a month.
    """

    senders: Sequence[str]
    reports: Mapping[ReportKind, Report]
    timezone: str
    disposable: bool = False
    domain_name: str | None = None
    certificate_arn: str | None = None
    alarm_topic_arn: str | None = None
    opens_and_clicks: bool = False
    reserve: bool = False
    budget: str | None = None


class Flywheel(cdk.Stack):
    """Community events in; mails out; one table."""

    def __init__(
        self, scope: Construct, name: str, *, settings: Settings, code: Asset, layer: Asset, drawing: Asset
    ) -> None:
        super().__init__(scope, name, description="Flywheel: community-marketing automation")
        # The CDK lets a function wait for its role, which the function names anyway.
        self.template_options.metadata = {"cfn-lint": {"config": {"ignore_checks": ["W3005"]}}}
        self.settings = settings
        self.kept = cdk.RemovalPolicy.DESTROY if settings.disposable else cdk.RemovalPolicy.RETAIN

        self.table = self._table()
        self.mail_queue = self._queue(
            "Mail", received_at_most=10, invisible=Duration.seconds(6 * TIMEOUTS["mailer"].to_seconds())
        )
        self.reward_queue = self._queue(
            "Reward", received_at_most=5, invisible=Duration.seconds(6 * TIMEOUTS["reward_notices"].to_seconds())
        )
        self.bus = events.EventBus(self, "Bus", description="What Flywheel tells the rest of the house: rewards")
        self.dead = {name: self._queue(f"Dead{name}") for name in ("Log", "Schedules", "Feedback")}
        self.configuration_set = ses.ConfigurationSet(
            self, "Mails", suppression_reasons=ses.SuppressionReasons.BOUNCES_AND_COMPLAINTS
        )
        self.domain = self._domain()
        self.api = self._api()
        self.public_url = f"https://{settings.domain_name}" if self.domain else self.api.api_endpoint

        uploaded, dependencies = _uploaded(code), self._layer("Dependencies", layer)
        self.functions = {name: self._function(name, uploaded, dependencies) for name in TIMEOUTS}
        reports_stack.let_draw(self.functions["manager_report"], self._layer("Drawing", drawing))
        self._triggers()
        self._grants()
        measuring.large_days(self, self.functions["metrics_rollup"], alarm_topic_arn=settings.alarm_topic_arn)
        budget.alarm(self, settings.budget, alarm_topic_arn=settings.alarm_topic_arn)
        queues = {"Mail": self.mail_queue, "Reward": self.reward_queue}
        watched = Watched(dead=self._dead_letter_queues(), queues=queues, functions=self.functions, api=self.api)
        watch(self, watched, alarm_topic_arn=settings.alarm_topic_arn)
        self._outputs()

    # --- who may touch what ----------------------------------------------------------------------

    def _grants(self) -> None:
        for function, touched in grants.TABLE.items():
            for one in touched:
                self._may(function, one.actions, self._touched(one), only_if=one.condition)
        self._may("react", STREAM, self.table.table_stream_arn or "")
        self._may("react", ("dynamodb:ListStreams",), "*")  # this action knows no narrower resource

        # The key aws/ssm lets whoever in the account may read a parameter decrypt it: that takes no grant.
        for function, read in SECRETS_READ.items():
            name = self._parameter(read).removeprefix("/")
            arn = self.format_arn(service="ssm", resource="parameter", resource_name=name)
            self._may(function, ("ssm:GetParameter",), arn)
        for function in ("react", "reward_notices", "onboarding", "reengagement", "mail_followups", "manager_report"):
            self._may(function, ("sqs:SendMessage",), self.mail_queue.queue_arn)
        self._may("referral_rewards", ("sqs:SendMessage",), self.reward_queue.queue_arn)
        self._may("reward_notices", ("events:PutEvents",), self.bus.event_bus_arn)

        from_us = {"StringEquals": {"ses:FromAddress": sorted(self.settings.senders)}}
        # Any identity of the account, but only from our senders: in the sandbox SES asks for the recipient's as well.
        identities = self.format_arn(service="ses", resource="identity", resource_name="*")
        self._may("mailer", ("ses:SendEmail",), identities, self._configuration_set_arn(), only_if=from_us)
        self._may("mailer", ("ses:GetAccount",), "*")  # this action knows no narrower resource

    def _touched(self, one: grants.Touched) -> str:
        return f"{self.table.table_arn}/index/{one.index}" if one.index else self.table.table_arn

    def _may(
        self, function: str, actions: Sequence[str], *resources: str, only_if: Mapping[str, object] | None = None
    ) -> None:
        statement = iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=only_if)
        self.functions[function].add_to_role_policy(statement)

    def _sender_domains(self) -> list[str]:
        return sorted({sender.partition("@")[2] for sender in self.settings.senders})

    def _configuration_set_arn(self) -> str:
        name = self.configuration_set.configuration_set_name
        return self.format_arn(service="ses", resource="configuration-set", resource_name=name)

    # --- what triggers what ----------------------------------------------------------------------

    def _triggers(self) -> None:
        self._route("webhooks", "/webhooks/{platform}", http.HttpMethod.POST)
        self._route("links", "/l/{proxy+}", http.HttpMethod.GET, http.HttpMethod.HEAD, http.HttpMethod.POST)
        self._on_log()
        self.functions["mailer"].add_event_source(
            sources.SqsEventSource(
                self.mail_queue,
                batch_size=mailers.BATCH,
                max_batching_window=Duration.seconds(mailers.WINDOW),
                report_batch_item_failures=True,
                max_concurrency=mailers.WORKERS,
            )
        )
        every_minute = scheduler.ScheduleExpression.rate(Duration.minutes(1))
        self._tick("onboarding", every_minute)
        # On the quarters of the clock, not of the deploy: every zone's full hours fall on one.
        self._tick("reengagement", scheduler.ScheduleExpression.cron(minute="0/15"))
        self._tick("mail_followups", every_minute)
        self._tick("referral_rewards", scheduler.ScheduleExpression.rate(Duration.minutes(5)))
        # Some minutes past, so that what happened at the end of a day has been reacted to.
        self._tick("metrics_rollup", scheduler.ScheduleExpression.cron(minute="7"))
        # Between two quarters, when what fell due on one has been taken.
        self._tick("watch", scheduler.ScheduleExpression.cron(minute="10"))
        self.functions["reward_notices"].add_event_source(
            sources.SqsEventSource(self.reward_queue, batch_size=1, report_batch_item_failures=True, max_concurrency=2)
        )
        self._on_mail_events()
        told, dead = self.settings, self.dead["Schedules"]
        function = self.functions["manager_report"]
        reports_stack.schedule(self, function, told.reports, timezone=told.timezone, dead_letters=dead)

    def _route(self, function: str, path: str, *methods: http.HttpMethod) -> None:
        integration = integrations.HttpLambdaIntegration(f"{function}-integration", self.functions[function])
        self.api.add_routes(path=path, methods=list(methods), integration=integration)

    def _on_log(self) -> None:
        """Every new log item, from the stream's beginning, so that nothing written during a deploy is missed."""
        inserted = lambda_.FilterCriteria.filter(
            {
                "eventName": lambda_.FilterRule.is_equal("INSERT"),
                "dynamodb": {"Keys": {"pk": {"S": lambda_.FilterRule.begins_with("LOG#")}}},
            }
        )
        lambda_.EventSourceMapping(
            self,
            "Log",
            target=self.functions["react"],
            event_source_arn=self.table.table_stream_arn,
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            filters=[inserted],
            batch_size=100,
            max_batching_window=Duration.seconds(1),
            bisect_batch_on_error=True,
            report_batch_item_failures=True,
            retry_attempts=10,
            max_record_age=Duration.hours(6),
            on_failure=sources.SqsDlq(self.dead["Log"]),
        )

    def _tick(self, function: str, schedule: scheduler.ScheduleExpression) -> None:
        scheduler.Schedule(
            self,
            f"{function}-tick",
            schedule=schedule,
            target=scheduled.LambdaInvoke(
                self.functions[function],
                input=scheduler.ScheduleTargetInput.from_object(
                    {"scheduled_time": scheduler.ContextAttribute.scheduled_time}
                ),
                dead_letter_queue=self.dead["Schedules"],
                retry_attempts=3,
                max_event_age=Duration.minutes(10),
            ),
        )

    def _on_mail_events(self) -> None:
        bus = events.EventBus.from_event_bus_name(self, "DefaultBus", "default")
        told = [*EVENTS_OF_MAILS, *(OPENS_AND_CLICKS if self.settings.opens_and_clicks else [])]
        self.configuration_set.add_event_destination(
            "Events", destination=ses.EventDestination.event_bus(bus), events=told
        )
        ours = {"mail": {"tags": {"ses:configuration-set": [self.configuration_set.configuration_set_name]}}}
        target = targets.LambdaFunction(
            self.functions["mail_feedback"],
            dead_letter_queue=self.dead["Feedback"],
            retry_attempts=185,
            max_event_age=Duration.hours(24),
        )
        events.Rule(
            self, "MailEvents", event_pattern=events.EventPattern(source=["aws.ses"], detail=ours), targets=[target]
        )

    # --- what exists -----------------------------------------------------------------------------

    def _table(self) -> dynamodb.Table:
        string = dynamodb.AttributeType.STRING
        table = dynamodb.Table(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name="pk", type=string),
            sort_key=dynamodb.Attribute(name="sk", type=string),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            stream=dynamodb.StreamViewType.NEW_IMAGE,
            time_to_live_attribute="expires_at",
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=not self.settings.disposable,
            removal_policy=self.kept,
        )
        table.add_global_secondary_index(
            index_name="agenda",
            partition_key=dynamodb.Attribute(name="agenda", type=string),
            sort_key=dynamodb.Attribute(name="due_at", type=string),
        )
        # Late events by the hour in which they came, for a batch of the stream that is looked for days after it.
        table.add_global_secondary_index(
            index_name="late",
            partition_key=dynamodb.Attribute(name="came_in", type=string),
            sort_key=dynamodb.Attribute(name="sk", type=string),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
        )
        reports_stack.index_sends(table)
        return table

    def _queue(self, name: str, *, received_at_most: int | None = None, invisible: Duration | None = None) -> sqs.Queue:
        """A queue, with a queue for its dead letters when it is limited in how often it tries."""
        dead = None
        if received_at_most:
            dead = sqs.DeadLetterQueue(queue=self._queue(f"Dead{name}"), max_receive_count=received_at_most)
        return sqs.Queue(
            self,
            f"{name}Queue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
            visibility_timeout=invisible,
            dead_letter_queue=dead,
        )

    def _dead_letter_queues(self) -> dict[str, sqs.IQueue]:
        dead = {"Mail": self.mail_queue.dead_letter_queue, "Reward": self.reward_queue.dead_letter_queue}
        return {**self.dead, **{name: one.queue for name, one in dead.items() if one}}

    def _parameter(self, name: secret.Name) -> str:
        """What a secret is called in Parameter Store; it is made by `flywheel secrets make`, not by this stack."""
        return secret.parameter(self.stack_name, name)

    def _api(self) -> http.HttpApi:
        """The one door for the outside, at the own domain only where there is one."""
        domain = self.domain
        api = http.HttpApi(self, "Api", create_default_stage=False, disable_execute_api_endpoint=domain is not None)
        log = logs.LogGroup(self, "ApiLog", retention=logs.RetentionDays.ONE_MONTH, removal_policy=self.kept)
        stage = http.HttpStage(
            self,
            "Stage",
            http_api=api,
            auto_deploy=True,
            throttle=http.ThrottleSettings(rate_limit=50, burst_limit=100),
            domain_mapping=http.DomainMappingOptions(domain_name=domain) if domain else None,
        )
        inside = stage.node.default_child
        if isinstance(inside, http.CfnStage):  # HttpStage takes its log settings only from a class of one's own
            inside.access_log_settings = http.CfnStage.AccessLogSettingsProperty(
                destination_arn=log.log_group_arn, format=json.dumps(ACCESS_LOG)
            )
        return api

    def _domain(self) -> http.DomainName | None:
        name, certificate = self.settings.domain_name, self.settings.certificate_arn
        if not name:
            return None
        if not certificate:
            raise UsageError(
                "domain_name needs certificate_arn: a certificate for it in this region (-c certificate_arn=...)"
            )
        found = acm.Certificate.from_certificate_arn(self, "Certificate", certificate)
        return http.DomainName(self, "Domain", domain_name=name, certificate=found)

    def _layer(self, name: str, asset: Asset) -> lambda_.LayerVersion:
        return lambda_.LayerVersion(
            self, name, code=_uploaded(asset), compatible_runtimes=[runtime()], removal_policy=self.kept
        )

    def _function(self, name: str, code: lambda_.Code, dependencies: lambda_.LayerVersion) -> lambda_.Function:
        log = logs.LogGroup(self, f"{name}-log", retention=logs.RetentionDays.THREE_MONTHS, removal_policy=self.kept)
        role = iam.Role(self, f"{name}-role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log.grant_write(role)
        asynchronous = {**dict.fromkeys(TICKING, "Schedules"), "mail_feedback": "Feedback"}.get(name)
        return lambda_.Function(
            self,
            name,
            handler=f"functions.{name}.handler",
            runtime=runtime(),
            architecture=lambda_.Architecture.ARM_64,
            code=code,
            layers=[dependencies],
            role=role,
            memory_size=MEMORY.get(name, 512),
            timeout=TIMEOUTS[name],
            log_group=log,
            environment=self._environment(name),
            on_failure=destinations.SqsDestination(self.dead[asynchronous]) if asynchronous else None,
            reserved_concurrent_executions=budget.reserved(name, wanted=self.settings.reserve),
        )

    def _environment(self, function: str) -> dict[str, str]:
        """What a function is told; the code takes what it needs from the same names everywhere."""
        return {
            "FLYWHEEL_TABLE": self.table.table_name,
            "FLYWHEEL_MAIL_QUEUE_URL": self.mail_queue.queue_url,
            "FLYWHEEL_REWARD_QUEUE_URL": self.reward_queue.queue_url,
            "FLYWHEEL_REWARDS_SECRET": self._parameter("rewards"),
            "FLYWHEEL_EVENT_BUS": self.bus.event_bus_name,
            "FLYWHEEL_WEBHOOK_SECRET": self._parameter("webhooks"),
            "FLYWHEEL_LINKS_SECRET": self._parameter("links"),
            "FLYWHEEL_LINKS_URL": self.public_url,
            "FLYWHEEL_CONFIGURATION_SET": self.configuration_set.configuration_set_name,
            "FLYWHEEL_MAILER_WORKERS": str(mailers.WORKERS),
            "FLYWHEEL_MAILS_AT_ONCE": str(mailers.AT_ONCE),
            "FLYWHEEL_LARGE_DAYS_MACHINE": measuring.machine_arn(self),
            "POWERTOOLS_SERVICE_NAME": function,
            "POWERTOOLS_METRICS_NAMESPACE": "Flywheel",
        }

    def _outputs(self) -> None:
        outputs = {
            "WebhooksUrl": f"{self.public_url}/webhooks",
            "LinksUrl": f"{self.public_url}/l",
            "TableName": self.table.table_name,
            "MailQueueUrl": self.mail_queue.queue_url,
            "WebhookSecret": self._parameter("webhooks"),
            "LinksSecret": self._parameter("links"),
            "RewardQueueUrl": self.reward_queue.queue_url,
            "RewardsSecret": self._parameter("rewards"),
            "EventBusName": self.bus.event_bus_name,
            "ConfigurationSet": self.configuration_set.configuration_set_name,
            "SenderDomains": ",".join(self._sender_domains()),
            "MailFeedbackFunction": self.functions["mail_feedback"].function_name,
            "Functions": ",".join(function.function_name for function in self.functions.values()),
            **{f"Dead{name}QueueUrl": queue.queue_url for name, queue in self._dead_letter_queues().items()},
        }
        if self.domain:  # what a CNAME or alias record of the domain must point to
            outputs["DomainTarget"] = self.domain.regional_domain_name
        for name, value in outputs.items():
            cdk.CfnOutput(self, name, value=value)


def _uploaded(asset: Asset) -> lambda_.Code:
    """An asset under the digest of what it was made from, so that an unchanged bundle changes no function."""
    return lambda_.Code.from_asset(str(asset.zip), asset_hash=asset.digest)


def runtime() -> lambda_.Runtime:
    """Lambda's Python of the version that runs here, which is the one all was tested and compiled with."""
    major, minor = sys.version_info[:2]
    found = getattr(lambda_.Runtime, f"PYTHON_{major}_{minor}", None)
    if not isinstance(found, lambda_.Runtime):
        raise UsageError(f"Lambda has no runtime for Python {major}.{minor}, which runs here; use 3.11 to 3.14")
    return found
