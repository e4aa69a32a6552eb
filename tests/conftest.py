"""What holds for all tests: a property is judged by what it says, never by how long this machine took to try it."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("flywheel", deadline=None)
settings.load_profile("flywheel")
