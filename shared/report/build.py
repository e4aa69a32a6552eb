"""From facts to a report in one language: what is told, in which order, and what is said where there is little."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

from shared.playbook import Playbook
from shared.report.changes import Both, changes, furthest
from shared.report.dashboard import STAGES, groups, health, stages
from shared.report.facts import Facts
from shared.report.model import Change, Health, Report
from shared.report.programmes import as_of, deliverability, needs, planned, programmes
from shared.report.series import charts
from shared.report.words import Language

MONTH, QUARTER = 30, 90
"""The days that MAU and NPS look back on."""


def build(facts: Facts, *, playbook: Playbook, language: Language) -> Report:
    """The report on a period. With a period before that was not measured in full, nothing is compared with it."""
    told = facts if _is_comparable(facts) else replace(facts, previous={})
    score, moved = health(told, playbook, language), changes(told, language)
    community = playbook.community.name[language.locale]
    return Report(
        kind=told.kind,
        locale=language.locale,
        id=str(told.period),
        community=community,
        title=language.say("title", kind=language.words.kinds[told.kind], community=community),
        period=period_in_words(told, language),
        as_of=as_of(told, playbook, language),
        subject=_subject(told, language),
        preheader=_preheader(score, moved, language),
        too_little_history=_too_little(facts, language),
        restated=language.say("restated") if told.restated else "",
        incomplete=_incomplete(told, language),
        health=score,
        changes=moved,
        unchanged="" if moved else language.say("unchanged" if told.previous else "unchanged_first"),
        groups=groups(told, playbook, language),
        stages=stages(told, language),
        moved_most=_moved_most(told, language),
        programmes=programmes(told, playbook, language),
        deliverability=deliverability(told, playbook, language),
        planned=planned(told, playbook, language),
        needs=needs(told, playbook, language),
        charts=charts(told, language),
    )


def period_in_words(facts: Facts, language: Language) -> str:
    """The period as people name it: `Week 40, 28 September to 4 October 2026`."""
    return language.words.periods[facts.kind].format(**_named(facts, language))


def _named(facts: Facts, language: Language) -> dict[str, str]:
    """What a period's name is made of."""
    first, last, wording = facts.period.first, facts.period.last, language.wording
    return {
        "from": language.full_day(first),
        "to": language.full_day(last),
        "year": str(last.year),
        "weekday": wording.weekdays[first.weekday()],
        "day": str(first.day),
        "month": language.words.months[first.month - 1],
        "month_of": wording.months[first.month - 1],
        "week": str(first.isocalendar().week),
    }


def _is_comparable(facts: Facts) -> bool:
    return facts.first_day is not None and facts.first_day <= facts.period.previous.first


def _subject(facts: Facts, language: Language) -> str:
    score, head = facts.figures.get("health"), language.words.subjects[facts.kind].format(**_named(facts, language))
    return head if score is None else language.say("subject", head=head, health=language.told("points", score))


def _preheader(score: Health, moved: tuple[Change, ...], language: Language) -> str:
    """The health score, and what changed most."""
    if score.bar is None:
        told = language.say("preheader_no_health")
    elif score.change:
        told = language.say("preheader_health", value=score.value, change=score.change)
    else:
        told = language.say("preheader_health_new", value=score.value)
    return " ".join((told, *(f"{one.headline}." for one in moved[:1])))


def _too_little(facts: Facts, language: Language) -> str:
    """What a reader must know while there is not enough to compare or to look back on; "" when there is."""
    first = facts.first_day
    if first is None or first > facts.period.last:
        return language.say("no_history")
    measured = (facts.period.last - first).days + 1
    days = language.wording.count("days", measured)
    said = {"since": language.full_day(first), "before": language.words.before[facts.kind], "days": days}
    notes = []
    if first > facts.period.first:
        notes.append(language.say("first_period", **said))
    elif not _is_comparable(facts):
        notes.append(language.say("first_comparison", **said))
    if measured < MONTH:
        notes.append(language.say("short_windows", days=days))
    elif measured < QUARTER and facts.figures.get("nps") is not None:
        notes.append(language.say("short_nps", days=days))
    if facts.young and facts.previous:
        notes.append(language.say("young"))
    return " ".join(notes)


def _incomplete(facts: Facts, language: Language) -> str:
    return language.say("incomplete", days=_listed(facts.missing, language)) if facts.missing else ""


def _listed(days: tuple[date, ...], language: Language) -> str:
    return ", ".join(language.full_day(day) for day in days)


def _moved_most(facts: Facts, language: Language) -> str:
    if not facts.previous:
        return ""
    key = furthest(STAGES.values(), Both(facts.figures, facts.previous))
    by_figure: Mapping[str, str] = {figure: stage for stage, figure in STAGES.items()}
    return (
        language.say("stage_most", stage=language.words.stages[by_figure[key]]) if key else language.say("stage_none")
    )
