"""Re-engagement: one lazy timer a member, a few attempts, a holdout, and then peace."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.actions import Action, Advance, Arm, Rest, SendMail, Skip, Try
from shared.events import CommunityEvent, Profile
from shared.experiments import group_of
from shared.members import choose, fold
from shared.model import Consent, Due, Member
from shared.playbook import Playbook, check
from shared.programmes import PROGRAMMES
from shared.programmes.reengagement import NAME, SPREAD, Spell, no_longer, on_due, on_event, plan, rearrange, wake
from tests.builders import a_member, a_playbook, at, joined, posted, raw_playbook, updated

DAY = timedelta(days=1)
BERLIN = ZoneInfo("Europe/Berlin")

OLD = at("2025-06-01T08:00Z")
"""Before onboarding's start: such a member was never enrolled."""

SEEN = at("2030-01-01T12:00Z")
FIRST = at("2030-02-01T09:00Z")
"""Thirty days after noon, at the next ten o'clock in Berlin."""


def silent(**changes: Any) -> Member:
    """Ada, long a member, last seen at noon on 1 January 2030, and not in the holdout."""
    return a_member(**{"created_at": OLD, "joined_at": OLD, "status_at": OLD, "last_active_at": SEEN} | changes)


def timer(due_at: datetime = FIRST, **state: Any) -> Due:
    plain = Spell(**state).model_dump(mode="json")
    return Due(programme=NAME, member_id=a_member().id, key="inactivity", due_at=due_at, state=plain)


def kinds(actions: list[Action]) -> list[str]:
    return [type(action).__name__ for action in actions]


def live(member: Member, due: Due, *, playbook: Playbook | None = None) -> list[Action]:
    """Everything the timer does until it is off the agenda, each look at its moment."""
    told: list[Action] = []
    for _ in range(20):
        actions = on_due(due, member, playbook or a_playbook(), due.due_at)
        told += [action for action in actions if not isinstance(action, Advance)]
        moves = [action for action in actions if isinstance(action, Advance)]
        if not moves:
            return told
        due = due.model_copy(update={"due_at": moves[0].due_at, "state": moves[0].state})
    raise AssertionError("the timer never comes to rest")


def a_held_out() -> Member:
    number = next(n for n in range(1000) if group_of(NAME, f"m{n}", 10) == "held_out")
    return silent(id=f"m{number}")


class TestTimer:
    def test_activity_only_makes_the_timer_look_again(self) -> None:
        active = silent(last_active_at=at("2030-01-20T12:00Z"))
        [again] = on_due(timer(), active, a_playbook(), FIRST)
        assert isinstance(again, Advance)
        assert again.due_at == at("2030-02-20T09:00Z")

    def test_a_member_active_every_day_costs_a_look_in_thirty_days(self) -> None:
        due, looks, now = timer(), 0, FIRST
        while now < FIRST + 360 * DAY:
            [again] = on_due(due, silent(last_active_at=now - timedelta(hours=3)), a_playbook(), now)
            assert isinstance(again, Advance)
            due, looks, now = (
                due.model_copy(update={"due_at": again.due_at, "state": again.state}),
                looks + 1,
                again.due_at,
            )
        assert looks == 12

    @pytest.mark.parametrize(
        "event",
        [joined(), updated(Profile(name="Ada")), posted(received_at=SEEN)],
        ids=["joins", "changes", "is discovered"],
    )
    def test_who_joins_changes_or_is_discovered_gets_a_timer(self, event: CommunityEvent) -> None:
        member = fold(a_member(created_at=event.received_at, last_active_at=None), event)
        [arm] = on_event(event, None, member, a_playbook())
        assert isinstance(arm, Arm)
        assert (arm.programme, arm.member_id) == (NAME, member.id)

    def test_a_retry_of_the_event_that_discovered_arms_again(self) -> None:
        member = fold(a_member(created_at=SEEN), posted(at=SEEN))
        assert kinds(on_event(posted(at=SEEN), member, member, a_playbook())) == ["Arm"]

    def test_what_a_known_member_does_writes_no_agenda(self) -> None:
        assert on_event(posted(at=SEEN), silent(), fold(silent(), posted(at=SEEN)), a_playbook()) == []

    @pytest.mark.parametrize("changes", [{"status": "left"}, {"role": "staff"}, {"role": "bot"}])
    def test_whom_nobody_would_ask_gets_no_timer(self, changes: dict[str, Any]) -> None:
        assert on_event(joined(), None, silent(**changes), a_playbook()) == []

    def test_of_somebody_imported_silence_begins_when_we_know_them(self) -> None:
        imported = a_member(joined_at=OLD, created_at=SEEN, last_active_at=None)
        [arm] = on_event(joined(at=OLD, received_at=SEEN), None, imported, a_playbook())
        assert isinstance(arm, Arm)
        assert FIRST <= arm.due_at <= FIRST + SPREAD

    def test_a_merged_or_forgotten_member_s_timer_ends(self) -> None:
        for member in (None, silent(merged_into="mb")):
            assert kinds(on_due(timer(), member, a_playbook(), FIRST)) == ["Done"]


