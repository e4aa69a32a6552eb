"""The agenda: what is to happen later, each item guarded by its version."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from shared.model import Due
from shared.store import keys
from shared.store.items import due_item, due_of
from shared.store.table import Table
from shared.store.wire import attributes, available, key, values


class Agenda(Table):
    """Everything that is due some time."""

    def due(self, programme: str, shard: int, now: datetime, page: int) -> Iterator[tuple[str | None, list[Due]]]:
        """What is due in one shard, oldest first, in pages; with the first page, the plan it was last arranged by.

        The index is eventually consistent: an item may be gone or moved already, which the version on every change
        finds out.
        """
        pages = self._pages(
            IndexName="agenda",
            KeyConditionExpression="agenda = :shard AND due_at <= :now",
            ExpressionAttributeValues=attributes(
                {":shard": keys.agenda_partition(programme, shard), ":now": keys.due_at(now)}
            ),
            Limit=page,
        )
        for items in pages:
            plan = next((item["plan"] for item in items if "plan" in item), None)
            yield plan, [due_of(item) for item in items if "plan" not in item]

    def upcoming(self, programme: str, shard: int) -> Iterator[Due]:
        """All of one shard's agenda, due or not: only for rearranging it after its plan has changed."""
        items = self._query(
            IndexName="agenda",
            KeyConditionExpression="agenda = :shard AND due_at > :first",
            ExpressionAttributeValues=attributes(
                {":shard": keys.agenda_partition(programme, shard), ":first": keys.FIRST_DUE_AT}
            ),
        )
        return map(due_of, items)

    def coming(self, programme: str, since: datetime, until: datetime) -> int:
        """How many items of a programme come due from `since` to `until`: counted, none is read."""
        count = 0
        for shard in range(keys.AGENDA_SHARDS):
            values = {
                ":shard": keys.agenda_partition(programme, shard),
                ":since": keys.due_at(since),
                ":until": keys.due_at(until),
            }
            with available():
                pages = self._client.get_paginator("query").paginate(
                    TableName=self._table,
                    IndexName="agenda",
                    Select="COUNT",
                    KeyConditionExpression="agenda = :shard AND due_at BETWEEN :since AND :until",
                    ExpressionAttributeValues=attributes(values),
                )
                count += sum(page["Count"] for page in pages)
        return count

    def agenda(self) -> list[Due]:
        """The whole agenda of all programmes, soonest first: for a look by a person, never on the way of a mail."""
        items: list[dict[str, Any]] = []
        with available():
            for page in self._client.get_paginator("scan").paginate(TableName=self._table, IndexName="agenda"):
                items += map(values, page["Items"])
        return sorted((due_of(item) for item in items if "plan" not in item), key=lambda due: due.due_at)

    def set_plan(self, programme: str, shard: int, plan: str) -> None:
        """Remember what plan a shard has been arranged by."""
        pk, sk = keys.plan(programme, shard)
        partition = keys.agenda_partition(programme, shard)
        self._write(
            "put_item",
            Item=attributes({"pk": pk, "sk": sk, "agenda": partition, "due_at": keys.FIRST_DUE_AT, "plan": plan}),
        )

    def arm(self, due: Due) -> bool:
        """Put an item on the agenda unless it is there."""
        return self._write("put_item", Item=due_item(due), ConditionExpression="attribute_not_exists(pk)")

    def rearm(self, due: Due) -> None:
        """Put an item on the agenda whether or not it is there; who was about to move the old one no longer can."""
        names = ("programme", "member_id", "key", "due_at", "state", "agenda")
        sets = ", ".join(f"#{name} = :{name}" for name in names)
        item = due_item(due)
        self._write(
            "update_item",
            Key=key(keys.due(due.programme, due.member_id, due.key)),
            UpdateExpression=f"SET {sets}, #version = if_not_exists(#version, :zero) + :one",
            ExpressionAttributeNames={f"#{name}": name for name in names} | {"#version": "version"},
            ExpressionAttributeValues={f":{name}": item[name] for name in names} | attributes({":zero": 0, ":one": 1}),
        )

    def advance(self, due: Due, moved: Due) -> bool:
        """Replace an agenda item, if nobody else has moved it."""
        item = due_item(moved.model_copy(update={"version": due.version + 1}))
        return self._write(
            "put_item",
            Item=item,
            **_unmoved(due),
        )

    def done(self, due: Due) -> bool:
        """Take an item off the agenda, if nobody else has moved it."""
        return self._write(
            "delete_item",
            Key=key(keys.due(due.programme, due.member_id, due.key)),
            **_unmoved(due),
        )

    def wake(self, programme: str, member_id: str, item_key: str, at: datetime) -> bool:
        """Have an item looked at anew, at `at` or when it is due before; False when there is none."""
        brought_forward = self._write(
            "update_item",
            Key=key(keys.due(programme, member_id, item_key)),
            UpdateExpression="SET due_at = :at, version = version + :one",
            ConditionExpression="due_at > :at",
            ExpressionAttributeValues=attributes({":at": keys.due_at(at), ":one": 1}),
        )
        return brought_forward or self.fence(programme, member_id, item_key)

    def fence(self, programme: str, member_id: str, item_key: str) -> bool:
        """Let nobody move an item who has read it before: more is known now than they decided on; False without one."""
        return self._write(
            "update_item",
            Key=key(keys.due(programme, member_id, item_key)),
            UpdateExpression="SET version = version + :one",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues=attributes({":one": 1}),
        )


def _unmoved(due: Due) -> dict[str, Any]:
    """The condition that an item is still this one: one that was done and put there anew begins at version 0 again."""
    return {
        "ConditionExpression": "version = :version AND due_at = :due_at",
        "ExpressionAttributeValues": attributes({":version": due.version, ":due_at": keys.due_at(due.due_at)}),
    }
