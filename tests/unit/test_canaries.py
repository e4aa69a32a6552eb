"""The tap over the whole suite hears what functions write, and knows a canary when it hears one."""

from __future__ import annotations

import io
import json

import pytest
from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from shared.model import Member
from tests import golden
from tests.builders import a_member
from tests.canaries import Tap, current_test, sung


def heard(tap: Tap) -> list[str]:
    """What this test made be written, taken out again so that it is no leak of ours."""
    here = current_test()
    mine = [line for test, line in tap.lines if test == here]
    tap.lines[:] = [kept for kept in tap.lines if kept[0] != here]
    return mine


def test_a_log_line_with_a_person_is_heard(tap: Tap) -> None:
    Logger(service="canaries", stream=io.StringIO()).info("found", extra={"who": a_member().email})
    written = [line for line in heard(tap) if line.startswith("{")]  # pytest's own handlers write none of the extras
    assert [json.loads(line)["who"] for line in written] == ["ada@example.com"]
    assert sung(written[0]) == ["ada@example.com"]


def test_a_metric_with_a_person_is_heard(tap: Tap, capsys: pytest.CaptureFixture[str]) -> None:
    with single_metric(name="Mails", unit=MetricUnit.Count, value=1, namespace="Flywheel") as metric:
        metric.add_dimension("to", "Ada")
    (line,) = heard(tap)
    assert sung(line) == ["Ada"]
    assert capsys.readouterr().out.strip() == line


@pytest.mark.parametrize("secret", [*golden.SECRETS.values(), golden.OTHERS["discourse"], golden.OTHERS["standard"]])
def test_every_secret_of_the_golden_inputs_is_a_canary(secret: str) -> None:
    assert sung(f'{{"error": "not signed with {secret}"}}')


def test_everybody_in_the_tests_is_a_canary() -> None:
    ada: Member = a_member()
    assert sung(f"hello {ada.name}")
    assert sung(f"hello {ada.email}")


def test_ids_and_outcomes_are_no_canaries() -> None:
    line = '{"send_id": "onboarding/welcome/maaaa/1", "status": "sent", "event_ids": ["slack:T1:Ev1"]}'
    assert sung(line) == []
