"""What is remembered beyond members and mails: news, attempts, the pulse of the mail, and the breaker."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import sha256

from shared.model import Attempt, News, Pause, SendId, stamp
from shared.store import keys
from shared.store.items import attempt_of, expiry, news_of, pause_of
from shared.store.table import Table
from shared.store.wire import attributes, available

PULSE_KEPT = timedelta(days=8)
"""How long single sends, bounces and complaints are kept for the breaker."""


class Facts(Table):
    """Facts with deterministic keys; each may be put as often as one likes."""

    # --- news ------------------------------------------------------------------------------------

    def publish(self, news: News) -> None:
        """Remember something that was published; told again, it changes nothing."""
        pk, sk = keys.news(news.published_at, sha256(news.url.encode()).hexdigest()[:20])
        # As text: DynamoDB has no place for the empty name that a title for all languages stands under.
        item = {"pk": pk, "sk": sk, "news": news.model_dump_json(), "expires_at": expiry(news.published_at)}
        self._write("put_item", Item=attributes(item))

    def published(self, since: datetime, until: datetime) -> Iterator[News]:
        """What was published after `since` and up to `until`, newest first, read page by page as it is asked for."""
        items = self._query(
            KeyConditionExpression="pk = :pk AND sk BETWEEN :since AND :until",
            ExpressionAttributeValues=attributes(
                {":pk": keys.NEWS, ":since": f"{stamp(since)}\x7f", ":until": f"{stamp(until)}\x7f"}
            ),
            ScanIndexForward=False,
            Limit=25,
        )
        return map(news_of, items)

    # --- attempts --------------------------------------------------------------------------------

    def note_attempt(self, attempt: Attempt) -> None:
        """Remember who was asked and who was held out."""
        pk, sk = keys.attempt(SendId.parse(attempt.send_id), attempt.at)
        plain = attempt.model_dump(mode="json") | {"expires_at": expiry(attempt.at)}
        self._write("put_item", Item=attributes({"pk": pk, "sk": sk, **plain}))

    def attempts(self, programme: str, since: datetime, until: datetime) -> Iterator[Attempt]:
        """A programme's attempts from `since` up to, not including, `until`, in order of time."""
        for partition in keys.attempt_partitions(programme, since, until):
            items = self._query(
                KeyConditionExpression="pk = :pk AND sk BETWEEN :since AND :until",
                ExpressionAttributeValues=attributes(
                    {":pk": partition, ":since": stamp(since), ":until": stamp(until)}
                ),
            )
            yield from map(attempt_of, items)

    # --- the breaker -----------------------------------------------------------------------------

    def note_pulse(self, kind: str, send_id: SendId, at: datetime) -> None:
        """Note that a mail was sent, bounced or was complained of; noted twice, it counts once."""
        pk, sk = keys.pulse(kind, send_id, at)
        self._write("put_item", Item=attributes({"pk": pk, "sk": sk, "expires_at": expiry(at, PULSE_KEPT)}))

    def pulse(self, kind: str, since: datetime, until: datetime) -> int:
        """How many mails were sent, bounced or were complained of from `since` up to, not including, `until`."""
        return sum(self._count(partition, kind, since, until) for partition in keys.pulse_partitions(since, until))

    def _count(self, partition: str, kind: str, since: datetime, until: datetime) -> int:
        values = {":pk": partition, ":since": f"{kind}#{stamp(since)}", ":until": f"{kind}#{stamp(until)}"}
        with available():
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                Select="COUNT",
                KeyConditionExpression="pk = :pk AND sk BETWEEN :since AND :until",
                ExpressionAttributeValues=attributes(values),
            )
            return sum(page["Count"] for page in pages)

    def pause(self) -> Pause | None:
        """The newest pause of marketing mail, if there ever was one; it is over when it was resumed."""
        item = self._get(keys.BREAKER)
        return pause_of(item) if item else None

    def trip(self, pause: Pause) -> bool:
        """Pause marketing mail unless it is paused."""
        pk, sk = keys.BREAKER
        return self._write(
            "put_item",
            Item=attributes({"pk": pk, "sk": sk, **pause.model_dump(mode="json")}),
            ConditionExpression="attribute_not_exists(pk) OR attribute_exists(resumed_at)",
        )

    def resume(self, at: datetime) -> bool:
        """Let marketing mail go on; False when it was not paused."""
        return self._write(
            "update_item",
            Key=attributes(dict(zip(("pk", "sk"), keys.BREAKER, strict=True))),
            UpdateExpression="SET resumed_at = :at",
            ConditionExpression="attribute_exists(pk) AND attribute_not_exists(resumed_at)",
            ExpressionAttributeValues=attributes({":at": stamp(at)}),
        )
