"""The onboarding programme's decisions: when a step is due, when it waits, when it is skipped and why."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.actions import Action, Advance, Arm, Done, SendMail, Skip, Wake
from shared.events import Profile
from shared.model import Due, Member
from shared.playbook import Playbook
from shared.programmes import onboarding
from tests.builders import JOINED, a_member, a_playbook, an_enrolment, at, joined, left, posted, updated

ZONES = sorted(available_timezones())


def moments(first: int, last: int) -> st.SearchStrategy[datetime]:
    """Any moment between two years."""
    seconds = st.integers(int(at(f"{first}-01-01T00:00Z").timestamp()), int(at(f"{last}-01-01T00:00Z").timestamp()))
    return seconds.map(lambda second: datetime.fromtimestamp(second, UTC))


def sent(actions: list[Action]) -> list[str]:
    return [action.mail for action in actions if isinstance(action, SendMail)]


def skipped(actions: list[Action]) -> dict[str, str]:
    return {action.mail: action.reason for action in actions if isinstance(action, Skip)}


def next_look(actions: list[Action]) -> datetime:
    return next(action.due_at for action in actions if isinstance(action, Advance))


def look(due: Due, now: datetime, member: Member | None = None, playbook: Playbook | None = None) -> list[Action]:
    return onboarding.on_due(due, member or a_member(), playbook or a_playbook(), now)


def later(due: Due, actions: list[Action]) -> Due:
    moved = next(action for action in actions if isinstance(action, Advance))
    return due.model_copy(update={"due_at": moved.due_at, "state": moved.state})


def run_through(member: Member, playbook: Playbook, due: Due, days: int) -> list[tuple[str, datetime]]:
    """Every mail of a member's onboarding and when it was decided, ticking exactly when the agenda says."""
    mails = []
    until = due.due_at + timedelta(days=days)
    while due.due_at <= until:
        actions = onboarding.on_due(due, member, playbook, due.due_at)
        mails += [(action.mail, due.due_at) for action in actions if isinstance(action, SendMail)]
        if any(isinstance(action, Done) for action in actions):
            break
        due = later(due, actions)
    return mails


class TestWhatIsRemembered:
    @pytest.mark.parametrize("last", [None, "2030-01-03T08:00:00.000001Z"])
    def test_an_enrolment_is_read_as_it_was_written(self, last: str | None) -> None:
        written: dict[str, Any] = {"joined_at": "2030-01-01T12:00:00Z", "settled": ["welcome"], "last_sent_at": last}
        read = onboarding.Enrolment.read(written)
        assert (read.joined_at, read.last_sent_at) == (JOINED, at(last) if last else None)
        assert read.written() == written

    @pytest.mark.parametrize(
        "state",
        [
            {},
            {"joined_at": "ada@example.com"},
            {"joined_at": "2030-01-01T12:00:00"},
            {"joined_at": "2030-01-01T12:00:00Z", "settled": "welcome"},
            {"joined_at": "2030-01-01T12:00:00Z", "last_sent_at": 3},
        ],
    )
    def test_what_is_no_enrolment_is_refused_and_never_quoted(self, state: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"^an agenda item does not hold an enrolment$"):
            onboarding.Enrolment.read(state)


