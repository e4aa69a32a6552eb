"""What platforms export, read into canonical events: one module a platform, and the one way a file is refused.

Knows no AWS and no store. A file is read once for each look at it and never held whole.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NoReturn, TextIO, cast

from pydantic import ValidationError

from shared.errors import Malformed, UsageError
from shared.events import CommunityEvent
from shared.platforms.delivery import Node
from shared.platforms.proof import TOLERANCE


class LeftOut(StrEnum):
    """What of an export is not logged, in the words that it is counted in."""

    BOT = "of bots"
    NOTICE = "notices of the platform, edits and what else nobody wrote"
    PRIVATE = "messages of private conversations"
    OTHER_CHANNEL = "messages of channels that were not asked for"
    NO_CHANNEL = "messages in a folder that no list of channels names"
    NOBODY = "messages of channels and of anonymous admins"
    REACTIONS = "messages whose reactions are told without a time; the messages themselves are logged"
    NO_TIME = "people of whom no time is told"
    NO_ID = "people who were added or removed by others, and are told by name only"
    NO_PERSON = "system users, and addresses that only ever wrote a mail"
    UNKNOWN_TYPE = "of a type that is not known here"
    REFERRAL = "sign-ups with a referral: rewards are not granted for what is past"
    OTHER_DAY = "of days that were not asked for"
    ERASED = "of people who were erased, from before that"


Told = CommunityEvent | LeftOut
"""Something of an export: the event it is, or why it is none."""


def opened(path: Path) -> TextIO:
    """A file as text in UTF-8, compressed or not."""
    if path.suffix == ".gz":
        return cast("TextIO", gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return path.open(encoding="utf-8-sig", newline="")


def each(
    items: Iterable[object], read: Callable[[Node], Iterable[Told]], *, where: Callable[[int], str], now: datetime
) -> Iterator[Told]:
    """What each of these objects tells; UsageError with its place, numbered from 1, for the first that is wrong.

    Like a delivery's error it names the key that is wrong, and never quotes what stands there.
    """
    latest = now + TOLERANCE
    for number, item in enumerate(items, start=1):
        try:
            if not isinstance(item, dict):
                _wrong("must be an object")
            for told in read(Node(item)):
                if not isinstance(told, LeftOut) and told.occurred_at > latest:
                    _wrong("its time must not lie in the future")
                yield told
        except (Malformed, ValueError, ArithmeticError) as exc:
            raise UsageError(f"{where(number)}: {_why(exc)}") from exc


def _wrong(reason: str) -> NoReturn:
    raise Malformed(reason)


def _why(exc: Exception) -> str:
    if not isinstance(exc, ValidationError):
        return str(exc)
    found = exc.errors(include_input=False, include_url=False)[0]
    path = ".".join(map(str, found["loc"]))
    return f"{path}: {found['msg'][:1].lower()}{found['msg'][1:]}"
