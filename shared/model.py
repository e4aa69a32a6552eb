"""The nouns of Flywheel as frozen values. Knows nothing of how they are stored or triggered."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Literal, NamedTuple

from pydantic import Field, JsonValue

from shared.events import Frozen, Gift, HighlightKind, Role, Utc

MemberStatus = Literal["active", "left", "removed", "banned"]


class Identity(NamedTuple):
    """A person's id on one platform."""

    platform: str
    external_id: str

    def __str__(self) -> str:
        return f"{self.platform}:{self.external_id}"


def member_id_of(identity: Identity) -> str:
    """The member id that a first identity gives: the same on every retry, letters and digits only."""
    return "m" + sha256(str(identity).encode()).hexdigest()[:20]


class Consent(Frozen):
    """The newest decision of a member about one category of mail, when it was made, and by what.

    `by` is `one_click`, `page`, or the SES tag of the send that was complained of.
    """

    given: bool
    at: Utc
    by: str = ""


class Suppression(Frozen):
    """Why an address gets no mail, since when, and the SES tag of the send that showed it."""

    reason: Literal["bounce", "soft_bounces"]
    at: Utc
    by: str = ""


class SoftBounce(Frozen):
    """A mail that an address, given as its hash, did not take this time."""

    address: str
    at: Utc


class Member(Frozen):
    """A person, over all platforms. Every field only ever moves forward in time.

    `ordinal` is the dense number that day bitmaps use; `told_at` says when each of name, email, locale and timezone
    was told, and each platform's role (`role@slack`); `role` is the strongest of `roles`, platform -> role;
    `last_active_at` is right to its UTC day; `active_days` are the UTC days (ISO) of the first month on which the
    member was seen doing something; `suppressions` are by the hash of the address, `soft_bounces` by the send;
    `dormant_at` is when we stopped asking a member to come back, `woken_at` when they did by themselves;
    `told_since` is when the earliest happened that was told of them, where that was before they were heard of;
    `verified_at` is when a platform first vouched for an address of theirs;
    `chosen_locale` and `send_hour` (0-23, local) are the member's own choices, made at `chosen_at`; `listed` is whether
    they want to be named on the leaderboard; `absorbed` are the ids of members that proved to be this one; `version`
    guards concurrent changes.
    """

    id: str
    ordinal: int
    created_at: Utc
    version: int = 0
    identities: frozenset[str] = frozenset()
    name: str | None = None
    email: str | None = None
    locale: str | None = None
    timezone: str | None = None
    role: Role = "member"
    roles: dict[str, Role] = {}
    told_at: dict[str, Utc] = {}
    status: MemberStatus = "active"
    status_at: Utc | None = None
    joined_at: Utc | None = None
    last_active_at: Utc | None = None
    active_days: frozenset[str] = frozenset()
    first_post_at: Utc | None = None
    first_comment_at: Utc | None = None
    survey_answered_at: Utc | None = None
    consent: dict[str, Consent] = {}
    suppressions: dict[str, Suppression] = {}
    soft_bounces: dict[str, SoftBounce] = {}
    dormant_at: Utc | None = None
    woken_at: Utc | None = None
    chosen_locale: str | None = None
    send_hour: int | None = Field(default=None, ge=0, le=23)
    chosen_at: Utc | None = None
    listed: Consent | None = None
    touched_at: Utc | None = None
    told_since: Utc | None = None
    verified_at: Utc | None = None
    first_purchase_at: Utc | None = None
    payers: frozenset[str] = frozenset()
    level: str | None = None
    absorbed: frozenset[str] = frozenset()
    merged_into: str | None = None


class SendId(NamedTuple):
    """The intent to send one mail: which programme, which step, to whom, which time round.

    As text `programme/step/member/occurrence`; none of the parts holds `/` or `-`, so the SES tag form is reversible.
    """

    programme: str
    step: str
    member_id: str
    occurrence: str = "1"

    def __str__(self) -> str:
        return "/".join(self)

    @property
    def tag(self) -> str:
        """The id in the letters that an SES message tag allows."""
        return "-".join(self)

    @classmethod
    def parse(cls, text: str) -> SendId:
        """Read either form; ValueError when it is neither."""
        parts = text.replace("-", "/").split("/")
        if len(parts) != 4 or not all(parts):
            raise ValueError(f"not a send id: {text!r}")
        return cls(*parts)


class SendStatus(StrEnum):
    """Where a send stands in the ledger. A planned send is one that waits in the mail queue."""

    CLAIMED = "claimed"
    SENT = "sent"
    SKIPPED = "skipped"
    DEFERRED = "deferred"
    UNKNOWN = "unknown"
    PARKED = "parked"


class Send(Frozen):
    """One line of the send ledger.

    `at` is when the status was reached; `token` and `lease_until` belong to the worker that holds a claim;
    `until` is when a deferred send is looked at again; `waited_for` is why it was deferred last, before it came to
    where it stands; `variant` is the subject it was given; `feedback` is what SES told of it later, kind -> when.
    """

    send_id: str
    member_id: str
    mail: str
    status: SendStatus
    at: Utc
    planned_at: Utc
    locale: str | None = None
    subject: str | None = None
    reason: str | None = None
    until: Utc | None = None
    token: str | None = None
    lease_until: Utc | None = None
    message_id: str | None = None
    waited_for: str | None = None
    variant: str | None = None
    feedback: dict[str, str] = {}