class TestEnrolling:
    def test_a_join_puts_the_steps_on_the_agenda_at_once(self) -> None:
        [action] = onboarding.on_event(joined(), None, a_member(), a_playbook())
        assert isinstance(action, Arm)
        assert action.due_at == JOINED

    def test_a_join_before_the_start_enrols_nobody(self) -> None:
        assert onboarding.on_event(joined(), None, a_member(), a_playbook(start="2030-01-01T12:00:01Z")) == []

    def test_a_join_exactly_at_the_start_enrols(self) -> None:
        assert onboarding.on_event(joined(), None, a_member(), a_playbook(start="2030-01-01T12:00:00Z"))

    @pytest.mark.parametrize(("days", "actions"), [(89, ["Arm"]), (90, []), (900, [])])
    def test_a_join_told_when_enrolment_would_be_over_enrols_nobody(self, days: int, actions: list[str]) -> None:
        told = joined(received_at=JOINED + timedelta(days=days))
        playbook = a_playbook(start="2020-01-01T00:00:00Z")
        assert [type(one).__name__ for one in onboarding.on_event(told, None, a_member(), playbook)] == actions

    def test_of_a_join_told_late_only_what_is_yet_to_come_is_sent(self) -> None:
        told, playbook = JOINED + timedelta(days=20), a_playbook()
        actions = onboarding.on_due(an_enrolment(), a_member(), playbook, told)
        assert [(one.send_id.step, one.reason) for one in actions if isinstance(one, Skip)] == [
            (step, "stale") for step in ("welcome", "check_in", "digest", "survey")
        ]
        [look_again] = [one for one in actions if not isinstance(one, Skip)]
        assert isinstance(look_again, Advance)
        assert look_again.due_at == at("2030-01-30T09:00Z")

    def test_a_first_post_of_somebody_unknown_enrols_nobody(self) -> None:
        assert onboarding.on_event(posted(), None, a_member(joined_at=None), a_playbook()) == []

    def test_a_join_older_than_a_leave_enrols_nobody(self) -> None:
        gone = a_member(status="left", status_at=at("2030-01-02T00:00Z"))
        assert onboarding.on_event(joined(), None, gone, a_playbook()) == []

    @pytest.mark.parametrize("name", ["email", "timezone"])
    def test_a_new_address_or_zone_brings_the_agenda_forward(self, name: str) -> None:
        moment = at("2030-01-02T00:00Z")
        member = a_member(told_at={name: moment})
        wake = Wake(programme="onboarding", member_id=member.id, key="steps", at=moment)
        assert onboarding.on_event(updated(Profile(), at=moment), a_member(), member, a_playbook()) == [wake]

    def test_a_retry_that_finds_the_address_folded_in_still_brings_it_forward(self) -> None:
        moment = at("2030-01-02T00:00Z")
        member = a_member(told_at={"email": moment})
        assert onboarding.on_event(updated(Profile(), at=moment), member, member, a_playbook()) != []

    def test_news_of_anything_else_moves_nothing(self) -> None:
        news = updated(Profile(name="Ada"), at=at("2030-01-02T00:00Z"))
        assert onboarding.on_event(news, a_member(), a_member(), a_playbook()) == []

    def test_leaving_asks_for_nothing(self) -> None:
        assert onboarding.on_event(left(), a_member(), a_member(status="left"), a_playbook()) == []


class TestTimes:
    def test_the_whole_programme_comes_on_days_1_3_7_14_30(self) -> None:
        mails = run_through(a_member(), a_playbook(), an_enrolment(), days=100)
        assert mails == [
            ("welcome", at("2030-01-01T12:00Z")),
            ("check_in", at("2030-01-03T09:00Z")),
            ("digest", at("2030-01-07T09:00Z")),
            ("survey", at("2030-01-14T09:00Z")),
            ("ambassador", at("2030-01-30T09:00Z")),
        ]

    @pytest.mark.parametrize(
        ("zone", "joined_at", "due_at"),
        [
            ("Europe/Berlin", "2030-03-29T12:00Z", "2030-03-31T08:00Z"),  # the clocks went forward that night
            ("Europe/Berlin", "2030-10-25T12:00Z", "2030-10-27T09:00Z"),  # the clocks went back that night
            ("Pacific/Auckland", "2030-01-01T11:30Z", "2030-01-03T21:00Z"),  # there it was already 2 January
            ("America/Los_Angeles", "2030-01-01T07:30Z", "2030-01-02T18:00Z"),  # there it was still 31 December
            ("Asia/Kolkata", "2030-01-01T12:00Z", "2030-01-03T04:30Z"),
        ],
    )
    def test_day_3_is_ten_o_clock_two_local_days_later(self, zone: str, joined_at: str, due_at: str) -> None:
        playbook = a_playbook()
        times = onboarding.Timetable(at(joined_at), a_member(timezone=zone), playbook)
        assert times.due_at(playbook.onboarding.steps[1]) == at(due_at)

    @given(
        zone=st.sampled_from(ZONES),
        joined_at=moments(2015, 2035),
        clock=st.times().map(lambda clock: clock.replace(second=0, microsecond=0, fold=0)),
        day=st.integers(2, 60),
    )
    def test_any_step_in_any_zone_shows_its_local_time_on_its_local_day(
        self, zone: str, joined_at: datetime, clock: time, day: int
    ) -> None:
        steps = [{"key": "only", "day": day, "mail": "welcome"}]
        playbook = a_playbook(at_any_hour=True, send_at=clock.strftime("%H:%M"), steps=steps)
        [step] = playbook.onboarding.steps
        due_at = onboarding.Timetable(joined_at, a_member(timezone=zone), playbook).due_at(step)
        shown = due_at.astimezone(ZoneInfo(zone))
        wanted = joined_at.astimezone(ZoneInfo(zone)).date() + timedelta(days=day - 1)
        if (shown.date(), shown.time()) != (wanted, clock):  # that minute does not exist: the clocks jumped over it
            assert not _exists(wanted, clock, ZoneInfo(zone))
            assert timedelta(0) < _naive(shown) - datetime.combine(wanted, clock) <= timedelta(hours=24)

    def test_a_member_without_a_zone_keeps_the_community_s(self) -> None:
        mails = run_through(a_member(timezone=None), a_playbook(), an_enrolment(), days=3)
        assert mails[1] == ("check_in", at("2030-01-03T09:00Z"))

    @given(
        zone=st.sampled_from(ZONES),
        joined_at=moments(2026, 2035),
        days=st.lists(st.integers(1, 40), min_size=1, max_size=8, unique=True).map(sorted),
        late=st.integers(0, 200),
    )
    def test_two_mails_never_come_closer_than_the_gap(
        self, zone: str, joined_at: datetime, days: list[int], late: int
    ) -> None:
        steps = [{"key": f"day_{day}", "day": day, "mail": "welcome"} for day in days]
        due = an_enrolment(joined_at).model_copy(update={"due_at": joined_at + timedelta(hours=late)})
        mails = run_through(a_member(timezone=zone, joined_at=joined_at), a_playbook(steps=steps), due, days=90)
        times = [moment for _, moment in mails]
        assert all(after - before >= timedelta(hours=20) for before, after in pairwise(times))

    def test_at_the_end_the_member_stays_reachable_for_steps_added_later(self) -> None:
        due = an_enrolment(settled=["welcome", "check_in", "digest", "survey", "ambassador"])
        assert next_look(look(due, at("2030-02-01T00:00Z"))) == JOINED + timedelta(days=90)
        assert look(due, JOINED + timedelta(days=90)) == [Done(due=due)]


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


