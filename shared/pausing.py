"""Looks at the breaker's figures, pauses marketing mail when they say so, and tells the managers."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import JsonValue

from shared.app import App
from shared.breaker import BREAKER_KEY, BREAKER_MEMBER, PAUSED_BY_SES_KEY, verdict
from shared.errors import Unavailable
from shared.model import Due, Pause, PlannedMail, SendId
from shared.recipients import manager_id


def ask_to_look(app: App, at: datetime, reason: str = "") -> None:
    """Have the figures looked at with the next tick; with a `reason` of SES's own, marketing pauses in any case.

    Not `arm`: a look may just be about to take off the item of before, which would lose this one.
    """
    state: dict[str, JsonValue] = {"reason": reason} if reason else {}
    key = PAUSED_BY_SES_KEY if reason else BREAKER_KEY
    app.store.rearm(Due(programme="mail", member_id=BREAKER_MEMBER, key=key, due_at=at, state=state))


def look(due: Due, app: App, now: datetime) -> str:
    """Trip the breaker if the figures say so, and tell the managers once: "tripped" or "steady"."""
    pause, rules = app.store.pause(), app.playbook.breaker
    if pause is not None and pause.resumed_at is None:
        app.store.done(due)
        return "steady"
    since = max(now - rules.window, pause.resumed_at) if pause and pause.resumed_at else now - rules.window
    figures = _figures(app, since, now)
    reason = str(due.state.get("reason") or "") or verdict(figures, rules)
    if reason:
        tripped = figures.model_copy(update={"reason": reason})
        # First the notices, whose ids a second look gives again: a crash in between tells nobody twice.
        _tell_managers(tripped, app, after=pause)
        app.store.trip(tripped)
    app.store.done(due)
    return "tripped" if reason else "steady"


def _figures(app: App, since: datetime, now: datetime) -> Pause:
    until = now + timedelta(seconds=1)
    sends, bounces, complaints = (app.store.pulse(kind, since, until) for kind in ("send", "bounce", "complaint"))
    return Pause(tripped_at=now, reason="", sends=sends, bounces=bounces, complaints=complaints)


def _tell_managers(pause: Pause, app: App, *, after: Pause | None) -> None:
    """One notice to every manager of each pause: a pause is known by the one before it."""
    figures: dict[str, JsonValue] = {
        "reason": pause.reason,
        "sends": pause.sends,
        "bounces": pause.bounces,
        "complaints": pause.complaints,
        "hours": app.playbook.breaker.window // timedelta(hours=1),
    }
    occurrence = f"{after.resumed_at:%Y%m%dT%H%M%S%f}" if after and after.resumed_at else "first"
    notices = [
        PlannedMail(
            send_id=str(SendId("operations", "paused", manager_id(name), occurrence)),
            mail=app.playbook.breaker.mail,
            planned_at=pause.tripped_at,
            figures=figures,
        )
        for name in app.playbook.managers
    ]
    if app.queue.put(notices):
        raise Unavailable("the mail queue refused a notice that marketing mail pauses")
