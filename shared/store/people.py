"""Members and their identities and addresses; every change is guarded by a version or put-if-absent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from shared.errors import Unavailable
from shared.model import Member
from shared.store import keys
from shared.store.items import member_of, plain
from shared.store.table import Table
from shared.store.wire import attributes, available, key, values

MERGES = 5
"""How often one person may have been merged on; a bound, so that a circle cannot hold anybody up."""


class People(Table):
    """Who is who."""

    def owners(self, lookups: Iterable[keys.Key], *, consistent: bool = True) -> dict[keys.Key, str]:
        """Whose these identities and addresses are: key -> member id; unknown ones are absent."""
        found = self._batch_get(lookups, consistent=consistent)
        return {(item["pk"], item["sk"]): item["member_id"] for item in found}

    def members(self, member_ids: Iterable[str], *, consistent: bool = True) -> dict[str, Member]:
        """These members by id; unknown ones are absent."""
        found = self._batch_get(map(keys.member, member_ids), consistent=consistent)
        return {item["id"]: member_of(item) for item in found}

    def member(self, member_id: str) -> Member | None:
        """One member as of now (a consistent read)."""
        item = self._get(keys.member(member_id))
        return member_of(item) if item else None

    def survivor(self, member_id: str) -> Member | None:
        """A member as of now, or who they were merged into since: for what still names them by their old id."""
        member = self.member(member_id)
        for _ in range(MERGES):
            if member is None or member.merged_into is None:
                break
            member = self.member(member.merged_into)
        return member

    def claim_ordinals(self, count: int) -> int:
        """Take `count` ordinals for new members; the first of them. A crash after this leaves a harmless gap."""
        with available():
            got = self._client.update_item(
                TableName=self._table,
                Key=key(keys.ORDINALS),
                UpdateExpression="ADD next_ordinal :count",
                ExpressionAttributeValues=attributes({":count": count}),
                ReturnValues="UPDATED_NEW",
            )
        return int(values(got["Attributes"])["next_ordinal"]) - count

    def create_member(self, member: Member) -> bool:
        """Put a new member unless there is one of this id."""
        pk, sk = keys.member(member.id)
        item = attributes({"pk": pk, "sk": sk, **plain(member)})
        return self._write("put_item", Item=item, ConditionExpression="attribute_not_exists(pk)")

    def own(self, lookup: keys.Key, member_id: str) -> str:
        """Make an identity or address this member's unless it is someone's; whose it is now."""
        item = attributes({"pk": lookup[0], "sk": lookup[1], "member_id": member_id})
        taken = self._write_or_old("put_item", Item=item, ConditionExpression="attribute_not_exists(pk)")
        return member_id if taken is None else str(taken["member_id"])

    def reown(self, lookup: keys.Key, member_id: str) -> None:
        """Give an identity or address to the member that another was merged into."""
        self._write("put_item", Item=attributes({"pk": lookup[0], "sk": lookup[1], "member_id": member_id}))

    def take_over(self, lookup: keys.Key, owner_id: str, member_id: str) -> bool:
        """Give an address that its owner no longer has to who has it now, if it is still that owner's."""
        return self._write(
            "put_item",
            Item=attributes({"pk": lookup[0], "sk": lookup[1], "member_id": member_id}),
            ConditionExpression="member_id = :owner",
            ExpressionAttributeValues=attributes({":owner": owner_id}),
        )

    def change_member(
        self, member_id: str, fold: Callable[[Member], Member], known: Member | None = None
    ) -> Member | None:
        """Fold something into a member, however many others do so at once; the member after it, None if unknown.

        When they are merged meanwhile, it is folded into who they were merged into, and that member is returned.
        `known` saves the read. Nothing is written when the fold changes nothing.
        """
        changed = self._change_one(known if known is not None else self.member(member_id), fold)
        for _ in range(MERGES):
            if changed is None or changed.merged_into is None:
                break
            changed = self._change_one(self.member(changed.merged_into), fold)
        return changed

    def merge_into(self, merged: Member, survivor_id: str) -> Member | None:
        """Let a member only point to who they proved to be, if they stand as they were read; None when they do.

        Else they stay, and are given as they stand now. Raises Unavailable when they are gone: they were erased.
        """
        newer = self._save(merged, merged.model_copy(update={"merged_into": survivor_id}))
        if newer == {}:
            raise Unavailable("a member was erased at the moment of being merged")
        return None if newer is None else member_of(newer)

    def _change_one(self, old: Member | None, fold: Callable[[Member], Member]) -> Member | None:
        while old is not None:
            new = fold(old)
            if new == old:
                return old
            newer = self._save(old, new)
            if newer is None:
                return new.model_copy(update={"version": old.version + 1})
            old = member_of(newer) if newer else None
        return None

    def _save(self, old: Member, new: Member) -> dict[str, Any] | None:
        """Write what differs; None when written, else the member as it stands now ({} when it is gone)."""
        before, after = plain(old), {**plain(new), "version": old.version + 1}
        changed = {name: value for name, value in after.items() if before.get(name) != value}
        gone = [name for name in before if name not in after]
        names = {f"#{at}": name for at, name in enumerate([*changed, *gone])}
        sets = ", ".join(f"#{at} = :{at}" for at in range(len(changed)))
        removes = ", ".join(f"#{at}" for at in range(len(changed), len(names)))
        return self._write_or_old(
            "update_item",
            Key=key(keys.member(old.id)),
            UpdateExpression=f"SET {sets}" + (f" REMOVE {removes}" if removes else ""),
            ConditionExpression="version = :version",
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=attributes(
                {f":{at}": value for at, value in enumerate(changed.values())} | {":version": old.version}
            ),
        )
