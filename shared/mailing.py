"""A batch of planned mails, several in hand at once, those to one person one after another. Knows no queue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import ceil

from shared.app import App
from shared.errors import Unavailable
from shared.model import Pause, PlannedMail, Send, SendId
from shared.sending import send_planned

IN_HAND = 0.25
"""Seconds that a mail is in hand, as a rule at most: three requests to the table and one to SES."""

Outcome = Send | Exception
"""A mail's line in the ledger, or why the mail comes again."""


def send_all(bodies: Mapping[str, str], app: App, *, has_time: Callable[[], bool]) -> dict[str, Outcome]:
    """Send planned mails, given as JSON by the ids of their messages; what became of each.

    One that fails does not hold up the others, and none is begun once there is no time. The breaker is asked once.
    """
    send = partial(_send, app=app, pause=app.store.pause(), has_time=has_time)
    hands = _hands(app)
    if hands == 1:
        return {message_id: send(body) for message_id, body in bodies.items()}
    app.prepare_for_threads()
    with ThreadPoolExecutor(hands) as threads:
        done = threads.map(lambda mails: {key: send(body) for key, body in mails.items()}, _by_person(bodies))
        return {message_id: outcome for mails in done for message_id, outcome in mails.items()}


def _send(body: str, *, app: App, pause: Pause | None, has_time: Callable[[], bool]) -> Outcome:
    if not has_time():
        return Unavailable("no time left in this invocation")
    try:
        return send_planned(PlannedMail.model_validate_json(body), app, app.clock(), pause=pause)
    except Exception as exc:  # noqa: BLE001 - the queue is told of it, for this mail alone
        return exc


def _hands(app: App) -> int:
    """How many mails are in hand at once: no more than the rate has use for, so that none is held for long unsent."""
    most = app.settings.mails_at_once
    return min(most, ceil(app.pace.rate * IN_HAND)) if most > 1 else 1


def _by_person(bodies: Mapping[str, str]) -> list[dict[str, str]]:
    """The mails to each person, in order: two in hand at once would each find the other there, and both wait."""
    people: dict[str, dict[str, str]] = {}
    for message_id, body in bodies.items():
        people.setdefault(_person(body) or message_id, {})[message_id] = body
    return list(people.values())


def _person(body: str) -> str | None:
    """Whom a mail is for; None when that cannot be read, which is told when it is the mail's turn."""
    try:
        return SendId.parse(PlannedMail.model_validate_json(body).send_id).member_id
    except ValueError:
        return None
