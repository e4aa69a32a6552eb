"""What a programme's experiment has shown: gathered from the table, and told on a terminal or as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from pydantic import JsonValue
from rich.console import Group as Together
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from infra.local.inbox import REASONS
from infra.terminal import span
from shared.errors import UsageError
from shared.events import ACTIVITY
from shared.experiments import LEAST_MEMBERS, LEAST_RETURNS, NO_LINE, Interval, Lift, Outcome, Returned, lift, outcome
from shared.localtime import local_day
from shared.members import zone_of
from shared.model import Attempt, Identity, Member, Send, SendId
from shared.playbook import Playbook
from shared.programmes import reengagement
from shared.store import Store

USUAL_PERIOD = timedelta(days=90)

DAY = timedelta(days=1)

UNSENT = {**REASONS, NO_LINE: "the ledger has no line of it", "claimed": "a worker has it at this moment"}
"""Why a mail was not sent, in words for a person."""

BY_SUBJECT = "By subject stand those whose mail was sent: compare them with one another only."

FIRST = "attempt1"
"""The step of a silence's first attempt."""


@dataclass(frozen=True, kw_only=True)
class Period:
    """From `since` up to, not including, `until`; `within` is how long a member has to come back."""

    since: datetime
    until: datetime
    within: timedelta


def period(programme: str, since: date | None, until: date | None, *, playbook: Playbook, now: datetime) -> Period:
    """The period asked for, both days included and in the community's zone; by default the last 90 days up to now.

    Raises UsageError when the programme runs no experiment, or the period ends before it begins.
    """
    if programme != reengagement.NAME:
        raise UsageError(f"{programme!r} holds nobody out to compare with; only {reengagement.NAME} does")
    zone = zone_of(None, playbook)
    start, end = span(since, until, zone=zone, now=now, usual=lambda end: end - USUAL_PERIOD)
    return Period(since=start, until=end, within=playbook.reengagement.win_back_within)


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


def told(programme: str, asked: Period, found: Lift) -> dict[str, JsonValue]:
    """The result as plain values; times are UTC, rates are shares, `difference` is null without enough members."""
    difference, interval = found.difference, found.interval
    return {
        "programme": programme,
        "since": asked.since.isoformat(),
        "until": asked.until.isoformat(),
        "within_days": asked.within / DAY,
        "treated": _plain(found.treated),
        "held_out": _plain(found.held_out),
        "difference": difference,
        "interval": [interval.low, interval.high] if interval else None,
        "variants": {name: _plain(returned) for name, returned in found.variants.items()},
        "open": found.open,
        "not_sent": dict(found.unsent),
    }


def shown(programme: str, asked: Period, found: Lift, zone: ZoneInfo) -> RenderableType:
    """The result for a terminal."""
    first, last = (local_day(moment, zone) for moment in (asked.since, asked.until - timedelta(microseconds=1)))
    about = f": {first:%d %b %Y} to {last:%d %b %Y}, active again within {asked.within / DAY:g} days"
    groups = {"asked": found.treated, "held out": found.held_out}
    parts: list[RenderableType] = [Text.assemble((programme, "bold"), about), _table(groups, ""), _verdict(found)]
    if found.variants:
        parts += [Text(), _table(found.variants, "subject"), Text(BY_SUBJECT, style="dim")]
    notes = [*_still_open(found), *_not_sent(found)]
    if notes:
        parts += [Text(), Text("\n".join(notes), style="dim")]
    return Together(*parts)


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


def _plain(returned: Returned) -> dict[str, JsonValue]:
    return {
        "members": returned.members,
        "returned": returned.returned,
        "rate": returned.rate,
        "interval": [returned.interval.low, returned.interval.high],
    }


def _table(groups: Mapping[str, Returned], heading: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(heading, min_width=8)
    for column in ("members", "returned", "rate", "95 % interval"):
        table.add_column(column, justify="right")
    for name, group in groups.items():
        rates = (f"{group.rate:.1%}", _range(group.interval)) if group.members else ()
        table.add_row(Text(name), str(group.members), str(group.returned), *rates)
    return table


def _range(interval: Interval) -> str:
    return f"{interval.low:.1%} to {interval.high:.1%}"


def _verdict(found: Lift) -> Text:
    difference, interval = found.difference, found.interval
    if difference is None or interval is None:
        needed = f"both groups need {LEAST_MEMBERS} members, and together {LEAST_RETURNS} who returned"
        return Text.assemble("\n", ("Not enough members yet", "yellow"), f": {needed}.")
    by, low, high = (100 * share for share in (difference, interval.low, interval.high))
    figures = f"{by:+.1f} percentage points, 95 % interval {low:+.1f} to {high:+.1f}"
    if 0 in interval:
        return Text.assemble("\n", ("No effect that can be told from chance", "yellow"), f": {figures}.")
    if difference > 0:
        return Text.assemble("\n", ("Asking brings members back", "green"), f": {figures}.")
    return Text.assemble("\n", ("Asking keeps members away", "red"), f": {figures}.")


def _still_open(found: Lift) -> Iterator[str]:
    if found.open:
        yield f"Not counted yet: {found.open} more, who still have time to come back."


def _not_sent(found: Lift) -> Iterator[str]:
    """Of the treated, how many got no mail and why: they count all the same."""
    if found.unsent:
        yield f"No mail went to {sum(found.unsent.values())} of those asked; they count all the same:"
    for reason, count in found.unsent.items():
        yield f"{count:>6}  {UNSENT.get(reason, reason.replace('_', ' '))}"
