"""`flywheel secrets`: what platforms prove themselves with and what we sign with, each a parameter of its own.

They are SecureStrings of Parameter Store, which cost nothing. CloudFormation cannot make such, so they are made here,
before the first deploy, and outlive the stack.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from secrets import token_bytes, token_urlsafe
from typing import TYPE_CHECKING, Annotated, Any, Literal

import boto3
import typer
from botocore.exceptions import ClientError

from infra import STACK
from infra.operate import answering, outputs, region
from infra.terminal import StackName, out
from shared.app import QUICK
from shared.errors import UsageError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

Name = Literal["webhooks", "links", "rewards"]

NAMES: tuple[Name, ...] = ("webhooks", "links", "rewards")
"""What each is: webhooks' secrets by platform, the keys that sign links, and what rewards are signed with."""

BEFORE: Mapping[Name, str] = {
    "webhooks": "WebhookSecretArn",
    "links": "LinksSecretArn",
    "rewards": "RewardsSecretArn",
}
"""The outputs of a stack that was deployed while they were in Secrets Manager."""

MOST = 4096
"""Bytes that a standard parameter holds; those that hold more cost."""

commands = typer.Typer(help="Make, show and change what webhooks and links are signed with.", no_args_is_help=True)

Which = Annotated[Name, typer.Argument(help="Which of them.", show_default=False)]
File = Annotated[Path, typer.Argument(help="A file with the JSON object; - reads it from standard input.")]


@commands.command("make")
def make_command(*, stack: StackName = STACK) -> None:
    """Make those that are not there yet, as `make deploy` does before it deploys; what is there stays as it is."""
    with answering():
        made = make(parameters(), stack, _before(stack))
    for name, how in made.items():
        out.print(f"{parameter(stack, name)}: {how}", soft_wrap=True)


@commands.command("put")
def put_command(name: Which, file: File, *, stack: StackName = STACK) -> None:
    """Put what a file holds in the place of a secret; workers take it up within a quarter of an hour."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{file} cannot be read: {exc}") from exc
    with answering():
        put(parameters(), stack, name, text)


@commands.command("show")
def show_command(name: Which, *, stack: StackName = STACK) -> None:
    """Print a secret, a JSON object on one line, for whoever may read it."""
    with answering():
        print(json.dumps(read(parameters(), parameter(stack, name))))


def parameter(stack: str, name: Name) -> str:
    """What a stack's secret is called in Parameter Store."""
    return f"/{stack}/{name}"


def make(ssm: Any, stack: str, before: Mapping[Name, str]) -> dict[Name, str]:  # noqa: ANN401 - boto3's client
    """Make what is not there yet, as it was `before` or anew, and tell what became of each. Nothing is overwritten."""
    return {name: _made(ssm, stack, name, before.get(name)) for name in NAMES}


def put(ssm: Any, stack: str, name: Name, text: str) -> None:  # noqa: ANN401 - boto3's client
    """Put a JSON object in the place of a secret; UsageError when it is none, or larger than a parameter holds."""
    ssm.put_parameter(Name=parameter(stack, name), Value=_held(name, text), Type="SecureString", Overwrite=True)


def read(ssm: Any, name: str) -> dict[str, Any]:  # noqa: ANN401 - boto3's client
    """What a parameter holds; UsageError when it is not there, or no JSON object."""
    try:
        text = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    except ClientError as exc:
        if exc.response["Error"]["Code"] != "ParameterNotFound":
            raise
        raise UsageError(f"there is no parameter {name}; `flywheel secrets make` makes it") from exc
    return _object(name, text)


def _made(ssm: Any, stack: str, name: Name, before: str | None) -> str:  # noqa: ANN401 - boto3's client
    text = _held(name, before) if before else json.dumps(_new(name))
    try:
        ssm.put_parameter(Name=parameter(stack, name), Value=text, Type="SecureString")
    except ClientError as exc:
        if exc.response["Error"]["Code"] != "ParameterAlreadyExists":
            raise
        return "is there already"
    return "carried over from Secrets Manager" if before else "made"


def _new(name: Name) -> dict[str, str]:
    if name == "webhooks":
        return {}  # the platforms make these, and their owner puts them here
    if name == "links":
        return {"current": "1", "1": token_urlsafe(48)}
    return {"current": base64.b64encode(token_bytes(33)).decode()}


def _held(name: str, text: str) -> str:
    held = json.dumps(_object(name, text))
    if len(held) > MOST:
        raise UsageError(
            f"{name} would be {len(held):,} bytes, and a parameter holds {MOST:,}; leave out secrets no longer used"
        )
    return held


def _object(name: str, text: str) -> dict[str, Any]:
    try:
        held = json.loads(text)
    except ValueError:
        held = None
    if not isinstance(held, dict):
        raise UsageError(f"{name} must be a JSON object")
    return held


def _before(stack: str) -> dict[Name, str]:
    """What a deployed stack still keeps in Secrets Manager, if it does."""
    try:
        arns = outputs(BEFORE.values(), stack)
    except UsageError:  # no such stack, or one that has its secrets in Parameter Store
        return {}
    client: SecretsManagerClient = boto3.client("secretsmanager", region_name=region(), config=QUICK)
    return {name: client.get_secret_value(SecretId=arns[key])["SecretString"] for name, key in BEFORE.items()}


def parameters() -> Any:  # noqa: ANN401 - boto3's client
    """Parameter Store, with the operator's own credentials."""
    return boto3.client("ssm", region_name=region(), config=QUICK)
