"""Batches and pages that come in parts, as the table in memory alone does it: what was left out comes after all."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.errors import Unavailable
from shared.store import Store
from shared.tally import Doings
from tests.builders import JOINED, a_member
from tests.proof.dynamo import Dynamo, answered_by
from tests.store.conftest import ANYBODY

DAY = JOINED.date()


@pytest.fixture
def table() -> Dynamo:
    return Dynamo()


@pytest.fixture
def store(table: Dynamo) -> Store:
    client = ANYBODY.client("dynamodb")
    answered_by(client, table.answer)
    return Store(client, "flywheel")


def most(count: int) -> int:
    """Of what was asked for, some is left."""
    return count - count // 4


def test_what_a_batch_left_unwritten_is_written_after_all(table: Dynamo, store: Store) -> None:
    doings = {f"m{number}": Doings(posts=number) for number in range(40)}
    table.part = most
    store.put_did(DAY, doings)
    table.part = lambda count: count
    assert store.did(doings, DAY) == doings


def test_what_a_batch_left_unread_is_read_after_all(table: Dynamo, store: Store) -> None:
    for number in range(40):
        store.create_member(a_member(id=f"m{number}", ordinal=number))
    table.part = most
    assert len(store.members([f"m{number}" for number in range(40)])) == 40


def test_a_page_that_ends_early_is_followed_by_the_next(table: Dynamo, store: Store) -> None:
    for number in range(40):
        store.mark(DAY + timedelta(days=number), "token", JOINED)
    table.part = most
    assert len(store.marks()) == 40


def test_a_batch_of_which_nothing_is_ever_done_is_not_done(table: Dynamo, store: Store) -> None:
    table.part = lambda _: 0
    with pytest.raises(Unavailable, match="unwritten"):
        store.put_did(DAY, {"m1": Doings(posts=1)})
    with pytest.raises(Unavailable, match="unread"):
        store.members(["m1"])
