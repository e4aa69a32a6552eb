"""The pages in a real browser: everybody can use them, on any screen, by keyboard, without scripts; nothing leaks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from shared.events import SurveyAnswered
from shared.members import consents
from shared.model import Identity, Member
from shared.referral_links import COOKIE
from tests.browser import sights
from tests.browser.conftest import CHROMIUM
from tests.browser.site import Site
from tests.builders import JOINED, ROOT

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium"),
]

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE = 5_000
"""Milliseconds that a page may take; what is not there by then will not come."""

_ASK_AXE = """async only => (await axe.run(document, {
    resultTypes: ["violations"], ...(only ? {runOnly: only} : {}), rules: {"target-size": {enabled: true}},
})).violations.map(wrong => `${wrong.id} at ${wrong.nodes.map(node => node.target).join(", ")}`)"""
_OF_LOOKS = ["color-contrast", "link-in-text-block", "target-size"]
"""The rules that a width or a colour scheme can break: the style hides nothing, so all else is the same in each."""

_IS_TOO_WIDE = "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"

every_locale = pytest.mark.parametrize("locale", ["en", "ru"])


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser of somebody who allows no scripts, on a phone."""
    context = chromium.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def reach(page: Page, selector: str) -> None:
    """Go to something with the tab key alone."""
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.locator(f"{selector}:focus").count():
            return
    raise AssertionError(f"the tab key does not reach {selector}")


