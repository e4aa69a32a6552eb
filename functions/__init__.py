"""One module a Lambda, named for its job: parse, one call, return."""

from __future__ import annotations

from aws_lambda_powertools import single_metric
from aws_lambda_powertools.metrics import MetricUnit


def count(name: str, value: int, **dimensions: str) -> None:
    """Tell a metric, where there is anything to count.

    CloudWatch bills each metric, and each value of a dimension, for every hour in which it is told. So only what an
    alarm or the dashboard needs is one, and nothing tells of zero; everything else stands in the log.
    """
    if value:
        with single_metric(name=name, unit=MetricUnit.Count, value=value, default_dimensions=dimensions):
            pass  # it is written when the block ends
