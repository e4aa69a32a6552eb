"""What SES tells of a mail, in any order, twice, early or late: the ledger and the member end up the same."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from random import Random
from typing import Any

import pytest

from shared import feedback
from shared.app import App
from shared.breaker import BREAKER_KEY, BREAKER_MEMBER
from shared.errors import Unavailable
from shared.feedback import Feedback
from shared.machines import clicks_by_people
from shared.members import SOFT_BOUNCES, suppression_of
from shared.model import Consent, Due, Member, Send, SendStatus, Suppression
from shared.sending import follow_up_all, send_planned
from tests.aws.conftest import Wire
from tests.builders import JOINED, a_member, a_planned_mail, a_send, at
from tests.ses_events import ACCEPTED, KINDS, OF_OTHERS, SENT_AT, WELCOME, event, told

BREAKER_LOOK = ("mail", BREAKER_MEMBER, BREAKER_KEY)
NOW = at("2030-01-02T09:00Z")
"""When all of it is told: after the newest of the golden events."""


def tell(app: App, *names: str) -> None:
    for name in names:
        assert feedback.note(told(name), app, NOW)


@pytest.fixture
def sent(app: App) -> App:
    """An App that has sent Ada her welcome mail."""
    app.store.create_member(a_member())
    app.store.claim(a_send(message_id="ses-1"))
    return app


def ada(app: App, member_id: str = a_member().id) -> Member:
    found = app.store.member(member_id)
    assert found is not None
    return found


def line(app: App) -> Send:
    found = app.store.send(WELCOME)
    assert found is not None
    return found


def pulses(app: App) -> dict[str, int]:
    """What the breaker counts."""
    since, until = JOINED - timedelta(hours=1), NOW + timedelta(hours=1)
    return {kind: app.store.pulse(kind, since, until) for kind in ("send", "bounce", "complaint")}


def looks(app: App) -> list[Due]:
    """When the breaker's figures are to be looked at."""
    return [due for due in app.store.agenda() if (due.programme, due.member_id, due.key) == BREAKER_LOOK]


class TestNoting:
    @pytest.mark.parametrize("name", list(KINDS))
    def test_an_event_is_noted_once_with_its_first_time(self, sent: App, name: str) -> None:
        first = told(name)
        later = first.model_copy(update={"at": first.at + timedelta(days=1)})
        for one in (later, first, later, first):
            assert feedback.note(one, sent, NOW)
        assert line(sent).feedback == {KINDS[name]: first.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}

    @pytest.mark.parametrize("name", OF_OTHERS)
    def test_an_event_of_no_send_in_the_ledger_changes_nothing(self, sent: App, name: str) -> None:
        before, stranger = (ada(sent), line(sent)), told(name)
        assert not feedback.note(stranger, sent, NOW)
        assert (ada(sent), line(sent), pulses(sent), looks(sent)) == (
            *before,
            {"send": 0, "bounce": 0, "complaint": 0},
            [],
        )
        assert sent.store.send(stranger.send_id) is None

    @pytest.mark.shows(41)
    @pytest.mark.parametrize("order", list(permutations(["send", "delivery", "bounce_permanent", "complaint"]))[::4])
    def test_any_order_and_repetition_ends_the_same(self, sent: App, order: tuple[str, ...]) -> None:
        tell(sent, *order, *order)
        assert line(sent).status is SendStatus.SENT
        assert set(line(sent).feedback) == {"send", "delivery", "bounce", "complaint"}
        assert suppression_of(ada(sent)) is not None
        assert ada(sent).consent["all"].at == at("2030-01-02T08:30Z")
        assert pulses(sent) == {"send": 1, "bounce": 1, "complaint": 1}

    @pytest.mark.shows(28)
    @pytest.mark.parametrize("seed", range(4))
    def test_all_that_ses_may_tell_ends_the_same_in_any_order(self, app: App, seed: int) -> None:
        app.store.create_member(a_member())
        claimed = a_send(status=SendStatus.CLAIMED, token="t1", lease_until=JOINED + timedelta(minutes=3))
        app.store.claim(claimed)
        app.store.settle(claimed, SendStatus.UNKNOWN, JOINED, reason="ReadTimeoutError")
        names = [*KINDS] * 2
        Random(seed).shuffle(names)  # noqa: S311 - the same every time is the point
        tell(app, *names)
        assert line(app).feedback == {
            kind: min(told(name).at for name in KINDS if KINDS[name] == kind).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            for kind in KINDS.values()
        }
        assert (line(app).status, line(app).at) == (SendStatus.SENT, SENT_AT)
        assert pulses(app) == {"send": 1, "bounce": 1, "complaint": 1}
        assert suppression_of(ada(app)) == suppressed_by(told("bounce_permanent"))
        assert list(ada(app).soft_bounces) == [WELCOME.tag]
        assert ada(app).consent["all"] == refused_by(told("complaint"))

    def test_a_mail_to_a_manager_changes_no_member(self, app: App) -> None:
        about = told("bounce_of_manager").send_id
        app.store.claim(a_send(send_id=str(about), member_id=about.member_id))
        assert feedback.note(told("bounce_of_manager"), app, NOW)
        assert app.store.member(about.member_id) is None
        assert pulses(app)["bounce"] == 1


