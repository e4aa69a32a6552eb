"""Quiet hours, excluded weekdays and the budget, in every zone and through every change of the clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.limits import first_day_with_room, next_allowed, waits_for_room
from shared.localtime import local_day
from shared.playbook import Limits, Weekday
from tests.builders import at

BERLIN, NEW_YORK, LORD_HOWE = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")
DAY = timedelta(days=1)


def limits(quiet: tuple[str, str] | None = ("21:00", "08:00"), **changes: Any) -> Limits:
    hours = {"from": quiet[0], "until": quiet[1]} if quiet else None
    return Limits.model_validate({"a_day": 1, "a_week": 3, "quiet_hours": hours} | changes)


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        ("2030-01-03T20:00+01:00", "2030-01-03T20:00+01:00"),
        ("2030-01-03T20:59+01:00", "2030-01-03T20:59+01:00"),
        ("2030-01-03T21:00+01:00", "2030-01-04T08:00+01:00"),
        ("2030-01-04T00:30+01:00", "2030-01-04T08:00+01:00"),
        ("2030-01-04T07:59+01:00", "2030-01-04T08:00+01:00"),
        ("2030-01-04T08:00+01:00", "2030-01-04T08:00+01:00"),
    ],
)
def test_the_night_ends_at_eight_to_the_minute(asked: str, allowed: str) -> None:
    assert next_allowed(at(asked), BERLIN, limits()) == at(allowed)


def test_quiet_hours_may_lie_within_a_day() -> None:
    siesta = limits(("13:00", "15:00"))
    assert next_allowed(at("2030-01-03T14:00+01:00"), BERLIN, siesta) == at("2030-01-03T15:00+01:00")
    assert next_allowed(at("2030-01-03T15:00+01:00"), BERLIN, siesta) == at("2030-01-03T15:00+01:00")


def test_without_quiet_hours_every_moment_is_allowed() -> None:
    assert next_allowed(at("2030-01-03T03:00Z"), BERLIN, limits(None)) == at("2030-01-03T03:00Z")


def test_an_excluded_weekend_ends_on_monday_morning() -> None:
    weekdays = limits(excluded_weekdays=["saturday", "sunday"])
    assert next_allowed(at("2030-01-05T12:00+01:00"), BERLIN, weekdays) == at("2030-01-07T08:00+01:00")


def test_the_night_of_the_clock_change_ends_at_eight_too() -> None:
    spring, autumn = at("2030-03-30T23:00+01:00"), at("2030-10-26T23:00+02:00")
    assert next_allowed(spring, BERLIN, limits()) == at("2030-03-31T08:00+02:00")
    assert next_allowed(autumn, BERLIN, limits()) == at("2030-10-27T08:00+01:00")


def test_an_end_that_shows_twice_on_the_clock_is_passed() -> None:
    night = limits(("23:00", "01:45"))
    second_half_past_one = datetime(2030, 11, 3, 1, 30, tzinfo=NEW_YORK, fold=1).astimezone(UTC)
    allowed = next_allowed(second_half_past_one, NEW_YORK, night)
    assert second_half_past_one <= allowed <= second_half_past_one + timedelta(minutes=15)


@settings(max_examples=300, deadline=None)
@given(
    moment=st.datetimes(datetime(2029, 1, 1), datetime(2031, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds
    zone=st.sampled_from([BERLIN, NEW_YORK, LORD_HOWE, ZoneInfo("Asia/Kathmandu"), ZoneInfo("Pacific/Apia")]),
    quiet=st.tuples(st.times(), st.times()).filter(lambda pair: pair[0].replace(second=0) != pair[1].replace(second=0)),
    excluded=st.sets(st.sampled_from(get_args(Weekday)), max_size=6),
)
def test_what_is_allowed_is_ahead_allowed_and_soon(
    moment: datetime, zone: ZoneInfo, quiet: tuple[time, time], excluded: set[str]
) -> None:
    start, end = (f"{clock:%H:%M}" for clock in quiet)
    if start == end:
        return
    rules = limits((start, end), excluded_weekdays=sorted(excluded))
    allowed = next_allowed(moment, zone, rules)
    assert moment <= allowed < moment + timedelta(days=9)
    assert next_allowed(allowed, zone, rules) == allowed
    assert get_args(Weekday)[allowed.astimezone(zone).weekday()] not in excluded


TODAY = date(2030, 1, 10)


@pytest.mark.parametrize(
    ("days_ago", "reserved", "room_in"),
    [
        ((), 0, 0),
        ((0,), 0, 1),
        ((), 1, 1),
        ((1, 3), 0, 0),
        ((1, 3, 6), 0, 1),
        ((1, 3, 7), 0, 0),
        ((1, 2, 3), 0, 4),
        ((2, 4), 1, 3),
        ((0, 1, 2, 3, 4), 0, 5),
    ],
)
def test_room_is_found_within_day_and_week(days_ago: tuple[int, ...], reserved: int, room_in: int) -> None:
    sent_on = [TODAY - days * DAY for days in days_ago]
    assert first_day_with_room(TODAY, sent_on, reserved, limits()) == TODAY + room_in * DAY


@settings(max_examples=300, deadline=None)
@given(
    wishes=st.lists(st.integers(0, 20 * 24), min_size=1, max_size=25).map(sorted),
    a_day=st.integers(1, 2),
    a_week=st.integers(1, 4),
)
def test_mails_that_keep_to_it_never_exceed_the_budget(wishes: list[int], a_day: int, a_week: int) -> None:
    rules, start = limits(a_day=a_day, a_week=a_week), at("2030-03-20T00:00Z")
    sent: list[datetime] = []
    waiting = [start + timedelta(hours=hours) for hours in wishes]
    while waiting:
        now = next_allowed(min(waiting), BERLIN, rules)
        waiting.remove(min(waiting))
        until = waits_for_room(sent, 0, usual=time(10), zone=BERLIN, limits=rules, now=now)
        if until is None:
            sent.append(now)
        else:
            assert until > now
            waiting.append(until)
    days = [local_day(moment, BERLIN) for moment in sent]
    assert len(sent) == len(wishes)
    assert all(days.count(day) <= a_day for day in days)
    assert all(sum(day - 6 * DAY <= one <= day for one in days) <= a_week for day in days)
    assert all(next_allowed(moment, BERLIN, rules) == moment for moment in sent)


def test_a_mail_that_waits_for_room_comes_at_its_own_time() -> None:
    found = waits_for_room(
        [at("2030-01-03T07:00Z")], 0, usual=time(18, 30), zone=BERLIN, limits=limits(), now=at("2030-01-03T09:00Z")
    )
    assert found == at("2030-01-04T18:30+01:00")


def test_a_mail_of_the_night_that_waits_for_room_comes_in_the_morning() -> None:
    found = waits_for_room(
        [at("2030-01-03T07:00Z")], 0, usual=time(23, 30), zone=BERLIN, limits=limits(), now=at("2030-01-03T09:00Z")
    )
    assert found == at("2030-01-04T08:00+01:00")
