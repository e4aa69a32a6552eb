"""A batch of mails, several in hand at once: what each promises alone holds beside the others."""

from __future__ import annotations

from itertools import count
from threading import Barrier, Lock, current_thread, main_thread
from time import sleep
from typing import Any

import pytest
from botocore.client import BaseClient

from shared.app import App
from shared.errors import Unavailable
from shared.mailing import send_all
from shared.model import PlannedMail, Send, SendId, SendStatus
from shared.ses import Pace
from tests.aws.conftest import Wire
from tests.builders import JOINED, a_member, a_planned_mail, a_send

HANDS = 8


class Counted(Pace):
    """A pace that knows how many mails were in hand when they asked, and in which threads; all go at once."""

    def __init__(self, rate: float) -> None:
        super().__init__(rate, monotonic=lambda: 0.0, sleep=lambda _: None)
        self.now = self.most = 0
        self.main: list[bool] = []
        self._lock = Lock()

    def wait(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.main.append(current_thread() is main_thread())
        sleep(0.02)
        with self._lock:
            self.now -= 1


class Together(Pace):
    """A pace that lets no mail go before so many have come."""

    def __init__(self, count: int) -> None:
        super().__init__(1000, monotonic=lambda: 0.0, sleep=lambda _: None)
        self._together = Barrier(count, timeout=60)

    def wait(self) -> None:
        self._together.wait()


@pytest.fixture(autouse=True)
def _one_call_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto is not safe under threads: its calls are made one by one, and mails take turns between them."""
    lock, call = Lock(), BaseClient._make_api_call  # type: ignore[attr-defined]

    def locked(client: BaseClient, operation: str, params: dict[str, Any]) -> Any:
        with lock:
            return call(client, operation, params)

    monkeypatch.setattr(BaseClient, "_make_api_call", locked)


@pytest.fixture
def hands(app: App) -> App:
    """An App that has several mails in hand at once."""
    app.settings = app.settings.model_copy(update={"mails_at_once": HANDS})
    return app


def member_id(number: int) -> str:
    return f"m{number:020}"


def known(app: App, count: int) -> None:
    for number in range(count):
        app.store.create_member(a_member(id=member_id(number), ordinal=number, email=f"m{number}@example.com"))


def planned(number: int, step: str = "welcome") -> PlannedMail:
    return a_planned_mail(step, send_id=str(SendId("onboarding", step, member_id(number))))


def batch(*mails: PlannedMail) -> dict[str, str]:
    return {mail.send_id: mail.model_dump_json() for mail in mails}


def send(app: App, bodies: dict[str, str]) -> dict[str, Any]:
    """What became of each message, in their order."""
    outcomes = send_all(bodies, app, has_time=lambda: True)
    assert outcomes.keys() == bodies.keys()
    return {message_id: outcomes[message_id] for message_id in bodies}


def settled(outcomes: dict[str, Any]) -> list[tuple[SendStatus, str | None]]:
    assert all(isinstance(one, Send) for one in outcomes.values()), outcomes
    return [(one.status, one.reason) for one in outcomes.values()]


def test_mails_to_several_people_are_in_hand_at_once(hands: App, wire: Wire) -> None:
    known(hands, 4)
    hands.pace = Together(4)
    assert settled(send(hands, batch(*map(planned, range(4))))) == [(SendStatus.SENT, None)] * 4
    assert wire.requests["SendEmail"] == 4
    assert wire.requests["GetParameter"] == 1  # the link keys are read once for all threads


def test_mails_to_one_person_go_one_after_another(hands: App) -> None:
    known(hands, 6)
    people = range(6)
    outcomes = send(hands, batch(*map(planned, people), *(planned(one, "check_in") for one in people)))
    # In hand at once, both would find the other there, and wait for it: `one_at_a_time`.
    assert settled(outcomes) == [(SendStatus.SENT, None)] * 6 + [(SendStatus.DEFERRED, "min_gap")] * 6


def test_a_mail_that_fails_holds_up_no_other(hands: App) -> None:
    known(hands, 5)
    held = a_send(send_id=planned(1).send_id, member_id=member_id(1), status=SendStatus.CLAIMED, token="another")
    hands.store.claim(held.model_copy(update={"lease_until": JOINED.replace(year=2031)}))
    bodies = {**batch(*map(planned, range(5))), "unreadable": "{"}
    outcomes = send(hands, bodies)
    failed = {key: type(outcomes.pop(key)).__name__ for key in (planned(1).send_id, "unreadable")}
    assert failed == {planned(1).send_id: "Unavailable", "unreadable": "ValidationError"}
    assert settled(outcomes) == [(SendStatus.SENT, None)] * 4


def test_a_mail_that_ses_throttles_waits_alone(hands: App, wire: Wire) -> None:
    known(hands, 5)
    wire.ses_will_answer(429, "TooManyRequestsException")
    outcomes = settled(send(hands, batch(*map(planned, range(5)))))
    assert outcomes.count((SendStatus.SENT, None)) == 4
    assert outcomes.count((SendStatus.DEFERRED, "TooManyRequestsException")) == 1
    assert wire.requests["SendEmail"] == 5


def test_no_mail_is_begun_once_there_is_no_time(hands: App, wire: Wire) -> None:
    known(hands, 10)
    asked = count()
    outcomes = send_all(batch(*map(planned, range(10))), hands, has_time=lambda: next(asked) < 3)
    assert [type(one) for one in outcomes.values()].count(Unavailable) == 7
    assert wire.requests["SendEmail"] == 3
    begun = {key for key, one in outcomes.items() if isinstance(one, Send)}
    assert {one.send_id for one in map(planned, range(10)) if hands.store.send(SendId.parse(one.send_id))} == begun


@pytest.mark.parametrize(("rate", "most"), [(0.5, 1), (7, 2)])
def test_no_more_are_in_hand_than_the_rate_has_use_for(hands: App, rate: float, most: int) -> None:
    known(hands, 12)
    hands.pace = pace = Counted(rate)
    send(hands, batch(*map(planned, range(12))))
    assert pace.most <= most


def test_one_in_hand_needs_no_thread(app: App) -> None:
    known(app, 3)
    app.pace = pace = Counted(1000)
    send(app, batch(*map(planned, range(3))))
    assert (pace.most, pace.main) == (1, [True] * 3)
