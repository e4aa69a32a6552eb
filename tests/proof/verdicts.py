"""How a world ended, and whether that is as good as the end of a world in which nothing went wrong."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.model import SendId, SendStatus
from tests.proof.world import Item, World

GRACE = timedelta(minutes=15)
"""How long the slowest of the ticks may leave lie what is due."""

_MOMENT = re.compile(r"20\d\d-\d\d-\d\dT\d\d(:\d\d(:\d\d(\.\d+)?)?)?(Z|\+00:00)?")
_OWN = frozenset({"token", "version", "expires_at", "ordinal"})
"""What differs between two ways to the same end: who wrote, how often, how late."""

_OF_A_SEND = ("status", "mail", "planned_at", "feedback")
"""What must be the same of a line of the ledger; the rest tells of the way it went."""

SERVICE = frozenset({"reports", "referrals", "operations"})
"""The programmes whose mails go at least once; all others' go at most once."""

_MEANS_NOTHING = ("ROLLING", "ORDINALS")


@dataclass(frozen=True)
class End:
    """A world that is quiet: its items by key, its mails, what others were told, and what should not be."""

    items: Mapping[str, str]
    sends: Mapping[str, str]
    accepted: Counter[str]
    told: Mapping[str, frozenset[str]]
    wrong: tuple[str, ...]


def end_of(world: World, since: datetime) -> End:
    """How a world stands; moments from `since` on are not told apart, for they are when the machine was at it."""
    items = [item for item in world.items() if item["pk"]["S"] not in _MEANS_NOTHING]
    on = {item["id"]["S"]: item["merged_into"]["S"] for item in items if "merged_into" in item}
    for item in items:
        if item["sk"]["S"] == "IDENTITY":  # whose it was leads to whose it is
            item["member_id"] = {"S": on.get(item["member_id"]["S"], item["member_id"]["S"])}
    sends = {item["send_id"]["S"]: item["status"]["S"] for item in items if "send_id" in item and _is_send(item)}
    return End(
        items={_blurred(_key(item), since): _said(item, since) for item in items},
        sends=sends,
        accepted=Counter(world.house.outside.accepted),
        told={
            "bus": frozenset(world.house.outside.on_bus),
            "receiver": frozenset(one.headers["webhook-id"] for one in world.house.receiver.deliveries),
        },
        wrong=tuple(_wrong(world, sends)),
    )


def violations(end: End, whole: End, *, ses_tells: bool) -> list[str]:
    """What is wrong with an end, measured by the one without faults; nothing when it is as good."""
    found = [*end.wrong]
    parked = set()
    for send_id, status in whole.sends.items():
        if end.sends.get(send_id) == SendStatus.PARKED and status == SendStatus.SENT:
            parked.add(send_id)
    for send_id in end.sends:
        found += mailed(send_id, end, ses_tells=ses_tells, parked=send_id in parked)
    about = {SendId.parse(send_id).tag for send_id in parked} | parked
    for key in sorted(end.items.keys() | whole.items.keys()):
        if end.items.get(key) != whole.items.get(key) and not any(one in key for one in about):
            found.append(f"{key}: {end.items.get(key)} instead of {whole.items.get(key)}")
    found += [f"{name} was told {sorted(end.told[name])}" for name in whole.told if end.told[name] != whole.told[name]]
    return found


def mailed(send_id: str, end: End, *, ses_tells: bool, parked: bool) -> Iterator[str]:
    """What is wrong about one mail, by the promise of its class."""
    accepted, status = end.accepted[SendId.parse(send_id).tag], end.sends[send_id]
    step = SendId.parse(send_id)
    service = step.programme in SERVICE
    if accepted > 1 and not (service and not ses_tells):
        yield f"{send_id} went out {accepted} times"
    if status == SendStatus.SENT and not accepted:
        yield f"{send_id} is sent by the ledger and never went out"
    if accepted and status != SendStatus.SENT and not (parked and not ses_tells):
        yield f"{send_id} went out and is {status} by the ledger"
    if parked and service:
        yield f"{send_id} is parked, though it must go at least once"


def _wrong(world: World, sends: Mapping[str, str]) -> Iterator[str]:
    """What must not be, however it came about."""
    for programme, due_at in world.due():
        if due_at + GRACE < world.now:
            yield f"{programme} is overdue since {due_at}"
    for name in ("mail", "rewards", "stream", "later"):
        if waiting := getattr(world.queues, name):
            yield f"{len(waiting)} still wait in {name}"
    yield from (f"dead letter: {one}" for one in world.queues.dead)
    held = {SendStatus.CLAIMED, SendStatus.UNKNOWN}
    yield from (f"{send_id} is {status} for ever" for send_id, status in sends.items() if status in held)
    tags = {SendId.parse(send_id).tag for send_id in sends}
    yield from (f"{tag} went out and is in no ledger" for tag in world.house.outside.accepted.keys() - tags)


def _is_send(item: Item) -> bool:
    return str(item["sk"]["S"]).startswith("SEND#")


def _key(item: Item) -> str:
    return f"{item['pk']['S']} {item['sk']['S']}"


def _said(item: Item, since: datetime) -> str:
    wanted = {name: value for name, value in item.items() if name not in _OWN | {"pk", "sk"}}
    if _is_send(item):
        wanted = {name: wanted.get(name, {}) for name in _OF_A_SEND}
    text = json.dumps(wanted, sort_keys=True, default=bytes.hex)
    is_due = item["sk"]["S"].startswith("DUE#")  # when it is due is what is asked of it
    return text if is_due else _blurred(text, since)


def _blurred(text: str, since: datetime) -> str:
    first = since.strftime("%Y-%m-%dT%H:%M")

    def then(found: re.Match[str]) -> str:
        moment = found.group()
        return "then" if moment[: len(first)] >= first[: len(moment)] else moment

    return _MOMENT.sub(then, text)


def summary(found: list[str]) -> Any:
    """The first of what is wrong, cut to a length that one can read."""
    return [one[:400] for one in found[:3]]
