"""The playbook's model and its loader: what a community manager may change, and every rule it must obey.

Knows no clock and no AWS. YAML is read at check and synthesis time only; functions load the compiled JSON.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    HttpUrl,
    PlainSerializer,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from shared.errors import PlaybookError, Problem
from shared.events import Frozen, Utc
from shared.localtime import is_zone

Condition = Literal["posted", "commented", "contributed", "answered_survey"]
"""What may be known of a member that makes a step, or a part of its mail, unneeded."""

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}
_DURATION = r"^[0-9]{1,6}[mhd]$"
_TIME_OF_DAY = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"


def _duration(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(_DURATION, value):
        return int(value[:-1]) * _UNITS[value[-1]]
    if isinstance(value, timedelta):
        return value
    raise ValueError(f"must be a whole number and a unit, such as 30m, 20h or 90d; got {value!r}")


def _duration_text(value: timedelta) -> str:
    """A duration in its largest whole unit: what was written with six digits is read back from six or fewer."""
    unit = next(name for name, one in _UNITS.items() if not value % one)
    return f"{value // _UNITS[unit]}{unit}"


def _moment(value: object) -> object:
    # Left to itself pydantic reads a bare number as seconds since 1970, and `start: 2026` would enrol everybody.
    with suppress(ValueError):
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(moment, datetime) and moment.tzinfo is not None:
            return moment
    raise ValueError(f"must be a moment with its time zone, such as 2026-01-01T00:00:00Z; got {value!r}")


def _zone(value: str) -> str:
    if not is_zone(value):
        raise ValueError(f"must be an IANA time zone such as Europe/Berlin; got {value!r}")
    return value


def _address(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63}", value):
        raise ValueError(f"must be an e-mail address such as hello@example.com; got {value!r}")
    return value


def _local_time(value: object) -> object:
    if not isinstance(value, time) and not (isinstance(value, str) and re.fullmatch(_TIME_OF_DAY, value)):
        raise ValueError(f'must be a time of day in quotes, such as "10:00"; got {value!r}')
    return value


def _once_each(names: list[str]) -> list[str]:
    if twice := next((name for at, name in enumerate(names) if name in names[:at]), None):
        raise ValueError(f"must be named once each; {twice!r} stands twice")
    return names


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(_duration_text),
    WithJsonSchema({"type": "string", "pattern": _DURATION}),
]
Moment = Annotated[Utc, BeforeValidator(_moment)]
Zone = Annotated[str, AfterValidator(_zone)]
Address = Annotated[str, AfterValidator(_address)]
LocalTime = Annotated[
    time,
    BeforeValidator(_local_time),
    PlainSerializer(lambda value: f"{value:%H:%M}"),
    WithJsonSchema({"type": "string", "pattern": _TIME_OF_DAY}),
]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Locales = Annotated[
    list[Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")]], Field(min_length=1), AfterValidator(_once_each)
]
Text = dict[str, Annotated[str, StringConstraints(min_length=1)]]
"""A text in every language of the playbook: locale -> text."""


class Community(Frozen):
    """Whose community this is."""

    name: Text
    url: HttpUrl
    timezone: Zone


class Platform(Frozen):
    """A platform that may send webhooks; naming it switches its receiver on."""


class Sender(Frozen):
    """Who a mail is from; `address` must belong to an identity that SES has verified."""

    name: Text
    address: Address
    reply_to: Address | None = None
    signature: Text


class Mail(Frozen):
    """How a mail is treated: its class decides what a doubtful send becomes, its category what consent it needs."""

    class_: Literal["marketing", "service"] = Field(alias="class")
    category: Key
    sender: Key
    recognises: Duration | None = None


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
                        f"must lie within open_for ({_duration_text(self.open_for)}); got {step.day}",
                    )
                )
        for at, (before, step) in enumerate(pairwise(self.steps), start=1):
            if step.day <= before.day:
                problems.append(
                    Problem(
                        f"steps[{at}].day", f"must be later than the step before it (day {before.day}); got {step.day}"
                    )
                )
        _raise(problems)
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


class Content(Frozen):
    """What the onboarding mails point to."""

    guide: Link
    introductions: Link
    discussion: Link
    resources: list[Resource] = Field(min_length=1, max_length=8)
    event: RecurringEvent
    tips: list[Text] = Field(min_length=1, max_length=8)
    ambassadors: Link


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
    platforms: dict[Literal["slack", "discourse", "standard"], Platform]
    senders: dict[Key, Sender] = Field(min_length=1)
    postal_address: Text
    mails: dict[Key, Mail] = Field(min_length=1)
    onboarding: Onboarding
    content: Content
    health_score: HealthScore

    @model_validator(mode="after")
    def _parts_agree(self, info: ValidationInfo) -> Playbook:
        _raise(list(self.disagreements((info.context or {}).get("mails"))))
        return self

    def disagreements(self, written: Mapping[str, Collection[str]] | None) -> Iterable[Problem]:
        """What the parts get wrong between them, given the mails that are written; a missing part is not asked."""
        yield from self._wrong_references()
        yield from self._missing_texts()
        if written is not None:
            yield from self._unwritten_mails(written)

    def _wrong_references(self) -> Iterable[Problem]:
        mails, senders = self._part("mails"), self._part("senders")
        for name, mail in mails.items() if senders else ():
            if mail.sender not in senders:
                yield Problem(
                    f"mails.{name}.sender", f"unknown sender {mail.sender!r}; the senders are {_names(senders)}"
                )
        for at, step in enumerate(self.onboarding.steps if mails and self._part("onboarding") else ()):
            if step.mail not in mails:
                yield Problem(
                    f"onboarding.steps[{at}].mail", f"unknown mail {step.mail!r}; the mails are {_names(mails)}"
                )

    def _missing_texts(self) -> Iterable[Problem]:
        locales = self._part("locales")
        for path, text in _texts(self, "") if locales else ():
            for locale in locales:
                if locale not in text:
                    yield Problem(path, f"missing locale {locale!r}; this playbook's locales are {_names(locales)}")
            for locale in text:
                if locale not in locales:
                    yield Problem(f"{path}.{locale}", f"unknown locale; this playbook's locales are {_names(locales)}")

    def _unwritten_mails(self, written: Mapping[str, Collection[str]]) -> Iterable[Problem]:
        for name in self._part("mails"):
            if name not in written:
                yield Problem(
                    f"mails.{name}", f"unknown mail; the mails written in shared/mails are {_names(sorted(written))}"
                )
                continue
            for locale in self._part("locales"):
                if locale not in written[name]:
                    yield Problem(
                        f"mails.{name}", f"missing locale {locale!r}; it is written in {_names(sorted(written[name]))}"
                    )

    def _part(self, name: str) -> Any:  # noqa: ANN401 - a part's own type
        return getattr(self, name, {})

    def locale_for(self, preferred: str | None) -> str:
        """The playbook's locale nearest to what a member prefers (`ru-RU` -> `ru`), else the first one."""
        language = (preferred or "").replace("_", "-").split("-")[0].lower()
        return language if language in self.locales else self.locales[0]


