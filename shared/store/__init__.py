"""The only DynamoDB code: keys, items, and one method an access pattern, in one door to the table.

Knows no programme and no clock. Every write is put-if-absent, guarded by a version, or guarded by a token.
"""

from __future__ import annotations

from datetime import datetime

from shared.store import keys
from shared.store.agenda import Agenda
from shared.store.erasure import Erasure
from shared.store.facts import Facts
from shared.store.items import event_of, member_of, send_of
from shared.store.log import Log
from shared.store.people import People
from shared.store.referrals import Referrals
from shared.store.reports import Reports
from shared.store.rollups import Rollups
from shared.store.sends import Sends

__all__ = ["Store", "event_of", "member_of", "send_of"]


class Store(Log, People, Agenda, Sends, Facts, Referrals, Rollups, Reports, Erasure):
    """The table, as the rest of Flywheel sees it. Raises Unavailable when DynamoDB is throttled or away."""

    def local_clock(self) -> datetime | None:
        """The instant that the local stack has set, if any."""
        item = self._get(keys.LOCAL_CLOCK)
        return datetime.fromisoformat(item["now"]) if item else None
