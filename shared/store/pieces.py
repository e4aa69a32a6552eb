"""What is too large for one item: kept in pieces that belong together, or not at all. Knows nothing of what it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, TypeVar

from shared.errors import Unavailable
from shared.store import keys
from shared.store.table import Table
from shared.store.wire import attributes

PIECE = 350_000
"""Bytes of a piece, of the 400 KB that an item may have."""

Place = Callable[[int], keys.Key]
"""The key of the piece of a number."""

Name = TypeVar("Name")


class Pieces(Table):
    """Contents in pieces."""

    def _put_pieces(self, place: Place, content: bytes, *, expires_at: int | None = None) -> None:
        """Keep a content; what was kept at its place before is replaced."""
        pieces = [content[at : at + PIECE] for at in range(0, len(content), PIECE)] or [b""]
        seal = {"of": len(pieces), "digest": sha256(content).hexdigest(), "expires_at": expires_at}
        # The first goes last: until it is there the others belong to nothing, and are not taken for a whole.
        for number, piece in reversed(list(enumerate(pieces))):
            pk, sk = place(number)
            self._write("put_item", Item=attributes({"pk": pk, "sk": sk, "piece": piece, **seal}))

    def _pieces(self, places: Mapping[Name, Place]) -> dict[Name, bytes]:
        """The contents that there are, by the names given; Unavailable where one is just being replaced."""
        first = {place(0): name for name, place in places.items()}
        heads = {first[item["pk"], item["sk"]]: item for item in self._batch_get(first)}
        further = [places[name](number) for name, head in heads.items() for number in range(1, int(head["of"]))]
        found = {(item["pk"], item["sk"]): item for item in [*heads.values(), *self._batch_get(further)]}
        return {name: _whole(places[name], head, found) for name, head in heads.items()}


def _whole(place: Place, head: Mapping[str, Any], found: Mapping[keys.Key, Mapping[str, Any]]) -> bytes:
    pieces = [found.get(place(number)) for number in range(int(head["of"]))]
    content = b"".join(bytes(piece["piece"]) for piece in pieces if piece)
    if sha256(content).hexdigest() != head["digest"]:
        raise Unavailable(f"the pieces of {' '.join(place(0))} do not belong together")
    return content
