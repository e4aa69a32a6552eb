"""The table's stream of new log items -> what they set off. Failed records come again; the rest do not."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import count
from shared.app import app
from shared.events import CommunityEvent
from shared.react import react
from shared.store import event_of
from shared.store.wire import values

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """React to a batch of the stream; a record that fails is reported, and so comes again with those after it."""
    logged = {record["dynamodb"]["SequenceNumber"]: _read(record) for record in event["Records"]}
    known = [one for one in logged.values() if one is not None]
    failed = react(known, app(), app().clock())
    for event_id, error in failed.items():
        logger.error("event failed", extra={"event_id": event_id, "error": type(error).__name__})
    again = [number for number, one in logged.items() if one is None or one.id in failed]
    count("EventsFailed", len(again))
    return {"batchItemFailures": [{"itemIdentifier": number} for number in again]}


def _read(record: dict[str, Any]) -> CommunityEvent | None:
    """A record's event; None when this version cannot read it, which must not hold up the others of its batch."""
    try:
        return event_of(values(record["dynamodb"]["NewImage"]))
    except (KeyError, ValueError) as exc:
        extra = {"sequence_number": record["dynamodb"]["SequenceNumber"], "error": type(exc).__name__}
        logger.error("log item not readable", extra=extra)  # noqa: TRY400 - the error's own text may quote a person
        return None
