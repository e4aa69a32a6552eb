"""The playbook: its kinds of values, its model, and how it is read and checked."""

from shared.playbook.mail import ALL_MARKETING, Bonus, Breaker, Limits, Mail, Manager, QuietHours
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
    "Highlight",
    "Limits",
    "Link",
    "Mail",
    "Manager",
    "Playbook",
    "QuietHours",
    "RecurringEvent",
    "Reengagement",
    "Referrals",
    "RewardRule",
    "Step",
    "Weekday",
    "Written",
    "check",
    "load",
    "schema",
]
