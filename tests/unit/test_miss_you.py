"""The mail to who has been away: warm, honest about what is new, and whole with or without each of its parts."""

from __future__ import annotations

import re
from collections import Counter
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared.events import HighlightKind
from shared.mail import Composed, Links, Mails, bonus_ends
from shared.model import News
from shared.playbook import Playbook, check
from tests.builders import at, raw_playbook
from tests.unit.letters import LINKS, PLAYBOOK, links_in, written_for

TITLES = {"feature": "Book a bench", "guide": "All about glue", "ama": "Ask Vera"}
KINDS: list[HighlightKind] = ["feature", "guide", "ama"]


def news(kind: HighlightKind, **titles: str) -> News:
    url = f"https://community.example.com/{kind}"
    return News(kind=kind, titles=titles or {"": TITLES[kind]}, url=url, published_at=at("2030-03-01T09:00Z"))


ALL = [news(kind) for kind in KINDS]


def playbook(**changes: Any) -> Playbook:
    raw = raw_playbook()
    raw["mails"]["miss_you"] |= changes
    return check(raw, source="playbook")


NO_BONUS = playbook(bonus=None)


def missed(mails: Mails, locale: str = "en", **changes: Any) -> Composed:
    return written_for(mails, "miss_you", locale=locale, **changes)


def subject(mails: Mails, variant: str, locale: str, **changes: Any) -> str:
    return missed(mails, locale, playbook=playbook(variants=[variant]), **changes).subject


@pytest.mark.parametrize(
    ("locale", "kinds"),
    [
        ("en", ["New feature", "Guide", "Ask an expert"]),
        ("ru", ["Новая возможность", "Руководство", "Вопросы эксперту"]),
    ],
)
def test_each_highlight_has_its_kind_title_and_link(mails: Mails, locale: str, kinds: list[str]) -> None:
    got = missed(mails, locale, news=ALL)
    for kind, one in zip(kinds, ALL, strict=True):
        title = one.titles[""]
        assert f"* {kind}: {title}\n  {one.url}\n" in got.text
        assert re.search(rf">{kind}</span><br /><a [^>]*href=\"{one.url}\"[^>]*>{title}</a>", got.html)


@pytest.mark.parametrize("locale", ["en", "ru"])
def test_icons_are_for_the_eye_only(mails: Mails, locale: str) -> None:
    got = missed(mails, locale, news=ALL)
    assert re.findall(r"<span class=\"icon\" aria-hidden=\"true\"[^>]*>(.)</span>", got.html) == ["✨", "📖", "💬"]
    assert not re.search("[✨📖💬]", got.text)


@pytest.mark.parametrize(
    ("titles", "locale", "shown"),
    [
        ({"en": "Glue", "ru": "Клей", "": "Colle"}, "ru", "Клей"),
        ({"en": "Glue", "": "Colle"}, "ru", "Colle"),
        ({"en": "Glue"}, "ru", "Glue"),
        ({"": "Клей"}, "en", "Клей"),
    ],
)
def test_title_is_in_the_nearest_language(mails: Mails, titles: dict[str, str], locale: str, shown: str) -> None:
    assert f": {shown}\n" in missed(mails, locale, news=[news("guide", **titles)]).text


def test_title_from_elsewhere_stays_one_line_of_text(mails: Mails) -> None:
    got = missed(mails, news=[news("ama", en="Ask <b>Vera</b>\n\nUNSUBSCRIBE\u2028{{ links }}")])
    assert "* Ask an expert: Ask <b>Vera</b> UNSUBSCRIBE {{ links }}\n" in got.text
    assert "Ask &lt;b&gt;Vera&lt;/b&gt;" in got.html


@pytest.mark.parametrize(
    ("locale", "pretence", "honest"),
    [
        ("en", r"(?i)since you were last here|what is new|happened", "nothing you have to catch up on"),
        ("ru", r"(?i)пока вас не было|появилось|что у нас нового", "Догонять ничего не нужно"),
    ],
)
@pytest.mark.parametrize("variant", ["wave", "news"])
def test_without_news_none_is_pretended(mails: Mails, locale: str, pretence: str, honest: str, variant: str) -> None:
    rules = playbook(variants=[variant])
    quiet, told = (missed(mails, locale, playbook=rules, news=found) for found in ([], ALL))
    assert not re.search(pretence, quiet.subject + quiet.html + quiet.text)
    assert honest in quiet.text
    assert honest in quiet.html
    assert re.search(pretence, told.html)
    assert re.search(pretence, told.text)
    assert honest not in told.html + told.text


