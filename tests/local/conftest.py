"""The deployed stack on this machine, started once for all tests that are marked `local`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.local.demo import SECRETS, Demo
from infra.local.receiver import Receiver, receiving
from infra.local.stack import LocalStack, running
from infra.local.summary import Outcome, outcome
from tests.builders import ROOT, a_playbook

MEMBERS, DAYS = 40, 60


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """Who the deployed stack tells of its rewards."""
    with receiving() as started:
        yield started


@pytest.fixture(scope="session")
def stack(receiver: Receiver) -> Iterator[LocalStack]:
    with running(secrets=SECRETS, context=receiver.context(ROOT / "playbook.yaml")) as started:
        receiver.secret = started.secret("RewardsSecret")["current"]
        yield started


@pytest.fixture(scope="session")
def demo(stack: LocalStack, receiver: Receiver) -> Demo:
    """Two months of a small community: everybody in it has a story, and there is something of everything to measure."""
    demo = Demo(stack, a_playbook(), receiver, members=MEMBERS, days=DAYS, seed=5)
    demo.run(lambda _: None)
    return demo


@pytest.fixture(scope="session")
def found(demo: Demo) -> Outcome:
    """What stands at its end."""
    return outcome(demo.stack, demo.playbook)
