"""What moved most, and what the other figures say about it: arithmetic on the figures, never a guess at a cause."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import log, sqrt

from shared.metrics import METRICS, Figure, Figures
from shared.report.facts import Facts
from shared.report.model import Change, Trend
from shared.report.words import Language

MOST = 3
"""So many changes are told."""

FAR = 2.0
"""From how many standard errors on a change is told at all."""

ALIKE = 0.1
"""Two numbers whose ratio is within about a tenth of one are told as about the same."""

_WAITS_SPREAD = 1.5
"""The standard error of a median wait's logarithm, times the root of how many there were: waits are spread widely."""

_BEHIND = {
    "churn_rate": ("members",),
    "retention": ("active",),
    "stickiness": ("mau",),
    "response_rate": ("threads",),
    "sentiment": ("sentiments",),
    "support_deflection": ("deflected", "tickets"),
}
"""Of how many a share is a share."""

_BURSTS = {"posts": 3, "comments": 3}
"""How much more than Poisson counts these vary, for whoever writes does not write but once."""

WATCHED = (
    *("new_members", "churned", "active", "posts", "comments", "response_rate", "ttfr_median"),
    *("nps", "sentiment", "support_deflection", "referral_signups", "ugc", "win_backs", "retention"),
)
"""The figures that may be told as what changed, each but once: DAU and MAU say the same as `active`."""


@dataclass(frozen=True)
class Both:
    """The figures of a period and of the one before."""

    now: Figures
    before: Figures

    def pair(self, key: str) -> tuple[float, float] | None:
        """A figure and what it was; None unless both are numbers."""
        value, previous = number(self.now.get(key)), number(self.before.get(key))
        return None if value is None or previous is None else (value, previous)

    def pairs(self, *keys: str) -> list[tuple[float, float]] | None:
        """Several figures with what they were; None unless all are there."""
        found = [pair for key in keys if (pair := self.pair(key)) is not None]
        return found if len(found) == len(keys) else None


def number(value: Figure) -> float | None:
    """A figure that is one number; None for money and where there is no data."""
    return None if value is None or isinstance(value, dict) else value


def distance(key: str, both: Both) -> float:
    """By how many standard errors a figure moved, roughly, with its sign; 0 where that cannot be told.

    It only serves to rank unlike figures: counts are taken for Poisson ones, shares for binomial ones.
    """
    pair = both.pair(key)
    if pair is None or pair[0] == pair[1]:
        return 0.0
    value, previous = pair
    if METRICS[key].unit == "count":
        return (value - previous) / sqrt(_BURSTS.get(key, 1) * (abs(value) + abs(previous)))
    if key == "ttfr_median":
        return _of_waits(value, previous, both)
    if key == "nps":
        return _of_points(value, previous, both)
    return _of_shares(value, previous, _behind(key, both))


def trend(key: str, value: Figure, previous: Figure) -> Trend:
    """Whether a change is for the better; of money, by the sum only when it is in one currency."""
    if value is None or previous is None:
        return "unknown"
    better = METRICS[key].better
    now, before = _comparable(value), _comparable(previous)
    if now is None or before is None or now == before or better == "neutral":
        return "even"
    return "better" if (now > before) == (better == "up") else "worse"


def changes(facts: Facts, language: Language) -> tuple[Change, ...]:
    """The figures that moved furthest, and far enough to be worth a word; furthest first."""
    both = Both(facts.figures, facts.previous)
    ranked = sorted(WATCHED, key=lambda key: -abs(distance(key, both)))
    return tuple(_change(key, both, language) for key in ranked[:MOST] if abs(distance(key, both)) >= FAR)


def _change(key: str, both: Both, language: Language) -> Change:
    name, unit = language.words.metrics[key].name, METRICS[key].unit
    value, previous = both.now[key], both.before[key]
    told = {"value": language.told(unit, value), "previous": language.told(unit, previous)}
    return Change(
        key=key,
        name=name,
        headline=language.say("headline", name=name, **told),
        reason=_REASONS[key](both, language) if key in _REASONS else "",
        trend=trend(key, value, previous),
    )


def _of_waits(value: float, previous: float, both: Both) -> float:
    answered = _parts("threads", "response_rate", both)
    if answered is None or value <= 0 or previous <= 0:
        return 0.0
    return log(value / previous) / (_WAITS_SPREAD * _root(answered))


def _of_points(value: float, previous: float, both: Both) -> float:
    answers = both.pair("nps_answers")
    return 0.0 if answers is None or not all(answers) else (value - previous) / (100 * _root(answers))


def _of_shares(value: float, previous: float, of: tuple[float, float] | None) -> float:
    """A two-proportion z; 0 where nothing is known of how many stand behind the shares."""
    if of is None or not all(of):
        return 0.0
    pooled = (value * of[0] + previous * of[1]) / sum(of)
    spread = pooled * (1 - pooled)
    return (value - previous) / (sqrt(spread) * _root(of)) if spread > 0 else 0.0


