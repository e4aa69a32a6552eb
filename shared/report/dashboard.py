"""The figures of a report: the four groups with every metric, the health score, and the flywheel's stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from shared.metrics import METRICS, Figure, Metric, Unit
from shared.playbook import Playbook
from shared.playbook.measuring import Cost
from shared.report.changes import Both, furthest, number, trend
from shared.report.facts import Facts
from shared.report.model import Group, GroupKey, Health, Part, Row, Stage
from shared.report.words import Language, Named

PARTS = ("engagement", "growth", "sentiment")
"""The parts of the health score, as the playbook's weights name them."""

STAGES = {
    "content": "posts",
    "engagement": "active",
    "trust": "response_rate",
    "advocacy": "referral_signups",
    "growth": "new_members",
}
"""The flywheel's stages in their order, and the figure that tells of each."""

_MEANS: Mapping[str, Unit] = {"posts_per_member": "count"}
"""Figures that nobody would tell per cent."""

_FORMAT = "ugc_"


def unit_of(key: str) -> Unit:
    """The unit that a figure is told in."""
    return _MEANS.get(key, METRICS[key].unit)


def named(key: str, playbook: Playbook, language: Language) -> Named:
    """A figure's name and definition, with what the playbook has a say in filled in."""
    words, format_ = language.words, key.removeprefix(_FORMAT)
    if key not in words.metrics:
        return Named(name=words.ugc["name"].format(format=words.ugc[format_]), definition=words.ugc["definition"])
    told = words.metrics[key]
    return Named(name=told.name, definition=told.definition.format(**_said_by(playbook, language)))


def _said_by(playbook: Playbook, language: Language) -> dict[str, str]:
    weights, cost = playbook.health_score.weights, playbook.metrics.cost_per_ticket
    return {
        "inactive": language.wording.count("days", playbook.reengagement.inactive_days),
        "ticket": _money(cost, language),
        **{f"weight_{part}": language.amount(getattr(weights, part)) for part in PARTS},
    }


def _money(cost: Cost, language: Language) -> str:
    return language.money({cost.currency: cost.amount})


def groups(facts: Facts, playbook: Playbook, language: Language) -> tuple[Group, ...]:
    """The four groups of the dashboard; of the formats of content only those that there is something of."""
    return tuple(
        Group(
            key=group,
            title=language.words.groups[group],
            rows=tuple(
                _row(metric, facts, playbook, language)
                for metric in METRICS.values()
                if metric.group == group and _is_told(metric.key, facts)
            ),
        )
        for group in get_args(GroupKey)
    )


def _is_told(key: str, facts: Facts) -> bool:
    return not key.startswith(_FORMAT) or bool(facts.figures.get(key) or facts.previous.get(key) or key in facts.goals)


def _row(metric: Metric, facts: Facts, playbook: Playbook, language: Language) -> Row:
    key, unit = metric.key, unit_of(metric.key)
    value, previous, goal = facts.figures.get(key), facts.previous.get(key), facts.goals.get(key)
    told = named(key, playbook, language)
    reached = _reached(metric, value, goal)
    return Row(
        key=key,
        name=told.name,
        value=language.told(unit, value),
        previous="" if key not in facts.previous else language.told(unit, previous),
        change=language.change(unit, value, previous),
        trend=trend(key, value, previous),
        goal=""
        if goal is None
        else language.say("goal_reached" if reached else "goal", goal=language.told(unit, goal)),
        reached=reached,
        definition=told.definition,
        no_data=value is None,
        restated=key in facts.restated,
    )


def _reached(metric: Metric, value: Figure, goal: float | None) -> bool:
    reached = number(value)
    if reached is None or goal is None:
        return False
    return reached <= goal if metric.better == "down" else reached >= goal


def health(facts: Facts, playbook: Playbook, language: Language) -> Health:
    """The health score with its parts and, in a sentence, which of them moved it."""
    value, previous = facts.figures.get("health"), facts.previous.get("health")
    score = number(value)
    return Health(
        value=language.told("points", value),
        previous=language.told("points", previous) if "health" in facts.previous else "",
        change=language.change("points", value, previous),
        trend=trend("health", value, previous),
        bar=None if score is None else round(min(max(score, 0), 100)),
        parts=tuple(_part(part, facts, playbook, language) for part in PARTS),
        sentence=_moved(facts, playbook, language),
        definition=named("health", playbook, language).definition,
    )


def _part(part: str, facts: Facts, playbook: Playbook, language: Language) -> Part:
    key = f"health_{part}"
    value, previous = facts.figures.get(key), facts.previous.get(key)
    told = named(key, playbook, language)
    return Part(
        key=key,
        name=told.name,
        value=language.told("points", value),
        weight=language.percent(getattr(playbook.health_score.weights, part)),
        change=language.change("points", value, previous),
        trend=trend(key, value, previous),
        definition=told.definition,
    )


def _moved(facts: Facts, playbook: Playbook, language: Language) -> str:
    """Why the score moved: what each part added to it, which is its own change times its weight."""
    both = Both(facts.figures, facts.previous)
    pair = both.pair("health")
    if pair is None:
        return language.say("health_none" if facts.figures.get("health") is None else "health_alone")
    if language.change("points", *pair) == language.say("same"):
        return language.say("health_same")
    change, added = language.change("points", *pair), _added(both, playbook)
    if added is None:
        return language.say("health_parts", change=change)
    ahead = 1 if pair[0] > pair[1] else -1
    most, least = max(added, key=lambda one: ahead * added[one]), min(added, key=lambda one: ahead * added[one])
    named_ = {one: language.words.metrics[f"health_{one}"].name for one in added}
    points = {one: language.change("points", by, 0) for one, by in added.items()}
    if ahead * added[least] <= -0.5:  # half a point is worth a word
        told = {"part": named_[least], "against": points[least], "most": named_[most], "points": points[most]}
        return language.say("health_against", change=change, **told)
    return language.say("health_moved", change=change, part=named_[most], points=points[most])


def _added(both: Both, playbook: Playbook) -> dict[str, float] | None:
    """What each part added to the score; None when other parts had data before, and so other weights."""
    pairs = {part: both.pair(f"health_{part}") for part in PARTS}
    there = {part: pair for part, pair in pairs.items() if pair is not None}
    had = [{part for part in PARTS if of.get(f"health_{part}") is not None} for of in (both.now, both.before)]
    if had[0] != had[1] or not there:
        return None
    weights = {part: float(getattr(playbook.health_score.weights, part)) for part in there}
    whole = sum(weights.values())
    return {part: (now - before) * weights[part] / whole for part, (now, before) in there.items()} if whole else None


def stages(facts: Facts, language: Language) -> tuple[Stage, ...]:
    """The flywheel, a figure a stage, and which of them moved the most."""
    both = Both(facts.figures, facts.previous)
    most = furthest(STAGES.values(), both)
    return tuple(
        Stage(
            key=stage,
            title=language.words.stages[stage],
            name=language.words.metrics[key].name,
            value=language.told(unit_of(key), facts.figures.get(key)),
            change=language.change(unit_of(key), facts.figures.get(key), facts.previous.get(key)),
            trend=trend(key, facts.figures.get(key), facts.previous.get(key)),
            moved_most=key == most,
        )
        for stage, key in STAGES.items()
    )
