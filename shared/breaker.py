"""When marketing mail pauses by itself, and how it goes on: too many of the last sends bounced or were complained of.

Service mail always goes. Nothing is lost: what is held waits in the ledger until it may go. Pure.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.experiments import share
from shared.model import Pause
from shared.playbook import Breaker

BREAKER_MEMBER = "operations"
BREAKER_KEY = "breaker"
"""The agenda item, of the agenda `mail`, that has the figures looked at."""

PAUSED_BY_SES = {"AccountSuspendedException": "account_suspended", "SendingPausedException": "sending_paused"}
"""SES's own pauses, as the reason of ours."""

LOOK_AGAIN = timedelta(hours=1)
"""How long a mail waits before it asks again whether marketing still pauses."""


def verdict(pause: Pause, rules: Breaker) -> str | None:
    """Why these figures trip the breaker; None when they do not, or are too few to mean anything."""
    if pause.sends < rules.least_sends:
        return None
    if pause.bounces * 100 >= rules.bounces_percent * pause.sends:
        return "bounces"
    return "complaints" if pause.complaints * 100 >= rules.complaints_percent * pause.sends else None


def held_until(pause: Pause | None, send_id: str, rules: Breaker, now: datetime) -> tuple[str, datetime] | None:
    """Why a marketing mail is held and until when: `paused`, or `ramp` when mail has just been let go on.

    On the ramp every mail has its own moment, so what has piled up goes out spread evenly over it.
    """
    if pause is None:
        return None
    if pause.resumed_at is None:
        return "paused", now + LOOK_AGAIN
    its_moment = pause.resumed_at + rules.ramp * share("ramp", send_id)
    return ("ramp", its_moment) if its_moment > now else None
