"""Makes reports, keeps them and plans their mails: one edition for each language that a period's readers have.

What is kept is what was reported, whatever is restated later: the mailer and the page only read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from shared.app import App
from shared.charts import png
from shared.errors import Unavailable
from shared.mail import Mails
from shared.model import Edition, PlannedMail, SendId
from shared.pages import Page, Pages, inline
from shared.playbook import Playbook
from shared.recipients import manager_id
from shared.report import Facts, Language, Report, ReportKind, build, csv_of
from shared.report.model import ChartName
from shared.reported import FIGURES, PAGE, PROGRAMME, REPORT, packed, picture
from shared.reporting import facts_of, newest


@dataclass(frozen=True, kw_only=True)
class Made:
    """A report as it was made: what it says, its pictures by the name of their chart, and all figures as CSV."""

    report: Report
    pictures: Mapping[ChartName, bytes]
    csv: bytes


def made(facts: Facts, *, playbook: Playbook, mails: Mails, locale: str) -> Made:
    """A report in a language; a chart without numbers has no picture."""
    language = Language.of(locale, mails.wording(locale))
    report = build(facts, playbook=playbook, language=language)
    drawn = {
        chart.name: png(chart, partial(language.told, chart.unit)) for chart in report.charts if not chart.is_empty
    }
    return Made(report=report, pictures=drawn, csv=csv_of(facts, playbook=playbook, language=language))


def page_of(one: Made, pages: Pages) -> Page:
    """A report as a page that needs nothing from elsewhere: its pictures and the CSV are inside."""
    report = one.report
    return pages.render(
        "report",
        report.locale,
        community=report.community,
        report=report,
        pictures={name: inline("image/png", content) for name, content in one.pictures.items()},
        csv=inline("text/csv;charset=utf-8", one.csv),
    )


def publish(kind: ReportKind, app: App, now: datetime) -> list[PlannedMail]:
    """Report on the newest period that is over: keep it in every language it is read in, then plan a mail to each.

    Done again, for whatever reason, it makes nothing anew and plans the same mails, which the ledger sends once.
    Raises Unavailable when the table or the queue is away.
    """
    rule = app.playbook.reports.kinds.get(kind)
    if rule is None:  # its schedule is gone with the deploy that left it out
        return []
    period = str(newest(kind, now, app.playbook))
    editions = {name: Edition(kind, period, app.playbook.managers[name].locale) for name in rule.to}
    _keep(kind, editions.values(), app, now)
    mails = [
        PlannedMail(
            send_id=str(SendId(PROGRAMME, kind, manager_id(name), re.sub(r"\W", "", period))),
            mail=app.playbook.reports.mail,
            planned_at=now,
            figures=dict(edition._asdict()),
        )
        for name, edition in editions.items()
    ]
    if app.queue.put(mails):
        raise Unavailable("the mail queue refused a report")
    return mails


def _keep(kind: ReportKind, editions: Iterable[Edition], app: App, now: datetime) -> None:
    """Make and keep those editions that are not kept yet."""
    lacking = [edition for edition in sorted(set(editions)) if app.store.part(edition, REPORT) is None]
    if not lacking:
        return
    facts = facts_of(kind, newest(kind, now, app.playbook), store=app.store, playbook=app.playbook, now=now)
    app.store.note_first_reported(kind, str(facts.period), facts.figures, at=now)
    for edition in lacking:
        one = made(facts, playbook=app.playbook, mails=app.mails, locale=edition.locale)
        for name, content in one.pictures.items():
            app.store.put_part(edition, picture(name), content, at=now)
        app.store.put_part(edition, FIGURES, one.csv, at=now)
        app.store.put_part(edition, PAGE, packed(page_of(one, app.pages)), at=now)
        # Last, because it says that the edition is whole.
        app.store.put_part(edition, REPORT, one.report.model_dump_json().encode(), at=now)
