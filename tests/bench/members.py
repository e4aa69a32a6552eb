"""The people that the benchmarks are about, as the table's items."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from shared.model import Due, Identity, Member, member_id_of
from shared.programmes import onboarding
from shared.store import keys
from shared.store.items import due_item, plain
from shared.store.wire import attributes
from tests.builders import JOINED, a_member, at


def the_function(name: str) -> Any:
    """A module of functions/, told its name as the stack tells it, before it is imported."""
    os.environ |= {"POWERTOOLS_METRICS_NAMESPACE": "Flywheel", "POWERTOOLS_SERVICE_NAME": name}
    return import_module(f"functions.{name}")


def a_known_member(number: int) -> Member:
    """One who joined a year ago, has posted, and did something today."""
    return a_member(
        id=member_id_of(Identity("slack", f"U{number}")),
        ordinal=number,
        created_at=at("2029-01-01T00:00Z"),
        identities=frozenset({f"slack:U{number}"}),
        email=f"member{number}@example.com",
        joined_at=at("2029-01-01T00:00Z"),
        last_active_at=at("2030-01-01T00:30Z"),
        first_post_at=at("2029-02-01T00:00Z"),
    )


def a_new_member(number: int) -> Member:
    """One who has just joined."""
    who = f"U{number}"
    return a_member(
        id=member_id_of(Identity("slack", who)),
        ordinal=number,
        identities=frozenset({f"slack:{who}"}),
        email=f"member{number}@example.com",
    )


def enrolled(member: Member, **changes: Any) -> Due:
    """Their onboarding on the agenda, due when they joined unless it is changed."""
    joined_at = member.joined_at or JOINED
    state = onboarding.Enrolment(joined_at).written()
    due: dict[str, Any] = {"programme": onboarding.NAME, "member_id": member.id, "key": onboarding.KEY}
    return Due(**{**due, "due_at": joined_at, "state": state, **changes})


def items_of(people: Iterable[Member]) -> Iterator[dict[str, Any]]:
    """The table's items of these people and their identities."""
    for member in people:
        pk, sk = keys.member(member.id)
        yield attributes({"pk": pk, "sk": sk, **plain(member)})
        for identity in member.identities:
            pk, sk = keys.identity(Identity(*identity.split(":", 1)))
            yield attributes({"pk": pk, "sk": sk, "member_id": member.id})


def agenda_of(dues: Iterable[Due], plan: str) -> Iterator[dict[str, Any]]:
    """The table's items of an agenda that has been arranged by a plan."""
    yield from map(due_item, dues)
    for shard in range(keys.AGENDA_SHARDS):
        pk, sk = keys.plan(onboarding.NAME, shard)
        partition = keys.agenda_partition(onboarding.NAME, shard)
        yield attributes({"pk": pk, "sk": sk, "agenda": partition, "due_at": keys.FIRST_DUE_AT, "plan": plan})
