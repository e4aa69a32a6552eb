"""Reads and checks a playbook, and says everything that is wrong with it: where, what, and what is allowed.

YAML is read at check and synthesis time only; functions load the compiled JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import UnionType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.errors import PlaybookError, Problem
from shared.events import Frozen
from shared.playbook.model import Playbook, Written
from shared.playbook.problems import FoundError, names


def load(path: Path, mails: Mapping[str, Written] | None = None) -> Playbook:
    """Read and check a playbook file.

    `mails` are the mails that are written, by name; without it their existence is not checked.
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
        raw = yaml.load(text, Loader)  # noqa: S506 - a BaseLoader makes no objects # nosec B506
    except yaml.YAMLError as exc:
        raise PlaybookError(str(path), [Problem("", f"is not YAML: {_one_line(exc)}")]) from exc
    return check(raw, source=str(path), mails=mails)


def check(raw: object, *, source: str, mails: Mapping[str, Written] | None = None) -> Playbook:
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
    if isinstance(cause, FoundError):
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
    "finite_number": "must be a finite number",
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
        return f"unknown key; allowed here: {names(_allowed(error['loc']))}"
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
        if isinstance(here, UnionType):  # a part that may be left out: `QuietHours | None`
            here = here.__args__[0]
    return [field.alias or name for name, field in here.model_fields.items()]
