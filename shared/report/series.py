"""The charts of a report as numbers: what is to be drawn, what it shows in a sentence, and a small table of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from shared.metrics import Figures, Period
from shared.report.changes import number
from shared.report.facts import Facts, StepResult
from shared.report.model import Chart, Series
from shared.report.words import Language

DAYS = 90
"""So many days of MAU and DAU are drawn."""

WEEKS = 13
"""So many weeks are drawn."""

ROWS = 7
"""A chart's table has at most so many rows where the picture has more."""

Values = tuple[float | None, ...]


def charts(facts: Facts, language: Language) -> tuple[Chart, ...]:
    """Every chart, in the order in which they are read; one without numbers is empty, and says so."""
    drawn = (_active, _turnover, _cohorts, _onboarding, _response)
    return tuple(_told(chart(facts, language), language) for chart in drawn)


def _told(chart: Chart, language: Language) -> Chart:
    """The chart, or in its place the word that there is nothing to draw."""
    if not chart.is_empty:
        return chart
    nothing: dict[str, object] = {"labels": (), "rows": (), "alt": language.say("chart_empty")}
    return chart.model_copy(
        update={**nothing, "series": tuple(Series(name=one.name, values=()) for one in chart.series)}
    )


def step_name(step: StepResult, language: Language) -> str:
    """An onboarding step as its reader knows it: `Day 3: Check-in`; steps of their own making by their key."""
    name = language.words.steps.get(step.key, step.key.replace("_", " ").capitalize())
    return language.say("step", day=step.day, name=name)


def _active(facts: Facts, language: Language) -> Chart:
    days = _days([day for day, _ in facts.history])[-DAYS:]
    known = dict(facts.history)
    mau, dau = (tuple(number(known.get(day, {}).get(key)) for day in days) for key in ("mau", "dau"))
    told = [(language.day(day), *_counts(language, *pair)) for day, *pair in zip(days, mau, dau, strict=True)]
    seen = {
        "mau_first": _first(mau),
        "mau": _last(mau),
        "dau_first": _first(dau),
        "dau": _last(dau),
        "dau_top": _top(dau),
    }
    alt = language.say(
        "chart_active_alt",
        days=len(days),
        last=language.full_day(days[-1]) if days else "",
        **{name: language.told("count", value) for name, value in seen.items()},
    )
    return Chart(
        name="active",
        title=language.say("chart_active"),
        alt=alt,
        unit="count",
        labels=tuple(language.day(day) for day in days),
        series=(Series(name="MAU", values=mau), Series(name="DAU", values=dau)),
        columns=(language.say("column_day"), "MAU", "DAU"),
        rows=_thinned(told),
    )


def _turnover(facts: Facts, language: Language) -> Chart:
    weeks = facts.weeks[-WEEKS:]
    new, churned = _of_weeks(weeks, "new_members"), _of_weeks(weeks, "churned")
    seen = {"new": _sum(new), "churned": _sum(churned), "last_new": _end(new), "last_churned": _end(churned)}
    alt = language.say(
        "chart_turnover_alt",
        weeks=len(weeks),
        **{name: language.told("count", value) for name, value in seen.items()},
    )
    names = language.say("column_new"), language.say("column_churned")
    labels = _week_labels([week for week, _ in weeks], language)
    told = [(week, *_counts(language, *pair)) for week, *pair in zip(labels, new, churned, strict=True)]
    return Chart(
        name="turnover",
        title=language.say("chart_turnover"),
        alt=alt,
        unit="count",
        labels=labels,
        series=(Series(name=names[0], values=new), Series(name=names[1], values=churned)),
        columns=(language.say("column_week"), *names),
        rows=tuple(told[-ROWS:]),
    )


def _cohorts(facts: Facts, language: Language) -> Chart:
    cohorts = facts.cohorts[-WEEKS:]
    shares: dict[int, Values] = {
        1: tuple(one.d1 for one in cohorts),
        7: tuple(one.d7 for one in cohorts),
        30: tuple(one.d30 for one in cohorts),
    }
    names = tuple(language.say("column_d", number=day) for day in shares)
    labels = _week_labels([one.week for one in cohorts], language)
    alt = language.say(
        "chart_cohorts_alt",
        weeks=len(cohorts),
        **{f"d{day}": language.told("share", _last(values)) for day, values in shares.items()},
    )
    told = (
        (week, language.number(one.members), *(_share(share, language) for share in (one.d1, one.d7, one.d30)))
        for week, one in zip(labels, cohorts, strict=True)
    )
    return Chart(
        name="cohorts",
        title=language.say("chart_cohorts"),
        alt=alt,
        unit="share",
        labels=labels,
        series=tuple(Series(name=name, values=values) for name, values in zip(names, shares.values(), strict=True)),
        columns=(language.say("column_week"), language.say("column_members"), *names),
        rows=tuple(told)[-ROWS:],
    )


