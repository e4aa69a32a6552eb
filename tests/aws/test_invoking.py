"""A function is invoked by an operator, and what it answers, or that it failed, is told."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from infra.redrive import StillFails, invoking
from tests.unit.test_letters import NAME

pytestmark = pytest.mark.usefixtures("wire")


def _client(stubber: Stubber) -> Any:
    return stubber.client


@pytest.fixture
def lambda_() -> Iterator[Stubber]:
    with Stubber(boto3.client("lambda", region_name="eu-west-1")) as stubber:
        yield stubber


def answer(lambda_: Stubber, told: object, **more: str) -> None:
    body = json.dumps(told).encode()
    payload = StreamingBody(io.BytesIO(body), len(body))
    given = {"FunctionName": NAME, "Payload": b'{"a": 1}'}
    lambda_.add_response("invoke", {"StatusCode": 200, "Payload": payload, **more}, given)


def test_what_a_function_answers_is_told(lambda_: Stubber) -> None:
    answer(lambda_, {"batchItemFailures": []})
    assert invoking(_client(lambda_))(NAME, {"a": 1}) == {"batchItemFailures": []}


def test_a_function_that_raises_still_fails_by_its_type_alone(lambda_: Stubber) -> None:
    answer(lambda_, {"errorType": "Unavailable", "errorMessage": "ada"}, FunctionError="Unhandled")
    with pytest.raises(StillFails, match=r"failed again \(Unavailable\); its log says why$"):
        invoking(_client(lambda_))(NAME, {"a": 1})


def test_a_function_that_is_gone_is_a_sentence(lambda_: Stubber) -> None:
    lambda_.add_client_error("invoke", "ResourceNotFoundException")
    with pytest.raises(StillFails, match="could not be invoked: ResourceNotFoundException"):
        invoking(_client(lambda_))(NAME, {"a": 1})