class _FoundError(ValueError):
    """Problems found by a whole-model rule, each with its own path below the model."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("; ".join(map(str, problems)))


def _raise(problems: list[Problem]) -> None:
    if problems:
        raise _FoundError(problems)


def _names(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _texts(value: object, path: str) -> Iterable[tuple[str, dict[str, str]]]:
    """Every localised text below a model, with its path."""
    if isinstance(value, Frozen):
        for name, field in type(value).model_fields.items():
            below = f"{path}.{field.alias or name}" if path else field.alias or name
            member = getattr(value, name, None)
            if field.annotation == Text and member is not None:
                yield below, member
            else:
                yield from _texts(member, below)
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from _texts(member, f"{path}.{key}")
    elif isinstance(value, list):
        for at, member in enumerate(value):
            if isinstance(member, dict):
                yield f"{path}[{at}]", member
            else:
                yield from _texts(member, f"{path}[{at}]")


def load(path: Path, mails: Mapping[str, Collection[str]] | None = None) -> Playbook:
    """Read and check a playbook file.

    `mails` are the mails that are written, name -> locales; without it their existence is not checked.
    Raises PlaybookError with every problem, its path and what is allowed.
    """
    import yaml  # noqa: PLC0415 - not in the bundle: functions read compiled JSON

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise PlaybookError(str(path), [Problem("", f"cannot be read: {exc}")]) from exc

    class Loader(yaml.BaseLoader):  # type: ignore[misc, name-defined, unused-ignore]
        """Plain strings only (YAML 1.1 would read `no` as false and 10:00 as 600), and no key twice."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: ANN401, FBT001, FBT002 - PyYAML's signature
            keys = [key.value for key, _ in node.value]
            for at, (key, _) in enumerate(node.value):
                if key.value in keys[:at]:
                    line = key.start_mark.line + 1
                    raise yaml.YAMLError(f"the key {key.value!r} stands twice in one place, again on line {line}")
            return super().construct_mapping(node, deep=deep)  # type: ignore[no-any-return, unused-ignore]

    try:
        raw = yaml.load(text, Loader)  # noqa: S506 - a BaseLoader makes strings, lists and dicts, never objects
    except yaml.YAMLError as exc:
        raise PlaybookError(str(path), [Problem("", f"is not YAML: {_one_line(exc)}")]) from exc
    return check(raw, source=str(path), mails=mails)


