"""What SES tells of a mail, in any order, twice, early or late: the ledger and the member end up the same."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import cache
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import feedback
from shared.app import App
from shared.feedback import Feedback
from shared.model import Member, Send, SendId, SendStatus
from shared.sending import follow_up_all, send_planned
from tests.aws.conftest import Wire
from tests.builders import JOINED, ROOT, a_member, a_planned_mail, a_send, at

FOLDER = ROOT / "events" / "ses"
WELCOME = SendId("onboarding", "welcome", a_member().id)
KINDS = {
    "send": "send",
    "delivery": "delivery",
    "delivery_delay": "delivery_delay",
    "bounce_permanent": "bounce",
    "bounce_suppressed": "bounce",
    "bounce_transient": "bounce",
    "bounce_undetermined": "bounce",
    "complaint": "complaint",
    "reject": "reject",
    "rendering_failure": "rendering_failure",
    "open": "open",
    "click": "click",
    "subscription": "subscription",
}
NOT_OURS = ["unknown_event", "no_tag", "foreign_tag", "no_mail", "plain_text", "other_source"]


@cache
def text(name: str) -> str:
    return (FOLDER / f"{name}.json").read_text(encoding="utf-8")


def event(name: str) -> dict[str, Any]:
    """The golden SES event of a file's name."""
    found: dict[str, Any] = json.loads(text(name))
    return found


def tell(app: App, *names: str) -> None:
    for name in names:
        found = feedback.read(event(name))
        assert found is not None
        assert feedback.note(found, app)


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


class TestReading:
    def test_every_golden_event_is_either_ours_or_not(self) -> None:
        assert {path.stem for path in FOLDER.glob("*.json")} == {*KINDS, *NOT_OURS, "unknown_send"}

    @pytest.mark.parametrize("name", list(KINDS))
    def test_each_event_is_of_its_kind_and_its_mail(self, name: str) -> None:
        found = feedback.read(event(name))
        assert found is not None
        assert (found.kind, found.send_id) == (KINDS[name], WELCOME)
        assert found.permanent == (name in {"bounce_permanent", "bounce_suppressed"})

    @pytest.mark.parametrize(
        ("name", "moment"),
        [
            ("delivery", "2030-01-01T12:00:02.500Z"),
            ("bounce_permanent", "2030-01-01T12:00:03.100Z"),
            ("delivery_delay", "2030-01-01T12:10:00Z"),
            ("send", "2030-01-01T12:00:01.250Z"),  # these three have no time of their own: the mail's
            ("reject", "2030-01-01T12:00:01.250Z"),
            ("rendering_failure", "2030-01-01T12:00:01.250Z"),
        ],
    )
    def test_an_event_s_time_is_its_own_or_the_mail_s(self, name: str, moment: str) -> None:
        found = feedback.read(event(name))
        assert found is not None
        assert found.at == at(moment)

    @pytest.mark.parametrize("name", NOT_OURS)
    def test_what_is_not_ours_is_nothing(self, name: str) -> None:
        assert feedback.read(event(name)) is None

    @given(
        st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)),
        st.data(),
    )
    def test_whatever_is_put_in_a_place_of_an_event_nothing_breaks(self, junk: object, data: st.DataObject) -> None:
        whole = event(data.draw(st.sampled_from(list(KINDS))))
        place: Any = whole
        for _ in range(data.draw(st.integers(0, 4))):
            keys = sorted(key for key, value in place.items() if value and isinstance(value, dict))
            if not keys:
                break
            place = place[data.draw(st.sampled_from(keys))]
        place[data.draw(st.sampled_from(sorted(place)))] = junk
        assert isinstance(feedback.read(whole), Feedback | None)


class TestNoting:
    @pytest.mark.parametrize("name", list(KINDS))
    def test_an_event_is_noted_once_with_its_first_time(self, sent: App, name: str) -> None:
        tell(sent, name, name)
        later = feedback.read(event(name))
        assert later is not None
        feedback.note(later.model_copy(update={"at": later.at + timedelta(days=1)}), sent)
        assert line(sent).feedback == {KINDS[name]: later.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}

    def test_an_event_of_no_send_in_the_ledger_changes_nothing(self, sent: App) -> None:
        before, stranger = (ada(sent), line(sent)), feedback.read(event("unknown_send"))
        assert stranger is not None
        assert not feedback.note(stranger, sent)
        assert (ada(sent), line(sent)) == before
        assert sent.store.send(stranger.send_id) is None

    @pytest.mark.parametrize("order", list(permutations(["send", "delivery", "bounce_permanent", "complaint"]))[::4])
    def test_any_order_and_repetition_ends_the_same(self, sent: App, order: tuple[str, ...]) -> None:
        tell(sent, *order, *order)
        assert line(sent).status is SendStatus.SENT
        assert set(line(sent).feedback) == {"send", "delivery", "bounce", "complaint"}
        assert ada(sent).suppressed_at == at("2030-01-01T12:00:03.100Z")
        assert ada(sent).consent["all"].at == at("2030-01-02T08:30Z")


