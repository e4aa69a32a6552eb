"""The lines of a member's story, as `flywheel why` tells it and scripts read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pydantic import JsonValue

Kind = Literal[
    "next", "pause", "ramp", "sent", "skipped", "deferred", "held_out", "parked", "in_doubt", "claimed",
    "consent", "suppressed", "soft_bounce", "dormant", "joined", "left", "returned", "known", "chosen",
    "touched", "brought", "referral", "reward", "reversed",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Line:
    """Something that happened to a member, or will: when, told for a person, and in `facts` the same for scripts.

    `at` is None for what holds now. `notes` say more, a sentence each.
    """

    kind: Kind
    at: datetime | None
    text: str
    notes: tuple[str, ...] = ()
    facts: Mapping[str, JsonValue] = field(default_factory=dict)
