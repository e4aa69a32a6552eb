"""What a programme may ask for. Programmes return these; `apply` is the only one that carries them out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from pydantic import JsonValue

from shared.model import Due, Group, SendId


@dataclass(frozen=True, kw_only=True)
class SendMail:
    """Put one mail into the mail queue; asking twice sends once."""

    send_id: SendId
    mail: str
    planned_at: datetime
    leave_out: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Skip:
    """Record that a mail will not be sent, and why."""

    send_id: SendId
    mail: str
    reason: str
    planned_at: datetime


@dataclass(frozen=True, kw_only=True)
class Try:
    """Record that a member was asked, or is held out, in an experiment on whether asking has an effect."""

    send_id: SendId
    group: Group
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Rest:
    """Record that we stop asking a member to come back, and take the item off, unless they have come back meanwhile."""

    due: Due
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Arm:
    """Put an item on the agenda; who looks at one that is there already looks again."""

    programme: str
    member_id: str
    key: str
    due_at: datetime
    state: dict[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Advance:
    """Move an agenda item on, if nobody else has."""

    due: Due
    due_at: datetime
    state: dict[str, JsonValue]


@dataclass(frozen=True, kw_only=True)
class Done:
    """Take an agenda item off, if nobody else has moved it."""

    due: Due


@dataclass(frozen=True, kw_only=True)
class Wake:
    """Have an agenda item looked at anew, at `at` or when it is due before; nothing if there is none."""

    programme: str
    member_id: str
    key: str
    at: datetime


Action = SendMail | Skip | Try | Rest | Arm | Advance | Done | Wake
