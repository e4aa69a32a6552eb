"""The playbook's model: what a community manager may change, and every rule it must obey. Knows no clock and no AWS."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, HttpUrl, StringConstraints, ValidationInfo, model_validator

from shared.errors import Problem
from shared.events import Frozen, HighlightKind
from shared.playbook.mail import ALL_MARKETING, Bonus, Breaker, Category, Limits, Mail, Manager, Sender
from shared.playbook.measuring import Goals, Measuring, ReportKind, Reports
from shared.playbook.problems import names, raise_problems
from shared.playbook.referrals import Referrals
from shared.playbook.terms import (
    Condition,
    Duration,
    Key,
    Locales,
    LocalTime,
    Moment,
    Text,
    Weekday,
    Zone,
    duration_text,
)


class Written(NamedTuple):
    """How far a mail is written: its languages, the parts it can leave out, its subjects' variants by languages."""

    locales: Collection[str]
    parts: Collection[str] = ()
    variants: Mapping[str, Collection[str]] = {}


class Community(Frozen):
    """Whose community this is."""

    name: Text
    url: HttpUrl
    timezone: Zone


Tag = Annotated[str, StringConstraints(pattern=r"^[^\s,]{1,100}$")]
"""A tag of the forum, as its members see it."""


class Platform(Frozen):
    """A platform that may send webhooks; naming it switches its receiver on.

    Topics of a forum at `url` that carry one of `content_tags` are news of that kind; so far only Discourse has them.
    """

    url: HttpUrl | None = None
    content_tags: dict[HighlightKind, Tag] = {}

    @model_validator(mode="after")
    def _tags_lead_somewhere(self) -> Platform:
        problems = []
        if self.content_tags and self.url is None:
            problems.append(Problem("url", "is missing; content_tags needs it, for links to the topics begin with it"))
        if self.url is not None and (self.url.query or self.url.fragment or len(str(self.url)) > LONGEST_FORUM_URL):
            wrong = f"must be the forum's front page: at most {LONGEST_FORUM_URL} characters, without ? and #"
            problems.append(Problem("url", wrong))
        kinds: dict[str, str] = {}
        for kind, tag in self.content_tags.items():
            if tag.lower() in kinds:
                wrong = f"{tag!r} is already the tag of {kinds[tag.lower()]}; every kind needs its own"
                problems.append(Problem(f"content_tags.{kind}", wrong))
            kinds.setdefault(tag.lower(), kind)
        raise_problems(problems)
        return self


def _with_their_own_settings(platforms: object) -> object:
    """Refuse settings of platforms that have none; as compiled, those stand there empty."""
    given = platforms if isinstance(platforms, dict) else {}
    raise_problems(
        [
            Problem(f"{name}.{key}", f"unknown key; {name} has no settings: write {{}} to switch it on")
            for name in WITHOUT_SETTINGS
            if isinstance(given.get(name), dict)
            for key, value in given[name].items()
            if value or key not in Platform.model_fields
        ]
    )
    return platforms


LONGEST_FORUM_URL = 200

WITHOUT_SETTINGS = ("slack", "standard")
Platforms = Annotated[
    dict[Literal["slack", "discourse", "standard"], Platform], BeforeValidator(_with_their_own_settings)
]
"""The platforms that may send webhooks, by name."""


class Step(Frozen):
    """One onboarding step. `key` is its name for ever; `leave_out` names parts of its mail and when they stay out."""

    key: Key
    day: int = Field(ge=1, le=365)
    mail: Key
    send_at: LocalTime | None = None
    unless: list[Condition] = []
    leave_out: dict[Key, Condition] = {}


