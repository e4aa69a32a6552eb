"""The stack as it goes to production, synthesised once, with this machine's wheels so that no network is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra import ROOT, bundle, mails
from infra.local.assembly import assembly
from shared import playbook

Template = dict[str, Any]

EVERYTHING_CHOSEN = {
    "disposable": "true",
    "domain_name": "go.community.example.com",
    "certificate_arn": "arn:aws:acm:eu-west-1:111122223333:certificate/00000000-0000-0000-0000-000000000000",
    "alarm_topic_arn": "arn:aws:sns:eu-west-1:111122223333:alarms",
    "opens_and_clicks": "true",
    "reserve": "true",
    "budget": "25",
}
"""The CDK's context with all that a deployment may choose."""


@pytest.fixture(scope="session")
def template_file() -> Path:
    return assembly() / "Flywheel.template.json"


@pytest.fixture(scope="session")
def template(template_file: Path) -> Template:
    read: Template = json.loads(template_file.read_text(encoding="utf-8"))
    return read


@pytest.fixture(scope="session")
def other_template() -> Template:
    """The stack with everything chosen that can be chosen."""
    read: Template = json.loads((assembly(EVERYTHING_CHOSEN) / "Flywheel.template.json").read_text(encoding="utf-8"))
    return read


@pytest.fixture(scope="session")
def code() -> bundle.Asset:
    return bundle.code(playbook.load(ROOT / "playbook.yaml", mails=mails.written(bundle.MAILS)))


@pytest.fixture(scope="session")
def layer() -> bundle.Asset:
    return bundle.layer("host")


@pytest.fixture(scope="session")
def drawing() -> bundle.Asset:
    return bundle.layer("host", "report")
