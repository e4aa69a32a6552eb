"""What a member gets: every mail in every language, whatever their name, zone and deeds."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from email.header import decode_header, make_header
from itertools import product
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.mails import written
from shared.errors import UsageError
from shared.mail import (
    LONGEST_NAME,
    Links,
    Mails,
    first_name,
    next_time,
    one_click_headers,
)
from shared.model import Did
from shared.playbook import Playbook, RecurringEvent, check
from tests.builders import at, raw_playbook
from tests.unit.letters import ACTIVE, LINKS, MARKETING, PLAYBOOK, SOURCE, WRITTEN, links_in, written_for

UNGREETED = ("mail_paused", "report")
"""The mails to managers, which come to the point."""

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "Ada\r\nBcc: victim@example.com",
    "Ada\u2028\u2029\x00\x07\x85 Lovelace",
    "\u202eadA\u202c \u2066x\u2069",
    "{{ links.unsubscribe }}",
    "{% for x in range(10**9) %}x{% endfor %}",
    "{{''.__class__.__mro__}}",
    "[[ words ]]",
    "https://evil.example.com/login",
    "evil.example.com",
    "ada@example.com",
    "=?utf-8?q?=0D=0ABcc:_x?=",
    "A" * 5000,
    "' OR 1=1 --",
    "𝒜" * 50,
    "🦄🦄🦄",
]


@pytest.mark.parametrize(("mail", "locale"), WRITTEN)
@pytest.mark.parametrize(
    ("name", "did", "leave_out"), list(product(["Ada", None], [Did(), ACTIVE], [(), ("introduction",)]))
)
def test_every_mail_renders_whole_and_small(
    mails: Mails, mail: str, locale: str, name: str | None, did: Did, leave_out: tuple[str, ...]
) -> None:
    got = written_for(mails, mail, locale=locale, name=name, did=did, leave_out=leave_out)
    assert len(got.html.encode()) < 90_000
    assert f'<html lang="{locale}"' in got.html
    for part in (got.subject, got.html, got.text):
        assert not re.search(r"{{|}}|{%|%}|\[\[|\[%|None|[Uu]ndefined", part)
        assert ("Ada" in part) or name is None or part is got.subject or mail in UNGREETED
    assert got.subject
    assert "\n" not in got.subject


@pytest.mark.parametrize(("mail", "locale"), WRITTEN)
def test_text_holds_every_link_of_the_html(mails: Mails, mail: str, locale: str) -> None:
    got = written_for(mails, mail, locale=locale, did=ACTIVE)
    assert [link for link in links_in(got.html) if link not in got.text] == []


@pytest.mark.parametrize("mail", sorted(written(SOURCE)))
@pytest.mark.parametrize("did", [Did(), ACTIVE])
def test_both_languages_hold_the_same_links(mails: Mails, mail: str, did: Did) -> None:
    english, russian = (links_in(written_for(mails, mail, locale=locale, did=did).html) for locale in ("en", "ru"))
    assert english == russian


@pytest.mark.parametrize(("mail", "locale"), WRITTEN)
def test_mail_loads_nothing_from_elsewhere(mails: Mails, mail: str, locale: str) -> None:
    html = written_for(mails, mail, locale=locale).html
    attached = re.sub(r'src="cid:[a-z-]+"', "attached", html)
    assert not re.search(r"<link|<script|@import|url\(|\ssrc=|background=", attached)


@pytest.mark.parametrize(("mail", "locale"), MARKETING)
def test_unsubscribing_stands_above_everything_gmail_clips(mails: Mails, mail: str, locale: str) -> None:
    html = written_for(mails, mail, locale=locale).html
    assert html.index(LINKS.unsubscribe) < html.index('class="card"') < html.rindex(LINKS.unsubscribe)


@pytest.mark.parametrize(("mail", "locale"), WRITTEN)
def test_mail_is_ready_for_dark_screens(mails: Mails, mail: str, locale: str) -> None:
    html = written_for(mails, mail, locale=locale).html
    assert '<meta name="color-scheme" content="light dark" />' in html
    assert '<meta name="supported-color-schemes" content="light dark" />' in html
    assert "@media (prefers-color-scheme: dark)" in html


@pytest.mark.parametrize("locale", ["en", "ru"])
def test_survey_offers_eleven_answers_in_order(mails: Mails, locale: str) -> None:
    got = written_for(mails, "survey", locale=locale)
    expected = [f"{LINKS.survey}?score={score}" for score in range(11)]
    assert re.findall(re.escape(LINKS.survey) + r"\?score=\d+", got.html) == expected
    assert re.findall(re.escape(LINKS.survey) + r"\?score=\d+", got.text) == expected


@pytest.mark.parametrize("locale", ["en", "ru"])
def test_introduction_is_left_out_when_told(mails: Mails, locale: str) -> None:
    introductions = str(PLAYBOOK.content.introductions.url)
    asked, told = (written_for(mails, locale=locale, leave_out=parts) for parts in ((), ["introduction"]))
    assert introductions in asked.html
    assert introductions in asked.text
    assert introductions not in told.html + told.text


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize(("mail", "locale"), WRITTEN)
def test_hostile_name_does_no_harm(mails: Mails, mail: str, locale: str, name: str) -> None:
    got = written_for(mails, mail, locale=locale, name=name)
    plain = written_for(mails, mail, locale=locale, name="Ada")
    assert links_in(got.html) == links_in(plain.html)
    assert got.html.count("<") == plain.html.count("<") or not first_name(name)
    assert "<script" not in got.html
    for value in (got.subject, got.sender, got.to, *got.headers.values()):
        assert value.isprintable()
    assert "evil" not in got.subject + got.text
    assert len(got.subject) < 150


def test_name_with_an_apostrophe_is_escaped_in_html_only(mails: Mails) -> None:
    got = written_for(mails, name="O'Brien Smith")
    assert "O&#39;Brien" in got.html
    assert "O'Brien" in got.text
    assert got.subject == "Welcome to Rivertown Makers, O'Brien"


def test_playbook_texts_are_escaped_too(mails: Mails) -> None:
    raw = raw_playbook()
    raw["content"]["guide"]["title"]["en"] = "A & B <em>"
    got = written_for(mails, playbook=check(raw, source="playbook"))
    assert "A &amp; B &lt;em&gt;" in got.html
    assert "A & B <em>" in got.text


@pytest.mark.parametrize(
    ("name", "greeted"),
    [
        ("Ada Lovelace", "Ada"),
        ("  анна-мария  ", "анна-мария"),
        ("Dr. Grace Hopper", "Grace"),
        ("🌸 Жанна 🌸", "Жанна"),
        ("「花子」", "花子"),
        ("अनिता देसाई", "अनिता"),
        ("Zoe\u0308", "Zoë"),
        ("O’Neil", "O’Neil"),
        ("ada_l99", "ada_l99"),
        ("Ada\nBcc: x", "Ada"),
        ("A" * 99, "A" * LONGEST_NAME),
        ("ada@example.com", ""),
        ("example.com", ""),
        ("<b>Ada</b>", ""),
        ("12345", ""),
        (" \u200b ", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_first_name_is_clean_or_empty(name: str | None, greeted: str) -> None:
    assert first_name(name) == greeted


@given(st.text())
def test_no_text_makes_a_harmful_name(text: str) -> None:
    name = first_name(text)
    assert len(name) <= LONGEST_NAME
    assert name == "" or (name.isprintable() and not set(name) & set('<>{}[]()@:/\\&"=%$ '))


@pytest.mark.parametrize("locale", ["en", "ru"])
@pytest.mark.parametrize("mail", sorted(written(SOURCE)))
def test_greeting_reads_well_without_a_name(mails: Mails, mail: str, locale: str) -> None:
    got = written_for(mails, mail, locale=locale, name=None, did=ACTIVE)
    assert not re.search(r" ,|, ?[!?.:]|^,|,$", got.subject)
    assert not re.search(r" [,!?.]|,[!?.]", got.text)
    assert got.subject[0].isupper()
    assert got.text[0].isupper()


@pytest.mark.parametrize(
    ("comments", "phrase"),
    [
        (1, "1 комментарий"),
        (2, "2 комментария"),
        (5, "5 комментариев"),
        (11, "11 комментариев"),
        (12, "12 комментариев"),
        (21, "21 комментарий"),
        (22, "22 комментария"),
        (111, "111 комментариев"),
        (121, "121 комментарий"),
    ],
)
def test_russian_counts_take_the_right_form(mails: Mails, comments: int, phrase: str) -> None:
    assert f"* {phrase}\n" in written_for(mails, "ambassador", locale="ru", did=Did(comments=comments)).text


@pytest.mark.parametrize(("posts", "phrase"), [(1, "1 post"), (2, "2 posts"), (11, "11 posts"), (21, "21 posts")])
def test_english_counts_take_the_right_form(mails: Mails, posts: int, phrase: str) -> None:
    assert f"* {phrase}\n" in written_for(mails, "ambassador", did=Did(posts=posts)).text


def test_only_what_was_done_is_recognised(mails: Mails) -> None:
    got = written_for(mails, "ambassador", did=Did(active_days=1, answers=2))
    assert re.findall(r"^\* (.*)$", got.text, re.MULTILINE) == ["1 active day", "2 answers that helped"]
    assert "in the past 30 days" in got.text
    assert not re.search(r"\b0\b", got.text)


@pytest.mark.parametrize(("locale", "warm"), [("en", "that is perfectly fine"), ("ru", "это совершенно нормально")])
def test_nothing_done_gets_the_warm_variant(mails: Mails, locale: str, warm: str) -> None:
    quiet, active = (written_for(mails, "ambassador", locale=locale, did=did) for did in (Did(), ACTIVE))
    assert warm in quiet.text
    assert warm in quiet.html
    assert warm not in active.text + active.html
    assert quiet.subject != active.subject
    assert "\n* " not in quiet.text


@pytest.mark.parametrize(
    ("zone", "now", "when"),
    [
        ("Europe/Berlin", "2030-03-12T09:00Z", "Thursday, 14 March, 18:00, Berlin time (UTC+1)"),
        ("America/New_York", "2030-03-06T09:00Z", "Thursday, 7 March, 12:00, New York time (UTC−5)"),
        ("America/New_York", "2030-03-12T09:00Z", "Thursday, 14 March, 13:00, New York time (UTC−4)"),
        ("Europe/Berlin", "2030-03-29T09:00Z", "Thursday, 4 April, 18:00, Berlin time (UTC+2)"),
        ("Asia/Tokyo", "2030-03-12T09:00Z", "Friday, 15 March, 02:00, Tokyo time (UTC+9)"),
        ("Asia/Kolkata", "2030-03-12T09:00Z", "Thursday, 14 March, 22:30, Kolkata time (UTC+5:30)"),
        ("UTC", "2030-03-12T09:00Z", "Thursday, 14 March, 17:00, UTC"),
        ("Mars/Olympus", "2030-03-12T09:00Z", "Thursday, 14 March, 18:00, Berlin time (UTC+1)"),
        ("../../etc/passwd", "2030-03-12T09:00Z", "Thursday, 14 March, 18:00, Berlin time (UTC+1)"),
        (None, "2030-03-14T17:00Z", "Thursday, 21 March, 18:00, Berlin time (UTC+1)"),
    ],
)
def test_event_is_told_in_the_members_zone(mails: Mails, zone: str | None, now: str, when: str) -> None:
    assert f"When: {when}\n" in written_for(mails, "digest", timezone=zone, now=at(now)).text


def test_russian_dates_read_as_russian(mails: Mails) -> None:
    got = written_for(mails, "digest", locale="ru", timezone="Europe/Moscow")
    assert "Когда: четверг, 14 марта, 20:00 по Москве (UTC+3)\n" in got.text
    assert got.subject == "Что почитать для начала — и встреча в четверг"
    unnamed = written_for(mails, "digest", locale="ru", timezone="Pacific/Chatham")
    assert "пятница, 15 марта, 06:45 UTC+13:45\n" in unnamed.text


@given(
    now=st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(ZoneInfo("UTC"))),  # noqa: DTZ001
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Tehran", "Pacific/Apia"]),
    weekday=st.sampled_from(["monday", "thursday", "sunday"]),
    hour=st.integers(0, 23),
)
def test_next_event_is_later_within_a_week(now: datetime, zone: str, weekday: str, hour: int) -> None:
    event = RecurringEvent.model_validate(
        {"title": {"en": "x"}, "url": "https://example.com/", "weekday": weekday, "at": f"{hour:02}:30"}
    )
    begins = next_time(event, ZoneInfo(zone), now)
    local = begins.astimezone(ZoneInfo(zone))
    assert now < begins <= now + timedelta(days=9 if zone == "Pacific/Apia" else 7, hours=2)
    assert local.strftime("%A").lower() == weekday or zone == "Pacific/Apia"
    assert (local.hour, local.minute) == (hour, 30) or local.hour in (hour, hour + 1)


@pytest.mark.parametrize(("mail", "locale"), MARKETING)
def test_marketing_mail_can_be_unsubscribed_from_and_chosen(mails: Mails, mail: str, locale: str) -> None:
    got = written_for(mails, mail, locale=locale)
    assert "List-Unsubscribe" in got.headers
    for link in (LINKS.unsubscribe, LINKS.preferences):
        assert link in links_in(got.html)
        assert got.text.count(link) == 1


@pytest.mark.parametrize(("mail", "locale"), sorted(set(WRITTEN) - set(MARKETING)))
def test_service_mail_has_nothing_to_unsubscribe_from(mails: Mails, mail: str, locale: str) -> None:
    got = written_for(mails, mail, locale=locale, links=Links("", "", "", report=LINKS.report))
    assert got.headers == {}
    assert not re.search(r"(?i)unsubscribe|отпис|href=\"\"", got.html + got.text)


def test_class_decides_it_and_not_the_mail(mails: Mails) -> None:
    raw = raw_playbook()
    raw["mails"]["digest"]["class"] = "service"
    got = written_for(mails, "digest", playbook=check(raw, source="playbook"))
    assert got.headers == {}
    assert LINKS.unsubscribe not in got.html + got.text
    assert LINKS.preferences not in got.html + got.text


def test_one_click_headers_are_exactly_rfc_8058(mails: Mails) -> None:
    headers = dict(written_for(mails).headers)
    assert list(headers.items()) == [
        ("List-Unsubscribe", f"<{LINKS.unsubscribe}>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    ]


@pytest.mark.parametrize("url", ["https://x.example.com/a>,<b", "https://x.example.com/\r\nBcc: x", "javascript:x", ""])
def test_link_that_breaks_a_header_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="unsubscribe link"):
        one_click_headers(url)


@pytest.mark.parametrize(
    ("locale", "name"), [("en", "Mira from Rivertown Makers"), ("ru", "Мира из «Мастерских Ривертауна»")]
)
def test_sender_is_named_in_words_mail_can_carry(mails: Mails, locale: str, name: str) -> None:
    got = written_for(mails, locale=locale)
    assert got.sender.isascii()
    assert all(len(word) <= 75 for word in got.sender.split())
    words, address = got.sender.rsplit(" ", 1)
    assert (str(make_header(decode_header(words))), address) == (name, "<hello@community.example.com>")
    assert got.reply_to == "mira@community.example.com"


def test_receiver_is_named_when_the_name_is_known(mails: Mails) -> None:
    russian = written_for(mails, name="Анна Каренина")
    encoded, address = russian.to.split(" ")
    assert decode_header(encoded) == [("Анна".encode(), "utf-8")]
    assert address == "<ada@example.com>"
    assert written_for(mails, name=None).to == russian.address == "ada@example.com"


def test_international_domain_is_written_in_ascii(mails: Mails) -> None:
    assert written_for(mails, email="ada@пример.example").address == "ada@xn--e1afmkfd.example"


@pytest.mark.parametrize(
    "email", [None, "", "ada", "ada@", "a@b.example\r\nBcc: x@y.example", "a b@c.example", "я@b.example"]
)
def test_member_without_a_usable_address_is_refused(mails: Mails, email: str | None) -> None:
    with pytest.raises(ValueError, match="no address") as refused:
        written_for(mails, email=email)
    assert email is None or email == "" or email not in str(refused.value)


@pytest.mark.parametrize(("preferred", "locale"), [("ru-RU", "ru"), ("en_GB", "en"), ("de", "en"), (None, "en")])
def test_mail_is_in_the_members_language(mails: Mails, preferred: str | None, locale: str) -> None:
    assert written_for(mails, locale=preferred).locale == locale


def test_chosen_language_stands_before_the_platforms_word(mails: Mails) -> None:
    assert written_for(mails, locale="en-GB", chosen_locale="ru").locale == "ru"


def test_mail_with_one_subject_has_no_variant(mails: Mails) -> None:
    assert written_for(mails).variant is None


def test_the_same_input_gives_the_same_mail(mails: Mails) -> None:
    assert written_for(mails, "ambassador", did=ACTIVE) == written_for(mails, "ambassador", did=ACTIVE)


def test_mail_that_is_not_written_is_named(tmp_path: Path, mails: Mails) -> None:
    with pytest.raises(UsageError, match=r"'newsletter/en\.subject\.txt' is not written"):
        mails.render("newsletter/en.subject.txt", {})
    with pytest.raises(UsageError, match="no mails are written in 'en'"):
        Mails(tmp_path).wording("en")


def test_named_cities_are_real_zones(mails: Mails) -> None:
    assert all(ZoneInfo(zone) for zone in mails.wording("ru").cities)


def test_default_playbook_only_asks_for_written_mails() -> None:
    checked: Playbook = check(raw_playbook(), source="playbook", mails=written(SOURCE))
    assert set(checked.mails) == set(written(SOURCE))
