"""Who may be believed: the official vectors, our signer, the reference library, and everything that is almost right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from infra.local.signing import sign
from shared.errors import Unauthentic
from shared.platforms import PLATFORMS
from tests.builders import at
from tests.golden import OTHERS, SECRETS

NOW = at("2026-03-04T10:00Z")
BODY = b'{"type": "ticket.opened"}'
GIVEN = {"slack": {}, "discourse": {}, "standard": {"webhook-id": "msg_1"}}

SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
    b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
    b"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121"
    b".803a0bc887a14d10d2c447fce8b6703c"
)
OFFICIAL: dict[str, tuple[dict[str, str], bytes, int]] = {
    "slack": (
        {
            "x-slack-request-timestamp": "1531420618",
            "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
        SLACK_BODY,
        1531420618,
    ),
    "discourse": (
        {"x-discourse-event-signature": "sha256=162f107f6b5022353274eb1a7197885cfd35744d8d08e5bcea025d309386b7d6"},
        b'{"ping":"OK"}',
        1531420618,
    ),
    "standard": (
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        b'{"test": 2432232314}',
        1614265330,
    ),
}

each_platform = pytest.mark.parametrize("platform", PLATFORMS)
each_timed_platform = pytest.mark.parametrize("platform", ["slack", "standard"])


def signed(platform: str, *, body: bytes = BODY, now: datetime = NOW, secret: str | None = None) -> dict[str, str]:
    return sign(platform, GIVEN[platform], body, secret=secret or SECRETS[platform], now=now)


def verify(platform: str, headers: dict[str, str], body: bytes = BODY, **changes: Any) -> None:
    PLATFORMS[platform].verify(headers, body, changes.get("secrets", [SECRETS[platform]]), changes.get("now", NOW))


def refuses(platform: str, headers: dict[str, str], body: bytes = BODY, **changes: Any) -> None:
    with pytest.raises(Unauthentic):
        verify(platform, headers, body, **changes)


@each_platform
def test_the_official_vector_verifies(platform: str) -> None:
    headers, body, stamp = OFFICIAL[platform]
    verify(platform, headers, body, now=datetime.fromtimestamp(stamp, UTC))


@each_platform
def test_our_signer_reproduces_the_official_vector(platform: str) -> None:
    headers, body, stamp = OFFICIAL[platform]
    now = datetime.fromtimestamp(stamp, UTC)
    made = sign(platform, headers, body, secret=SECRETS[platform], now=now)
    assert {"content-type": "application/json"} | headers == made


@pytest.mark.shows(6)
@each_platform
def test_one_other_byte_is_refused(platform: str) -> None:
    headers, body, stamp = OFFICIAL[platform]
    refuses(platform, headers, body + b" ", now=datetime.fromtimestamp(stamp, UTC))


def test_the_official_wrong_signature_is_refused() -> None:
    headers, body, stamp = OFFICIAL["standard"]
    wrong = headers | {"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA="}
    refuses("standard", wrong, body, now=datetime.fromtimestamp(stamp, UTC))


@each_platform
def test_either_of_two_secrets_will_do(platform: str) -> None:
    both = [OTHERS[platform], SECRETS[platform]]
    verify(platform, signed(platform), secrets=both)
    verify(platform, signed(platform, secret=OTHERS[platform]), secrets=both)


@each_platform
def test_a_removed_secret_is_refused(platform: str) -> None:
    refuses(platform, signed(platform), secrets=[OTHERS[platform]])


@each_platform
@pytest.mark.parametrize("secrets", [[], [""], [" \n"]])
def test_no_secret_refuses_everybody(platform: str, secrets: list[str]) -> None:
    refuses(platform, signed(platform), secrets=secrets)


@pytest.mark.parametrize("platform", ["slack", "discourse"])
def test_a_blank_secret_lets_nobody_sign(platform: str) -> None:
    forged = sign(platform, {}, BODY, secret="", now=NOW)
    refuses(platform, forged, secrets=[""])


@each_platform
def test_a_pasted_secret_may_end_in_a_newline(platform: str) -> None:
    verify(platform, signed(platform), secrets=[SECRETS[platform] + "\n"])


@each_timed_platform
@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_a_timestamp_within_five_minutes_is_fresh(platform: str, seconds: int) -> None:
    verify(platform, signed(platform, now=NOW + timedelta(seconds=seconds)))


@pytest.mark.shows(2)
@each_timed_platform
@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_timestamp_beyond_five_minutes_is_refused(platform: str, seconds: int) -> None:
    refuses(platform, signed(platform, now=NOW + timedelta(seconds=seconds)))


@each_platform
def test_every_header_of_the_proof_is_needed(platform: str) -> None:
    headers = signed(platform)
    for name in headers.keys() - {"content-type"}:
        refuses(platform, {other: value for other, value in headers.items() if other != name})
        refuses(platform, headers | {name: ""})


@each_platform
@settings(derandomize=True)
@given(junk=st.text(max_size=40))
def test_no_junk_in_a_header_does_more_than_refuse(platform: str, junk: str) -> None:
    headers = signed(platform)
    for name in headers.keys() - {"content-type"}:
        if headers[name] != junk:
            refuses(platform, headers | {name: junk})


@pytest.mark.parametrize("secret", ["whsec_", "whsec_not base64!", "whsec_QUJD", "whsec_" + "QUJD" * 22])
def test_a_standard_secret_of_wrong_length_is_none(secret: str) -> None:
    refuses("standard", signed("standard"), secrets=[secret])


def test_signatures_of_other_versions_are_passed_over() -> None:
    headers = signed("standard")
    verify("standard", headers | {"webhook-signature": f"v1a,AAAA {headers['webhook-signature']} v2,BBBB"})


@settings(derandomize=True)
@given(body=st.binary(max_size=200), message_id=st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True))
def test_the_reference_library_signs_what_we_accept(body: bytes, message_id: str) -> None:
    text = body.decode("latin-1")
    signature = Webhook(SECRETS["standard"]).sign(message_id, NOW, text)
    headers = {"webhook-id": message_id, "webhook-timestamp": str(int(NOW.timestamp())), "webhook-signature": signature}
    verify("standard", headers, text.encode())
