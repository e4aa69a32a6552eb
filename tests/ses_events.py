"""The golden events of SES about Ada's welcome mail, and what each is."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from shared import feedback
from shared.feedback import Feedback
from shared.model import SendId
from tests.builders import ROOT, a_member, at

FOLDER = ROOT / "events" / "ses"
WELCOME = SendId("onboarding", "welcome", a_member().id)
KINDS = {
    "send": "send",
    "delivery": "delivery",
    "delivery_delay": "delivery_delay",
    "bounce_permanent": "bounce",
    "bounce_of_named": "bounce",
    "bounce_suppressed": "bounce_suppressed",
    "bounce_suppressed_globally": "bounce_suppressed",
    "bounce_transient": "soft_bounce",
    "bounce_undetermined": "soft_bounce",
    "complaint": "complaint",
    "complaint_of_domain": "complaint",
    "complaint_suppressed": "complaint_suppressed",
    "complaint_not_spam": "not_spam",
    "reject": "reject",
    "rendering_failure": "rendering_failure",
    "open": "open",
    "open_by_machine": "open_by_machine",
    "open_by_proxy": "open_by_machine",
    "open_prefetched": "open_by_machine",
    "click": "click",
    "click_by_scanner": "click_by_scanner",
    "click_like_scanner": "click_like_scanner",
    "subscription": "subscription",
    "sns_delivery": "delivery",
}
NOT_OURS = [
    *("unknown_event", "no_tag", "foreign_tag", "no_mail", "plain_text", "other_source", "notification"),
    "sns_greeting",
]
OF_OTHERS = ["unknown_send", "bounce_of_manager"]
SENT_AT = at("2030-01-01T12:00:01.250Z")
"""When SES took the mail of the golden events."""
ACCEPTED = sorted({kind: name for name, kind in KINDS.items() if kind not in feedback.NOT_SENT}.values())
"""What SES tells only of mails that it has accepted: one event of each kind."""


@cache
def text(name: str) -> str:
    return (FOLDER / f"{name}.json").read_text(encoding="utf-8")


def event(name: str) -> dict[str, Any]:
    """The golden SES event of a file's name."""
    found: dict[str, Any] = json.loads(text(name))
    return found


def told(name: str) -> Feedback:
    """What a golden event tells."""
    [found] = feedback.read(event(name))
    return found
