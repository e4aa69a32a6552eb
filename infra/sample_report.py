"""An invented community's report, for `flywheel preview report` and the tests: a whole one, and one of first days."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from math import sin

from shared.experiments import Lift, Returned
from shared.metrics import Figures, Period
from shared.playbook import Playbook
from shared.report import PERIODS, Cohort, Delivery, Facts, Needs, ReferralResult, ReportKind, StepResult

LAST = date(2026, 10, 4)
"""The last day that is reported on: a Sunday."""

_NOW: Figures = {
    "members": 1284,
    "new_members": 31,
    "members_left": 4,
    "lapsed": 15,
    "churned": 19,
    "churn_rate": 19 / 1272,
    "growth_rate": 31 / 1272,
    "win_backs": 9,
    "referral_signups": 12,
    "active": 402,
    "dau": 96.4,
    "wau": 402,
    "mau": 689,
    "stickiness": 96.4 / 689,
    "engagement_rate": 618 / 1284,
    "retention": 0.71,
    "cohort_d1": 0.58,
    "cohort_d7": 0.39,
    "cohort_d30": 0.27,
    "posts": 141,
    "comments": 477,
    "reactions": 1893,
    "posts_per_member": 141 / 1284,
    "threads": 141,
    "response_rate": 117 / 141,
    "ttfr_median": 8_280,
    "ttfr_p90": 93_600,
    "nps": 34.1,
    "nps_answers": 88,
    "sentiment": 0.87,
    "sentiments": 1412,
    "deflected": 38,
    "tickets": 21,
    "support_deflection": 38 / 59,
    "ugc": 5,
    "ugc_case_study": 1,
    "ugc_template": 4,
    "influenced_revenue": {"EUR": 1_248_050},
    "sourced_revenue": {"EUR": 96_000},
    "feedback_implemented": 2,
    "cost_savings": {"EUR": 57_000},
    "health": 38.9,
    "health_engagement": 31.3,
    "health_growth": 0.9,
    "health_sentiment": 87.0,
}
_BEFORE: Figures = {
    "members": 1272,
    "new_members": 24,
    "members_left": 3,
    "lapsed": 8,
    "churned": 11,
    "churn_rate": 11 / 1259,
    "growth_rate": 24 / 1259,
    "win_backs": 7,
    "referral_signups": 5,
    "active": 397,
    "dau": 101.1,
    "wau": 397,
    "mau": 671,
    "stickiness": 101.1 / 671,
    "engagement_rate": 705 / 1272,
    "retention": 0.69,
    "cohort_d1": 0.61,
    "cohort_d7": 0.41,
    "cohort_d30": None,
    "posts": 188,
    "comments": 517,
    "reactions": 1854,
    "posts_per_member": 188 / 1272,
    "threads": 188,
    "response_rate": 137 / 188,
    "ttfr_median": 15_900,
    "ttfr_p90": 118_000,
    "nps": 32.0,
    "nps_answers": 81,
    "sentiment": 0.86,
    "sentiments": 1390,
    "deflected": 36,
    "tickets": 24,
    "support_deflection": 36 / 60,
    "ugc": 3,
    "ugc_case_study": 0,
    "ugc_template": 3,
    "influenced_revenue": {"EUR": 1_190_000},
    "sourced_revenue": {},
    "feedback_implemented": 2,
    "cost_savings": {"EUR": 54_000},
    "health": 38.6,
    "health_engagement": 31.2,
    "health_growth": 1.0,
    "health_sentiment": 86.0,
}


def sample_facts(playbook: Playbook, kind: ReportKind = "weekly") -> Facts:
    """A report's facts with everything in it, the same each time."""
    period = Period.of(PERIODS[kind], LAST)
    return Facts(
        kind=kind,
        period=period,
        figures=_NOW,
        previous=_BEFORE,
        history=tuple(_day(90 - at) for at in range(90)),
        weeks=tuple(_week(13 - at) for at in range(13)),
        cohorts=tuple(_cohort(13 - at) for at in range(13)),
        first_day=LAST - timedelta(days=400),
        goals=playbook.goals.get(kind, {}),
        steps=tuple(_step(step.key, step.day, at) for at, step in enumerate(playbook.onboarding.steps)),
        lift=Lift(treated=Returned(46, 312), held_out=Returned(2, 35), variants={}, open=18, unsent={}),
        lift_days=90,
        referrals=ReferralResult(
            attributed=12, qualified=7, in_review=2, rewards={rule.key: 3 for rule in playbook.referrals.rewards[:2]}
        ),
        delivery=Delivery(sent=431, bounced=6, complained=0, suppressed=4),
        planned={"onboarding": 64, "reengagement": 41, "referrals": 9},
        event_at=datetime(2026, 10, 8, 16, tzinfo=UTC),
        needs=Needs(reviews=2, parked=1),
        computed_at=datetime(2026, 10, 5, 6, tzinfo=UTC),
        restated=frozenset({"comments"}),
    )


