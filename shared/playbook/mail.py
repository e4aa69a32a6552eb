"""The playbook on mail: who it is from, what kinds there are, how much is too much, and when it pauses."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, HttpUrl, model_validator

from shared.errors import Problem
from shared.events import Frozen
from shared.playbook.problems import raise_problems
from shared.playbook.terms import Address, Duration, Key, LocalTime, Text, Weekday, Zone, duration_text, once_each

ALL_MARKETING = "all"
"""What stands for every category of marketing mail, and so can be the name of none."""

LONGEST_WINDOW = timedelta(days=7)
"""What the breaker counts is kept a day longer than this."""


class Manager(Frozen):
    """A person who runs the community and is told of what needs them; `timezone` is the community's unless given."""

    name: str = Field(min_length=1)
    address: Address
    locale: str
    timezone: Zone | None = None


class Category(Frozen):
    """A kind of mail that a member may switch off, as the preference page names and explains it."""

    name: Text
    about: Text


class QuietHours(Frozen):
    """The part of the member's day in which no marketing mail goes out; it may lie across midnight."""

    from_: LocalTime = Field(alias="from")
    until: LocalTime

    @model_validator(mode="after")
    def _is_a_part_of_the_day(self) -> QuietHours:
        if self.from_ == self.until:
            raise ValueError("from and until must differ; leave quiet_hours out to have none")
        return self

    def holds(self, clock: time) -> bool:
        """Whether the clock shows a time within these hours."""
        if self.from_ < self.until:
            return self.from_ <= clock < self.until
        return clock >= self.from_ or clock < self.until


class Limits(Frozen):
    """How much marketing mail one member gets, and when: over all programmes, in the member's own calendar days."""

    a_day: int = Field(ge=1, le=20)
    a_week: int = Field(ge=1, le=100)
    quiet_hours: QuietHours | None = None
    excluded_weekdays: list[Weekday] = Field(default=[], max_length=6)


class Breaker(Frozen):
    """When marketing mail pauses by itself, and how it goes on: percentages of the sends within `window`."""

    mail: Key
    bounces_percent: float = Field(gt=0, le=100)
    complaints_percent: float = Field(gt=0, le=100)
    least_sends: int = Field(ge=1)
    window: Duration
    ramp: Duration

    @model_validator(mode="after")
    def _window_is_hours(self) -> Breaker:
        if not self.window or self.window % timedelta(hours=1) or self.window > LONGEST_WINDOW:
            wrong = f"must be whole hours or days, at most 7d; got {duration_text(self.window)}"
            raise_problems([Problem("window", wrong)])
        return self


class Sender(Frozen):
    """Who a mail is from; `address` must belong to an identity that SES has verified."""

    name: Text
    address: Address
    reply_to: Address | None = None
    signature: Text


class Mail(Frozen):
    """How a mail is treated: its class decides what a doubtful send becomes, its category what consent it needs.

    `highlights` tells what was published since the member was last seen; `bonus` names one of the bonuses; `variants`
    are the subjects that are tried against each other; a mail `at_once` answers what the member has just done, so for
    its first hour quiet hours do not hold it.
    """

    class_: Literal["marketing", "service"] = Field(alias="class")
    category: Key
    sender: Key
    recognises: Duration | None = None
    highlights: bool = False
    bonus: Key | None = None
    variants: Annotated[list[Key], Field(max_length=5), AfterValidator(once_each)] = []
    at_once: bool = False


class Bonus(Frozen):
    """What a member is offered for coming back: a code, or a page to go to."""

    title: Text
    code: str | None = Field(default=None, min_length=1, max_length=100)
    url: HttpUrl | None = None
    valid_for: Duration

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Bonus:
        if (self.code is None) == (self.url is None):
            raise ValueError("must have either a code or a url")
        return self
