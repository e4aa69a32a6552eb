"""The figures that are told with a mail - of the community's mail, of a reward, of a report - and how it says them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import Field, JsonValue

from shared.events import Frozen, Gift
from shared.playbook import Playbook
from shared.playbook.referrals import RewardRule
from shared.report import Report
from shared.wording import Counted, Wording

LONGEST_BAR = 10
"""Cells of a progress bar: as many as can be told apart on a phone."""


class Telling(NamedTuple):
    """What figures are told with: the playbook, and the language with its words."""

    playbook: Playbook
    locale: str
    wording: Wording


class Tripped(Frozen):
    """Why marketing mail has paused, on which sends of the last `hours`."""

    reason: Literal["bounces", "complaints", "account_suspended", "sending_paused"]
    sends: int = Field(default=0, ge=0)
    bounces: int = Field(default=0, ge=0)
    complaints: int = Field(default=0, ge=0)
    hours: int = Field(ge=1)


@dataclass(frozen=True, kw_only=True)
class Paused:
    """What a template may name of a pause: numbers, their shares of the sends, and the lines they may not cross."""

    reason: str
    sends: int
    bounces: int
    complaints: int
    bounce_share: str
    complaint_share: str
    bounce_line: str
    complaint_line: str
    window: str


def paused(figures: Mapping[str, JsonValue], telling: Telling) -> Paused:
    """The figures of a pause in a language; ValueError when they are not those of a pause."""
    told, rules, wording = Tripped.model_validate(figures), telling.playbook.breaker, telling.wording
    return Paused(
        reason=told.reason,
        sends=told.sends,
        bounces=told.bounces,
        complaints=told.complaints,
        bounce_share=wording.share(told.bounces, told.sends),
        complaint_share=wording.share(told.complaints, told.sends),
        bounce_line=wording.percentage(rules.bounces_percent),
        complaint_line=wording.percentage(rules.complaints_percent),
        window=wording.count("hours", told.hours),
    )


class Granted(Frozen):
    """A reward, by its rule's key, and how many of the referrer's referees have qualified by then."""

    rule: str
    qualified: int = Field(ge=0)


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """The reward to come at `at` friends, of whom there are `friends`; `more` are those still missing.

    `bar` is one cell after the other, whether it is filled: none before a friend came, all only when all came.
    """

    title: str
    at: int
    friends: int
    more: Counted
    bar: tuple[bool, ...]


@dataclass(frozen=True, kw_only=True)
class Awarded:
    """What a template may name of a reward: the playbook's words for it, what it is, for whom, and what comes next.

    `days` are "30 days", and like `level` empty where they are not what it gives; `next` is None after the last
    reward, and for a referee's own.
    """

    title: str
    gives: Gift
    days: str
    level: str
    qualified: Counted
    next: Ahead | None


def awarded(figures: Mapping[str, JsonValue], telling: Telling) -> Awarded:
    """A reward in a language; ValueError when these are no figures of one, or the playbook has none of its key."""
    told, wording = Granted.model_validate(figures), telling.wording
    rule = next((one for one in telling.playbook.referrals.rewards if one.key == told.rule), None)
    if rule is None:
        raise ValueError(f"the playbook has no reward {told.rule!r} any more")
    # Whoever was earned for may have left since; the reward was for as many as it asks for.
    friends = max(told.qualified, rule.at or 0)
    return Awarded(
        title=rule.title[telling.locale],
        gives=rule.gives,
        days=wording.count("days", rule.days) if rule.days else "",
        level=rule.level or "",
        qualified=Counted(number=friends, noun=wording.noun("qualified", friends)),
        next=_ahead(friends, telling) if rule.to == "referrer" else None,
    )


def _ahead(friends: int, telling: Telling) -> Ahead | None:
    """The next threshold and what all its rewards are called, or None when there is none."""
    to_come: dict[int, list[RewardRule]] = {}
    for rule in telling.playbook.referrals.rewards:
        if rule.at is not None and rule.at > friends:
            to_come.setdefault(rule.at, []).append(rule)
    if not to_come:
        return None
    at = min(to_come)
    return Ahead(
        title=" + ".join(rule.title[telling.locale] for rule in to_come[at]),
        at=at,
        friends=friends,
        more=Counted(number=at - friends, noun=telling.wording.noun("friends", at - friends)),
        bar=_bar(friends, at),
    )


def _bar(part: int, whole: int) -> tuple[bool, ...]:
    cells = min(whole, LONGEST_BAR)
    filled = max(part * cells // whole, 1 if part else 0)
    return tuple(cell < filled for cell in range(cells))


def reported(figures: Mapping[str, JsonValue], telling: Telling) -> Report:  # noqa: ARG001 - a report is in its language
    """A report as it was kept; ValueError when these are no figures of one."""
    return Report.model_validate(figures)


Told = Paused | Awarded | Report
"""What a mail may be told as `figures`."""

FIGURES: Mapping[str, Callable[[Mapping[str, JsonValue], Telling], Told]] = {
    "mail_paused": paused,
    "reward": awarded,
    "trial": awarded,
    "report": reported,
}
"""How the figures of a mail are told, by mail, for its templates are written for them; the others are given none."""
