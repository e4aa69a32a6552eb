"""Once for each kind of report, when its schedule says -> the report on the period that is over, and its mails."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.app import app, scheduled_at
from shared.editions import publish

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001 - Lambda's signature
    """Make the report, keep it, and plan a mail to each of its readers; done again, it plans the same ones."""
    planned = publish(event["kind"], app(), scheduled_at(event, app().clock))
    logger.info("report planned", extra={"kind": event["kind"], "mails": len(planned)})
