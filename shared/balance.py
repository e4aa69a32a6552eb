"""Whether work is where it must be: how late the agenda is, and whether the ledger of mails balances. Pure.

For whoever looks at it: the function that watches every hour, and a person's `flywheel doctor`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from shared.ledger import SEND_EVENT_WINDOW
from shared.model import Send, SendStatus

PATIENCE = {
    "onboarding": timedelta(minutes=15),
    "mail": timedelta(minutes=15),
    "referrals": timedelta(minutes=30),
    "reward_notices": timedelta(minutes=30),
    "reengagement": timedelta(minutes=45),
}
"""How long after its time an agenda item of each programme may still be there: some three ticks."""

OLD_IN_QUEUE = timedelta(hours=2)
"""How long a message may wait in a queue: as long as a very large mailing takes at SES's rate for a new account."""

SETTLING = OLD_IN_QUEUE + timedelta(minutes=15)
"""How long after its own time an open line of the ledger may stand: something has looked again, and no queue is old."""

FINAL = frozenset({SendStatus.SENT, SendStatus.SKIPPED, SendStatus.PARKED})


@dataclass(frozen=True, kw_only=True)
class Balance:
    """The mails of some days: how many there are of each state, by the UTC day they were planned on.

    Every planned mail is sent, skipped, parked, or open with a moment at which something looks again; `stuck` are the
    ids of those whose moment is over. Nothing settles them by itself.
    """

    days: Mapping[date, Counter[SendStatus]]
    stuck: Sequence[str]

    @property
    def planned(self) -> int:
        """How many mails there are, whatever became of them."""
        return sum(counts.total() for counts in self.days.values())

    def count(self, status: SendStatus) -> int:
        """How many mails are in a state."""
        return sum(counts[status] for counts in self.days.values())


def overdue(oldest: Mapping[str, datetime], now: datetime) -> dict[str, timedelta]:
    """How long after its time the oldest due item of each programme is still there, of those that wait too long."""
    return {name: now - at for name, at in oldest.items() if now - at > PATIENCE[name]}


def stuck(opened: Iterable[Send], now: datetime) -> list[str]:
    """The ids of the open lines that must have moved on by now, in order."""
    return sorted(send.send_id for send in opened if _time_of(send) + SETTLING < now)


def _time_of(send: Send) -> datetime:
    """When an open line must have moved on."""
    if send.status is SendStatus.CLAIMED:
        return send.lease_until or send.at
    if send.status is SendStatus.UNKNOWN:
        return send.at + SEND_EVENT_WINDOW
    return send.until or send.at
