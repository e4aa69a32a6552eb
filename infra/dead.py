"""`flywheel dead ...`: what could not be dealt with, and having it tried again. Each is safe to try, and safe twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from typing import Annotated, Any

import boto3
import typer
from botocore.config import Config
from rich.table import Column, Table
from rich.text import Text

from infra import STACK
from infra.letters import QUEUES, SENT_BACK, Letter, remedy, why
from infra.operate import deployed, output, outputs, region
from infra.redrive import HELD, Queues, Redrive, StillFails, invoking
from infra.terminal import Json, StackName, TableName, Yes, agreed, errors, out, print_json
from shared.app import QUICK
from shared.errors import UsageError

commands = typer.Typer(help="Dead letters: look, have them tried again, or throw them away.", no_args_is_help=True)

PATIENT = Config(connect_timeout=3, read_timeout=910, retries={"total_max_attempts": 1})
"""As long as the slowest function may run; and not again by itself, for a person is looking."""

WAIT = 1
"""Seconds that a queue is asked for one more letter: long enough that it asks all of its parts."""

Ids = Annotated[list[str] | None, typer.Argument(help="Letters, by as much of their ids as tells them apart.")]
One = Annotated[str, typer.Argument(help="A letter, by as much of its id as tells it apart.")]
Queue = Annotated[str | None, typer.Option("--queue", help=f"All of one queue: {', '.join(QUEUES)}.")]
All = Annotated[bool, typer.Option("--all", help="All of all queues.")]


@commands.command("list")
def list_all(*, table: TableName = None, stack: StackName = STACK, as_json: Json = False) -> None:
    """List the dead letters of all queues, oldest first: what each is about, and why it died."""
    with deployed(table=table, stack=stack), _letters(stack) as (_, letters):
        if as_json:
            print_json([told(letter) for letter in letters])
        elif letters:
            out.print(_table(letters), soft_wrap=True)
        else:
            out.print("There are no dead letters.")


@commands.command("show")
def show(letter: One, *, table: TableName = None, stack: StackName = STACK) -> None:
    """Print one letter whole, as JSON. A letter of DeadFeedback holds somebody's address."""
    with deployed(table=table, stack=stack), _letters(stack) as (_, letters):
        [found] = chosen([letter], letters)
    print_json(told(found) | {"attributes": dict(found.attributes), "body": _read(found.body)})


@commands.command("redrive")
def redrive(
    ids: Ids = None,
    *,
    queue: Queue = None,
    every: All = False,
    table: TableName = None,
    stack: StackName = STACK,
) -> None:
    """Have letters tried again; one that fails again stays, with the reason, and the exit code is 1."""
    which, stayed = _which(queue), 0
    with deployed(table=table, stack=stack) as store, _letters(stack, which, held=HELD) as (queues, letters):
        again = Redrive(
            queues=queues,
            streams=boto3.client("dynamodbstreams", region_name=region(), config=QUICK),
            invoke=invoking(boto3.client("lambda", region_name=region(), config=PATIENT)),
            store=store,
            functions=output("Functions", stack).split(","),
        )
        for letter in _picked(ids, letters, everything=every or queue is not None):
            stayed += not _try(letter, again)
    if stayed:
        raise typer.Exit(1)


@commands.command("drop")
def drop(
    ids: Ids = None,
    *,
    queue: Queue = None,
    every: All = False,
    yes: Yes = False,
    table: TableName = None,
    stack: StackName = STACK,
) -> None:
    """Throw letters away for good: what they are about is not done."""
    which = _which(queue)
    with deployed(table=table, stack=stack), _letters(stack, which) as (queues, letters):
        doomed = _picked(ids, letters, everything=every or queue is not None)
        if not doomed:
            return
        out.print(_table(doomed), soft_wrap=True)
        many = "this letter" if len(doomed) == 1 else f"these {len(doomed)} letters"
        if not (yes or agreed(f"Throw {many} away?", f"throw {many} away")):
            out.print("They stay." if len(doomed) > 1 else "It stays.")
            raise typer.Exit(1)
        for letter in doomed:
            queues.delete(letter)
    out.print("Thrown away.")


def chosen(ids: Iterable[str], letters: Sequence[Letter]) -> list[Letter]:
    """The letters that these beginnings of ids mean, each once; UsageError for one that means none or several."""
    found: dict[str, Letter] = {}
    for one in ids:
        meant = {letter.id: letter for letter in letters if letter.id.startswith(one)}
        if len(meant) != 1:
            problem = "means several letters" if meant else "is no letter, or somebody else is just looking at it"
            raise UsageError(f"{one!r} {problem}; `flywheel dead list` lists them")
        found |= meant
    return list(found.values())


def told(letter: Letter) -> dict[str, Any]:
    """A letter for scripts: ids and codes, no person."""
    return {
        "queue": letter.queue,
        "id": letter.id,
        "died_at": letter.died_at.isoformat(),
        "about": remedy(letter).about,
        "why": why(letter),
    }


@contextmanager
def _letters(stack: str, which: Iterable[str] = QUEUES, *, held: int = 60) -> Iterator[tuple[Queues, Sequence[Letter]]]:
    names = [*(f"{queue}QueueUrl" for queue in QUEUES), *SENT_BACK.values()]
    queues = Queues(boto3.client("sqs", region_name=region(), config=QUICK), outputs(names, stack), wait=WAIT)
    with queues.letters(which, held=held) as letters:
        for queue, count in Counter(letter.queue for letter in letters).items():
            if count >= queues.most:
                errors.print(f"{queue} may hold more than these {count} letters; run it again afterwards.")
        yield queues, letters


def _which(queue: str | None) -> Sequence[str]:
    if queue is not None and queue not in QUEUES:
        raise UsageError(f"there is no queue {queue!r}; there are {', '.join(QUEUES)}")
    return QUEUES if queue is None else (queue,)


def _picked(ids: list[str] | None, letters: Sequence[Letter], *, everything: bool) -> list[Letter]:
    if ids:
        return chosen(ids, letters)
    if not everything:
        raise UsageError("say which: letters by their ids, --queue for all of one queue, or --all")
    if not letters:
        out.print("There are no dead letters.")
    return list(letters)


def _try(letter: Letter, again: Redrive) -> bool:
    try:
        done = again.redrive(letter)
    except StillFails as exc:
        out.print(Text.assemble(("stays ", "red"), f"{letter.short}  {exc}"), soft_wrap=True)
        return False
    out.print(Text.assemble(("done  ", "green"), f"{letter.short}  {done}"), soft_wrap=True)
    return True


def _table(letters: Sequence[Letter]) -> Table:
    heads = ("letter", "queue", "died (UTC)", "about", "why")
    table = Table(*(Column(head, overflow="fold") for head in heads), box=None, header_style="bold")
    for letter in letters:
        died = f"{letter.died_at.astimezone(UTC):%Y-%m-%d %H:%M}"
        table.add_row(letter.short, letter.queue, died, Text(remedy(letter).about), Text(why(letter)))
    return table


def _read(body: str) -> Any:  # noqa: ANN401 - whatever JSON it is
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body
