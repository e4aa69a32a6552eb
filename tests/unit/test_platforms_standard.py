"""Our own JSON and its documentation say the same."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, get_args
from urllib.request import Request

import pytest

from shared.errors import Malformed
from shared.events import BaseEvent, CommunityEvent
from shared.platforms import standard
from tests.builders import ROOT, at
from tests.golden import SECRETS, serialised

DOCUMENT = (ROOT / "docs" / "standard-webhooks.md").read_text(encoding="utf-8")
NOW = at("2026-03-04T10:00:05Z")


def section(title: str) -> str:
    return DOCUMENT.split(f"\n### {title}\n", maxsplit=1)[1].split("\n#", maxsplit=1)[0]


def parsed(told: object) -> list[CommunityEvent]:
    found = standard.parse({"webhook-id": "msg_1"}, serialised(told), NOW)
    assert isinstance(found, list)
    return found


def told(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "timestamp": "2026-03-04T10:00:00Z", "data": {"actor": {"id": "42"}} | fields}


def test_every_canonical_event_can_be_told() -> None:
    assert {of.model_fields["type"].default for of in get_args(CommunityEvent)} == standard.OWN.keys()


def test_own_fields_are_those_of_the_event() -> None:
    for of in get_args(CommunityEvent):
        own = of.model_fields.keys() - BaseEvent.model_fields.keys() - {"type", "profile"}
        assert {"text" if name == "body" else name for name in own} == standard.OWN[of.model_fields["type"].default]


def test_the_document_lists_types_and_their_fields() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \|(.*?)\| ", section("The types and their own fields"), flags=re.MULTILINE)
    assert {kind: frozenset(re.findall(r"`([a-z]+)`", fields)) for kind, fields in rows} == standard.OWN


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


def test_the_documented_example_is_read() -> None:
    [body] = re.findall(r"```json\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    assert [one.type for one in parsed(body)] == ["survey.answered"]


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


def test_true_is_not_a_score() -> None:
    with pytest.raises(Malformed, match=r"^data\.score"):
        parsed(told("survey.answered", score=True))


def test_a_platform_of_its_own_keeps_the_deliverys_id() -> None:
    [event] = parsed(told("ticket.opened", platform="telegram"))
    assert (event.platform, event.id) == ("telegram", "standard:msg_1")


def test_an_unknown_type_is_left_out_of_several() -> None:
    assert [event.id for event in parsed({"events": [told("x"), told("ticket.opened")]})] == ["standard:msg_1:1"]
