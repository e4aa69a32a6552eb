"""Every 5 minutes -> the referrals whose time has come, and the rewards that are to be told of once more."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.app import app, scheduled_at
from shared.fulfilment import put_back
from shared.rewarding import settle_all

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001 - Lambda's signature
    """Put failed notices that are due back into the reward queue, then settle what is due of the referrals."""
    now = scheduled_at(event, app().clock)
    try:
        if again := put_back(app(), now):
            logger.info("notices come again", extra={"notices": again})
    finally:  # neither holds up the other
        if looked_at := settle_all(app(), now):
            logger.info("ticked", extra={"looked_at": looked_at})
