"""Local days and times of day as moments, for every zone there is and every change of its clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.localtime import at_local, is_zone, local_day, next_local
from tests.builders import at

ZONES = st.sampled_from(sorted(available_timezones())).map(ZoneInfo)
MOMENTS = st.integers(0, 2_140_000_000).map(lambda second: datetime.fromtimestamp(second, UTC))
CLOCKS = st.times().map(lambda clock: clock.replace(microsecond=0, fold=0))
BERLIN, SAMOA = ZoneInfo("Europe/Berlin"), ZoneInfo("Pacific/Apia")


class TestZones:
    @pytest.mark.parametrize("name", ["Europe/Berlin", "Asia/Kolkata", "America/Argentina/Buenos_Aires", "UTC"])
    def test_a_zone_is_a_zone(self, name: str) -> None:
        assert is_zone(name)

    @pytest.mark.parametrize(
        "name",
        ["", ".", "..", "Europe", "Europe/", "Mars/Olympus", "../etc/passwd", "/etc/localtime", "a\0b", "zone.tab"],
    )
    def test_what_is_no_zone_is_none_and_raises_nothing(self, name: str) -> None:
        assert not is_zone(name)

    @pytest.mark.parametrize("name", ["tzdata.zi", "Europe/Berlin ", "\ud800", "x" * 5000, "UTC+3", "MSK"], ids=ascii)
    def test_what_only_looks_like_a_zone_is_none(self, name: str) -> None:
        assert not is_zone(name)

    @settings(max_examples=100)
    @given(st.text(max_size=40))
    def test_any_text_is_a_zone_or_not(self, name: str) -> None:
        assert is_zone(name) in {True, False}


class TestDays:
    @pytest.mark.parametrize(
        ("zone", "day"),
        [("Pacific/Kiritimati", date(2030, 1, 2)), ("UTC", date(2030, 1, 1)), ("Pacific/Pago_Pago", date(2030, 1, 1))],
    )
    def test_a_moment_falls_on_each_zone_s_own_day(self, zone: str, day: date) -> None:
        assert local_day(at("2030-01-01T12:00Z"), ZoneInfo(zone)) == day


class TestAtLocal:
    @pytest.mark.shows(33)
    @pytest.mark.parametrize(
        ("day", "clock", "moment"),
        [
            (date(2030, 1, 15), time(10), "2030-01-15T09:00Z"),
            (date(2030, 7, 15), time(10), "2030-07-15T08:00Z"),
            (date(2030, 3, 31), time(2, 30), "2030-03-31T01:30Z"),  # never shows: 03:30 summer time
            (date(2030, 10, 27), time(2, 30), "2030-10-27T00:30Z"),  # shows twice: the first
            (date(2030, 10, 27), time(3), "2030-10-27T02:00Z"),
        ],
    )
    def test_berlin_s_clock_through_both_changes(self, day: date, clock: time, moment: str) -> None:
        assert at_local(day, clock, BERLIN) == at(moment)

    def test_a_day_that_samoa_skipped_is_the_next_it_had(self) -> None:
        moment = at_local(date(2011, 12, 30), time(10), SAMOA)
        assert moment.astimezone(SAMOA).isoformat() == "2011-12-31T10:00:00+14:00"

    @settings(max_examples=150)
    @given(ZONES, MOMENTS, CLOCKS)
    def test_the_clock_shows_what_was_asked_or_jumped_over_it(
        self, zone: ZoneInfo, moment: datetime, clock: time
    ) -> None:
        asked = datetime.combine(local_day(moment, zone), clock)
        got = at_local(asked.date(), clock, zone)
        shown = got.astimezone(zone).replace(tzinfo=None, fold=0)
        assert got.tzinfo is UTC
        if shown != asked:
            before = (got - timedelta(days=1)).astimezone(zone).utcoffset()
            after = (got + timedelta(days=1)).astimezone(zone).utcoffset()
            assert before is not None
            assert after is not None
            assert timedelta(0) < shown - asked <= max(abs(after - before), timedelta(hours=1))

    @given(ZONES, MOMENTS, CLOCKS)
    def test_the_same_clock_on_a_later_day_is_never_earlier(
        self, zone: ZoneInfo, moment: datetime, clock: time
    ) -> None:
        today = local_day(moment, zone)
        assert at_local(today, clock, zone) <= at_local(today + timedelta(days=1), clock, zone)


class TestNextLocal:
    def test_the_very_moment_counts(self) -> None:
        ten = at("2030-01-15T09:00Z")
        assert next_local(ten, time(10), BERLIN) == ten
        assert next_local(ten + timedelta(microseconds=1), time(10), BERLIN) == ten + timedelta(days=1)

    @pytest.mark.shows(33)
    @pytest.mark.parametrize(
        ("after", "moment"),
        [
            ("2030-03-30T09:30Z", "2030-03-31T08:00Z"),  # 22.5 hours: a short night
            ("2030-10-26T08:30Z", "2030-10-27T09:00Z"),  # 24.5 hours: a long one
        ],
    )
    def test_the_next_ten_o_clock_is_ten_o_clock_through_a_change(self, after: str, moment: str) -> None:
        assert next_local(at(after), time(10), BERLIN) == at(moment)

    def test_an_hour_that_shows_twice_counts_once(self) -> None:
        between = at("2030-10-27T00:45Z")
        assert next_local(between, time(2, 30), BERLIN) == at("2030-10-28T01:30Z")

    @settings(max_examples=150)
    @given(ZONES, MOMENTS, CLOCKS)
    def test_the_next_is_at_or_after_and_within_two_days(self, zone: ZoneInfo, after: datetime, clock: time) -> None:
        found = next_local(after, clock, zone)
        assert after <= found <= after + timedelta(days=2, hours=1)

    @settings(max_examples=100)
    @given(ZONES, MOMENTS, CLOCKS)
    def test_looking_again_from_the_answer_gives_the_answer(self, zone: ZoneInfo, after: datetime, clock: time) -> None:
        found = next_local(after, clock, zone)
        assert next_local(found, clock, zone) == found
