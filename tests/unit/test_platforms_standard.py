"""Our own JSON and its documentation say the same."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, get_args
from urllib.request import Request

import pytest

from shared.errors import Malformed
from shared.events import BaseEvent, CommunityEvent, ContentPublished
from shared.platforms import standard
from shared.playbook.model import Platform
from tests.builders import ROOT, at
from tests.golden import SECRETS, serialised

DOCUMENT = (ROOT / "docs" / "standard-webhooks.md").read_text(encoding="utf-8")
NOW = at("2026-03-04T10:00:05Z")


def section(title: str) -> str:
    return DOCUMENT.split(f"\n### {title}\n", maxsplit=1)[1].split("\n#", maxsplit=1)[0]


def parsed(told: object) -> list[CommunityEvent]:
    found = standard.parse({"webhook-id": "msg_1"}, serialised(told), NOW, Platform())
    assert isinstance(found, list)
    return found


def told(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "timestamp": "2026-03-04T10:00:00Z", "data": {"actor": {"id": "42"}} | fields}


def news(**changes: Any) -> dict[str, Any]:
    data = {
        "kind": "guide",
        "title": "Sharpening anything",
        "url": "https://community.example.com/r/sharpening",
        "published_at": "2026-03-04T09:00:00Z",
    }
    return {"type": "content.published", "timestamp": "2026-03-04T10:00:00Z", "data": data | changes}


def test_every_canonical_event_can_be_told() -> None:
    types = {of.model_fields["type"].default for of in get_args(CommunityEvent)}
    assert types - standard.OURS == standard.OWN.keys()
    assert types > standard.OURS


def test_own_fields_are_those_of_the_event() -> None:
    for of in get_args(CommunityEvent):
        if of.model_fields["type"].default in standard.OURS:
            continue
        own = of.model_fields.keys() - BaseEvent.model_fields.keys() - {"type", "profile"}
        own = {"text" if name == "body" else name for name in own}
        published = {"published_at"} if of is ContentPublished else set()  # which is when it occurred
        assert own | published == standard.OWN[of.model_fields["type"].default]


def test_the_document_lists_types_and_their_fields() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \|(.*?)\| ", section("The types and their own fields"), flags=re.MULTILINE)
    assert {kind: frozenset(re.findall(r"`([a-z_]+)`", fields)) for kind, fields in rows} == standard.OWN


@pytest.mark.parametrize(("title", "fields"), [("In every `data`", standard.COMMON), ("`actor`", standard.ACTOR)])
def test_the_document_lists_common_and_actor_fields(title: str, fields: frozenset[str]) -> None:
    assert fields == set(re.findall(r"^\| `([a-z_]+)` \|", section(title), flags=re.MULTILINE))


def test_the_documented_python_signs_rightly() -> None:
    [code] = re.findall(r"```python\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own document
    request: Request = names["signed"](
        "https://example.com/webhooks/standard", SECRETS["standard"], told("ticket.opened")
    )
    assert isinstance(request.data, bytes)
    headers = {name.lower(): value for name, value in request.header_items()}
    sent_at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    standard.verify(headers, request.data, [SECRETS["standard"]], sent_at)
    assert parsed(told("ticket.opened"))[0].type == "ticket.opened"


def test_the_documented_examples_are_read() -> None:
    bodies = re.findall(r"```json\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    assert [one.type for body in bodies for one in parsed(body)] == [
        "survey.answered",
        "content.published",
        "post.created",
    ]


def test_a_hundred_events_fit_one_delivery() -> None:
    several = parsed({"events": [told("ticket.opened")] * 100})
    assert len({event.id for event in several}) == 100
    with pytest.raises(Malformed, match="1 to 100 events"):
        parsed({"events": [told("ticket.opened")] * 101})


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"reason": "bored"}, "data.reason: input should be 'left', 'removed' or 'banned'"),
        ({"actor": {"id": "a b"}}, "data.actor.id: must be an id of 1 to 256 bytes, without blanks"),
        ({"actor": {"id": "ш" * 129}}, "data.actor.id: must be an id of 1 to 256 bytes, without blanks"),
        ({"actor": {"id": 42}}, "data.actor.id: must be text"),
        ({"actor": {"id": "erased:42"}}, "data.actor.id: must not begin with erased:"),
        ({"actor": {"id": "42", "email": "nobody"}}, "data.actor.email: must be an e-mail address"),
        ({"actor": {"id": "42", "role": "god"}}, "data.actor.role: must be one of member, staff, bot"),
        ({"actor": {"id": "42", "emial": "x"}}, "data.actor.emial: is not known here"),
        ({"platform": "Face book"}, "data.platform: must be 2 to 21 of a-z, 0-9 and _, beginning with a letter"),
        ({"object": ""}, "data.object: must be an id of 1 to 256 bytes, without blanks"),
    ],
)
def test_a_wrong_field_is_named_and_not_quoted(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(Malformed) as refusal:
        parsed(told("member.left", **wrong))
    assert str(refusal.value).startswith(reason)


@pytest.mark.parametrize(
    "utm", [{"a": 1}, {"a": "x" * 201}, {str(at): "x" for at in range(21)}, "utm_source=x", {"a": {"b": "c"}}]
)
def test_utm_is_a_small_table_of_texts(utm: object) -> None:
    with pytest.raises(Malformed, match=r"^data\.utm"):
        parsed(told("referral.signed_up", utm=utm))


@pytest.mark.parametrize(
    "url",
    [
        *("https://", "https://?x", "http:///path", "//example.com/x", "ftp://example.com/x", "example.com", "", " "),
        *("https://example.com/a b", "https://example.com/<b>", 'https://example.com/"x', "https://[::1/x", 7, None),
        *("https://example.com/\n", "data:text/html,x", "https://example.com/\x85", "HTTPS://example.com/x"),
    ],
)
def test_news_link_to_a_web_page(url: object) -> None:
    with pytest.raises(Malformed, match=r"^data\.url: "):
        parsed(news(url=url))


@pytest.mark.parametrize("title", ["", " x", "x\n", "a\x00b", "a\u2028b", "x" * 201, 7, None])
def test_news_have_one_line_for_a_title(title: object) -> None:
    with pytest.raises(Malformed, match=r"^data\.title: "):
        parsed(news(title=title))


@pytest.mark.parametrize("title", ["x", "ш" * 200, "Семья\xa0мастеров 👨\u200d👩\u200d👧"])
def test_news_titles_may_hold_what_people_write(title: str) -> None:
    [event] = parsed(news(title=title))
    assert isinstance(event, ContentPublished)
    assert event.title == title


def test_news_by_nobody_are_the_community_s() -> None:
    assert [event.actor for event in parsed(news())] == ["community"]
    assert [event.actor for event in parsed(news(actor=None))] == ["community"]
    assert [event.actor for event in parsed(news(actor={"id": "42"}))] == ["42"]


@pytest.mark.parametrize("actor", ["Bea", {}, {"id": ""}, {"id": "a b"}, {"id": "42", "nick": "b"}, []])
def test_news_by_somebody_name_them_rightly(actor: object) -> None:
    with pytest.raises(Malformed, match=r"^data\.actor"):
        parsed(news(actor=actor))


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("referral.signed_up", "code", "\ud800"),
        ("referral.signed_up", "utm", {"utm_source": "\ud800"}),
        ("referral.signed_up", "utm", {"\ud800": "x"}),
        ("content.published", "title", "\ud800"),
    ],
)
def test_text_that_cannot_be_kept_is_refused(kind: str, field: str, value: object) -> None:
    body = json.dumps(told(kind, **{field: value})).encode()
    with pytest.raises(Malformed, match=rf"^data\.{field}: must be text that UTF-8 can carry"):
        standard.parse({"webhook-id": "msg_1"}, body, NOW, Platform())


def test_true_is_not_a_score() -> None:
    with pytest.raises(Malformed, match=r"^data\.score"):
        parsed(told("survey.answered", score=True))


def test_a_platform_of_its_own_keeps_the_deliverys_id() -> None:
    [event] = parsed(told("ticket.opened", platform="telegram"))
    assert (event.platform, event.id) == ("telegram", "standard:msg_1")


def test_an_unknown_type_is_left_out_of_several() -> None:
    assert [event.id for event in parsed({"events": [told("x"), told("ticket.opened")]})] == ["standard:msg_1:1"]