def imported(number: int = 0, **changes: Any) -> Member:
    """Somebody who had been silent for years when their history was imported, at noon on 1 January 2030."""
    moments = dict.fromkeys(("joined_at", "status_at", "last_active_at"), OLD)
    return a_member(**{"id": f"m{number}", "created_at": SEEN, "told_at": {"name": OLD}, **moments} | changes)


def first_turn(member: Member) -> datetime:
    [arm] = on_event(joined(at=OLD, received_at=SEEN), None, member, a_playbook())
    assert isinstance(arm, Arm)
    return arm.due_at


class TestImported:
    @pytest.mark.parametrize("last_active_at", [OLD, None])
    def test_the_silent_are_asked_spread_over_thirty_days(self, last_active_at: datetime | None) -> None:
        turns = [first_turn(imported(number, last_active_at=last_active_at)) for number in range(3000)]
        begins = SEEN if last_active_at else FIRST
        a_day = Counter((turn - begins) // DAY for turn in turns)
        assert set(a_day) <= set(range(SPREAD.days + 1))
        assert max(a_day.values()) < 150

    def test_a_timer_that_is_due_at_once_waits_for_their_day(self) -> None:
        [again] = on_due(timer(SEEN), imported(), a_playbook(), SEEN + timedelta(minutes=1))
        assert isinstance(again, Advance)
        assert again.due_at == first_turn(imported())

    def test_a_deploy_brings_nobody_forward(self) -> None:
        assert rearrange(timer(first_turn(imported())), imported(), a_playbook()) == []

    def test_a_silence_that_began_since_is_like_any_other(self) -> None:
        member = imported(last_active_at=SEEN + 5 * DAY)
        [again] = on_due(timer(SEEN), member, a_playbook(), SEEN + 6 * DAY)
        assert isinstance(again, Advance)
        assert again.due_at == FIRST + 5 * DAY

    def test_a_member_told_of_in_time_has_no_day_of_their_own(self) -> None:
        moments: dict[str, Any] = dict.fromkeys(("joined_at", "status_at", "last_active_at"), SEEN - DAY)
        member = imported(**moments, told_at={})
        assert first_turn(member) == FIRST - DAY


class TestAttempts:
    def test_after_thirty_silent_days_they_are_asked_at_their_ten_o_clock(self) -> None:
        sent, tried, again = on_due(timer(), silent(), a_playbook(), FIRST)
        assert isinstance(sent, SendMail)
        assert (str(sent.send_id), sent.mail) == (f"reengagement/attempt1/{silent().id}/20300101", "miss_you")
        assert sent.planned_at.astimezone(BERLIN).hour == 10
        assert tried == Try(send_id=sent.send_id, group="treated", at=FIRST)
        assert isinstance(again, Advance)

    def test_three_attempts_of_growing_distance_and_then_peace(self) -> None:
        told = live(silent(), timer())
        asked = [action.planned_at for action in told if isinstance(action, SendMail)]
        assert [asked[0] - SEEN, asked[1] - asked[0], asked[2] - asked[1]] == [
            pytest.approx(wait * DAY, abs=DAY) for wait in (30, 45, 60)
        ]
        assert [moment.astimezone(BERLIN).strftime("%H:%M") for moment in asked] == ["10:00"] * 3
        assert [kind for kind in kinds(told) if kind not in {"SendMail", "Try"}] == ["Rest"]

    def test_peace_comes_when_the_last_attempt_had_its_chance(self) -> None:
        last = at("2030-05-18T08:00Z")
        state = {"since": SEEN, "attempts": 3, "asked_at": last, "mails": 3}
        [waits] = on_due(timer(last + DAY, **state), silent(), a_playbook(), last + DAY)
        assert isinstance(waits, Advance)
        assert waits.due_at == last + 14 * DAY
        assert on_due(timer(last + 14 * DAY, **state), silent(), a_playbook(), last + 14 * DAY) == [
            Rest(due=timer(last + 14 * DAY, **state), at=last + 14 * DAY)
        ]

    def test_who_came_back_is_asked_again_only_after_a_new_silence(self) -> None:
        asked = timer(at("2030-03-18T09:00Z"), since=SEEN, attempts=1, asked_at=FIRST)
        back = silent(last_active_at=at("2030-02-05T18:00Z"))
        [again] = on_due(asked, back, a_playbook(), asked.due_at)[-1:]
        assert isinstance(again, Advance)
        sends = [action for action in live(back, asked) if isinstance(action, SendMail)]
        assert [str(send.send_id).split("/")[1:4:2] for send in sends[:1]] == [["attempt1", "20300205"]]

    def test_what_was_done_before_being_asked_but_told_late_is_no_answer(self) -> None:
        asked = timer(at("2030-03-18T09:00Z"), since=SEEN, attempts=1, asked_at=FIRST)
        [sent, *_] = on_due(asked, silent(last_active_at=at("2030-01-25T12:00Z")), a_playbook(), asked.due_at)
        assert isinstance(sent, SendMail)
        assert sent.send_id.step == "attempt2"

    def test_nobody_is_asked_within_their_onboarding(self) -> None:
        newcomer = a_member(created_at=SEEN, joined_at=SEEN, last_active_at=None)
        [again] = on_due(timer(SEEN + 30 * DAY), newcomer, a_playbook(), SEEN + 30 * DAY)
        assert isinstance(again, Advance)
        assert again.due_at == at("2030-02-01T09:00Z")
        long = a_playbook(steps=[{"key": "late", "day": "60", "mail": "survey"}])
        [again] = on_due(timer(), newcomer, long, FIRST)
        assert isinstance(again, Advance)
        assert again.due_at == at("2030-03-02T09:00Z")

    def test_a_chosen_hour_is_the_hour_they_are_asked_at(self) -> None:
        evening = choose(silent(), locale=None, hour=18, at=SEEN)
        [again] = on_due(timer(), evening, a_playbook(), FIRST)
        assert isinstance(again, Advance)
        assert again.due_at.astimezone(BERLIN).hour == 18

    def test_after_an_outage_nobody_is_asked_at_an_odd_hour(self) -> None:
        [again] = on_due(timer(), silent(), a_playbook(), FIRST + timedelta(hours=14))
        assert isinstance(again, Advance)
        assert again.due_at == FIRST + DAY
        moved = timer(again.due_at, **again.state)
        assert kinds(on_due(moved, silent(), a_playbook(), again.due_at))[0] == "SendMail"


class TestSkips:
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"status": "left"}, "left"),
            ({"status": "banned"}, "banned"),
            ({"role": "staff"}, "staff"),
            ({"role": "bot"}, "bot"),
        ],
    )
    def test_who_left_or_is_no_member_is_told_of_once(self, changes: dict[str, Any], reason: str) -> None:
        skip, done = on_due(timer(), silent(**changes), a_playbook(), FIRST)
        assert isinstance(skip, Skip)
        assert (skip.reason, skip.send_id.step, kinds([done])) == (reason, "attempt1", ["Done"])

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"consent": {"reengagement": Consent(given=False, at=SEEN)}}, "unsubscribed"),
            ({"consent": {"all": Consent(given=False, at=SEEN)}}, "unsubscribed"),
            ({"email": None}, "no_address"),
            ({"email": "ada"}, "bad_address"),
        ],
    )
    def test_who_may_not_be_written_to_is_in_no_group(self, changes: dict[str, Any], reason: str) -> None:
        skip, again = on_due(timer(), silent(**changes), a_playbook(), FIRST)
        assert isinstance(skip, Skip)
        assert (skip.reason, kinds([again])) == (reason, ["Advance"])

    def test_the_holdout_is_recorded_with_its_would_be_send(self) -> None:
        skip, tried, again = on_due(timer(), a_held_out(), a_playbook(), FIRST)
        assert isinstance(skip, Skip)
        assert (skip.reason, skip.planned_at) == ("holdout", FIRST)
        assert tried == Try(send_id=skip.send_id, group="held_out", at=FIRST)
        assert kinds([again]) == ["Advance"]

    def test_who_is_held_out_is_held_out_every_time_and_never_dormant(self) -> None:
        due, told = timer(), list[Action]()
        for _ in range(8):
            actions = on_due(due, a_held_out(), a_playbook(), due.due_at)
            [moved] = [action for action in actions if isinstance(action, Advance)]
            told += [action for action in actions if not isinstance(action, Advance)]
            assert moved.due_at >= due.due_at + 14 * DAY
            due = due.model_copy(update={"due_at": moved.due_at, "state": moved.state})
        assert Counter(kinds(told)) == {"Skip": 3, "Try": 3}

    def test_who_switched_just_this_off_is_not_silenced_for_all(self) -> None:
        refusing = silent(consent={"reengagement": Consent(given=False, at=SEEN)})
        ended = timer(FIRST, since=SEEN, attempts=3, asked_at=FIRST - 60 * DAY)
        assert kinds(on_due(ended, refusing, a_playbook(), FIRST)) == ["Advance"]