def suppressed_by(one: Feedback) -> Suppression:
    return Suppression(reason="bounce", at=one.at, by=one.send_id.tag)


def refused_by(one: Feedback) -> Consent:
    return Consent(given=False, at=one.at, by=one.send_id.tag)


class TestBounces:
    @pytest.mark.parametrize(
        "name", ["bounce_permanent", "bounce_of_named", "bounce_suppressed", "bounce_suppressed_globally"]
    )
    def test_a_permanent_bounce_ends_mails_to_the_address(self, sent: App, name: str) -> None:
        tell(sent, name)
        assert suppression_of(ada(sent)) == suppressed_by(told("bounce_permanent"))
        assert send_planned(a_planned_mail("check_in"), sent, JOINED + timedelta(days=1)).reason == "suppressed_bounce"

    @pytest.mark.parametrize(
        "name",
        [
            *("send", "delivery", "delivery_delay", "reject", "rendering_failure", "subscription"),
            *("open", "open_by_machine", "click", "click_by_scanner", "click_like_scanner", "complaint_not_spam"),
        ],
    )
    def test_nothing_is_concluded_of_the_member(self, sent: App, name: str) -> None:
        before = ada(sent)
        tell(sent, name)
        assert ada(sent) == before

    @pytest.mark.parametrize("name", ["bounce_transient", "bounce_undetermined"])
    def test_what_may_pass_suppresses_at_the_fifth_within_30_days(self, sent: App, name: str) -> None:
        for number in range(SOFT_BOUNCES):
            assert suppression_of(ada(sent)) is None
            one = told(name)
            about = one.send_id._replace(occurrence=str(number))
            sent.store.claim(a_send(send_id=str(about)))
            bounced_at = one.at + timedelta(days=7 * number)
            for _ in range(2):
                feedback.note(one.model_copy(update={"send_id": about, "at": bounced_at}), sent, bounced_at)
        found = suppression_of(ada(sent))
        assert found is not None
        assert (found.reason, found.by) == ("soft_bounces", about.tag)
        assert pulses(sent)["bounce"] == 0

    def test_a_bounce_of_a_merged_member_reaches_who_remains(self, sent: App) -> None:
        sent.store.create_member(a_member(id="mb", ordinal=1))
        sent.store.change_member(a_member().id, lambda member: member.model_copy(update={"merged_into": "mb"}))
        tell(sent, "bounce_permanent", "complaint")
        assert suppression_of(ada(sent, "mb")) is not None
        assert not ada(sent, "mb").consent["all"].given

    def test_a_bounce_of_an_address_since_left_does_not_suppress_the_new_one(self, sent: App) -> None:
        sent.store.change_member(a_member().id, lambda old: old.model_copy(update={"email": "ada@new.example.com"}))
        tell(sent, "bounce_permanent")
        assert suppression_of(ada(sent)) is None

    def test_a_domain_in_other_letters_is_the_same_address(self, app: App) -> None:
        app.store.create_member(a_member(email="ada@мастерские.example"))
        app.store.claim(a_send())
        abroad = event("bounce_permanent")
        abroad["detail"]["mail"]["destination"] = ["ada@" + "мастерские.example".encode("idna").decode()]
        [found] = feedback.read(abroad)
        feedback.note(found, app, NOW)
        assert suppression_of(ada(app)) is not None


class TestComplaints:
    @pytest.mark.parametrize("name", ["complaint", "complaint_of_domain", "complaint_suppressed"])
    def test_a_complaint_ends_marketing(self, sent: App, name: str) -> None:
        tell(sent, name)
        assert ada(sent).consent["all"] == refused_by(told(name))
        assert send_planned(a_planned_mail("check_in"), sent, JOINED + timedelta(days=1)).reason == "unsubscribed"

    def test_a_complaint_is_only_whose_mail_it_is_about(self, sent: App) -> None:
        sent.store.create_member(a_member(id="mb", ordinal=1, email="bea@example.com"))
        tell(sent, "complaint_of_domain")
        assert ada(sent, "mb").consent == {}

    def test_a_complaint_does_not_suppress_the_address(self, sent: App) -> None:
        tell(sent, "complaint")
        assert suppression_of(ada(sent)) is None


