"""What is measured: rollups of days, their bitmaps and what else is kept of them, and what is to be looked at again.

Everything is written whole, and so may be written twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import compress, decompress

from pyroaring import BitMap

from shared.errors import Unavailable
from shared.model import stamp
from shared.store import keys
from shared.store.items import KEPT, expiry
from shared.store.pieces import Pieces
from shared.store.wire import attributes, available, key

# Every function has a store, and hardly any of them measures: what that takes is imported where it is used.
if TYPE_CHECKING:
    from shared.rollups import Rollup
    from shared.tally import Doings

CHUNK_BITS = 20
"""A bitmap's item holds the ordinals of 2**20 members: 128 KB at the most, of the 400 KB that an item may have."""

PARTIAL_KEPT = timedelta(days=2)
"""How long a part of a large day waits for the others."""

REST_KEPT = KEPT + timedelta(days=10)
"""How long threads, replies and purchases are kept: as long as a day that they answer may be computed again."""

BATCH_WRITE = 25

_REST, _WAITS = "rest", "waits"


class Mark(NamedTuple):
    """Something to look at again: a local day, or else a member whose days may be another's by now.

    `token` tells one marking from the next, so that what was marked again meanwhile stays marked.
    """

    what: str
    token: str
    at: datetime

    @property
    def day(self) -> date | None:
        """The day, unless it is a member."""
        return None if self.what.startswith("m") else date.fromisoformat(self.what)


