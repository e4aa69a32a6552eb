"""`flywheel`: what an operator and a community manager do from a terminal. Errors are one line and exit code 2."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text
from typer.exceptions import TyperException

from infra import ROOT, STACK, dead, importing, reports
from infra import cost as costs
from infra import doctor as doctoring
from infra import lift as lifts
from infra import members as persons
from infra import referrals as referring
from infra import resume as resuming
from infra import secret as secrets
from infra import why as reasons
from infra.local import show
from infra.local.demo import SECRETS, Demo
from infra.local.inbox import write_inbox
from infra.local.receiver import receiving
from infra.local.stack import LocalStack, running
from infra.local.summary import outcome, summary
from infra.operate import deployed, now_of
from infra.preview import sample_mail, send, whole
from infra.terminal import (
    Day,
    Json,
    PlaybookFile,
    StackName,
    TableName,
    Yes,
    agreed,
    compiled_mails,
    errors,
    out,
    print_json,
    read_playbook,
)
from shared import playbook as playbooks
from shared.errors import FlywheelError, PlaybookError
from shared.lifting import measured
from shared.members import zone_of
from shared.playbook import Playbook

OUT = ROOT / "out"

app = typer.Typer(
    help="Community-marketing automation in your own AWS account.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
playbook_app = typer.Typer(help="Check the playbook, or describe it to your editor.", no_args_is_help=True)
app.add_typer(playbook_app, name="playbook")

app.add_typer(referring.commands, name="referrals")
app.add_typer(persons.commands, name="members")
app.add_typer(dead.commands, name="dead")
app.add_typer(secrets.commands, name="secrets")

app.command()(reports.report)
app.command("import")(importing.import_history)
app.command()(doctoring.doctor)
app.command()(costs.cost)

Locale = Annotated[str, typer.Option(help="The language of the mail, one of the playbook's.")]
MailName = Annotated[str, typer.Argument(help="A mail of the playbook, such as welcome.")]


@app.command()
def demo(
    members: Annotated[int, typer.Option(min=1, max=500, help="How many people the invented community has.")] = 40,
    days: Annotated[int, typer.Option(min=1, max=400, help="How many virtual days to live through.")] = 156,
    seed: Annotated[int, typer.Option(help="The same seed gives the same community and the same mails.")] = 7,
) -> None:
    """Live through months of a small community on this machine, and open the mails it was sent.

    Starts a local AWS on loopback, deploys the very stack that goes to AWS, posts signed webhooks over HTTP, moves the
    clock, fires the deployed schedules, takes the rewards that are told of, and stops everything again.
    """
    started = time.monotonic()
    playbook = read_playbook(ROOT / "playbook.yaml")
    folder = OUT / "demo"
    with (
        show.steps(out) as steps,
        receiving() as receiver,
        running(secrets=SECRETS, context=receiver.context(ROOT / "playbook.yaml"), tell=steps.tell) as stack,
    ):
        run = Demo(stack, playbook, receiver, members=members, days=days, seed=seed)
        with steps.timeline(run.days) as moved_to:
            run.run(moved_to)
        steps.tell("Writing the inbox")
        found = outcome(stack, playbook)
        write_inbox(folder, found, playbook)
        told = summary(run, found, started)
    (folder / "summary.json").write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    show.demo(out, told, folder, playbook)
    if any(told["checks"].values()) or told["webhooks"]["unexpected"]:
        raise typer.Exit(1)


@app.command()
def up(
    port: Annotated[int | None, typer.Option(help="The port on loopback; a free one by default.")] = None,
) -> None:
    """Run the stack on this machine by the real clock until Ctrl-C, with everything needed to try it."""
    playbook = read_playbook(ROOT / "playbook.yaml")
    with show.steps(out) as steps, running(port=port, virtual_time=False, secrets=SECRETS, tell=steps.tell) as stack:
        steps.done()
        show.webhooks(out, stack, SECRETS, OUT / "inbox" / "index.html")
        _watch_inbox(stack, playbook, OUT / "inbox")


def _watch_inbox(stack: LocalStack, playbook: Playbook, folder: Path) -> None:
    """Keep the inbox page fresh, and tell of each mail, until interrupted."""
    shown = -1
    while True:
        found = outcome(stack, playbook)
        if len(found.inbox) != shown:
            write_inbox(folder, found, playbook)
            for message in found.inbox[max(shown, 0) :]:
                to = parseaddr(message["To"][0])[1]
                out.print(Text.assemble(("mail", "green"), f" to {to}: {message['Subject']}"), soft_wrap=True)
            shown = len(found.inbox)
        time.sleep(1)


@playbook_app.command("check")
def playbook_check(
    file: Annotated[Path, typer.Argument(help="The playbook to check.", show_default="playbook.yaml")] = ROOT
    / "playbook.yaml",
) -> None:
    """Say everything that is wrong with a playbook, with the place and what is allowed there."""
    playbook = read_playbook(file)
    steps = ", ".join(f"{step.key} on day {step.day}" for step in playbook.onboarding.steps)
    about = f" Languages: {', '.join(playbook.locales)}. Onboarding: {steps}."
    out.print(Text.assemble((f"{file.name} is good.", "green"), about), soft_wrap=True)


@playbook_app.command("schema")
def playbook_schema() -> None:
    """Print the playbook's JSON Schema, for editors that check while one types."""
    print(json.dumps(playbooks.schema(), indent=2, ensure_ascii=False))


