"""Every page in every state that a member may see it in, and how a browser gets there."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page

from shared.model import Member
from tests.browser.site import Site

Sight = Callable[[Site, Page, Member], object]


def unsubscribe(site: Site, page: Page, member: Member) -> None:
    page.goto(site.link("unsubscribe", member.id))


def unsubscribed(site: Site, page: Page, member: Member) -> None:
    unsubscribe(site, page, member)
    page.locator("form button").click()


def preferences(site: Site, page: Page, member: Member) -> None:
    page.goto(site.link("preferences", member.id))


def preferences_saved(site: Site, page: Page, member: Member) -> None:
    preferences(site, page, member)
    page.locator("#take-digest").uncheck()
    page.locator("#hour").select_option("18")
    page.locator("button[value=save]").click()


def preferences_off(site: Site, page: Page, member: Member) -> None:
    preferences(site, page, member)
    page.locator("button[value=nothing]").click()


def survey(site: Site, page: Page, member: Member) -> None:
    page.goto(site.link("survey", member.id, "1") + "?score=9")


def survey_unanswered(site: Site, page: Page, member: Member) -> None:
    page.goto(site.link("survey", member.id, "1"))
    page.locator("#comment").fill("Because of the people.")
    page.locator("form").evaluate("form => form.noValidate = true")
    page.locator("form button").click()


def survey_thanks(site: Site, page: Page, member: Member) -> None:
    survey(site, page, member)
    page.locator("form button").click()


def bonus(site: Site, page: Page, member: Member) -> None:
    page.goto(site.bonus_link(member, "welcome_back"))


def bonus_behind_a_link(site: Site, page: Page, member: Member) -> None:
    page.goto(site.bonus_link(member, "lathe"))


def bonus_ended(site: Site, page: Page, member: Member) -> None:
    page.goto(site.link("bonus", member.id, "welcome_back", "2029-12-24T12:00:00.000000Z"))


def bonus_gone(site: Site, page: Page, member: Member) -> None:
    page.goto(site.bonus_link(member, "no_longer_there"))


def join(site: Site, page: Page, member: Member) -> None:
    page.goto(site.referral_link(member))


def join_unfilled(site: Site, page: Page, member: Member) -> None:
    join(site, page, member)
    page.locator("#email").fill("cleo@")
    page.locator("form").evaluate("form => form.noValidate = true")
    page.locator("form button").click()


def join_onward(site: Site, page: Page, member: Member) -> None:
    join(site, page, member)
    page.locator("#email").fill("cleo@example.com")
    page.locator("#consent").check()
    page.locator("form button").click()


def join_uninvited(site: Site, page: Page, member: Member) -> None:  # noqa: ARG001 - nobody invited
    page.goto(f"{site.origin}/l/j")


def unknown(site: Site, page: Page, member: Member) -> None:
    page.goto(site.link("unsubscribe", member.id) + "x")


SIGHTS: tuple[Sight, ...] = (
    *(unsubscribe, unsubscribed, preferences, preferences_saved, preferences_off),
    *(survey, survey_unanswered, survey_thanks, bonus, bonus_behind_a_link, bonus_ended, bonus_gone, unknown),
    *(join_uninvited, join, join_unfilled, join_onward),
)
