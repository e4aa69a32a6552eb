"""Many at once ask for the same, on the engine that is safe under threads: of each thing that is once, one wins.

AWS may also refuse transactions that meet, which the store raises as Unavailable; here they come one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

import pytest

from infra.local.ministack import MiniStack
from shared.model import SendStatus
from shared.store import Store
from tests.builders import JOINED, a_member, a_send
from tests.store.conftest import THREADS, dynamodb_of, made
from tests.store.test_facts import DAY, a_referral, a_reward, an_attribution
from tests.store.test_people import a_due

pytestmark = pytest.mark.local

Found = TypeVar("Found")


@pytest.fixture
def store(ministack: MiniStack, shape: dict[str, Any]) -> Iterator[Store]:
    yield from made(dynamodb_of(ministack), shape)


def at_once(ask: Callable[[int], Found], times: int = THREADS) -> list[Found]:
    """What that many get who all ask in the same moment, each with a number of their own."""
    together = Barrier(times)

    def one(number: int) -> Found:
        together.wait()
        return ask(number)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))


def test_of_fifty_claims_of_a_send_exactly_one_wins(store: Store) -> None:
    claims = [a_send(status=SendStatus.CLAIMED, token=f"t{number}", lease_until=JOINED) for number in range(THREADS)]
    taken = at_once(lambda number: store.claim(claims[number]))
    [winner] = [claim for claim, stands in zip(claims, taken, strict=True) if stands is None]
    assert [stands for stands in taken if stands is not None] == [winner] * (THREADS - 1)


def test_of_fifty_grants_of_a_reward_exactly_one_grants(store: Store) -> None:
    store.create_member(a_member())
    store.settle_referral(a_referral("qualified", qualified_at=JOINED), was=None)
    counts = a_referral("qualified")
    granted = at_once(lambda n: store.grant(a_reward(because=f"m{n}"), to=a_member(), by=counts, level="gold"))
    assert granted.count(True) == 1
    standing = store.reward(a_member().id, "badge")
    assert standing is not None
    assert standing.because == f"m{granted.index(True)}"
    member = store.member(a_member().id)
    assert member is not None
    assert (member.level, member.version) == ("gold", 1)
    assert len(list(store.milestones("granted", JOINED, JOINED + DAY))) == 1


def test_of_many_changes_of_a_member_none_is_lost(store: Store) -> None:
    store.create_member(a_member())

    def pay(number: int) -> None:
        store.change_member(
            a_member().id, lambda one: one.model_copy(update={"payers": one.payers | {f"p{number:02}"}})
        )

    changes = 25  # each that loses begins anew, so that many cost half their square
    at_once(pay, changes)
    member = store.member(a_member().id)
    assert member is not None
    assert (len(member.payers), member.version) == (changes, changes)


def test_fifty_takers_of_ordinals_get_fifty_of_them(store: Store) -> None:
    assert sorted(at_once(lambda _: store.claim_ordinals(1))) == list(range(THREADS))


def test_of_fifty_who_move_an_agenda_item_one_does(store: Store) -> None:
    store.arm(a_due())
    moved = at_once(lambda number: store.advance(a_due(), a_due(hours=number + 1)))
    assert moved.count(True) == 1
    assert store.agenda() == [a_due(hours=moved.index(True) + 1, version=1)]


def test_fifty_who_brought_a_referee_settle_on_one(store: Store) -> None:
    settled = at_once(lambda number: store.attribute(an_attribution(referrer_id=f"m{number:02}")))
    assert len({one.referrer_id for one in settled}) == 1


def test_of_fifty_who_want_to_roll_days_up_one_may(store: Store) -> None:
    assert at_once(lambda n: store.begin_rolling(f"t{n}", at=JOINED, until=JOINED + DAY)).count(True) == 1
