"""What a report is made of: figures and counts as they were gathered, in no language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from shared.experiments import Lift
from shared.metrics import Figures, Period, PeriodKind

ReportKind = Literal["daily", "weekly", "monthly"]

PERIODS: Mapping[ReportKind, PeriodKind] = {"daily": "day", "weekly": "week", "monthly": "month"}
"""The kind of period that each kind of report is about."""


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """Who was new in a week, and the share of them that was active on exactly the n-th day after; None: too early."""

    week: Period
    members: int
    d1: float | None = None
    d7: float | None = None
    d30: float | None = None


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What became in the period of one onboarding step, by its key: how many were due, and where those stand now.

    `waiting` are planned, claimed or deferred; `unsure` in doubt or parked. The four add up to `due`.
    """

    key: str
    day: int
    due: int = 0
    sent: int = 0
    skipped: int = 0
    waiting: int = 0
    unsure: int = 0


@dataclass(frozen=True, kw_only=True)
class ReferralResult:
    """Referees of the period by how far they came, how many wait for a person now, rewards granted by rule's key."""

    attributed: int = 0
    qualified: int = 0
    in_review: int = 0
    rewards: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What became of all mail of the period; `suppressed` are addresses that get no more mail since then."""

    sent: int = 0
    bounced: int = 0
    complained: int = 0
    suppressed: int = 0


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What waits for a person now: referrals, mails parked or in doubt, and marketing mail that has paused."""

    reviews: int = 0
    parked: int = 0
    in_doubt: int = 0
    paused_since: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything a report tells, of one period.

    `previous` are the figures of `period.previous`, empty where there are none. `history` are the figures of single
    days, `weeks` those of ISO weeks, `cohorts` by the week of joining, each oldest first and for the charts alone.
    `first_day` is the first local day that was ever measured, `missing` are days of the period that are not computed
    yet. `goals` are by metric key. `lift` is what asking people back did in the last `lift_days` days, None where it
    is not told. `planned` is how many agenda items of each programme come due in the next period, `event_at` when the
    community's event next takes place, in UTC. `restated` are keys of figures that are not what was first reported.
    `young` is whether threads of the period may still be answered: then the `previous` figures on answers are those
    that were first reported, at the same age.
    """

    kind: ReportKind
    period: Period
    figures: Figures
    previous: Figures = field(default_factory=dict)
    history: tuple[tuple[date, Figures], ...] = ()
    weeks: tuple[tuple[Period, Figures], ...] = ()
    cohorts: tuple[Cohort, ...] = ()
    first_day: date | None
    missing: tuple[date, ...] = ()
    goals: Mapping[str, float] = field(default_factory=dict)
    steps: tuple[StepResult, ...] = ()
    young: bool = False
    lift: Lift | None = None
    lift_days: int = 0
    referrals: ReferralResult = field(default_factory=ReferralResult)
    delivery: Delivery = field(default_factory=Delivery)
    planned: Mapping[str, int] = field(default_factory=dict)
    event_at: datetime | None = None
    needs: Needs = field(default_factory=Needs)
    computed_at: datetime
    restated: frozenset[str] = frozenset()
