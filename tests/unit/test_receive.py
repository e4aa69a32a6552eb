"""The webhooks function: in which order it looks, what it answers, and what it never says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra.local.signing import sign
from shared.errors import Unauthentic
from shared.platforms import LARGEST, PLATFORMS, receive
from tests.builders import a_playbook, at, raw_playbook
from tests.door import House, open_door
from tests.golden import OTHERS, SECRETS, golden, names

MESSAGE = golden("slack.message")


@pytest.fixture
def house() -> Iterator[House]:
    with open_door() as house:
        yield house


def emitted(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The metrics of the one invocation so far."""
    [line] = [line for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    told: dict[str, Any] = json.loads(line)
    return told


def padded(size: int) -> bytes:
    """A rightly shaped Slack body of exactly this size."""
    body = MESSAGE.body.removesuffix(b"}") + b',"padding":"'
    return body + b"x" * (size - len(body) - 2) + b'"}'


def signed(body: bytes) -> dict[str, str]:
    return sign("slack", {}, body, secret=SECRETS["slack"], now=MESSAGE.received_at)


class TestOrder:
    def test_too_large_is_told_before_anything_else(self, house: House) -> None:
        for platform in ("slack", "nowhere"):
            assert house.post(platform, {}, b"x" * (LARGEST + 1))["statusCode"] == 413
        assert house.secrets_asked == 0

    def test_the_largest_body_is_still_read(self, house: House) -> None:
        body = padded(LARGEST)
        assert len(body) == LARGEST
        assert house.post("slack", signed(body), body)["statusCode"] == 202

    def test_an_unknown_platform_costs_no_look_at_secrets(self, house: House) -> None:
        assert house.post("nowhere", {}, b"{}")["statusCode"] == 404
        assert house.secrets_asked == 0

    def test_a_platform_not_in_the_playbook_is_unknown(self) -> None:
        raw = raw_playbook()
        del raw["platforms"]["slack"]
        with open_door(House(playbook=a_playbook().model_validate(raw))) as house:
            assert house.post_golden(MESSAGE)["statusCode"] == 404
        assert house.secrets_asked == 0

    def test_the_proof_comes_before_the_body_is_read(self, house: House) -> None:
        for platform in PLATFORMS:
            assert house.post(platform, {}, b"no JSON")["statusCode"] == 401

    def test_any_exception_in_a_proof_refuses(self) -> None:
        with pytest.raises(Unauthentic):
            receive(
                "slack",
                MESSAGE.signed_headers(),
                MESSAGE.body,
                secrets=lambda _: [None],  # type: ignore[list-item] # what a broken configuration could hold
                enabled=a_playbook().platforms,
                now=MESSAGE.received_at,
            )


class TestAnswers:
    @pytest.mark.parametrize("name", names())
    def test_every_golden_delivery_gets_its_status(self, house: House, name: str) -> None:
        expect = golden(name).expect
        answer = house.post_golden(golden(name))
        logged = len(expect.get("events", []))
        accepted = expect["answer"]["status"] if "answer" in expect else 202 if logged else 200
        assert answer["statusCode"] == expect.get("refused", accepted)
        assert len(house.store.events) == logged

    def test_a_handshake_is_answered_word_for_word(self, house: House) -> None:
        answer = house.post_golden(golden("slack.url_verification"))
        assert json.loads(answer["body"]) == {"challenge": "c-123"}
        assert answer["headers"] == {"content-type": "application/json"}

    def test_a_second_delivery_is_no_new_event(self, house: House) -> None:
        told = [json.loads(house.post_golden(golden(f"slack.message{again}"))["body"]) for again in ("", "_retry")]
        assert told == [{"events": 1, "new": 1}, {"events": 1, "new": 0}]

    def test_a_body_may_come_as_text_or_in_base64(self, house: House) -> None:
        delivery = golden("standard.post_created")
        house.now = delivery.received_at
        assert house.post("standard", delivery.signed_headers(), delivery.body.decode())["statusCode"] == 202
        assert house.post("standard", delivery.signed_headers(), delivery.body)["statusCode"] == 202
        assert len(house.store.events) == 1

    def test_header_names_may_come_in_any_case(self, house: House) -> None:
        headers = {name.title(): value for name, value in MESSAGE.signed_headers().items()}
        assert house.post("slack", headers, MESSAGE.body)["statusCode"] == 202

    def test_an_event_without_headers_or_body_is_refused(self, house: House) -> None:
        assert house.post("slack", None, "")["statusCode"] == 401  # type: ignore[arg-type] # as an API may send it

    @pytest.mark.shows(16)
    @pytest.mark.parametrize("part", ["secrets", "store"])
    def test_an_outage_asks_the_sender_to_come_again(self, house: House, part: str) -> None:
        house.secrets_away, house.store.away = part == "secrets", part == "store"
        answer = house.post_golden(MESSAGE)
        assert answer["statusCode"] == 503
        assert answer["headers"]["retry-after"] == "30"

    def test_a_refusal_never_says_what_was_wrong_with_a_proof(self, house: House) -> None:
        refusals = [golden(name) for name in names() if golden(name).expect.get("refused") == 401]
        assert {house.post_golden(delivery)["body"] for delivery in refusals} == {'{"error": "not authentic"}'}

    def test_a_proved_sender_is_told_the_field(self, house: House) -> None:
        told = json.loads(house.post_golden(golden("standard.score_out_of_range"))["body"])
        assert told == {"error": "data.score: input should be less than or equal to 10"}

    @pytest.mark.shows(6)
    def test_a_rotated_secret_works_beside_the_old_one(self) -> None:
        with open_door(House(secrets={"slack": [OTHERS["slack"], SECRETS["slack"]]})) as house:
            assert house.post_golden(MESSAGE)["statusCode"] == 202
            assert house.post_golden(golden("slack.wrong_secret"))["statusCode"] == 202

    def test_a_platform_without_secrets_is_refused(self) -> None:
        with open_door(House(secrets={"slack": []})) as house:
            assert house.post_golden(MESSAGE)["statusCode"] == 401


class TestTelling:
    def test_new_events_are_counted_and_duplicates_are_not(
        self, house: House, capsys: pytest.CaptureFixture[str]
    ) -> None:
        house.post_golden(MESSAGE)
        assert emitted(capsys)["EventsLogged"] == [1.0]
        house.post_golden(MESSAGE)
        assert capsys.readouterr().out == ""

    def test_a_refusal_stands_in_the_log_with_its_status(self, house: House) -> None:
        house.post_golden(golden("slack.stale"))
        [line] = map(json.loads, house.log_lines.getvalue().splitlines())
        assert (line["message"], line["platform"], line["status"]) == ("rejected", "slack", 401)

    def test_what_was_received_is_named_by_id(self, house: House) -> None:
        house.post_golden(MESSAGE)
        [line] = map(json.loads, house.log_lines.getvalue().splitlines())
        assert (line["message"], line["platform"], line["event_ids"]) == (
            "received",
            "slack",
            ["slack:C1:1772618400.000100"],
        )

    def test_logs_never_hold_people_texts_or_secrets(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        for name in names():
            house.post_golden(golden(name))
        house.post("ada@example.com", {}, b"")
        told = house.log_lines.getvalue() + capsys.readouterr().out
        assert len(told.splitlines()) > len(names())
        for word in ("@", "Example", "Hello", "glue", "Lovely", "deprecated", "8f742231", "my_lovely", "MfKQ9"):
            assert word not in told


def test_time_is_what_the_house_says() -> None:
    with open_door(House(now=at("2026-03-04T11:00Z"))) as house:
        assert house.post("slack", MESSAGE.signed_headers(), MESSAGE.body)["statusCode"] == 401


def test_the_playbook_can_name_every_platform() -> None:
    assert raw_playbook()["platforms"].keys() == PLATFORMS.keys()