def first_days(playbook: Playbook, kind: ReportKind = "weekly") -> Facts:
    """The facts of a community that was first measured four days before the period's end: little to show."""
    whole = sample_facts(playbook, kind)
    lacking = dict.fromkeys(whole.figures)
    known: Figures = {
        "members": 14,
        "new_members": 14,
        "members_left": 0,
        "lapsed": 0,
        "churned": 0,
        "win_backs": 0,
        "referral_signups": 0,
        "active": 11,
        "dau": 5.25,
        "wau": 11,
        "mau": 11,
        "stickiness": 5.25 / 11,
        "engagement_rate": 21 / 14,
        "cohort_d1": 0.5,
        "posts": 8,
        "comments": 13,
        "reactions": 0,
        "threads": 0,
        "posts_per_member": 8 / 14,
        "nps_answers": 0,
        "sentiments": 0,
        "deflected": 0,
        "tickets": 0,
        "ugc": 0,
        "feedback_implemented": 0,
        "health": 88.6,
        "health_engagement": 78.6,
        "health_growth": 100.0,
    }
    return replace(
        whole,
        figures={**lacking, **known},
        previous={},
        history=tuple((day, {"mau": 11 - back, "dau": 5 + back % 2}) for day, back in _last_days(4)),
        weeks=(),
        cohorts=(),
        first_day=LAST - timedelta(days=3),
        steps=tuple(StepResult(key=step.key, day=step.day) for step in playbook.onboarding.steps),
        lift=None,
        referrals=ReferralResult(),
        delivery=Delivery(),
        needs=Needs(),
        restated=frozenset(),
    )


def _last_days(number: int) -> list[tuple[date, int]]:
    return [(LAST - timedelta(days=back), back) for back in reversed(range(number))]


def _day(back: int) -> tuple[date, Figures]:
    day = LAST - timedelta(days=back - 1)
    quiet = 0.62 if day.weekday() > 4 else 1  # weekends
    return day, {
        "mau": round(540 + 150 * (90 - back) / 90 + 8 * sin(back)),
        "dau": round((104 + 9 * sin(back)) * quiet),
    }


def _week(back: int) -> tuple[Period, Figures]:
    week = Period.of("week", LAST - timedelta(days=7 * (back - 1)))
    new, churned = round(24 + 7 * sin(back * 1.7)), round(13 + 5 * sin(back * 2.3))
    median = round(8_280 + 900 * back + 2_000 * sin(back * 2.1))
    return week, {"new_members": new, "churned": churned, "ttfr_median": median, "ttfr_p90": 5 * median}


def _cohort(back: int) -> Cohort:
    week = Period.of("week", LAST - timedelta(days=7 * (back - 1)))
    d1, d7, d30 = (base + 0.05 * sin(back * turn) for base, turn in ((0.6, 1.3), (0.4, 1.9), (0.26, 2.7)))
    members = round(24 + 7 * sin(back * 1.7))
    return Cohort(
        week=week,
        members=members,
        d1=d1 if back > 1 else None,
        d7=d7 if back > 2 else None,
        d30=d30 if back > 5 else None,
    )


def _step(key: str, day: int, at: int) -> StepResult:
    sent, skipped, waiting = 30 - 3 * at, 1 + at, 2 if at == 1 else 0
    return StepResult(key=key, day=day, due=sent + skipped + waiting, sent=sent, skipped=skipped, waiting=waiting)
