"""What strangers and broken senders may throw at the door: it never falls over, and what is not proved is never logged.

Every run throws the same: seeded mutations of the golden deliveries, and bodies and headers that hypothesis makes.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions import webhooks
from infra.local.signing import sign
from shared.platforms import PLATFORMS
from tests.door import House, open_door
from tests.golden import OTHERS, SECRETS, Golden, golden, names, serialised

MUTATED, MADE_UP = 9_800, 200
PROOFS = {
    "slack": ("x-slack-signature", "x-slack-request-timestamp"),
    "discourse": ("x-discourse-event-signature",),
    "standard": ("webhook-signature", "webhook-timestamp", "webhook-id"),
}
EVENT_NAMES = (
    "ping",
    "user_created",
    "user_updated",
    "post_created",
    "post_liked",
    "accepted_solution",
    "reviewable_created",
    "topic_created",
    "topic_edited",
)

JUNK_TEXT = (
    "", " ", "\n", "\x00", "\ud800", "\U0010ffff", "ключ", "½", "٣", "-1", "1e9", "NaN", "Infinity", "9" * 30,
    "x" * 5_000, "v0=", "sha256=", "v1,", "v1,a", "v1,,,", "{}", "[]", "../..",
    "2026-03-04", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59",
)  # fmt: skip
JUNK_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 0.5, 1e308, 2**63, -(2**64), 10**400, [], {}, [[]], [None], {"": {}}, [{}] * 101,
    *JUNK_TEXT,
)  # fmt: skip

each_platform = pytest.mark.parametrize("platform", PLATFORMS)
made_up = settings(
    max_examples=MADE_UP, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=10), below, max_size=4),
    max_leaves=12,
)
bodies = st.binary(max_size=300) | json_values.map(json.dumps).map(str.encode)


@pytest.fixture
def house() -> Iterator[House]:
    webhooks.logger.setLevel("CRITICAL")
    with open_door() as house:
        yield house
    webhooks.logger.setLevel("INFO")


def rightly_signed(delivery: Golden, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    given = {"webhook-id": "msg_1"} | dict(headers)
    return sign(delivery.platform, given, body, secret=SECRETS[delivery.platform], now=delivery.received_at)


# --- not proved: each of these spoils a good delivery for certain -------------------------------------------------


def _without_a_header(chance: Random, delivery: Golden) -> tuple[dict[str, str], bytes]:
    headers = rightly_signed(delivery, delivery.headers, delivery.body)
    del headers[chance.choice(PROOFS[delivery.platform])]
    return headers, delivery.body


def _junk_in_a_header(chance: Random, delivery: Golden) -> tuple[dict[str, str], bytes]:
    headers = rightly_signed(delivery, delivery.headers, delivery.body)
    name = chance.choice(PROOFS[delivery.platform])
    return headers | {name: chance.choice(JUNK_TEXT) + chance.choice(["", " ", ",", headers[name][:-2]])}, delivery.body


def _another_character_in_a_header(chance: Random, delivery: Golden) -> tuple[dict[str, str], bytes]:
    headers = rightly_signed(delivery, delivery.headers, delivery.body)
    name = chance.choice(PROOFS[delivery.platform])
    place = chance.randrange(len(headers[name]))
    other = chance.choice(sorted(set(string.printable + "éш") - {headers[name][place]}))
    return headers | {name: headers[name][:place] + other + headers[name][place + 1 :]}, delivery.body


def _another_byte_in_the_body(chance: Random, delivery: Golden) -> tuple[dict[str, str], bytes]:
    headers = rightly_signed(delivery, delivery.headers, delivery.body)
    place = chance.randrange(len(delivery.body))
    other = bytes([delivery.body[place] ^ chance.randint(1, 255)])
    return headers, delivery.body[:place] + other + delivery.body[place + 1 :]


def _a_cut_body(chance: Random, delivery: Golden) -> tuple[dict[str, str], bytes]:
    return rightly_signed(delivery, delivery.headers, delivery.body), delivery.body[
        : chance.randrange(len(delivery.body))
    ]


def _somebody_elses_secret(chance: Random, delivery: Golden) -> tuple[dict[str, str], bytes]:
    body = delivery.body + chance.randbytes(chance.randrange(20))
    given = {"webhook-id": "msg_1"} | dict(delivery.headers)
    return sign(delivery.platform, given, body, secret=OTHERS[delivery.platform], now=delivery.received_at), body


def _another_time(chance: Random, delivery: Golden) -> tuple[dict[str, str], bytes]:
    if delivery.platform == "discourse":  # which signs no time
        return _a_cut_body(chance, delivery)
    given = {"webhook-id": "msg_1"} | dict(delivery.headers)
    now = delivery.received_at + timedelta(seconds=chance.choice([-1, 1]) * chance.randint(301, 10**8))
    return sign(delivery.platform, given, delivery.body, secret=SECRETS[delivery.platform], now=now), delivery.body


SPOILED: tuple[Callable[[Random, Golden], tuple[dict[str, str], bytes]], ...] = (
    _without_a_header,
    _junk_in_a_header,
    _another_character_in_a_header,
    _another_byte_in_the_body,
    _a_cut_body,
    _somebody_elses_secret,
    _another_time,
)


@each_platform
def test_thousands_of_spoiled_deliveries_are_refused(house: House, platform: str) -> None:
    chance = Random(f"spoiled {platform}")  # noqa: S311 - the same every time is the point
    good = [golden(name) for name in names(platform) if golden(name).body]
    for _ in range(MUTATED):
        delivery = chance.choice(good)
        headers, body = chance.choice(SPOILED)(chance, delivery)
        house.now = delivery.received_at
        assert house.post(platform, headers, body)["statusCode"] == 401, (headers, body)
    assert house.store.events == {}


@each_platform
@made_up
@given(values=st.lists(st.text(max_size=40), max_size=3), body=bodies)
def test_hundreds_of_made_up_deliveries_are_refused(
    house: House, platform: str, values: list[str], body: bytes
) -> None:
    headers = dict(zip(PROOFS[platform], values, strict=False))
    assert house.post(platform, headers, body)["statusCode"] == 401
    assert house.store.events == {}


# --- proved, but broken: refused or read, never an error --------------------------------------------------------


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value in a JSON value."""
    if at:
        yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inside:
        yield from _places(below, (*at, key))


