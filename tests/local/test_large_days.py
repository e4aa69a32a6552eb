"""A large day on the deployed stack: its state machine has the function read every shard, and then measure the day."""

from __future__ import annotations

import json
import time
from datetime import date, timedelta

import boto3
import pytest

from infra.local.ministack import REGION
from infra.local.stack import LocalStack
from shared.events import Profile
from shared.largedays import LargeDays
from shared.store import Store
from tests.builders import at, joined, posted

pytestmark = pytest.mark.local

DAY = date(2041, 1, 1)
NOON = at("2041-01-01T12:00Z")
"""Later than what other tests do on the same stack."""


def test_the_state_machine_measures_a_day_by_its_shards(stack: LocalStack) -> None:
    store = Store(stack.dynamodb, stack.outputs["TableName"])
    stack.set_clock(NOON)
    people = [f"L{number}" for number in range(12)]
    store.log([joined(profile=Profile(), id=f"slack:{who}", actor=who, at=NOON) for who in people])
    store.log([posted(id=f"slack:{who}-posts", actor=who, at=NOON, object=f"C1:{who}") for who in people])
    stack.quiet()
    client = boto3.client(
        "stepfunctions",
        endpoint_url=stack.machine.url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    [machine] = [found["stateMachineArn"] for found in client.list_state_machines()["stateMachines"]]
    large = LargeDays(client, machine)
    now = NOON + timedelta(days=1)
    assert large.start(DAY, mark=None, now=now)
    assert not large.start(DAY, mark=None, now=now)
    [run] = client.list_executions(stateMachineArn=machine)["executions"]
    ended = wait(client, run["executionArn"])
    assert ended["status"] == "SUCCEEDED", json.dumps(ended, default=str)
    [rollup] = store.rollups(DAY, DAY)
    assert (rollup.closed, rollup.computed_at, rollup.figures["posts"]) == (True, now, len(people))


def wait(client: object, execution: str) -> dict[str, object]:
    """How a run ended."""
    for _ in range(240):
        found: dict[str, object] = client.describe_execution(executionArn=execution)  # type: ignore[attr-defined]
        if found["status"] != "RUNNING":
            break
        time.sleep(0.5)
    return found
