"""A tick: take what is due of one programme's agenda, let the programme decide, apply. Work is what is due, no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from shared.actions import Action
from shared.app import App
from shared.apply import apply
from shared.errors import Unavailable
from shared.model import Due, Member
from shared.programmes import PROGRAMMES
from shared.store.keys import AGENDA_SHARDS

PAGE = 26
"""Items a query: one of the first page is the plan, so 25 are due."""

Decide = Callable[[Due, Member | None], list[Action]]


def tick(name: str, app: App, now: datetime) -> int:
    """Settle everything of a programme that is due by `now`; how many items were looked at.

    One item that cannot be decided does not hold up the others: all errors are raised together at the end.
    """
    programme, playbook = PROGRAMMES[name], app.playbook
    failed: list[Exception] = []
    looked_at = 0
    for shard in range(AGENDA_SHARDS):
        for items in _due(name, shard, app, failed, now):
            failed += _settle(items, lambda due, member: programme.on_due(due, member, playbook, now), app, now)
            looked_at += len(items)
    if failed:
        raise ExceptionGroup(f"{len(failed)} agenda items of {name} could not be settled", failed)
    return looked_at


def _due(name: str, shard: int, app: App, failed: list[Exception], now: datetime) -> Iterator[list[Due]]:
    """What is due in a shard, in pages; when the playbook was edited since it was arranged, only after arranging it."""
    plan = PROGRAMMES[name].plan(app.playbook)
    pages = app.store.due(name, shard, now, PAGE)
    arranged_by, first = next(pages)
    if arranged_by == plan:
        yield first
    else:
        failed += _rearrange(name, shard, plan, app, now)
        pages = app.store.due(name, shard, now, PAGE)
    yield from (items for _, items in pages)


def _rearrange(name: str, shard: int, plan: str, app: App, now: datetime) -> list[Exception]:
    """Move every item of a shard to what is next under the playbook as it is now."""
    programme = PROGRAMMES[name]
    upcoming = list(app.store.upcoming(name, shard))
    failed = _settle(upcoming, lambda due, member: programme.rearrange(due, member, app.playbook), app, now)
    app.store.set_plan(name, shard, plan)
    return failed


def _settle(items: Sequence[Due], decide: Decide, app: App, now: datetime) -> list[Exception]:
    if not items:
        return []
    members = app.store.members(due.member_id for due in items)
    decisions: list[list[Action]] = []
    failed: list[Exception] = []
    for due in items:
        try:
            decisions.append(decide(due, members.get(due.member_id)))
        except Exception as exc:  # noqa: BLE001 - raised with all the others once the rest is settled
            exc.add_note(f"agenda item {due.programme}/{due.key} of member {due.member_id}")
            failed.append(exc)
    try:
        apply(decisions, app, now)
    except Unavailable as exc:  # what was not carried out is due still: the next tick takes it
        failed.append(exc)
    return failed
