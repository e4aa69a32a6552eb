"""A JSON file of any size, read value by value with the standard decoder: it takes the memory of its longest value.

A streaming parser would hand every brace over to Python, and take several times as long as what it is read for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TextIO

from shared.errors import UsageError

CHUNK = 1 << 20
LONGEST = 1 << 25
"""Characters of one value; a message is a thousandth of that."""

_BLANKS = " \t\n\r"
_BLANK = re.compile(f"[{_BLANKS}]*")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse).raw_decode


class LargeJson:
    """A reader that stands before a value: take it with `value`, or go into it with `names` or `elements`.

    Whoever goes into it takes every value there before the next. `mend` is given text that is not JSON, and may make
    it so. Every method raises UsageError, with the line, for what is not JSON.
    """

    def __init__(self, file: TextIO, name: str, mend: Callable[[str], str] | None = None) -> None:
        self._file = file
        self._name = name
        self._mend = mend
        self._text = ""
        self._at = 0
        self._lines = 1
        self._over = False

    def value(self) -> Any:  # noqa: ANN401 - any JSON
        """The value that comes next, whole."""
        self._peek()
        more = CHUNK
        while True:
            found, end, problem = self._tried()
            if problem is None and (len(self._text) - end > 2 or self._over):  # else a number may go on: 1.5, e+9
                self._at = end
                return found
            if problem is not None and (self._over or len(self._text) - self._at > LONGEST):
                self._wrong(problem)
            self._fill(more)
            more *= 2

    def names(self) -> Iterator[str]:
        """The names in the object that comes next; after each, take its value."""
        self._take("{", "an object")
        if self._peek() == "}":
            self._at += 1
            return
        while True:
            name = self.value()
            if not isinstance(name, str):
                self._wrong("a name must be text")
            self._take(":", "a colon")
            yield name
            if self._take(",}", "a comma or }") == "}":
                return

    def elements(self) -> Iterator[None]:
        """A turn for each element of the list that comes next; at each, take it."""
        self._take("[", "a list")
        if self._peek() == "]":
            self._at += 1
            return
        while True:
            yield
            if self._take(",]", "a comma or ]") == "]":
                return

    def values(self) -> Iterator[Any]:
        """The elements of the list that comes next."""
        return (self.value() for _ in self.elements())

    def end(self) -> None:
        """Refuse whatever comes after the last value."""
        if self._peek():
            self._wrong("nothing may follow")

    def _peek(self) -> str:
        """The next character that is no blank; none at the end of the file."""
        found = self._text[self._at : self._at + 1]
        if found and found not in _BLANKS:  # as most often
            return found
        while True:
            blank = _BLANK.match(self._text, self._at)
            self._at = blank.end() if blank else self._at
            if self._at < len(self._text) or self._over:
                return self._text[self._at : self._at + 1]
            self._fill(CHUNK)

    def _take(self, expected: str, name: str) -> str:
        found = self._peek()
        if not found or found not in expected:
            self._wrong(f"{name} is missing" if found else "the file ends too early")
        self._at += 1
        return found

    def _fill(self, size: int) -> None:
        """Let go of what was read, and read on."""
        self._lines += self._text.count("\n", 0, self._at)
        try:
            more = self._file.read(size)
        except (OSError, EOFError, ValueError) as exc:
            raise UsageError(f"{self._name}: cannot be read as text in UTF-8 ({type(exc).__name__})") from exc
        self._text, self._at, self._over = self._text[self._at :] + more, 0, not more

    def _tried(self) -> tuple[Any, int, Exception | None]:
        """The value that comes next and where it ends, or why there is none, as far as the file has been read."""
        try:
            return *_decode(self._text, self._at), None
        except (ValueError, RecursionError) as exc:
            rest = self._text[self._at :]
            mended = self._mend(rest) if self._mend and "escape" in str(exc) else rest
            if mended == rest:
                return None, self._at, exc
        self._text = self._text[: self._at] + mended
        return self._tried()

    def _wrong(self, problem: Exception | str) -> NoReturn:
        at = problem.pos if isinstance(problem, json.JSONDecodeError) else self._at
        reason = problem.msg if isinstance(problem, json.JSONDecodeError) else str(problem)
        line = self._lines + self._text.count("\n", 0, at)
        raise UsageError(f"{self._name}, line {line}: is not JSON: {reason[:1].lower()}{reason[1:]}")
