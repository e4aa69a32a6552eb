"""Every golden delivery gives exactly the events, the answer or the refusal that its file says."""

from __future__ import annotations

import re
from dataclasses import asdict

import pytest

from shared.errors import WebhookError
from shared.events import EVENT, CommunityEvent, ContentPublished
from shared.platforms import Answer, discourse, receive
from shared.playbook.model import Platform
from tests.builders import ROOT, a_playbook
from tests.golden import SECRETS, Golden, golden, names

PLAYBOOK = a_playbook()


def received(delivery: Golden) -> list[CommunityEvent] | Answer:
    return receive(
        delivery.platform,
        delivery.signed_headers(),
        delivery.body,
        secrets=lambda platform: [SECRETS[platform]],
        enabled=PLAYBOOK.platforms,
        now=delivery.received_at,
    )


def event_of(name: str) -> CommunityEvent:
    found = received(golden(name))
    assert isinstance(found, list)
    return found[0]


@pytest.mark.parametrize("name", [name for name in names() if "events" in golden(name).expect])
def test_golden_delivery_gives_its_events(name: str) -> None:
    delivery = golden(name)
    assert [EVENT.validate_python(one) for one in delivery.expect["events"]] == received(delivery)


@pytest.mark.parametrize("name", [name for name in names() if "answer" in golden(name).expect])
def test_golden_handshake_gets_its_answer(name: str) -> None:
    delivery = golden(name)
    found = received(delivery)
    assert isinstance(found, Answer)
    assert delivery.expect["answer"] == asdict(found)


@pytest.mark.parametrize("name", [name for name in names() if "refused" in golden(name).expect])
def test_golden_refusal_has_status_and_reason(name: str) -> None:
    expected = golden(name).expect
    with pytest.raises(WebhookError) as refusal:
        received(golden(name))
    assert expected["refused"] == refusal.value.status
    assert expected.get("reason", str(refusal.value)) == str(refusal.value)


@pytest.mark.parametrize("name", names())
def test_golden_file_expects_one_thing(name: str) -> None:
    assert len({"events", "answer", "refused"} & golden(name).expect.keys()) == 1


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ("slack.message", "slack.message_retry"),
        ("discourse.post_created_first", "discourse.post_created_retry"),
        ("discourse.topic_created_news", "discourse.topic_listed_news"),
        ("discourse.topic_created_news", "discourse.topic_created_tag_names"),
        ("discourse.topic_created_news", "discourse.topic_created_other_instance"),
    ],
)
def test_a_retry_is_the_same_event(first: str, again: str) -> None:
    assert golden(first) != golden(again)
    assert event_of(first) == event_of(again)


def test_a_topic_created_and_edited_is_one_event_of_the_log() -> None:
    first, edited = (event_of(f"discourse.topic_{name}_news") for name in ("created", "edited"))
    assert first != edited
    assert (first.id, first.occurred_at, first.actor) == (edited.id, edited.occurred_at, edited.actor)


def test_without_tags_in_the_playbook_no_topic_is_read() -> None:
    for name in names("discourse.topic_"):
        delivery = golden(name)
        headers = delivery.signed_headers()
        assert discourse.parse(headers, delivery.body, delivery.received_at, Platform()) == []


def test_a_topic_with_several_tags_is_the_first_of_the_playbook_s_kinds() -> None:
    delivery = golden("discourse.topic_created_news")
    settings = Platform(url="https://forum.example.com/sub/", content_tags={"ama": "wood", "feature": "announcement"})  # type: ignore[arg-type] # as YAML gives it
    found = discourse.parse(delivery.signed_headers(), delivery.body, delivery.received_at, settings)
    assert isinstance(found, list)
    [event] = found
    assert isinstance(event, ContentPublished)
    assert (event.kind, event.url) == ("ama", "https://forum.example.com/sub/t/glue-for-oak/12")


def test_a_topic_and_its_first_post_are_one_post() -> None:
    both = [received(golden(f"discourse.{name}")) for name in ("topic_created", "post_created_first")]
    assert [one.type for found in both if isinstance(found, list) for one in found] == ["post.created"]


def test_no_golden_event_holds_its_message_text() -> None:
    for name in ("slack.message", "discourse.post_created_reply", "standard.post_created"):
        text = event_of(name).model_dump_json()
        assert not re.search("everyone|glue|склеить", text)


def test_readme_tables_list_every_golden_file() -> None:
    events = ROOT / "events"
    listed = re.findall(
        r"^\| `([^`]+\.json)` \|", (events / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert sorted(path.relative_to(events).as_posix() for path in events.rglob("*.json")) == sorted(listed)
