"""The playbook: its kinds of values, its model, and how it is read and checked."""

from shared.playbook.mail import ALL_MARKETING, Bonus, Breaker, Limits, Mail, Manager, QuietHours
from shared.playbook.measuring import Cost, Measuring, MonthlyReport, Report, ReportKind, Reports, WeeklyReport
from shared.playbook.model import (
    Highlight,
    Link,
    Playbook,
    RecurringEvent,
    Reengagement,
    Step,
    Written,
)
from shared.playbook.reading import check, load, schema
from shared.playbook.referrals import Referrals, RewardRule
from shared.playbook.terms import Condition, Weekday

__all__ = [
    "ALL_MARKETING",
    "Bonus",
    "Breaker",
    "Condition",
    "Cost",
    "Highlight",
    "Limits",
    "Link",
    "Mail",
    "Manager",
    "Measuring",
    "MonthlyReport",
    "Playbook",
    "QuietHours",
    "RecurringEvent",
    "Reengagement",
    "Referrals",
    "Report",
    "ReportKind",
    "Reports",
    "RewardRule",
    "Step",
    "Weekday",
    "WeeklyReport",
    "Written",
    "check",
    "load",
    "schema",
]
