"""Reports as they were made: each part of an edition in compressed pieces, and the figures that were reported first."""

from __future__ import annotations

import json
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING
from zlib import compress, decompress

from shared.model import Edition
from shared.store import keys
from shared.store.items import expiry
from shared.store.pieces import Pieces
from shared.store.wire import attributes

if TYPE_CHECKING:
    from shared.metrics import Figures


class Reports(Pieces):
    """What managers were told. A report is kept for as long as the days that it is made of could be read again."""

    def put_part(self, edition: Edition, part: str, content: bytes, *, at: datetime) -> None:
        """Keep a part of a report; what was kept under its name before is replaced."""
        self._put_pieces(partial(keys.report, edition, part), compress(content), expires_at=expiry(at))

    def part(self, edition: Edition, part: str) -> bytes | None:
        """A part of a report, or None when it was never made or is too old; one request more where it is large."""
        found = self._pieces({part: partial(keys.report, edition, part)}).get(part)
        return None if found is None else decompress(found)

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
