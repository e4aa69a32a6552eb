"""Why a mail does not go out now, when one is tried again, and what becomes of one in doubt."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.addresses import address_hash
from shared.breaker import LOOK_AGAIN
from shared.ledger import (
    IN_DOUBT,
    LEASE,
    SEND_EVENT_WINDOW,
    Facts,
    WhyNot,
    after_the_window,
    retry_at,
    why_not_send,
)
from shared.model import Consent, Due, Member, Pause, PlannedMail, Send, SendStatus, Suppression
from shared.playbook import Playbook, check
from tests.builders import (
    JOINED,
    a_member,
    a_planned_mail,
    a_playbook,
    a_send,
    an_enrolment,
    at,
    raw_playbook,
)

TICK = timedelta(microseconds=1)
SUPPRESSED = {"suppressions": {address_hash("ada@example.com"): Suppression(reason="bounce", at=JOINED)}}
NO = Consent(given=False, at=JOINED)
YES = Consent(given=True, at=JOINED)


def why_not(
    member: Member | None,
    *sends: Send,
    planned: PlannedMail | None = None,
    playbook: Playbook | None = None,
    now: datetime = JOINED,
    dues: Sequence[Due] = (),
    pause: Pause | None = None,
) -> WhyNot | None:
    facts = Facts(member=member, dues=dues, sends=sends, pause=pause)
    return why_not_send(facts, planned or a_planned_mail(), playbook=playbook or a_playbook(), now=now)


def service_mails() -> Playbook:
    raw = raw_playbook()
    for name, mail in raw["mails"].items():
        mail["class"] = "marketing" if name == "miss_you" else "service"
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
            (SUPPRESSED, "suppressed_bounce"),
            ({"merged_into": "mb"}, "merged"),
        ],
    )
    def test_without_a_good_address_of_its_own_nothing_goes(self, changes: dict[str, object], reason: str) -> None:
        for playbook in (a_playbook(), service_mails()):
            assert why_not(a_member(**changes), playbook=playbook) == WhyNot(reason)

    def test_the_first_of_several_reasons_is_told(self) -> None:
        everything = {"merged_into": "mb", "status": "banned", "role": "bot", "email": None, **SUPPRESSED}
        reasons = []
        for name in ("merged_into", "status", "role", "email", "suppressions"):
            found = why_not(a_member(**everything))
            assert found is not None
            reasons.append(found.reason)
            del everything[name]
        assert reasons == ["merged", "banned", "bot", "no_address", "suppressed_bounce"]


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
        assert why_not(a_member(), held, planned=planned) == WhyNot("one_at_a_time", until=retry_at(planned, JOINED))

    def test_a_mail_kept_waiting_for_long_comes_at_its_own_hour(self) -> None:
        planned = a_planned_mail("check_in", planned_at=at("2030-01-03T09:00Z"))
        sent = a_send(at=at("2030-01-03T06:00Z"))
        found = why_not(a_member(), sent, planned=planned, now=at("2030-01-03T09:00Z"))
        assert found == WhyNot("min_gap", until=at("2030-01-04T09:00Z"))

    def test_a_mail_that_went_out_before_a_merge_does_not_go_again(self) -> None:
        before = a_send(send_id="onboarding/welcome/mb/1", member_id="mb")
        assert why_not(a_member(absorbed=frozenset({"mb"})), before) == WhyNot("sent_before_merge")

    def test_another_programme_s_mail_asks_for_no_gap(self) -> None:
        other = a_send(send_id=f"report/weekly/{a_member().id}/1", at=JOINED - timedelta(days=1))
        assert why_not(a_member(), other) is None

    def test_a_deferred_mail_is_never_free_before_it_says(self) -> None:
        sends = [a_send()]
        found = why_not(a_member(), *sends, planned=a_planned_mail("check_in"), now=JOINED + timedelta(hours=3))
        assert found is not None
        assert found.until is not None
        assert why_not(a_member(), *sends, planned=a_planned_mail("check_in"), now=found.until) is None


def a_playbook_with(**limits: Any) -> Playbook:
    raw = raw_playbook()
    raw["limits"].update(limits)
    raw["onboarding"]["min_gap"] = "0h"
    return check(raw, source="playbook")


def planned(mail: str = "check_in", programme: str = "onboarding", **changes: Any) -> PlannedMail:
    send_id = f"{programme}/{mail}/{a_member().id}/1"
    fields: dict[str, Any] = {"send_id": send_id, "mail": mail, "planned_at": at("2030-01-03T09:00Z")}
    return a_planned_mail(**fields | changes)


class TestQuietHours:
    """Quiet from 21:00 to 08:00 in Berlin, which is an hour ahead of UTC."""

    def test_a_mail_at_night_waits_for_the_morning(self) -> None:
        late = planned(planned_at=at("2030-01-03T20:30Z"))
        assert why_not(a_member(), planned=late, now=at("2030-01-03T20:30Z")) == WhyNot(
            "quiet_hours", until=at("2030-01-04T07:00Z")
        )

    def test_an_excluded_weekday_is_waited_out(self) -> None:
        friday = at("2030-01-04T09:00Z")
        playbook = a_playbook_with(excluded_weekdays=["friday", "saturday", "sunday"])
        found = why_not(a_member(), planned=planned(planned_at=friday), playbook=playbook, now=friday)
        assert found == WhyNot("quiet_hours", until=at("2030-01-07T07:00Z"))

    def test_who_has_just_joined_at_night_is_welcomed_at_once(self) -> None:
        night = at("2030-01-01T23:30Z")
        welcome = a_planned_mail(planned_at=night)
        assert why_not(a_member(), planned=welcome, now=night) is None
        late = why_not(a_member(), planned=welcome, now=night + timedelta(hours=1))
        assert late == WhyNot("quiet_hours", until=at("2030-01-02T07:00Z"))

    def test_a_service_mail_knows_no_night(self) -> None:
        assert why_not(a_member(), playbook=service_mails(), now=at("2030-01-01T23:30Z")) is None


class TestBudget:
    def test_a_second_mail_of_a_day_waits_for_its_hour_tomorrow(self) -> None:
        first = a_send("welcome", at=at("2030-01-03T07:30Z"))
        found = why_not(a_member(), first, planned=planned(), playbook=a_playbook_with(), now=at("2030-01-03T09:00Z"))
        assert found == WhyNot("budget", until=at("2030-01-04T09:00Z"))

    def test_a_fourth_mail_waits_until_the_first_is_a_week_old(self) -> None:
        sends = [a_send(f"s{day}", at=at(f"2030-01-0{day}T09:00Z")) for day in (1, 3, 5)]
        found = why_not(
            a_member(),
            *sends,
            planned=planned(planned_at=at("2030-01-06T09:00Z")),
            playbook=a_playbook_with(),
            now=at("2030-01-06T09:00Z"),
        )
        assert found == WhyNot("budget", until=at("2030-01-08T09:00Z"))

    def test_mails_of_all_programmes_are_one_budget(self) -> None:
        other = a_send(send_id=f"reengagement/attempt1/{a_member().id}/20291201", mail="miss_you", at=JOINED)
        now = at("2030-01-01T15:00Z")
        found = why_not(a_member(), other, planned=planned(planned_at=now), now=now)
        assert found is not None
        assert found.reason == "budget"

    def test_service_mails_and_mails_not_sent_use_no_budget(self) -> None:
        now = at("2030-01-03T09:00Z")
        notice = a_send(send_id="operations/paused/ma/1", mail="mail_paused", at=now)
        skipped = a_send("welcome", status=SendStatus.SKIPPED, at=now)
        assert why_not(a_member(), notice, skipped, planned=planned(), playbook=a_playbook_with(), now=now) is None

    def test_a_mail_that_waited_for_the_budget_goes_when_it_said(self) -> None:
        sends = [a_send(f"s{day}", at=at(f"2030-01-0{day}T09:00Z")) for day in (1, 3, 5)]
        mail = planned(planned_at=at("2030-01-06T09:00Z"))
        found = why_not(a_member(), *sends, planned=mail, playbook=a_playbook_with(), now=at("2030-01-06T09:00Z"))
        assert found is not None
        assert found.until is not None
        assert why_not(a_member(), *sends, planned=mail, playbook=a_playbook_with(), now=found.until) is None


class TestPriority:
    NOW = at("2030-01-03T09:00Z")

    def asked(self, **facts: Any) -> WhyNot | None:
        mail = planned("miss_you", "reengagement", planned_at=self.NOW)
        mail = mail.model_copy(update={"send_id": f"reengagement/attempt1/{a_member().id}/20300101"})
        sends = facts.pop("sends", ())
        return why_not(a_member(), *sends, planned=mail, playbook=a_playbook_with(), now=self.NOW, **facts)

    def test_a_lower_mail_leaves_the_day_to_a_higher_one_still_to_come(self) -> None:
        step = an_enrolment().model_copy(update={"due_at": at("2030-01-03T15:00Z")})
        assert self.asked(dues=[step]) == WhyNot("budget", until=at("2030-01-04T09:00Z"))

    def test_a_step_of_tomorrow_takes_nothing_of_today(self) -> None:
        step = an_enrolment().model_copy(update={"due_at": at("2030-01-04T09:00Z")})
        assert self.asked(dues=[step]) is None

    def test_a_higher_mail_that_waits_has_the_first_right(self) -> None:
        waiting = a_send("check_in", status=SendStatus.DEFERRED, until=self.NOW, planned_at=self.NOW)
        assert self.asked(sends=[waiting]) == WhyNot("budget", until=at("2030-01-04T09:00Z"))

    def test_a_higher_mail_that_got_stuck_holds_up_nobody(self) -> None:
        stuck = a_send("check_in", status=SendStatus.DEFERRED, planned_at=at("2029-12-01T09:00Z"))
        assert self.asked(sends=[stuck]) is None

    def test_no_room_is_kept_for_a_mail_that_would_not_go(self) -> None:
        step = an_enrolment().model_copy(update={"due_at": at("2030-01-03T15:00Z")})
        refuses = a_member(consent={"onboarding": NO})
        mail = planned("miss_you", "reengagement", planned_at=self.NOW)
        mail = mail.model_copy(update={"send_id": f"reengagement/attempt1/{a_member().id}/20300101"})
        assert why_not(refuses, planned=mail, dues=[step], playbook=a_playbook_with(), now=self.NOW) is None
        failed = a_send("check_in", status=SendStatus.DEFERRED, reason="error", planned_at=self.NOW)
        assert self.asked(sends=[failed]) is None

    def test_a_mail_in_a_dead_mailer_s_hands_uses_the_budget(self) -> None:
        lost = a_send("welcome", status=SendStatus.CLAIMED, token="t", lease_until=self.NOW - LEASE, at=self.NOW)
        assert self.asked(sends=[lost]) == WhyNot("budget", until=at("2030-01-04T09:00Z"))

    def test_a_higher_mail_does_not_wait_for_a_lower_one(self) -> None:
        timer = Due(programme="reengagement", member_id=a_member().id, key="inactivity", due_at=self.NOW)
        step = planned(planned_at=self.NOW)
        assert why_not(a_member(), planned=step, dues=[timer], playbook=a_playbook_with(), now=self.NOW) is None


class TestPause:
    PAUSED = Pause(tripped_at=JOINED, reason="bounces", sends=200, bounces=9)

    def test_marketing_waits_while_it_is_paused(self) -> None:
        assert why_not(a_member(), pause=self.PAUSED) == WhyNot("paused", until=JOINED + LOOK_AGAIN)

    def test_service_mail_goes_on(self) -> None:
        assert why_not(a_member(), pause=self.PAUSED, playbook=service_mails()) is None

    def test_what_has_piled_up_goes_out_spread_over_the_ramp(self) -> None:
        resumed = self.PAUSED.model_copy(update={"resumed_at": JOINED})
        mails = [a_planned_mail(send_id=f"onboarding/welcome/m{number}/1") for number in range(400)]
        after_six_hours = [
            why_not(a_member(), planned=mail, pause=resumed, now=JOINED + timedelta(hours=6)) for mail in mails
        ]
        gone = sum(found is None for found in after_six_hours)
        assert 70 < gone < 130
        assert {found.reason for found in after_six_hours if found} == {"ramp"}
        free_at = sorted(self.goes_at(mail, resumed) for mail in mails)
        busiest = max(sum(start <= moment < start + timedelta(hours=1) for moment in free_at) for start in free_at)
        assert busiest < 400 / 6
        assert free_at[-1] <= JOINED + timedelta(hours=24 + 11)

    def goes_at(self, mail: PlannedMail, resumed: Pause) -> datetime:
        """When a mail that asks again as often as it is told to goes out at last."""
        now = JOINED
        while (found := why_not(a_member(), planned=mail, pause=resumed, now=now)) is not None:
            assert found.until is not None
            assert found.until > now
            now = found.until
        return now

    def test_the_time_of_a_pause_makes_no_mail_stale(self) -> None:
        joined = JOINED - timedelta(hours=1)
        mail = a_planned_mail("check_in", planned_at=joined)
        tripped = Pause(tripped_at=JOINED, reason="bounces")
        week = JOINED + timedelta(days=7)
        waits = why_not(a_member(), planned=mail, pause=tripped, now=week)
        assert waits is not None
        assert waits.reason == "paused"
        resumed = tripped.model_copy(update={"resumed_at": week})
        assert why_not(a_member(), planned=mail, pause=resumed, now=week + timedelta(hours=45)) is None
        assert why_not(a_member(), planned=mail, pause=resumed, now=week + timedelta(days=6)) == WhyNot("stale")


class TestNoLonger:
    def test_who_came_back_while_their_mail_waited_is_not_missed(self) -> None:
        mail = planned("miss_you", "reengagement", planned_at=JOINED)
        mail = mail.model_copy(update={"send_id": f"reengagement/attempt1/{a_member().id}/20291120"})
        back = a_member(last_active_at=JOINED)
        assert why_not(back, planned=mail, playbook=a_playbook_with()) == WhyNot("returned")
        away = a_member(last_active_at=at("2029-11-20T08:00Z"), status_at=None)
        assert why_not(away, planned=mail, playbook=a_playbook_with()) is None

    def test_a_survey_answered_meanwhile_is_not_asked_for(self) -> None:
        answered = a_member(survey_answered_at=JOINED)
        assert why_not(answered, planned=planned("survey", planned_at=JOINED)) == WhyNot("unless_answered_survey")

    def test_a_programme_taken_out_sends_no_more_marketing(self) -> None:
        mail = a_planned_mail(send_id=f"ghosts/boo/{a_member().id}/1")
        assert why_not(a_member(), planned=mail) == WhyNot("not_in_playbook")


class TestDormant:
    def test_who_is_left_in_peace_gets_service_mail_alone(self) -> None:
        dormant = a_member(dormant_at=JOINED + TICK)
        assert why_not(dormant) == WhyNot("dormant")
        assert why_not(dormant, playbook=service_mails()) is None

    @pytest.mark.parametrize("came", [{"last_active_at": JOINED}, {"consent": {"digest": YES}}, {"status_at": JOINED}])
    def test_who_came_back_is_written_to_again(self, came: dict[str, Any]) -> None:
        assert why_not(a_member(**{"dormant_at": JOINED, "status_at": None} | came)) is None


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

    @pytest.mark.shows(9, 22)
    def test_a_claim_is_held_until_its_lease_is_over(self) -> None:
        claimed = a_send(status=SendStatus.CLAIMED, token="t", lease_until=JOINED + LEASE)
        assert after_the_window(claimed, "marketing", JOINED + LEASE - TICK) == "held"
        assert after_the_window(claimed, "marketing", JOINED + LEASE) == "park"
        assert after_the_window(claimed, "service", JOINED + LEASE) == "again"

    @pytest.mark.shows(19)
    def test_the_lease_outlives_the_mailer_and_ends_before_the_window(self) -> None:
        assert timedelta(minutes=1) < LEASE < SEND_EVENT_WINDOW
