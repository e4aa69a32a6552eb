"""What is held of a person, item by item, and the writes of an erasure. What remains is decided by `shared.erasing`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from shared.addresses import mark_of
from shared.model import Erased, Identity, Suppression, stamp
from shared.store import keys
from shared.store.items import KEPT, expiry
from shared.store.table import Table
from shared.store.wire import attributes, key

Item = Mapping[str, Any]
"""An item as plain values, whatever it is."""

PAIRS = 40
"""Items that are moved in one transaction, which may have a hundred writes."""

FOUND_BY = 40
"""Of how many identities the last are let go of together with the profiles, and the notes on these."""

CHANGES = ("status", "feedback", "token", "announced_at", "fulfilled_at", "refused_at")
"""What anybody changes of an item that is moved: of a send, a referral or a reward."""


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
        return {marks[item["pk"], item["sk"]]: _erased_of(item) for item in self._batch_get(marks)}

    def remember(self, memories: Mapping[keys.Key, Erased], salt: str) -> None:
        """Remember what must outlive a person. An identity for as long as the log is kept, an address for ever."""
        for lookup, erased in memories.items():
            pk, sk = keys.erased(mark_of(lookup[0], salt))
            ends = None if lookup[0].startswith(keys.ADDRESS) else expiry(erased.at, KEPT)
            told = {"erased": erased.model_dump_json(exclude_none=True), "expires_at": ends}
            known = {name: value for name, value in told.items() if value is not None}
            self._write(
                "update_item",  # what bounced since stays
                Key=key((pk, sk)),
                UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in known),
                ExpressionAttributeValues=attributes({f":{name}": value for name, value in known.items()}),
            )

    def remember_bounce(self, hashed: str, suppression: Suppression) -> bool:
        """Remember that an address, given as its hash, bounced after it was erased; False where it was not.

        Costs one small read while nobody ever was.
        """
        salt = self._read_salt()
        return salt is not None and self._write(
            "update_item",
            Key=key(keys.erased(mark_of(keys.hashed_address(hashed)[0], salt))),
            UpdateExpression="SET bounced = if_not_exists(bounced, :bounced)",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues=attributes({":bounced": suppression.model_dump_json()}),
        )

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

    def begin_erasing(self, member_ids: Iterable[str], token: str, at: datetime) -> dict[str, str]:
        """Note of each id of a person that it is being erased, unless it is noted; id -> what its name is made of."""
        return {one: self._begin_erasing(one, token, at) for one in member_ids}

    def _begin_erasing(self, member_id: str, token: str, at: datetime) -> str:
        pk, sk = keys.erasing(member_id)
        item = attributes({"pk": pk, "sk": sk, "token": token, "at": stamp(at)})
        stands = self._write_or_old("put_item", Item=item, ConditionExpression="attribute_not_exists(pk)")
        return token if stands is None else str(stands["token"])

    def put_whole(self, items: Iterable[Item]) -> None:
        """Put items as they are, whether or not they are there."""
        for item in items:
            self._write("put_item", Item=attributes(item))

    def replace(self, changes: Sequence[tuple[Item, Item | None]]) -> int:
        """Put what remains of each item in its place, in this order, and where nothing does, delete it; how many.

        It ends before the first that has gone or changed since it was read, for what comes later may lead to it. An
        item and what it becomes are never there both, nor neither.
        """
        for at in range(0, len(changes), PAIRS):
            some = changes[at : at + PAIRS]
            if self._replace_all(some):
                continue
            for number, change in enumerate(some):
                if not self._replace_all([change]):
                    return at + number
        return len(changes)

    def _replace_all(self, changes: Sequence[tuple[Item, Item | None]]) -> bool:
        writes = [write for old, new in changes if old != new for write in self._writes(old, new)]
        return self._write_all(writes) if writes else True

    def _writes(self, old: Item, new: Item | None) -> list[dict[str, Any]]:
        where = {"TableName": self._table, "Key": key((old["pk"], old["sk"]))}
        if new is None:
            return [{"Delete": where}]
        if (new["pk"], new["sk"]) == (old["pk"], old["sk"]):
            return [{"Update": {**where, **_update(old, new), "ConditionExpression": "attribute_exists(pk)"}}]
        return [
            {"Put": {"TableName": self._table, "Item": attributes(new)}},
            {"Delete": {**where, **_as_read(old)}},
        ]

    def let_go(self, member_ids: Sequence[str], *, profiles: Mapping[str, int], found_by: Sequence[keys.Key]) -> bool:
        """Delete the profiles, by id and version, with that by which they are found and the notes of their erasure.

        All of it or nothing; False when a profile has changed meanwhile, or is gone.
        """
        early, last = found_by[:-FOUND_BY], found_by[-FOUND_BY:]
        for one in early:
            self._write("delete_item", Key=key(one))
        deletes: list[dict[str, Any]] = [{"Key": key(one)} for one in (*last, *map(keys.erasing, member_ids))]
        deletes += [
            {
                "Key": key(keys.member(one)),
                "ConditionExpression": "version = :version",
                "ExpressionAttributeValues": attributes({":version": version}),
            }
            for one, version in profiles.items()
        ]
        return self._write_all([{"Delete": {"TableName": self._table, **one}} for one in deletes])


def _erased_of(item: Item) -> Erased:
    """What a mark remembers, with what was told of the address since."""
    erased = Erased.model_validate_json(item["erased"])
    if "bounced" not in item:
        return erased
    return erased.model_copy(update={"suppression": Suppression.model_validate_json(item["bounced"])})


def _as_read(item: Item) -> dict[str, Any]:
    """The condition that an item stands as it was read, in all that anybody changes of one."""
    there = [name for name in CHANGES if name in item]
    absent = [f"attribute_not_exists(#{name})" for name in CHANGES if name not in item]
    same = [f"#{name} = :{name}" for name in there]
    return {
        "ConditionExpression": " AND ".join(["attribute_exists(pk)", *same, *absent]),
        "ExpressionAttributeNames": {f"#{name}": name for name in CHANGES},
        **({"ExpressionAttributeValues": attributes({f":{name}": item[name] for name in there})} if there else {}),
    }


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
