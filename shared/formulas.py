"""The formulas of the metrics: pure functions from a period and what is known of its days to a figure. Knows no store.

Where there is nothing to measure a figure is None, which is told as "no data": no members, no threads, no answers, or
no day of the period that is known at all. A period that is not over yet, or began before the first day that is known,
is measured by the days of it that are known, and every window ends with the last of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from functools import partial
from math import ceil
from statistics import median
from typing import TYPE_CHECKING

from pyroaring import BitMap

from shared.measured import Counts, Known, Period, added, total, trailing

if TYPE_CHECKING:  # the playbook's goals are named by metric, so it imports the table of these
    from shared.playbook import Playbook

WEEK, MONTH = 7, 30
"""Local days of the windows of WAU and MAU."""

NPS_DAYS = 90
"""Local days of the window of the NPS."""


# What is known of a period


def _known_days(period: Period, told: Mapping[date, object]) -> list[date]:
    return [day for day in period.days if day in told]


def _bitmaps(known: Known, days: Iterable[date], *kinds: str) -> list[BitMap]:
    return [found for day in days for kind in kinds if (found := known.activity.get(day, {}).get(kind))]


def _people(known: Known, days: Iterable[date], *kinds: str) -> BitMap:
    """Everybody who is in one of these bitmaps on one of these days."""
    return BitMap.union(BitMap(), *_bitmaps(known, days, *kinds))


def _window(period: Period, known: Known, length: int) -> BitMap | None:
    """Who was active on one of so many local days that end with the period."""
    days = _known_days(period, known.activity)
    return _people(known, trailing(length, days[-1]), "active") if days else None


def _counts(period: Period, known: Known) -> Counts | None:
    """What was counted in the period."""
    days = _known_days(period, known.counts)
    return total(known.counts[day] for day in days) if days else None


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


# Growth


def members(period: Period, known: Known, _: Playbook) -> int | None:
    """Members at the end of the period."""
    days = _known_days(period, known.activity)
    return len(_people(known, days[-1:], "members")) if days else None


def members_before(period: Period, known: Known) -> int | None:
    """Members at the start of the period, which is the end of the day before."""
    before = period.first - timedelta(days=1)
    return len(_people(known, [before], "members")) if before in known.activity else None


def distinct(period: Period, known: Known, _: Playbook, *, kinds: tuple[str, ...]) -> int | None:
    """How many people are in one of these bitmaps on a day of the period."""
    days = _known_days(period, known.activity)
    return len(_people(known, days, *kinds)) if days else None


new_members = partial(distinct, kinds=("new",))
members_left = partial(distinct, kinds=("gone",))
lapsed = partial(distinct, kinds=("lapsed",))
churned = partial(distinct, kinds=("gone", "lapsed"))
win_backs = partial(distinct, kinds=("returned",))
active = partial(distinct, kinds=("active",))


def growth_rate(period: Period, known: Known, playbook: Playbook) -> float | None:
    """New members / members at the start of the period."""
    return _ratio(new_members(period, known, playbook), members_before(period, known))


def churn_rate(period: Period, known: Known, playbook: Playbook) -> float | None:
    """Churned members / members at the start of the period."""
    return _ratio(churned(period, known, playbook), members_before(period, known))


# Engagement


def dau(period: Period, known: Known, _: Playbook) -> float | None:
    """The mean, over the days of the period, of how many were active that day."""
    days = _known_days(period, known.activity)
    return _ratio(sum(map(len, _bitmaps(known, days, "active"))), len(days))


def trailing_active(period: Period, known: Known, _: Playbook, *, length: int) -> int | None:
    """Distinct active members of so many local days that end with the period."""
    window = _window(period, known, length)
    return None if window is None else len(window)


wau = partial(trailing_active, length=WEEK)
mau = partial(trailing_active, length=MONTH)


def stickiness(period: Period, known: Known, playbook: Playbook) -> float | None:
    """Mean DAU / MAU at the end of the period."""
    return _ratio(dau(period, known, playbook), mau(period, known, playbook))


def retention(period: Period, known: Known, _: Playbook) -> float | None:
    """Active in this period and the previous one / active in the previous one."""
    days = _known_days(period, known.activity)
    before = _people(known, period.previous.days, "active")
    return _ratio(len(before & _people(known, days, "active")), len(before)) if days else None


def cohort(period: Period, known: Known, _: Playbook, *, after: int) -> float | None:
    """Of everybody who was new so many days before a day of the period, the share active on exactly that day."""
    came, stayed = 0, 0
    for day in _known_days(period, known.activity):
        new = _people(known, [day - timedelta(days=after)], "new")
        came += len(new)
        stayed += len(new & _people(known, [day], "active"))
    return _ratio(stayed, came)


def counted(period: Period, known: Known, _: Playbook, *, name: str) -> int | None:
    """The sum of what is counted under a name of `Counts`."""
    counts = _counts(period, known)
    return None if counts is None else int(getattr(counts, name))


def per_member(period: Period, known: Known, playbook: Playbook, *, names: tuple[str, ...]) -> float | None:
    """The sum of what is counted under these names / members at the end of the period."""
    counts = _counts(period, known)
    things = None if counts is None else sum(getattr(counts, name) for name in names)
    return _ratio(things, members(period, known, playbook))


def response_rate(period: Period, known: Known, _: Playbook) -> float | None:
    """Threads answered within seven days / threads opened in the period."""
    counts = _counts(period, known)
    return None if counts is None else _ratio(counts.answered, counts.threads)


def waited(period: Period, known: Known) -> list[int]:
    """Seconds until each answered thread of the period was, ascending."""
    return sorted(seconds for day in period.days for seconds in known.waits.get(day, ()))


def ttfr_median(period: Period, known: Known, _: Playbook) -> float | None:
    """The median wait; of two in the middle, their mean."""
    waits = waited(period, known)
    return float(median(waits)) if waits else None


def ttfr_p90(period: Period, known: Known, _: Playbook) -> float | None:
    """The wait that nine of ten do not exceed, by nearest rank."""
    waits = waited(period, known)
    return float(waits[ceil(len(waits) * 9 / 10) - 1]) if waits else None


# Quality


def scores(period: Period, known: Known) -> dict[int, int] | None:
    """How often each answer was given in the 90 local days that end with the period."""
    days = _known_days(period, known.counts)
    window = trailing(NPS_DAYS, days[-1]) if days else []
    return added(known.counts[day].scores for day in window if day in known.counts) if days else None


def nps(period: Period, known: Known, _: Playbook) -> float | None:
    """The percentage of answers of 9 and 10 minus that of answers from 0 to 6."""
    given = scores(period, known) or {}
    promoters = sum(times for score, times in given.items() if score >= 9)
    detractors = sum(times for score, times in given.items() if score <= 6)
    return _ratio(100 * (promoters - detractors), sum(given.values()))


def nps_answers(period: Period, known: Known, _: Playbook) -> int | None:
    """How many answers the NPS is made of."""
    given = scores(period, known)
    return None if given is None else sum(given.values())


def sentiments(period: Period, known: Known, _: Playbook) -> int | None:
    """Interactions that carry a sentiment."""
    counts = _counts(period, known)
    return None if counts is None else counts.positive + counts.neutral + counts.negative


def sentiment(period: Period, known: Known, playbook: Playbook) -> float | None:
    """Positive interactions / all interactions that carry a sentiment."""
    return _ratio(counted(period, known, playbook, name="positive"), sentiments(period, known, playbook))


def support_deflection(period: Period, known: Known, _: Playbook) -> float | None:
    """Questions solved by members / (those + tickets opened)."""
    counts = _counts(period, known)
    return None if counts is None else _ratio(counts.solved, counts.solved + counts.tickets)


# Business impact


def ugc(period: Period, known: Known, _: Playbook, *, formats: tuple[str, ...]) -> int | None:
    """Approved user-generated items of these formats."""
    counts = _counts(period, known)
    return None if counts is None else sum(counts.ugc.get(one, 0) for one in formats)


def money(period: Period, known: Known, _: Playbook, *, name: str) -> dict[str, int] | None:
    """Minor units by currency under a name of `Counts`; empty where nothing was bought."""
    counts = _counts(period, known)
    return None if counts is None else dict(getattr(counts, name))


def cost_savings(period: Period, known: Known, playbook: Playbook) -> dict[str, int] | None:
    """Deflected questions x the cost of a ticket."""
    counts, cost = _counts(period, known), playbook.metrics.cost_per_ticket
    return None if counts is None else {cost.currency: counts.solved * cost.amount}


# Health


def health_engagement(period: Period, known: Known, playbook: Playbook) -> float | None:
    """Active / members x 100, at most 100: who was active and then left is no member at the end."""
    return _percent(active(period, known, playbook), members(period, known, playbook), least=0)


def health_growth(period: Period, known: Known, playbook: Playbook) -> float | None:
    """(New - churned) / members x 100, from -100 to 100."""
    new, lost = new_members(period, known, playbook), churned(period, known, playbook)
    net = None if new is None or lost is None else new - lost
    return _percent(net, members(period, known, playbook), least=-100)


def health_sentiment(period: Period, known: Known, playbook: Playbook) -> float | None:
    """Positive interactions / all that carry a sentiment x 100."""
    share = sentiment(period, known, playbook)
    return None if share is None else 100 * share


def _percent(part: int | None, whole: int | None, *, least: float) -> float | None:
    share = _ratio(part, whole)
    return None if share is None else min(max(100 * share, least), 100.0)


def health(period: Period, known: Known, playbook: Playbook) -> float | None:
    """The parts by the weights of the playbook, from 0 to 100.

    A part without data is left out and the weights of the others are scaled to 1; None where all that have data weigh
    nothing.
    """
    weights = playbook.health_score.weights
    parts = (
        (weights.engagement, health_engagement(period, known, playbook)),
        (weights.growth, health_growth(period, known, playbook)),
        (weights.sentiment, health_sentiment(period, known, playbook)),
    )
    told = [(weight, part) for weight, part in parts if part is not None]
    score = _ratio(sum(weight * part for weight, part in told), sum(weight for weight, _ in told))
    return None if score is None else min(max(score, 0.0), 100.0)
