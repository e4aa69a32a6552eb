"""What is held of a person, item by item, and the writes of an erasure. What remains is decided by `shared.erasing`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from shared.addresses import mark_of
from shared.model import Erased, Identity, stamp
from shared.store import keys
from shared.store.items import KEPT, expiry
from shared.store.table import Table
from shared.store.wire import attributes, key

Item = Mapping[str, Any]
"""An item as plain values, whatever it is."""

PAIRS = 40
"""Items that are moved in one transaction, which may have a hundred writes."""

FOUND_BY = 60
"""Of how many identities the last are let go of together with the profiles."""


class Erasure(Table):
    """Reads by person and not by purpose: for an export or an erasure, never on the way of a mail."""

    _salt: str | None = None

    # --- what is held ----------------------------------------------------------------------------

    def held_at(self, wanted: Iterable[keys.Key]) -> list[dict[str, Any]]:
        """These items, whatever they are; those that are not there are absent."""
        return self._batch_get(wanted)

    def held_in(self, partition: str) -> list[dict[str, Any]]:
        """Every item of a partition, as of now."""
        return list(
            self._query(
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues=attributes({":pk": partition}),
                ConsistentRead=True,
            )
        )

    def held_of_day(self, identity: Identity, day: date) -> list[dict[str, Any]]:
        """The log's items of one person on one platform on one UTC day."""
        pk, sk = keys.log(day, identity, "")
        return list(
            self._query(
                KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
                ExpressionAttributeValues=attributes({":pk": pk, ":sk": sk}),
                ConsistentRead=True,
            )
        )

    def read_through(self, partition: str) -> Iterator[dict[str, Any]]:
        """The items of a partition that is everybody's, page by page."""
        return self._query(KeyConditionExpression="pk = :pk", ExpressionAttributeValues=attributes({":pk": partition}))

    # --- what is remembered ----------------------------------------------------------------------

    def remembered(self, lookups: Iterable[keys.Key]) -> dict[keys.Key, Erased]:
        """What is remembered of identities and addresses that were erased; of who never was, nothing.

        While nobody ever was, it costs one small read, and else one more for each hundred.
        """
        wanted = list(lookups)
        salt = self._read_salt() if wanted else None
        if salt is None:
            return {}
        marks = {keys.erased(mark_of(lookup[0], salt)): lookup for lookup in wanted}
        found = self._batch_get(marks)
        return {marks[item["pk"], item["sk"]]: Erased.model_validate_json(item["erased"]) for item in found}

    def remember(self, memories: Mapping[keys.Key, Erased], salt: str) -> None:
        """Remember what must outlive a person. An identity for as long as the log is kept, an address for ever."""
        for lookup, erased in memories.items():
            pk, sk = keys.erased(mark_of(lookup[0], salt))
            ends = None if lookup[0].startswith(keys.ADDRESS) else expiry(erased.at, KEPT)
            item = {"pk": pk, "sk": sk, "erased": erased.model_dump_json(exclude_none=True), "expires_at": ends}
            self._write("put_item", Item=attributes(item))

    def salt(self, new: str) -> str:
        """What marks are made with: `new`, unless there is one already."""
        pk, sk = keys.SALT
        item = attributes({"pk": pk, "sk": sk, "salt": new})
        stands = self._write_or_old("put_item", Item=item, ConditionExpression="attribute_not_exists(pk)")
        return new if stands is None else str(stands["salt"])

    def _read_salt(self) -> str | None:
        if self._salt is None and (item := self._get(keys.SALT)) is not None:
            self._salt = str(item["salt"])  # it never changes
        return self._salt

    # --- the writes ------------------------------------------------------------------------------

    def begin_erasing(self, member_id: str, token: str, at: datetime) -> str:
        """Note that a member is being erased, unless it is noted; the token that the made-up names are made of."""
        pk, sk = keys.erasing(member_id)
        item = attributes({"pk": pk, "sk": sk, "token": token, "at": stamp(at)})
        stands = self._write_or_old("put_item", Item=item, ConditionExpression="attribute_not_exists(pk)")
        return token if stands is None else str(stands["token"])

    def put_whole(self, items: Iterable[Item]) -> None:
        """Put items as they are, whether or not they are there."""
        for item in items:
            self._write("put_item", Item=attributes(item))

    def replace(self, changes: Sequence[tuple[Item, Item | None]]) -> None:
        """Put what remains of each item in its place, in this order; where nothing does, delete it.

        An item and what it becomes are never there both, nor neither.
        """
        for at in range(0, len(changes), PAIRS):
            some = [change for change in changes[at : at + PAIRS] if change[0] != change[1]]
            if some and not self._write_all([write for change in some for write in self._writes(*change)]):
                # One of them has gone meanwhile, or is somebody else's work by now; the others are ours to do.
                for change in some:
                    self._write_all(self._writes(*change))

    def _writes(self, old: Item, new: Item | None) -> list[dict[str, Any]]:
        where = {"TableName": self._table, "Key": key((old["pk"], old["sk"]))}
        there = "attribute_exists(pk)"
        if new is None:
            return [{"Delete": where}]
        if (new["pk"], new["sk"]) == (old["pk"], old["sk"]):
            return [{"Update": {**where, **_update(old, new), "ConditionExpression": there}}]
        return [
            {"Put": {"TableName": self._table, "Item": attributes(new)}},
            {"Delete": {**where, "ConditionExpression": there}},
        ]

    def let_go(self, member_id: str, *, profiles: Mapping[str, int], found_by: Sequence[keys.Key]) -> bool:
        """Delete the profiles, by id and version, with that by which they are found and the note of the erasure.

        All of it or nothing; False when a profile has changed meanwhile, or is gone.
        """
        early, last = found_by[:-FOUND_BY], found_by[-FOUND_BY:]
        for one in early:
            self._write("delete_item", Key=key(one))
        deletes: list[dict[str, Any]] = [{"Key": key(one)} for one in (*last, keys.erasing(member_id))]
        deletes += [
            {
                "Key": key(keys.member(one)),
                "ConditionExpression": "version = :version",
                "ExpressionAttributeValues": attributes({":version": version}),
            }
            for one, version in profiles.items()
        ]
        return self._write_all([{"Delete": {"TableName": self._table, **one}} for one in deletes])


def _update(old: Item, new: Item) -> dict[str, Any]:
    """What changes, and nothing else: the rest may be somebody's work at this very moment."""
    changed = {name: value for name, value in new.items() if old.get(name) != value}
    gone = [name for name in old if name not in new]
    names = {f"#{at}": name for at, name in enumerate([*changed, *gone])}
    sets = ", ".join(f"#{at} = :{at}" for at in range(len(changed)))
    removes = ", ".join(f"#{at}" for at in range(len(changed), len(names)))
    parts = [f"SET {sets}" if sets else "", f"REMOVE {removes}" if removes else ""]
    values = attributes({f":{at}": value for at, value in enumerate(changed.values())})
    return {
        "UpdateExpression": " ".join(filter(None, parts)),
        "ExpressionAttributeNames": names,
        **({"ExpressionAttributeValues": values} if values else {}),
    }
