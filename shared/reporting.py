"""Gathers what a report tells of a period: figures from rollups and bitmaps, results of the programmes, what is open.

Reads only; draws nothing and words nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from shared.experiments import Lift
from shared.lifting import USUAL_PERIOD, measured
from shared.lifting import Period as Asked
from shared.localtime import at_local, local_day
from shared.mail import next_time
from shared.measured import RESPONSE_DAYS
from shared.metrics import METRICS, Figures, Known, Period, figures, reach
from shared.model import SendStatus
from shared.playbook import Playbook
from shared.programmes import onboarding, reengagement, referrals
from shared.report import PERIODS, Cohort, Delivery, Facts, Needs, ReferralResult, ReportKind, StepResult
from shared.rollups import DERIVED, Rollup
from shared.store import Store
from shared.store.sends import Line

WEEKS = 13
"""So many ISO weeks are looked back on."""

KINDS = ("active", *DERIVED)
"""The bitmaps that figures are made of."""

OF_WEEKS = ("new_members", "churned", "ttfr_median", "ttfr_p90")
"""The figures of which a report shows every week."""

OPEN_FOR = timedelta(days=31)
"""So long ago a mail may have been planned that is told of as parked or in doubt."""

OF_ANSWERS = ("response_rate", "ttfr_median", "ttfr_p90")
"""The figures that answers to the threads of a period still change after it is over."""

_STEPS: Mapping[SendStatus, str] = {
    SendStatus.SENT: "sent",
    SendStatus.SKIPPED: "skipped",
    SendStatus.CLAIMED: "waiting",
    SendStatus.DEFERRED: "waiting",
    SendStatus.UNKNOWN: "unsure",
    SendStatus.PARKED: "unsure",
}
_BOUNCED = frozenset({"bounce", "bounce_suppressed"})


@dataclass(frozen=True)
class Span:
    """The moments from the beginning of a period up to, not including, its end, in the community's zone."""

    since: datetime
    until: datetime

    @classmethod
    def of(cls, period: Period, zone: ZoneInfo) -> Span:
        """A period's moments, in UTC."""
        return cls(at_local(period.first, time(), zone), at_local(period.last + timedelta(days=1), time(), zone))


def newest(kind: ReportKind, now: datetime, playbook: Playbook) -> Period:
    """The period that a report of this kind is about: the last one that is over in the community's zone."""
    return Period.of(PERIODS[kind], local_day(now, ZoneInfo(playbook.community.timezone))).previous


def following(period: Period) -> Period:
    """The period of the same kind that begins where this one ends."""
    return Period.of(period.kind, period.last + timedelta(days=1))


def facts_of(kind: ReportKind, period: Period, *, store: Store, playbook: Playbook, now: datetime) -> Facts:
    """Everything that a report tells of a period, as known now; days that are not computed yet are named as missing."""
    zone = ZoneInfo(playbook.community.timezone)
    span, first_day = Span.of(period, zone), store.first_measured()
    rollups, known = _known(period, store)
    told = figures(period, known, playbook)
    today = local_day(now, zone)
    young = today <= period.last + timedelta(days=RESPONSE_DAYS)
    previous = figures(period.previous, known, playbook) if _is_known(period.previous, known) else {}
    if young and previous:
        same_age = store.first_reported(kind, str(period.previous)) or {}
        previous |= {key: same_age.get(key) for key in OF_ANSWERS}
    first = store.first_reported(kind, str(period))
    lines = list(store.planned(span.since, span.until))
    waiting = len(store.reviews())
    return Facts(
        kind=kind,
        period=period,
        figures=told,
        previous=previous,
        young=young,
        history=tuple((rollup.day, rollup.figures) for rollup in rollups),
        weeks=weeks(period, known, playbook, first_day),
        cohorts=cohorts(period, known, playbook, first_day),
        first_day=first_day,
        missing=missing(period, rollups, {mark.day for mark in store.marks()}),
        goals=playbook.goals.get(kind, {}),
        steps=steps(lines, playbook),
        lift=_lift(span, store, playbook, now) if kind != "daily" else None,
        lift_days=USUAL_PERIOD.days,
        referrals=_referrals(span, store, waiting),
        delivery=delivery(lines),
        planned=_planned(Span.of(following(period), zone), store),
        event_at=next_time(playbook.content.event, zone, now),
        needs=_needs(store.planned(now - OPEN_FOR, now), store, waiting),
        computed_at=max((rollup.computed_at for rollup in store.rollups(today, today)), default=now),
        restated=restated(first, told),
    )


def missing(period: Period, rollups: Iterable[Rollup], marked: Collection[date | None]) -> tuple[date, ...]:
    """The days of a period that have not been computed since they ended, or since something was told late of them."""
    there = {rollup.day for rollup in rollups if rollup.closed and rollup.day not in marked}
    return tuple(day for day in period.days if day not in there)


