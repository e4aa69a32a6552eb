"""A reward from the queue to everybody who is told of it, over real queues, a table and a receiver that listens."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import boto3
import pytest
from standardwebhooks import Webhook

from shared.app import App
from shared.errors import FlywheelError, Unavailable
from shared.fulfilment import (
    AGENDA,
    DELAYS,
    FORGOTTEN,
    PATIENCE,
    Fulfilment,
    asked_for,
    delay,
    fulfil,
    put_back,
    signed,
)
from shared.model import Attribution, Due, Referral, ReferralStatus, Reversal, Reward, RewardNotice
from shared.outgoing import Answer
from shared.playbook import Playbook, check
from tests.aws.conftest import REWARDS_KEY, REWARDS_KEY_BEFORE, Wire
from tests.aws.test_requests import drain
from tests.builders import a_member, at, raw_playbook
from tests.receiver import Delivery, Receiver, Reply, receiving

NOW = at("2030-02-01T10:00Z")
ADA, BOB, CAT, DAN, EVE = ("m" + letter * 20 for letter in "abcde")
BADGE = Reward(member_id=ADA, rule="badge", gives="badge", because=BOB, granted_at=NOW)
TRIAL = Reward(member_id=ADA, rule="trial", gives="premium_days", days=7, because=ADA, granted_at=NOW)
GRANTED = RewardNotice(member_id=ADA, rule="badge", about="granted")
REVERSED = RewardNotice(member_id=ADA, rule="badge", about="reversed")
BADGE_DETAIL = {
    "id": f"{ADA}-badge",
    "member_id": ADA,
    "identities": ["discourse:7", "slack:U1"],
    "rule": "badge",
    "gives": "badge",
    "granted_at": "2030-02-01T10:00:00Z",
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def playbook_with(url: str | None) -> Playbook:
    raw = raw_playbook()
    if url is not None:
        raw["referrals"]["webhook"] = {"url": url, "allow_private": True}
    return check(raw, source="playbook")


@pytest.fixture
def told_app(app: App, receiver: Receiver) -> App:
    """An App with Ada in it, who has the first badge, and with a receiver of rewards."""
    app.playbook = playbook_with(receiver.url)
    app.store.create_member(a_member(identities=frozenset({"slack:U1", "discourse:7"})))
    assert app.store.grant(BADGE)
    return app


def a_referral(referee_id: str, status: ReferralStatus) -> Referral:
    return Referral(referrer_id=ADA, referee_id=referee_id, status=status, at=NOW, touched_at=NOW)


def brought(app: App, *referee_ids: str) -> None:
    """Ada brought these, and all of them count."""
    for number, one in enumerate(referee_ids, start=1):
        app.store.create_member(a_member(id=one, ordinal=number, identities=frozenset({f"slack:{one}"}), email=None))
        settled = Attribution(referee_id=one, referrer_id=ADA, touched_at=NOW, source="link", at=NOW)
        assert app.store.attribute(settled) == settled
        assert app.store.settle_referral(a_referral(one, "qualified"), was=None)


def merged(app: App, member_id: str, *, into: str) -> None:
    one = app.store.member(member_id)
    assert one is not None
    assert app.store.merge_into(one, into) is None


def reward(app: App) -> Reward:
    found = app.store.reward(ADA, "badge")
    assert found is not None
    return found


def queued(app: App) -> list[RewardNotice]:
    """Every message of the reward queue."""
    sqs, url = boto3.client("sqs"), app.settings.reward_queue_url
    notices: list[RewardNotice] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            notices.append(RewardNotice.model_validate_json(message["Body"]))
    return notices


def waiting(app: App) -> list[Due]:
    return [due for due in app.store.agenda() if due.programme == AGENDA]


def live_on(app: App, notice: RewardNotice, until: datetime) -> list[tuple[datetime, Fulfilment]]:
    """Fulfil a notice, and take up every next try at its time; what came of each, and when."""
    outcomes = [(NOW, fulfil(notice, app, NOW))]
    while (coming := waiting(app)) and coming[0].due_at <= until:
        now = coming[0].due_at
        assert put_back(app, now) == len(coming)
        outcomes += [(now, fulfil(one, app, now)) for one in queued(app)]
    return outcomes


def verified(delivery: Delivery, key: str = REWARDS_KEY) -> Any:
    """What a delivery tells, once the public library has proved it."""
    return Webhook(key).verify(delivery.body, delivery.headers)


class TestWhatIsTold:
    def test_the_receiver_is_told_with_a_proof(self, told_app: App, receiver: Receiver) -> None:
        assert fulfil(GRANTED, told_app, NOW) == Fulfilment("told")
        [delivery] = receiver.deliveries
        told = {"type": "reward.granted", "timestamp": "2030-02-01T10:00:00Z", "data": BADGE_DETAIL}
        assert verified(delivery) == told
        assert delivery.headers["webhook-id"] == BADGE.id
        assert delivery.headers["content-type"] == "application/json"
        assert reward(told_app).fulfilled_at == NOW

    def test_the_key_before_proves_it_as_well(self, told_app: App, receiver: Receiver) -> None:
        fulfil(GRANTED, told_app, NOW)
        [delivery] = receiver.deliveries
        assert len(delivery.headers["webhook-signature"].split(" ")) == 2
        assert verified(delivery, REWARDS_KEY_BEFORE) == verified(delivery)

    def test_our_bus_is_told_the_same(self, told_app: App, wire: Wire) -> None:
        fulfil(GRANTED, told_app, NOW)
        [event] = wire.bus
        assert json.loads(event.pop("Detail")) == BADGE_DETAIL
        assert event == {"EventBusName": "flywheel", "Source": "flywheel", "DetailType": "reward.granted"}

    def test_the_referrer_gets_a_mail_with_their_count(self, told_app: App) -> None:
        brought(told_app, BOB, CAT, DAN)
        told_app.store.settle_referral(a_referral(DAN, "attributed"), was="qualified")
        fulfil(GRANTED, told_app, NOW)
        [planned] = drain(told_app)
        assert planned.send_id == f"referrals/badge/{ADA}/1"
        assert (planned.mail, planned.planned_at) == ("reward", NOW)
        assert planned.figures == {"rule": "badge", "qualified": 2}

    def test_two_referees_who_are_one_person_count_once(self, told_app: App) -> None:
        brought(told_app, BOB, CAT)
        merged(told_app, CAT, into=BOB)
        told_app.store.change_member(BOB, lambda bob: bob.model_copy(update={"absorbed": frozenset({CAT})}))
        fulfil(GRANTED, told_app, NOW)
        assert drain(told_app)[0].figures["qualified"] == 1

    def test_the_referee_gets_the_mail_of_the_trial(self, told_app: App, receiver: Receiver) -> None:
        told_app.store.grant(TRIAL)
        fulfil(GRANTED.model_copy(update={"rule": "trial"}), told_app, NOW)
        assert drain(told_app)[0].mail == "trial"
        assert verified(receiver.deliveries[0])["data"]["days"] == 7

    def test_who_was_merged_is_told_of_by_the_id_of_the_reward(self, told_app: App, receiver: Receiver) -> None:
        told_app.store.create_member(
            a_member(id=EVE, ordinal=1, identities=frozenset({"slack:U1", "slack:U9"}), absorbed=frozenset({ADA}))
        )
        merged(told_app, ADA, into=EVE)
        fulfil(GRANTED, told_app, NOW)
        told = verified(receiver.deliveries[0])["data"]
        assert (told["id"], told["identities"]) == (BADGE.id, ["slack:U1", "slack:U9"])
        assert drain(told_app)[0].send_id == f"referrals/badge/{EVE}/1"

    def test_nothing_that_is_told_holds_a_person(self, told_app: App, receiver: Receiver, wire: Wire) -> None:
        receiver.will_answer(500)
        fulfil(GRANTED, told_app, NOW)
        told = [
            receiver.deliveries[0].body.decode(),
            json.dumps(wire.bus),
            str(waiting(told_app)),
            str(drain(told_app)),
        ]
        assert not any(person in text for person in ("Ada", "ada@example.com", "Europe/Berlin") for text in told)


class TestTakenBack:
    @pytest.fixture
    def reversal(self, told_app: App) -> Reversal:
        reversal = Reversal(member_id=ADA, rule="badge", reason="refunded after all", at=NOW + timedelta(days=2))
        assert told_app.store.reverse(reversal)
        return reversal

    @pytest.mark.usefixtures("reversal")
    def test_the_receiver_is_told_why(self, told_app: App, receiver: Receiver, wire: Wire) -> None:
        assert fulfil(REVERSED, told_app, NOW).outcome == "told"
        [delivery] = receiver.deliveries
        told = verified(delivery)
        assert (told["type"], told["timestamp"]) == ("reward.reversed", "2030-02-03T10:00:00Z")
        assert told["data"] == BADGE_DETAIL | {"reason": "refunded after all"}
        assert delivery.headers["webhook-id"] == f"{BADGE.id}-reversed"
        assert [event["DetailType"] for event in wire.bus] == ["reward.reversed"]
        assert drain(told_app) == []
        assert reward(told_app).fulfilled_at is None

    @pytest.mark.usefixtures("reversal")
    def test_a_reward_not_told_of_before_no_longer_is(self, told_app: App, receiver: Receiver, wire: Wire) -> None:
        assert fulfil(GRANTED, told_app, NOW) == Fulfilment("nothing_to_tell")
        assert (receiver.deliveries, wire.bus, drain(told_app)) == ([], [], [])

    def test_tries_of_both_wait_side_by_side(self, told_app: App, receiver: Receiver) -> None:
        receiver.will_answer(500, 500)
        fulfil(GRANTED, told_app, NOW)
        told_app.store.reverse(Reversal(member_id=ADA, rule="badge", reason="fraud", at=NOW))
        fulfil(REVERSED, told_app, NOW)
        assert {due.key for due in waiting(told_app)} == {BADGE.id, f"{BADGE.id}-reversed"}

    def test_a_reversal_that_never_was_is_not_told(self, told_app: App) -> None:
        with pytest.raises(FlywheelError, match="never taken back"):
            fulfil(REVERSED, told_app, NOW)


class TestAnswers:
    def test_two_failures_are_followed_by_a_third_try(self, told_app: App, receiver: Receiver, wire: Wire) -> None:
        receiver.will_answer(500, 500, 200)
        outcomes = live_on(told_app, GRANTED, NOW + PATIENCE)
        assert [one.outcome for _, one in outcomes] == ["again", "again", "told"]
        assert [one.why for _, one in outcomes] == ["the receiver answered 500", "the receiver answered 500", ""]
        assert reward(told_app).fulfilled_at == outcomes[-1][0]
        assert {delivery.headers["webhook-id"] for delivery in receiver.deliveries} == {BADGE.id}
        assert len({delivery.body for delivery in receiver.deliveries}) == 1
        assert all(verified(delivery) for delivery in receiver.deliveries)
        assert (len(wire.bus), len(drain(told_app))) == (1, 1)

    def test_a_receiver_that_is_away_is_asked_for_three_days(self, told_app: App, receiver: Receiver) -> None:
        receiver.will_answer(*[500] * 20)
        tries, notice, now = [NOW], GRANTED, NOW
        for _ in DELAYS:
            assert fulfil(notice, told_app, now).outcome == "again"
            now = waiting(told_app)[0].due_at
            put_back(told_app, now)
            [notice] = queued(told_app)
            tries.append(now)
        with pytest.raises(FlywheelError, match=r"for three days in vain, at last: the receiver answered 500$"):
            fulfil(notice, told_app, now)
        assert len(tries) == len(receiver.deliveries) == len(DELAYS) + 1
        gaps = [after - before for before, after in pairwise(tries)]
        assert all(least <= gap <= least * 1.1 for gap, least in zip(gaps, DELAYS, strict=True))
        assert timedelta(days=3) < tries[-1] - NOW < timedelta(days=3.5)
        assert waiting(told_app) == []

    def test_what_is_redriven_long_after_starts_anew(self, told_app: App, receiver: Receiver) -> None:
        receiver.will_answer(500)
        dead, later = GRANTED.model_copy(update={"tries": 9, "since": NOW}), NOW + FORGOTTEN + timedelta(hours=1)
        assert fulfil(dead, told_app, later).outcome == "again"
        assert waiting(told_app)[0].state["tries"] == 1

    def test_what_is_redriven_soon_is_tried_once_more(self, told_app: App) -> None:
        dead = GRANTED.model_copy(update={"tries": 9, "since": NOW})
        assert fulfil(dead, told_app, NOW + PATIENCE + timedelta(hours=8)).outcome == "told"

    def test_410_is_never_tried_again(self, told_app: App, receiver: Receiver) -> None:
        receiver.will_answer(410)
        assert fulfil(GRANTED, told_app, NOW) == Fulfilment("refused", "the receiver answered 410")
        assert (reward(told_app).refused_at, waiting(told_app)) == (NOW, [])
        assert fulfil(GRANTED, told_app, NOW).outcome == "nothing_to_tell"
        told_app.store.reverse(Reversal(member_id=ADA, rule="badge", reason="fraud", at=NOW))
        assert fulfil(REVERSED, told_app, NOW).outcome == "refused"
        assert len(receiver.deliveries) == 1

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_busy_receiver_is_left_alone_for_as_long_as_it_asks(
        self, told_app: App, receiver: Receiver, status: int
    ) -> None:
        receiver.will_answer(status, retry_after="7200")
        assert fulfil(GRANTED, told_app, NOW).again_at == NOW + timedelta(hours=2)

    def test_a_redirect_is_a_failed_try(self, told_app: App, receiver: Receiver) -> None:
        receiver.will_answer(302, location="http://169.254.169.254/latest/meta-data/")
        assert fulfil(GRANTED, told_app, NOW).why == "the receiver answered 302"
        assert len(receiver.deliveries) == 1

    def test_an_address_that_is_refused_is_a_failed_try(self, told_app: App) -> None:
        told_app.playbook = playbook_with("http://169.254.169.254/")
        told = fulfil(GRANTED, told_app, NOW)
        assert told.outcome == "again"
        assert "which is link-local: nothing is posted there" in told.why

    def test_nobody_there_is_a_failed_try(self, told_app: App) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        told_app.playbook = playbook_with(f"http://127.0.0.1:{port}/")
        assert fulfil(GRANTED, told_app, NOW).why == "127.0.0.1 could not be reached: ConnectionRefusedError"

    def test_a_receiver_that_hangs_is_a_failed_try(
        self, told_app: App, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(told_app, "receiver_seconds", 0.3)
        receiver.replies.append(Reply(hangs=True))
        assert fulfil(GRANTED, told_app, NOW).why == "127.0.0.1 took too long"

    def test_without_a_receiver_the_bus_taking_it_is_enough(self, told_app: App, wire: Wire) -> None:
        told_app.playbook = playbook_with(None)
        assert fulfil(GRANTED, told_app, NOW).outcome == "told"
        assert (len(wire.bus), reward(told_app).fulfilled_at) == (1, NOW)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("120", timedelta(minutes=2)),
        (" 120 ", timedelta(minutes=2)),
        ("0", timedelta()),
        ("86401", timedelta(days=1)),
        ("9" * 400, timedelta(days=1)),
        (format_datetime(NOW + timedelta(hours=3), usegmt=True), timedelta(hours=3)),
        (format_datetime(NOW - timedelta(hours=3), usegmt=True), timedelta()),
        (format_datetime(NOW + timedelta(days=9), usegmt=True), timedelta(days=1)),
        ("Fri, 01 Feb 2030 11:00:00 -0000", timedelta(hours=1)),
        ("soon", None),
        ("-5", None),
        ("²", None),
        ("Fri, 01 Feb 99999999999999999999 11:00:00 GMT", None),
        (None, None),
    ],
)
def test_what_a_busy_receiver_asks_for(header: str | None, wait: timedelta | None) -> None:
    assert asked_for(Answer(503, header), NOW) == wait


def test_only_a_busy_receiver_is_asked_when_to_come_back() -> None:
    assert asked_for(Answer(500, "120"), NOW) is None


def test_tries_that_failed_together_do_not_come_back_together() -> None:
    waits = {delay(f"m{number}-badge", 3) for number in range(100)}
    assert len(waits) > 90
    assert delay("m1-badge", 3) == delay("m1-badge", 3)
    assert delay("m1-badge", 99) >= DELAYS[-1]


@pytest.mark.parametrize("secrets", [[], [""], ["whsec_"], ["whsec_not base64!"], [REWARDS_KEY, "whsec_a"]])
def test_nothing_is_signed_without_a_key(secrets: Sequence[str]) -> None:
    with pytest.raises(FlywheelError, match="secret"):
        signed("m1-badge", b"{}", secrets, NOW)


class TestNothingIsLost:
    def test_a_notice_that_came_twice_is_told_once(self, told_app: App, receiver: Receiver, wire: Wire) -> None:
        fulfil(GRANTED, told_app, NOW)
        assert fulfil(GRANTED, told_app, NOW) == Fulfilment("nothing_to_tell")
        assert (len(receiver.deliveries), len(wire.bus), len(drain(told_app))) == (1, 1, 1)

    def test_a_second_notice_does_not_begin_the_tries_again(self, told_app: App, receiver: Receiver) -> None:
        receiver.will_answer(500, 500, 500)
        live_on(told_app, GRANTED, NOW + timedelta(minutes=1))
        [before] = waiting(told_app)
        fulfil(GRANTED, told_app, NOW + timedelta(minutes=2))
        assert waiting(told_app) == [before]
        assert before.state["tries"] == 2

    def test_a_try_that_fails_while_it_is_taken_off_the_agenda_stays(
        self, told_app: App, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        receiver.will_answer(500, 500)
        again_at = fulfil(GRANTED, told_app, NOW).again_at
        assert again_at is not None
        put = told_app.notices.put

        def put_and_be_overtaken(notices: Sequence[RewardNotice]) -> None:
            put(notices)
            for notice in notices:
                fulfil(notice, told_app, again_at)

        monkeypatch.setattr(told_app.notices, "put", put_and_be_overtaken)
        put_back(told_app, again_at)
        assert [due.state["tries"] for due in waiting(told_app)] == [2]

    def test_what_the_queue_does_not_take_stays_on_the_agenda(self, told_app: App, receiver: Receiver) -> None:
        receiver.will_answer(500)
        fulfil(GRANTED, told_app, NOW)
        sqs = boto3.client("sqs")
        sqs.delete_queue(QueueUrl=told_app.settings.reward_queue_url)
        with pytest.raises(Unavailable):
            put_back(told_app, NOW + timedelta(hours=1))
        assert len(waiting(told_app)) == 1

    def test_nothing_comes_back_before_its_time(self, told_app: App, receiver: Receiver) -> None:
        receiver.will_answer(500)
        fulfil(GRANTED, told_app, NOW)
        assert put_back(told_app, NOW + timedelta(seconds=1)) == 0
        assert queued(told_app) == []

    def test_a_mail_the_queue_does_not_take_brings_all_back(self, told_app: App, receiver: Receiver) -> None:
        boto3.client("sqs").delete_queue(QueueUrl=told_app.settings.mail_queue_url)
        with pytest.raises(Unavailable):
            fulfil(GRANTED, told_app, NOW)
        assert receiver.deliveries == []

    def test_a_reward_that_was_never_granted_is_an_error(self, told_app: App) -> None:
        with pytest.raises(FlywheelError, match="never granted"):
            fulfil(GRANTED.model_copy(update={"rule": "premium_month"}), told_app, NOW)


class TestRequests:
    def test_a_reward_costs_these_requests(self, told_app: App, wire: Wire) -> None:
        brought(told_app, BOB)
        told_app.rewards_secrets()  # read once in a quarter of an hour
        wire.requests.clear()
        fulfil(GRANTED, told_app, NOW)
        read = {"GetItem": 2, "Query": 2, "BatchGetItem": 1}  # most of them for the count in the mail
        assert wire.requests == read | {"PutEvents": 1, "SendMessageBatch": 1, "UpdateItem": 1}

    def test_a_failed_try_and_its_return_cost_these(self, told_app: App, receiver: Receiver, wire: Wire) -> None:
        receiver.will_answer(500, 500)
        again_at = fulfil(GRANTED, told_app, NOW).again_at
        assert again_at is not None
        wire.requests.clear()
        put_back(told_app, again_at)
        assert wire.requests == {"Query": 4, "SendMessageBatch": 1, "DeleteItem": 1}
        [notice] = queued(told_app)
        wire.requests.clear()
        fulfil(notice, told_app, again_at)
        assert wire.requests == {"GetItem": 1, "Query": 1, "UpdateItem": 1}
