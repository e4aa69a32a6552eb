"""The table's stream of new log items -> what they set off. Failed records come again; the rest do not."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.app import app
from shared.react import react
from shared.store import event_of
from shared.store.wire import values

logger = Logger()
metrics = Metrics()


@metrics.log_metrics
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """React to a batch of the stream; a record that fails is reported, and so comes again with those after it."""
    logged = {
        record["dynamodb"]["SequenceNumber"]: event_of(values(record["dynamodb"]["NewImage"]))
        for record in event["Records"]
    }
    failed = react(list(logged.values()), app(), app().clock())
    for event_id, error in failed.items():
        logger.error("event failed", extra={"event_id": event_id, "error": type(error).__name__})
    metrics.add_metric("EventsReacted", MetricUnit.Count, len(logged) - len(failed))
    metrics.add_metric("EventsFailed", MetricUnit.Count, len(failed))
    return {"batchItemFailures": [{"itemIdentifier": number} for number, one in logged.items() if one.id in failed]}
