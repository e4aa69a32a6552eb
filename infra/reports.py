"""`flywheel report`: any period's report made again, as a page in a file or as one mail to an address."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args
from zoneinfo import ZoneInfo

import typer

from infra import ROOT, STACK
from infra.operate import deployed, now_of
from infra.preview import LINKS, send
from infra.terminal import PlaybookFile, StackName, TableName, compiled_mails, out, read_playbook
from shared.addresses import usable_address
from shared.errors import UsageError
from shared.localtime import local_day
from shared.mail import Composed, Gathered, Mails, compose
from shared.metrics import Period, PeriodKind
from shared.model import Member
from shared.pages import Pages
from shared.playbook import Playbook
from shared.report import PERIODS, ReportKind
from shared.reported import attachments
from shared.reporting import facts_of, newest

if TYPE_CHECKING:
    from shared.editions import Made

_WRITTEN: Mapping[PeriodKind, tuple[str, str]] = {
    "day": ("%Y-%m-%d", "2026-10-05"),
    "week": ("%G-W%V-%u", "2026-W40"),
    "month": ("%Y-%m", "2026-09"),
}
"""How the first day of a period is read, and an example of how a period is written."""

Kind = Annotated[str, typer.Argument(help="daily, weekly or monthly.")]
At = Annotated[
    str | None,
    typer.Option(help="The period: 2026-10-05, 2026-W40 or 2026-09; the newest that is over, if none is named."),
]
To = Annotated[str, typer.Option(help="A file for the page, or the address to send the mail to.")]
Language = Annotated[str | None, typer.Option(help="The language of the report; the playbook's first by default.")]


def report(
    kind: Kind,
    *,
    at: At = None,
    to: To,
    locale: Language = None,
    table: TableName = None,
    stack: StackName = STACK,
    playbook: PlaybookFile = ROOT / "playbook.yaml",
) -> None:
    """Make a period's report again, as known now: into a file, or as one mail through SES with your own credentials.

    Figures that are not what was first reported are marked. Nothing is kept, and no manager is written to.
    """
    from shared.editions import made  # noqa: PLC0415 - it loads what draws, which takes longer than any other command

    rules = read_playbook(playbook)
    which, language = kind_of(kind), _locale(locale, rules)
    with deployed(table=table, stack=stack) as store, compiled_mails() as mails:
        now = now_of(store)
        period = period_of(which, at, playbook=rules, now=now)
        facts = facts_of(which, period, store=store, playbook=rules, now=now)
        one = made(facts, playbook=rules, mails=mails, locale=language)
        if "@" in to and Path(to).suffix != ".html":
            told = f"sent as {send(mail_of(one, mails, rules, to=to, now=now))}"
        else:
            told = _written(one, Path(to))
    changed = f"; {len(facts.restated)} figures have changed since it was first reported" if facts.restated else ""
    out.print(f"{one.report.title}, {one.report.period}{changed}\n{told}", soft_wrap=True, markup=False)


def kind_of(text: str) -> ReportKind:
    """A kind of report by its name; UsageError when there is none of it."""
    for kind in get_args(ReportKind):
        if text == kind:
            return kind  # type: ignore[no-any-return]
    raise UsageError(f"there is no report {text!r}; choose one of {', '.join(get_args(ReportKind))}")


def period_of(kind: ReportKind, text: str | None, *, playbook: Playbook, now: datetime) -> Period:
    """The period that was asked for, the newest that is over if none was; UsageError when it is none, or to come."""
    if text is None:
        return newest(kind, now, playbook)
    period = Period.of(PERIODS[kind], _first_day(PERIODS[kind], text))
    today = local_day(now, ZoneInfo(playbook.community.timezone))
    if period.first > today:
        raise UsageError(f"{period} has not begun yet; today is {today}")
    return period


def mail_of(one: Made, mails: Mails, playbook: Playbook, *, to: str, now: datetime) -> Composed:
    """The mail of a report to one address, without a page; UsageError when no mail can go there."""
    if usable_address(to) is None:
        raise UsageError(f"{to!r} is no address that a mail can be sent to")
    report = one.report
    reader = Member(id="report", ordinal=-1, created_at=now, email=to, locale=report.locale, role="staff")
    files = attachments(report, one.pictures, one.csv)
    return compose(
        mails,
        mail=playbook.reports.mail,
        member=reader,
        playbook=playbook,
        links=LINKS._replace(report=""),
        gathered=Gathered(figures=report.model_dump(mode="json"), attachments=files),
        now=now,
    )


def _first_day(kind: PeriodKind, text: str) -> date:
    form, example = _WRITTEN[kind]
    try:
        return datetime.strptime(f"{text}-1" if kind == "week" else text, form).replace(tzinfo=UTC).date()
    except ValueError as exc:
        raise UsageError(f"a {kind} is written like {example}; got {text!r}") from exc


def _locale(given: str | None, playbook: Playbook) -> str:
    if given is not None and given not in playbook.locales:
        raise UsageError(f"there is no language {given!r}; choose one of {', '.join(playbook.locales)}")
    return given or playbook.locales[0]


def _written(one: Made, file: Path) -> str:
    from shared.editions import page_of  # noqa: PLC0415 - as above

    html = page_of(one, Pages(ROOT / "shared" / "pages")).html
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(html, encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"{file} cannot be written: {exc.strerror}") from exc
    return f"{file}, {len(html.encode()) / 1024:.0f} KB"
