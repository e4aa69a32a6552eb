"""DynamoDB's expressions, as far as our table uses them: what is not known here is refused, as AWS refuses it.

Values are typed attributes, `{"S": "..."}`, as they go over the wire.
"""

from __future__ import annotations

import base64
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

Attribute = dict[str, Any]
Item = Mapping[str, Attribute]


class Invalid(Exception):
    """What AWS answers with a ValidationException."""


@dataclass(frozen=True)
class Scope:
    """What an expression is about: the item, and what its placeholders stand for."""

    item: Item
    names: Mapping[str, str]
    values: Mapping[str, Attribute]

    def name(self, word: str) -> str:
        """An attribute's name."""
        return self.names[word] if word.startswith("#") else word


def check_placeholders(expressions: Iterable[str], names: Mapping[str, str], values: Mapping[str, Attribute]) -> None:
    """Raise Invalid unless these expressions name what was given, all of it and nothing else."""
    wanted = {word for text in expressions for word in _PLACEHOLDER.findall(text)}
    given = {*names, *values}
    if wanted != given:
        raise Invalid(f"not given: {sorted(wanted - given)}; given and never used: {sorted(given - wanted)}")


Operand = Callable[[Scope], Attribute | None]
Test = Callable[[Scope], bool]
Path = tuple[str, ...]

_WORD = re.compile(r"\s*([#:]?[A-Za-z_][A-Za-z0-9_]*|[#:][0-9]+|<=|>=|<>|[=<>(),.+-])")
_PLACEHOLDER = re.compile(r"[#:]\w+")
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def comparable(value: Attribute) -> tuple[str, Any]:
    """A value that sorts among those of its type as DynamoDB sorts it."""
    [(kind, plain)] = value.items()
    if kind == "N":
        return kind, Decimal(plain)
    if kind == "S":
        return kind, plain.encode()
    return kind, base64.b64decode(plain) if kind == "B" else plain


def _compared(sign: str, left: Attribute | None, right: Attribute | None) -> bool:
    if left is None or right is None:
        return sign == "<>"
    (kind, one), (other_kind, other) = comparable(left), comparable(right)
    if sign in {"=", "<>"}:
        return ((kind, one) == (other_kind, other)) is (sign == "=")
    return kind == other_kind and _COMPARE[sign](one, other)


def at(item: Item, path: tuple[str, ...]) -> Attribute | None:
    """What stands at a path of an item, None where nothing does."""
    found = item.get(path[0])
    for name in path[1:]:
        found = found.get("M", {}).get(name) if found else None
    return found


class _Reader:
    """Reads an expression word by word."""

    def __init__(self, text: str) -> None:
        self.words: list[str] = []
        place = 0
        while text[place:].strip():
            found = _WORD.match(text, place)
            if found is None:
                raise Invalid(f"not an expression: {text[place:]}")
            self.words.append(found.group(1))
            place = found.end()
        self.words.append("")

    def next_is(self, *words: str) -> bool:
        return self.words[0].upper() in words

    def take(self, word: str = "") -> str:
        if word and self.words[0].upper() != word:
            raise Invalid(f"{word} expected before {self.words[0]!r}")
        return self.words.pop(0)

    def taken(self, word: str) -> bool:
        if self.next_is(word):
            self.take()
            return True
        return False

    def path(self) -> Path:
        names = [self.take()]
        while self.taken("."):
            names.append(self.take())
        if any(not re.fullmatch(r"#\w+|[A-Za-z_]\w*", name) for name in names):
            raise Invalid(f"not a path: {names}")
        return tuple(names)

    def operand(self) -> Operand:
        if self.words[0].startswith(":"):
            word = self.take()
            return lambda scope: scope.values[word]
        if self.words[0] == "if_not_exists":
            self.take()
            self.take("(")
            path = self.path()
            self.take(",")
            otherwise = self.operand()
            self.take(")")
            return _if_not_exists(path, otherwise)
        path = self.path()
        return lambda scope: at(scope.item, _named(path, scope))

    # --- conditions ------------------------------------------------------------------------------

    def either(self) -> Test:
        tests = [self.both()]
        while self.taken("OR"):
            tests.append(self.both())
        return lambda scope: any(test(scope) for test in tests)

    def both(self) -> Test:
        tests = [self.no()]
        while self.taken("AND"):
            tests.append(self.no())
        return lambda scope: all(test(scope) for test in tests)

    def no(self) -> Test:
        if self.taken("NOT"):
            test = self.no()
            return lambda scope: not test(scope)
        if self.taken("("):
            test = self.either()
            self.take(")")
            return test
        return self.comparison()

    def comparison(self) -> Test:
        if self.next_is("ATTRIBUTE_EXISTS", "ATTRIBUTE_NOT_EXISTS", "BEGINS_WITH"):
            return self.function()
        left = self.operand()
        if self.taken("BETWEEN"):
            low = self.operand()
            self.take("AND")
            high = self.operand()
            return lambda scope: _compared(">=", left(scope), low(scope)) and _compared("<=", left(scope), high(scope))
        if self.taken("IN"):
            self.take("(")
            options = [self.operand()]
            while self.taken(","):
                options.append(self.operand())
            self.take(")")
            return lambda scope: any(_compared("=", left(scope), option(scope)) for option in options)
        sign = self.take()
        if sign not in {"=", "<>", *_COMPARE}:
            raise Invalid(f"not a comparison: {sign!r}")
        right = self.operand()
        return lambda scope: _compared(sign, left(scope), right(scope))

    def function(self) -> Test:
        name = self.take()
        self.take("(")
        path = self.path()
        if name == "begins_with":
            self.take(",")
            start = self.operand()
            self.take(")")
            return lambda scope: _begins(at(scope.item, _named(path, scope)), start(scope))
        self.take(")")
        there = name == "attribute_exists"
        return lambda scope: (at(scope.item, _named(path, scope)) is not None) is there


