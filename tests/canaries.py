"""What no log line or metric may ever hold, and the tap that keeps every line that the tests make our code write.

The canaries are the people, texts and secrets of the golden inputs and builders, so every test plants them.
"""

from __future__ import annotations

import builtins
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

NAMES = ("Ada", "Bea", "Bob", "Cem", "Cleo", "Eva", "Mira")
TEXTS = ("Hello everyone", "Which glue holds", "Hide glue", "Glue for oak", "Welcome, Ada", "Sharpening anything")
SECRETS = (
    "8f742231b10e8888abcd99yyyzzz85a5",
    "my_lovely_secret_for_web_hook",
    "another_secret",
    "whsec_",
    "a-link-key",
    "a-signing-secret",
    "a-secret-of-theirs",
)

CANARIES = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    rf"|\b(?:{'|'.join(NAMES)})\b"
    rf"|{'|'.join(map(re.escape, (*TEXTS, *SECRETS)))}"
)
"""Any address at all, the people by name, what they wrote, and what is signed with."""

METRICS = '{"_aws":'
"""What a line of metrics begins with, however it is spaced."""


def sung(line: str) -> list[str]:
    """The canaries in a line."""
    return CANARIES.findall(line)


def current_test() -> str:
    """The test that runs now, as pytest tells it."""
    return os.environ.get("PYTEST_CURRENT_TEST", "no test").rpartition(" ")[0]


@dataclass
class Tap:
    """Every line logged and every metric printed since the tap was opened, with the test that made it so."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def keep(self, line: str) -> None:
        self.lines.append((current_test(), line))

    def leaks(self) -> list[str]:
        """The lines with canaries in them, by test, and which."""
        return [f"{test}: {sorted(set(found))} in {line[:300]}" for test, line in self.lines if (found := sung(line))]


@contextmanager
def tapped() -> Iterator[Tap]:
    """Keep what every handler of every logger writes, wherever it goes, and every metric on standard output."""
    tap, write, emit = Tap(), builtins.print, logging.StreamHandler.emit

    def printed(*told: Any, **how: Any) -> None:
        line = " ".join(map(str, told))
        if line.replace(" ", "").startswith(METRICS):
            tap.keep(line)
        write(*told, **how)

    def emitted(handler: logging.StreamHandler[Any], record: logging.LogRecord) -> None:
        tap.keep(handler.format(record))
        emit(handler, record)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "print", printed)
        patch.setattr(logging.StreamHandler, "emit", emitted)
        yield tap
