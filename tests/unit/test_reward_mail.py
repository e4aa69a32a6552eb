"""The mails about rewards: what was given and for how many friends, what comes next, and a present to who came."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from infra.preview import sample_mail
from shared.errors import UsageError
from shared.mail import Composed, Mails
from shared.playbook import Playbook, check
from tests.builders import a_playbook, at, raw_playbook
from tests.unit.letters import LINKS, links_in, written_for

BOTH = pytest.mark.parametrize("locale", ["en", "ru"])
SAID: list[tuple[str, str, str]] = [
    ("badge", "The Bridge Builder badge", "Значок «Строитель мостов»"),
    ("premium_month", "30 days of Premium, free", "Это 30 дней «Премиума», бесплатно"),
    ("premium_lifetime", "no end date", "навсегда"),
    ("ambassador", "A new standing in the community", "Это особое звание"),
]
"""A reward to the referrer, and what tells what it is in English and in Russian."""


def rewarded(mails: Mails, rule: str = "premium_month", qualified: int = 5, **changes: Any) -> Composed:
    mail = "trial" if rule == "trial" else "reward"
    return written_for(mails, mail, figures={"rule": rule, "qualified": qualified}, **changes)


def with_rewards(*rewards: dict[str, Any]) -> Playbook:
    """The default playbook with other rewards; each has its key as its title."""
    raw = raw_playbook()
    titled = [{"title": {"en": rule["key"], "ru": rule["key"]}, **rule} for rule in rewards]
    raw["referrals"]["rewards"] = titled
    return check(raw, source="playbook.yaml")


def cells(html: str) -> str:
    """The progress bar: `#` for each filled cell, `.` for each open one."""
    return "".join("#" if kind == "full" else "." for kind in re.findall(r'<div class="(full|open)"', html))


@pytest.mark.parametrize(("rule", "english", "russian"), SAID)
def test_every_kind_is_told_in_plain_words(mails: Mails, rule: str, english: str, russian: str) -> None:
    qualified = next(one.at for one in a_playbook().referrals.rewards if one.key == rule) or 0
    for locale, said in (("en", english), ("ru", russian)):
        got = rewarded(mails, rule, qualified, locale=locale)
        assert said in got.text
        assert said in got.html
        assert not re.search(r"{{|}}|{%|%}|None", got.text + got.html)
        assert len(got.html.encode()) < 90_000


@BOTH
def test_kinds_read_differently_to_referrer_and_referee(mails: Mails, locale: str) -> None:
    kinds: list[dict[str, Any]] = [
        {"gives": "badge"},
        {"gives": "premium_days", "days": "3"},
        {"gives": "premium_lifetime"},
        {"gives": "level", "level": "champion"},
    ]
    for mail, to in (("reward", {"to": "referrer", "at": "1"}), ("trial", {"to": "referee"})):
        texts = set()
        for kind in kinds:
            playbook, figures = with_rewards({"key": "gift", **to, **kind}), {"rule": "gift", "qualified": 1}
            got = written_for(mails, mail, locale=locale, playbook=playbook, figures=figures)
            texts.add(got.text)
            assert ("champion" in got.text, str(playbook.content.ambassadors.url) in got.html) == (False, False)
        assert len(texts) == len(kinds)


@pytest.mark.parametrize(
    ("locale", "subject"),
    [("en", "Ada, this is for you: A month of Premium"), ("ru", "Ada, это вам: Месяц «Премиума»")],
)
def test_subject_names_reader_and_reward(mails: Mails, locale: str, subject: str) -> None:
    assert rewarded(mails, locale=locale).subject == subject


@BOTH
def test_ambassadors_are_led_to_what_it_means(mails: Mails, locale: str) -> None:
    url = str(a_playbook().content.ambassadors.url)
    assert url in links_in(rewarded(mails, "ambassador", 25, locale=locale).html)
    assert url not in links_in(rewarded(mails, "badge", 1, locale=locale).html)


@pytest.mark.parametrize(
    ("qualified", "english", "russian"),
    [
        (1, "A friend you invited has found their place here.", "Друг, которого вы позвали, нашёл здесь своё место."),
        (2, "2 friends have found their place here.", "2 друга нашли здесь своё место."),
        (5, "5 friends have found their place here.", "5 друзей нашли здесь своё место."),
        (11, "11 friends have found their place here.", "11 друзей нашли здесь своё место."),
        (21, "21 friends have found their place here.", "21 друг нашёл здесь своё место."),
        (22, "22 friends have found their place here.", "22 друга нашли здесь своё место."),
    ],
)
def test_friends_are_counted_as_people_count(mails: Mails, qualified: int, english: str, russian: str) -> None:
    for locale, said in (("en", english), ("ru", russian)):
        got = rewarded(mails, "badge", qualified, locale=locale)
        assert said in got.text
        assert said in got.html


@pytest.mark.parametrize(
    ("qualified", "english", "russian"),
    [
        (5, "5 of 10 so far. 5 more friends, and it is yours.", "Пока 5 из 10. Ещё 5 друзей — и награда ваша."),
        (8, "8 of 10 so far. 2 more friends, and it is yours.", "Пока 8 из 10. Ещё 2 друга — и награда ваша."),
        (9, "9 of 10 so far. 1 more friend, and it is yours.", "Пока 9 из 10. Ещё 1 друг — и награда ваша."),
    ],
)
def test_progress_is_told_in_words(mails: Mails, qualified: int, english: str, russian: str) -> None:
    got, ours = rewarded(mails, qualified=qualified), rewarded(mails, qualified=qualified, locale="ru")
    assert f"NEXT\n\nPremium for life\n{english}\n" in got.text
    assert f"ЧТО ДАЛЬШЕ\n\n«Премиум» навсегда\n{russian}\n" in ours.text
    assert english in got.html
    assert russian.replace(" —", "&nbsp;—") in ours.html or russian.replace(" —", "\u00a0—") in ours.html


@pytest.mark.parametrize(
    ("qualified", "bar"), [(1, "#...."), (4, "####."), (5, "#####....."), (9, "#########."), (10, "####......")]
)
def test_bar_shows_the_way_to_the_next_reward(mails: Mails, qualified: int, bar: str) -> None:
    html = rewarded(mails, "badge", qualified).html
    assert cells(html) == bar
    assert re.search(r'<tr aria-hidden="true">\s*(<td[^>]*>)<div class="full"', html)


@pytest.mark.parametrize(("qualified", "filled"), [(1, 1), (9, 1), (500, 5), (999, 9)])
def test_long_way_fills_its_bar_only_when_walked(mails: Mails, qualified: int, filled: int) -> None:
    playbook = with_rewards(
        {"key": "first", "at": "1", "gives": "badge"}, {"key": "far", "at": "1000", "gives": "premium_lifetime"}
    )
    assert cells(rewarded(mails, "first", qualified, playbook=playbook).html) == "#" * filled + "." * (10 - filled)


@BOTH
@pytest.mark.parametrize("qualified", [25, 26, 400])
def test_after_the_last_reward_there_is_no_bar(mails: Mails, locale: str, qualified: int) -> None:
    got = rewarded(mails, "ambassador", qualified, locale=locale)
    assert cells(got.html) == ""
    assert re.search("last reward on our list|последняя награда в нашем списке", got.text)
    assert not re.search(r"so far|Пока \d", got.text + got.html)


def test_next_is_the_nearest_whatever_the_order(mails: Mails) -> None:
    playbook = with_rewards(
        {"key": "far", "at": "50", "gives": "badge"},
        {"key": "first", "at": "1", "gives": "badge"},
        {"key": "own", "to": "referee", "gives": "badge"},
        {"key": "near", "at": "3", "gives": "badge"},
        {"key": "near_too", "at": "3", "gives": "premium_lifetime"},
    )
    got = rewarded(mails, "first", 1, playbook=playbook)
    assert "NEXT\n\nnear + near_too\n1 of 3 so far. 2 more friends, and it is yours.\n" in got.text


def test_friends_who_left_since_are_still_what_it_was_for(mails: Mails) -> None:
    got = rewarded(mails, "premium_month", 4)
    assert "5 friends have found their place here" in got.text
    assert "5 of 10 so far" in got.text


@BOTH
def test_own_link_is_there_to_share_when_given(mails: Mails, locale: str) -> None:
    got, without = rewarded(mails, locale=locale), rewarded(mails, locale=locale, links=LINKS._replace(referral=""))
    assert LINKS.referral in links_in(got.html)
    assert f"\n{LINKS.referral}\n" in got.text
    for part in (without.html, without.text):
        assert not re.search(r"/l/r/|Your own link|Ваша ссылка|href=\"\"", part)


@pytest.mark.parametrize(("days", "said"), [("1", "1 день"), ("3", "3 дня"), ("7", "7 дней"), ("21", "21 день")])
def test_trial_says_how_long_it_is_good(mails: Mails, days: str, said: str) -> None:
    playbook = with_rewards({"key": "trial", "to": "referee", "gives": "premium_days", "days": days})
    assert f"Подарок действует {said}:" in rewarded(mails, "trial", 0, locale="ru", playbook=playbook).text
    english = "For 1 day," if days == "1" else f"For {days} days,"
    assert english in rewarded(mails, "trial", 0, playbook=playbook).text


@BOTH
def test_trial_owes_itself_to_a_friend_without_a_name(mails: Mails, locale: str) -> None:
    got = rewarded(mails, "trial", 3, locale=locale)
    assert re.search("a friend's invitation|приглашение друга", got.text)
    assert cells(got.html) == ""
    assert LINKS.referral not in got.html + got.text


def test_reward_the_playbook_no_longer_has_is_named(mails: Mails) -> None:
    with pytest.raises(ValueError, match=r"^the playbook has no reward 'golden_goose' any more$"):
        rewarded(mails, "golden_goose", 5)


@pytest.mark.parametrize("figures", [{}, {"rule": "badge"}, {"rule": "badge", "qualified": -1}, {"sends": 1}])
def test_figures_of_something_else_are_refused(mails: Mails, figures: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        written_for(mails, "reward", figures=figures)


def test_title_from_the_playbook_is_escaped(mails: Mails) -> None:
    title = {"en": "<b>Tea & cake</b>", "ru": "x"}
    playbook = with_rewards({"key": "cake", "at": "1", "gives": "badge", "title": title})
    got = rewarded(mails, "cake", 1, playbook=playbook)
    assert "&lt;b&gt;Tea &amp; cake&lt;/b&gt;" in got.html
    assert "<b>Tea & cake</b>" in got.text


@BOTH
@pytest.mark.parametrize(("mail", "said"), [("reward", "5 of 10|5 из 10"), ("trial", "7 days|7 дней")])
def test_preview_shows_the_playbook_s_own_rewards(mails: Mails, locale: str, mail: str, said: str) -> None:
    got = sample_mail(mails, a_playbook(), mail, locale, name="Ada", now=at("2030-03-12T09:00Z"))
    assert re.search(said, got.text)


def test_preview_without_such_a_reward_says_so(mails: Mails) -> None:
    playbook = with_rewards({"key": "only", "at": "1", "gives": "badge"})
    with pytest.raises(UsageError, match="no reward to the referee, so the mail 'trial' has nothing to tell of"):
        sample_mail(mails, playbook, "trial", "en", name="Ada", now=at("2030-03-12T09:00Z"))
