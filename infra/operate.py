"""The way from an operator's terminal to a deployed table: with their own credentials, and in sentences when it fails.

Knows no command. The local stack is reached the same way, by `AWS_ENDPOINT_URL`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as NoConnection

from shared.app import QUICK, App, Settings
from shared.errors import UsageError
from shared.playbook import Playbook
from shared.store import Store

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE_OUTPUT = "TableName"

_UNKNOWN_CALLER = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)


@contextmanager
def deployed(*, table: str | None, stack: str, side_by_side: int = 1) -> Iterator[Store]:
    """The table of a deployed Flywheel: the one named, else the one that the CloudFormation stack names.

    `side_by_side` threads may ask it at once.

    Raises UsageError, in a sentence, when credentials, region, stack or table are missing, and when AWS refuses
    anything that is asked of the table meanwhile; Unavailable when the table does not answer.
    """
    with answering(repr(table) if table else f"as the stack {stack!r} names it"):
        name = table or output(TABLE_OUTPUT, stack)
        config = QUICK if side_by_side == 1 else QUICK.merge(Config(max_pool_connections=side_by_side))
        client: DynamoDBClient = boto3.client("dynamodb", region_name=region(), config=config)
        yield Store(client, name)


@contextmanager
def answering(table: str = "of that name") -> Iterator[None]:
    """Turn what AWS refuses meanwhile, and that it does not answer, into a UsageError of one sentence."""
    try:
        yield
    except ClientError as exc:
        raise UsageError(_refusal(exc, table)) from exc
    except BotoCoreError as exc:
        raise UsageError(_failure(exc)) from exc


@contextmanager
def house(table: str | None, stack: str, playbook: Playbook) -> Iterator[App]:
    """An App over the deployed table, which is all of it that most commands need."""
    with deployed(table=table, stack=stack) as store:
        app = App(Settings(), playbook=playbook)
        app.store = store
        yield app


def output(name: str, stack: str) -> str:
    """An output of a deployed stack; UsageError, in a sentence, when the stack or the output is missing."""
    return outputs([name], stack)[name]


def outputs(names: Iterable[str], stack: str) -> dict[str, str]:
    """These outputs of a deployed stack; UsageError, in a sentence, when the stack or one of them is missing."""
    client: CloudFormationClient = boto3.client("cloudformation", region_name=region(), config=QUICK)
    try:
        [found] = client.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as exc:
        if exc.response["Error"]["Code"] != "ValidationError":  # which is how CloudFormation says that there is none
            raise
        where = f"in {client.meta.region_name} with these credentials"
        raise UsageError(
            f"there is no stack {stack!r} {where}; name it with --stack, or the table with --table"
        ) from exc
    told = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
    for name in (wanted := list(names)):
        if name not in told:
            raise UsageError(f"the stack {stack!r} has no output {name}: it is no Flywheel, or has to be deployed anew")
    return {name: told[name] for name in wanted}


def now_of(store: Store) -> datetime:
    """The time there: this machine's, or the one that a local stack in virtual time was set to."""
    return store.local_clock() or datetime.now(UTC)


def region() -> str | None:
    """AWS_REGION, which the AWS CLI and the CDK read but boto3 does not; None leaves it to boto3."""
    return os.environ.get("AWS_REGION") or None


def _refusal(exc: ClientError, table: str) -> str:
    error = exc.response["Error"]
    if error["Code"] == "ResourceNotFoundException":
        return f"there is no table {table} in this region with these credentials"
    return f"AWS refused {exc.operation_name}: {error['Code']}: {error.get('Message', '')}".rstrip(": ")


def _failure(exc: BotoCoreError) -> str:
    if isinstance(exc, _UNKNOWN_CALLER):
        return f"AWS credentials are needed ({exc}); set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if isinstance(exc, NoRegionError):
        return "an AWS region is needed; set AWS_REGION to the one that Flywheel is deployed to"
    if isinstance(exc, HTTPClientError | NoConnection):
        doubt = "is AWS_ENDPOINT_URL right?" if os.environ.get("AWS_ENDPOINT_URL") else "is there a network?"
        return f"AWS did not answer ({exc}); {doubt}"
    return f"AWS could not be asked: {exc}"