class Rollups(Pieces):
    """Figures and bitmaps by local day. They never expire, but for what serves to make them again."""

    # --- the log ---------------------------------------------------------------------------------

    def log_pages(self, utc_day: date, shard: int) -> Iterator[list[str]]:
        """One shard of a UTC day of the log, page by page, each event as JSON."""
        pages = self._pages(
            KeyConditionExpression="pk = :pk",
            ProjectionExpression="#event",
            ExpressionAttributeNames={"#event": "event"},
            ExpressionAttributeValues=attributes({":pk": keys.log_partition(utc_day, shard)}),
        )
        return ([item["event"] for item in page] for page in pages)

    # --- rollups ---------------------------------------------------------------------------------

    def rollups(self, since: date, until: date) -> list[Rollup]:
        """The rollups from one local day to another, both included, in order."""
        items = self._query(
            KeyConditionExpression="pk = :pk AND sk BETWEEN :since AND :until",
            ExpressionAttributeValues=attributes(
                {":pk": keys.ROLLUPS, ":since": since.isoformat(), ":until": until.isoformat()}
            ),
            ConsistentRead=True,
        )
        from shared.rollups import Rollup  # noqa: PLC0415

        return [Rollup.model_validate_json(item["rollup"]) for item in items]

    def put_rollup(self, rollup: Rollup) -> None:
        """Write the figures of a day."""
        pk, sk = keys.rollup(rollup.day)
        # As text: its shares are floats, which DynamoDB's types for Python refuse.
        self._write("put_item", Item=attributes({"pk": pk, "sk": sk, "rollup": rollup.model_dump_json()}))

    # --- bitmaps ---------------------------------------------------------------------------------

    def activity(self, days: Iterable[date], kinds: Iterable[str]) -> dict[date, dict[str, BitMap]]:
        """The bitmaps of these days and kinds, 100 items a request: day -> kind -> ordinals.

        Every day that was asked for is there, and of its kinds those that are not empty. Whether a day was measured at
        all is for its rollup to say.
        """
        asked = list(days)
        chunks = range(self._chunks() if asked else 0)
        found: dict[date, dict[str, BitMap]] = {day: {} for day in asked}
        wanted = {keys.bitmap(day, kind, chunk): (day, kind) for kind in kinds for chunk in chunks for day in asked}
        for item in self._batch_get(wanted):
            day, kind = wanted[item["pk"], item["sk"]]
            bits = BitMap.deserialize(bytes(item["bits"]))
            found[day][kind] = found[day][kind] | bits if kind in found[day] else bits
        return found

    def put_activity(self, day: date, now: Mapping[str, BitMap], before: Mapping[str, BitMap]) -> None:
        """Write these kinds of a day's bitmaps; `before` is what stands there, of which nothing is written again."""
        puts, deletes = [], []
        for kind, bits in now.items():
            for chunk, (old, new) in _chunked(before.get(kind, BitMap()), bits):
                pk, sk = keys.bitmap(day, kind, chunk)
                if new and new != old:
                    puts.append(attributes({"pk": pk, "sk": sk, "bits": new.serialize()}))
                elif old and not new:
                    deletes.append((pk, sk))
        self._write_many(puts, deletes)

    def _chunks(self) -> int:
        """How many chunks the ordinals fill that were given out so far."""
        counter = self._get(keys.ORDINALS)
        return (max(int(counter["next_ordinal"]) - 1, 0) >> CHUNK_BITS) + 1 if counter else 1

    # --- what else is kept of a day --------------------------------------------------------------

    def waits(self, day: date) -> list[int]:
        """Seconds until each thread of a day was answered, of those that were within seven days; ascending."""
        return self.waits_of([day])[day]

    def waits_of(self, days: Iterable[date]) -> dict[date, list[int]]:
        """The same of several days, in few requests."""
        wanted = [(_WAITS, day) for day in days]
        found = self._parts(wanted)
        return {where[1]: _numbers(found.get(where)) for where in wanted}

    def put_waits(self, day: date, waits: Sequence[int]) -> None:
        """Keep how long a day's threads waited; nothing where none was answered."""
        if not waits:
            self._write("delete_item", Key=key(keys.part(_WAITS, day, 0)))
            return
        self._put_part((_WAITS, day), compress(json.dumps(list(waits), separators=(",", ":")).encode()))

    def rest(self, days: Iterable[date]) -> dict[date, bytes]:
        """What `put_rest` was given, by day; a day without it is absent."""
        return {day: content for (_, day), content in self._parts([(_REST, day) for day in days]).items()}

    def put_rest(self, day: date, content: bytes) -> None:
        """Keep a day's threads, replies and purchases, from which later events are understood."""
        midnight = datetime.fromisoformat(f"{day.isoformat()}T00:00:00+00:00")
        self._put_part((_REST, day), content, expires_at=expiry(midnight, REST_KEPT))

    def partials(self, day: date, run: str, shards: Iterable[int]) -> dict[int, bytes]:
        """The parts of a large day that one run has finished, by shard."""
        found = self._parts([(f"{run}/{shard}", day) for shard in shards])
        return {int(name.rpartition("/")[2]): content for (name, _), content in found.items()}

    def put_partial(self, day: date, run: str, shard: int, content: bytes, *, at: datetime) -> None:
        """Keep one shard's part of a large day for the others of its run."""
        self._put_part((f"{run}/{shard}", day), content, expires_at=expiry(at, PARTIAL_KEPT))

    def _put_part(self, where: tuple[str, date], content: bytes, *, expires_at: int | None = None) -> None:
        self._put_pieces(partial(keys.part, *where), content, expires_at=expires_at)

    def _parts(self, wanted: Iterable[tuple[str, date]]) -> dict[tuple[str, date], bytes]:
        return self._pieces({where: partial(keys.part, *where) for where in wanted})

    # --- what members did ------------------------------------------------------------------------

    def did(self, member_ids: Iterable[str], day: date) -> dict[str, Doings]:
        """What these members did on a local day; who did nothing is absent."""
        wanted = {keys.did(member_id, day): member_id for member_id in member_ids}
        return {wanted[item["pk"], item["sk"]]: _doings(item) for item in self._batch_get(wanted)}

    def put_did(self, day: date, doings: Mapping[str, Doings]) -> None:
        """Write what members did on a local day: one item each, 25 a request."""
        self._write_many(
            [
                attributes(dict(zip(("pk", "sk"), keys.did(member_id, day), strict=True)) | done._asdict())
                for member_id, done in doings.items()
            ]
        )

    def days_of(self, member_id: str) -> list[date]:
        """The local days on which a member is known to have done something."""
        pk = keys.member(member_id)[0]
        items = self._query(
            KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
            ProjectionExpression="sk",
            ExpressionAttributeValues=attributes({":pk": pk, ":first": keys.FIRST_DAY, ":last": keys.LAST_DAY}),
        )
        return [date.fromisoformat(item["sk"].removeprefix(keys.FIRST_DAY)) for item in items]

    def forget_days(self, member_id: str, days: Iterable[date]) -> None:
        """Delete what a member did on these days: it is somebody else's, or nobody's."""
        self._write_many([], [keys.did(member_id, day) for day in days])

    def referees_of(self, member_ids: Iterable[str]) -> set[str]:
        """Which of these ids belong to referees whose attribution is settled; 100 a request."""
        found = self._batch_get(map(keys.attribution, member_ids))
        return {str(item["referee_id"]) for item in found}

    # --- marks and the lease ---------------------------------------------------------------------

    def mark(self, what: date | str, token: str, at: datetime) -> None:
        """Have a local day, or whatever days a member (by id) did something on, looked at again."""
        pk, sk = keys.dirty(str(what))
        self._write("put_item", Item=attributes({"pk": pk, "sk": sk, "token": token, "at": stamp(at)}))

    def marks(self) -> list[Mark]:
        """All that is to be looked at again, days in order and then members."""
        items = self._query(
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=attributes({":pk": keys.DIRTY}),
            ConsistentRead=True,
        )
        return [Mark(item["sk"], item["token"], datetime.fromisoformat(item["at"])) for item in items]

    def unmark(self, mark: Mark) -> bool:
        """Take a mark away; False when it was marked again meanwhile, or is gone."""
        return self._write(
            "delete_item",
            Key=key(keys.dirty(mark.what)),
            ConditionExpression="#token = :token",
            ExpressionAttributeNames={"#token": "token"},
            ExpressionAttributeValues=attributes({":token": mark.token}),
        )

    def begin_rolling(self, token: str, *, at: datetime, until: datetime) -> bool:
        """Be the only one to roll days up until then; False while somebody else is."""
        pk, sk = keys.ROLLING
        return self._write(
            "put_item",
            Item=attributes({"pk": pk, "sk": sk, "token": token, "until": stamp(until)}),
            ConditionExpression="attribute_not_exists(pk) OR #until < :at",
            ExpressionAttributeNames={"#until": "until"},
            ExpressionAttributeValues=attributes({":at": stamp(at)}),
        )

    def end_rolling(self, token: str) -> bool:
        """Let others roll days up; False when they do already."""
        return self._write(
            "delete_item",
            Key=key(keys.ROLLING),
            ConditionExpression="#token = :token",
            ExpressionAttributeNames={"#token": "token"},
            ExpressionAttributeValues=attributes({":token": token}),
        )

    # --- how -------------------------------------------------------------------------------------

    def _write_many(self, puts: Sequence[dict[str, Any]], deletes: Iterable[keys.Key] = ()) -> None:
        requests = [{"PutRequest": {"Item": item}} for item in puts]
        requests += [{"DeleteRequest": {"Key": key(one)}} for one in deletes]
        for at in range(0, len(requests), BATCH_WRITE):
            self._write_batch(requests[at : at + BATCH_WRITE])

    def _write_batch(self, requests: list[dict[str, Any]]) -> None:
        left: Any = {self._table: requests}
        for _ in range(5):
            with available():
                left = self._client.batch_write_item(RequestItems=left).get("UnprocessedItems")
            if not left:
                return
        raise Unavailable("the table left items of a batch unwritten")


def _chunked(old: BitMap, new: BitMap) -> Iterator[tuple[int, tuple[BitMap, BitMap]]]:
    """Both bitmaps chunk by chunk; what neither has anything of is left out."""
    last = max((bits.max() for bits in (old, new) if bits), default=-1)
    for chunk in range((last >> CHUNK_BITS) + 1):
        span = BitMap(range(chunk << CHUNK_BITS, (chunk + 1) << CHUNK_BITS))
        if (old | new) & span:
            yield chunk, (old & span, new & span)


def _numbers(content: bytes | None) -> list[int]:
    numbers: list[int] = json.loads(decompress(content)) if content else []
    return numbers


def _doings(item: Mapping[str, Any]) -> Doings:
    from shared.tally import Doings  # noqa: PLC0415

    return Doings(**{name: int(item.get(name, 0)) for name in Doings._fields})