@app.command()
def preview(
    mail: MailName,
    locale: Locale = "en",
    name: Annotated[str, typer.Option(help="Who the mail greets.")] = "Ada",
    playbook: PlaybookFile = ROOT / "playbook.yaml",
) -> None:
    """Render a mail as a member would get it, into out/preview."""
    with compiled_mails() as mails:
        composed = sample_mail(mails, read_playbook(playbook), mail, locale, name=name, now=datetime.now(UTC))
    folder = OUT / "preview"
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{mail}.{locale}.html"
    page.write_text(whole(composed), encoding="utf-8")
    (folder / f"{mail}.{locale}.txt").write_text(composed.text, encoding="utf-8")
    sender = make_header(decode_header(composed.sender))
    size = f"{len(composed.html.encode()) / 1024:.0f} KB"
    out.print(Text.assemble((composed.subject, "bold"), f"\nfrom {sender}, {size}"))
    out.print(f"{page}\n{page.with_suffix('.txt')}", soft_wrap=True)


@app.command("send-test")
def send_test(
    mail: MailName,
    to: Annotated[str, typer.Option(help="The address to send it to.")],
    locale: Locale = "en",
    name: Annotated[str, typer.Option(help="Who the mail greets.")] = "Ada",
    playbook: PlaybookFile = ROOT / "playbook.yaml",
) -> None:
    """Send one mail, with sample content, through SES with your own AWS credentials."""
    with compiled_mails() as mails:
        composed = sample_mail(mails, read_playbook(playbook), mail, locale, name=name, now=datetime.now(UTC), to=to)
    out.print(f"sent as {send(composed)}")


@app.command()
def why(
    member: Annotated[
        str,
        typer.Argument(
            help="A member id, a platform id such as slack:U123, an address, or a manager such as manager_mira."
        ),
    ],
    *,
    table: TableName = None,
    stack: StackName = STACK,
    playbook: PlaybookFile = ROOT / "playbook.yaml",
    as_json: Json = False,
) -> None:
    """Tell what is next for a member and everything that was decided about them, newest first, with the reasons."""
    rules, who = read_playbook(playbook), member.strip()
    with deployed(table=table, stack=stack) as store:
        known = reasons.find(who, store, rules)
        lines = reasons.history(known, playbook=rules, now=now_of(store))
    if as_json:
        print_json(reasons.told(who, known, lines, rules))
    else:
        out.print(reasons.shown(who, known, lines, rules))


@app.command()
def lift(
    programme: Annotated[str, typer.Argument(help="The programme: reengagement.")],
    *,
    since: Day = None,
    until: Day = None,
    table: TableName = None,
    stack: StackName = STACK,
    playbook: PlaybookFile = ROOT / "playbook.yaml",
    as_json: Json = False,
) -> None:
    """Tell whether a programme's mails bring members back: asked against held out, over the last 90 days."""
    rules = read_playbook(playbook)
    with deployed(table=table, stack=stack) as store:
        now = now_of(store)
        days = (since.date() if since else None, until.date() if until else None)
        period = lifts.period(programme, *days, playbook=rules, now=now)
        found = measured(store, period, now)
    if as_json:
        print_json(lifts.told(programme, period, found))
    else:
        out.print(lifts.shown(programme, period, found, zone_of(None, rules)))


@app.command()
def resume(
    *,
    yes: Yes = False,
    table: TableName = None,
    stack: StackName = STACK,
    playbook: PlaybookFile = ROOT / "playbook.yaml",
) -> None:
    """Let marketing mail go on after it has paused by itself, spread over a while."""
    rules = read_playbook(playbook)
    with deployed(table=table, stack=stack) as store:
        pause, zone, now = store.pause(), zone_of(None, rules), now_of(store)
        held = resuming.state(pause, rules.breaker, zone=zone, now=now)
        if pause is None or pause.resumed_at is not None:
            out.print(f"{held or 'Marketing mail is not paused'}; there is nothing to resume.", soft_wrap=True)
            return
        waiting = resuming.what_resuming_does(resuming.waiting(store), rules.breaker)
        out.print(f"{held}.\n{waiting}.", soft_wrap=True, markup=False)
        if not (yes or agreed("Let marketing mail go on?", "let marketing mail go on")):
            out.print("It stays paused.")
            raise typer.Exit(1)
        resumed = store.resume(now)
    out.print("[green]Marketing mail goes on.[/]" if resumed else "Somebody has just let it go on.")


def main() -> None:
    """Run the command line; every mistake of a person is one line a mistake, and exit code 2."""
    try:
        code = app(prog_name="flywheel", standalone_mode=False)
    except PlaybookError as exc:
        code = _fail(*(f"{exc.source}: {problem}" for problem in exc.problems))
    except FlywheelError as exc:
        code = _fail(str(exc))
    except TyperException as exc:
        message = exc.format_message()  # none when it is only the help that is shown
        code = _fail(*([message] if message else []))
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    sys.exit(code)


def _fail(*messages: str) -> int:
    for message in messages:
        errors.print(Text.assemble(("flywheel: ", "red"), message), soft_wrap=True)
    return 2


if __name__ == "__main__":
    main()
