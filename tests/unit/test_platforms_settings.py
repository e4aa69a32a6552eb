"""What a playbook may say of a platform: most take nothing, Discourse where it is and what is news."""

from __future__ import annotations

from typing import Any

import pytest

from shared.errors import PlaybookError
from shared.playbook import Playbook, check
from tests.builders import raw_playbook

FORUM = "https://forum.example.com"


def checked(platforms: dict[str, Any]) -> Playbook:
    return check(raw_playbook() | {"platforms": platforms}, source="playbook")


def problems(platforms: dict[str, Any]) -> list[str]:
    with pytest.raises(PlaybookError) as refused:
        checked(platforms)
    return [str(problem) for problem in refused.value.problems]


def test_the_default_playbook_knows_the_forum_s_news() -> None:
    forum = checked(raw_playbook()["platforms"]).platforms["discourse"]
    assert str(forum.url) == f"{FORUM}/"
    assert forum.content_tags == {"feature": "announcement", "guide": "guide", "ama": "ama"}


def test_a_platform_without_settings_needs_none() -> None:
    assert checked({"slack": {}, "discourse": {}}).platforms.keys() == {"slack", "discourse"}


def test_the_compiled_playbook_is_read_back() -> None:
    playbook = checked(raw_playbook()["platforms"])
    assert Playbook.model_validate_json(playbook.model_dump_json(by_alias=True)) == playbook


@pytest.mark.parametrize("name", ["slack", "standard"])
@pytest.mark.parametrize("settings", [{"url": FORUM}, {"content_tags": {"ama": "ama"}}, {"colour": "red"}])
def test_other_platforms_take_no_settings(name: str, settings: dict[str, Any]) -> None:
    [key] = settings
    assert problems({name: settings}) == [
        f"platforms.{name}.{key}: unknown key; {name} has no settings: write {{}} to switch it on"
    ]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"content_tags": {"ama": "ama"}},
            ["url: is missing; content_tags needs it, for links to the topics begin with it"],
        ),
        ({"url": f"{FORUM}/?a"}, ["url: must be the forum's front page: at most 200 characters, without ? and #"]),
        ({"url": f"{FORUM}/#a"}, ["url: must be the forum's front page: at most 200 characters, without ? and #"]),
        (
            {"url": f"{FORUM}/{'x' * 200}"},
            ["url: must be the forum's front page: at most 200 characters, without ? and #"],
        ),
        (
            {"url": "our forum"},
            ["url: must be a web address such as https://community.example.com/; got 'our forum'"],
        ),
        (
            {"url": FORUM, "content_tags": {"feature": "News", "guide": "guide", "ama": "news"}},
            ["content_tags.ama: 'news' is already the tag of feature; every kind needs its own"],
        ),
        (
            {"url": FORUM, "content_tags": {"video": "videos", "ama": "ask me"}},
            [
                "content_tags.video: must be 'feature', 'guide' or 'ama'; got 'video'",
                r"content_tags.ama: must match ^[^\s,]{1,100}$; got 'ask me'",
            ],
        ),
        ({"tags": {}}, ["tags: unknown key; allowed here: url, content_tags"]),
    ],
)
def test_a_wrong_setting_is_told_with_its_path_and_reason(settings: dict[str, Any], expected: list[str]) -> None:
    assert problems({"discourse": settings}) == [f"platforms.discourse.{problem}" for problem in expected]
