"""Reports as they were made: each part of an edition in compressed pieces, and the figures that were reported first."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any
from zlib import compress, decompress

from shared.metrics import Figures
from shared.model import Edition
from shared.store import keys
from shared.store.items import expiry
from shared.store.table import Table
from shared.store.wire import attributes

PIECE = 350_000
"""Bytes of a piece, of the 400 KB that an item may have."""


class Reports(Table):
    """What managers were told. A report is kept for as long as the days that it is made of could be read again."""

    def put_part(self, edition: Edition, part: str, content: bytes, *, at: datetime) -> None:
        """Keep a part of a report; what was kept under its name before is replaced."""
        packed = compress(content)
        pieces = [packed[start : start + PIECE] for start in range(0, len(packed), PIECE)]
        seal = {"of": len(pieces), "expires_at": expiry(at)}
        for number, piece in reversed(list(enumerate(pieces))):  # the first one last: it says that all are there
            pk, sk = keys.report(edition, part, number)
            self._write("put_item", Item=attributes({"pk": pk, "sk": sk, "piece": piece, **seal}))

    def part(self, edition: Edition, part: str) -> bytes | None:
        """A part of a report, or None when it was never made or is too old: one read, and one for each 350 KB more."""
        first = self._get(keys.report(edition, part, 0))
        if first is None:
            return None
        rest = [self._get(keys.report(edition, part, number)) for number in range(1, int(first["of"]))]
        if None in rest:
            return None
        return decompress(b"".join(_bytes(item["piece"]) for item in [first, *rest] if item))

    def note_first_reported(self, kind: str, period: str, figures: Figures, *, at: datetime) -> bool:
        """Keep what a period's figures are when they are reported; False when they have been reported before."""
        pk, sk = keys.reported(kind, period)
        # As text: its shares are floats, which DynamoDB's types for Python refuse.
        item = {"pk": pk, "sk": sk, "figures": json.dumps(figures), "expires_at": expiry(at)}
        return self._write("put_item", Item=attributes(item), ConditionExpression="attribute_not_exists(pk)")

    def first_reported(self, kind: str, period: str) -> Figures | None:
        """A period's figures as they were first reported; None when they never were."""
        item = self._get(keys.reported(kind, period))
        if item is None:
            return None
        figures: Figures = json.loads(item["figures"])
        return figures

    def first_measured(self) -> date | None:
        """The first local day that was ever measured."""
        items = self._query(
            KeyConditionExpression="pk = :pk",
            ProjectionExpression="sk",
            ExpressionAttributeValues=attributes({":pk": keys.ROLLUPS}),
            Limit=1,
        )
        first = next(items, None)
        return date.fromisoformat(first["sk"]) if first else None


def _bytes(value: Any) -> bytes:  # noqa: ANN401 - boto3 has a class of its own for them, which its stubs do not tell
    return bytes(value)
