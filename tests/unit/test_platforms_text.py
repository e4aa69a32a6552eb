"""What is kept of a text, in any language, and in time that grows with its length only."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.platforms.discourse import own_words
from shared.platforms.slack import plain
from shared.platforms.text import _WEIGHT, feeling, measure


@pytest.mark.parametrize("text", ["Is it?", "これは何ですか？", "ما هذا؟", "Что это?", "Τι είναι\u037e"])
def test_a_question_is_seen_in_any_language(text: str) -> None:
    assert measure(text).has_question


@pytest.mark.parametrize("text", ["https://example.com/?q=1", "`a?b:c`", "```\na ?\n```", "Fine."])
def test_links_and_code_ask_no_questions(text: str) -> None:
    assert not measure(text).has_question


@pytest.mark.parametrize("text", ["`x`", "see ```\nx = 1\n``` there"])
def test_code_is_what_stands_between_fences(text: str) -> None:
    assert measure(text).has_code


def test_a_lone_backtick_is_not_code() -> None:
    assert measure("it`s fine, is it?").has_question
    assert not measure("it`s fine").has_code
    assert measure("`code` and it`s fine?").has_question


@pytest.mark.parametrize(
    ("text", "sentiment"),
    [
        ("great 🎉", "positive"),
        ("great :tada:", "positive"),
        ("👎🏿", "negative"),
        ("👍 and 👎", "neutral"),
        ("I love this", None),
        ("at 10:100:20", None),
        (":+1::skin-tone-2::tada:", "positive"),
        ("😂 🔥 💀", None),
        ("`👍`", None),
    ],
)
def test_only_emoji_tell_a_sentiment(text: str, sentiment: str | None) -> None:
    assert sentiment == measure(text).sentiment


@pytest.mark.parametrize("emoji", ["+1", "thumbsup::skin-tone-6", ":heart:", "❤️", "👍🏽"])
def test_a_kind_reaction_is_positive(emoji: str) -> None:
    assert feeling(emoji) == "positive"


def test_every_emoji_feels_in_a_text_as_it_does_alone() -> None:
    signs = [sign for sign in _WEIGHT if not sign.isascii()]
    assert len(signs) > 30
    assert [measure(f"so {sign} it is").sentiment for sign in signs] == [feeling(sign) for sign in signs]


@pytest.mark.parametrize("emoji", ["", ":", "::", "eyes", "mill-wheel", "joy"])
def test_an_unclear_reaction_has_no_sentiment(emoji: str) -> None:
    assert feeling(emoji) is None


def test_a_quote_is_not_the_members_own_words() -> None:
    assert own_words("[quote=x]a[quote]b[/quote]c[/quote]mine") == "mine"
    assert own_words("before [quote]and never closed") == "before and never closed"


def test_slack_markup_is_no_text() -> None:
    assert plain("<!here> <@U1>: a &lt; b <https://example.com|there>") == "   : a < b https://example.com"


@settings(derandomize=True)
@given(st.text(alphabet="`:?<>[/quote]+1👍 \n", max_size=300))
def test_any_text_can_be_measured(text: str) -> None:
    assert 0 <= measure(plain(own_words(text))).length <= len(text)


@pytest.mark.parametrize("piece", ["[quote", "[quote]", "`", "```", "<", ":a", "https://", "?", "😢"])
def test_the_longest_text_is_measured_quickly(piece: str) -> None:
    text = piece * (256 * 1024 // len(piece))
    begun = time.perf_counter()
    measure(plain(own_words(text)))
    assert time.perf_counter() - begun < 2
