"""When marketing mail pauses by itself, and how it goes on: too many of the last sends bounced or were complained of.

Service mail always goes. Nothing is lost: what is held waits in the ledger until it may go. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from shared.experiments import share
from shared.model import Pause
from shared.playbook import Breaker

BREAKER_MEMBER = "operations"
BREAKER_KEY = "breaker"
"""The agenda item, of the agenda `mail`, that has the figures looked at."""

PAUSED_BY_SES_KEY = "breaker_ses"
"""The agenda item that tells of a pause of SES's own."""

PAUSED_BY_SES = {"AccountSuspendedException": "account_suspended", "SendingPausedException": "sending_paused"}
"""SES's own pauses, as the reason of ours."""

LOOK_AGAIN = timedelta(hours=6)
"""How long a mail waits before it asks again whether marketing still pauses: much less than the ramp takes."""


def verdict(pause: Pause, rules: Breaker) -> str | None:
    """Why these figures trip the breaker; None when they do not, or are too few to mean anything."""
    if pause.sends < rules.least_sends:
        return None
    if pause.bounces * 100 >= rules.bounces_percent * pause.sends:
        return "bounces"
    return "complaints" if pause.complaints * 100 >= rules.complaints_percent * pause.sends else None


def held_until(
    pause: Pause | None, send_id: str, *, rules: Breaker, allowed: Callable[[datetime], datetime], now: datetime
) -> tuple[str, datetime] | None:
    """Why a marketing mail is held and until when: `paused`, or `ramp` when mail has just been let go on.

    On the ramp every mail has its own moment, so what has piled up goes out spread over it. `allowed` gives the first
    moment from another on at which the member may be written to at all.
    """
    if pause is None:
        return None
    if pause.resumed_at is None:
        return "paused", now + LOOK_AGAIN
    its_moment = _on_the_ramp(pause.resumed_at + rules.ramp * share("ramp", send_id), allowed)
    return ("ramp", its_moment) if its_moment > now else None


def _on_the_ramp(moment: datetime, allowed: Callable[[datetime], datetime]) -> datetime:
    """A mail's moment; one of the night is as far into the day as it lay before it, so the morning is no burst."""
    morning = allowed(moment)
    return allowed(morning + (morning - moment))


def held_for(pause: Pause | None, planned_at: datetime, rules: Breaker, now: datetime) -> timedelta:
    """How much of a mail's age is the pause's and the ramp's doing: it does not make the mail stale."""
    if pause is None:
        return timedelta(0)
    begun = max(planned_at, pause.tripped_at)
    over = now if pause.resumed_at is None else min(now, pause.resumed_at + 2 * rules.ramp)
    return max(over - begun, timedelta(0))