class TestDormant:
    DORMANT = silent(dormant_at=at("2030-06-01T08:00Z"))

    def test_who_comes_back_by_themselves_gets_a_timer_again(self) -> None:
        back = posted(at=at("2030-07-01T08:00Z"))
        member = fold(self.DORMANT, back)
        for before in (self.DORMANT, member):  # a retry finds the event folded in
            assert kinds(on_event(back, before, member, a_playbook())) == ["Arm"]

    def test_an_old_event_told_late_wakes_nobody(self) -> None:
        late = posted(at=at("2030-05-01T08:00Z"))
        assert on_event(late, self.DORMANT, fold(self.DORMANT, late), a_playbook()) == []


class TestReturns:
    REJOINED = at("2030-02-03T12:00Z")

    def test_who_joins_again_is_not_missed_the_next_morning(self) -> None:
        back = silent(status_at=self.REJOINED, dormant_at=at("2030-01-20T12:00Z"))
        [arm] = on_event(joined(at=self.REJOINED), None, back, a_playbook())
        assert isinstance(arm, Arm)
        assert arm.due_at - self.REJOINED >= 30 * DAY

    def test_a_silence_after_joining_again_is_a_new_one(self) -> None:
        back = silent(status_at=self.REJOINED)
        sends = [action for action in live(back, timer(at("2030-03-06T09:00Z"))) if isinstance(action, SendMail)]
        assert [str(send.send_id).split("/")[3] for send in sends] == ["20300203"] * 3

    def test_a_changed_profile_wakes_nobody(self) -> None:
        dormant = silent(dormant_at=at("2030-06-01T08:00Z"))
        change = updated(Profile(name="Ada L."), at=at("2030-07-01T08:00Z"))
        assert on_event(change, dormant, fold(dormant, change), a_playbook()) == []

    def test_an_old_event_told_late_moves_the_silence_not_the_turns(self) -> None:
        asked = timer(at("2030-03-18T09:00Z"), since=SEEN, attempts=1, asked_at=FIRST, mails=1)
        late = silent(last_active_at=at("2030-01-11T12:00Z"))
        sends = [action for action in live(late, asked) if isinstance(action, SendMail)]
        assert [send.send_id.step for send in sends] == ["attempt2", "attempt3"]
        assert [no_longer(send.send_id, late, a_playbook()) for send in sends] == [None, None]

    def test_two_who_prove_to_be_one_have_a_timer(self) -> None:
        assert kinds(wake(silent(), a_playbook(), FIRST)) == ["Arm"]
        assert wake(silent(dormant_at=FIRST), a_playbook(), FIRST) == []

    def test_only_the_first_day_back_arms(self) -> None:
        member = silent(dormant_at=at("2030-06-01T08:00Z"))
        arms = []
        for day in range(5):
            event = posted(at=at("2030-07-01T08:00Z") + day * DAY)
            member = fold(member, event)
            arms.append(len(on_event(event, member, member, a_playbook())))
        assert arms == [1, 0, 0, 0, 0]


