"""Every minute -> deferred mails whose time has come, and sends whose fate was in doubt."""

from __future__ import annotations

from collections import Counter
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.app import app, scheduled_at
from shared.sending import NotAllFollowedUp, follow_up_all

logger = Logger()
metrics = Metrics()


@metrics.log_metrics
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001 - Lambda's signature
    """Look again at every send that is due for it."""
    verdicts: Counter[str] = Counter()
    try:
        verdicts = follow_up_all(app(), scheduled_at(event, app().clock))
    except NotAllFollowedUp as exc:
        verdicts = exc.verdicts
        raise
    finally:  # what was parked, and that marketing mail is paused, is told whatever else fails: nobody finds it again
        metrics.add_metric("SendsFollowedUp", MetricUnit.Count, verdicts.total())
        metrics.add_metric("SendsParked", MetricUnit.Count, verdicts["park"])
        pause = app().store.pause()
        metrics.add_metric("MarketingPaused", MetricUnit.Count, int(pause is not None and pause.resumed_at is None))