def _exists(day: date, clock: time, zone: ZoneInfo) -> bool:
    wall = datetime.combine(day, clock, zone)
    return _naive(wall.astimezone(UTC).astimezone(zone)) == datetime.combine(day, clock)


class TestStopping:
    @pytest.mark.parametrize(
        "changes", [{"status": "left"}, {"status": "removed"}, {"status": "banned"}, {"role": "staff"}]
    )
    def test_a_step_that_comes_due_meanwhile_is_skipped_with_the_reason(self, changes: dict[str, str]) -> None:
        due = an_enrolment(settled=["welcome"])
        actions = look(due, at("2030-01-03T09:00Z"), a_member(**changes))
        assert skipped(actions) == {"check_in": next(iter(changes.values()))}
        assert next_look(actions) == at("2030-01-07T09:00Z")

    def test_who_comes_back_gets_what_is_still_to_come(self) -> None:
        gone = look(an_enrolment(settled=["welcome"]), at("2030-01-03T09:00Z"), a_member(status="left"))
        assert sent(look(later(an_enrolment(), gone), at("2030-01-07T09:00Z"))) == ["digest"]

    def test_a_daily_step_keeps_a_gap_of_a_day(self) -> None:
        steps = [{"key": f"day_{day}", "day": day, "mail": "welcome"} for day in (2, 3, 4)]
        playbook, due = a_playbook(steps=steps, min_gap="24h"), an_enrolment()
        due = due.model_copy(update={"due_at": at("2030-01-02T09:00:37Z")})
        days = []
        for _ in steps:
            actions = onboarding.on_due(due, a_member(), playbook, due.due_at)
            days += [due.due_at.day] * len(sent(actions))
            due = later(due, actions)
            due = due.model_copy(update={"due_at": due.due_at + timedelta(seconds=37)})
        assert days == [2, 3, 4]

    def test_a_merged_member_stops(self) -> None:
        actions = look(an_enrolment(), JOINED, a_member(merged_into="mb"))
        assert skipped(actions) == {"welcome": "merged"}
        assert actions[-1] == Done(due=an_enrolment())

    def test_somebody_who_was_erased_gets_no_line(self) -> None:
        assert onboarding.on_due(an_enrolment(), None, a_playbook(), JOINED) == [Done(due=an_enrolment())]


class TestAddress:
    def test_a_step_without_an_address_waits(self) -> None:
        actions = look(an_enrolment(), JOINED, a_member(email=None))
        assert sent(actions) == []
        assert next_look(actions) == JOINED + timedelta(hours=72)

    def test_a_step_goes_out_when_the_address_comes(self) -> None:
        assert sent(look(an_enrolment(), JOINED + timedelta(hours=30))) == ["welcome"]

    def test_a_step_that_waited_too_long_is_skipped(self) -> None:
        actions = look(an_enrolment(), JOINED + timedelta(hours=72), a_member(email=None))
        assert skipped(actions) == {"welcome": "no_address"}
        assert next_look(actions) == at("2030-01-03T09:00Z") + timedelta(hours=72)


