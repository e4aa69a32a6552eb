"""The deployed stack on this machine, started once for all tests that are marked `local`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.local.demo import SECRETS
from infra.local.stack import LocalStack, running


@pytest.fixture(scope="session")
def stack() -> Iterator[LocalStack]:
    with running(secrets=SECRETS) as started:
        yield started
