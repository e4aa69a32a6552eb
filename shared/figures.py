"""The figures of mails that tell of the community instead of their reader: what is planned, and how a mail says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, JsonValue

from shared.events import Frozen
from shared.playbook import Playbook
from shared.wording import Wording


class Tripped(Frozen):
    """Why marketing mail has paused, on which sends of the last `hours`."""

    reason: Literal["bounces", "complaints", "account_suspended", "sending_paused"]
    sends: int = Field(default=0, ge=0)
    bounces: int = Field(default=0, ge=0)
    complaints: int = Field(default=0, ge=0)
    hours: int = Field(ge=1)


@dataclass(frozen=True, kw_only=True)
class Paused:
    """What a template may name of a pause: numbers, their shares of the sends, and the lines they may not cross."""

    reason: str
    sends: int
    bounces: int
    complaints: int
    bounce_share: str
    complaint_share: str
    bounce_line: str
    complaint_line: str
    window: str


def paused(figures: Mapping[str, JsonValue], playbook: Playbook, wording: Wording) -> Paused:
    """The figures of a pause in a language; ValueError when they are not those of a pause."""
    told = Tripped.model_validate(figures)
    return Paused(
        reason=told.reason,
        sends=told.sends,
        bounces=told.bounces,
        complaints=told.complaints,
        bounce_share=wording.share(told.bounces, told.sends),
        complaint_share=wording.share(told.complaints, told.sends),
        bounce_line=wording.percentage(playbook.breaker.bounces_percent),
        complaint_line=wording.percentage(playbook.breaker.complaints_percent),
        window=wording.count("hours", told.hours),
    )


FIGURES: Mapping[str, Callable[[Mapping[str, JsonValue], Playbook, Wording], Paused]] = {"mail_paused": paused}
"""How the figures of a mail are told, by mail; the others are given none."""
