"""Every golden export gives exactly the events that its file says, leaves out what it says, or is refused so."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections import Counter
from datetime import date, timedelta
from functools import reduce
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.exports import LeftOut, Told, largejson
from infra.exports.discourse import instance_of
from infra.exports.largejson import LargeJson
from shared.errors import UsageError
from shared.events import EVENT, CommunityEvent
from shared.members import discovered, fold
from shared.model import Member
from shared.playbook import check
from tests.builders import a_playbook, raw_playbook
from tests.exports import Export, as_exported, as_text, export, names, told, told_live, with_files
from tests.golden import golden

GOOD = [name for name in names() if "events" in export(name).expect]
BAD = [name for name in names() if "refused" in export(name).expect]


def events_of(found: list[Told]) -> list[CommunityEvent]:
    return [one for one in found if not isinstance(one, LeftOut)]


def left_out(found: list[Told]) -> dict[str, int]:
    return dict(Counter(one.value for one in found if isinstance(one, LeftOut)))


def folded(events: list[CommunityEvent]) -> tuple[Member, date | None]:
    """Who somebody is after these events; when they were last active is right to its day."""
    first = min(events, key=lambda event: event.id)
    member = reduce(fold, events, discovered(first, 0))
    return member.model_copy(update={"last_active_at": None}), member.last_active_at and member.last_active_at.date()


@pytest.mark.parametrize("name", GOOD)
def test_golden_export_gives_its_events(name: str, tmp_path: Path) -> None:
    one = export(name)
    received = {"received_at": one.now}
    expected = [EVENT.validate_python({**event, **received}) for event in one.expect["events"]]
    assert events_of(one.told(tmp_path)) == expected


@pytest.mark.parametrize("name", GOOD)
def test_golden_export_leaves_out_what_it_says(name: str, tmp_path: Path) -> None:
    one = export(name)
    assert left_out(one.told(tmp_path)) == one.expect["left_out"]


@pytest.mark.parametrize("name", BAD)
def test_golden_refusal_names_its_place(name: str, tmp_path: Path) -> None:
    one = export(name)
    with pytest.raises(UsageError) as refusal:
        one.told(tmp_path)
    assert str(refusal.value) == one.expect["refused"]


@pytest.mark.parametrize("name", GOOD)
def test_an_export_tells_the_same_ids_at_any_time(name: str, tmp_path: Path) -> None:
    one = export(name)
    later = Export(**vars(one) | {"now": one.now + timedelta(days=40)})
    ids = [event.id for event in events_of(one.told(tmp_path))]
    assert [event.id for event in events_of(later.told(tmp_path))] == ids
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", GOOD)
def test_people_are_the_same_in_any_order_and_doubled(name: str, tmp_path: Path) -> None:
    found = events_of(export(name).told(tmp_path))
    chance = random.Random(7)  # noqa: S311 - chance, no secret
    for actor in {event.actor for event in found}:
        theirs = [event for event in found if event.actor == actor]
        shuffled = theirs * 2
        chance.shuffle(shuffled)
        assert folded(shuffled) == folded(theirs)


def test_no_golden_export_keeps_what_was_said(tmp_path: Path) -> None:
    for name in GOOD:
        kept = " ".join(event.model_dump_json() for event in events_of(export(name).told(tmp_path)))
        assert not re.search("glue|anybody|Hello|bench is done", kept)


class TestSlack:
    def test_a_message_is_the_event_that_its_webhook_told(self, tmp_path: Path) -> None:
        [live], one = told_live("slack.message"), as_exported("slack.message")
        [same] = [event for event in events_of(one.told(tmp_path)) if event.id == live.id]
        assert same == live.model_copy(update={"received_at": one.now})

    def test_a_direct_conversation_is_read_on_no_wish(self, tmp_path: Path) -> None:
        one = Export(**vars(export("slack.workspace")) | {"options": {"channels": ["D1"]}})
        with pytest.raises(UsageError, match="has no channel D1"):
            one.told(tmp_path)

    def test_a_profile_that_changed_is_told_anew(self, tmp_path: Path) -> None:
        users = export("slack.workspace").files["users.json"]
        changed = [{**users[0], "profile": {**users[0]["profile"], "email": "ada@w.example.com"}}, *users[1:]]
        ids = {event.id for event in events_of(export("slack.workspace").told(tmp_path))}
        anew = events_of(with_files("slack.workspace", **{"users.json": changed}).told(tmp_path))
        assert [event.type for event in anew if event.id not in ids] == ["member.updated"]

    def test_what_is_no_zip_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "export.zip"
        path.write_bytes(b"PK no zip")
        with pytest.raises(UsageError, match="cannot be read as a zip"):
            list(told("slack", [path], export("slack.workspace").now))

    def test_a_damaged_zip_is_refused(self, tmp_path: Path) -> None:
        [path] = export("slack.workspace").written(tmp_path)
        whole = bytearray(path.read_bytes())
        whole[60:64] = b"\xff\xff\xff\xff"
        path.write_bytes(whole)
        with pytest.raises(UsageError, match=r"export\.zip"):
            list(told("slack", [path], export("slack.workspace").now))


class TestDiscourse:
    def test_a_join_is_the_event_that_its_webhook_told(self, tmp_path: Path) -> None:
        delivery = golden("discourse.user_created_active")
        [live] = [json.loads(json.dumps(one)) for one in delivery.expect["events"]]
        heads, first, *_ = export("discourse.user_list").files["user_list.csv"].splitlines()
        cells = [live["actor"], *first.split(",")[1:]]
        one = with_files("discourse.user_list", **{"user_list.csv": f"{heads}\n{','.join(cells)}\n"})
        assert [event.id for event in events_of(one.told(tmp_path))] == [live["id"]]

    def test_a_compressed_list_is_read_too(self, tmp_path: Path) -> None:
        one = export("discourse.user_list")
        path = tmp_path / "user_list.csv.gz"
        path.write_bytes(gzip.compress(one.files["user_list.csv"].encode()))
        assert list(told("discourse", [path], one.now)) == one.told(tmp_path)

    def test_a_broken_compression_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "user_list.csv.gz"
        path.write_bytes(gzip.compress(b"id,name\n" * 1000)[:-30])
        with pytest.raises(UsageError, match=r"user_list\.csv\.gz"):
            list(told("discourse", [path], export("discourse.user_list").now))

    def test_the_forum_is_named_as_its_webhooks_name_it(self) -> None:
        assert instance_of(a_playbook()) == "forum.example.com"
        raw = raw_playbook()
        raw["platforms"]["discourse"] = {"url": "https://Forum.example.com/sub/"}
        assert instance_of(check(raw, source="playbook")) == "forum.example.com/sub"
        raw["platforms"]["discourse"] = {}
        with pytest.raises(UsageError, match=r"platforms\.discourse\.url"):
            instance_of(check(raw, source="playbook"))


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)


def a_list(text: str) -> list[Any]:
    """A file that is one list, read to its end."""
    source = LargeJson(StringIO(text), "a.json")
    found = list(source.values())
    source.end()
    return found


class TestLargeJson:
    @settings(deadline=None, max_examples=60)
    @given(ANY_JSON, st.lists(ANY_JSON, max_size=6), st.integers(1, 40), st.none() | st.just(1))
    def test_pieces_of_any_size_give_what_the_whole_does(
        self, before: Any, messages: list[Any], size: int, indent: int | None
    ) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(largejson, "CHUNK", size)
            text = json.dumps({"before": before, "messages": messages}, indent=indent)
            source, found = LargeJson(StringIO(text), "a.json"), dict[str, Any]()
            for name in source.names():
                found[name] = list(source.values()) if name == "messages" else source.value()
            source.end()
        assert found == json.loads(text)

    @pytest.mark.parametrize(
        "text", ["", "[", "[1", "[1,", "[1 2]", '["a', "[NaN]", "[1]]", "{}", "[1,]", "[" * 99_999]
    )
    def test_what_is_no_list_is_refused_with_its_line(self, text: str) -> None:
        with pytest.raises(UsageError, match=r"^a\.json, line 2: is not JSON: "):
            a_list(f"\n{text}")

    def test_text_that_is_not_utf_8_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "result.json"
        path.write_bytes(as_text(export("telegram.group").files["result.json"]).encode("utf-16"))
        with pytest.raises(UsageError, match=r"^result\.json: cannot be read as text in UTF-8"):
            list(told("telegram", [path], export("telegram.group").now))
