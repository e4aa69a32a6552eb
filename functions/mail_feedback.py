"""SES events -> the send ledger and suppression. Anything unknown is a logged no-op."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from shared import feedback
from shared.app import app

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001 - Lambda's signature
    """Note one SES event."""
    found = feedback.read(event)
    if found is None or not feedback.note(found, app()):
        logger.info("feedback on no send of ours", extra={"send_id": str(found.send_id) if found else None})
        return
    logger.info("feedback", extra={"send_id": str(found.send_id), "kind": found.kind})
    with single_metric(name="Feedback", unit=MetricUnit.Count, value=1) as metric:
        metric.add_dimension("kind", found.kind)
