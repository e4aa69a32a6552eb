"""Every hour -> the days that are due to be measured; and, for a large day, each of its shards and then the whole."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.app import app, scheduled_at
from shared.rolling import Part, Rolled, keep_shard, roll

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Roll days up; or read one shard of a large day, as the state machine asks for."""
    now = scheduled_at(event, app().clock)
    if "shard" in event:
        _keep_shard(event, now)
        return
    part = Part(day=date.fromisoformat(event["day"]), run=event["run"], mark=event["mark"]) if "day" in event else None
    rolled = roll(app(), now, lambda: context.get_remaining_time_in_millis() / 1000, part=part)
    _tell(rolled)


def _keep_shard(event: dict[str, Any], now: datetime) -> None:
    day, shard = date.fromisoformat(event["day"]), int(event["shard"])
    events = keep_shard(app(), now, day=day, run=event["run"], shard=shard)
    logger.info("shard read", extra={"day": str(day), "shard": shard, "events": events})


def _tell(rolled: Rolled) -> None:
    if rolled.busy:
        logger.info("another is still rolling days up")
    if rolled.handed_over is not None:
        logger.info("large day handed over", extra={"day": str(rolled.handed_over)})
    for day in rolled.too_late:
        logger.warning("a late event changed nothing: the log of its day may be gone", extra={"day": str(day)})
    if rolled.left:
        logger.warning("there was no time for all days", extra={"left": len(rolled.left)})
    with single_metric(name="DaysRolled", unit=MetricUnit.Count, value=len(rolled.days)):
        pass  # also where none was: an alarm waits for it
