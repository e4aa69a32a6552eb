"""An App over services in memory, and members who are due for their first mail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3

from infra.mails import compile_mails
from shared.app import App, Settings
from shared.model import Due, Member
from shared.programmes import onboarding
from tests.bench.memory import Memory
from tests.builders import JOINED, ROOT, a_member, a_playbook


def an_app(memory: Memory, folder: Path, **settings: Any) -> App:
    """An App whose every request `memory` answers, but for those to SES when that has an address of its own."""
    os.environ |= {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    os.environ["POWERTOOLS_METRICS_NAMESPACE"] = "Flywheel"
    boto3.setup_default_session()
    memory.answer_all()
    compile_mails(ROOT / "shared" / "mails", folder / "mails")
    told = {"table": "flywheel", "mail_queue_url": "https://sqs.example.com/1/mail", "links_secret": "links"}
    told |= {"links_url": "https://links.example.com", "configuration_set": "flywheel"}
    return App(Settings.model_validate(told | settings), playbook=a_playbook(at_any_hour=True), code=folder)


def some_members(count: int) -> Iterator[tuple[Member, Due]]:
    """Members who have just joined, with their onboarding."""
    for number in range(count):
        name = f"member{number:06}"
        member = a_member(
            id=f"m{number:020}",
            ordinal=number,
            name=f"Ada{number}",
            email=f"{name}@example.com",
            identities=frozenset({f"slack:U{number}"}),
        )
        state = onboarding.Enrolment(joined_at=JOINED).written()
        yield member, Due(programme="onboarding", member_id=member.id, key="steps", due_at=JOINED, state=state)