class TestLate:
    def test_after_an_outage_stale_steps_are_skipped_not_sent_in_a_burst(self) -> None:
        actions = look(an_enrolment(settled=["welcome"]), at("2030-01-15T00:00Z"))
        assert skipped(actions) == {"check_in": "stale", "digest": "stale"}
        assert sent(actions) == ["survey"]

    def test_a_step_exactly_as_late_as_allowed_still_goes(self) -> None:
        due = an_enrolment(settled=["welcome"])
        assert sent(look(due, at("2030-01-06T09:00Z"))) == ["check_in"]
        assert sent(look(due, at("2030-01-06T09:00:01Z"))) == []

    def test_a_late_mail_moves_the_next_to_the_first_local_send_time_after_the_gap(self) -> None:
        due = an_enrolment(settled=["welcome"], last_sent_at=at("2030-01-02T20:00Z"))
        actions = look(due, at("2030-01-03T09:00Z"))
        assert sent(actions) == []
        assert next_look(actions) == at("2030-01-04T09:00Z")


class TestConditions:
    def test_who_has_posted_is_not_asked_to_introduce_themselves(self) -> None:
        [mail, *_] = look(an_enrolment(), JOINED, a_member(first_post_at=JOINED))
        assert isinstance(mail, SendMail)
        assert mail.leave_out == ("introduction",)

    def test_who_has_not_posted_is_asked(self) -> None:
        [mail, *_] = look(an_enrolment(), JOINED)
        assert isinstance(mail, SendMail)
        assert mail.leave_out == ()

    def test_an_answered_survey_is_not_asked_again(self) -> None:
        due = an_enrolment(settled=["welcome", "check_in", "digest"])
        actions = look(due, at("2030-01-14T09:00Z"), a_member(survey_answered_at=JOINED))
        assert skipped(actions) == {"survey": "unless_answered_survey"}


class TestEditing:
    def edited(self, *steps: tuple[str, int]) -> Playbook:
        return a_playbook(steps=[{"key": key, "day": day, "mail": "welcome"} for key, day in steps])

    def test_an_added_step_reaches_members_in_the_middle(self) -> None:
        due = an_enrolment(settled=["welcome", "check_in"]).model_copy(update={"due_at": at("2030-01-14T09:00Z")})
        playbook = self.edited(("welcome", 1), ("check_in", 3), ("new", 5), ("survey", 14))
        [action] = onboarding.rearrange(due, a_member(), playbook)
        assert isinstance(action, Advance)
        assert action.due_at == at("2030-01-05T09:00Z")

    def test_a_step_added_after_the_last_reaches_who_had_finished(self) -> None:
        due = an_enrolment(settled=["welcome"]).model_copy(update={"due_at": JOINED + timedelta(days=90)})
        [action] = onboarding.rearrange(due, a_member(), self.edited(("welcome", 1), ("extra", 45)))
        assert isinstance(action, Advance)
        assert action.due_at == at("2030-02-14T09:00Z")

    def test_a_step_added_long_past_is_skipped_as_stale(self) -> None:
        playbook = self.edited(("welcome", 1), ("new", 2))
        actions = look(an_enrolment(settled=["welcome"]), at("2030-01-20T00:00Z"), playbook=playbook)
        assert skipped(actions) == {"welcome": "stale"}

    @pytest.mark.shows(34)
    def test_a_settled_step_moved_to_another_day_is_not_sent_again(self) -> None:
        due = an_enrolment(settled=["welcome", "check_in"])
        assert sent(look(due, at("2030-01-05T09:00Z"), playbook=self.edited(("welcome", 1), ("check_in", 5)))) == []

    def test_a_removed_step_is_not_sent(self) -> None:
        mails = run_through(a_member(), self.edited(("welcome", 1), ("survey", 14)), an_enrolment(), days=100)
        assert len(mails) == 2

    def test_an_unchanged_playbook_rearranges_nothing(self) -> None:
        due = an_enrolment(settled=["welcome"]).model_copy(update={"due_at": at("2030-01-03T09:00Z")})
        assert onboarding.rearrange(due, a_member(), a_playbook()) == []

    def test_only_what_decides_times_changes_the_plan(self) -> None:
        assert onboarding.plan(a_playbook()) == onboarding.plan(a_playbook(min_gap="5h"))
        assert onboarding.plan(a_playbook()) != onboarding.plan(a_playbook(send_at="11:00"))