def _broken(chance: Random, body: bytes) -> bytes:
    """The same JSON with one to three values replaced, renamed or taken out; or text that is no JSON any more."""
    try:
        value = json.loads(body)
    except ValueError:
        value = {"type": chance.choice(JUNK_TEXT)}
    for _ in range(chance.randint(1, 3)):
        places = list(_places(value))
        if places:
            _break(chance, value, chance.choice(places))
    text = json.dumps(value)
    return chance.choice([text, text, text, text, text[: chance.randrange(1, len(text) + 1)], f"[{text}]"]).encode()


def _break(chance: Random, value: Any, place: tuple[Any, ...]) -> None:
    *above, key = place
    for step in above:
        value = value[step]
    fate = chance.randrange(6)
    if fate == 0:
        del value[key]
    elif fate == 1 and isinstance(value, dict):
        value[chance.choice(JUNK_TEXT)] = value.pop(key)
    else:
        value[key] = deepcopy(chance.choice(JUNK_VALUES))


def _signed_headers(chance: Random, delivery: Golden, body: bytes) -> dict[str, str]:
    """Right signatures around headers that Discourse does not sign, and that may so be anything."""
    headers = {name: value for name, value in delivery.headers.items() if name not in PROOFS[delivery.platform]}
    if delivery.platform == "discourse" and chance.random() < 0.3:
        name = chance.choice(["x-discourse-event", "x-discourse-event-type", "x-discourse-instance"])
        headers[name] = chance.choice([*JUNK_TEXT, *EVENT_NAMES])
    return rightly_signed(delivery, headers, body)


@each_platform
def test_thousands_of_signed_but_broken_deliveries_never_fail(house: House, platform: str) -> None:
    chance = Random(f"broken {platform}")  # noqa: S311 - the same every time is the point
    good = [golden(name) for name in names(platform)]
    seen = set()
    for _ in range(MUTATED):
        delivery = chance.choice(good)
        body = _broken(chance, delivery.body)
        house.now = delivery.received_at
        status = house.post(platform, _signed_headers(chance, delivery, body), body)["statusCode"]
        assert status in {200, 202, 400}, (delivery.name, body)
        seen.add(status)
    assert seen == {200, 202, 400}


@each_platform
@made_up
@given(body=bodies)
def test_hundreds_of_signed_made_up_deliveries_never_fail(house: House, platform: str, body: bytes) -> None:
    delivery = golden(names(platform)[0])
    headers = rightly_signed(delivery, {"x-discourse-event": "post_created"}, body)
    house.now = delivery.received_at
    assert house.post(platform, headers, body)["statusCode"] in {200, 400}


@pytest.mark.shows(7)
@each_platform
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"type":' * 30_000,
        b'{"type":"event_callback","event":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001,
        b'{"post":{"id":' + b"9" * 200_000 + b"}}",
        b'{"type":"ticket.opened","timestamp":NaN,"data":Infinity}',
        b'{"type":"\xff"}',
        b"\xef\xbb\xbf{}",
        b"null",
        b'""',
        b"",
    ],
    ids=["deep list", "cut", "deep object", "long number", "no number", "no UTF-8", "BOM", "null", "text", "nothing"],
)
def test_deep_long_and_strange_json_is_refused(house: House, platform: str, body: bytes) -> None:
    delivery = golden({"slack": "slack.message", "discourse": "discourse.post_edited"}.get(platform, "standard.extra"))
    house.now = delivery.received_at
    headers = rightly_signed(delivery, {**delivery.headers, "x-discourse-event": "post_created"}, body)
    assert house.post(platform, headers, body)["statusCode"] == 400


def test_a_good_delivery_still_comes_in_after_all_that(house: House) -> None:
    assert house.post_golden(golden("slack.message"))["statusCode"] == 202
    assert serialised({"a": "ш"}) == '{"a":"ш"}'.encode()