class TestBounces:
    @pytest.mark.parametrize("name", ["bounce_permanent", "bounce_suppressed"])
    def test_a_permanent_bounce_ends_mails_to_the_address(self, sent: App, name: str) -> None:
        tell(sent, name)
        assert (ada(sent).suppressed_at, ada(sent).suppressed_by) == (at("2030-01-01T12:00:03.100Z"), "bounce")
        assert send_planned(a_planned_mail("check_in"), sent, JOINED + timedelta(days=1)).reason == "suppressed"

    @pytest.mark.parametrize("name", ["bounce_transient", "bounce_undetermined", "delivery_delay", "reject", "open"])
    def test_nothing_is_concluded_from_what_may_pass(self, sent: App, name: str) -> None:
        before = ada(sent)
        tell(sent, name)
        assert ada(sent) == before

    def test_a_bounce_of_a_merged_member_reaches_who_remains(self, sent: App) -> None:
        sent.store.create_member(a_member(id="mb", ordinal=1))
        sent.store.change_member(a_member().id, lambda member: member.model_copy(update={"merged_into": "mb"}))
        tell(sent, "bounce_permanent", "complaint")
        assert ada(sent, "mb").suppressed_by == "bounce"
        assert not ada(sent, "mb").consent["all"].given


class TestComplaints:
    def test_a_complaint_ends_marketing(self, sent: App) -> None:
        tell(sent, "complaint")
        assert not ada(sent).consent["all"].given
        assert send_planned(a_planned_mail("check_in"), sent, JOINED + timedelta(days=1)).reason == "unsubscribed"

    def test_a_complaint_does_not_suppress_the_address(self, sent: App) -> None:
        tell(sent, "complaint")
        assert ada(sent).suppressed_at is None


class TestSendEvents:
    def in_state(self, app: App, status: SendStatus) -> None:
        app.store.create_member(a_member())
        claimed = a_send(status=SendStatus.CLAIMED, token="t1", lease_until=JOINED + timedelta(minutes=3))
        app.store.claim(claimed)
        if status is not SendStatus.CLAIMED:
            app.store.settle(claimed, status, JOINED, reason="ReadTimeoutError")

    @pytest.mark.parametrize("status", [SendStatus.UNKNOWN, SendStatus.PARKED, SendStatus.DEFERRED, SendStatus.CLAIMED])
    def test_a_send_event_settles_whatever_was_believed(self, app: App, status: SendStatus) -> None:
        self.in_state(app, status)
        tell(app, "send")
        assert (line(app).status, line(app).reason, line(app).until) == (SendStatus.SENT, None, None)
        assert line(app).message_id == event("send")["detail"]["mail"]["messageId"]

    def test_a_send_event_never_undoes_a_skip(self, app: App) -> None:
        app.store.create_member(a_member())
        app.store.skip(a_send(status=SendStatus.SKIPPED, reason="left"))
        tell(app, "send")
        assert (line(app).status, line(app).reason) == (SendStatus.SKIPPED, "left")

    @pytest.mark.parametrize("name", ["delivery", "bounce_transient", "open", "click"])
    def test_only_a_send_event_settles_a_doubt(self, app: App, name: str) -> None:
        self.in_state(app, SendStatus.UNKNOWN)
        tell(app, name)
        assert line(app).status is SendStatus.UNKNOWN

    def test_a_settled_doubt_is_neither_parked_nor_sent_again(self, app: App, wire: Wire) -> None:
        app.store.create_member(a_member())
        wire.lost_replies = 1
        send_planned(a_planned_mail(), app, JOINED)
        tell(app, "send")
        assert follow_up_all(app, JOINED + timedelta(hours=1)) == {"settled": 1}
        assert send_planned(a_planned_mail(), app, JOINED + timedelta(hours=1)).status is SendStatus.SENT
        assert wire.requests["SendEmail"] == 1

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