def check(raw: object, *, source: str, mails: Mapping[str, Collection[str]] | None = None) -> Playbook:
    """Validate a playbook given as plain values; raises PlaybookError with every problem."""
    try:
        return Playbook.model_validate(raw, context={"mails": mails})
    except ValidationError as exc:
        problems = [problem for error in exc.errors() for problem in _problems(error)]
        problems += _good_parts(raw).disagreements(mails)
        raise PlaybookError(source, list(dict.fromkeys(problems))) from exc


def schema() -> dict[str, Any]:
    """The playbook's JSON Schema, for editors."""
    return TypeAdapter(Playbook).json_schema(mode="validation")


def _good_parts(raw: object) -> Playbook:
    """Only those parts that are good by themselves: what they get wrong between them is told along with the rest."""
    given = raw if isinstance(raw, dict) else {}
    parts = {}
    for name, field in Playbook.model_fields.items():
        with suppress(KeyError, ValidationError):
            parts[name] = TypeAdapter(field.rebuild_annotation()).validate_python(given[name])
    return Playbook.model_construct(**parts)


def _one_line(exc: Exception) -> str:
    return " ".join(str(exc).replace('in "<unicode string>", ', "at ").split())


def _problems(error: Any) -> Iterable[Problem]:  # noqa: ANN401 - pydantic's ErrorDetails, a private TypedDict
    path = _path(error["loc"])
    cause = (error.get("ctx") or {}).get("error")
    if isinstance(cause, _FoundError):
        for problem in cause.problems:
            yield Problem(f"{path}.{problem.path}" if path else problem.path, problem.reason)
    else:
        yield Problem(path, _reason(error, cause))


_ALLOWED = {
    "missing": "is missing",
    "dict_type": "must be keys with values below it",
    "model_type": "must be keys with values below it",
    "list_type": "must be a list",
    "too_short": "must have at least {min_length}",
    "too_long": "must have at most {max_length}, not {actual_length}",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must match {pattern}",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "url_type": "must be a web address such as https://community.example.com/",
    "url_parsing": "must be a web address such as https://community.example.com/",
    "url_scheme": "must be a web address such as https://community.example.com/",
    "url_too_long": "must be a web address of at most {max_length} characters",
}
"""What is allowed, in an operator's words, by pydantic's kind of error."""


def _reason(error: Any, cause: object) -> str:  # noqa: ANN401 - as above
    kind, got = error["type"], error["input"]
    if kind == "extra_forbidden":
        return f"unknown key; allowed here: {_names(_allowed(error['loc']))}"
    if kind == "value_error":
        return str(cause)
    reason = _ALLOWED[kind].format(**error.get("ctx") or {}) if kind in _ALLOWED else error["msg"]
    return reason if isinstance(got, dict | list) else f"{reason}; got {got!r}"


def _path(loc: Iterable[int | str]) -> str:
    path = ""
    for part in loc:
        if part == "[key]":
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _allowed(loc: tuple[int | str, ...]) -> list[str]:
    """The keys allowed where `loc`'s last part stands, read off the models."""
    here: Any = Playbook
    for part in loc[:-1]:
        if isinstance(here, type) and issubclass(here, Frozen):
            fields = {field.alias or name: field for name, field in here.model_fields.items()}
            here = fields[str(part)].annotation
        else:
            here = here.__args__[-1]
    return [field.alias or name for name, field in here.model_fields.items()]