class TestNoLonger:
    @pytest.mark.parametrize(("seen", "reason"), [(SEEN, None), (FIRST + DAY, "returned")])
    def test_a_mail_that_waited_asks_whether_they_are_still_away(self, seen: datetime, reason: str | None) -> None:
        [sent, *_] = on_due(timer(), silent(), a_playbook(), FIRST)
        assert isinstance(sent, SendMail)
        assert no_longer(sent.send_id, silent(last_active_at=seen), a_playbook()) == reason


class TestPlan:
    def edited(self, **changes: Any) -> Playbook:
        raw = raw_playbook()
        raw["reengagement"].update(changes)
        return check(raw, source="playbook")

    @pytest.mark.parametrize(
        "changes", [{"send_at": "12:00"}, {"inactive_days": "20", "spacing": ["20d", "45d", "60d"]}]
    )
    def test_what_moves_a_timer_changes_the_plan(self, changes: dict[str, Any]) -> None:
        assert plan(self.edited(**changes)) != plan(a_playbook())
        assert plan(self.edited(holdout_percent="20")) == plan(a_playbook())

    def test_timers_move_with_an_edited_playbook(self) -> None:
        sooner = self.edited(inactive_days="20", spacing=["20d", "45d", "60d"])
        [moved] = rearrange(timer(), silent(), sooner)
        assert isinstance(moved, Advance)
        assert moved.due_at == at("2030-01-22T09:00Z")
        assert rearrange(timer(), silent(), a_playbook()) == []

    def test_an_edit_writes_no_timer_that_is_early(self) -> None:
        sooner = self.edited(send_at="12:00")
        assert rearrange(timer(), silent(last_active_at=FIRST - DAY), sooner) == []

    def test_a_timer_brought_forward_into_the_past_asks_at_the_next_send_time(self) -> None:
        sooner = self.edited(inactive_days="20", spacing=["20d", "45d", "60d"])
        moved = timer(at("2030-01-22T09:00Z"))
        [again] = on_due(moved, silent(), sooner, at("2030-01-25T12:00Z"))
        assert isinstance(again, Advance)
        assert again.due_at == at("2030-01-26T09:00Z")


