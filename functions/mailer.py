"""The mail queue -> SES, one mail at a time at this worker's pace. What must come again is reported to the queue."""

from __future__ import annotations

from functools import partial
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import count
from shared.app import app
from shared.errors import Unavailable
from shared.model import Pause, PlannedMail, Send
from shared.sending import send_planned

logger = Logger()
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)

RESERVE_MS = 15_000
"""A mail is not begun with less time than this left: its call to SES must end, one way or the other."""


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Send a batch of planned mails; those that could not be settled are reported, and so come again."""
    send = partial(_send, pause=app().store.pause())
    return process_partial_response(event=event, record_handler=send, processor=processor, context=context)


def _send(record: SQSRecord, lambda_context: LambdaContext, pause: Pause | None) -> None:
    try:
        sent = _settle(record, lambda_context, pause)
    except Exception as exc:
        logger.warning("mail comes again", extra={"message_id": record.message_id, "error": type(exc).__name__})
        raise
    logger.info("send", extra={"send_id": sent.send_id, "status": sent.status, "reason": sent.reason})
    count("Mails", 1, status=sent.status)


def _settle(record: SQSRecord, context: LambdaContext, pause: Pause | None) -> Send:
    if context.get_remaining_time_in_millis() < RESERVE_MS:
        raise Unavailable("no time left in this invocation")
    return send_planned(PlannedMail.model_validate_json(record.body), app(), app().clock(), pause=pause)
