"""What the local stack tells on the terminal: its steps, the passing of virtual time, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from infra.local.inbox import REASONS
from infra.local.ministack import REGION
from infra.local.people import START
from infra.local.stack import LocalStack
from shared.playbook import Playbook

CURLS = Path(__file__).parent / "curls"
"""A piece of shell a platform, that posts a signed webhook."""

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
"""The local AWS takes any, but boto3 wants some."""

COMMAND = Path(".venv") / "bin" / "flywheel"
"""Where `make setup` puts the command."""


class Steps:
    """A line that says what is going on, and a bar while virtual time passes."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def tell(self, what: str) -> None:
        """Say what is begun now."""
        self._progress.update(self._task, description=what, total=None)

    def done(self) -> None:
        """Say nothing more."""
        self._progress.stop()

    @contextmanager
    def timeline(self, days: int) -> Iterator[Callable[[datetime], None]]:
        """A bar over so many virtual days; call what it gives with each moment reached."""
        bar = self._progress.add_task("Living", total=days)
        self._progress.update(self._task, visible=False)

        def moved_to(now: datetime) -> None:
            passed = (now - START).total_seconds() / 86400
            self._progress.update(bar, completed=passed, description=f"{now:%a %d %b %Y, %H:%M} UTC")

        yield moved_to
        self._progress.update(self._task, visible=True)


@contextmanager
def steps(console: Console) -> Iterator[Steps]:
    """Show steps while the block runs."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Steps(progress)


def demo(console: Console, told: Mapping[str, Any], folder: Path, playbook: Playbook) -> None:
    """What happened in the demo, as tables."""
    console.print(_mails(told, playbook))
    console.print(_attempts(told, playbook))
    console.print(_skips(told))
    hooks = told["webhooks"]
    rejected = ", ".join(f"{count} x {status}" for status, count in hooks["rejected"].items())
    console.print(
        f"[bold]Webhooks[/]  {hooks['posted']} posted, {hooks['accepted']} accepted, of them "
        f"{hooks['duplicates_posted']} duplicates and {hooks['unused']} of no use; rejected: {rejected or 'none'}"
    )
    for odd in hooks["unexpected"]:
        console.print(f"[red]unexpected answer[/] {odd}")
    console.print(f"[bold]Events[/]    {told['events']['logged']} in the log")
    back = told["reengagement"]
    console.print(
        f"[bold]Away[/]      asked to come back {back['sent']} times of {back['due']} that were due, "
        f"{back['held_out']} held out; {back['won_back']} members won back, {back['dormant']} dormant at the end"
    )
    console.print(f"[bold]Friends[/]   {_friends(told)}")
    console.print(
        f"[bold]Addresses[/] {told['suppressed']} suppressed; mails put off to a better moment: {told['deferred']}"
    )
    checks = (f"{count} {name.replace('_', ' ')}" for name, count in told["checks"].items())
    verdict = "[red]FAILED[/]" if any(told["checks"].values()) else "[green]all good[/]"
    console.print(f"[bold]Checks[/]    {verdict}: {', '.join(checks)}")
    measured = f"{len(told['rollups'])} days measured, {len(told['reports'])} reports mailed"
    console.print(f"[bold]Measured[/]  {measured}")
    console.print(f"[bold]Inbox[/]     {folder / 'index.html'}", soft_wrap=True)
    console.print(f"[dim]{told['members']} members, {told['virtual_days']} days, {told['seconds']} s[/]")


def _friends(told: Mapping[str, Any]) -> str:
    """What became of the referrals, and what was granted for them."""
    counted, granted = told["referrals"], Counter(reward["rule"] for reward in told["rewards"])
    rewards = ", ".join(f"{count} x {rule.replace('_', ' ')}" for rule, count in granted.items())
    return (
        f"{counted['clicks']} clicks, {counted['attributed']} brought, {counted['qualified']} count, "
        f"{counted['voided']} undone, {counted['held_for_review']} held for review; rewards: {rewards or 'none'}"
    )


def _mails(told: Mapping[str, Any], playbook: Playbook) -> Table:
    days = {step.key: str(step.day) for step in playbook.onboarding.steps}
    return _by_status("Onboarding mails", told, "onboarding", ("step", "day"), list(days.items()))


def _attempts(told: Mapping[str, Any], playbook: Playbook) -> Table:
    """The attempts by how long after what was before them they come."""
    spacing = [f"{after.days} days" for after in playbook.reengagement.spacing]
    rows = [(f"attempt{number}", after) for number, after in enumerate(spacing, 1)]
    return _by_status("Mails to those who are away", told, "reengagement", ("attempt", "after"), rows)


def _by_status(
    title: str, told: Mapping[str, Any], programme: str, names: tuple[str, str], rows: Sequence[tuple[str, str]]
) -> Table:
    counts = Counter((send["step"], send["status"]) for send in told["sends"] if send["programme"] == programme)
    table = Table(title=title, title_justify="left")
    statuses = [status for status in ("sent", "skipped", "deferred", "unknown", "parked") if _any(counts, status)]
    for column in (*names, *statuses):
        table.add_column(column, justify="left" if column == names[0] else "right")
    for key, when in rows:
        table.add_row(key, when, *(str(counts[key, status]) for status in statuses))
    return table


def _any(counts: Counter[tuple[str, str]], status: str) -> bool:
    return status == "sent" or any(counted == status for _, counted in counts)


def _skips(told: Mapping[str, Any]) -> Table:
    table = Table(title="Mails not sent, and why", title_justify="left")
    table.add_column("because")
    table.add_column("mails", justify="right")
    for reason, count in told["skips"].items():
        table.add_row(REASONS.get(reason, reason), str(count))
    return table


def webhooks(console: Console, stack: LocalStack, secrets: Mapping[str, list[str]], inbox: Path) -> None:
    """Where each platform's webhooks go, with a curl that signs itself when it is pasted, and so never goes stale."""
    console.print("\n[bold]The stack is up.[/] Ctrl-C ends it and everything it started.\n")
    for platform, known in secrets.items():
        url = f"{stack.machine.url}/webhooks/{platform}"
        shell = (CURLS / f"{platform}.sh").read_text(encoding="utf-8")
        for place, value in {"@URL@": url, "@HOST@": stack.host, "@SECRET@": known[-1]}.items():
            shell = shell.replace(place, value)
        console.print(f"[bold]{platform}[/]  {url}")
        console.print(shell, style="cyan", soft_wrap=True, markup=False, highlight=False)
    console.print(f"[bold]inbox[/]  {inbox}  (kept fresh while this runs)\n", soft_wrap=True)
    console.print("[bold]look inside[/]  with the operator's commands, whose member may be an address too:")
    names = {"AWS_ENDPOINT_URL": stack.machine.url, "AWS_REGION": REGION} | CREDENTIALS
    environment = " ".join(f"{name}={value}" for name, value in names.items())
    line = f"{environment} {COMMAND} why ada@example.com\n"
    console.print(line, style="cyan", soft_wrap=True, markup=False, highlight=False)
