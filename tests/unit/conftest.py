"""What is made once for the unit tests."""

from __future__ import annotations

import pytest

from infra.mails import compile_mails
from shared.mail import Mails
from tests.unit.letters import SOURCE


@pytest.fixture(scope="session")
def mails(tmp_path_factory: pytest.TempPathFactory) -> Mails:
    """The mails as they are written, compiled."""
    folder = tmp_path_factory.mktemp("mails")
    compile_mails(SOURCE, folder)
    return Mails(folder)
