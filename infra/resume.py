"""Letting marketing mail go on after the breaker has tripped, and what an operator is told first."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from shared.breaker import PAUSED_BY_SES
from shared.model import Pause
from shared.playbook import Breaker
from shared.sending import AGENDA
from shared.store import Store
from shared.store.keys import AGENDA_SHARDS

BECAUSE = {
    "bounces": "too many mails bounced",
    "complaints": "too many mails were complained of",
    "account_suspended": "SES has suspended the account",
    "sending_paused": "SES has paused the account's sending",
}
"""A pause's reason, in words for a person."""

HELD = {"paused", "ramp", *PAUSED_BY_SES}
"""What mails wait for that a pause holds up."""


def clock(moment: datetime, zone: ZoneInfo) -> str:
    """A moment as the operator's commands write it, to the minute."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"


def length(span: timedelta) -> str:
    """A length of time as people say it: `24 h`, `30 min`."""
    minutes = round(span / timedelta(minutes=1))
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"


def because(pause: Pause) -> str:
    """Why marketing mail was paused, with the figures it was decided on."""
    why = BECAUSE.get(pause.reason, pause.reason.replace("_", " "))
    if not pause.sends:
        return why
    bounced = f"{pause.bounces} bounced ({pause.bounces / pause.sends:.1%})"
    complained = f"{pause.complaints} led to a complaint ({pause.complaints / pause.sends:.2%})"
    return f"{why}; of {pause.sends} sent, {bounced} and {complained}"


def state(pause: Pause | None, rules: Breaker, *, zone: ZoneInfo, now: datetime) -> str | None:
    """Whether marketing mail is paused, or on the ramp after a pause; None when it goes its usual way."""
    if pause is None:
        return None
    if pause.resumed_at is None:
        return f"Marketing mail is paused since {clock(pause.tripped_at, zone)}: {because(pause)}"
    over_at = pause.resumed_at + rules.ramp
    if over_at <= now:
        return None
    since, until = clock(pause.resumed_at, zone), clock(over_at, zone)
    return f"Marketing mail was let go on at {since}; what had waited goes out spread over the time until {until}"


def waiting(store: Store) -> int:
    """How many mails wait for marketing mail to go on; reads all that the agenda holds of deferred mails."""
    dues = (due for shard in range(AGENDA_SHARDS) for due in store.upcoming(AGENDA, shard))
    return sum(due.state.get("waited_for") in HELD for due in dues)


def what_resuming_does(count: int, rules: Breaker) -> str:
    """What an operator agrees to."""
    mails = {0: "No mail waits", 1: "1 mail waits"}.get(count, f"{count} mails wait")
    return f"{mails} for it; after it, marketing mail goes out spread over {length(rules.ramp)} (`breaker.ramp`)"
