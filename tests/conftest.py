"""What holds for all tests: what our code logs names nobody; and a property is judged by what it says, not by how long
this machine took to try it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.canaries import Tap, tapped

settings.register_profile("flywheel", deadline=None)
settings.load_profile("flywheel")


@pytest.fixture(scope="session", autouse=True)
def tap() -> Iterator[Tap]:
    """Searches all that the whole suite made our code log for people, texts and secrets, at its end."""
    with tapped() as tap:
        yield tap
    leaks = tap.leaks()
    assert leaks == [], f"{len(leaks)} log lines hold what they must not"
