"""The pages that links in mails lead to: what they hold, what they escape, what they forbid."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from jinja2 import TemplateNotFound, UndefinedError

from shared.pages import Hour, Offer, Page, Pages, Until, redirect
from tests.builders import ROOT

PAGES = Pages(ROOT / "shared" / "pages")
STATUS = {
    **dict.fromkeys(["unsubscribe", "unsubscribed", "preferences", "survey", "survey_thanks", "bonus"], 200),
    **dict.fromkeys(["join", "join_onward"], 200),
    "bonus_over": 410,
    "unknown": 404,
}
NAMES = list(STATUS)
COMMUNITY = 'Makers & "Menders" <b>'
NASTY = """'"><script>alert(1)</script>"""
UNTIL = Until(date="5 March", time="10:00", zone="Berlin time (UTC+1)")
OFFERS = [
    Offer(key="events", name="Events", about="Meetups.", taken=True),
    Offer(key="digest", name="Digest", about="Weekly.", taken=False),
]
GIVEN: dict[str, dict[str, object]] = {
    "unsubscribe": {"preferences": "/l/p/a.token"},
    "unsubscribed": {"preferences": "/l/p/a.token"},
    "preferences": {
        "saved": False,
        "offers": OFFERS,
        "listing": "@leaderboard",
        "listed": True,
        "languages": ["en", "ru"],
        "hours": [Hour(value="", hour=None, chosen=False), Hour(value="9", hour=9, chosen=True)],
        "zone": "Berlin time (UTC+1)",
    },
    "bonus": {"offer": "A free evening", "code": "WELCOME", "url": None, "until": UNTIL},
    "bonus_over": {"home": "/", "until": UNTIL},
    "join": {
        "referrer": "Bo",
        "ref": "a.token",
        "email": "",
        "agreed": False,
        "missing": frozenset(),
        "onward": "/invite",
    },
    "join_onward": {"invited": True, "onward": "/invite"},
}
"""What a page is given besides the community's name."""

every_page = pytest.mark.parametrize("name", NAMES)
every_locale = pytest.mark.parametrize("locale", ["en", "ru"])


