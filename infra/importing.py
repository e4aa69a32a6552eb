"""`flywheel import ...`: the history of a community that was there before, from what its platforms export.

A file is read twice: whole, so that a bad one is refused before anything is logged, and told; then into the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from infra import ROOT, STACK
from infra.exports import LeftOut, Told, discord, discourse, lines, slack, telegram
from infra.history import Survey, Written, asked_for, counted, recent, survey, write
from infra.operate import deployed, now_of
from infra.terminal import Day, PlaybookFile, StackName, TableName, Yes, agreed, errors, out, read_playbook
from shared.errors import FlywheelError, UsageError
from shared.localtime import local_day
from shared.members import zone_of
from shared.playbook import Playbook
from shared.playbook.terms import duration_text
from shared.programmes.reengagement import SPREAD
from shared.store import Store
from shared.store.items import KEPT

Source = Literal["slack", "discord", "telegram", "discourse", "events"]

ONE_FILE = frozenset({"slack", "telegram", "events"})
"""Sources of which an export is one file; of the others there is one for each channel, or each list."""

Which = Annotated[Source, typer.Argument(help="Whose export it is; `events` are lines of JSON.", show_default=False)]
Files = Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True, help="The export.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be logged; needs no AWS.")]
Writers = Annotated[int, typer.Option("--writers", min=1, max=64, help="How many events are written at once.")]
Bots = Annotated[
    list[str] | None, typer.Option("--bot", help="The number of a user that is a bot, which Telegram does not tell.")
]
Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channel", help="Of Slack, only these channels, by name; private ones only so. All public ones otherwise."
    ),
]

Read = Callable[[datetime], Iterator[Told]]
"""Everything that was asked for of an export, as of a moment; it may be read again."""


def import_history(
    source: Which,
    files: Files,
    *,
    channel: Channels = None,
    bot: Bots = None,
    dry_run: DryRun = False,
    since: Day = None,
    until: Day = None,
    writers: Writers = 16,
    yes: Yes = False,
    table: TableName = None,
    stack: StackName = STACK,
    playbook: PlaybookFile = ROOT / "playbook.yaml",
) -> None:
    """Bring in the history of a community that was there before.

    slack: a workspace's export, a zip.
    discord: channels and threads, as DiscordChatExporter writes them in JSON.
    telegram: a group, as Telegram Desktop exports it in JSON.
    discourse: a list of users, .csv or .csv.gz.
    events: anything else, .jsonl or .jsonl.gz, one event a line.
    """
    rules = read_playbook(playbook)
    whole = _reader(source, files, rules, channels=channel or (), bots=bot or ())
    first, last = (day.date() if day else None for day in (since, until))

    def read(now: datetime) -> Iterator[Told]:
        return asked_for(whole(now), first, last, zone_of(None, rules))

    if dry_run:
        now = _here()
        out.print(shown(_surveyed(read, now), rules, now), soft_wrap=True)
        return
    with deployed(table=table, stack=stack, side_by_side=writers) as store:
        now = now_of(store)
        found = _surveyed(read, now)
        out.print(shown(found, rules, now), soft_wrap=True)
        if not found.events:
            return
        if not (yes or agreed("Log them?", "log them")):
            out.print("Nothing was logged.")
            raise typer.Exit(1)
        _log(read(now), store, found, writers)


def _reader(
    source: Source, files: list[Path], rules: Playbook, *, channels: Sequence[str], bots: Sequence[str]
) -> Read:
    """How these files are read; UsageError for more of them, or other options, than their source takes."""
    if len(files) > 1 and source in ONE_FILE:
        raise UsageError(f"import {source} takes one file at a time, and there are {len(files)}")
    if channels and source != "slack":
        raise UsageError(f"--channel is for slack alone, and this is {source}")
    if bots and source != "telegram":
        raise UsageError(f"--bot is for telegram alone, and this is {source}")
    match source:
        case "slack":
            return lambda now: slack.events(files[0], now=now, channels=channels)
        case "discord":
            return lambda now: discord.events(files, now=now)
        case "telegram":
            return lambda now: telegram.events(files[0], now=now, bots=bots)
        case "discourse":
            return lambda now: discourse.events(files, now=now, instance=discourse.instance_of(rules))
        case "events":
            return lambda now: lines.events(files[0], now=now)


def _here() -> datetime:
    """The time, where no table is asked for its own."""
    return datetime.now(UTC)


def _surveyed(read: Read, now: datetime) -> Survey:
    with _progress("Reading", None) as passed:
        return survey(read(now), now, passed)


def _log(told: Iterator[Told], store: Store, found: Survey, writers: int) -> None:
    began, done = time.monotonic(), 0

    def passed(more: int) -> None:
        nonlocal done
        done += more
        tell(done)

    try:
        with _progress("Logging", found.events) as tell:
            written = write(told, store, writers=writers, tell=passed)
    except (FlywheelError, BotoCoreError, ClientError, KeyboardInterrupt):
        errors.print(
            f"Broken off: at least {done:,} of {found.events:,} events are logged. Run it again: none is logged twice."
        )
        raise
    out.print(in_words(written, seconds=time.monotonic() - began), soft_wrap=True, highlight=False)


@contextmanager
def _progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar, or without a total a count, while the block runs; what it gives is told how far it has come."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=errors, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


# --- what is told --------------------------------------------------------------------------------


def shown(found: Survey, rules: Playbook, now: datetime) -> RenderableType:
    """What an export holds and leaves out, and what it would set off."""
    zone = zone_of(None, rules)
    if found.first is None or found.last is None:
        head = "There is nothing to log."
    else:
        days = f"from {local_day(found.first, zone)} to {local_day(found.last, zone)}"
        head = f"{found.events:,} events of {len(found.people):,} people, {days}:"
    parts: list[RenderableType] = [head, _rows(found.types)]
    if found.left_out:
        parts += ["Left out:", _rows({reason.value: count for reason, count in found.left_out.items()})]
    return Group(*parts, *_consequences(found, rules, now))


def _rows(counts: dict[str, int]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right")
    table.add_column()
    for name, count in counted(counts):
        table.add_row(count, name)
    return table


def _consequences(found: Survey, rules: Playbook, now: datetime) -> Iterator[str]:
    silent = found.silent(now - timedelta(days=rules.reengagement.inactive_days))
    came = found.came(recent(rules.onboarding.open_for, rules.onboarding.start, now))
    late = duration_text(rules.onboarding.stale_after)
    if silent:
        yield (
            f"{silent:,} people have been silent for {rules.reengagement.inactive_days} days or more. Those who may "
            f"get mail are asked to come back, spread over {SPREAD.days} days."
        )
    if came:
        yield (
            f"{came:,} people joined since onboarding.start and less than {rules.onboarding.open_for.days} days ago. "
            f"They get the steps of onboarding whose day is yet to come, or was at most {late} ago."
        )
    if found.unmeasured:
        yield (
            f"{found.unmeasured:,} events are older than {KEPT.days} days: they tell of their people, but no figure is "
            "made of them."
        )


def in_words(written: Written, *, seconds: float) -> str:
    """What became of an import."""
    rate = f"{(written.new + written.again) / max(seconds, 0.001):,.0f} a second"
    again = f" {written.again:,} stood in the log already." if written.again else ""
    erased = f" {written.erased:,} left out: {LeftOut.ERASED}." if written.erased else ""
    follows = " Members follow in minutes, the figures of their days with the next hourly ticks." if written.new else ""
    return f"[green]Logged {written.new:,} events[/], {rate}.{again}{erased}{follows}"