def _behind(key: str, both: Both) -> tuple[float, float] | None:
    pairs = both.pairs(*_BEHIND.get(key, ()))
    return (sum(now for now, _ in pairs), sum(before for _, before in pairs)) if pairs else None


def _root(of: tuple[float, float]) -> float:
    return sqrt(sum(1 / max(one, 1) for one in of))


def _parts(whole: str, share: str, both: Both) -> tuple[int, int] | None:
    """The numbers behind a share of something; whole numbers, for that is what the share was made from."""
    found = both.pairs(whole, share)
    if found is None:
        return None
    (of, of_before), (part, part_before) = found
    return round(of * part), round(of_before * part_before)


def _comparable(value: float | dict[str, int]) -> float | None:
    if not isinstance(value, dict):
        return value
    return sum(value.values()) if len(value) <= 1 else None


# What the other figures say about a change


def _written(key: str) -> Callable[[Both, Language], str]:
    """More or less was written: by more or fewer people, or by each of them."""

    def reason(both: Both, language: Language) -> str:
        found = both.pairs(key, "active")
        if found is None or not all(found[1]):
            return ""
        (value, previous), (active, active_before) = found
        pace, pace_before = value / active, previous / active_before
        told = {
            **_told(language, active=active, active_before=active_before),
            **_told(language, pace=pace, pace_before=pace_before),
        }
        if _alike(pace, pace_before):
            return language.say("reason_people", **told)
        return language.say("reason_pace" if _alike(active, active_before) else "reason_both", **told)

    return reason


def _churned(both: Both, language: Language) -> str:
    return _beside("reason_churn", both, language, lapsed="lapsed", left="members_left")


def _signups(both: Both, language: Language) -> str:
    return _beside("reason_signups", both, language, signups="referral_signups")


def _deflection(both: Both, language: Language) -> str:
    return _beside("reason_deflection", both, language, deflected="deflected", tickets="tickets")


def _nps(both: Both, language: Language) -> str:
    return _beside("reason_nps", both, language, answers="nps_answers")


def _beside(sentence: str, both: Both, language: Language, **keys: str) -> str:
    """A sentence that tells other figures, each as it is and as it was; "" unless all are known."""
    told: dict[str, str] = {}
    for name, key in keys.items():
        pair = both.pair(key)
        if pair is None:
            return ""
        told |= {name: language.amount(pair[0]), f"{name}_before": language.amount(pair[1])}
    return language.say(sentence, **told)


def _active(both: Both, language: Language) -> str:
    """How many stayed and how many were not there before: retention is a share of those active before."""
    active, retention = both.pair("active"), number(both.now.get("retention"))
    if active is None or retention is None:
        return ""
    kept = round(retention * active[1])
    return language.say("reason_active", **_told(language, active_before=active[1], kept=kept, others=active[0] - kept))


def _answered(both: Both, language: Language) -> str:
    answered, threads = _parts("threads", "response_rate", both), both.pair("threads")
    if answered is None or threads is None:
        return ""
    told = _told(language, answered=answered[0], answered_before=answered[1])
    return language.say("reason_answered", **told, **_told(language, threads=threads[0], threads_before=threads[1]))


def _response(both: Both, language: Language) -> str:
    answered, p90 = _parts("threads", "response_rate", both), both.pair("ttfr_p90")
    if answered is None or p90 is None:
        return ""
    told = _told(language, answered=answered[0], answered_before=answered[1])
    waits = {"p90": language.duration(p90[0]), "p90_before": language.duration(p90[1])}
    return language.say("reason_response", **told, **waits)


def _sentiment(both: Both, language: Language) -> str:
    positive, of = _parts("sentiments", "sentiment", both), both.pair("sentiments")
    if positive is None or of is None:
        return ""
    told = _told(language, positive=positive[0], positive_before=positive[1])
    return language.say("reason_sentiment", **told, **_told(language, sentiments=of[0], sentiments_before=of[1]))


def _alike(one: float, other: float) -> bool:
    return one == other or (one > 0 and other > 0 and abs(log(one / other)) < ALIKE)


def _told(language: Language, **numbers: float) -> dict[str, str]:
    return {name: language.amount(round(value, 2)) for name, value in numbers.items()}


_REASONS: Mapping[str, Callable[[Both, Language], str]] = {
    "new_members": _signups,
    "churned": _churned,
    "active": _active,
    "posts": _written("posts"),
    "comments": _written("comments"),
    "response_rate": _answered,
    "ttfr_median": _response,
    "nps": _nps,
    "sentiment": _sentiment,
    "support_deflection": _deflection,
}
"""What is said about a change of a figure, where others say something."""


def furthest(keys: Iterable[str], both: Both) -> str | None:
    """The figure that moved furthest of these; None when none did."""
    ranked = sorted(keys, key=lambda key: -abs(distance(key, both)))
    return ranked[0] if ranked and distance(ranked[0], both) else None