class Due(Frozen):
    """One item of the agenda: something to look at when `due_at` comes.

    `state` belongs to the programme; `version` guards every change of the item.
    """

    programme: str
    member_id: str
    key: str
    due_at: Utc
    state: dict[str, JsonValue] = {}
    version: int = 0


class PlannedMail(Frozen):
    """A message of the mail queue: ids and figures only, never a person.

    `figures` are what the mail tells, where that is not of its member; `waited_for` is why it was deferred last.
    """

    send_id: str
    mail: str
    planned_at: Utc
    leave_out: list[str] = Field(default_factory=list)
    figures: dict[str, JsonValue] = Field(default_factory=dict)
    waited_for: str | None = None


class Edition(NamedTuple):
    """A report of a period in one language: `weekly`, `2026-W40`, `en`."""

    kind: str
    period: str
    locale: str


class News(Frozen):
    """Something that was published: `titles` by language, under "" where there is one for all."""

    kind: HighlightKind
    titles: dict[str, str]
    url: str
    published_at: Utc


Group = Literal["treated", "held_out"]


class Attempt(Frozen):
    """A member who was asked, or would have been but is held out, so that the effect of asking can be told."""

    send_id: str
    member_id: str
    group: Group
    at: Utc


class Touch(Frozen):
    """Something that says who brought a referee: a click, a code, an invitation.

    `at` is when it happened, `told_at` when we were told; `source` is by what door it came.
    """

    referee_id: str
    referrer_id: str
    at: Utc
    told_at: Utc
    source: Literal["link", "code", "invitation", "join_page"]
    utm: dict[str, str] = {}


class Attribution(Frozen):
    """Whose referee a member is, for good: the first touch of all that were told within the settling time."""

    referee_id: str
    referrer_id: str
    touched_at: Utc
    source: str
    utm: dict[str, str] = {}
    at: Utc


class Void(Frozen):
    """Something that undoes a referral if it happened within its hold: a leave, a removal, a ban, a refund."""

    reason: Literal["left", "removed", "banned", "refunded"]
    at: Utc


ReferralStatus = Literal["attributed", "qualified", "voided", "in_review", "rejected"]


class Referral(Frozen):
    """A referee of a referrer, and how far it came. `evidence` is what a person is to look at when `in_review`.

    `qualified_at` is when it first counted, and stays when it does no more.

    Only `attributed` and `in_review` are left for another status: the rest is final, but that a qualified one may yet
    be put in review or rejected.
    """

    referrer_id: str
    referee_id: str
    status: ReferralStatus
    at: Utc
    touched_at: Utc
    qualified_at: Utc | None = None
    reason: str | None = None
    evidence: list[str] = Field(default_factory=list)


class Reward(Frozen):
    """Something granted to a member, once: `rule` is the playbook's key, `because` the referee whose referral did it.

    `at` is how many referees the rule asked for then, None for a referee's own. `announced_at` is when telling of it
    was handed on, `fulfilled_at` is when its receiver took it, `refused_at` when they said they never will.
    """

    member_id: str
    rule: str
    gives: Gift
    days: int | None = None
    level: str | None = None
    at: int | None = None
    because: str
    granted_at: Utc
    announced_at: Utc | None = None
    fulfilled_at: Utc | None = None
    refused_at: Utc | None = None

    @property
    def id(self) -> str:
        """What a receiver tells it by: the same however often it is told."""
        return reward_id(self.member_id, self.rule)


class Reversal(Frozen):
    """A reward was taken back: a second fact beside the first, which stays. It is never granted again."""

    member_id: str
    rule: str
    reason: str
    at: Utc

    @property
    def reward_id(self) -> str:
        """The id of the reward that was taken back."""
        return reward_id(self.member_id, self.rule)


class Milestone(Frozen):
    """Something that happened in the referral programme, for whoever looks at a period rather than at a person.

    `member_id` is the referrer or who was rewarded; `about` the referee, or the reward's rule. A referral that stopped
    counting is no milestone any more; a reward that was taken back stays one, with another beside it.
    """

    kind: Literal["attributed", "qualified", "granted", "reversed"]
    at: Utc
    member_id: str
    about: str


class RewardNotice(Frozen):
    """A message of the reward queue: a reward that is to be told of; `tries` are the failed ones since `since`."""

    member_id: str
    rule: str
    about: Literal["granted", "reversed"]
    tries: int = 0
    since: Utc | None = None


class Pause(Frozen):
    """The breaker tripped: when, why and on what figures, and when an operator let mail go on."""

    tripped_at: Utc
    reason: str
    sends: int = 0
    bounces: int = 0
    complaints: int = 0
    resumed_at: Utc | None = None


class Did(Frozen):
    """What a member did in a stretch of time: active days, and things by kind."""

    active_days: int = 0
    posts: int = 0
    comments: int = 0
    reactions: int = 0
    answers: int = 0


class Erased(Frozen):
    """What is remembered of an identity or address that was erased at a moment, so that nobody is mailed against it.

    `refused` are the categories of mail that they had switched off, and all marketing; `suppression` is of an address.
    """

    at: Utc
    refused: dict[str, Consent] = {}
    suppression: Suppression | None = None


def reward_id(member_id: str, rule: str) -> str:
    """The one id of a member's reward by a rule."""
    return f"{member_id}-{rule}"


def stamp(moment: datetime) -> str:
    """A moment as text that sorts in the order of time: UTC, microseconds, always the same width."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
