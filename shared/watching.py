"""Reads what `balance` judges: the oldest of each agenda, and the ledger of the last days. Changes nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta

from shared.balance import FINAL, PATIENCE, Balance, stuck
from shared.model import SendStatus
from shared.store import Store
from shared.store.keys import AGENDA_SHARDS

DAYS = 7
"""How many days of the ledger are balanced."""


def oldest_due(store: Store, now: datetime) -> dict[str, datetime]:
    """When the oldest item of each programme that is due by now was due; one query a shard, four a programme."""
    found = {programme: _oldest_of(programme, store, now) for programme in PATIENCE}
    return {programme: at for programme, at in found.items() if at is not None}


def _oldest_of(programme: str, store: Store, now: datetime) -> datetime | None:
    # Two items a shard, for one may be its plan.
    pages = (next(store.due(programme, shard, now, 2)) for shard in range(AGENDA_SHARDS))
    return min((due.due_at for _, dues in pages for due in dues), default=None)


def balance(store: Store, now: datetime) -> Balance:
    """The mails that were planned within the last days: a query a page of some 6000 of them, four a day at least."""
    days: defaultdict[date, Counter[SendStatus]] = defaultdict(Counter)
    opened: list[str] = []
    for line in store.planned(now - timedelta(days=DAYS), now):
        days[line.planned_at.astimezone(UTC).date()][line.status] += 1
        if line.status not in FINAL:
            opened.append(str(line.send_id))
    # As of now, for the index may lag behind what has just been settled.
    still_open = [send for send in store.sends(opened).values() if send.status not in FINAL]
    return Balance(days=days, stuck=stuck(still_open, now))