class Tags(HTMLParser):
    """Every tag with its attributes, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.found if found == tag]


def shown(name: str, locale: str = "en", **context: object) -> Page:
    return PAGES.render(name, locale, **{"community": COMMUNITY} | GIVEN.get(name, {}) | context)


@every_page
@every_locale
def test_page_is_small_whole_and_in_its_language(name: str, locale: str) -> None:
    page = shown(name, locale)
    assert len(page.html.encode()) < 30_000
    assert f'<html lang="{locale}">' in page.html
    prose = re.sub("<option.*</option>", "", page.html)  # a language is called what it calls itself
    assert bool(re.search("[а-яё]{4}", prose)) == (locale == "ru")
    assert not re.search(r"{{|{%|[Uu]ndefined|None", page.html)
    tags = Tags(page.html)
    assert len(tags.all("h1")) == len(tags.all("main")) == len(tags.all("title")) == 1


@every_page
@every_locale
def test_page_escapes_what_it_is_given(name: str, locale: str) -> None:
    html = shown(name, locale).html
    assert "<b>" not in html
    assert "&lt;b&gt;" in html


@every_page
@every_locale
def test_page_forbids_everything_but_its_own_style(name: str, locale: str) -> None:
    page = shown(name, locale)
    (style,) = re.findall(r"<style>(.*?)</style>", page.html, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert page.headers == {
        "content-type": "text/html; charset=utf-8",
        "cache-control": "no-store",
        "content-security-policy": f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    assert not re.search(r"<script|<img|<link|<iframe|@import|url\(|\sstyle=|\son[a-z]+=|https?:", page.html)


def test_headers_survive_the_way_through_lambda() -> None:
    assert json.loads(json.dumps(shown("unknown").headers))["cache-control"] == "no-store"


@pytest.mark.parametrize(("name", "status"), list(STATUS.items()))
def test_page_answers_with_its_status(name: str, status: int) -> None:
    assert shown(name).status == status


@every_locale
def test_unsubscribing_takes_one_button_on_the_same_url(locale: str) -> None:
    tags = Tags(shown("unsubscribe", locale).html)
    assert tags.all("form") == [{"method": "post"}]
    assert len(tags.all("button")) == 1
    assert tags.all("input") == []
    assert [link["href"] for link in tags.all("a")] == ["/l/p/a.token"]


@every_locale
@pytest.mark.parametrize("score", [0, 7, 10])
def test_survey_keeps_the_score_chosen_in_the_mail(locale: str, score: int) -> None:
    radios = Tags(shown("survey", locale, score=score).html).all("input")
    assert [radio["value"] for radio in radios] == [str(value) for value in range(11)]
    assert {(radio["type"], radio["name"]) for radio in radios} == {("radio", "score")}
    assert [radio["value"] for radio in radios if "checked" in radio] == [str(score)]


@pytest.mark.parametrize("page", [shown("survey"), shown("survey", score=None), shown("survey", score=11)])
def test_survey_without_a_score_chooses_none(page: Page) -> None:
    radios = Tags(page.html).all("input")
    assert not any("checked" in radio for radio in radios)
    assert all("required" in radio for radio in radios)


@every_locale
def test_survey_fields_are_labelled(locale: str) -> None:
    html = shown("survey", locale).html
    tags = Tags(html)
    (text,) = tags.all("textarea")
    assert (text["name"], text["maxlength"]) == ("comment", "2000")
    assert {"class": "field", "for": text["id"]} in tags.all("label")
    assert [before for before, after in pairwise(tags.found) if after[0] == "input"] == [("label", {})] * 11
    assert re.search(r"<fieldset aria-describedby=\"hint\">\s*<legend>", html)


@every_locale
def test_unanswered_survey_says_so_beside_the_field(locale: str) -> None:
    html = shown("survey", locale, unanswered=True, comment=NASTY).html
    (alert,) = [tag for tag in Tags(html).all("p") if tag.get("role") == "alert"]
    (fieldset,) = Tags(html).all("fieldset")
    assert str(alert["id"]) in str(fieldset["aria-describedby"]).split()
    assert "&lt;script&gt;alert(1)" in html
    assert "<script" not in html
    assert 'role="alert"' not in shown("survey", locale).html


@every_locale
def test_every_kind_of_mail_is_a_labelled_checkbox(locale: str) -> None:
    tags = Tags(shown("preferences", locale).html)
    boxes = [field for field in tags.all("input") if field["type"] == "checkbox"]
    assert [(box["value"], "checked" in box) for box in boxes] == [
        ("events", True),
        ("digest", False),
        ("@leaderboard", True),
    ]
    labelled, described = {label["for"] for label in tags.all("label")}, {tag.get("id") for tag in tags.all("p")}
    was = [(field["name"], field["value"]) for field in tags.all("input") if field["type"] == "hidden"]
    assert was == [("was_on", "events"), ("was_off", "digest"), ("was_on", "@leaderboard")]
    assert {box["id"] for box in boxes} | {"language", "hour"} == labelled
    assert {box["aria-describedby"] for box in boxes} <= described
    assert [button["value"] for button in tags.all("button")] == ["save", "nothing"]


@every_locale
def test_preferences_show_what_is_chosen_in_its_own_name(locale: str) -> None:
    html = shown("preferences", locale).html
    assert [option["value"] for option in Tags(html).all("option") if "selected" in option] == [locale, "9"]
    assert ">English</option>" in html
    assert ">Русский</option>" in html
    assert 'id="language"' not in shown("preferences", locale, languages=["en"]).html


@every_locale
def test_saved_preferences_say_what_holds_now(locale: str) -> None:
    off = [Offer(key=offer.key, name=offer.name, about=offer.about, taken=False) for offer in OFFERS]
    pages = [
        shown("preferences", locale, **more).html for more in ({}, {"saved": True}, {"saved": True, "offers": off})
    ]
    assert ['role="status"' in html for html in pages] == [False, True, True]
    assert len({re.findall("(?<=<title>).*(?=</title>)", html)[0] for html in pages}) == 2
    assert len({html.partition('role="status"')[2].partition("</p>")[0] for html in pages}) == 3


@every_locale
def test_bonus_shows_its_code_or_leads_to_its_page(locale: str) -> None:
    (field,) = Tags(shown("bonus", locale, code=NASTY).html).all("input")
    assert (field["value"], "readonly" in field) == (NASTY, True)
    behind = Tags(shown("bonus", locale, code=None, url="https://example.com/a?b&c").html)
    assert [link["href"] for link in behind.all("a")] == ["https://example.com/a?b&c"]
    assert behind.all("input") == []


@every_locale
def test_join_page_names_who_invites_if_it_may(locale: str) -> None:
    titles = [
        re.findall("(?<=<h1>).*(?=</h1>)", shown("join", locale, referrer=name).html)[0] for name in ("Bo", "", NASTY)
    ]
    assert "Bo" in titles[0]
    assert titles[1]
    assert "&lt;script&gt;" in titles[2]
    assert "<script" not in titles[2]


@every_locale
def test_join_form_asks_for_consent_in_so_many_words(locale: str) -> None:
    tags = Tags(shown("join", locale).html)
    hidden, address, consent = tags.all("input")
    assert (hidden["type"], hidden["name"], hidden["value"]) == ("hidden", "ref", "a.token")
    assert (address["type"], address["value"], address["autocomplete"]) == ("email", "", "email")
    assert (consent["type"], "checked" in consent, "required" in consent) == ("checkbox", False, True)
    assert [label["for"] for label in tags.all("label")] == [address["id"], consent["id"]]
    assert consent["aria-describedby"] in {tag.get("id") for tag in tags.all("p")}
    assert [link["href"] for link in tags.all("a")] == ["/invite"]


@every_locale
@pytest.mark.parametrize("missing", [{"email"}, {"consent"}, {"email", "consent"}])
def test_join_form_says_what_is_missing_beside_it(locale: str, missing: set[str]) -> None:
    html = shown("join", locale, missing=missing, email=NASTY, agreed=True).html
    tags = Tags(html)
    _, address, consent = tags.all("input")
    assert {field["name"] for field in (address, consent) if field.get("aria-invalid")} == missing
    alerts = {str(tag["id"]) for tag in tags.all("p") if tag.get("role") == "alert"}
    described = f"{address.get('aria-describedby')} {consent['aria-describedby']}".split()
    assert alerts == {f"no-{name}" for name in missing}
    assert alerts <= set(described)
    assert (address["value"], "checked" in consent) == (NASTY, True)
    assert re.findall("(?<=<title>).*(?=</title>)", html) != re.findall(
        "(?<=<title>).*(?=</title>)", shown("join", locale).html
    )


@every_locale
def test_way_on_thanks_only_whom_somebody_invited(locale: str) -> None:
    pages = [shown("join_onward", locale, invited=invited).html for invited in (True, False)]
    assert pages[0] != pages[1]
    assert [[link["href"] for link in Tags(html).all("a")] for html in pages] == [["/invite"]] * 2


def test_redirect_is_kept_by_nobody_and_tells_no_one() -> None:
    page = redirect("/l/j", cookies=("a=b",))
    assert (page.status, page.html, page.cookies) == (302, "", ("a=b",))
    assert page.headers == {"location": "/l/j", "cache-control": "no-store", "referrer-policy": "no-referrer"}


@every_locale
def test_bonus_that_ended_early_names_no_day(locale: str) -> None:
    assert UNTIL.date in shown("bonus_over", locale).html
    assert UNTIL.date not in shown("bonus_over", locale, until=None).html


def test_unwritten_language_falls_back_to_english() -> None:
    page = shown("unknown", "de")
    assert page.html == shown("unknown", "en").html
    assert '<html lang="en">' in page.html


def test_missing_context_and_unknown_pages_are_errors() -> None:
    with pytest.raises(UndefinedError, match="community"):
        PAGES.render("survey", "en")
    with pytest.raises(TemplateNotFound):
        shown("nowhere")


def _luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_style_hides_nothing() -> None:
    css = (ROOT / "shared" / "pages" / "style.css").read_text(encoding="utf-8")
    assert not re.search(r"display: none|visibility:|clip|content: [^\"]|text-indent", css)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_have_the_contrast_that_wcag_aa_asks(scheme: int) -> None:
    css = (ROOT / "shared" / "pages" / "style.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+)", css.split("@media (prefers-color-scheme: dark)")[scheme]))
    texts = ["ink page", "ink card", "ink field", "soft card", "accent field", "on-accent accent", "on-accent chosen"]
    texts += ["accent card", "wrong card", "ink panel"]
    least = {**dict.fromkeys(texts, 4.5), "line card": 3.0}
    got = {pair: _contrast(*(colours[name] for name in pair.split())) for pair in least}
    assert {pair: contrast for pair, contrast in got.items() if contrast < least[pair]} == {}
