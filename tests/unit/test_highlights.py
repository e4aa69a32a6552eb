"""What is worth telling somebody who was away: the newest of each kind, and no more looking than it takes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.events import HighlightKind
from shared.highlights import highlights_of
from shared.model import News
from shared.playbook import Playbook, check
from tests.builders import at, raw_playbook

NOW = at("2030-03-12T09:00Z")
SEEN = at("2030-02-01T09:00Z")


def news(kind: str = "guide", days_ago: float = 1, name: str = "", **changes: Any) -> News:
    url = f"https://community.example.com/{name or kind}"
    moment = NOW - timedelta(days=days_ago)
    return News.model_validate({"kind": kind, "titles": {"": "x"}, "url": url, "published_at": moment} | changes)


def playbook(*told: News) -> Playbook:
    raw = raw_playbook()
    raw["content"]["highlights"] = [
        {
            "kind": one.kind,
            "title": {"en": "x", "ru": "x"},
            "url": one.url,
            "published_at": one.published_at.isoformat(),
        }
        for one in told
    ]
    return check(raw, source="playbook")


NOTHING = playbook()


def chosen(*table: News, told: Playbook = NOTHING) -> list[str]:
    newest_first = sorted(table, key=lambda one: one.published_at, reverse=True)
    return [one.url.rsplit("/", 1)[-1] for one in highlights_of(newest_first, told, SEEN, NOW)]


def test_one_of_each_kind_comes_newest_first() -> None:
    assert chosen(news("guide", 3), news("ama", 1), news("feature", 2), news("ama", 4, "old")) == [
        "ama",
        "feature",
        "guide",
    ]


def test_nothing_published_gives_nothing() -> None:
    assert chosen() == []


@pytest.mark.parametrize(("moment", "told"), [(SEEN, []), (SEEN + timedelta(microseconds=1), ["guide"])])
def test_what_was_there_when_last_seen_is_no_news(moment: Any, told: list[str]) -> None:
    assert chosen(news(published_at=moment)) == told


@pytest.mark.parametrize(("moment", "told"), [(NOW, ["guide"]), (NOW + timedelta(microseconds=1), [])])
def test_what_is_yet_to_come_is_no_news(moment: Any, told: list[str]) -> None:
    assert chosen(news(published_at=moment)) == told


def test_news_to_come_does_not_hide_what_is_there() -> None:
    assert chosen(news("ama", -5, "next"), news("ama", 5, "last")) == ["last"]


def test_playbook_and_table_are_one_list() -> None:
    told = playbook(news("guide", 2, "told"), news("feature", 5, "told-too"))
    assert chosen(news("guide", 3), news("feature", 4), told=told) == ["told", "feature"]


def test_playbook_keeps_its_languages() -> None:
    [told] = highlights_of([], playbook(news()), SEEN, NOW)
    assert told.titles == {"en": "x", "ru": "x"}


def test_one_page_is_told_once() -> None:
    assert chosen(news("guide", 1, "page"), news("ama", 2, "page"), news("ama", 3, "talk")) == ["page", "talk"]
    assert chosen(news("guide", 2, "page"), told=playbook(news("guide", 1, "page"))) == ["page"]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "//evil.example.com", "", "https://a b"])
def test_what_is_no_web_page_is_left_out(url: str) -> None:
    assert chosen(news(url=url), news(days_ago=2, name="good")) == ["good"]


def test_reading_stops_once_every_kind_is_found() -> None:
    read = []

    def pages() -> Iterator[News]:
        for days_ago in range(1, 100):
            read.append(days_ago)
            yield news(get_args(HighlightKind)[days_ago % 3], days_ago, str(days_ago))

    highlights_of(pages(), NOTHING, SEEN, NOW)
    assert read == [1, 2, 3]


def test_reading_stops_at_what_was_there_before() -> None:
    read = []

    def pages() -> Iterator[News]:
        for days_ago in (10, 30, 50, 70):
            read.append(days_ago)
            yield news("guide", days_ago)

    highlights_of(pages(), NOTHING, SEEN, NOW)
    assert read == [10, 30, 50]


@given(
    st.lists(
        st.builds(
            news,
            st.sampled_from(get_args(HighlightKind)),
            st.integers(-5, 60),
            st.sampled_from("abcde"),
        )
    ),
    st.integers(0, 60),
)
def test_choice_is_the_newest_of_each_kind_however_it_is_split(table: list[News], since_days: int) -> None:
    since = NOW - timedelta(days=since_days)
    newest_first = sorted(table, key=lambda one: one.published_at, reverse=True)
    got = highlights_of(newest_first, NOTHING, since, NOW)
    assert all(since < one.published_at <= NOW for one in got)
    assert len({one.kind for one in got}) == len({one.url for one in got}) == len(got) <= 3
    assert got == sorted(got, key=lambda one: one.published_at, reverse=True)
    for one in got:
        newer = [other for other in newest_first[: newest_first.index(one)] if since < other.published_at <= NOW]
        assert all(other.kind != one.kind or other.url in {each.url for each in got} for other in newer)
