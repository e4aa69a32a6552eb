"""The send ledger in use: one mail an intent, whatever SES, the queue or a dying worker does."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.addresses import address_hash
from shared.app import App
from shared.errors import Unavailable, UsageError
from shared.mail import Mails
from shared.model import Consent, Due, PlannedMail, Send, SendId, SendStatus, Suppression
from shared.sending import AGENDA, follow_up_all, send_planned
from shared.store import keys
from tests.aws.conftest import Wire
from tests.builders import JOINED, a_member, a_planned_mail, a_playbook, a_send, posted, raw_playbook


@pytest.fixture
def ada(app: App) -> App:
    """An App that knows Ada."""
    app.store.create_member(a_member())
    return app


def line(app: App, step: str = "welcome") -> Send:
    found = app.store.send(SendId("onboarding", step, a_member().id))
    assert found is not None
    return found


def on_agenda(app: App) -> list[Due]:
    return [due for shard in range(keys.AGENDA_SHARDS) for due in app.store.upcoming(AGENDA, shard)]


BOUNCED = {"suppressions": {address_hash("ada@example.com"): Suppression(reason="bounce", at=JOINED)}}


class TestSent:
    def test_a_planned_mail_is_sent_and_the_ledger_says_so(self, ada: App, wire: Wire) -> None:
        send_planned(a_planned_mail(), ada, JOINED)
        assert (line(ada).status, line(ada).locale) == (SendStatus.SENT, "en")
        assert line(ada).message_id
        assert len(wire.mails) == 1

    def test_the_mail_carries_one_click_unsubscribe_and_its_intent(self, ada: App, wire: Wire) -> None:
        send_planned(a_planned_mail(), ada, JOINED)
        [mail] = wire.mails
        headers = {header["Name"]: header["Value"] for header in mail["Content"]["Simple"]["Headers"]}
        assert headers["List-Unsubscribe"].startswith("<https://links.example.com/l/u/")
        assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert mail["EmailTags"] == [{"Name": "send", "Value": f"onboarding-welcome-{a_member().id}-1"}]
        assert mail["ConfigurationSetName"] == "flywheel"

    def test_delivered_twice_by_the_queue_it_is_sent_once(self, ada: App, wire: Wire) -> None:
        for _ in range(3):
            send_planned(a_planned_mail(), ada, JOINED)
        assert wire.requests["SendEmail"] == 1

    def test_the_ambassador_mail_tells_what_the_member_did(self, ada: App, wire: Wire) -> None:
        active = {"active_days": frozenset({"2030-01-01"})}
        ada.store.change_member(a_member().id, lambda member: member.model_copy(update=active))
        ada.store.log([posted(id=f"slack:{number}") for number in range(3)])
        send_planned(a_planned_mail("ambassador"), ada, JOINED + timedelta(hours=1))
        assert "3" in wire.mails[0]["Content"]["Simple"]["Body"]["Text"]["Data"]


class TestNotSent:
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"status": "left"}, "left"),
            ({"status": "banned"}, "banned"),
            ({"role": "staff"}, "staff"),
            ({"email": None}, "no_address"),
            ({"email": "ада@example.com"}, "bad_address"),
            (BOUNCED, "suppressed_bounce"),
            ({"merged_into": "mb"}, "merged"),
            ({"consent": {"all": Consent(given=False, at=JOINED)}}, "unsubscribed"),
            ({"consent": {"onboarding": Consent(given=False, at=JOINED)}}, "unsubscribed"),
        ],
    )
    def test_what_happened_since_the_plan_wins(
        self, ada: App, wire: Wire, changes: dict[str, object], reason: str
    ) -> None:
        ada.store.change_member(a_member().id, lambda member: member.model_copy(update=changes))
        send_planned(a_planned_mail(), ada, JOINED)
        assert (line(ada).status, line(ada).reason) == (SendStatus.SKIPPED, reason)
        assert wire.requests["SendEmail"] == 0

    def test_a_mail_that_waited_too_long_is_skipped(self, ada: App) -> None:
        send_planned(a_planned_mail(), ada, JOINED + timedelta(hours=72, seconds=1))
        assert line(ada).reason == "stale"

    def test_a_mail_too_soon_after_the_last_is_deferred_not_dropped(self, ada: App, wire: Wire) -> None:
        send_planned(a_planned_mail(), ada, JOINED)
        send_planned(a_planned_mail("check_in"), ada, JOINED + timedelta(hours=5))
        assert (line(ada, "check_in").status, line(ada, "check_in").until) == (
            SendStatus.DEFERRED,
            JOINED + timedelta(days=1),
        )
        assert [due.due_at for due in on_agenda(ada)] == [JOINED + timedelta(days=1)]
        assert wire.requests["SendEmail"] == 1

    @pytest.mark.shows(26)
    def test_a_write_that_fails_while_deferring_loses_no_mail(
        self, ada: App, wire: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        night = JOINED + timedelta(hours=10)
        settle, failing = ada.store.settle, [True]

        def away_once(*arguments: Any, **changes: Any) -> bool:
            if failing and failing.pop():
                raise Unavailable("the table is away")
            return settle(*arguments, **changes)

        monkeypatch.setattr(ada.store, "settle", away_once)
        with pytest.raises(Unavailable):
            send_planned(a_planned_mail(), ada, night)
        assert send_planned(a_planned_mail(), ada, night).reason == "quiet_hours"
        morning = JOINED + timedelta(hours=19)
        follow_up_all(ada, morning)
        assert send_planned(a_planned_mail(), ada, morning).status is SendStatus.SENT
        assert wire.requests["SendEmail"] == 1

    def test_a_mail_that_waited_says_for_what(self, ada: App) -> None:
        waited = a_planned_mail(waited_for="quiet_hours")
        assert send_planned(waited, ada, JOINED).waited_for == "quiet_hours"
        assert line(ada).waited_for == "quiet_hours"
        late = a_planned_mail("check_in", waited_for="budget")
        send_planned(late, ada, JOINED + timedelta(days=9))
        assert (line(ada, "check_in").reason, line(ada, "check_in").waited_for) == ("stale", "budget")


class TestThrottled:
    @pytest.mark.shows(26)
    @pytest.mark.parametrize("error", ["TooManyRequestsException", "LimitExceededException"])
    def test_a_refused_call_is_tried_again_later_by_us_alone(self, ada: App, wire: Wire, error: str) -> None:
        wire.ses_will_answer(429, error)
        send_planned(a_planned_mail(), ada, JOINED)
        assert wire.requests["SendEmail"] == 1
        assert line(ada).status == SendStatus.DEFERRED
        [due] = on_agenda(ada)
        assert timedelta(minutes=1) <= due.due_at - JOINED <= timedelta(minutes=2)

    def test_when_its_time_comes_it_is_enqueued_and_sent(self, ada: App, wire: Wire) -> None:
        wire.ses_will_answer(429, "TooManyRequestsException")
        send_planned(a_planned_mail(), ada, JOINED)
        assert follow_up_all(ada, JOINED + timedelta(minutes=5)) == {"again": 1}
        assert wire.requests["SendMessageBatch"] == 1
        send_planned(a_planned_mail(), ada, JOINED + timedelta(minutes=5))
        assert line(ada).status == SendStatus.SENT
        assert on_agenda(ada) == []

    def test_deferred_again_before_the_follow_up_ends_it_is_not_lost(
        self, ada: App, wire: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wire.ses_will_answer(429, "TooManyRequestsException")
        send_planned(a_planned_mail(), ada, JOINED)
        wire.ses_will_answer(429, "TooManyRequestsException")
        later = JOINED + timedelta(minutes=5)
        put = ada.queue.put

        def put_and_send(mails: list[PlannedMail]) -> frozenset[str]:
            refused = put(mails)
            send_planned(a_planned_mail(), ada, later)  # a quick mailer, throttled again
            return refused

        monkeypatch.setattr(ada.queue, "put", put_and_send)
        follow_up_all(ada, later)
        assert line(ada).status == SendStatus.DEFERRED
        assert [due.due_at > later for due in on_agenda(ada)] == [True]

    def test_a_mail_that_ses_will_never_take_is_parked(self, ada: App, wire: Wire) -> None:
        wire.ses_will_answer(400, "MessageRejected")
        send_planned(a_planned_mail(), ada, JOINED)
        assert (line(ada).status, line(ada).reason) == (SendStatus.PARKED, "MessageRejected")


class TestInDoubt:
    def test_a_lost_reply_is_never_resent_at_once(self, ada: App, wire: Wire) -> None:
        wire.lost_replies = 1
        send_planned(a_planned_mail(), ada, JOINED)
        send_planned(a_planned_mail(), ada, JOINED)
        assert wire.requests["SendEmail"] == 1
        assert line(ada).status == SendStatus.UNKNOWN

    def test_a_server_fault_is_in_doubt_too(self, ada: App, wire: Wire) -> None:
        wire.ses_will_answer(500, "InternalFailure")
        send_planned(a_planned_mail(), ada, JOINED)
        assert line(ada).status == SendStatus.UNKNOWN

    def test_marketing_in_doubt_is_parked_after_the_window(self, ada: App, wire: Wire) -> None:
        wire.lost_replies = 1
        send_planned(a_planned_mail(), ada, JOINED)
        assert follow_up_all(ada, JOINED + timedelta(minutes=14)) == {}
        assert follow_up_all(ada, JOINED + timedelta(minutes=15)) == {"park": 1}
        assert line(ada).status == SendStatus.PARKED
        assert on_agenda(ada) == []

    def test_a_send_event_within_the_window_settles_it(self, ada: App, wire: Wire) -> None:
        wire.lost_replies = 1
        send_planned(a_planned_mail(), ada, JOINED)
        ada.store.note_sent(SendId.parse(a_planned_mail().send_id), "ses-1", JOINED)
        assert follow_up_all(ada, JOINED + timedelta(minutes=15)) == {"settled": 1}
        assert line(ada).status == SendStatus.SENT

    def test_a_service_mail_in_doubt_goes_again(self, ada: App, wire: Wire) -> None:
        raw = raw_playbook()
        raw["mails"]["welcome"]["class"] = "service"
        ada.playbook = a_playbook().model_validate(raw)
        wire.lost_replies = 1
        send_planned(a_planned_mail(), ada, JOINED)
        assert follow_up_all(ada, JOINED + timedelta(minutes=15)) == {"again": 1}
        send_planned(a_planned_mail(), ada, JOINED + timedelta(minutes=15))
        assert line(ada).status == SendStatus.SENT
        assert wire.requests["SendEmail"] == 2


class TestWorkers:
    def held_by_another(self, app: App) -> Send:
        held = a_send(status=SendStatus.CLAIMED, token="other", lease_until=JOINED + timedelta(minutes=3))
        app.store.claim(held)
        return held

    def test_what_another_worker_holds_comes_back_later(self, ada: App, wire: Wire) -> None:
        self.held_by_another(ada)
        with pytest.raises(Unavailable):
            send_planned(a_planned_mail(), ada, JOINED + timedelta(minutes=2))
        assert wire.requests["SendEmail"] == 0

    def test_what_a_dead_worker_held_is_in_doubt_not_sent(self, ada: App, wire: Wire) -> None:
        self.held_by_another(ada)
        send_planned(a_planned_mail(), ada, JOINED + timedelta(minutes=3))
        assert line(ada).status == SendStatus.UNKNOWN
        assert wire.requests["SendEmail"] == 0

    def test_a_zombie_s_late_finish_changes_nothing(self, ada: App) -> None:
        held = self.held_by_another(ada)
        send_planned(a_planned_mail(), ada, JOINED + timedelta(minutes=3))
        follow_up_all(ada, JOINED + timedelta(hours=1))
        assert not ada.store.settle(held, SendStatus.SENT, JOINED)
        assert line(ada).status == SendStatus.PARKED

    def test_who_comes_back_after_the_lease_cannot_settle_another_s_claim(self, ada: App) -> None:
        held = self.held_by_another(ada)
        assert ada.store.settle(held, SendStatus.DEFERRED, JOINED, until=JOINED)
        newer = held.model_copy(update={"token": "newer"})
        assert ada.store.claim(newer) is None
        assert not ada.store.settle(held, SendStatus.DEFERRED, JOINED, until=JOINED)
        assert line(ada).status == SendStatus.CLAIMED
        assert ada.store.settle(newer, SendStatus.SENT, JOINED)

    def test_a_failure_before_the_handover_gives_the_claim_back(self, ada: App) -> None:
        ada.mails = Mails(Path("/nowhere"))
        with pytest.raises(UsageError, match="no mails"):
            send_planned(a_planned_mail(), ada, JOINED)
        del ada.mails
        send_planned(a_planned_mail(), ada, JOINED)
        assert line(ada).status == SendStatus.SENT
