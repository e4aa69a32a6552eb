"""Short names for the things that tests talk about."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from shared.events import MemberJoined, MemberLeft, MemberUpdated, PostCreated, Profile
from shared.model import Due, Member, PlannedMail, Send, SendId, SendStatus
from shared.playbook import Playbook, check
from shared.programmes import onboarding

ROOT = Path(__file__).parent.parent


def at(text: str) -> datetime:
    """A moment, such as at("2030-01-01T10:00Z")."""
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo is not None, "a test's moment names its zone"
    return moment.astimezone(UTC)


@cache
def _default() -> str:
    with (ROOT / "playbook.yaml").open(encoding="utf-8") as file:
        raw = yaml.load(file, yaml.BaseLoader)  # noqa: S506 - makes strings, never objects
    return json.dumps(raw)


def raw_playbook() -> dict[str, Any]:
    """The default playbook as plain values, free to change."""
    raw: dict[str, Any] = json.loads(_default())
    return raw


def a_playbook(*, at_any_hour: bool = False, **onboarding_changes: Any) -> Playbook:
    """The default playbook, with some onboarding settings changed, and without quiet hours if asked for."""
    raw = raw_playbook()
    if at_any_hour:
        del raw["limits"]["quiet_hours"]
    raw["onboarding"].update(onboarding_changes)
    return check(raw, source="playbook")


JOINED = at("2030-01-01T12:00Z")


def a_member(**changes: Any) -> Member:
    """Ada, who joined at noon on 1 January 2030 and lives in Berlin."""
    fields: dict[str, Any] = {
        "id": "m" + "a" * 20,
        "ordinal": 0,
        "created_at": JOINED,
        "identities": frozenset({"slack:U1"}),
        "name": "Ada",
        "email": "ada@example.com",
        "locale": "en",
        "timezone": "Europe/Berlin",
        "joined_at": JOINED,
        "status_at": JOINED,
        "told_at": dict.fromkeys(("name", "email", "locale", "timezone", "role"), JOINED),
    }
    return Member(**fields | changes)


def _base(**changes: Any) -> dict[str, Any]:
    moment = changes.pop("at", JOINED)
    fields = {"id": "slack:Ev1", "occurred_at": moment, "received_at": moment, "platform": "slack", "actor": "U1"}
    return fields | changes


def joined(**changes: Any) -> MemberJoined:
    """Ada joins on Slack."""
    profile = Profile(name="Ada", email="ada@example.com", email_verified=True, locale="en", timezone="Europe/Berlin")
    return MemberJoined(**_base(**{"profile": profile} | changes))


def left(**changes: Any) -> MemberLeft:
    """Ada leaves."""
    return MemberLeft(**_base(**changes))


def updated(profile: Profile, **changes: Any) -> MemberUpdated:
    """Ada's profile changes."""
    return MemberUpdated(**_base(profile=profile, **changes))


def posted(**changes: Any) -> PostCreated:
    """Ada opens a thread."""
    return PostCreated(**_base(**{"id": "slack:Ev2", "object": "C1:1.0"} | changes))


def an_enrolment(joined_at: datetime = JOINED, **changes: Any) -> Due:
    """Ada's onboarding on the agenda."""
    state = onboarding.Enrolment(joined_at=joined_at, **changes).written()
    return Due(programme="onboarding", member_id=a_member().id, key="steps", due_at=joined_at, state=state)


def a_planned_mail(step: str = "welcome", **changes: Any) -> PlannedMail:
    """The intent to send Ada a step's mail."""
    send_id = SendId("onboarding", step, a_member().id)
    fields: dict[str, Any] = {"send_id": str(send_id), "mail": step, "planned_at": JOINED}
    return PlannedMail(**fields | changes)


def a_send(step: str = "welcome", **changes: Any) -> Send:
    """A line of Ada's ledger: the mail was sent as planned."""
    fields: dict[str, Any] = {
        "send_id": str(SendId("onboarding", step, a_member().id)),
        "member_id": a_member().id,
        "mail": step,
        "status": SendStatus.SENT,
        "at": JOINED,
        "planned_at": JOINED,
    }
    return Send(**fields | changes)
