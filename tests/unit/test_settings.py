"""What the environment tells a function, and what time a schedule's tick is for."""

from __future__ import annotations

import ast
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.app import Settings, scheduled_at
from shared.errors import FlywheelError
from tests.builders import JOINED, ROOT, at

PLACEHOLDER = "<aws.scheduler.scheduled-time>"


def unasked() -> datetime:
    raise AssertionError("the clock costs a request on the local stack; it is not asked when nobody needs it")


class TestSettings:
    def test_each_setting_is_one_variable(self) -> None:
        environment = {f"FLYWHEEL_{name.upper()}": "1" for name in Settings.model_fields}
        settings = Settings.from_environment(environment)
        assert settings.model_fields_set == set(Settings.model_fields)

    def test_a_function_is_told_only_what_it_needs(self) -> None:
        assert Settings.from_environment({"FLYWHEEL_TABLE": "t", "PATH": "/bin"}) == Settings(table="t")

    @pytest.mark.parametrize(
        ("name", "value"),
        [("FLYWHEEL_MAILER_WORKERS", "many"), ("FLYWHEEL_MAILER_WORKERS", "0"), ("FLYWHEEL_LOCAL_CLOCK", "perhaps")],
    )
    def test_a_wrong_setting_is_named(self, name: str, value: str) -> None:
        with pytest.raises(FlywheelError, match=name.removeprefix("FLYWHEEL_").lower()):
            Settings.from_environment({name: value})

    @pytest.mark.parametrize(("text", "on"), [("1", True), ("true", True), ("0", False), ("false", False)])
    def test_the_local_clock_is_off_unless_it_is_switched_on(self, text: str, on: bool) -> None:  # noqa: FBT001 - the fact
        assert Settings.from_environment({"FLYWHEEL_LOCAL_CLOCK": text}).local_clock is on
        assert Settings().local_clock is False

    def test_only_the_composition_root_reads_the_environment(self) -> None:
        readers = set()
        for folder in ("functions", "shared"):
            for file in (ROOT / folder).rglob("*.py"):
                names = {node.id for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Name)}
                if "os" in names:
                    readers.add(file.relative_to(ROOT).as_posix())
        assert readers == {"shared/app.py"}


class TestScheduledAt:
    @pytest.mark.parametrize(
        "text", ["2030-01-01T11:59:00Z", "2030-01-01T11:59:00.000Z", "2030-01-01T12:59:00+01:00", "2030-01-01T11:59Z"]
    )
    def test_a_tick_is_for_its_schedule_s_own_time(self, text: str) -> None:
        found = scheduled_at({"scheduled_time": text}, unasked)
        assert (found, found.tzinfo) == (at("2030-01-01T11:59Z"), UTC)

    @pytest.mark.parametrize(
        "event", [{}, {"scheduled_time": PLACEHOLDER}, {"scheduled_time": None}, {"scheduled_time": ""}, {"time": "x"}]
    )
    def test_a_time_that_was_not_filled_in_is_the_clock_s(self, event: dict[str, object]) -> None:
        assert scheduled_at(event, lambda: JOINED) == JOINED

    def test_a_time_without_a_zone_is_not_trusted(self) -> None:
        assert scheduled_at({"scheduled_time": "2030-01-01T11:59:00"}, lambda: JOINED) == JOINED

    @given(st.one_of(st.text(), st.datetimes().map(datetime.isoformat), st.none(), st.integers(), st.lists(st.text())))
    def test_whatever_stands_there_a_moment_in_utc_comes_of_it(self, told: object) -> None:
        assert scheduled_at({"scheduled_time": told}, lambda: JOINED).tzinfo is UTC
