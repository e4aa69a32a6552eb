"""Reports that were made, as their readers get them: in a mail with its pictures, and on a page behind a link.

Knows nothing of how they are made, and so of no drawing: the mailer and the links read what is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import JsonValue, TypeAdapter

from shared.app import App
from shared.errors import InvalidToken, Unavailable
from shared.mail import Attachment, Gathered
from shared.model import Edition
from shared.pages import Page
from shared.report import Report
from shared.report.model import ChartName

PROGRAMME = "reports"
"""What the sends of reports stand under in the ledger."""

REPORT, FIGURES, PAGE = "report", "figures", "page"
"""The parts of an edition besides its pictures: what it says, as JSON; all its figures, as CSV; its page."""

PAGE_KEPT = timedelta(days=90)
"""How long the link to a report's page leads to it."""

_PAGE = TypeAdapter(Page)


def picture(chart: str) -> str:
    """The part that holds a chart's picture, and its Content-ID in the mail."""
    return f"chart-{chart}"


def edition_of(planned: Mapping[str, JsonValue]) -> Edition:
    """The edition that is planned with a mail; ValueError when none is."""
    named = {name: str(planned.get(name) or "") for name in Edition._fields}
    if not all(named.values()):
        raise ValueError("a report's mail must name its kind, its period and its language")
    return Edition(**named)


def gathered(edition: Edition, app: App) -> Gathered:
    """What the mail of an edition tells, with its pictures and the CSV; Unavailable while it is not kept whole."""
    report = Report.model_validate_json(_part(edition, REPORT, app))
    pictures = {chart.name: _part(edition, picture(chart.name), app) for chart in report.charts if not chart.is_empty}
    files = attachments(report, pictures, _part(edition, FIGURES, app))
    return Gathered(figures=report.model_dump(mode="json"), attachments=files)


def attachments(report: Report, pictures: Mapping[ChartName, bytes], csv: bytes) -> Sequence[Attachment]:
    """The files of a report's mail: a picture a chart, shown by its Content-ID, and the CSV."""
    shown = [
        Attachment(name=f"{name}.png", media_type="image/png", content=content, content_id=picture(name))
        for name, content in pictures.items()
    ]
    return [*shown, Attachment(name=f"{report.kind}-{report.id}.csv", media_type="text/csv", content=csv)]


def page_link(edition: Edition, app: App, now: datetime) -> str:
    """The link to an edition's page, which anybody who has it can open for `PAGE_KEPT`."""
    token = app.signer.sign("report", *edition, (now + PAGE_KEPT).isoformat(timespec="seconds"))
    return f"{app.settings.links_url}/l/m/{token}"


def page(edition: Edition, ends: datetime, app: App, now: datetime) -> Page:
    """The page of an edition, as it was made; InvalidToken when the link has ended or there is none any more."""
    kept = app.store.part(edition, PAGE) if now < ends else None
    if kept is None:
        raise InvalidToken("the page of this report is not shown any more")
    return _PAGE.validate_json(kept)


def packed(made: Page) -> bytes:
    """A page as it is kept: with its headers, so that a later deploy changes nothing of it."""
    return _PAGE.dump_json(made)


def _part(edition: Edition, name: str, app: App) -> bytes:
    found = app.store.part(edition, name)
    if found is None:
        raise Unavailable(f"the {name} of the report {'/'.join(edition)} is not kept")
    return found
