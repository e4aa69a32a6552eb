"""The breaker: it trips by itself on the figures of a day, tells the managers once, and loses no mail."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from shared.app import App
from shared.model import PlannedMail, SendId, SendStatus
from shared.pausing import ask_to_look
from shared.playbook import check
from shared.sending import follow_up_all, send_planned
from tests.aws.conftest import Wire
from tests.aws.test_requests import drain
from tests.builders import JOINED, a_member, a_planned_mail, raw_playbook

HOUR = timedelta(hours=1)


def pulses(app: App, kind: str, count: int) -> None:
    for number in range(count):
        at = JOINED - timedelta(hours=number % 24, minutes=1)
        app.store.note_pulse(kind, SendId("onboarding", "welcome", f"m{number}"), at)


def look(app: App) -> list[PlannedMail]:
    """Have the figures looked at; the notices that were put into the mail queue."""
    ask_to_look(app, JOINED)
    follow_up_all(app, JOINED)
    return [planned for planned in drain(app) if planned.mail == "mail_paused"]


@pytest.fixture(autouse=True)
def small(app: App) -> None:
    """A playbook for which twenty sends mean something."""
    raw = raw_playbook()
    raw["breaker"]["least_sends"] = "20"
    app.playbook = check(raw, source="playbook")


def test_bounces_within_a_day_trip_it(app: App) -> None:
    pulses(app, "send", 24)
    assert look(app) == []
    pulses(app, "bounce", 1)
    [notice] = look(app)
    assert notice.figures == {"reason": "bounces", "sends": 24, "bounces": 1, "complaints": 0, "hours": 24}
    pause = app.store.pause()
    assert pause is not None
    assert (pause.reason, pause.resumed_at) == ("bounces", None)


def test_complaints_within_a_day_trip_it(app: App) -> None:
    pulses(app, "send", 20)
    pulses(app, "complaint", 1)
    assert [notice.figures["reason"] for notice in look(app)] == ["complaints"]


def test_what_is_older_than_a_day_counts_for_nothing(app: App) -> None:
    for number in range(30):
        send_id = SendId("onboarding", "welcome", f"m{number}")
        app.store.note_pulse("send", send_id, JOINED - timedelta(hours=30))
        app.store.note_pulse("bounce", send_id, JOINED - timedelta(hours=30))
    assert look(app) == []


def test_one_mail_counts_once_however_often_it_is_told(app: App) -> None:
    for _ in range(3):
        pulses(app, "send", 19)
    pulses(app, "bounce", 19)
    assert look(app) == []


@pytest.fixture
def paused(app: App) -> App:
    """An App that knows Ada, on which marketing mail has just paused."""
    app.store.create_member(a_member())
    pulses(app, "send", 20)
    pulses(app, "bounce", 2)
    assert len(look(app)) == 1
    return app


def test_the_managers_get_one_mail_with_the_figures(app: App, wire: Wire) -> None:
    pulses(app, "send", 20)
    pulses(app, "bounce", 2)
    [notice] = look(app)
    for _ in range(2):
        sent = send_planned(notice, app, JOINED, pause=app.store.pause())
    assert sent.status is SendStatus.SENT
    [mail] = wire.mails
    assert mail["Destination"] == {"ToAddresses": ["Mira <mira@community.example.com>"]}
    assert "20" in mail["Content"]["Simple"]["Body"]["Text"]["Data"]
    assert look(app) == []


def test_a_look_that_dies_half_way_tells_nobody_twice(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    pulses(app, "send", 20)
    pulses(app, "bounce", 2)
    ask_to_look(app, JOINED)
    with monkeypatch.context() as dying:
        dying.setattr(app.store, "trip", lambda _: 1 / 0)
        with pytest.raises(ExceptionGroup):
            follow_up_all(app, JOINED)
    follow_up_all(app, JOINED + timedelta(minutes=1))
    notices = drain(app)
    assert len(notices) == 2
    assert len({notice.send_id for notice in notices}) == 1
    assert app.store.pause() is not None


def test_marketing_waits_and_goes_on_at_a_ramp_without_loss(paused: App, wire: Wire) -> None:
    held = send_planned(a_planned_mail(), paused, JOINED, pause=paused.store.pause())
    assert (held.status, held.reason) == (SendStatus.DEFERRED, "paused")
    assert paused.store.resume(JOINED + HOUR)
    for hours in range(1, 40):
        now = JOINED + hours * HOUR
        follow_up_all(paused, now)
        for planned in drain(paused):
            send_planned(planned, paused, now, pause=paused.store.pause())
    sent = paused.store.send(SendId.parse(held.send_id))
    assert sent is not None
    assert sent.status is SendStatus.SENT
    assert wire.requests["SendEmail"] == 1


def test_what_tripped_it_once_does_not_trip_it_again_after_resuming(paused: App) -> None:
    paused.store.resume(JOINED)
    assert look(paused) == []


def test_it_trips_again_on_new_figures(paused: App) -> None:
    paused.store.resume(JOINED - HOUR)
    for number in range(25):
        send_id = SendId("onboarding", "check_in", f"m{number}")
        paused.store.note_pulse("send", send_id, JOINED - timedelta(minutes=5))
        if number < 2:
            paused.store.note_pulse("bounce", send_id, JOINED - timedelta(minutes=5))
    assert len(look(paused)) == 1


def test_resuming_what_is_not_paused_changes_nothing(app: App) -> None:
    assert not app.store.resume(JOINED)
    assert app.store.pause() is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [("AccountSuspendedException", "account_suspended"), ("SendingPausedException", "sending_paused")],
)
def test_ses_s_own_pause_trips_it_without_losing_a_mail(app: App, wire: Wire, error: str, reason: str) -> None:
    app.store.create_member(a_member())
    wire.ses_will_answer(400, error)
    held = send_planned(a_planned_mail(), app, JOINED)
    assert held.status is SendStatus.DEFERRED
    follow_up_all(app, JOINED)
    pause = app.store.pause()
    assert pause is not None
    assert pause.reason == reason
    assert {planned.mail for planned in drain(app)} == {"mail_paused"}
    assert {(due.member_id, due.key) for due in app.store.agenda()} == {(a_member().id, held.send_id)}


def test_the_figures_are_looked_at_only_when_something_bounced(app: App, wire: Wire) -> None:
    follow_up_all(app, JOINED)
    wire.requests.clear()
    follow_up_all(app, JOINED)
    assert wire.requests == {"Query": 4}


def test_what_bounces_while_the_figures_are_looked_at_is_looked_at_too(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulses(app, "send", 20)
    ask_to_look(app, JOINED)
    count = app.store.pulse

    def meanwhile(kind: str, since: datetime, until: datetime) -> int:
        counted = count(kind, since, until)
        if kind == "complaint":
            pulses(app, "bounce", 2)
            ask_to_look(app, JOINED)
        return counted

    with monkeypatch.context() as busy:
        busy.setattr(app.store, "pulse", meanwhile)
        follow_up_all(app, JOINED)
    assert app.store.pause() is None
    follow_up_all(app, JOINED + timedelta(minutes=1))
    assert app.store.pause() is not None


def test_a_pending_look_does_not_swallow_ses_s_own_pause(app: App) -> None:
    ask_to_look(app, JOINED)
    ask_to_look(app, JOINED, "account_suspended")
    follow_up_all(app, JOINED)
    pause = app.store.pause()
    assert pause is not None
    assert pause.reason == "account_suspended"
    assert app.store.agenda() == []


def test_a_paused_mail_asks_again_only_a_few_times_a_day(paused: App, wire: Wire) -> None:
    send_planned(a_planned_mail(), paused, JOINED, pause=paused.store.pause())
    wire.requests.clear()
    for minutes in range(1, 24 * 60, 10):
        now = JOINED + timedelta(minutes=minutes)
        follow_up_all(paused, now)
        for planned in drain(paused):
            send_planned(planned, paused, now, pause=paused.store.pause())
    assert wire.requests["SendMessageBatch"] <= 4