@settings(max_examples=150, deadline=None)
@given(returns=st.lists(st.integers(0, 400), max_size=8), late=st.lists(st.integers(0, 40), min_size=60, max_size=60))
def test_whatever_they_do_attempts_keep_their_distance(returns: list[int], late: list[int]) -> None:
    """A year of somebody who comes back now and then, with ticks that come late by whole hours."""
    due, member, asked = timer(), silent(), list[SendMail]()
    for delay in late:
        now = due.due_at + timedelta(hours=delay % 5 and delay)
        seen = [SEEN + days * DAY for days in returns if SEEN + days * DAY <= now]
        member = silent(last_active_at=max(seen, default=SEEN))
        actions = on_due(due, member, a_playbook(), now)
        asked += [action for action in actions if isinstance(action, SendMail)]
        moves = [action for action in actions if isinstance(action, Advance)]
        if not moves:
            break
        due = due.model_copy(update={"due_at": moves[0].due_at, "state": moves[0].state})
        assert due.due_at > now or due.due_at == now
    for action in asked:
        before = [SEEN + days * DAY for days in [*returns, 0] if SEEN + days * DAY <= action.planned_at]
        assert action.planned_at - max(before) >= 30 * DAY
        assert action.planned_at.astimezone(BERLIN).hour == 10
    assert len({action.send_id for action in asked}) == len(asked)


def test_every_programme_is_in_the_table_under_its_name() -> None:
    assert {"onboarding", NAME} <= PROGRAMMES.keys()
