"""Canonical community events: what every platform's deliveries become, and all that the rest of Flywheel sees.

Knows no platform and no storage. Ids are strings, times are aware UTC, money is integer minor units.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import PydanticCustomError

Utc = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
"""An aware moment, always carried in UTC."""

Role = Literal["member", "staff", "bot"]
Sentiment = Literal["positive", "neutral", "negative"]


HighlightKind = Literal["feature", "guide", "ama"]
"""The kinds of news that may bring somebody back."""

COMMUNITY = "community"
"""The actor of what nobody in particular did."""

GHOST = "erased:"
"""What leads the made-up id of a person who was erased, on every platform: no platform may tell of such a one."""

LONGEST_TITLE, LONGEST_URL = 200, 500
"""Characters of a title and of a link that are kept."""

_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def _title(text: str) -> str:
    if not (1 <= len(text) <= LONGEST_TITLE and text == text.strip()) or _BREAKS.search(text):
        raise PydanticCustomError("title", "must be one line of 1 to 200 characters, without blanks around it")
    return text


def _web_address(text: str) -> str:
    problem = PydanticCustomError("web_address", "must be an http or https address of at most 500 characters")
    if len(text) > LONGEST_URL or not re.fullmatch(r"https?://[^\s\x00-\x1f\x7f\ud800-\udfff\"<>\\^`{|}]+", text):
        raise problem
    try:
        host = urlsplit(text).hostname
    except ValueError as exc:
        raise problem from exc
    if not host:
        raise problem
    return text


Gift = Literal["badge", "premium_days", "premium_lifetime", "level"]
"""What a reward gives."""


class Frozen(BaseModel):
    """A value: immutable, strict about names it does not know, and silent about values: an error may end in a log."""

    # What checks a value is built when it is first needed: no function needs more than a few kinds.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


class Profile(Frozen):
    """What a platform told us about a person; None means the platform did not say.

    `email` counts only when `email_verified`; `timezone` is an IANA name, `locale` a language tag as the platform wrote
    it.
    """

    name: str | None = None
    email: str | None = None
    email_verified: bool = False
    locale: str | None = None
    timezone: str | None = None
    role: Role = "member"


class Body(Frozen):
    """What is kept of a message's text, which itself is never stored: its length in characters and neutral flags."""

    length: int = Field(ge=0)
    has_link: bool = False
    has_question: bool = False
    has_code: bool = False
    sentiment: Sentiment | None = None


class BaseEvent(Frozen):
    """What every event has.

    `id` is the dedupe key: the same for every delivery of the same fact. `actor` is the person's id on the platform,
    `object` the thing acted on, `parent` what it answers or belongs to (the thread), `channel` where it happened.
    `timed` is False where the platform gave no time of its own and `occurred_at` is when we received it.
    """

    id: str = Field(min_length=1, max_length=512)
    occurred_at: Utc
    received_at: Utc
    timed: bool = True
    platform: str
    actor: str = Field(min_length=1, max_length=256)
    object: str | None = None
    parent: str | None = None
    channel: str | None = None


class MemberJoined(BaseEvent):
    """A person became part of the community; `returning` when a ban or suspension was lifted.

    `invited_by` is the id, on the same platform, of the member whose invitation they took.
    """

    type: Literal["member.joined"] = "member.joined"
    profile: Profile = Profile()
    returning: bool = False
    invited_by: str | None = None


class MemberLeft(BaseEvent):
    """A person left, was removed, or was banned."""

    type: Literal["member.left"] = "member.left"
    reason: Literal["left", "removed", "banned"] = "left"


class MemberUpdated(BaseEvent):
    """A person's profile changed: name, address, zone, language or role.

    `invited_by` as when joining: some communities tell it only once they have let a person in.
    """

    type: Literal["member.updated"] = "member.updated"
    profile: Profile
    invited_by: str | None = None


class PostCreated(BaseEvent):
    """A new thread was opened by `actor`."""

    type: Literal["post.created"] = "post.created"
    body: Body | None = None


