"""The deployed stack on this machine, started once for all tests that are marked `local`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.local.stack import LocalStack, running

SECRETS = {
    "slack": ["8f742231b10e8888abcd99yyyzzz85a5"],
    "discourse": ["a-discourse-secret-of-some-length"],
    "standard": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
}


@pytest.fixture(scope="session")
def stack() -> Iterator[LocalStack]:
    with running(secrets=SECRETS) as started:
        yield started
