"""A tick: what is due is settled once, whatever one item, the queue, an edited playbook or a stale index does."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest

from shared import agenda as agenda_of_the_house
from shared.agenda import tick
from shared.app import App
from shared.mailqueue import MailQueue
from shared.model import Due, SendId, SendStatus
from shared.sending import send_planned
from shared.store import keys
from tests.aws.conftest import Wire
from tests.aws.test_requests import drain
from tests.builders import JOINED, a_member, a_playbook, an_enrolment, raw_playbook

DAY_3 = JOINED + timedelta(days=1, hours=21)
"""10:00 in Berlin, two days after Ada joined."""


def steps(*days: tuple[str, str]) -> list[dict[str, Any]]:
    """Onboarding steps by key and day, each with a mail of the default playbook."""
    mails = [step["mail"] for step in raw_playbook()["onboarding"]["steps"]]
    return [{"key": key, "day": day, "mail": key if key in mails else "digest"} for key, day in days]


def enrol(app: App, *names: str, joined_at: datetime = JOINED, **state: Any) -> None:
    for number, name in enumerate(names):
        member_id = f"m{name}"
        app.store.create_member(
            a_member(id=member_id, ordinal=number, email=f"{name}@example.com", joined_at=joined_at)
        )
        app.store.arm(an_enrolment(joined_at, **state).model_copy(update={"member_id": member_id}))


def neighbours(count: int) -> list[str]:
    """Names of people whose agenda items lie in one shard, with Bo's."""
    shard = keys.agenda("onboarding", "mbo")
    return [name for name in map(str, range(count * 10)) if keys.agenda("onboarding", f"m{name}") == shard][:count]


def agenda(app: App, member_id: str = "mada") -> Due:
    [due] = [due for due in app.store.agenda() if due.member_id == member_id]
    return due


def steps_sent(app: App) -> list[str]:
    return sorted(SendId.parse(mail.send_id).step for mail in drain(app))


