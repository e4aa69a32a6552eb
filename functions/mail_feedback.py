"""SES events -> the send ledger and suppression. Anything unknown is a logged no-op."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from shared import feedback
from shared.app import app

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001 - Lambda's signature
    """Note what SES tells; only a table that is away is raised, so that the event comes again."""
    told = feedback.read(event)
    if not told:
        logger.info("feedback on no send of ours", extra={"send_id": None})
        return
    now = app().clock()
    for one in told:
        _note(one, now)


def _note(one: feedback.Feedback, now: datetime) -> None:
    extra = {"send_id": str(one.send_id), "kind": one.kind}
    if not feedback.note(one, app(), now):
        logger.info("feedback on no send of ours", extra=extra)
        return
    logger.info("feedback", extra=extra)
