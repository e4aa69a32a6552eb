"""The playbook on measuring: what a ticket costs, what is aimed at, and who gets which report when."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from shared.errors import Problem
from shared.events import Frozen
from shared.metrics import METRICS
from shared.playbook.problems import names, raise_problems
from shared.playbook.terms import Key, LocalTime, Weekday, Zone, once_each

ReportKind = Literal["daily", "weekly", "monthly"]

AIMED_AT = tuple(key for key, metric in METRICS.items() if metric.unit != "money")
"""The metrics that may have a goal: money comes in several currencies."""


class Cost(Frozen):
    """Minor units of a currency (ISO 4217)."""

    amount: int = Field(ge=0)
    currency: str = Field(pattern=r"^[A-Z]{3}$")


class Measuring(Frozen):
    """How figures are made: a day of more events than `large_day` is read by several functions side by side."""

    large_day: int = Field(ge=1)
    cost_per_ticket: Cost


def _known_metrics(goals: dict[str, float]) -> dict[str, float]:
    wrong = f"must be one of the metrics that may have a goal: {names(AIMED_AT)}"
    raise_problems([Problem(key, wrong) for key in goals if key not in AIMED_AT])
    return goals


Goals = Annotated[
    dict[str, Annotated[float, Field(allow_inf_nan=False)]],
    AfterValidator(_known_metrics),
    Field(json_schema_extra={"propertyNames": {"enum": list(AIMED_AT)}}),
]
"""What is aimed at in a period, by metric and in its unit: shares from 0 to 1, points, seconds."""


class Report(Frozen):
    """A report: at which time of day, in the community's zone unless `timezone` is given, and to which managers."""

    at: LocalTime
    timezone: Zone | None = None
    to: Annotated[list[Key], Field(min_length=1), AfterValidator(once_each)]


class WeeklyReport(Report):
    """The report on the week before, on this day of the week."""

    weekday: Weekday


class MonthlyReport(Report):
    """The report on the month before, on this day of the month, which every month has."""

    day: int = Field(ge=1, le=28)


class Reports(Frozen):
    """Which reports there are. A kind that is left out is not sent; `mail` is what they all are sent as."""

    mail: Key
    daily: Report | None = None
    weekly: WeeklyReport | None = None
    monthly: MonthlyReport | None = None

    @property
    def kinds(self) -> dict[ReportKind, Report]:
        """The reports that are sent, by kind."""
        given: dict[ReportKind, Report | None]
        given = {"daily": self.daily, "weekly": self.weekly, "monthly": self.monthly}
        return {kind: report for kind, report in given.items() if report is not None}