@pytest.mark.parametrize(
    ("locale", "told"),
    [
        ("en", ["One free evening at any workshop", "until 26 March, that day included"]),
        ("ru", ["Один бесплатный вечер в любой мастерской", "до 26 марта включительно"]),
    ],
)
def test_bonus_is_told_with_its_last_day(mails: Mails, locale: str, told: list[str]) -> None:
    got = missed(mails, locale)
    assert all(words in got.text and words in got.html for words in told)
    assert LINKS.bonus in links_in(got.html)


@pytest.mark.parametrize(
    ("zone", "day", "ends"),
    [
        ("Pacific/Auckland", "26 March", "2030-03-26T10:59Z"),
        ("America/Los_Angeles", "25 March", "2030-03-26T06:59Z"),
    ],
)
def test_bonus_holds_to_the_end_of_the_members_day(mails: Mails, zone: str, day: str, ends: str) -> None:
    now = at("2030-03-12T03:00Z")
    got = missed(mails, timezone=zone, now=now)
    assert f"until {day}," in got.text
    assert bonus_ends(PLAYBOOK.bonuses["welcome_back"], ZoneInfo(zone), now) == at(ends)


@pytest.mark.parametrize(("locale", "word"), [("en", r"(?i)(small|the) present\b"), ("ru", "(?i)подар")])
def test_without_a_bonus_none_is_mentioned(mails: Mails, locale: str, word: str) -> None:
    got = missed(mails, locale, playbook=NO_BONUS, links=LINKS._replace(bonus=""), news=ALL)
    assert not re.search(word, got.html + got.text)
    assert "/l/b/" not in got.html + got.text


def test_bonus_without_its_link_is_refused(mails: Mails) -> None:
    with pytest.raises(ValueError, match="needs the link"):
        missed(mails, links=Links(LINKS.unsubscribe, LINKS.preferences, LINKS.survey))


@pytest.mark.parametrize("locale", ["en", "ru"])
def test_one_button_leads_back_to_the_community(mails: Mails, locale: str) -> None:
    got = missed(mails, locale, news=ALL)
    buttons = re.findall(r"<a href=\"([^\"]*)\"[^>]*?background:#17756a", got.html)
    assert buttons == [str(PLAYBOOK.community.url)]


@pytest.mark.parametrize(
    ("variant", "locale", "name", "found", "expected"),
    [
        ("wave", "en", "Ada", ALL, "Ada, we miss you 👋"),
        ("wave", "en", None, [], "We miss you 👋"),
        ("wave", "ru", "Анна", [], "Анна, мы по вам скучаем 👋"),
        ("wave", "ru", None, ALL, "Мы по вам скучаем 👋"),
        ("news", "en", "Ada", ALL, "What is new since you were last here, Ada"),
        ("news", "en", None, ALL, "What is new since you were last here"),
        ("news", "en", "Ada", [], "How have you been, Ada?"),
        ("news", "ru", "Анна", ALL, "Анна, рассказываем, что у нас нового"),
        ("news", "ru", None, [], "Как ваши дела?"),
    ],
)
def test_subject_says_what_its_variant_is_for(
    mails: Mails, variant: str, locale: str, name: str | None, found: list[News], expected: str
) -> None:
    assert subject(mails, variant, locale, name=name, news=found) == expected


def test_variant_is_the_members_for_good(mails: Mails) -> None:
    got = [missed(mails, id=f"m{number:020}") for number in range(60)]
    shares = Counter(one.variant for one in got)
    assert set(shares) == {"wave", "news"}
    assert min(shares.values()) > 15
    assert all(("👋" in one.subject) == (one.variant == "wave") for one in got)
    assert [missed(mails, locale="ru", id=f"m{number:020}").variant for number in range(60)] == [
        one.variant for one in got
    ]


@pytest.mark.parametrize(
    ("locale", "name", "found", "rules"),
    list(product(["en", "ru"], ["Ada", None], [[], ALL[:1], ALL], [PLAYBOOK, NO_BONUS])),
)
def test_every_version_is_whole_small_and_kind(
    mails: Mails, locale: str, name: str | None, found: list[News], rules: Playbook
) -> None:
    got = missed(mails, locale, name=name, news=found, playbook=rules)
    assert len(got.html.encode()) < 90_000
    assert got.html.count("<table") == got.html.count("</table")
    assert got.html.count("<div") == got.html.count("</div")
    assert not re.search(r" [,!?.]|,[!?.]|^,|\n{3}", got.text)
    assert [link for link in links_in(got.html) if link not in got.text] == []
    assert not re.search(r"(?i)you have not|you never|забыли|пропали|почему вы", got.text)
    assert (name or "") in got.text
