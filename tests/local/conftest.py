"""The deployed stack on this machine, started once for all tests that are marked `local`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.local.demo import SECRETS
from infra.local.receiver import Receiver, receiving
from infra.local.stack import LocalStack, running
from tests.builders import ROOT


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """Who the deployed stack tells of its rewards."""
    with receiving() as started:
        yield started


@pytest.fixture(scope="session")
def stack(receiver: Receiver) -> Iterator[LocalStack]:
    with running(secrets=SECRETS, context=receiver.context(ROOT / "playbook.yaml")) as started:
        receiver.secret = started.secret("RewardsSecretArn")["current"]
        yield started
