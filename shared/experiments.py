"""Who is in which group of an experiment, and what it shows. Pure: the same member is always in the same group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from math import sqrt
from statistics import NormalDist
from typing import Literal

from shared.model import Attempt, Group, Send, SendStatus

CONFIDENCE = 0.95
"""In so many of all experiments the interval holds what is true."""

LEAST_MEMBERS = 30
"""What each group needs: with fewer, the interval is wider than the effect of any mail."""

LEAST_RETURNS = 5
"""What both groups need together: of fewer, one member more or less would turn the result."""

_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)

NO_LINE = "no_line"
"""Why a mail was not sent of which the ledger has no line."""

Verdict = Literal["returned", "away", "open"]
"""What became of an attempt: whether the member came back in time, or that the time is not over."""


@dataclass(frozen=True)
class Interval:
    """Where the true value lies, as far as one can tell with `CONFIDENCE`."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Returned:
    """How many of a group's members came back, of how many."""

    returned: int
    members: int

    @property
    def rate(self) -> float:
        """The share that came back; 0 of nobody."""
        return self.returned / self.members if self.members else 0.0

    @property
    def interval(self) -> Interval:
        """The Wilson score interval: right for small groups and rates near 0 too; of nobody, anything is possible.

        Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. Journal of the
        American Statistical Association 22, 209-212.
        """
        if not self.members:
            return Interval(0, 1)
        per_member = _Z**2 / self.members
        middle = self.rate + per_member / 2
        reach = sqrt(per_member * (self.rate * (1 - self.rate) + per_member / 4))
        low = (middle - reach) / (1 + per_member) if self.returned else 0.0
        high = (middle + reach) / (1 + per_member) if self.returned < self.members else 1.0
        return Interval(low, high)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one attempt.

    Of the treated `variant` is the subject of the mail that was sent, or else `unsent` the reason why none was.
    """

    group: Group
    verdict: Verdict
    variant: str | None = None
    unsent: str | None = None


@dataclass(frozen=True, kw_only=True)
class Lift:
    """The effect of asking: both groups, and how much the treated group's rate is above the other's.

    `difference` and its interval are None when there are not enough members yet. `variants` are those of the treated
    whose mail was sent, by its subject: who came back before their mail went is not among them, so compare them with
    one another and with no group. `open` are members who still have time to come back and count in no group. `unsent`
    are those of the treated whose mail did not go, by reason, most first: a note, for they count in their group.
    """

    treated: Returned
    held_out: Returned
    variants: Mapping[str, Returned]
    open: int
    unsent: Mapping[str, int]

    @property
    def enough(self) -> bool:
        """Whether there are members and returns enough to tell an effect from chance at all."""
        fewest = min(self.treated.members, self.held_out.members)
        return fewest >= LEAST_MEMBERS and self.treated.returned + self.held_out.returned >= LEAST_RETURNS

    @property
    def difference(self) -> float | None:
        """The treated group's rate above the held out group's, as a share (0.07 is 7 percentage points)."""
        return self.treated.rate - self.held_out.rate if self.enough else None

    @property
    def interval(self) -> Interval | None:
        """Where the true difference lies."""
        return difference_interval(self.treated, self.held_out) if self.enough else None


def outcome(
    attempt: Attempt,
    send: Send | None,
    *,
    came_back: Callable[[datetime, datetime], bool],
    within: timedelta,
    now: datetime,
) -> Outcome:
    """What became of an attempt, as it counts: by the group it was given, from the moment it came due.

    By intention to treat: everybody counts in their group, whatever became of the mail, and both groups have the same
    time to come back. A mail may have to wait, and who comes back meanwhile gets none. To leave those out, or to count
    from when the mail went, would drop from the treated, and only from them, whoever comes back soon: asking would
    seem to keep members away. `send` is the attempt's line of the ledger; `came_back` tells whether the member did
    something after a moment, up to another.
    """
    until = attempt.at + within
    verdict: Verdict = "open" if until > now else "returned" if came_back(attempt.at, until) else "away"
    if attempt.group == "held_out":
        return Outcome(group="held_out", verdict=verdict)
    if send is not None and send.status is SendStatus.SENT:
        return Outcome(group="treated", verdict=verdict, variant=send.variant)
    unsent = NO_LINE if send is None else send.reason or send.status.value
    return Outcome(group="treated", verdict=verdict, unsent=unsent)


def lift(outcomes: Iterable[Outcome]) -> Lift:
    """What asking did, from what became of each member: one outcome a member, or they would not be independent."""
    told = list(outcomes)
    treated = [one for one in told if one.group == "treated"]
    variants = sorted({one.variant for one in treated if one.variant is not None})
    unsent = Counter(one.unsent for one in treated if one.unsent is not None and one.verdict != "open")
    return Lift(
        treated=_returned(treated),
        held_out=_returned(one for one in told if one.group == "held_out"),
        variants={name: _returned(one for one in treated if one.variant == name) for name in variants},
        open=sum(one.verdict == "open" for one in told),
        unsent=dict(sorted(unsent.items(), key=lambda one: (-one[1], one[0]))),
    )


def difference_interval(one: Returned, other: Returned) -> Interval:
    """Newcombe's hybrid score interval of `one.rate - other.rate`, made of the two Wilson intervals.

    Newcombe, R. G. (1998). Interval estimation for the difference between independent proportions: comparison of
    eleven methods. Statistics in Medicine 17, 873-890: method 10.
    """
    difference = one.rate - other.rate
    below = sqrt((one.rate - one.interval.low) ** 2 + (other.interval.high - other.rate) ** 2)
    above = sqrt((one.interval.high - one.rate) ** 2 + (other.rate - other.interval.low) ** 2)
    return Interval(max(difference - below, -1.0), min(difference + above, 1.0))


def _returned(outcomes: Iterable[Outcome]) -> Returned:
    verdicts = [one.verdict for one in outcomes]
    returned = verdicts.count("returned")
    return Returned(returned, returned + verdicts.count("away"))


def share(*names: str) -> float:
    """A number from 0 up to 1 that these names always give, spread evenly over many of them."""
    return int.from_bytes(sha256("/".join(names).encode()).digest()[:8]) / 2**64


def group_of(programme: str, member_id: str, holdout_percent: float) -> Group:
    """Whether a member is asked, or is one of the few who are not, for good and in this programme only."""
    return "held_out" if share("holdout", programme, member_id) < holdout_percent / 100 else "treated"


def variant_of(mail: str, variants: Sequence[str], member_id: str) -> str | None:
    """Which of a mail's variants a member gets, for good; None when it has none. Independent of any holdout."""
    return variants[int(share("variant", mail, member_id) * len(variants))] if variants else None