class TestPulses:
    @pytest.mark.parametrize(
        ("name", "counted"),
        [
            ("send", "send"),
            ("bounce_permanent", "bounce"),
            ("complaint", "complaint"),
            ("bounce_suppressed", ""),
            ("bounce_suppressed_globally", ""),
            ("bounce_transient", ""),
            ("complaint_suppressed", ""),
            ("complaint_not_spam", ""),
            ("delivery", ""),
            ("reject", ""),
            ("open", ""),
        ],
    )
    def test_the_breaker_counts_what_ses_counts_and_once(self, sent: App, name: str, counted: str) -> None:
        tell(sent, name, name)
        assert pulses(sent) == {kind: int(kind == counted) for kind in ("send", "bounce", "complaint")}

    @pytest.mark.parametrize("name", ["bounce_permanent", "complaint"])
    def test_a_bounce_or_complaint_has_the_breaker_looked_at_now(self, sent: App, name: str) -> None:
        tell(sent, name, name)
        assert [due.due_at for due in looks(sent)] == [NOW]

    @pytest.mark.parametrize("name", ["send", "bounce_permanent", "complaint"])
    def test_with_whatever_times_it_is_told_one_send_counts_once(self, sent: App, name: str) -> None:
        one = told(name)
        moments = [one.at, one.at - timedelta(hours=3), at("2039-01-01T00:00Z"), one.at + timedelta(minutes=90)]
        for moment in moments:
            feedback.note(one.model_copy(update={"at": moment}), sent, NOW)
        assert pulses(sent)[one.kind] == 1
        assert sent.store.pulse(one.kind, SENT_AT, SENT_AT + timedelta(microseconds=1)) == 1
        assert sent.store.pulse(one.kind, NOW, NOW + timedelta(hours=1)) == 0

    def test_a_bounce_dated_years_ahead_counts_and_is_looked_at_now(self, sent: App) -> None:
        ahead = event("bounce_permanent")
        ahead["detail"]["bounce"]["timestamp"] = "2039-01-01T00:00:00Z"
        [found] = feedback.read(ahead)
        feedback.note(found, sent, NOW)
        assert (pulses(sent)["bounce"], [due.due_at for due in looks(sent)]) == (1, [NOW])

    @pytest.mark.parametrize("name", ["bounce_permanent", "complaint"])
    def test_a_mail_sent_before_the_resuming_does_not_count_after_it(self, sent: App, name: str) -> None:
        resumed_at = SENT_AT + timedelta(seconds=1)
        assert told(name).at > resumed_at
        tell(sent, name)
        assert sent.store.pulse(KINDS[name], resumed_at, NOW + timedelta(hours=1)) == 0

    def test_a_mail_sent_in_the_future_was_sent_now(self, sent: App) -> None:
        early = SENT_AT - timedelta(minutes=30)
        assert feedback.note(told("bounce_permanent"), sent, early)
        assert sent.store.pulse("bounce", early, early + timedelta(microseconds=1)) == 1
        assert pulses(sent)["bounce"] == 1

    @pytest.mark.parametrize("name", ["send", "bounce_suppressed", "bounce_transient", "complaint_suppressed"])
    def test_nothing_else_has_the_breaker_looked_at(self, sent: App, name: str) -> None:
        tell(sent, name)
        assert looks(sent) == []

    def test_the_usual_send_event_costs_two_requests(self, sent: App, wire: Wire) -> None:
        wire.requests.clear()
        tell(sent, "send")
        assert wire.requests == {"UpdateItem": 1, "PutItem": 1}

    @pytest.mark.parametrize("name", ["delivery", "open", "click", "reject", "subscription"])
    def test_what_changes_nobody_costs_one_request(self, sent: App, wire: Wire, name: str) -> None:
        wire.requests.clear()
        tell(sent, name)
        assert wire.requests == {"UpdateItem": 1}


class TestClicks:
    @pytest.mark.parametrize("order", list(permutations(["click_like_scanner", "delivery", "click"])))
    def test_clicks_are_the_same_in_whatever_order_they_are_told(self, sent: App, order: tuple[str, ...]) -> None:
        tell(sent, *order)
        assert clicks_by_people(line(sent).feedback) == [told("click").at]