def _onboarding(facts: Facts, language: Language) -> Chart:
    steps = [(step_name(step, language), step) for step in facts.steps]
    there = any(step.due for _, step in steps)
    columns = ("due", "sent", "skipped", "waiting")
    names = [language.say(f"column_{name}") for name in columns]
    values = {
        "due": [step.due for _, step in steps],
        "sent": [step.sent for _, step in steps],
        "skipped": [step.skipped for _, step in steps],
        "waiting": [step.waiting + step.unsure for _, step in steps],
    }
    told = "; ".join(
        f"{name}, {language.say('step_value', sent=language.number(step.sent), due=language.number(step.due))}"
        for name, step in steps
    )
    return Chart(
        name="onboarding",
        title=language.say("chart_onboarding"),
        alt=language.say("chart_onboarding_alt", steps=told),
        unit="count",
        labels=tuple(name for name, _ in steps),
        series=tuple(
            Series(name=name, values=tuple(values[column] if there else ()))
            for name, column in zip(names, columns, strict=True)
        ),
        columns=(language.say("column_step"), *names),
        rows=tuple(
            (name, *(language.number(values[column][at]) for column in columns)) for at, (name, _) in enumerate(steps)
        ),
    )


def _response(facts: Facts, language: Language) -> Chart:
    weeks = facts.weeks[-WEEKS:]
    median, p90 = _of_weeks(weeks, "ttfr_median"), _of_weeks(weeks, "ttfr_p90")
    seen = {"median_first": _first(median), "median": _last(median), "p90": _last(p90)}
    alt = language.say(
        "chart_response_alt",
        weeks=len(weeks),
        **{name: language.told("seconds", value) for name, value in seen.items()},
    )
    names = language.say("column_median"), language.say("column_p90")
    labels = _week_labels([week for week, _ in weeks], language)
    told = [
        (week, *(language.told("seconds", value) for value in pair))
        for week, *pair in zip(labels, median, p90, strict=True)
    ]
    return Chart(
        name="response",
        title=language.say("chart_response"),
        alt=alt,
        unit="seconds",
        labels=labels,
        series=(Series(name=names[0], values=median), Series(name=names[1], values=p90)),
        columns=(language.say("column_week"), *names),
        rows=tuple(told[-ROWS:]),
    )


def _days(known: Sequence[date]) -> list[date]:
    """Every day from the first to the last, for a day that is not known is a gap in a line."""
    return [known[0] + timedelta(days=at) for at in range((known[-1] - known[0]).days + 1)] if known else []


def _of_weeks(weeks: Sequence[tuple[Period, Figures]], key: str) -> Values:
    return tuple(number(figures.get(key)) for _, figures in weeks)


def _week_labels(weeks: Sequence[Period], language: Language) -> tuple[str, ...]:
    return tuple(language.day(week.first) for week in weeks)


def _thinned(rows: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """At most `ROWS` of the rows, evenly apart, the last among them."""
    apart = -(-len(rows) // ROWS) or 1
    return tuple(reversed(rows[::-1][::apart]))


def _counts(language: Language, *values: float | None) -> tuple[str, ...]:
    return tuple(language.told("count", value) for value in values)


def _share(share: float | None, language: Language) -> str:
    """A share in whole per cent, as it stands in a cell; a dash where its day is still to come."""
    return language.say("to_come") if share is None else language.told("share", round(share, 2))


def _any(*series: Values) -> bool:
    return any(value is not None for values in series for value in values)


def _first(values: Values) -> float | None:
    return next((value for value in values if value is not None), None)


def _last(values: Values) -> float | None:
    return _first(values[::-1])


def _end(values: Values) -> float | None:
    return values[-1] if values else None


def _top(values: Values) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _sum(values: Values) -> float | None:
    return sum(value for value in values if value is not None) if _any(values) else None
