"""The mail queue -> SES, a batch at this worker's pace. What must come again is reported to the queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import count
from shared.app import app
from shared.mailing import Outcome, send_all

logger = Logger()
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)

RESERVE_MS = 15_000
"""A mail is not begun with less time than this left: its call to SES must end, one way or the other."""


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Send a batch of planned mails; those that could not be settled are reported, and so come again."""
    bodies = {record["messageId"]: record["body"] for record in event["Records"]}
    outcomes = send_all(bodies, app(), has_time=lambda: context.get_remaining_time_in_millis() >= RESERVE_MS)
    for status, mails in Counter(one.status for one in outcomes.values() if not isinstance(one, Exception)).items():
        count("Mails", mails, status=status)
    return process_partial_response(event=event, record_handler=partial(_tell, outcomes), processor=processor)


def _tell(outcomes: Mapping[str, Outcome], record: SQSRecord) -> None:
    """Tell of a mail in the log; raises what has it come again."""
    sent = outcomes[record.message_id]
    if isinstance(sent, Exception):
        logger.warning("mail comes again", extra={"message_id": record.message_id, "error": type(sent).__name__})
        raise sent
    logger.info("send", extra={"send_id": sent.send_id, "status": sent.status, "reason": sent.reason})