def restated(first: Figures | None, told: Figures) -> frozenset[str]:
    """The figures that are not what was first reported, of those that were."""
    return frozenset(key for key, value in (first or {}).items() if key in told and told[key] != value)


def weeks(
    period: Period, known: Known, playbook: Playbook, first_day: date | None
) -> tuple[tuple[Period, Figures], ...]:
    """Some figures of the last ISO weeks that are over when the period is, since anything was measured."""
    return tuple(
        (week, {key: METRICS[key].measure(week, known, playbook) for key in OF_WEEKS})
        for week in _weeks(period, first_day)
    )


def cohorts(period: Period, known: Known, playbook: Playbook, first_day: date | None) -> tuple[Cohort, ...]:
    """Who was new in each of these weeks, and which share of them was active some days later."""
    return tuple(_cohort(week, period, known, playbook) for week in _weeks(period, first_day))


def steps(lines: Iterable[Line], playbook: Playbook) -> tuple[StepResult, ...]:
    """What became of each step of onboarding, in the order of the playbook."""
    counts: dict[str, Counter[str]] = {step.key: Counter() for step in playbook.onboarding.steps}
    for line in lines:
        if line.send_id.programme == onboarding.NAME and line.send_id.step in counts:
            counts[line.send_id.step][_STEPS[line.status]] += 1
    return tuple(
        StepResult(key=step.key, day=step.day, due=counts[step.key].total(), **counts[step.key])
        for step in sorted(playbook.onboarding.steps, key=lambda step: step.day)
    )


def delivery(lines: Iterable[Line]) -> Delivery:
    """What became of all mail; an address that bounced for good is suppressed once, however many mails it had."""
    sent = [line for line in lines if line.status is SendStatus.SENT]
    return Delivery(
        sent=len(sent),
        bounced=sum("bounce" in line.feedback for line in sent),
        complained=sum("complaint" in line.feedback for line in sent),
        suppressed=len({line.send_id.member_id for line in sent if line.feedback & _BOUNCED}),
    )


def _known(period: Period, store: Store) -> tuple[list[Rollup], Known]:
    """All that the figures of a period, of the one before and of the weeks before are made of."""
    first = min(reach(period)[0], reach(period.previous)[0], _weeks(period, None)[0].first)
    rollups = store.rollups(first, period.last)
    days = [rollup.day for rollup in rollups]
    counts = {rollup.day: rollup.counts for rollup in rollups}
    return rollups, Known(counts=counts, activity=store.activity(days, KINDS), waits=store.waits_of(days))


def _is_known(period: Period, known: Known) -> bool:
    return any(day in known.counts for day in period.days)


def _weeks(period: Period, first_day: date | None) -> list[Period]:
    """The last weeks that are over when the period is, oldest first; with a first day, those since then."""
    week = Period.of("week", period.last)
    found = [week if week.last <= period.last else week.previous]
    while len(found) < WEEKS:
        found.append(found[-1].previous)
    return [week for week in reversed(found) if first_day is None or week.last >= first_day]


def _cohort(week: Period, period: Period, known: Known, playbook: Playbook) -> Cohort:
    def active(days: int) -> float | None:
        """The definition asks of the days on which it is looked: so many after those of the week."""
        later = Period("week", week.first + timedelta(days=days), week.last + timedelta(days=days))
        if later.last > period.last:
            return None
        share = METRICS[f"cohort_d{days}"].measure(later, known, playbook)
        return float(share) if isinstance(share, int | float) else None

    new = METRICS["new_members"].measure(week, known, playbook)
    members = new if isinstance(new, int) else 0
    return Cohort(week=week, members=members, d1=active(1), d7=active(7), d30=active(30))


def _lift(span: Span, store: Store, playbook: Playbook, now: datetime) -> Lift:
    within = playbook.reengagement.win_back_within
    return measured(store, Asked(since=span.until - USUAL_PERIOD, until=span.until, within=within), now)


def _referrals(span: Span, store: Store, waiting: int) -> ReferralResult:
    attributed, qualified, granted = (
        list(store.milestones(kind, span.since, span.until)) for kind in ("attributed", "qualified", "granted")
    )
    return ReferralResult(
        attributed=len(attributed),
        qualified=len(qualified),
        in_review=waiting,
        rewards=Counter(sorted(one.about for one in granted)),
    )


def _planned(span: Span, store: Store) -> dict[str, int]:
    programmes = (onboarding.NAME, reengagement.NAME, referrals.NAME)
    return {name: store.coming(name, span.since, span.until) for name in programmes}


def _needs(lines: Iterable[Line], store: Store, waiting: int) -> Needs:
    stands, pause = Counter(line.status for line in lines), store.pause()
    return Needs(
        reviews=waiting,
        parked=stands[SendStatus.PARKED],
        in_doubt=stands[SendStatus.UNKNOWN],
        paused_since=pause.tripped_at if pause is not None and pause.resumed_at is None else None,
    )
