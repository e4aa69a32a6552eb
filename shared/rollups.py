"""From a day's tally, and what is known of the days around it, to its rollup and its bitmaps. Pure; knows no store.

A rollup is computed anew each time and never added to; it keeps what was first published beside what is known now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta

from pyroaring import BitMap

from shared.events import Frozen, Utc
from shared.measured import Counts, Figures, added, trailing
from shared.tally import Purchase, Said, Tally

TOLD = ("active", "joined", "seen", "left")
"""The bitmaps of a day that its own events tell: did something that counts as activity; joined, and not anew; did what
only a member does; were last heard of leaving."""

DERIVED = ("members", "new", "gone", "lapsed", "returned")
"""Those that depend on the days before, too: members at the day's end; who joined and was none; who was one and left;
who became inactive on that day; who did something again after that."""

KINDS = TOLD + DERIVED

ANSWERED_WITHIN = timedelta(days=7)
"""How soon a reply must come for a thread to count as answered: so many times 24 hours."""

REVENUE_DAYS = 90
"""A purchase was influenced if its buyer was active on one of so many local days before its own."""

Bitmaps = Mapping[str, BitMap]


class Rollup(Frozen):
    """A local day in figures, as known at `computed_at`; `closed` when the day was over by then.

    `first` are the figures that were first published: the first computed after the day was over, at `first_at`.
    """

    day: date
    computed_at: Utc
    closed: bool
    counts: Counts = Counts()
    figures: Figures = {}
    first: Figures | None = None
    first_at: Utc | None = None


def bitmaps(tally: Tally, before: Mapping[date, Bitmaps], day: date, inactive_days: int) -> dict[str, BitMap]:
    """All bitmaps of a day, by kind, given those of the `inactive_days` days before it."""
    told = _told(tally)
    return told | derive(day, {**before, day: told}, inactive_days)


def _told(tally: Tally) -> dict[str, BitMap]:
    """A day's own bitmaps; of a leave and something else at the same moment, the leave was last."""
    gone = (
        ordinal for ordinal, at in tally.left.items() if ordinal not in tally.present or tally.present[ordinal] <= at
    )
    return {
        "active": tally.active.copy(),
        "joined": tally.joined.copy(),
        "seen": BitMap(tally.present),
        "left": BitMap(gone),
    }


def derive(day: date, activity: Mapping[date, Bitmaps], inactive_days: int) -> dict[str, BitMap]:
    """The bitmaps of `DERIVED`, from what stands for the day itself and for the `inactive_days` days before it.

    Of the day itself `TOLD` is needed, of the day before `members`, of the others `seen`. A day that is not there was
    one on which nobody did anything. Ask it again, in the order of days, for the `inactive_days` days after one that
    changed, and for as long as `members` changes.
    """
    today = activity.get(day, {})
    seen, joined, left, active = (_of(today, kind) for kind in ("seen", "joined", "left", "active"))
    before = _of(activity.get(day - timedelta(days=1), {}), "members")
    gone = left & (before | seen)
    members = (before | seen) - gone
    lately = _seen(trailing(inactive_days - 1, day - timedelta(days=1)), activity)
    longest_ago = _of(activity.get(day - timedelta(days=inactive_days), {}), "seen")
    return {
        "members": members,
        "new": joined - before,
        "gone": gone,
        "lapsed": (members & longest_ago) - lately - seen,
        "returned": (active & before) - lately - longest_ago,
    }


def _of(day: Bitmaps, kind: str) -> BitMap:
    return day.get(kind) or BitMap()


def _seen(days: Iterable[date], activity: Mapping[date, Bitmaps]) -> BitMap:
    return BitMap.union(*(_of(activity.get(day, {}), "seen") for day in days), BitMap())


def waits(opened: Mapping[str, Said], replies: Iterable[Mapping[str, Sequence[Said]]]) -> list[int]:
    """Whole seconds until each thread of a day was answered, ascending; of those that were within seven days.

    `replies` are those of the day itself and of the `RESPONSE_DAYS` days after it. The first reply by somebody else
    than who opened it counts; one that is dated before the thread came at once.
    """
    days = list(replies)
    answered = []
    for key, thread in opened.items():
        others = [said.at for day in days for said in day.get(key, ()) if said.ordinal != thread.ordinal]
        if others and min(others) - thread.at <= ANSWERED_WITHIN:
            answered.append(max(min(others) - thread.at, timedelta()) // timedelta(seconds=1))
    return sorted(answered)


def revenue(
    purchases: Iterable[Purchase], *, active_before: BitMap, referees: Collection[str]
) -> tuple[dict[str, int], dict[str, int]]:
    """Minor units by currency: influenced by the community, and sourced by it. Before refunds.

    `active_before` is who was active on any of the `REVENUE_DAYS` local days before the day of the purchases;
    `referees` are the ids of members whose attribution is settled.
    """
    bought = list(purchases)
    return (
        added({one.currency: one.amount} for one in bought if one.ordinal in active_before),
        added({one.currency: one.amount} for one in bought if one.member_id in referees),
    )


def counts_of(
    tally: Tally,
    *,
    influenced: Mapping[str, int],
    sourced: Mapping[str, int],
    signups: int,
    answered: int,
) -> Counts:
    """Everything that is counted of a day: its tally, with what needs more than the day's own events."""
    return tally.counts.model_copy(
        update={
            "solved": len(tally.solved),
            "threads": len(tally.threads),
            "answered": answered,
            "influenced": dict(influenced),
            "sourced": dict(sourced),
            "signups": signups,
        }
    )


def restated(old: Rollup | None, new: Rollup) -> Rollup:
    """A rollup computed anew, with what was first published: by the old one, or else, once the day is over, by this."""
    if old is not None and old.first is not None:
        return new.model_copy(update={"first": old.first, "first_at": old.first_at})
    if new.closed:
        return new.model_copy(update={"first": new.figures, "first_at": new.computed_at})
    return new
