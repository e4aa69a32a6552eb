"""The log of events: put-if-absent, read by person and day, and by when they came."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import chain

from shared.events import CommunityEvent
from shared.model import Identity
from shared.store import keys
from shared.store.items import event_of, expiry
from shared.store.table import Table
from shared.store.wire import Attributes, attributes


class Log(Table):
    """The events of the community, each once."""

    def log(self, events: Sequence[CommunityEvent]) -> int:
        """Put each event into the log unless it stands there; how many were new."""
        return sum(self._log_one(event) for event in events)

    def _log_one(self, event: CommunityEvent) -> bool:
        pk, sk = keys.log(event.occurred_at.date(), Identity(event.platform, event.actor), event.id)
        text = event.model_dump_json(exclude_none=True)
        kept_from = max(event.occurred_at, event.received_at)
        item = attributes({"pk": pk, "sk": sk, "event": text, "expires_at": expiry(kept_from), **_if_late(event)})
        absent = "attribute_not_exists(pk)"
        if event.timed:
            return self._write("put_item", Item=item, ConditionExpression=absent)
        guard = attributes({"pk": keys.seen(event.id)[0], "sk": "SEEN", "expires_at": expiry(kept_from)})
        # An event without a time of its own lands in the day it was received, and a retry after midnight would land
        # in the next: its guard and its log item are written together or not at all.
        return self._write_all(
            [
                {"Put": {"TableName": self._table, "Item": guard, "ConditionExpression": absent}},
                {"Put": {"TableName": self._table, "Item": item}},
            ]
        )

    def logged(self, identity: Identity, day: date) -> list[CommunityEvent]:
        """What one person did on one platform on one UTC day."""
        pk, sk = keys.log(day, identity, "")
        items = self._query(
            KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
            ExpressionAttributeValues=attributes({":pk": pk, ":sk": sk}),
        )
        return [event_of(item) for item in items]

    def entries(self, wanted: Iterable[keys.Key]) -> list[Attributes]:
        """These items of the log as the stream tells of them; those that are not there are absent."""
        return [attributes(item) for item in self._batch_get(wanted)]

    def entries_of(self, day: date) -> Iterator[Attributes]:
        """Every item of a UTC day of the log as the stream tells of it, read or not by this version."""
        for shard in range(keys.LOG_SHARDS):
            partition = attributes({":pk": keys.log_partition(day, shard)})
            yield from map(
                attributes, self._query(KeyConditionExpression="pk = :pk", ExpressionAttributeValues=partition)
            )

    def received(self, since: datetime, until: datetime) -> Iterator[Attributes]:
        """Every item of the log that was received from `since` to `until`, both included, whenever it had happened."""
        days = [since.date() + timedelta(days=number) for number in range((until.date() - since.date()).days + 1)]
        for entry in chain.from_iterable(map(self.entries_of, days)):
            if since <= _received_at(entry) <= until:
                yield entry
        # An event of these days that came on another of them stands in both.
        read = {keys.log_partition(day, shard) for day in days for shard in range(keys.LOG_SHARDS)}
        late = [where for where in self._late(since, until) if where[0] not in read]
        yield from (entry for entry in self.entries(late) if since <= _received_at(entry) <= until)

    def _late(self, since: datetime, until: datetime) -> Iterator[keys.Key]:
        """The keys of what came in these hours and is filed under another day than that of its coming."""
        for hour in keys.came_in_partitions(since, until):
            asked = {
                "KeyConditionExpression": "came_in = :hour",
                "ExpressionAttributeValues": attributes({":hour": hour}),
            }
            yield from ((item["pk"], item["sk"]) for item in self._query(IndexName="late", **asked))


def _if_late(event: CommunityEvent) -> dict[str, str]:
    """What has an event found by when it came, where that is not the UTC day that it is filed under."""
    late = event.occurred_at.date() != event.received_at.date()
    return {"came_in": keys.came_in(event.received_at)} if late else {}


def _received_at(entry: Attributes) -> datetime:
    return datetime.fromisoformat(json.loads(entry["event"]["S"])["received_at"])