class Onboarding(Frozen):
    """The onboarding programme; times of day are the member's own."""

    start: Moment
    send_at: LocalTime
    min_gap: Duration
    stale_after: Duration
    wait_for_address: Duration
    open_for: Duration
    steps: list[Step] = Field(min_length=1)

    @model_validator(mode="after")
    def _steps_in_order(self) -> Onboarding:
        problems = []
        first_use: dict[str, int] = {}
        for at, step in enumerate(self.steps):
            if step.key in first_use:
                problems.append(
                    Problem(
                        f"steps[{at}].key",
                        f"{step.key!r} is already steps[{first_use[step.key]}]; every step needs its own key",
                    )
                )
            first_use.setdefault(step.key, at)
            if step.day > self.open_for.days:
                problems.append(
                    Problem(
                        f"steps[{at}].day",
                        f"must lie within open_for ({duration_text(self.open_for)}); got {step.day}",
                    )
                )
        for at, (before, step) in enumerate(pairwise(self.steps), start=1):
            if step.day <= before.day:
                problems.append(
                    Problem(
                        f"steps[{at}].day", f"must be later than the step before it (day {before.day}); got {step.day}"
                    )
                )
        raise_problems(problems)
        return self


class Reengagement(Frozen):
    """The re-engagement programme; times of day are the member's own.

    `spacing` says how long each attempt comes after what was before it: the member's last activity, then the last
    attempt. `holdout_percent` of the members get no mail, so that the mail's effect can be told from chance.
    """

    mail: Key
    inactive_days: int = Field(ge=1, le=365)
    max_attempts: int = Field(ge=1, le=10)
    spacing: list[Duration]
    send_at: LocalTime
    stale_after: Duration
    win_back_within: Duration
    holdout_percent: float = Field(ge=0, le=50)

    @model_validator(mode="after")
    def _spacing_fits(self) -> Reengagement:
        if len(self.spacing) != self.max_attempts:
            wrong = f"must have one duration an attempt ({self.max_attempts}); it has {len(self.spacing)}"
            raise_problems([Problem("spacing", wrong)])
        if self.spacing[0] != timedelta(days=self.inactive_days):
            wrong = f"must be inactive_days ({self.inactive_days}d); got {duration_text(self.spacing[0])}"
            raise_problems([Problem("spacing[0]", wrong)])
        shortest = duration_text(self.win_back_within)
        raise_problems(
            [
                Problem(f"spacing[{at}]", f"must not be shorter than win_back_within ({shortest})")
                for at, length in enumerate(self.spacing)
                if length < self.win_back_within
            ]
        )
        return self


class Link(Frozen):
    """A page with its title."""

    title: Text
    url: HttpUrl


class Resource(Link):
    """A page worth reading, and why."""

    note: Text


class RecurringEvent(Link):
    """An event that comes every week, at `at` in the community's zone."""

    weekday: Weekday
    at: LocalTime


class Highlight(Link):
    """Something new worth coming back for."""

    kind: HighlightKind
    published_at: Moment


class Content(Frozen):
    """What the mails point to."""

    guide: Link
    introductions: Link
    discussion: Link
    resources: list[Resource] = Field(min_length=1, max_length=8)
    event: RecurringEvent
    tips: list[Text] = Field(min_length=1, max_length=8)
    ambassadors: Link
    highlights: list[Highlight] = []


class Weights(Frozen):
    """The parts of the health score; they sum to 1."""

    engagement: float = Field(ge=0, le=1)
    growth: float = Field(ge=0, le=1)
    sentiment: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _sum_to_one(self) -> Weights:
        total = self.engagement + self.growth + self.sentiment
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the weights must sum to 1; these sum to {total:g}")
        return self


class HealthScore(Frozen):
    """How the community's health score is weighed."""

    weights: Weights


