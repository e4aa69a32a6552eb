"""What a programme's experiment has shown, told on a terminal or as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from shared.experiments import LEAST_MEMBERS, LEAST_RETURNS, NO_LINE, Interval, Lift, Returned
from shared.lifting import DAY, USUAL_PERIOD, Period
from shared.localtime import local_day
from shared.members import zone_of
from shared.playbook import Playbook
from shared.programmes import reengagement

UNSENT = {**REASONS, NO_LINE: "the ledger has no line of it", "claimed": "a worker has it at this moment"}
"""Why a mail was not sent, in words for a person."""

BY_SUBJECT = "By subject stand those whose mail was sent: compare them with one another only."


def period(programme: str, since: date | None, until: date | None, *, playbook: Playbook, now: datetime) -> Period:
    """The period asked for, both days included and in the community's zone; by default the last 90 days up to now.

    Raises UsageError when the programme runs no experiment, or the period ends before it begins.
    """
    if programme != reengagement.NAME:
        raise UsageError(f"{programme!r} holds nobody out to compare with; only {reengagement.NAME} does")
    zone = zone_of(None, playbook)
    start, end = span(since, until, zone=zone, now=now, usual=lambda end: end - USUAL_PERIOD)
    return Period(since=start, until=end, within=playbook.reengagement.win_back_within)


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
