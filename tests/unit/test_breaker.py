"""At which figures marketing mail pauses by itself."""

from __future__ import annotations

import pytest

from shared.breaker import verdict
from shared.model import Pause
from tests.builders import JOINED, a_playbook


@pytest.mark.parametrize(
    ("sends", "bounces", "complaints", "reason"),
    [
        (200, 7, 0, None),
        (200, 8, 0, "bounces"),
        (199, 100, 100, None),
        (2500, 0, 1, None),
        (2500, 0, 2, "complaints"),
        (1250, 0, 1, "complaints"),
        (1251, 0, 1, None),
        (0, 0, 0, None),
        (10_000, 400, 8, "bounces"),
    ],
)
def test_it_trips_at_the_line_and_not_before(sends: int, bounces: int, complaints: int, reason: str | None) -> None:
    figures = Pause(tripped_at=JOINED, reason="", sends=sends, bounces=bounces, complaints=complaints)
    assert verdict(figures, a_playbook().breaker) == reason
