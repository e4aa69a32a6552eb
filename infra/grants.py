"""Which partitions of the table each function reads and writes, and so may: `dynamodb:LeadingKeys` of its role.

All reads of a function are one statement and all its writes another: a batch or a transaction asks for several
partitions at once, and IAM wants one statement that allows them all. The tests of the functions run under these grants.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

READ = ("GetItem", "BatchGetItem", "Query")

ADD = ("PutItem", "UpdateItem")
WRITE = (*ADD, "DeleteItem")

MEMBER, LOG, SEEN, REPORT = "MEMBER#*", "LOG#*", "SEEN#*", "REPORT#*"
IDENTITY, EMAIL, INVITED = "IDENTITY#*", "EMAIL#*", "INVITED#*"
REFEREE, MILESTONES, REVIEW = "REFEREE#*", "REFERRALS#*", "REVIEW"
BREAKER, PULSE, NEWS, ATTEMPTS, PLAN = "BREAKER", "PULSE#*", "NEWS", "ATTEMPTS#*", "AGENDA#*"
ERASED = ("ERASED", "ERASED#*")
ACTIVE, TALLY, ROLLUP, ROLLING, DIRTY, ORDINALS = "ACTIVE#*", "TALLY#*", "ROLLUP", "ROLLING", "DIRTY", "ORDINALS"

A_DAY = "????-??-??#*"
"""A partition of the index `sends`: a UTC day and a shard."""


@dataclass(frozen=True, kw_only=True)
class Touched:
    """Partitions that a function touches: of the table, or of one of its indexes; `*` and `?` as IAM reads them."""

    operations: Sequence[str]
    keys: Sequence[str]
    index: str | None = None

    @property
    def actions(self) -> tuple[str, ...]:
        """The operations as IAM names them."""
        return tuple(f"dynamodb:{operation}" for operation in self.operations)

    @property
    def condition(self) -> Mapping[str, Mapping[str, Sequence[str]]]:
        """That every partition asked for is one of these."""
        return {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": list(self.keys)}}

    def allows(self, operation: str, partitions: Iterable[str], index: str | None) -> bool:
        """What IAM would say to one operation on these partitions."""
        here = operation in self.operations and index == self.index
        return here and all(any(fnmatchcase(one, key) for key in self.keys) for one in partitions)


def _reads(*keys: str) -> Touched:
    return Touched(operations=READ, keys=keys)


def _writes(operations: Sequence[str], *keys: str) -> Touched:
    return Touched(operations=operations, keys=keys)


def _agenda(*programmes: str) -> Touched:
    return Touched(operations=("Query",), keys=[f"{name}#*" for name in programmes], index="agenda")


TABLE: Mapping[str, Sequence[Touched]] = {
    # A stranger's request can write to the log, and do no more than that.
    "webhooks": [_writes(("PutItem",), LOG, SEEN)],
    "links": [
        Touched(operations=("GetItem", "BatchGetItem"), keys=(MEMBER, REPORT)),
        _writes(ADD, MEMBER, INVITED, LOG, SEEN),
    ],
    "react": [
        _reads(MEMBER, IDENTITY, EMAIL, INVITED, REFEREE, *ERASED),
        _writes(WRITE, MEMBER, IDENTITY, EMAIL, REFEREE, NEWS, DIRTY, ORDINALS),
    ],
    "onboarding": [_reads(MEMBER), _writes(WRITE, MEMBER, PLAN), _agenda("onboarding")],
    "reengagement": [_reads(MEMBER), _writes(WRITE, MEMBER, PLAN, ATTEMPTS), _agenda("reengagement")],
    "referral_rewards": [
        _reads(MEMBER, REFEREE),
        _writes((*WRITE, "ConditionCheckItem"), MEMBER, REFEREE, MILESTONES, REVIEW),
        _agenda("referrals", "reward_notices"),
    ],
    "reward_notices": [_reads(MEMBER), _writes(WRITE, MEMBER)],
    "mailer": [_reads(MEMBER, LOG, NEWS, REPORT, BREAKER), _writes(("UpdateItem",), MEMBER)],
    "mail_followups": [_reads(MEMBER, BREAKER, PULSE), _writes(WRITE, MEMBER, BREAKER, PULSE), _agenda("mail")],
    "mail_feedback": [
        Touched(operations=("GetItem",), keys=(MEMBER, ERASED[0])),
        _writes(ADD, MEMBER, PULSE, ERASED[1]),
    ],
    "metrics_rollup": [
        _reads(LOG, MEMBER, IDENTITY, REFEREE, MILESTONES, ACTIVE, TALLY, ROLLUP, DIRTY, ORDINALS),
        _writes((*WRITE, "BatchWriteItem"), MEMBER, ACTIVE, TALLY, ROLLUP, ROLLING, DIRTY),
    ],
    "manager_report": [
        _reads(REPORT, ROLLUP, ACTIVE, TALLY, ORDINALS, MEMBER, LOG, ATTEMPTS, MILESTONES, REVIEW, BREAKER, DIRTY),
        _writes(("PutItem",), REPORT),
        _agenda("onboarding", "reengagement", "referrals"),
        Touched(operations=("Query",), keys=(A_DAY,), index="sends"),
    ],
    # It reads, and does no more: how late what is due, and which mails are open.
    "watch": [
        Touched(operations=("BatchGetItem",), keys=(MEMBER,)),
        _agenda("onboarding", "reengagement", "referrals", "reward_notices", "mail"),
        Touched(operations=("Query",), keys=(A_DAY,), index="sends"),
    ],
}
"""What each function of functions/ touches."""


def allowed(function: str, operation: str, partitions: Iterable[str], index: str | None = None) -> bool:
    """Whether a function may do this to these partitions, all of them at once."""
    asked = list(partitions)
    return any(one.allows(operation, asked, index) for one in TABLE[function])
