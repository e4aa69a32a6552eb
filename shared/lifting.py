"""Gathers what a programme's experiment has shown: who was asked and who was held out, and which of them came back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from shared.events import ACTIVITY
from shared.experiments import Lift, Outcome, lift, outcome
from shared.model import Attempt, Identity, Member, Send, SendId
from shared.programmes import reengagement
from shared.store import Store

DAY = timedelta(days=1)

USUAL_PERIOD = timedelta(days=90)
"""So far one looks back, unless asked otherwise."""

FIRST = "attempt1"
"""The step of a silence's first attempt."""


@dataclass(frozen=True, kw_only=True)
class Period:
    """From `since` up to, not including, `until`; `within` is how long a member has to come back."""

    since: datetime
    until: datetime
    within: timedelta


def measured(store: Store, asked: Period, now: datetime) -> Lift:
    """The effect of asking once, over a period, by intention to treat as `shared.experiments.outcome` says.

    Only the first attempt of a silence counts: who is left for a second one was selected by the first, in which only
    one of the groups was written to. A member counts once, by their first such attempt in the period, since one
    person's silences are not independent. Members who proved to be one person are one. All of it is read from facts
    that do not change, so the same period gives the same result later, but for events that came late.
    """
    firsts = _first_attempts(store, asked)
    sends = store.sends(attempt.send_id for _, attempt in firsts if attempt.group == "treated")
    return lift(
        _outcome(member, attempt, sends.get(attempt.send_id), asked=asked, store=store, now=now)
        for member, attempt in firsts
    )


def _first_attempts(store: Store, asked: Period) -> list[tuple[Member, Attempt]]:
    tried = store.attempts(reengagement.NAME, asked.since, asked.until)
    attempts = [attempt for attempt in tried if SendId.parse(attempt.send_id).step == FIRST]
    people = _people(store, {attempt.member_id for attempt in attempts})
    firsts: dict[str, tuple[Member, Attempt]] = {}
    for attempt in attempts:
        if (member := people.get(attempt.member_id)) is not None:
            firsts.setdefault(member.id, (member, attempt))
    return list(firsts.values())


def _people(store: Store, member_ids: Iterable[str]) -> dict[str, Member]:
    """Who these members are now, by the id they were asked under."""
    found = store.members(member_ids)
    merged = {asked_as: member for asked_as, member in found.items() if member.merged_into is not None}
    survivors = {asked_as: store.survivor(member.id) for asked_as, member in merged.items()}
    return found | {asked_as: member for asked_as, member in survivors.items() if member is not None}


def _outcome(
    member: Member, attempt: Attempt, send: Send | None, *, asked: Period, store: Store, now: datetime
) -> Outcome:
    def came_back(after: datetime, until: datetime) -> bool:
        return _came_back(member, after, until, store=store)

    return outcome(attempt, send, came_back=came_back, within=asked.within, now=now)


def _came_back(member: Member, after: datetime, until: datetime, *, store: Store) -> bool:
    """Whether a member did something after a moment, up to another.

    The profile knows the first moment of the newest day, which mostly answers it; where it does not, the log of each
    day in question does, which costs a query a day and identity.
    """
    last = member.last_active_at
    if last is None or last.date() < after.date():
        return False
    if after < last <= until:
        return True
    days = (min(last, until).date() - after.date()).days
    dates = (after.date() + DAY * day for day in range(days + 1))
    return any(_active(member, day, after=after, until=until, store=store) for day in dates)


def _active(member: Member, day: date, *, after: datetime, until: datetime, store: Store) -> bool:
    """Whether the log of a UTC day tells of activity of a member between two moments."""
    identities = (Identity(*identity.split(":", 1)) for identity in sorted(member.identities))
    events = (event for identity in identities for event in store.logged(identity, day))
    return any(event.type in ACTIVITY and after < event.occurred_at <= until for event in events)
