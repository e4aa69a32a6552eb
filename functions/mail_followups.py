"""Every minute -> deferred mails whose time has come, and sends whose fate was in doubt."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import count
from shared.app import app, scheduled_at
from shared.sending import follow_up_all

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001 - Lambda's signature
    """Look again at every send that is due for it."""
    try:
        verdicts = follow_up_all(app(), scheduled_at(event, app().clock))
        if verdicts:
            logger.info("followed up", extra={"verdicts": dict(verdicts)})
        count("SendsParked", verdicts["park"])
    finally:  # that marketing mail is paused is told whatever else fails
        pause = app().store.pause()
        count("MarketingPaused", int(pause is not None and pause.resumed_at is None))
