"""Why a mail does not go out now, when one is tried again, and what becomes of one in doubt."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ledger import IN_DOUBT, LEASE, SEND_EVENT_WINDOW, WhyNot, after_the_window, retry_at, why_not_send
from shared.model import Consent, Member, PlannedMail, Send, SendStatus, address_hash
from shared.playbook import Playbook, check
from tests.builders import JOINED, a_member, a_planned_mail, a_playbook, a_send, at, raw_playbook

TICK = timedelta(microseconds=1)
SUPPRESSED = {"suppressed_at": JOINED, "suppressed_by": "bounce", "suppressed_address": address_hash("ada@example.com")}
NO = Consent(given=False, at=JOINED)
YES = Consent(given=True, at=JOINED)


def why_not(
    member: Member | None,
    *sends: Send,
    planned: PlannedMail | None = None,
    playbook: Playbook | None = None,
    now: datetime = JOINED,
) -> WhyNot | None:
    return why_not_send(member, sends, planned or a_planned_mail(), playbook or a_playbook(), now)


def service_mails() -> Playbook:
    raw = raw_playbook()
    for mail in raw["mails"].values():
        mail["class"] = "service"
    return check(raw, source="playbook")


class TestAboutTheMember:
    def test_nothing_stands_against_a_mail_to_ada(self) -> None:
        assert why_not(a_member()) is None

    def test_an_unknown_member_gets_nothing(self) -> None:
        assert why_not(None) == WhyNot("unknown_member")

    def test_a_mail_taken_out_of_the_playbook_is_not_sent(self) -> None:
        assert why_not(a_member(), planned=a_planned_mail(mail="gone")) == WhyNot("not_in_playbook")

    @pytest.mark.parametrize("status", ["left", "removed", "banned"])
    def test_who_is_gone_gets_nothing_of_either_class(self, status: str) -> None:
        for playbook in (a_playbook(), service_mails()):
            assert why_not(a_member(status=status), playbook=playbook) == WhyNot(status)

    @pytest.mark.parametrize("role", ["staff", "bot"])
    def test_staff_and_bots_get_service_mails_alone(self, role: str) -> None:
        assert why_not(a_member(role=role)) == WhyNot(role)
        assert why_not(a_member(role=role), playbook=service_mails()) is None

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"email": None}, "no_address"),
            (SUPPRESSED, "suppressed"),
            ({"merged_into": "mb"}, "merged"),
        ],
    )
    def test_without_a_good_address_of_its_own_nothing_goes(self, changes: dict[str, object], reason: str) -> None:
        for playbook in (a_playbook(), service_mails()):
            assert why_not(a_member(**changes), playbook=playbook) == WhyNot(reason)

    def test_the_first_of_several_reasons_is_told(self) -> None:
        everything = {"merged_into": "mb", "status": "banned", "role": "bot", "email": None, **SUPPRESSED}
        reasons = []
        for name in ("merged_into", "status", "role", "email", "suppressed_address"):
            found = why_not(a_member(**everything))
            assert found is not None
            reasons.append(found.reason)
            del everything[name]
        assert reasons == ["merged", "banned", "bot", "no_address", "suppressed"]


class TestConsent:
    @pytest.mark.parametrize("category", ["all", "onboarding"])
    def test_a_refusal_stops_marketing_but_no_service_mail(self, category: str) -> None:
        refusing = a_member(consent={category: NO})
        assert why_not(refusing) == WhyNot("unsubscribed")
        assert why_not(refusing, playbook=service_mails()) is None

    def test_a_refusal_of_another_category_stops_nothing(self) -> None:
        assert why_not(a_member(consent={"digest": NO})) is None

    def test_consent_to_one_category_is_not_consent_to_all(self) -> None:
        assert why_not(a_member(consent={"all": NO, "onboarding": YES})) == WhyNot("unsubscribed")

    def test_consent_given_again_lets_mails_go(self) -> None:
        assert why_not(a_member(consent={"all": YES, "onboarding": YES})) is None


class TestAboutTime:
    def test_a_mail_is_stale_only_beyond_its_limit(self) -> None:
        limit = JOINED + timedelta(hours=72)
        assert why_not(a_member(), now=limit) is None
        assert why_not(a_member(), now=limit + TICK) == WhyNot("stale")

    def test_the_gap_to_the_last_mail_is_kept_to_the_moment(self) -> None:
        free_at = JOINED + timedelta(hours=20)
        late = a_planned_mail("check_in")
        assert why_not(a_member(), a_send(), planned=late, now=free_at) is None
        assert why_not(a_member(), a_send(), planned=late, now=free_at - TICK) == WhyNot("min_gap", until=free_at)

    def test_the_newest_of_several_mails_counts(self) -> None:
        sends = [a_send("check_in", at=JOINED + timedelta(hours=1)), a_send("welcome", at=JOINED)]
        found = why_not(a_member(), *sends, planned=a_planned_mail("digest"), now=JOINED + timedelta(hours=20.5))
        assert found == WhyNot("min_gap", until=JOINED + timedelta(hours=21))

    @pytest.mark.parametrize("status", [SendStatus.SKIPPED, SendStatus.DEFERRED, SendStatus.PARKED])
    def test_what_was_surely_not_sent_asks_for_no_gap(self, status: SendStatus) -> None:
        assert why_not(a_member(), a_send(status=status), planned=a_planned_mail("check_in")) is None

    @pytest.mark.parametrize(
        "changes", [{"status": SendStatus.UNKNOWN}, {"status": SendStatus.PARKED, "reason": IN_DOUBT}]
    )
    def test_what_may_have_been_sent_asks_for_the_gap(self, changes: dict[str, Any]) -> None:
        found = why_not(a_member(), a_send(**changes), planned=a_planned_mail("check_in"))
        assert found is not None
        assert found.reason == "min_gap"

    def test_a_mail_in_another_mailer_s_hands_is_waited_for(self) -> None:
        held = a_send(status=SendStatus.CLAIMED, token="t", lease_until=JOINED + LEASE)
        planned = a_planned_mail("check_in")
        assert why_not(a_member(), held, planned=planned) == WhyNot("min_gap", until=retry_at(planned, JOINED))

    def test_a_mail_kept_waiting_for_long_comes_at_its_own_hour(self) -> None:
        planned = a_planned_mail("check_in", planned_at=at("2030-01-03T09:00Z"))
        sent = a_send(at=at("2030-01-03T06:00Z"))
        found = why_not(a_member(), sent, planned=planned, now=at("2030-01-03T09:00Z"))
        assert found == WhyNot("min_gap", until=at("2030-01-04T09:00Z"))

    def test_a_mail_that_went_out_before_a_merge_does_not_go_again(self) -> None:
        before = a_send(send_id="onboarding/welcome/mb/1", member_id="mb")
        assert why_not(a_member(absorbed=frozenset({"mb"})), before) == WhyNot("sent_before_merge")

    def test_another_programme_s_mail_asks_for_no_gap(self) -> None:
        other = a_send(send_id=f"report/weekly/{a_member().id}/1")
        assert why_not(a_member(), other) is None

    def test_a_deferred_mail_is_never_free_before_it_says(self) -> None:
        sends = [a_send()]
        found = why_not(a_member(), *sends, planned=a_planned_mail("check_in"), now=JOINED + timedelta(hours=3))
        assert found is not None
        assert found.until is not None
        assert why_not(a_member(), *sends, planned=a_planned_mail("check_in"), now=found.until) is None


class TestRetry:
    @pytest.mark.parametrize(
        ("age", "shortest"),
        [
            (timedelta(0), timedelta(minutes=1)),
            (timedelta(minutes=2), timedelta(minutes=1)),
            (timedelta(minutes=20), timedelta(minutes=10)),
            (timedelta(hours=2), timedelta(hours=1)),
            (timedelta(days=3), timedelta(hours=1)),
        ],
    )
    def test_the_wait_is_half_the_age_from_one_minute_to_an_hour(self, age: timedelta, shortest: timedelta) -> None:
        wait = retry_at(a_planned_mail(), JOINED + age) - (JOINED + age)
        assert shortest <= wait < shortest * 1.25

    @given(age=st.timedeltas(timedelta(days=-1), timedelta(days=400)), member=st.integers())
    def test_a_retry_is_always_ahead_and_never_far(self, age: timedelta, member: int) -> None:
        now = JOINED + age
        planned = a_planned_mail(send_id=f"onboarding/welcome/m{member & 0xFFFF}/1")
        assert timedelta(minutes=1) <= retry_at(planned, now) - now < timedelta(minutes=75)

    def test_mails_refused_together_do_not_come_back_together(self) -> None:
        mails = [a_planned_mail(send_id=f"onboarding/welcome/m{number}/1") for number in range(100)]
        assert len({retry_at(mail, JOINED) for mail in mails}) > 75


class TestInDoubt:
    @pytest.mark.parametrize("mail_class", ["marketing", "service"])
    @pytest.mark.parametrize("status", [SendStatus.SENT, SendStatus.SKIPPED, SendStatus.PARKED])
    def test_what_is_settled_stays_settled(
        self, status: SendStatus, mail_class: Literal["marketing", "service"]
    ) -> None:
        assert after_the_window(a_send(status=status), mail_class, JOINED) == "settled"

    def test_a_send_that_never_was_is_settled(self) -> None:
        assert after_the_window(None, "service", JOINED) == "settled"

    @pytest.mark.parametrize("mail_class", ["marketing", "service"])
    def test_a_deferred_send_goes_again_in_either_class(self, mail_class: Literal["marketing", "service"]) -> None:
        assert after_the_window(a_send(status=SendStatus.DEFERRED), mail_class, JOINED) == "again"

    def test_an_unknown_send_is_decided_by_its_class(self) -> None:
        unknown, later = a_send(status=SendStatus.UNKNOWN), JOINED + SEND_EVENT_WINDOW
        assert after_the_window(unknown, "marketing", later) == "park"
        assert after_the_window(unknown, "service", later) == "again"

    @pytest.mark.parametrize("mail_class", ["marketing", "service"])
    def test_nothing_is_decided_before_the_window_is_over(self, mail_class: Literal["marketing", "service"]) -> None:
        unknown = a_send(status=SendStatus.UNKNOWN)
        assert after_the_window(unknown, mail_class, JOINED + SEND_EVENT_WINDOW - TICK) == "held"

    def test_a_deferred_send_is_left_until_its_time(self) -> None:
        deferred = a_send(status=SendStatus.DEFERRED, until=JOINED + LEASE)
        assert after_the_window(deferred, "service", JOINED + LEASE - TICK) == "held"
        assert after_the_window(deferred, "service", JOINED + LEASE) == "again"

    def test_a_claim_is_held_until_its_lease_is_over(self) -> None:
        claimed = a_send(status=SendStatus.CLAIMED, token="t", lease_until=JOINED + LEASE)
        assert after_the_window(claimed, "marketing", JOINED + LEASE - TICK) == "held"
        assert after_the_window(claimed, "marketing", JOINED + LEASE) == "park"
        assert after_the_window(claimed, "service", JOINED + LEASE) == "again"

    def test_the_lease_outlives_the_mailer_and_ends_before_the_window(self) -> None:
        assert timedelta(minutes=1) < LEASE < SEND_EVENT_WINDOW
