"""What a report tells beside the figures: the programmes' results, the mail, what comes next, what needs somebody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from shared.experiments import Lift, Returned
from shared.playbook import Playbook
from shared.report.facts import Facts, StepResult
from shared.report.model import Block, Line
from shared.report.series import step_name
from shared.report.words import Language


def programmes(facts: Facts, playbook: Playbook, language: Language) -> tuple[Block, ...]:
    """Onboarding by step, what asking people back did, and referrals with the rewards granted."""
    back = () if facts.lift is None else (_lift(facts.lift, facts.lift_days, language),)
    return _onboarding(facts, language), *back, _referrals(facts, playbook, language)


def _onboarding(facts: Facts, language: Language) -> Block:
    due = any(step.due for step in facts.steps)
    return Block(
        key="onboarding",
        title=language.say("onboarding"),
        lines=tuple(_step(step, language) for step in facts.steps) if due else (),
        note="" if due else language.say("step_none"),
    )


def _step(step: StepResult, language: Language) -> Line:
    others = {"skipped": step.skipped, "waiting": step.waiting, "unsure": step.unsure}
    return Line(
        name=step_name(step, language),
        value=language.say("step_value", sent=language.number(step.sent), due=language.number(step.due)),
        note=", ".join(
            language.say(f"step_note_{name}", number=language.number(count)) for name, count in others.items() if count
        ),
    )


def _lift(lift: Lift, days: int, language: Language) -> Block:
    title = language.say("lift")
    if not lift.treated.members + lift.held_out.members:
        return Block(key="lift", title=title, lines=(), note=language.say("lift_none"))
    lines = (
        _returned("lift_asked", lift.treated, language),
        _returned("lift_held", lift.held_out, language),
        *_effect(lift, language),
    )
    notes = [] if lift.enough else [language.say("lift_early")]
    if days:
        notes.append(language.say("lift_since", days=language.wording.count("days", days)))
    return Block(key="lift", title=title, lines=lines, note=" ".join(notes))


def _returned(key: str, group: Returned, language: Language) -> Line:
    of = {"returned": language.number(group.returned), "members": language.number(group.members)}
    value = language.told("share", group.rate if group.members else None)
    return Line(name=language.say(key), value=value, note=language.say("lift_of", **of))


def _effect(lift: Lift, language: Language) -> Iterator[Line]:
    difference, interval = lift.difference, lift.interval
    if difference is None or interval is None:
        return
    low, high = (language.points_of_percent(value) for value in (interval.low, interval.high))
    note = language.say("lift_chance" if 0 in interval else "lift_interval", low=low, high=high)
    yield Line(name=language.say("lift_effect"), value=language.points_of_percent(difference), note=note)


def _referrals(facts: Facts, playbook: Playbook, language: Language) -> Block:
    told = facts.referrals
    counts = {"attributed": told.attributed, "qualified": told.qualified, "review": told.in_review}
    lines = [
        Line(name=language.say(f"referrals_{name}"), value=language.number(count)) for name, count in counts.items()
    ]
    titles = {rule.key: rule.title[language.locale] for rule in playbook.referrals.rewards}
    for rule, count in told.rewards.items():
        name = language.say("reward", title=titles.get(rule, rule))
        lines.append(Line(name=name, value=language.number(count)))
    return Block(key="referrals", title=language.say("referrals"), lines=tuple(lines))


def deliverability(facts: Facts, playbook: Playbook, language: Language) -> Block:
    """What became of the mail of the period, and whether it is paused."""
    told, paused = facts.delivery, facts.needs.paused_since
    shares = {"bounced": told.bounced, "complained": told.complained}
    lines = [
        Line(name=language.say("mail_sent"), value=language.number(told.sent)),
        *(
            Line(
                name=language.say(f"mail_{name}"),
                value=language.number(count),
                note=language.wording.share(count, told.sent),
            )
            for name, count in shares.items()
        ),
        Line(name=language.say("mail_suppressed"), value=language.number(told.suppressed)),
    ]
    note = "" if told.sent else language.say("mail_none")
    if paused is not None:
        note = " ".join((note, language.say("mail_paused", **_moment(paused, playbook, language)))).strip()
    counted = any((told.sent, told.bounced, told.complained, told.suppressed))
    title = language.say("deliverability")
    return Block(key="deliverability", title=title, lines=tuple(lines) if counted else (), note=note)


def planned(facts: Facts, playbook: Playbook, language: Language) -> Block:
    """What comes due in the next period, by programme, and the community's next event."""
    names = language.words.programmes
    lines = [
        Line(name=names.get(name, name.replace("_", " ").capitalize()), value=language.number(count))
        for name, count in facts.planned.items()
        if count
    ]
    if facts.event_at is not None:
        title = playbook.content.event.title[language.locale]
        when = language.say("event_when", **_moment(facts.event_at, playbook, language))
        lines.append(Line(name=language.say("event"), value=when, note=title))
    note = "" if lines else language.say("planned_none")
    return Block(key="planned", title=language.words.next[facts.kind], lines=tuple(lines), note=note)


def needs(facts: Facts, playbook: Playbook, language: Language) -> Block:
    """What waits for a person; no lines when nothing does."""
    told = facts.needs
    counts = {"reviews": told.reviews, "parked": told.parked, "in_doubt": told.in_doubt}
    lines = [
        Line(name=language.say(f"needs_{name}"), value=language.number(count), note=language.say(f"needs_{name}_note"))
        for name, count in counts.items()
        if count
    ]
    if told.paused_since is not None:
        since = _moment(told.paused_since, playbook, language)
        value, note = language.say("needs_paused_value", **since), language.say("needs_paused_note")
        lines.insert(0, Line(name=language.say("needs_paused"), value=value, note=note))
    note = "" if lines else language.say("all_quiet")
    return Block(key="needs", title=language.say("needs"), lines=tuple(lines), note=note)


def _moment(moment: datetime, playbook: Playbook, language: Language) -> dict[str, str]:
    """A moment in the community's zone: `date` is `5 October`, `time` `08:00`, `zone` `Berlin time (UTC+2)`."""
    local = moment.astimezone(ZoneInfo(playbook.community.timezone))
    return {
        "date": language.wording.short_date(local),
        "time": language.wording.time.format(hour=local.hour, minute=local.minute),
        "zone": language.wording.zone_name(local),
    }


def as_of(facts: Facts, playbook: Playbook, language: Language) -> str:
    """When the figures were computed."""
    return language.say("as_of", **_moment(facts.computed_at, playbook, language))
