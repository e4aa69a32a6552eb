"""The store on every engine that there is here, so that none certifies itself: moto, MiniStack in a process of its own
and the table in memory that the proof runs on. The first two have the keys and indexes of the template; of what
none does by itself, such as indexes that lag and throttling, the proof makes the third do most.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from boto3.session import Session
from botocore.config import Config
from moto import mock_aws

from infra.local.assembly import assembly
from infra.local.ministack import REGION, MiniStack
from shared.store import Store
from tests.proof.dynamo import Dynamo, answered_by

THREADS = 50
"""How many at once ask for the same, where it is asked who of them wins."""

ANYBODY = Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)


class Asked(Counter[str]):
    """How many requests of each kind were made."""

    def __call__(self, model: Any, **_: Any) -> None:
        self[model.name] += 1


@pytest.fixture(scope="session")
def ministack() -> Iterator[MiniStack]:
    started = MiniStack(None, {})
    try:
        started.wait_until_healthy()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="session", params=["moto", "memory", pytest.param("ministack", marks=pytest.mark.local)])
def engine(request: pytest.FixtureRequest) -> str:
    """The engine's name, for the few facts in which two differ."""
    return str(request.param)


@pytest.fixture(scope="session")
def client(engine: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    if engine == "moto":
        with mock_aws():
            yield ANYBODY.client("dynamodb")
    elif engine == "memory":
        client = ANYBODY.client("dynamodb")
        answered_by(client, Dynamo().answer)
        yield client
    else:
        yield dynamodb_of(request.getfixturevalue("ministack"))


def dynamodb_of(started: MiniStack) -> Any:
    """A client of MiniStack's with a connection for every thread."""
    config = Config(max_pool_connections=THREADS, retries={"total_max_attempts": 1})
    return ANYBODY.client("dynamodb", endpoint_url=started.url, config=config)


@pytest.fixture(scope="session")
def shape() -> dict[str, Any]:
    """The table as it is deployed: its keys, and its indexes with what they hold."""
    template = json.loads((assembly() / "Flywheel.template.json").read_text(encoding="utf-8"))
    [table] = [one["Properties"] for one in template["Resources"].values() if one["Type"] == "AWS::DynamoDB::Table"]
    names = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    return {name: table[name] for name in names}


@pytest.fixture
def store(client: Any, shape: dict[str, Any]) -> Iterator[Store]:
    """The store over a table of its own."""
    yield from made(client, shape)


def made(client: Any, shape: dict[str, Any]) -> Iterator[Store]:
    """A table, and the store over it, until it is thrown away."""
    name = f"flywheel-{uuid4().hex}"
    client.create_table(TableName=name, **shape)
    yield Store(client, name)
    client.delete_table(TableName=name)


@pytest.fixture
def asked(client: Any, store: Store) -> Iterator[Asked]:  # noqa: ARG001 - the table's own request is not counted
    counted = Asked()
    client.meta.events.register("before-call.dynamodb.*", counted)
    yield counted
    client.meta.events.unregister("before-call.dynamodb.*", counted)
