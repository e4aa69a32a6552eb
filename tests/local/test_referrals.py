"""Referrals under fire on the deployed stack: every cause many times at once, and every reward exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from random import Random

import pytest

from infra.local.demo import SECRETS
from infra.local.mailboxes import address_of
from infra.local.receiver import FAILURES, Receiver
from infra.local.signing import sign
from infra.local.stack import LocalStack
from infra.local.voices import as_json, iso
from shared.model import Attribution, Identity, SendStatus, member_id_of
from shared.signing import Signer
from shared.store import Store
from tests.builders import at

pytestmark = pytest.mark.local

AT_ONCE, TIMES = 16, 5
MORNING = at("2027-05-03T07:00Z")
SETTLED = MORNING + timedelta(days=1, minutes=5)
HELD = MORNING + timedelta(days=8)
TRIED_AGAIN = (timedelta(minutes=1), timedelta(minutes=10))
"""After so long the receiver, which refuses one reward twice, has been told again."""

REFERRERS = ("ada", "bo")
REFEREES = [f"friend-{number}" for number in range(10)]


def event(message_id: str, kind: str, moment: datetime, **told: object) -> tuple[str, bytes]:
    body = as_json({"type": kind, "timestamp": iso(moment), "data": told})
    return message_id, body


def member(name: str) -> str:
    return member_id_of(Identity("standard", name))


def joins(name: str) -> tuple[str, bytes]:
    actor = {"id": name, "name": name.title(), "email": f"{name}@example.com", "timezone": "Europe/Berlin"}
    return event(f"joins_{name}", "member.joined", MORNING, actor=actor)


def writes(name: str) -> tuple[str, bytes]:
    moment = MORNING + timedelta(minutes=20)
    return event(f"writes_{name}", "post.created", moment, actor={"id": name}, object=f"of_{name}", text="Hello")


def first_referrer(number: int) -> str:
    return REFERRERS[number % 2]


def sign_ups(number: int, codes: dict[str, str]) -> list[tuple[str, bytes]]:
    """One referee with the codes of both referrers, a minute apart."""
    first, then = first_referrer(number), first_referrer(number + 1)
    name, early = REFEREES[number], MORNING + timedelta(minutes=number)
    late = early + timedelta(minutes=1)
    return [
        event(f"first_{name}", "referral.signed_up", early, actor={"id": name}, code=codes[first]),
        event(f"then_{name}", "referral.signed_up", late, actor={"id": name}, code=codes[then]),
    ]


def post_all(stack: LocalStack, events: Iterable[tuple[str, bytes]], now: datetime) -> Counter[int]:
    """Every event five times over, shuffled, sixteen at once; how often each status was answered."""
    shuffled = [one for one in events for _ in range(TIMES)]
    Random(4).shuffle(shuffled)  # noqa: S311 - an order, not a secret

    def post(one: tuple[str, bytes]) -> int:
        message_id, body = one
        headers = sign("standard", {"webhook-id": message_id}, body, secret=SECRETS["standard"][-1], now=now)
        return stack.http("POST", "/webhooks/standard", headers=headers, content=body).status_code

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return Counter(pool.map(post, shuffled))


def tick(stack: LocalStack, now: datetime) -> None:
    """The schedule fires twice at once, as it may."""
    stack.set_clock(now)
    [schedule] = [one for one in stack.schedules() if "referralrewards" in one.name]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: stack.fire(schedule, now), range(2)))
    stack.quiet()


@pytest.fixture(scope="module")
def store(stack: LocalStack) -> Store:
    """The table after it all: joined, claimed by two, taken part, settled, held, told."""
    now = MORNING + timedelta(minutes=30)
    stack.set_clock(now)
    signer = Signer(stack.secret("LinksSecret"))
    codes = {name: signer.code(member(name)) for name in REFERRERS}
    assert post_all(stack, map(joins, REFERRERS), now) == {202: 2 * TIMES}
    causes = [one for number in range(len(REFEREES)) for one in sign_ups(number, codes)]
    causes += [told for name in REFEREES for told in (joins(name), writes(name))]
    assert post_all(stack, causes, now) == {202: len(causes) * TIMES}
    stack.quiet()
    for moment in (SETTLED, HELD, *(HELD + later for later in TRIED_AGAIN)):
        tick(stack, moment)
    return Store(stack.dynamodb, stack.outputs["TableName"])


def settled(store: Store, name: str) -> Attribution:
    [attribution] = store.referee([member(name)]).attributions
    return attribution


def test_the_first_touch_has_every_referee(store: Store) -> None:
    brought = [settled(store, name).referrer_id for name in REFEREES]
    assert brought == [member(first_referrer(number)) for number in range(len(REFEREES))]


def test_every_touch_is_kept_once(store: Store) -> None:
    touches = [len(store.referee([member(name)]).touches) for name in REFEREES]
    assert touches == [2] * len(REFEREES)


def test_every_referral_counts_for_one(store: Store) -> None:
    statuses = [[one.status for one in store.standing([member(name)]).referrals] for name in REFERRERS]
    assert statuses == [["qualified"] * 5] * len(REFERRERS)


def rewards(store: Store) -> set[str]:
    everybody = [member(name) for name in (*REFERRERS, *REFEREES)]
    return {reward.id for reward in store.standing(everybody).rewards}


def test_every_reward_is_granted_once(store: Store) -> None:
    wanted = {f"{member(name)}-{rule}" for name in REFERRERS for rule in ("badge", "premium_month")}
    assert rewards(store) == wanted | {f"{member(name)}-trial" for name in REFEREES}


def test_every_reward_is_told_and_noted(store: Store, receiver: Receiver) -> None:
    everybody = [member(name) for name in (*REFERRERS, *REFEREES)]
    assert all(reward.fulfilled_at for reward in store.standing(everybody).rewards)
    assert rewards(store) <= receiver.taken.keys()
    assert receiver.forged == 0


@pytest.mark.usefixtures("store")
def test_a_refused_reward_is_told_again(receiver: Receiver) -> None:
    assert list(receiver.failed.values()) == [FAILURES]
    assert receiver.failed.keys() <= receiver.taken.keys()


def test_nothing_is_left_to_do(store: Store) -> None:
    assert [due.key for due in store.agenda() if due.programme in {"referrals", "reward_notices"}] == []


def test_each_reward_s_mail_comes_once(store: Store, stack: LocalStack) -> None:
    names = (*REFERRERS, *REFEREES)
    theirs = [store.ledger(member(name)).sends for name in names]
    planned = [send for sends in theirs for send in sends if send.send_id.startswith("referrals/")]
    assert len(planned) == len(rewards(store))
    came = Counter(address_of(message) for message in stack.inbox())
    sent = {
        name: sum(send.status is SendStatus.SENT for send in sends) for name, sends in zip(names, theirs, strict=True)
    }
    assert {name: came[f"{name}@example.com"] for name in names} == sent
    assert all(sent.values())