def _if_not_exists(path: Path, otherwise: Operand) -> Operand:
    def operand(scope: Scope) -> Attribute | None:
        found = at(scope.item, _named(path, scope))
        return otherwise(scope) if found is None else found

    return operand


def _named(path: Path, scope: Scope) -> tuple[str, ...]:
    return tuple(scope.name(word) for word in path)


def _begins(value: Attribute | None, start: Attribute | None) -> bool:
    return value is not None and start is not None and str(value.get("S", "")).startswith(start["S"])


@cache
def condition(text: str) -> Test:
    """A condition or key condition, ready to be asked."""
    reader = _Reader(text)
    test = reader.either()
    reader.take("")
    if reader.words:
        raise Invalid(f"more than a condition: {text}")
    return test


# --- updates -------------------------------------------------------------------------------------

Change = Callable[[Scope, dict[str, Attribute]], None]


@cache
def update(text: str) -> list[Change]:
    """An update expression, as changes to a copy of the item; all look at the item as it was."""
    reader = _Reader(text)
    changes: list[Change] = []
    while reader.words[0]:
        clause = reader.take().upper()
        read = {"SET": _set, "REMOVE": _remove, "ADD": _add}.get(clause)
        if read is None:
            raise Invalid(f"not a clause: {clause}")
        changes.append(read(reader))
        while reader.taken(","):
            changes.append(read(reader))
    return changes


def _set(reader: _Reader) -> Change:
    path = reader.path()
    reader.take("=")
    left = reader.operand()
    sign = reader.take() if reader.next_is("+", "-") else ""
    right = reader.operand() if sign else None

    def change(scope: Scope, item: dict[str, Attribute]) -> None:
        value = left(scope)
        if right is not None:
            value = _sum(value, right(scope), sign)
        if value is None:
            raise Invalid("an operand of SET is not there")
        _put(item, _named(path, scope), value)

    return change


def _remove(reader: _Reader) -> Change:
    path = reader.path()

    def change(scope: Scope, item: dict[str, Attribute]) -> None:
        [name] = _named(path, scope)
        item.pop(name, None)

    return change


def _add(reader: _Reader) -> Change:
    path, by = reader.path(), reader.operand()

    def change(scope: Scope, item: dict[str, Attribute]) -> None:
        names = _named(path, scope)
        _put(item, names, _sum(at(scope.item, names) or {"N": "0"}, by(scope), "+"))

    return change


def _sum(left: Attribute | None, right: Attribute | None, sign: str) -> Attribute:
    if left is None or right is None or "N" not in left or "N" not in right:
        raise Invalid("only numbers are added")
    one, other = Decimal(left["N"]), Decimal(right["N"])
    return {"N": str(one + other if sign == "+" else one - other)}


def _put(item: dict[str, Attribute], path: tuple[str, ...], value: Attribute) -> None:
    if len(path) == 1:
        item[path[0]] = value
        return
    first, *rest = path
    if "M" not in item.get(first, {}):
        raise Invalid("the path to be set leads nowhere")
    inner = dict(item[first]["M"])
    _put(inner, tuple(rest), value)
    item[first] = {"M": inner}
