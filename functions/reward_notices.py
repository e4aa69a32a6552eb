"""The reward queue -> the bus, a mail and the receiver of rewards. What must come again is reported to the queue."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.app import app
from shared.errors import FlywheelError, Unavailable
from shared.fulfilment import Fulfilment, fulfil
from shared.model import RewardNotice

logger = Logger()
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)

RESERVE_MS = 30_000
"""A notice is not begun with less time than this left: the receiver's 15 s and our own requests must fit."""


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Tell of a batch of rewards; what nobody took for three days is reported, and so comes to the dead letters."""
    return process_partial_response(event=event, record_handler=_tell, processor=processor, context=context)


def _tell(record: SQSRecord, lambda_context: LambdaContext) -> None:
    try:
        notice, told = _settle(record, lambda_context)
    except Exception as exc:
        why = str(exc) if isinstance(exc, FlywheelError) else type(exc).__name__
        log = logger.warning if isinstance(exc, Unavailable) else logger.error
        log("reward notice comes again", extra={"message_id": record.message_id, "error": why})
        raise
    which = {"member_id": notice.member_id, "rule": notice.rule, "about": notice.about, "tries": notice.tries}
    logger.info("reward notice", extra={**which, "outcome": told.outcome, "why": told.why, "again_at": told.again_at})


def _settle(record: SQSRecord, context: LambdaContext) -> tuple[RewardNotice, Fulfilment]:
    if context.get_remaining_time_in_millis() < RESERVE_MS:
        raise Unavailable("no time left in this invocation")
    notice = RewardNotice.model_validate_json(record.body)
    return notice, fulfil(notice, app(), app().clock())
