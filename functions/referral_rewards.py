"""Every 5 minutes -> the referrals whose time has come, and the rewards that are to be told of once more."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.app import app, scheduled_at
from shared.fulfilment import put_back
from shared.rewarding import settle_all

logger = Logger()
metrics = Metrics()


@metrics.log_metrics
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001 - Lambda's signature
    """Put failed notices that are due back into the reward queue, then settle what is due of the referrals."""
    now = scheduled_at(event, app().clock)
    try:
        metrics.add_metric("RewardNoticesAgain", MetricUnit.Count, put_back(app(), now))
    finally:  # neither holds up the other
        metrics.add_metric("ReferralsDue", MetricUnit.Count, settle_all(app(), now))
