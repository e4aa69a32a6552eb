"""What cdk-nag finds in the stack and we keep, each with its reason. Any other finding fails every synthesis.

An acknowledgement holds for one construct and what is in it; a construct that comes later is found anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks, ServerlessChecks
from constructs import IConstruct

from infra.stack import TICKING, Flywheel

DEAD = "It is a queue of dead letters itself: it keeps what fails for 14 days, and its first letter raises an alarm."

FUNCTIONS = {
    "AwsSolutions-L1": "It runs on the very version of Python that its bundle was compiled for and that ran all tests; "
    "a newer one comes with a build on a newer one, never by itself.",
    "Serverless-LambdaLatestVersion": "As for AwsSolutions-L1: the version that everything was tested with.",
    "Serverless-LambdaTracing": "X-Ray knows no resources, so each function would need a grant on all of them; the ids "
    "in the logs lead from a webhook to its mail.",
}

WITHOUT_QUEUE = "Such a queue serves asynchronous invocations, and nothing invokes it asynchronously. "

FAILURES = {
    "webhooks": WITHOUT_QUEUE + "It answers a request, and the platform tries again.",
    "links": WITHOUT_QUEUE + "It answers a request, and the person tries again.",
    "react": WITHOUT_QUEUE + "It reads the table's stream; what fails goes to that mapping's own queue.",
    "mailer": WITHOUT_QUEUE + "It reads the mail queue, which has a queue for its dead letters.",
    "reward_notices": WITHOUT_QUEUE + "It reads the reward queue, which has a queue for its dead letters.",
}
"""The functions that nothing invokes asynchronously, and where their failures go instead."""

DESTINATION = (
    "What fails goes to the destination of its asynchronous invocations, a queue with an alarm; the rule looks only "
    "for the older setting, which tells less of the failure."
)

QUEUE_MAPPING = (
    "What fails of a queue comes again and then goes to that queue's dead letters; a mapping's destination is for "
    "streams."
)

SIGNED = {
    "POST--webhooks--{platform}": "Platforms sign what they send; the signature over the raw body is checked before "
    "anything is read of it.",
    "--l--{proxy+}": "People come from a mail and have no account: the token in the link is signed and bound to its "
    "use.",
}

MACHINE = {
    "AwsSolutions-SF1": "To deliver logs it would need a grant on every resource; its own history tells each step for "
    "90 days, and the function that does the work logs.",
    "AwsSolutions-SF2": "X-Ray knows no resources, so it would need a grant on all of them.",
    "Serverless-StepFunctionStateMachineXray": "As for AwsSolutions-SF2: no grant on everything.",
}

ANYTHING = "AwsSolutions-IAM5[Resource::*]"
IDENTITIES = "AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ses:<AWS::Region>:<AWS::AccountId>:identity/*]"

GRANTS = {
    ("react-role", ANYTHING): "dynamodb:ListStreams knows no narrower resource; it tells names only.",
    ("mailer-role", ANYTHING): "ses:GetAccount knows no narrower resource; it reads the account's send rate.",
    (
        "mailer-role",
        IDENTITIES,
    ): "In the sandbox SES asks for the recipient's identity as well; a condition binds it to our own senders.",
}

SCHEDULED = "Its versions and aliases, of which it has none: the CDK grants both wherever it lets something be invoked."


class Acknowledged(NamedTuple):
    """That a rule's finding is kept, in one construct."""

    path: str
    rule: str
    reason: str


def check(app: cdk.App) -> None:
    """Have every synthesis checked by AWS Solutions and Serverless; it fails with any finding that is not kept."""
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app), ServerlessChecks(app))


def acknowledge(stack: Flywheel) -> None:
    """Tell the checks what is kept and why."""
    for path, rule, reason in acknowledged(stack):
        construct: IConstruct = stack
        for name in filter(None, path.split("/")):
            construct = construct.node.find_child(name)
        pack = rule.partition("-")[0]
        cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=f"{pack}::{rule}", reason=reason))


def acknowledged(stack: Flywheel) -> Iterator[Acknowledged]:
    """Everything that is kept, by the children of the stack."""
    yield from (Acknowledged("LargeDays", rule, reason) for rule, reason in MACHINE.items())
    yield from (Acknowledged(role, rule, reason) for (role, rule), reason in GRANTS.items())
    for name in stack.functions:
        yield from _of_function(name)
    yield from _of_queues(stack)
    yield from _of_routes(stack)
    yield from _of_schedules(stack)


def _of_function(name: str) -> Iterator[Acknowledged]:
    yield from (Acknowledged(name, rule, reason) for rule, reason in FUNCTIONS.items())
    yield Acknowledged(name, "Serverless-LambdaDLQ", FAILURES.get(name, DESTINATION))
    if name in {"mailer", "reward_notices"}:
        yield Acknowledged(name, "Serverless-LambdaEventSourceMappingDestination", QUEUE_MAPPING)


def _of_queues(stack: Flywheel) -> Iterator[Acknowledged]:
    for name in (child.node.id for child in stack.node.children):
        if name.startswith("Dead") and name.endswith("Queue"):
            yield Acknowledged(name, "Serverless-SQSRedrivePolicy", DEAD)
    for name in stack.dead:  # the other rule sees by itself that a queue's own dead letters need no further queue
        yield Acknowledged(f"Dead{name}Queue", "AwsSolutions-SQS3", DEAD)


def _of_routes(stack: Flywheel) -> Iterator[Acknowledged]:
    for route in (child.node.id for child in stack.api.node.children):
        for ending, reason in SIGNED.items():
            if route.endswith(ending):
                yield Acknowledged(f"Api/{route}", "AwsSolutions-APIG4", reason)


def _of_schedules(stack: Flywheel) -> Iterator[Acknowledged]:
    # The roles that the CDK makes for schedules have no names that tell whose they are; the finding names the function.
    for name in TICKING:
        inside = cast("cdk.CfnElement", stack.functions[name].node.default_child)
        arn = f"<{stack.get_logical_id(inside)}.Arn>"
        yield Acknowledged("", f"AwsSolutions-IAM5[Resource::{arn}:*]", SCHEDULED)
