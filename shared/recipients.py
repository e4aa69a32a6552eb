"""Managers as those who get mail: the ledger and the mailer treat them like members, though they have no profile."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.model import Member
from shared.playbook import Playbook

MANAGER = "manager_"
"""What leads the id under which a manager's sends stand in the ledger."""


def manager_id(name: str) -> str:
    """The id of a manager of the playbook, in place of a member id."""
    return MANAGER + name


def manager_of(member_id: str, playbook: Playbook) -> Member | None:
    """The manager behind such an id, as the one that a mail is written to; None when the playbook has none."""
    name = member_id.removeprefix(MANAGER)
    if name == member_id or name not in playbook.managers:
        return None
    manager = playbook.managers[name]
    return Member(
        id=member_id,
        ordinal=-1,
        created_at=datetime.min.replace(tzinfo=UTC),
        name=manager.name,
        email=manager.address,
        locale=manager.locale,
        timezone=manager.timezone,
        role="staff",
    )
