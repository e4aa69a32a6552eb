"""The functions that settle referrals and tell of rewards, behind their real handlers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from functions import referral_rewards, reward_notices
from shared.app import App
from shared.model import Due, RewardNotice
from shared.programmes.referrals import KEY, NAME
from tests.aws.conftest import Clock, Wire
from tests.aws.test_fulfilment import BADGE, BOB, GRANTED, NOW, playbook_with, queued, reward, waiting
from tests.aws.test_functions import PEOPLE, Context, Told, _wire, failures
from tests.builders import a_member
from tests.receiver import Receiver, receiving

TICK = {"scheduled_time": "2030-02-01T11:00:00Z"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def told(
    app: App, receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Told]:
    """The functions wired to an App where Ada has the first badge; no log line holds a person or a secret."""
    told = Told(capsys)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Flywheel")
    for function in (referral_rewards, reward_notices):
        _wire(function, app, told, monkeypatch)
    app.playbook, clock.now = playbook_with(receiver.url + "?key=a-secret-of-theirs"), NOW
    app.store.create_member(a_member())
    app.store.grant(BADGE)
    yield told
    text = told.text()
    assert [one for one in (*PEOPLE, "whsec_", "a-secret-of-theirs") if one in text] == []


def a_batch(*bodies: RewardNotice | str) -> dict[str, Any]:
    """A batch of the reward queue."""
    texts = [body if isinstance(body, str) else body.model_dump_json() for body in bodies]
    return {
        "Records": [
            {
                "messageId": str(number),
                "body": text,
                "eventSource": "aws:sqs",
                "attributes": {},
                "messageAttributes": {},
            }
            for number, text in enumerate(texts)
        ]
    }


class TestRewardNotices:
    def test_a_reward_is_told_of(self, app: App, told: Told, receiver: Receiver) -> None:
        assert failures(reward_notices.handler(a_batch(GRANTED), Context())) == []
        assert (reward(app).fulfilled_at, len(receiver.deliveries)) == (NOW, 1)
        [line] = told.logged()
        assert (line["outcome"], line["rule"], line["tries"]) == ("told", "badge", 0)

    def test_one_bad_message_alone_comes_again(self, app: App) -> None:
        unknown = GRANTED.model_copy(update={"rule": "premium_month"})
        assert failures(reward_notices.handler(a_batch("no notice", unknown, GRANTED), Context())) == ["0", "1"]
        assert reward(app).fulfilled_at == NOW

    def test_a_failed_try_leaves_the_queue_for_the_agenda(self, app: App, told: Told, receiver: Receiver) -> None:
        receiver.will_answer(500)
        assert failures(reward_notices.handler(a_batch(GRANTED), Context())) == []
        assert len(waiting(app)) == 1
        assert [line["why"] for line in told.logged()] == ["the receiver answered 500"]

    def test_three_days_in_vain_are_an_error_and_come_again(self, told: Told, receiver: Receiver) -> None:
        receiver.will_answer(500)
        old = GRANTED.model_copy(update={"tries": 9, "since": NOW - timedelta(days=3)})
        assert failures(reward_notices.handler(a_batch(old), Context())) == ["0"]
        [line] = told.logged()
        assert line["level"] == "ERROR"
        assert line["error"].endswith("in vain, at last: the receiver answered 500")

    def test_nothing_is_begun_without_time_for_an_answer(self, told: Told, receiver: Receiver) -> None:
        assert failures(reward_notices.handler(a_batch(GRANTED), Context(29_000))) == ["0"]
        assert receiver.deliveries == []
        assert [line["level"] for line in told.logged()] == ["WARNING"]


class TestReferralRewards:
    def test_a_tick_settles_cases_and_brings_failed_notices_back(self, app: App, receiver: Receiver) -> None:
        receiver.will_answer(500)
        reward_notices.handler(a_batch(GRANTED), Context())
        app.store.arm(Due(programme=NAME, member_id=BOB, key=KEY, due_at=NOW))
        referral_rewards.handler(TICK, Context())
        [again] = queued(app)
        assert (again.rule, again.tries) == ("badge", 1)
        assert app.store.agenda() == []

    def test_a_queue_that_is_away_does_not_hold_up_the_cases(
        self, app: App, receiver: Receiver, wire: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        receiver.will_answer(500)
        reward_notices.handler(a_batch(GRANTED), Context())
        monkeypatch.setattr(app.notices, "_url", "https://sqs.eu-west-1.amazonaws.com/000000000000/gone")
        wire.requests.clear()
        with pytest.raises(Exception, match="the reward queue did not take a batch"):
            referral_rewards.handler(TICK, Context())
        assert wire.requests["Query"] > 4
        assert len(waiting(app)) == 1

    def test_a_tick_with_nothing_due_is_a_query_a_shard(self, wire: Wire) -> None:
        wire.requests.clear()
        referral_rewards.handler(TICK, Context())
        assert wire.requests == {"Query": 8}
