"""The mail that a report is, and its page: readable without pictures, small, and with nothing from elsewhere."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import replace
from hashlib import sha256
from html import unescape

import pytest
from pydantic import ValidationError

from infra.preview import sample_mail, whole
from shared.mail import Composed, Mails
from shared.metrics import METRICS
from shared.pages import Page, Pages, inline
from shared.report import Facts, Report
from tests.builders import ROOT, at
from tests.unit.letters import LINKS, PLAYBOOK, links_in, written_for
from tests.unit.reports import FIRST_DAYS, WHOLE, a_report

PAGES = Pages(ROOT / "shared" / "pages")
PICTURE = inline("image/png", b"not looked at")
NASTY = """'"><script>alert(1)</script>"""

every_locale = pytest.mark.parametrize("locale", ["en", "ru"])
every_stage = pytest.mark.parametrize("facts", [WHOLE, FIRST_DAYS], ids=["whole", "first days"])


def mailed(mails: Mails, report: Report) -> Composed:
    return written_for(mails, "report", locale=report.locale, figures=report.model_dump(mode="json"))


def shown(report: Report) -> Page:
    pictures = {chart.name: PICTURE for chart in report.charts if chart.labels}
    csv = inline("text/csv", b"a,b")
    return PAGES.render("report", report.locale, community="Makers", report=report, pictures=pictures, csv=csv)


def words_of(html: str) -> str:
    """A page's text, without its marks."""
    bare = re.sub(r"<style.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL)
    return flat(unescape(bare))


def flat(text: str) -> str:
    """A text on one line, with nothing but plain spaces in it."""
    return " ".join(text.split())


@every_locale
@every_stage
def test_every_figure_is_in_mail_text_and_page(mails: Mails, locale: str, facts: Facts) -> None:
    report = a_report(facts, locale)
    mail, page = mailed(mails, report), shown(report)
    for told in (words_of(mail.html), flat(mail.text), words_of(page.html)):
        for group in report.groups:
            absent = [one.name for one in group.rows if one.name not in told or flat(one.definition) not in told]
            assert absent == []
        assert [part.name for part in report.health.parts if flat(part.definition) not in told] == []
        assert not re.search(r"None|Undefined|{{|}}|\[\[", told)


@every_locale
def test_the_fullest_mail_stays_below_what_gmail_clips(mails: Mails, locale: str) -> None:
    figures = {**WHOLE.figures, **{key: 12 for key in METRICS if key.startswith("ugc_")}}
    fullest = replace(WHOLE, figures=figures, restated=frozenset(METRICS), goals=dict.fromkeys(figures, 12))
    assert len(mailed(mails, a_report(fullest, locale)).html.encode()) < 90_000


@every_locale
@every_stage
def test_a_picture_has_its_words_and_its_numbers_beside_it(mails: Mails, locale: str, facts: Facts) -> None:
    report = a_report(facts, locale)
    html = mailed(mails, report).html
    pictures = re.findall(r'<img [^>]*src="cid:chart-([a-z]+)"[^>]* alt="([^"]+)"', html)
    assert {name: unescape(alt) for name, alt in pictures} == {one.name: one.alt for one in report.charts if one.labels}
    assert [one.rows for one in report.charts if not all(cell in html for cells in one.rows for cell in cells)] == []


@every_locale
def test_open_in_browser_stands_above_everything(mails: Mails, locale: str) -> None:
    mail = mailed(mails, a_report(locale=locale))
    assert mail.html.index(LINKS.report) < mail.html.index("<img") < mail.html.index("</html>")
    assert mail.text.index(LINKS.report) < 400
    assert LINKS.report in links_in(mail.html)


@every_locale
def test_without_a_page_there_is_no_link_to_one(mails: Mails, locale: str) -> None:
    figures = a_report(locale=locale).model_dump(mode="json")
    mail = written_for(mails, "report", locale=locale, figures=figures, links=LINKS._replace(report=""))
    assert 'href=""' not in mail.html
    assert not re.search("Open in browser|Открыть в браузере", mail.html + mail.text)


def test_what_somebody_wrote_cannot_break_out(mails: Mails) -> None:
    report = a_report().model_copy(update={"community": NASTY, "title": NASTY, "period": NASTY})
    for html in (mailed(mails, report).html, shown(report).html):
        assert "<script" not in html
        assert "&lt;script" in html


def test_figures_of_something_else_are_refused(mails: Mails) -> None:
    with pytest.raises(ValidationError):
        written_for(mails, "report", figures={"reason": "bounces"})


@every_locale
def test_the_page_allows_pictures_that_it_brings_and_nothing_else(locale: str) -> None:
    page = shown(a_report(locale=locale))
    styles = re.findall(r"<style>(.*?)</style>", page.html, re.DOTALL)
    hashes = " ".join(f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" for style in styles)
    assert page.headers["content-security-policy"] == (
        f"default-src 'none'; style-src {hashes}; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    assert len(styles) == 2
    assert not re.search(r"<script|<link|<iframe|@import|url\(|\sstyle=|\son[a-z]+=|https?:", page.html)
    assert {link.partition(":")[0] for link in re.findall(r'(?:src|href)="([^"]*)"', page.html)} == {"data"}


def test_no_other_page_may_show_pictures() -> None:
    assert "img-src" not in PAGES.render("unknown", "en", community="Makers").headers["content-security-policy"]


def test_the_page_brings_all_figures_along() -> None:
    (name, content) = re.findall(r'download="([^"]+)" href="data:text/csv;base64,([^"]+)"', shown(a_report()).html)[0]
    assert (name, b64decode(content)) == ("weekly-2026-W40.csv", b"a,b")


@every_locale
def test_a_preview_is_whole_in_itself(mails: Mails, locale: str) -> None:
    mail = sample_mail(mails, PLAYBOOK, "report", locale, name="Ada", now=at("2026-10-05T06:00Z"))
    shown_as = whole(mail)
    assert "cid:" in mail.html
    assert "cid:" not in shown_as
    assert len(re.findall('src="data:image/png;base64,', shown_as)) == 5