class TestDue:
    def test_what_is_due_goes_to_the_queue_and_moves_on(self, app: App) -> None:
        enrol(app, "ada")
        assert tick("onboarding", app, JOINED) == 1
        assert steps_sent(app) == ["welcome"]
        assert (agenda(app).due_at, agenda(app).version) == (DAY_3, 1)

    def test_a_second_tick_of_the_same_minute_finds_nothing(self, app: App) -> None:
        enrol(app, "ada")
        tick("onboarding", app, JOINED)
        assert tick("onboarding", app, JOINED) == 0
        assert steps_sent(app) == ["welcome"]

    def test_what_is_not_due_is_left_alone(self, app: App) -> None:
        enrol(app, "ada")
        assert tick("onboarding", app, JOINED - timedelta(microseconds=1)) == 0
        assert agenda(app).version == 0

    def test_more_than_a_page_is_settled_in_one_tick(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(agenda_of_the_house, "PAGE", 4)
        enrol(app, *neighbours(10))
        assert tick("onboarding", app, JOINED) == 10
        assert len(drain(app)) == 10

    def test_an_item_of_nobody_is_taken_off(self, app: App) -> None:
        app.store.arm(an_enrolment())
        tick("onboarding", app, JOINED)
        assert app.store.agenda() == []
        assert drain(app) == []

    @pytest.mark.shows(32)
    def test_after_an_outage_there_is_one_mail_not_a_burst(self, app: App) -> None:
        enrol(app, "ada")
        tick("onboarding", app, JOINED + timedelta(days=8))
        assert steps_sent(app) == ["digest"]
        reasons = {send.send_id.split("/")[1]: send.reason for send in app.store.ledger("mada").sends}
        assert reasons == {"welcome": "stale", "check_in": "stale"}


class TestFailures:
    def unreadable(self, app: App, name: str) -> None:
        due = an_enrolment().model_copy(update={"member_id": f"m{name}", "state": {"joined_at": "long ago"}})
        app.store.create_member(a_member(id=f"m{name}"))
        app.store.arm(due)

    def test_one_bad_item_holds_up_nobody_and_is_raised_at_the_end(self, app: App) -> None:
        tick("onboarding", app, JOINED - timedelta(days=1))
        enrol(app, *neighbours(12))
        for name in ("bad1", "bad2", "bad3"):
            self.unreadable(app, name)
        with pytest.raises(ExceptionGroup) as failed:
            tick("onboarding", app, JOINED)
        assert len(failed.value.exceptions) == 3
        assert len(drain(app)) == 12

    def test_an_error_names_its_item_and_no_person(self, app: App) -> None:
        self.unreadable(app, "bad1")
        with pytest.raises(ExceptionGroup) as failed:
            tick("onboarding", app, JOINED)
        notes = [note for one in failed.value.exceptions for note in one.__notes__]
        assert set(notes) == {"agenda item onboarding/steps of member mbad1"}
        assert "example.com" not in "".join(notes)

    def test_a_bad_item_stays_for_the_next_tick(self, app: App) -> None:
        self.unreadable(app, "bad1")
        for _ in range(2):
            with pytest.raises(ExceptionGroup):
                tick("onboarding", app, JOINED)
        assert agenda(app, "mbad1").version == 0


class Full:
    """An SQS that takes every message but those of some members."""

    def __init__(self, refused: str) -> None:
        self.refused = refused
        self.client = boto3.client("sqs")

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:  # noqa: N803 - SQS's
        good = [entry for entry in Entries if self.refused not in entry["MessageBody"]]
        if good:
            self.client.send_message_batch(QueueUrl=QueueUrl, Entries=good)
        bad = [{"Id": entry["Id"], "Code": "InternalError"} for entry in Entries if entry not in good]
        return {"Failed": bad} if bad else {}


class TestRefusedByTheQueue:
    def full(self, app: App) -> None:
        app.queue = MailQueue(Full("mbo"), app.settings.mail_queue_url)  # type: ignore[arg-type]

    def test_a_decision_whose_mail_was_refused_is_left_undone(self, app: App) -> None:
        enrol(app, "bo")
        self.full(app)
        with pytest.raises(ExceptionGroup):
            tick("onboarding", app, JOINED)
        assert (agenda(app, "mbo").version, agenda(app, "mbo").state["settled"]) == (0, [])

    def test_those_beside_it_in_the_batch_are_sent_and_settled(self, app: App) -> None:
        [beside] = neighbours(1)
        enrol(app, "bo", beside)
        self.full(app)
        with pytest.raises(ExceptionGroup):
            tick("onboarding", app, JOINED)
        assert agenda(app, f"m{beside}").state["settled"] == ["welcome"]
        assert [mail.send_id for mail in drain(app)] == [f"onboarding/welcome/m{beside}/1"]

    def test_once_the_queue_is_back_nothing_was_lost(self, app: App) -> None:
        enrol(app, "bo")
        whole = app.queue
        self.full(app)
        with pytest.raises(ExceptionGroup):
            tick("onboarding", app, JOINED)
        app.queue = whole
        assert tick("onboarding", app, JOINED + timedelta(minutes=1)) == 1
        assert steps_sent(app) == ["welcome"]


class TestAnEditedPlaybook:
    def after_the_welcome(self, app: App) -> None:
        enrol(app, "ada")
        tick("onboarding", app, JOINED)
        assert steps_sent(app) == ["welcome"]

    def test_an_earlier_day_brings_the_next_step_forward(self, app: App) -> None:
        self.after_the_welcome(app)
        app.playbook = a_playbook(steps=steps(("welcome", "1"), ("check_in", "2")))
        tick("onboarding", app, JOINED + timedelta(hours=1))
        assert agenda(app).due_at == DAY_3 - timedelta(days=1)

    def test_a_later_day_moves_the_next_step_back(self, app: App) -> None:
        self.after_the_welcome(app)
        app.playbook = a_playbook(steps=steps(("welcome", "1"), ("check_in", "5")))
        tick("onboarding", app, JOINED + timedelta(hours=1))
        assert agenda(app).due_at == DAY_3 + timedelta(days=2)
        assert tick("onboarding", app, DAY_3) == 0

    def test_a_new_step_between_reaches_who_is_under_way(self, app: App) -> None:
        self.after_the_welcome(app)
        app.playbook = a_playbook(steps=steps(("welcome", "1"), ("tips", "2"), ("check_in", "3")))
        tick("onboarding", app, JOINED + timedelta(hours=1))
        assert agenda(app).due_at == DAY_3 - timedelta(days=1)

    def test_a_step_taken_out_is_forgotten_and_the_next_comes(self, app: App) -> None:
        self.after_the_welcome(app)
        app.playbook = a_playbook(steps=steps(("welcome", "1"), ("digest", "7")))
        tick("onboarding", app, JOINED + timedelta(hours=1))
        assert agenda(app).due_at == DAY_3 + timedelta(days=4)

    def test_steps_in_another_order_never_send_one_twice(self, app: App) -> None:
        self.after_the_welcome(app)
        app.playbook = a_playbook(steps=steps(("check_in", "1"), ("welcome", "3")))
        now = JOINED + timedelta(hours=21)
        tick("onboarding", app, now)
        for _ in range(8):
            now = max(now, agenda(app).due_at) if app.store.agenda() else now
            tick("onboarding", app, now)
        assert steps_sent(app) == ["check_in"]

    def test_who_is_through_gets_a_step_that_is_added_within_90_days(self, app: App) -> None:
        enrol(app, "ada", settled=["welcome"], last_sent_at=JOINED)
        app.playbook = a_playbook(steps=steps(("welcome", "1")))
        tick("onboarding", app, JOINED)
        assert agenda(app).due_at == JOINED + timedelta(days=90)
        app.playbook = a_playbook(steps=steps(("welcome", "1"), ("check_in", "60")))
        tick("onboarding", app, JOINED + timedelta(days=40))
        assert agenda(app).due_at == DAY_3 + timedelta(days=57)

    def test_another_text_or_sender_rearranges_nothing(self, app: App, wire: Wire) -> None:
        self.after_the_welcome(app)
        raw = raw_playbook()
        raw["community"]["name"]["en"] = "Elsewhere"
        app.playbook = a_playbook().model_validate(raw)
        wire.requests.clear()
        tick("onboarding", app, JOINED + timedelta(hours=1))
        assert wire.requests == {"Query": keys.AGENDA_SHARDS}

    @pytest.mark.shows(34)
    def test_the_same_edit_rearranges_once(self, app: App, wire: Wire) -> None:
        self.after_the_welcome(app)
        app.playbook = a_playbook(steps=steps(("welcome", "1"), ("check_in", "5")))
        for minute in range(3):
            wire.requests.clear()
            tick("onboarding", app, JOINED + timedelta(minutes=60 + minute))
        assert wire.requests == {"Query": keys.AGENDA_SHARDS}


def see(app: App, stale: Due, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the index show an item as it was: it is only eventually consistent."""
    monkeypatch.setattr(app.store, "due", lambda *_: iter([(None, [stale])]))
    monkeypatch.setattr(app.store, "upcoming", lambda *_: iter([stale]))


class TestAStaleIndex:
    def test_an_item_that_has_moved_on_is_not_moved_back(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        enrol(app, "ada")
        stale = agenda(app)
        tick("onboarding", app, JOINED)
        moved = agenda(app)
        see(app, stale, monkeypatch)
        tick("onboarding", app, JOINED)
        assert agenda(app) == moved

    def test_an_item_that_is_gone_does_not_come_back(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        enrol(app, "ada")
        stale = agenda(app)
        app.store.done(stale)
        assert not app.store.advance(stale, stale)
        see(app, stale, monkeypatch)
        tick("onboarding", app, JOINED)
        assert app.store.agenda() == []

    def test_the_mail_of_a_stale_look_is_one_mail_all_the_same(
        self, app: App, wire: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        enrol(app, "ada")
        stale = agenda(app)
        tick("onboarding", app, JOINED)
        see(app, stale, monkeypatch)
        tick("onboarding", app, JOINED)
        mails = drain(app)
        assert len(mails) > 1
        assert {send_planned(mail, app, JOINED).status for mail in mails} == {SendStatus.SENT}
        assert wire.requests["SendEmail"] == 1
