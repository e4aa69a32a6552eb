"""The page for who writes a receiver is held against the code: its example runs, its tables and numbers are right."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any, get_args

import pytest

from shared.events import Gift
from shared.fulfilment import DELAYS, signed
from tests.builders import ROOT

PAGE = (ROOT / "docs" / "rewards-webhook.md").read_text(encoding="utf-8")
KEY = "whsec_" + b64encode(b"the key that signs rewards now.").decode()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


class TestExample:
    @pytest.fixture
    def page(self) -> dict[str, Any]:
        """What the page's example defines, and `handed_over`, what it was told."""
        handed_over: list[tuple[str, Any]] = []
        page: dict[str, Any] = {"hand_over": lambda *told: handed_over.append(told), "handed_over": handed_over}
        exec(blocks("python")[0], page)  # noqa: S102 - our own page
        return page

    def test_it_takes_what_we_sign(self, page: dict[str, Any]) -> None:
        told = json.loads(blocks("json")[0])
        body = json.dumps(told).encode()
        headers = signed(told["data"]["id"], body, [KEY], datetime.now(UTC))
        assert page["receive"](headers, body, KEY) == 204
        assert page["handed_over"] == [("reward.granted", told["data"])]

    def test_it_refuses_what_somebody_changed(self, page: dict[str, Any]) -> None:
        headers = signed("m1-badge", b"{}", [KEY], datetime.now(UTC))
        assert page["receive"](headers, b'{"type": "reward.granted"}', KEY) == 401
        assert page["handed_over"] == []


def test_every_kind_of_gift_is_named() -> None:
    [row] = re.findall(r"\| `data\.gives` \| (.*) \|", PAGE)
    assert set(re.findall(r"`(\w+)`", row)) == set(get_args(Gift))


def test_every_field_of_the_example_has_a_row() -> None:
    told = json.loads(blocks("json")[0])
    fields = {"type", "timestamp", *(f"data.{name}" for name in told["data"])}
    assert set(re.findall(r"^\| `([\w.]+)` \|", PAGE, re.MULTILINE)) == fields | {"data.level", "data.reason"}


def test_the_delays_are_those_of_the_code() -> None:
    [told] = re.findall(r"follows in 5 seconds, 5 minutes, 30 minutes, ([\d, and]+) hours", PAGE)
    hours = [int(number) for number in re.findall(r"\d+", told)]
    assert [5, 300, 1800, *(hour * 3600 for hour in hours)] == [delay.total_seconds() for delay in DELAYS]