class TestSendEvents:
    def in_state(self, app: App, status: SendStatus) -> None:
        app.store.create_member(a_member())
        claimed = a_send(status=SendStatus.CLAIMED, token="t1", lease_until=JOINED + timedelta(minutes=3))
        app.store.claim(claimed)
        if status is not SendStatus.CLAIMED:
            app.store.settle(claimed, status, JOINED, reason="ReadTimeoutError")

    @pytest.mark.parametrize(
        ("status", "name"),
        [
            *((SendStatus.UNKNOWN, name) for name in ACCEPTED),
            *((status, "send") for status in (SendStatus.PARKED, SendStatus.DEFERRED, SendStatus.CLAIMED)),
            *((status, "delivery") for status in (SendStatus.PARKED, SendStatus.DEFERRED, SendStatus.CLAIMED)),
        ],
    )
    def test_what_was_accepted_settles_whatever_was_believed(self, app: App, status: SendStatus, name: str) -> None:
        self.in_state(app, status)
        tell(app, name)
        assert (line(app).status, line(app).reason, line(app).until) == (SendStatus.SENT, None, None)
        assert (line(app).message_id, line(app).at) == (told(name).message_id, SENT_AT)

    def test_nothing_that_ses_tells_undoes_a_skip(self, app: App) -> None:
        app.store.create_member(a_member())
        app.store.skip(a_send(status=SendStatus.SKIPPED, reason="left"))
        tell(app, *ACCEPTED)
        assert (line(app).status, line(app).reason) == (SendStatus.SKIPPED, "left")

    def test_a_send_that_is_sent_stays_as_it_is(self, sent: App) -> None:
        tell(sent, *ACCEPTED)
        assert (line(sent).message_id, line(sent).at) == ("ses-1", JOINED)

    @pytest.mark.parametrize("name", ["reject", "rendering_failure"])
    def test_what_ses_did_not_send_settles_no_doubt(self, app: App, name: str) -> None:
        self.in_state(app, SendStatus.UNKNOWN)
        tell(app, name)
        assert line(app).status is SendStatus.UNKNOWN

    @pytest.mark.parametrize("name", ["reject", "rendering_failure"])
    def test_what_ses_told_survives_another_claim(self, app: App, name: str) -> None:
        self.in_state(app, SendStatus.DEFERRED)
        tell(app, name)
        before = line(app)
        again = a_send(status=SendStatus.CLAIMED, token="t2", lease_until=JOINED + timedelta(minutes=9))
        assert app.store.claim(again) is None
        assert line(app) == again.model_copy(update={"feedback": before.feedback})
        assert before.feedback

    @pytest.mark.parametrize("name", ["send", "delivery"])
    def test_a_settled_doubt_is_neither_parked_nor_sent_again(self, app: App, wire: Wire, name: str) -> None:
        app.store.create_member(a_member())
        wire.lost_replies = 1
        send_planned(a_planned_mail(), app, JOINED)
        tell(app, name)
        assert follow_up_all(app, JOINED + timedelta(hours=1)) == {"settled": 1}
        assert send_planned(a_planned_mail(), app, JOINED + timedelta(hours=1)).status is SendStatus.SENT
        assert wire.requests["SendEmail"] == 1

    def test_a_doubt_settled_by_a_clock_ahead_is_settled_now(self, app: App) -> None:
        self.in_state(app, SendStatus.UNKNOWN)
        feedback.note(told("delivery"), app, JOINED)
        assert line(app).at == JOINED < SENT_AT

    def test_a_send_event_before_the_worker_is_done_keeps_the_worker_s_line(self, app: App) -> None:
        self.in_state(app, SendStatus.CLAIMED)
        tell(app, "send")
        claimed = a_send(status=SendStatus.CLAIMED, token="t1")
        assert app.store.settle(claimed, SendStatus.SENT, JOINED, message_id="ses-1", subject="Welcome", locale="en")
        assert (line(app).status, line(app).subject, line(app).locale) == (SendStatus.SENT, "Welcome", "en")

    def test_a_send_event_before_the_worker_s_doubt_wins(self, app: App) -> None:
        self.in_state(app, SendStatus.CLAIMED)
        tell(app, "send")
        claimed = a_send(status=SendStatus.CLAIMED, token="t1")
        assert not app.store.settle(claimed, SendStatus.UNKNOWN, JOINED, reason="ReadTimeoutError")
        assert line(app).status is SendStatus.SENT

    def test_a_failure_in_between_is_mended_when_the_event_comes_again(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.in_state(app, SendStatus.UNKNOWN)
        with monkeypatch.context() as away:
            away.setattr(app.store, "note_sent", _away)
            with pytest.raises(Unavailable):
                tell(app, "send")
        tell(app, "send")
        assert line(app).status is SendStatus.SENT
        assert pulses(app)["send"] == 1


def _away(*_: object, **__: object) -> Any:
    raise Unavailable("the table answered ThrottlingException")