class Playbook(Frozen):
    """Everything a community manager may change."""

    locales: Locales
    community: Community
    platforms: Platforms
    senders: dict[Key, Sender] = Field(min_length=1)
    postal_address: Text
    managers: dict[Key, Manager] = Field(min_length=1)
    categories: dict[Key, Category] = Field(min_length=1)
    limits: Limits
    breaker: Breaker
    mails: dict[Key, Mail] = Field(min_length=1)
    onboarding: Onboarding
    reengagement: Reengagement
    levels: list[Key] = Field(min_length=1)
    referrals: Referrals
    bonuses: dict[Key, Bonus] = {}
    content: Content
    health_score: HealthScore
    metrics: Measuring
    goals: dict[ReportKind, Goals] = {}
    reports: Reports

    @model_validator(mode="after")
    def _parts_agree(self, info: ValidationInfo) -> Playbook:
        raise_problems(list(self.disagreements((info.context or {}).get("mails"))))
        return self

    def disagreements(self, written: Mapping[str, Written] | None) -> Iterable[Problem]:
        """What the parts get wrong between them, given the mails that are written; a missing part is not asked."""
        yield from self._wrong_references()
        yield from self._wrong_class()
        yield from self._wrong_hours()
        if ALL_MARKETING in self._part("categories"):
            yield Problem(f"categories.{ALL_MARKETING}", "must have another name: this one stands for all categories")
        yield from self._missing_texts()
        if written is not None:
            yield from self._unwritten_mails(written)

    def _wrong_references(self) -> Iterable[Problem]:
        for path, kind, name, part in self._references():
            if self._part(part) and name not in self._part(part):
                yield Problem(path, f"unknown {kind} {name!r}; the {part} are {names(self._part(part))}")

    def _references(self) -> Iterable[tuple[str, str, str, str]]:
        """Every name that stands for something else: where it stands, what it is, the name, where such are."""
        for name, mail in self._part("mails").items():
            yield f"mails.{name}.sender", "sender", mail.sender, "senders"
            if mail.class_ == "marketing":
                yield f"mails.{name}.category", "category", mail.category, "categories"
            if mail.bonus:
                yield f"mails.{name}.bonus", "bonus", mail.bonus, "bonuses"
        for at, step in enumerate(self.onboarding.steps) if self._part("onboarding") else ():
            yield f"onboarding.steps[{at}].mail", "mail", step.mail, "mails"
        for part, key in (
            ("reengagement", "mail"),
            ("breaker", "mail"),
            ("referrals", "mail"),
            ("referrals", "referee_mail"),
            ("reports", "mail"),
        ):
            if self._part(part):
                yield f"{part}.{key}", "mail", getattr(self._part(part), key), "mails"
        yield from self._references_of_lists()
        for name, one in self._part("managers").items():
            yield f"managers.{name}.locale", "locale", one.locale, "locales"

    def _references_of_lists(self) -> Iterable[tuple[str, str, str, str]]:
        for kind, report in self.reports.kinds.items() if self._part("reports") else ():
            for at, name in enumerate(report.to):
                yield f"reports.{kind}.to[{at}]", "manager", name, "managers"
        for at, rule in enumerate(self.referrals.rewards) if self._part("referrals") else ():
            if rule.level:
                yield f"referrals.rewards[{at}].level", "level", rule.level, "levels"

    def _wrong_class(self) -> Iterable[Problem]:
        for part, key, wanted, why in (
            ("breaker", "mail", "service", "for marketing mail is what pauses"),
            ("reengagement", "mail", "marketing", "which asks for consent"),
            ("referrals", "mail", "service", "for nobody is to miss what they were given"),
            ("referrals", "referee_mail", "service", "for nobody is to miss what they were given"),
            ("reports", "mail", "service", "for managers gave no consent to marketing"),
        ):
            name = getattr(self._part(part), key) if self._part(part) else None
            mail = self._part("mails").get(name)
            if mail and mail.class_ != wanted:
                yield Problem(f"{part}.{key}", f"must be a {wanted} mail, {why}; {name!r} is {mail.class_}")

    def _wrong_hours(self) -> Iterable[Problem]:
        """A send time within quiet hours would only ever be waited for."""
        quiet = self.limits.quiet_hours if self._part("limits") else None
        onboarding, again = self._part("onboarding"), self._part("reengagement")
        parts = (("onboarding", onboarding), ("reengagement", again))
        times = [(f"{name}.send_at", part.send_at) for name, part in parts if part]
        for at, step in enumerate(onboarding.steps if onboarding else ()):
            times.append((f"onboarding.steps[{at}].send_at", step.send_at))
        for path, clock in times:
            if quiet and clock and quiet.holds(clock):
                allowed = f"{quiet.from_:%H:%M} to {quiet.until:%H:%M}"
                yield Problem(path, f"must lie outside quiet hours ({allowed}); got {clock:%H:%M}")

    def _missing_texts(self) -> Iterable[Problem]:
        locales = self._part("locales")
        for path, text in texts(self, "") if locales else ():
            for locale in locales:
                if locale not in text:
                    yield Problem(path, f"missing locale {locale!r}; this playbook's locales are {names(locales)}")
            for locale in text:
                if locale not in locales:
                    yield Problem(f"{path}.{locale}", f"unknown locale; this playbook's locales are {names(locales)}")

    def _unwritten_mails(self, written: Mapping[str, Written]) -> Iterable[Problem]:
        for name, mail in self._part("mails").items():
            if name in written:
                yield from self._unwritten(f"mails.{name}", mail, written[name])
            else:
                known = names(sorted(written))
                yield Problem(f"mails.{name}", f"unknown mail; the mails written in shared/mails are {known}")
        for at, step in enumerate(self.onboarding.steps) if self._part("onboarding") else ():
            parts = written[step.mail].parts if step.mail in written else step.leave_out
            for part in step.leave_out:
                if part not in parts:
                    path = f"onboarding.steps[{at}].leave_out.{part}"
                    yield Problem(
                        path, f"unknown part; the parts that {step.mail} can leave out: {names(sorted(parts))}"
                    )

    def _unwritten(self, path: str, mail: Mail, written: Written) -> Iterable[Problem]:
        for locale in self._part("locales"):
            if locale not in written.locales:
                yield Problem(path, f"missing locale {locale!r}; it is written in {names(sorted(written.locales))}")
        if written.variants and not mail.variants:
            yield Problem(f"{path}.variants", f"is missing; the variants written are {names(sorted(written.variants))}")
        for at, variant in enumerate(mail.variants):
            if variant not in written.variants:
                known = names(sorted(written.variants))
                yield Problem(
                    f"{path}.variants[{at}]", f"unknown variant {variant!r}; the variants written are {known}"
                )
                continue
            for locale in self._part("locales"):
                if locale in written.locales and locale not in written.variants[variant]:
                    known = names(sorted(written.variants[variant]))
                    yield Problem(f"{path}.variants[{at}]", f"missing locale {locale!r}; it is written in {known}")

    def _part(self, name: str) -> Any:  # noqa: ANN401 - a part's own type
        return getattr(self, name, {})

    def locale_for(self, preferred: str | None) -> str:
        """The playbook's locale nearest to what a member prefers (`ru-RU` -> `ru`), else the first one."""
        language = (preferred or "").replace("_", "-").split("-")[0].lower()
        return language if language in self.locales else self.locales[0]


def texts(value: object, path: str) -> Iterable[tuple[str, dict[str, str]]]:
    """Every localised text below a model, with its path."""
    if isinstance(value, Frozen):
        for name, field in type(value).model_fields.items():
            below = f"{path}.{field.alias or name}" if path else field.alias or name
            member = getattr(value, name, None)
            if field.annotation == Text and member is not None:
                yield below, member
            else:
                yield from texts(member, below)
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from texts(member, f"{path}.{key}")
    elif isinstance(value, list):
        for at, member in enumerate(value):
            if isinstance(member, dict):
                yield f"{path}[{at}]", member
            else:
                yield from texts(member, f"{path}[{at}]")
