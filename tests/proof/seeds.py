"""One seed: its plan lived through with faults and without; what must hold in the end, and what must be the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pyroaring import BitMap

from shared.model import SendId, SendStatus
from shared.playbook import Playbook
from shared.store.wire import values
from tests.proof.house import House
from tests.proof.lived import Lived
from tests.proof.months import START, plan
from tests.proof.verdicts import SERVICE, End, end_of, mailed
from tests.proof.world import World

BY_MAIL = {"suppressions", "soft_bounces", "consent", "dormant_at", "woken_at"}
"""What a profile has of mails: of which mail, and when, depends on what happened to the mails."""

OWN = {"version", "ordinal", "level", "told_at", "created_at", *BY_MAIL}
"""What differs between two ways to the same profile."""


@dataclass(frozen=True)
class Outcome:
    """What a seed came to: how many calls were struck, by fault; what is wrong; and the last of what happened."""

    seed: int
    struck: Mapping[str, int]
    wrong: list[str]
    trace: list[str]


@dataclass(frozen=True)
class Facts:
    """What must be the same at the end of both lives, by name."""

    log: dict[str, str]
    people: dict[str, Any]
    referrals: dict[str, Any]
    steps: frozenset[str]
    days: dict[str, Any]


def run(seed: int, house: House, playbook: Playbook) -> Outcome:
    """Live a seed's plan twice, and compare."""
    planned = plan(seed)
    whole = Lived(house, playbook, planned, faulty=False)
    world = whole.live()
    facts, end = facts_of(world), end_of(world, START)
    lived = Lived(house, playbook, planned, faulty=True)
    struck_world = lived.live()
    found = list(_wrong(lived, end_of(struck_world, START), end))
    found += [f"without any fault: {one}" for one in (*whole.against_their_will, *end.wrong)]
    return Outcome(seed, lived.struck, found + list(_different(facts_of(struck_world), facts)), lived.trace)


def _wrong(lived: Lived, end: End, whole: End) -> Iterator[str]:
    """What must not be, whatever happened."""
    yield from lived.against_their_will
    yield from end.wrong
    for send_id, status in end.sends.items():
        told = not lived.lossy and SendId.parse(send_id).tag not in lived.world.told_late
        yield from mailed(send_id, end, ses_tells=told, parked=status == SendStatus.PARKED)
        if SendId.parse(send_id).programme in SERVICE and status not in {SendStatus.SENT, SendStatus.SKIPPED}:
            yield f"{send_id} is {status} in the end, though it must go"
    yield from (f"{name} was told {end.told[name]}" for name in whole.told if end.told[name] != whole.told[name])


def _different(facts: Facts, whole: Facts) -> Iterator[str]:
    for name, told in vars(facts).items():
        should = getattr(whole, name)
        if told == should:
            continue
        if isinstance(told, frozenset):
            yield f"{name}: {sorted(told ^ should)} in one of the two only"
            continue
        for key in sorted(told.keys() | should.keys()):
            if told.get(key) != should.get(key):
                yield f"{name}: {key}: {told.get(key)} instead of {should.get(key)}"


def facts_of(world: World) -> Facts:
    """What stands, so that two ways to it look alike."""
    items = [values(item) for item in world.items()]
    of = {(item["pk"], item["sk"]): item for item in items}
    profiles = {item["id"]: item for item in items if item["sk"] == "PROFILE"}
    whose = {int(profile["ordinal"]): member_id for member_id, profile in profiles.items()}
    return Facts(
        log={f"{pk} {sk}": _event(item) for (pk, sk), item in of.items() if pk.startswith("LOG#")},
        people={
            **{member_id: _without(profile, OWN) for member_id, profile in profiles.items()},
            **{pk: _survivor(item["member_id"], profiles) for (pk, sk), item in of.items() if sk == "IDENTITY"},
        },
        referrals={
            f"{pk} {sk}": [item.get(name) for name in ("status", "referrer_id", "gives", "reason", "because")]
            for (pk, sk), item in of.items()
            if sk.startswith(("REFERRAL#", "REWARD#", "ATTRIBUTION")) or pk == "REVIEW"
        },
        steps=frozenset(
            item["send_id"] for item in items if str(item.get("send_id", "")).startswith("onboarding/") and "sk" in item
        ),
        days=dict(_days(of, whose)),
    )


def _survivor(member_id: str, profiles: Mapping[str, Mapping[str, Any]]) -> str:
    """Who they are now: what leads to somebody who proved to be another is followed from there."""
    while into := profiles[member_id].get("merged_into"):
        member_id = into
    return member_id


def _event(item: Mapping[str, Any]) -> str:
    return json.dumps(_without(json.loads(item["event"]), {"received_at"}), sort_keys=True)


def _without(item: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in names}


def _days(of: Mapping[tuple[str, str], Mapping[str, Any]], whose: Mapping[int, str]) -> Iterator[tuple[str, Any]]:
    """Every figure of every day, who was what on it, and what members did."""
    for (pk, sk), item in of.items():
        if pk == "ROLLUP":
            told = json.loads(item["rollup"])
            yield f"{pk} {sk}", {name: told[name] for name in ("counts", "figures", "closed")}
        elif pk.startswith("ACTIVE#"):
            yield f"{pk} {sk}", sorted(whose[one] for one in BitMap.deserialize(bytes(item["bits"])))
        elif sk.startswith("DAY#"):
            yield f"{pk} {sk}", _without(item, {"pk", "sk"})
