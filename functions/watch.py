"""Every hour -> how late the agenda is, and how many mails nothing will settle: what no failure tells of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.app import app, scheduled_at
from shared.balance import Balance, overdue
from shared.watching import balance, oldest_due

logger = Logger()
metrics = Metrics()

TOLD = 20
"""Ids of stuck mails that a log line names."""


@metrics.log_metrics
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001 - Lambda's signature
    """Look at every agenda, and at the ledger of the last days."""
    now = scheduled_at(event, app().clock)
    _tell_of_agendas(overdue(oldest_due(app().store, now), now))
    _tell_of_mails(balance(app().store, now))


def _tell_of_agendas(late: Mapping[str, timedelta]) -> None:
    if late:
        minutes = {name: round(by / timedelta(minutes=1)) for name, by in late.items()}
        logger.warning("overdue", extra={"minutes": minutes})
    oldest = max(late.values(), default=timedelta())
    metrics.add_metric("OldestOverdue", MetricUnit.Seconds, oldest.total_seconds())


def _tell_of_mails(ledger: Balance) -> None:
    counts = {str(day): {status.value: count for status, count in of.items()} for day, of in ledger.days.items()}
    logger.info("ledger", extra={"planned": ledger.planned, "days": counts})
    if ledger.stuck:
        logger.warning("stuck mails", extra={"stuck": len(ledger.stuck), "send_ids": list(ledger.stuck[:TOLD])})
    metrics.add_metric("SendsStuck", MetricUnit.Count, len(ledger.stuck))
