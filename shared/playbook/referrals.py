"""The playbook on referrals: where links lead, what qualifies, what is granted for it, and who is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, HttpUrl, model_validator

from shared.errors import Problem
from shared.events import Frozen, Gift
from shared.playbook.problems import raise_problems
from shared.playbook.terms import Duration, Key, Text

Qualification = Literal["joined", "verified", "active", "purchased"]
"""What a referee must have done to count: be here, have an address the platform vouches for, contribute, or buy."""


class RewardRule(Frozen):
    """One reward: the referrer's when so many of their referees have qualified, or the referee's own, once.

    `key` is its name for ever: it is what keeps the reward from being granted twice.
    """

    key: Key
    to: Literal["referrer", "referee"] = "referrer"
    at: int | None = Field(default=None, ge=1, le=100_000)
    gives: Gift
    days: int | None = Field(default=None, ge=1, le=3650)
    level: Key | None = None
    title: Text

    @model_validator(mode="after")
    def _says_what_it_needs(self) -> RewardRule:
        needs = (
            ("at", self.at is not None, self.to == "referrer", "a reward to the referrer"),
            ("days", self.days is not None, self.gives == "premium_days", "premium_days"),
            ("level", self.level is not None, self.gives == "level", "level"),
        )
        wrong = [Problem(name, f"is for {what} only") for name, given, wanted, what in needs if given and not wanted]
        wrong += [
            Problem(name, f"is missing for {what}") for name, given, wanted, what in needs if wanted and not given
        ]
        raise_problems(wrong)
        return self


class RewardWebhook(Frozen):
    """Where rewards are told of; `allow_private` lets it lie on this machine or network, for development only."""

    url: HttpUrl
    allow_private: bool = False


class Suspicion(Frozen):
    """When a referral waits for a person: more referees of one referrer within an hour or a day, or on one payer."""

    an_hour: int = Field(ge=1)
    a_day: int = Field(ge=1)
    one_payer: int = Field(ge=2)


class Referrals(Frozen):
    """The referral programme.

    `join_url` is a page that hands our `ref` back when somebody signs up; without one our own join page asks for an
    address and leads on to `invite_url`. `settle_after` is how long touches told late still count, by when they
    happened; then the attribution is final.
    """

    join_url: HttpUrl | None = None
    invite_url: HttpUrl
    campaign: Key
    first_touch_for: Duration
    settle_after: Duration
    qualified_when: Qualification
    hold: Duration
    suspicion: Suspicion
    mail: Key
    referee_mail: Key
    rewards: list[RewardRule] = Field(min_length=1)
    webhook: RewardWebhook | None = None

    @property
    def utm(self) -> dict[str, str]:
        """The UTM parameters of every link."""
        return {"utm_source": "referral", "utm_medium": "member", "utm_campaign": self.campaign}

    @model_validator(mode="after")
    def _rewards_can_be_told_apart(self) -> Referrals:
        raise_problems([*self._keys_twice(), *self._kinds_twice(), *self._one_mail_for_both()])
        return self

    def _keys_twice(self) -> Iterator[Problem]:
        keys = [rule.key for rule in self.rewards]
        for at, key in enumerate(keys):
            if key in keys[:at]:
                yield Problem(f"rewards[{at}].key", f"{key!r} is already rewards[{keys.index(key)}]")

    def _kinds_twice(self) -> Iterator[Problem]:
        """Two badges for the same number of referees would be one reward written down twice."""
        kinds = [(rule.at, rule.gives) for rule in self.rewards]
        for at, (count, gives) in enumerate(kinds):
            if count is not None and (count, gives) in kinds[:at]:
                first = kinds.index((count, gives))
                yield Problem(f"rewards[{at}].at", f"{count} already gives {gives}, in rewards[{first}]")

    def _one_mail_for_both(self) -> Iterator[Problem]:
        if self.mail == self.referee_mail:
            wrong = f"must be another mail than the referrer's, which tells of other things; both are {self.mail!r}"
            yield Problem("referee_mail", wrong)