def faults(page: Page) -> Iterator[str]:
    """What is wrong with a page, on a small phone and on a desk, in light and dark."""
    yield from page.evaluate(_ASK_AXE)
    for width in (320, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        if page.evaluate(_IS_TOO_WIDE):
            yield f"scrolls sideways at {width}"
        page.emulate_media(color_scheme="light")
        yield from (f"{wrong} ({width}, light)" for wrong in page.evaluate(_ASK_AXE, _OF_LOOKS))
        page.emulate_media(color_scheme="dark")
        yield from (f"{wrong} ({width}, dark)" for wrong in page.evaluate(_ASK_AXE, _OF_LOOKS))


def answers(site: Site, member: Member) -> list[SurveyAnswered]:
    identity = Identity(*min(member.identities).split(":"))
    return [event for event in site.app.store.logged(identity, JOINED.date()) if isinstance(event, SurveyAnswered)]


class TestEveryPage:
    @every_locale
    def test_no_page_has_an_accessibility_error(self, chromium: Browser, site: Site, locale: str) -> None:
        # axe is a script, which our own policy would not let in.
        with chromium.new_context(locale=locale, bypass_csp=True, reduced_motion="reduce") as context:
            context.set_default_timeout(PATIENCE)
            context.add_init_script(path=AXE)
            page = context.new_page()
            found = {}
            for sight in sights.SIGHTS:
                sight(site, page, site.newcomer(locale))
                assert page.locator("html").get_attribute("lang") == locale
                found[sight.__name__] = list(faults(page))
            assert {name: wrong for name, wrong in found.items() if wrong} == {}

    def test_axe_would_find_an_error(self, chromium: Browser, site: Site) -> None:
        with chromium.new_context(bypass_csp=True) as context:
            context.add_init_script(path=AXE)
            page = context.new_page()
            sights.preferences(site, page, site.newcomer("en"))
            page.locator("label[for=hour]").evaluate("label => label.remove()")
            page.locator("main").evaluate("main => main.style.width = '2000px'")
            page.locator("legend").first.evaluate("legend => legend.style.color = '#2a2622'")
            wrong = list(faults(page))
            assert any(one.startswith("select-name") for one in wrong)
            assert any(one.startswith("color-contrast") and one.endswith("dark)") for one in wrong)
            assert "scrolls sideways at 320" in wrong

    def test_no_page_reaches_out_or_breaks_its_policy(self, chromium: Browser, site: Site) -> None:
        requested: list[str] = []
        said: list[str] = []
        with chromium.new_context() as context:
            context.set_default_timeout(PATIENCE)
            context.on("request", lambda request: requested.append(request.url))
            page = context.new_page()
            page.on("console", lambda message: said.append(message.text))
            for sight in sights.SIGHTS:
                sight(site, page, site.newcomer("ru"))
                assert page.locator("main").evaluate("main => getComputedStyle(main).borderRadius") == "14px"
            assert {str(cookie["name"]) for cookie in context.cookies()} == {COOKIE}
        assert {f"{urlsplit(url).scheme}://{urlsplit(url).netloc}" for url in requested} == {site.origin}
        assert [text for text in said if "status of 404" not in text and "status of 410" not in text] == []

    def test_the_policy_lets_no_script_in(self, chromium: Browser, site: Site) -> None:
        said: list[str] = []
        with chromium.new_context() as context:
            page = context.new_page()
            page.on("console", lambda message: said.append(message.text))
            sights.unknown(site, page, site.newcomer("en"))
            page.locator("main").evaluate("main => main.setAttribute('onclick', 'document.title = 1')")
            page.locator("main").click()
            assert page.title() == "This link does not work · Rivertown Makers"
        assert any("Content Security Policy" in text for text in said)


class TestWithoutScriptsByKeyboard:
    @pytest.fixture
    def ada(self, site: Site) -> Member:
        return site.newcomer("en")

    def test_unsubscribing_takes_one_key_and_one_to_confirm(self, site: Site, page: Page, ada: Member) -> None:
        sights.unsubscribe(site, page, ada)
        reach(page, "form button")
        press(page, "Enter")
        expect(page.locator("h1")).to_have_text("You are unsubscribed")
        assert not consents(site.member(ada), "digest")

    def test_who_unsubscribed_by_mistake_finds_the_way_back(self, site: Site, page: Page, ada: Member) -> None:
        sights.unsubscribed(site, page, ada)
        reach(page, "main a")
        press(page, "Enter")
        reach(page, "#take-digest")
        press(page, "Space")
        reach(page, "button[value=save]")
        press(page, "Enter")
        expect(page.get_by_role("status")).to_contain_text("Saved")
        kept = site.member(ada)
        assert [name for name in site.app.playbook.categories if consents(kept, name)] == ["digest"]

    def test_preferences_that_were_saved_are_there_again(self, site: Site, page: Page, ada: Member) -> None:
        sights.preferences(site, page, ada)
        reach(page, "#take-events")
        press(page, "Space")
        reach(page, "#language")
        press(page, "ArrowDown")
        reach(page, "#hour")
        press(page, "ArrowDown", "ArrowDown")
        reach(page, "button[value=save]")
        press(page, "Enter")
        expect(page.get_by_role("status")).to_contain_text("Сохранили")
        sights.preferences(site, page, ada)
        expect(page.locator("h1")).to_have_text("Ваши письма")
        expect(page.locator("#take-events")).not_to_be_checked()
        expect(page.locator("#take-digest")).to_be_checked()
        expect(page.locator("#language")).to_have_value("ru")
        expect(page.locator("#hour")).to_have_value("9")

    def test_one_button_leaves_nothing_but_service_mail(self, site: Site, page: Page, ada: Member) -> None:
        sights.preferences(site, page, ada)
        reach(page, "button[value=nothing]")
        press(page, "Enter")
        expect(page.get_by_role("status")).to_contain_text("nothing but service mail")
        assert page.locator("[type=checkbox]:checked").count() == 0
        assert not any(consents(site.member(ada), name) for name in site.app.playbook.categories)

    def test_enter_in_a_field_saves_and_switches_nothing_off(self, site: Site, page: Page, ada: Member) -> None:
        sights.preferences(site, page, ada)
        reach(page, "#take-events")
        press(page, "Enter")
        expect(page.get_by_role("status")).to_contain_text("ticked below")
        assert site.member(ada).consent == {}

    def test_a_survey_is_answered_with_arrows_and_words(self, site: Site, page: Page, ada: Member) -> None:
        sights.survey(site, page, ada)
        reach(page, "[name=score]")
        press(page, "ArrowRight")
        reach(page, "#comment")
        page.keyboard.type("Kind people")
        reach(page, "form button")
        press(page, "Enter")
        expect(page.locator("h1")).to_have_text("Thank you")
        assert [(answer.score, answer.comment) for answer in answers(site, ada)] == [(10, "Kind people")]

    def test_a_survey_without_a_score_keeps_what_was_written(self, site: Site, page: Page, ada: Member) -> None:
        sights.survey_unanswered(site, page, ada)
        expect(page.get_by_role("alert")).to_have_text("Please choose a number from 0 to 10")
        expect(page.get_by_role("group")).to_have_accessible_description(re.compile("from 0 to 10$"))
        expect(page.locator("#comment")).to_have_value("Because of the people.")
        assert answers(site, ada) == []

    def test_a_bonus_code_can_be_reached_and_selected(self, site: Site, page: Page, ada: Member) -> None:
        sights.bonus(site, page, ada)
        reach(page, "#code")
        press(page, "Control+a")
        expect(page.locator("#code")).to_have_value("WELCOME-BACK")
        press(page, "x")
        expect(page.locator("#code")).to_have_value("WELCOME-BACK")

    def test_a_bonus_behind_a_link_leads_there(self, site: Site, page: Page, ada: Member) -> None:
        page.route("https://community.example.com/**", lambda route: route.abort())
        sights.bonus_behind_a_link(site, page, ada)
        reach(page, "main a")
        with page.expect_request("https://community.example.com/lathe") as asked:
            press(page, "Enter")
        assert "referer" not in asked.value.headers

    def test_an_invitation_is_taken_up_and_leads_on(self, site: Site, page: Page, ada: Member) -> None:
        page.route("https://community.example.com/**", lambda route: route.abort())
        sights.join(site, page, ada)
        expect(page.locator("h1")).to_have_text("Ada invites you")
        reach(page, "#email")
        page.keyboard.type("Dora@Example.com")
        reach(page, "#consent")
        press(page, "Space", "Enter")
        expect(page.locator("h1")).to_have_text("One more step")
        assert [touch.referrer_id for touch in site.app.store.invited("dora@example.com")] == [ada.id]
        reach(page, "main a")
        with page.expect_request("https://community.example.com/invite") as asked:
            press(page, "Enter")
        assert "referer" not in asked.value.headers

    def test_who_came_first_is_whom_the_browser_remembers(self, site: Site, page: Page, ada: Member) -> None:
        sights.join(site, page, ada)
        [cookie] = page.context.cookies()
        assert (cookie["path"], cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == ("/l", True, True, "Lax")
        sights.join(site, page, site.newcomer("en", name="Bo"))
        expect(page.locator("h1")).to_have_text("Ada invites you")
        page.goto(f"{site.origin}/l/j")
        expect(page.locator("h1")).to_have_text("Ada invites you")

    def test_what_is_missing_is_said_beside_it_and_the_rest_kept(self, site: Site, page: Page, ada: Member) -> None:
        sights.join_unfilled(site, page, ada)
        expect(page.locator("#email")).to_have_value("cleo@")
        expect(page.locator("#email")).to_have_accessible_description(re.compile("whole address"))
        expect(page.locator("#consent")).to_have_accessible_description(re.compile("tick the box"))
        expect(page.locator("#consent")).not_to_be_checked()
        assert site.app.store.invited("cleo@") == []

    def test_what_has_the_focus_shows_it(self, site: Site, page: Page, ada: Member) -> None:
        looks = {
            sights.unsubscribe: ("button", "main a"),
            sights.preferences: ("#take-news", "#language", "button[value=save]"),
            sights.survey: ("[name=score]", "#comment"),
        }
        for sight, selectors in looks.items():
            sight(site, page, ada)
            for selector in selectors:
                reach(page, selector)
                shown = page.locator(f"{selector}:focus + span" if "score" in selector else f"{selector}:focus")
                assert shown.evaluate("one => getComputedStyle(one).outlineWidth") == "3px"
