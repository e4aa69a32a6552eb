"""The page of a report in a real browser: its pictures show under its own policy, and everybody can read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from playwright.sync_api import Page as Tab

from infra.mails import compile_mails
from infra.sample_report import first_days, sample_facts
from shared.editions import made
from shared.mail import Mails
from shared.pages import Page, Pages, inline
from shared.report import Facts
from tests.browser.conftest import CHROMIUM
from tests.browser.test_pages import AXE, PATIENCE, every_locale, faults, press, reach
from tests.builders import ROOT, a_playbook

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium"),
]

PLAYBOOK = a_playbook()
WHERE = "https://links.example.com/l/m/a-token"


@pytest.fixture(scope="module")
def mails(tmp_path_factory: pytest.TempPathFactory) -> Mails:
    folder = tmp_path_factory.mktemp("mails")
    compile_mails(ROOT / "shared" / "mails", folder)
    return Mails(folder)


def page_of(facts: Facts, mails: Mails, locale: str) -> Page:
    one = made(facts, playbook=PLAYBOOK, mails=mails, locale=locale)
    pictures = {name: inline("image/png", content) for name, content in one.pictures.items()}
    csv = inline("text/csv", one.csv)
    pages = Pages(ROOT / "shared" / "pages")
    return pages.render("report", locale, community="Makers", report=one.report, pictures=pictures, csv=csv)


def open_in(tab: Tab, page: Page) -> None:
    tab.route(WHERE, lambda route: route.fulfill(status=page.status, headers=page.headers, body=page.html))
    tab.goto(WHERE)


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Tab]:
    """A tab of somebody who allows no scripts, on a phone."""
    with chromium.new_context(java_script_enabled=False, viewport={"width": 360, "height": 800}) as context:
        context.set_default_timeout(PATIENCE)
        yield context.new_page()


@every_locale
def test_the_page_has_no_accessibility_error(chromium: Browser, mails: Mails, locale: str) -> None:
    found: dict[str, list[str]] = {}
    with chromium.new_context(bypass_csp=True, reduced_motion="reduce") as context:
        context.add_init_script(path=AXE)
        for name, facts in (("whole", sample_facts(PLAYBOOK)), ("first days", first_days(PLAYBOOK))):
            tab = context.new_page()
            open_in(tab, page_of(facts, mails, locale))
            found[name] = list(faults(tab))
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_its_pictures_show_and_its_policy_holds(chromium: Browser, mails: Mails) -> None:
    said: list[str] = []
    with chromium.new_context() as context:
        tab = context.new_page()
        tab.on("console", lambda message: said.append(message.text))
        open_in(tab, page_of(sample_facts(PLAYBOOK), mails, "ru"))
        widths = tab.evaluate("Array.from(document.images, one => one.complete && one.naturalWidth)")
    assert widths == [1120] * 5
    assert said == []


def test_all_figures_can_be_taken_along(chromium: Browser, mails: Mails) -> None:
    with chromium.new_context(accept_downloads=True) as context:
        tab = context.new_page()
        open_in(tab, page_of(sample_facts(PLAYBOOK), mails, "en"))
        with tab.expect_download() as download:
            tab.locator("a[download]").click()
        assert download.value.suggested_filename == "weekly-2026-W40.csv"
        assert Path(download.value.path()).read_bytes().startswith(b"\xef\xbb\xbfperiod,key")


def test_a_definition_opens_by_keyboard_without_scripts(tab: Tab, mails: Mails) -> None:
    open_in(tab, page_of(sample_facts(PLAYBOOK), mails, "en"))
    meaning = tab.get_by_text("Active members of every hundred members.")
    expect(meaning).to_be_hidden()
    reach(tab, "summary")
    press(tab, "Enter")
    expect(meaning).to_be_visible()
