"""Every minute -> the onboarding steps that are due."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.agenda import tick
from shared.app import app, scheduled_at

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001 - Lambda's signature
    """Settle what is due of the onboarding programme."""
    looked_at = tick("onboarding", app(), scheduled_at(event, app().clock))
    if looked_at:
        logger.info("ticked", extra={"looked_at": looked_at})
