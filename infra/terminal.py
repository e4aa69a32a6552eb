"""What the commands have in common: the streams they write to, the options they share, a question and its answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console

from infra import ROOT
from infra.mails import compile_mails, written
from shared import playbook as playbooks
from shared.errors import UsageError
from shared.localtime import at_local, local_day
from shared.mail import Mails
from shared.playbook import Playbook

MAILS = ROOT / "shared" / "mails"

out = Console()
errors = Console(stderr=True)

PlaybookFile = Annotated[Path, typer.Option("--playbook", help="The playbook to use.", show_default="playbook.yaml")]
TableName = Annotated[str | None, typer.Option("--table", help="The table, where it is not the stack's.")]
StackName = Annotated[str, typer.Option("--stack", help="The CloudFormation stack that names the table.")]
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="A day in the community's zone, included.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def read_playbook(file: Path) -> Playbook:
    """The playbook of a file; PlaybookError with everything that is wrong with it."""
    return playbooks.load(file, mails=written(MAILS))


@contextmanager
def compiled_mails() -> Iterator[Mails]:
    """The mails as they are written now, compiled into a folder of this run's own."""
    with TemporaryDirectory(prefix="flywheel-mails-") as folder:
        compile_mails(MAILS, Path(folder))
        yield Mails(Path(folder))


def span(
    since: date | None,
    until: date | None,
    *,
    zone: ZoneInfo,
    now: datetime,
    usual: Callable[[datetime], datetime],
) -> tuple[datetime, datetime]:
    """The moments between which the days asked for lie, both included; `usual` is the start where none was named.

    Raises UsageError when they end before they begin, or begin after now.
    """
    end = min(at_local(until + timedelta(days=1), time(), zone), now) if until else now
    start = at_local(since, time(), zone) if since else usual(end)
    if start >= end:
        first, last = local_day(start, zone), local_day(end, zone)
        raise UsageError(f"the period must begin before it ends and before now; {first} is not before {last}")
    return start, end


def print_json(value: object) -> None:
    """Print a value as scripts read it."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def agreed(question: str, to: str) -> bool:
    """Whether a person says yes; UsageError where there is nobody to ask, naming what `--yes` would agree to."""
    try:
        return typer.confirm(question)
    except typer.Abort as exc:
        if sys.stdin.isatty():
            raise
        out.print()
        raise UsageError(f"there is nobody to ask; say --yes to {to}") from exc
