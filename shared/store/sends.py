"""The send ledger: claims fenced by a token, facts put if absent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from shared.model import Due, Member, Send, SendId, SendStatus, stamp
from shared.store import keys
from shared.store.items import due_of, expiry, member_of, send_item, send_of
from shared.store.table import Table
from shared.store.wire import attributes, key

QUEUED = timedelta(days=14)
"""How long a queue may bring a mail again, its dead letters among it."""


class Ledger(NamedTuple):
    """One person as the mailer needs to know them."""

    member: Member | None
    dues: list[Due]
    sends: list[Send]


class Line(NamedTuple):
    """A line of the ledger as the index keeps it: `feedback` is what SES told, kinds only."""

    send_id: SendId
    planned_at: datetime
    status: SendStatus
    feedback: frozenset[str]


LINE = ("planned_at", "status", "feedback")
"""What the index `sends` holds of a line besides its keys."""


class Sends(Table):
    """Every mail that was to be sent, and what became of it."""

    def ledger(self, member_id: str) -> Ledger:
        """A member, what is on the agenda for them and every line of their send ledger, as of now: one query."""
        items = self._query(
            KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
            ExpressionAttributeValues=attributes(
                {":pk": keys.member(member_id)[0], ":first": keys.FIRST_DUE, ":last": keys.LAST_SEND}
            ),
            ConsistentRead=True,
        )
        found = list(items)
        return Ledger(
            member=next((member_of(item) for item in found if item["sk"] == keys.PROFILE), None),
            dues=[due_of(item) for item in found if item["sk"].startswith(keys.FIRST_DUE)],
            sends=[send_of(item) for item in found if item["sk"].startswith("SEND#")],
        )

    def sends(self, send_ids: Iterable[str]) -> dict[str, Send]:
        """These lines of the ledger by id; those that are not there are absent."""
        found = self._batch_get(keys.send(SendId.parse(send_id)) for send_id in send_ids)
        return {item["send_id"]: send_of(item) for item in found}

    def planned(self, since: datetime, until: datetime) -> Iterator[Line]:
        """Every line of the ledger of a mail that was planned from `since` up to, not including, `until`.

        From an index, so what happened in the last second may be missing. A page of it holds some 6000 lines.
        """
        for partition in keys.planned_partitions(since, until):
            items = self._query(
                IndexName="sends",
                KeyConditionExpression="planned_on = :partition",
                ExpressionAttributeValues=attributes({":partition": partition}),
            )
            yield from (line for item in items if since <= (line := _line(item)).planned_at < until)

    def send(self, send_id: SendId) -> Send | None:
        """One line of the ledger as of now."""
        item = self._get(keys.send(send_id))
        return send_of(item) if item else None

    def claim(self, send: Send) -> Send | None:
        """Take a send for one worker, if nobody holds or has settled it; None when taken, else how it stands.

        A deferred send may be claimed again; every other state is somebody's or final. What SES told of it stays.
        """
        item = {name: value for name, value in send_item(send).items() if name not in {"pk", "sk"}}
        kept = {"feedback": "if_not_exists(#feedback, :feedback)"}
        sets = ", ".join(f"#{name} = {kept.get(name, f':{name}')}" for name in item)
        gone = ", ".join(f"#{name}" for name in Send.model_fields if name not in item)
        old = self._write_or_old(
            "update_item",
            Key=key(keys.send(SendId.parse(send.send_id))),
            UpdateExpression=f"SET {sets}" + (f" REMOVE {gone}" if gone else ""),
            ConditionExpression="attribute_not_exists(pk) OR #status = :deferred",
            ExpressionAttributeNames={f"#{name}": name for name in {*item, *Send.model_fields}},
            ExpressionAttributeValues={f":{name}": value for name, value in item.items()}
            | attributes({":deferred": SendStatus.DEFERRED.value}),
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

    def withdraw(self, claimed: Send, at: datetime, *, reason: str) -> bool:
        """Settle a claim as skipped and out of every count, to be gone once no queue can bring the mail again.

        False when the claim was lost meanwhile.
        """
        settled = {"status": SendStatus.SKIPPED.value, "at": stamp(at), "reason": reason}
        sets = settled | {"expires_at": expiry(at, QUEUED)}
        return self._write(
            "update_item",
            Key=key(keys.send(SendId.parse(claimed.send_id))),
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in sets) + " REMOVE planned_on",
            ConditionExpression="#token = :token AND #status = :held",
            ExpressionAttributeNames={"#token": "token"} | {f"#{name}": name for name in sets},
            ExpressionAttributeValues=attributes(
                {f":{name}": value for name, value in sets.items()}
                | {":token": claimed.token, ":held": claimed.status.value}
            ),
        )

    def skip(self, send: Send) -> bool:
        """Record a mail that will not be sent, unless its intent is in the ledger already."""
        return self._write("put_item", Item=send_item(send), ConditionExpression="attribute_not_exists(pk)")

    def note_feedback(self, send_id: SendId, kind: str, at: datetime) -> Send | None:
        """Note what SES told of a send, the earliest of its kind; the line as it is then, None when there is none."""
        noted = "feedback.#kind"
        _, line = self._try_write(
            "update_item",
            Key=key(keys.send(send_id)),
            UpdateExpression=f"SET {noted} = :at",
            ConditionExpression=f"attribute_exists(pk) AND (attribute_not_exists({noted}) OR {noted} > :at)",
            ExpressionAttributeNames={"#kind": kind},
            ExpressionAttributeValues=attributes({":at": stamp(at)}),
            ReturnValues="ALL_NEW",
        )
        return send_of(line) if line else None

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


def _line(item: Mapping[str, Any]) -> Line:
    send_id = SendId.parse(item["sk"].removeprefix("SEND#"))
    feedback = frozenset(item.get("feedback", {}))
    return Line(send_id, datetime.fromisoformat(item["planned_at"]), SendStatus(item["status"]), feedback)