class CommentCreated(BaseEvent):
    """`actor` answered in the thread `parent`."""

    type: Literal["comment.created"] = "comment.created"
    body: Body | None = None


class ReactionAdded(BaseEvent):
    """`actor` reacted to `object`."""

    type: Literal["reaction.added"] = "reaction.added"
    emoji: str | None = None
    sentiment: Sentiment | None = None


class AnswerAccepted(BaseEvent):
    """The answer `object`, written by `actor`, was accepted as the solution of the thread `parent`."""

    type: Literal["answer.accepted"] = "answer.accepted"


class ContentFlagged(BaseEvent):
    """The content `object` was reported for review; `actor` is its author where known."""

    type: Literal["content.flagged"] = "content.flagged"


class EventAttended(BaseEvent):
    """`actor` attended the event `object`."""

    type: Literal["event.attended"] = "event.attended"


class SurveyAnswered(BaseEvent):
    """`actor` answered the survey `object`: 0-10 "would you recommend", and what they chose to add."""

    type: Literal["survey.answered"] = "survey.answered"
    score: int = Field(ge=0, le=10)
    comment: str | None = Field(default=None, max_length=2000)


class PurchaseMade(BaseEvent):
    """`actor` bought something for `amount` minor units of `currency` (ISO 4217).

    `payer` is an opaque id of what it was paid with, the same for every purchase from it.
    """

    type: Literal["purchase.made"] = "purchase.made"
    amount: int = Field(ge=0)
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    payer: str | None = Field(default=None, max_length=100)


class PurchaseRefunded(BaseEvent):
    """The purchase `object` of `actor` was paid back."""

    type: Literal["purchase.refunded"] = "purchase.refunded"


class TicketOpened(BaseEvent):
    """`actor` opened the support ticket `object`."""

    type: Literal["ticket.opened"] = "ticket.opened"


class FeedbackImplemented(BaseEvent):
    """The product feedback `object`, given by `actor`, was implemented."""

    type: Literal["feedback.implemented"] = "feedback.implemented"


class ContentApproved(BaseEvent):
    """A user-generated item `object` by `actor` was approved."""

    type: Literal["content.approved"] = "content.approved"
    format: Literal["case_study", "tutorial_video", "template", "resource", "qa_thread", "success_story"]


class ContentPublished(BaseEvent):
    """Something worth coming back for was published at `occurred_at`; `actor` is its author, or the community."""

    type: Literal["content.published"] = "content.published"
    kind: HighlightKind
    title: Annotated[str, AfterValidator(_title)]
    url: Annotated[str, AfterValidator(_web_address)]

    @property
    def published_at(self) -> datetime:
        """When it was published."""
        return self.occurred_at


class ReferralClicked(BaseEvent):
    """Somebody followed the referral link of `actor`; `object` names the click."""

    type: Literal["referral.clicked"] = "referral.clicked"


class ReferralSignedUp(BaseEvent):
    """`actor`, the referee, signed up with a referral: the opaque `ref` of the click, or the referrer's code."""

    type: Literal["referral.signed_up"] = "referral.signed_up"
    ref: str | None = None
    code: str | None = None
    utm: dict[str, str] = {}


CommunityEvent = (
    MemberJoined
    | MemberLeft
    | MemberUpdated
    | PostCreated
    | CommentCreated
    | ReactionAdded
    | AnswerAccepted
    | ContentFlagged
    | EventAttended
    | SurveyAnswered
    | PurchaseMade
    | PurchaseRefunded
    | TicketOpened
    | FeedbackImplemented
    | ContentApproved
    | ContentPublished
    | ReferralClicked
    | ReferralSignedUp
)

EVENT: TypeAdapter[CommunityEvent] = TypeAdapter(
    Annotated[CommunityEvent, Field(discriminator="type")],
    config=ConfigDict(hide_input_in_errors=True, defer_build=True),
)
"""Reads any event from JSON by its `type`."""

ACTIVITY = frozenset(
    {
        "post.created",
        "comment.created",
        "reaction.added",
        "event.attended",
        "survey.answered",
        "answer.accepted",
    }
)
"""The event types that make their actor an active member."""
