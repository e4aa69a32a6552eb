"""What the commands have in common: the streams they write to, the options they share, a question and its answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra import ROOT
from infra.mails import written
from shared import playbook as playbooks
from shared.errors import UsageError
from shared.playbook import Playbook

MAILS = ROOT / "shared" / "mails"

out = Console()
errors = Console(stderr=True)

PlaybookFile = Annotated[Path, typer.Option("--playbook", help="The playbook to use.", show_default="playbook.yaml")]
TableName = Annotated[str | None, typer.Option("--table", help="The table, where it is not the stack's.")]
StackName = Annotated[str, typer.Option("--stack", help="The CloudFormation stack that names the table.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def read_playbook(file: Path) -> Playbook:
    """The playbook of a file; PlaybookError with everything that is wrong with it."""
    return playbooks.load(file, mails=written(MAILS))


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
