"""The one door to the DynamoDB table: a method an access pattern, conditions next to the writes.

Knows no programme and no clock. Every write is put-if-absent, guarded by a version, or guarded by a token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shared.errors import Unavailable
from shared.events import EVENT, CommunityEvent
from shared.model import Due, Identity, Member, Send, SendId, SendStatus, stamp
from shared.store import keys
from shared.store.wire import attributes, available, condition_failed, key, values

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEPT = timedelta(days=400)
"""How long events and the send ledger are kept: beyond every retry, redrive and yearly comparison."""

BATCH = 100

SETS = {"identities", "active_days", "absorbed"}
"""Fields of a member that are sets, kept in order so that the same member is the same item."""

MERGES = 5
"""How often one person may have been merged on; a bound, so that a circle cannot hold anybody up."""


class Store:
    """The table, as the rest of Flywheel sees it. Raises Unavailable when DynamoDB is throttled or away."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    # --- the log ---------------------------------------------------------------------------------

    def log(self, events: Sequence[CommunityEvent]) -> int:
        """Put each event into the log unless it stands there; how many were new."""
        return sum(self._log_one(event) for event in events)

    def _log_one(self, event: CommunityEvent) -> bool:
        pk, sk = keys.log(event.occurred_at.date(), Identity(event.platform, event.actor), event.id)
        text = event.model_dump_json(exclude_none=True)
        kept_from = max(event.occurred_at, event.received_at)
        item = attributes({"pk": pk, "sk": sk, "event": text, "expires_at": _expiry(kept_from)})
        absent = "attribute_not_exists(pk)"
        if event.timed:
            return self._write("put_item", Item=item, ConditionExpression=absent)
        guard = attributes({"pk": keys.seen(event.id)[0], "sk": "SEEN", "expires_at": _expiry(kept_from)})
        # An event without a time of its own lands in the day it was received, and a retry after midnight would land
        # in the next: its guard and its log item are written together or not at all.
        with available():
            try:
                self._client.transact_write_items(
                    TransactItems=[
                        {"Put": {"TableName": self._table, "Item": guard, "ConditionExpression": absent}},
                        {"Put": {"TableName": self._table, "Item": item}},
                    ]
                )
            except ClientError as exc:
                if not condition_failed(exc):
                    raise
                return False
        return True

    def logged(self, identity: Identity, day: date) -> list[CommunityEvent]:
        """What one person did on one platform on one UTC day."""
        pk, sk = keys.log(day, identity, "")
        items = self._query(
            KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
            ExpressionAttributeValues=attributes({":pk": pk, ":sk": sk}),
        )
        return [event_of(item) for item in items]

    # --- members and identities ------------------------------------------------------------------

    def owners(self, lookups: Iterable[keys.Key]) -> dict[keys.Key, str]:
        """Whose these identities and addresses are: key -> member id; unknown ones are absent."""
        found = self._batch_get(lookups)
        return {(item["pk"], item["sk"]): item["member_id"] for item in found}

    def members(self, member_ids: Iterable[str]) -> dict[str, Member]:
        """These members by id; unknown ones are absent."""
        found = self._batch_get(map(keys.member, member_ids))
        return {item["id"]: member_of(item) for item in found}

    def member(self, member_id: str) -> Member | None:
        """One member as of now (a consistent read)."""
        with available():
            got = self._client.get_item(TableName=self._table, Key=key(keys.member(member_id)), ConsistentRead=True)
        return member_of(values(got["Item"])) if "Item" in got else None

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
        item = attributes({"pk": pk, "sk": sk, **_plain(member)})
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

    def merge_into(self, merged_id: str, survivor_id: str) -> Member | None:
        """Let a member only point to who they proved to be; the member at that moment, with all that was folded in."""
        mark = {"merged_into": survivor_id}
        return self._change_one(self.member(merged_id), lambda current: current.model_copy(update=mark))

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
        before, after = _plain(old), {**_plain(new), "version": old.version + 1}
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

    # --- the agenda ------------------------------------------------------------------------------

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
        return self._write("put_item", Item=_due_item(due), ConditionExpression="attribute_not_exists(pk)")

    def rearm(self, due: Due) -> None:
        """Put an item on the agenda whether or not it is there; who was about to move the old one no longer can."""
        names = ("programme", "member_id", "key", "due_at", "state", "agenda")
        sets = ", ".join(f"#{name} = :{name}" for name in names)
        item = _due_item(due)
        self._write(
            "update_item",
            Key=key(keys.due(due.programme, due.member_id, due.key)),
            UpdateExpression=f"SET {sets}, #version = if_not_exists(#version, :zero) + :one",
            ExpressionAttributeNames={f"#{name}": name for name in names} | {"#version": "version"},
            ExpressionAttributeValues={f":{name}": item[name] for name in names} | attributes({":zero": 0, ":one": 1}),
        )

    def advance(self, due: Due, moved: Due) -> bool:
        """Replace an agenda item, if nobody else has moved it."""
        item = _due_item(moved.model_copy(update={"version": due.version + 1}))
        return self._write(
            "put_item",
            Item=item,
            ConditionExpression="version = :version",
            ExpressionAttributeValues=attributes({":version": due.version}),
        )

    def done(self, due: Due) -> bool:
        """Take an item off the agenda, if nobody else has moved it."""
        return self._write(
            "delete_item",
            Key=key(keys.due(due.programme, due.member_id, due.key)),
            ConditionExpression="version = :version",
            ExpressionAttributeValues=attributes({":version": due.version}),
        )

    def wake(self, programme: str, member_id: str, item_key: str, at: datetime) -> bool:
        """Bring an item forward to `at`; False when there is none, or it is due before."""
        return self._write(
            "update_item",
            Key=key(keys.due(programme, member_id, item_key)),
            UpdateExpression="SET due_at = :at, version = version + :one",
            ConditionExpression="due_at > :at",
            ExpressionAttributeValues=attributes({":at": keys.due_at(at), ":one": 1}),
        )

    # --- the send ledger -------------------------------------------------------------------------

    def ledger(self, member_id: str) -> tuple[Member | None, list[Send]]:
        """A member and every line of their send ledger, as of now: one consistent query."""
        items = self._query(
            KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
            ExpressionAttributeValues=attributes(
                {":pk": keys.member(member_id)[0], ":first": keys.PROFILE, ":last": keys.LAST_SEND}
            ),
            ConsistentRead=True,
        )
        found = list(items)
        member = next((member_of(item) for item in found if item["sk"] == keys.PROFILE), None)
        return member, [send_of(item) for item in found if item["sk"].startswith("SEND#")]

    def send(self, send_id: SendId) -> Send | None:
        """One line of the ledger as of now."""
        with available():
            got = self._client.get_item(TableName=self._table, Key=key(keys.send(send_id)), ConsistentRead=True)
        return send_of(values(got["Item"])) if "Item" in got else None

    def claim(self, send: Send) -> Send | None:
        """Take a send for one worker, if nobody holds or has settled it; None when taken, else how it stands.

        A deferred send may be claimed again; every other state is somebody's or final.
        """
        old = self._write_or_old(
            "put_item",
            Item=_send_item(send),
            ConditionExpression="attribute_not_exists(pk) OR #status = :deferred",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues=attributes({":deferred": SendStatus.DEFERRED.value}),
        )
        return None if old is None else send_of(old)

    def settle(self, claimed: Send, status: SendStatus, at: datetime, **changes: str | datetime | None) -> bool:
        """Move a send on from a claim; False when the claim was lost meanwhile (its token is the fence)."""
        sets = {"status": status.value, "at": stamp(at)} | {
            name: stamp(value) if isinstance(value, datetime) else value
            for name, value in changes.items()
            if value is not None
        }
        return self._write(
            "update_item",
            Key=key(keys.send(SendId.parse(claimed.send_id))),
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in sets),
            # SES's own Send event may have settled it as sent before we could: then the rest is still ours to add.
            ConditionExpression="#token = :token AND #status IN (:held, :settled)",
            ExpressionAttributeNames={"#token": "token"} | {f"#{name}": name for name in sets},
            ExpressionAttributeValues=attributes(
                {f":{name}": value for name, value in sets.items()}
                | {":token": claimed.token, ":held": claimed.status.value, ":settled": status.value}
            ),
        )

    def skip(self, send: Send) -> bool:
        """Record a mail that will not be sent, unless its intent is in the ledger already."""
        return self._write("put_item", Item=_send_item(send), ConditionExpression="attribute_not_exists(pk)")

    def note_feedback(self, send_id: SendId, kind: str, at: datetime) -> bool:
        """Note once what SES told of a send; False when the send is not in the ledger."""
        return self._write(
            "update_item",
            Key=key(keys.send(send_id)),
            UpdateExpression="SET feedback.#kind = if_not_exists(feedback.#kind, :at)",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeNames={"#kind": kind},
            ExpressionAttributeValues=attributes({":at": stamp(at)}),
        )

    def note_sent(self, send_id: SendId, message_id: str, at: datetime) -> bool:
        """Settle a send that SES says it accepted, whatever we believed; False when it was settled or is unknown."""
        return self._write(
            "update_item",
            Key=key(keys.send(send_id)),
            UpdateExpression="SET #status = :sent, message_id = :message, #at = :at REMOVE reason, #until",
            ConditionExpression="attribute_exists(pk) AND NOT (#status IN (:sent, :skipped))",
            ExpressionAttributeNames={"#status": "status", "#at": "at", "#until": "until"},
            ExpressionAttributeValues=attributes(
                {
                    ":sent": SendStatus.SENT.value,
                    ":skipped": SendStatus.SKIPPED.value,
                    ":message": message_id,
                    ":at": stamp(at),
                }
            ),
        )

    # --- the local stack's clock -----------------------------------------------------------------

    def local_clock(self) -> datetime | None:
        """The instant that the local stack has set, if any."""
        with available():
            got = self._client.get_item(TableName=self._table, Key=key(keys.LOCAL_CLOCK), ConsistentRead=True)
        return datetime.fromisoformat(values(got["Item"])["now"]) if "Item" in got else None

    # --- how ---------------------------------------------------------------------------------------

    def _write(self, operation: str, **request: Any) -> bool:  # noqa: ANN401 - boto3's request
        return self._write_or_old(operation, **request) is None

    def _write_or_old(self, operation: str, **request: Any) -> dict[str, Any] | None:  # noqa: ANN401 - boto3's request
        """None when written, else the item that the condition refused ({} when there is none)."""
        if "ConditionExpression" in request:
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        with available():
            try:
                getattr(self._client, operation)(TableName=self._table, **request)
            except ClientError as exc:
                if not condition_failed(exc):
                    raise
                response: dict[str, Any] = dict(exc.response)
                return values(response.get("Item", {}))
        return None

    def _query(self, **request: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - boto3's request
        for items in self._pages(**request):
            yield from items

    def _pages(self, **request: Any) -> Iterator[list[dict[str, Any]]]:  # noqa: ANN401 - boto3's request
        start: dict[str, Any] = {}
        while True:
            with available():
                got = self._client.query(TableName=self._table, **request, **start)
            yield [values(item) for item in got["Items"]]
            if "LastEvaluatedKey" not in got:
                return
            start = {"ExclusiveStartKey": got["LastEvaluatedKey"]}

    def _batch_get(self, wanted: Iterable[keys.Key]) -> list[dict[str, Any]]:
        unique = list(dict.fromkeys(wanted))
        found: list[dict[str, Any]] = []
        for at in range(0, len(unique), BATCH):
            request: Any = {
                self._table: {"Keys": [key(one) for one in unique[at : at + BATCH]], "ConsistentRead": True}
            }
            for _ in range(5):
                with available():
                    got = self._client.batch_get_item(RequestItems=request)
                found += map(values, got["Responses"].get(self._table, []))
                request = got.get("UnprocessedKeys")
                if not request:
                    break
            else:
                raise Unavailable("the table left keys of a batch unread")
        return found


def event_of(item: dict[str, Any]) -> CommunityEvent:
    """A log item's event."""
    return EVENT.validate_json(item["event"])


def member_of(item: dict[str, Any]) -> Member:
    """A profile item's member."""
    return Member.model_validate({name: item[name] for name in Member.model_fields if name in item})


def send_of(item: dict[str, Any]) -> Send:
    """A ledger item's send."""
    return Send.model_validate({name: item[name] for name in Send.model_fields if name in item})


def due_of(item: dict[str, Any]) -> Due:
    """An agenda item's due."""
    return Due.model_validate({name: item[name] for name in Due.model_fields if name in item})


def _plain(member: Member) -> dict[str, Any]:
    plain = member.model_dump(mode="json", exclude_none=True)
    return {name: sorted(value) if name in SETS else value for name, value in plain.items()}


def _due_item(due: Due) -> dict[str, Any]:
    pk, sk = keys.due(due.programme, due.member_id, due.key)
    plain = due.model_dump(mode="json") | {"due_at": keys.due_at(due.due_at)}
    return attributes({"pk": pk, "sk": sk, "agenda": keys.agenda(due.programme, due.member_id), **plain})


def _send_item(send: Send) -> dict[str, Any]:
    pk, sk = keys.send(SendId.parse(send.send_id))
    plain = send.model_dump(mode="json", exclude_none=True)
    return attributes({"pk": pk, "sk": sk, "expires_at": _expiry(send.planned_at), **plain})


def _expiry(start: datetime) -> int:
    return int((start + KEPT).timestamp())
