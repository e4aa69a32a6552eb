"""What a request to the table is billed: an item's size, and the units of a read or a write, by AWS's published rules.

moto does not know them. Pure: items are as they go over the wire, attribute name to type and value.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

Item = Mapping[str, Mapping[str, Any]]

WRITE_UNIT, READ_UNIT = 1024, 4096
"""Bytes that one unit writes or reads."""

HALF = Fraction(1, 2)


@dataclass(frozen=True)
class Index:
    """A global secondary index: its keys, and what it holds besides them and the table's; None holds everything."""

    keys: tuple[str, str]
    holds: frozenset[str] | None = None

    def entry(self, item: Item | None) -> Item | None:
        """What of an item stands in the index: nothing where one of its keys is missing."""
        if item is None or not all(name in item for name in self.keys):
            return None
        if self.holds is None:
            return item
        return {name: value for name, value in item.items() if name in {"pk", "sk", *self.keys, *self.holds}}


def size(item: Item) -> int:
    """An item's bytes: the names and values of its attributes."""
    return sum(len(name.encode()) + _size(value) for name, value in item.items())


def _size(attribute: Mapping[str, Any]) -> int:
    [(kind, value)] = attribute.items()
    match kind:
        case "S":
            return len(value.encode())
        case "N":
            return _digits(value)
        case "B":
            return len(value if isinstance(value, bytes) else base64.b64decode(value))
        case "BOOL" | "NULL":
            return 1
        case "L":
            return 3 + sum(1 + _size(one) for one in value)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _size(one) for name, one in value.items())
        case _:
            return sum(_size({kind.removesuffix("S"): one}) for one in value)


def _digits(number: str) -> int:
    """A byte for each two significant digits, and one; one more for a sign."""
    mantissa = number.lower().partition("e")[0]
    digits = mantissa.lstrip("+-").replace(".", "").strip("0")
    return (len(digits) + 1) // 2 + 1 + mantissa.startswith("-")


def write_units(*images: Item | None, transactional: bool = False) -> int:
    """Units of a write that found one image of an item and left another: the larger one counts, and nothing is free."""
    largest = max((size(image) for image in images if image is not None), default=0)
    return max(1, -(-largest // WRITE_UNIT)) * (2 if transactional else 1)


def index_units(index: Index, old: Item | None, new: Item | None) -> int:
    """Units that the same write costs in an index: two writes where a key changes, none where nothing of it does."""
    before, after = index.entry(old), index.entry(new)
    if before == after:
        return 0
    if before is not None and after is not None and any(before[name] != after[name] for name in index.keys):
        return write_units(before) + write_units(after)
    return write_units(before, after)


def read_units(bytes_read: int, *, consistent: bool) -> Fraction:
    """Units of reading so many bytes at once, of which an eventually consistent read costs half."""
    return max(1, -(-bytes_read // READ_UNIT)) * (Fraction(1) if consistent else HALF)


def batch_units(items: Iterable[Item], *, asked: int, consistent: bool) -> Fraction:
    """Units of a batch read: each item by itself, and the least there is for each that is not there."""
    found = list(items)
    absent = (asked - len(found)) * read_units(0, consistent=consistent)
    return sum((read_units(size(item), consistent=consistent) for item in found), absent)
