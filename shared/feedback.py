"""What SES tells of a mail afterwards: in any order, twice, early or late; what is unknown changes nothing.

Who a mail was to is told by our own tag alone: the recipients that SES names in a complaint are everybody at a domain.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parseaddr
from typing import Annotated, Any, Literal

from pydantic import Field

from shared.addresses import address_hash
from shared.app import App
from shared.erasing import late_bounce
from shared.events import Frozen, Utc
from shared.machines import kind_of_click, kind_of_open
from shared.members import bounce_softly, decide, suppress
from shared.model import Consent, Member, SendId, SendStatus, SoftBounce, Suppression
from shared.pausing import ask_to_look
from shared.playbook import ALL_MARKETING

Kind = Literal[
    "send",
    "delivery",
    "delivery_delay",
    "bounce",
    "bounce_suppressed",
    "soft_bounce",
    "complaint",
    "complaint_suppressed",
    "not_spam",
    "reject",
    "rendering_failure",
    "open",
    "open_by_machine",
    "click",
    "click_like_scanner",
    "click_by_scanner",
    "subscription",
]

COUNTED = frozenset({"send", "bounce", "complaint"})
"""What the breaker counts: what SES counts itself, so nothing that it did not even try to send."""

BOUNCES = frozenset({"bounce", "bounce_suppressed"})
"""What tells that an address takes no mail for good."""

NOT_SENT = frozenset({"reject", "rendering_failure"})
"""What tells that SES sent nothing; whatever else it tells of a mail, it has accepted it."""

SUPPRESSION_LISTS = frozenset({"Suppressed", "OnAccountSuppressionList"})
"""Sub-types of what SES did not try to send, because of an earlier bounce or complaint, of ours or of anybody's."""

EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)

_TAG = re.compile(r"[A-Za-z0-9_]+(-[A-Za-z0-9_]+){3}")


def _bounce(about: Mapping[str, Any]) -> Kind:
    if about.get("bounceType") != "Permanent":
        return "soft_bounce"
    return "bounce_suppressed" if about.get("bounceSubType") in SUPPRESSION_LISTS else "bounce"


def _complaint(about: Mapping[str, Any]) -> Kind:
    """A complaint, or its opposite: somebody took the mail out of the spam folder."""
    if about.get("complaintFeedbackType") == "not-spam":
        return "not_spam"
    return "complaint_suppressed" if about.get("complaintSubType") in SUPPRESSION_LISTS else "complaint"


_READERS: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], Kind]]] = {
    "Send": ("send", lambda _: "send"),
    "Delivery": ("delivery", lambda _: "delivery"),
    "DeliveryDelay": ("deliveryDelay", lambda _: "delivery_delay"),
    "Bounce": ("bounce", _bounce),
    "Complaint": ("complaint", _complaint),
    "Reject": ("reject", lambda _: "reject"),
    "RenderingFailure": ("failure", lambda _: "rendering_failure"),
    "Open": ("open", kind_of_open),
    "Click": ("click", kind_of_click),
    "Subscription": ("subscription", lambda _: "subscription"),
}
"""Where each type of event says more, and of which kind that makes it; types are without their blanks."""


class Feedback(Frozen):
    """One SES event about one of our sends, which SES took at `sent_at`, by its own clock; `address` is a hash.

    `at` is when it happened, by the clock of whoever told SES, which may be any.
    """

    kind: Kind
    send_id: SendId
    message_id: str = Field(pattern=r"^[!-~]{1,200}$")
    at: Annotated[Utc, Field(ge=EARLIEST, lt=LATEST)]
    sent_at: Annotated[Utc, Field(ge=EARLIEST, lt=LATEST)]
    address: str


def read(event: Mapping[str, Any]) -> list[Feedback]:
    """What an event from EventBridge, or a batch from SNS, tells of sends of ours; nothing where it is not SES's.

    Never raises, whatever stands in the event.
    """
    return [found for detail in _details(event) if (found := _feedback(detail)) is not None]


def _details(event: Mapping[str, Any]) -> list[Any]:
    records = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(records, list):
        return [event.get("detail")] if isinstance(event, dict) else []
    return [_message(record) for record in records]


def _message(record: Any) -> Any:  # noqa: ANN401 - whatever stands in a record
    """What SNS wraps; None where that is plain text, as in its greeting after a topic was confirmed."""
    try:
        return json.loads(record["Sns"]["Message"])
    except (KeyError, IndexError, TypeError, ValueError, RecursionError):
        return None


def _feedback(detail: Any) -> Feedback | None:  # noqa: ANN401 - whatever stands in an event
    try:
        mail = detail["mail"]
        key, kind_of = _READERS[(detail.get("eventType") or detail["notificationType"]).replace(" ", "")]
        about = detail.get(key) or {}
        tag = mail["tags"]["send"][0]
        return Feedback(
            kind=kind_of(about),
            send_id=SendId.parse(tag if _TAG.fullmatch(tag) else ""),
            message_id=mail["messageId"],
            at=about.get("timestamp") or mail["timestamp"],
            sent_at=mail["timestamp"],
            address=address_hash(_bare(mail["destination"][0])),
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError):
        return None


def _bare(recipient: str) -> str:
    """The address of a recipient, who may stand there with their name: `Ada <ada@example.com>`."""
    _, address = parseaddr(recipient)
    return address if "@" in address else recipient


def note(feedback: Feedback, app: App, now: datetime) -> bool:
    """Record feedback on the ledger and the member; False when the send is not in the ledger, and nobody's it was.

    Every step may be done again, so what fails between two of them is mended when SES's event comes again.
    """
    line = app.store.note_feedback(feedback.send_id, feedback.kind, feedback.at)
    if line is None:
        return feedback.kind in BOUNCES and _remember(feedback, app)
    if feedback.kind not in NOT_SENT and line.status not in {SendStatus.SENT, SendStatus.SKIPPED}:
        app.store.note_sent(feedback.send_id, feedback.message_id, min(feedback.sent_at, now))
    if feedback.kind in _FOLDS:
        _change(feedback, app)
    if feedback.kind in COUNTED:
        _pulse(feedback, app, now)
    return True


def _remember(feedback: Feedback, app: App) -> bool:
    """Remember a bounce for good of an address whose owner was erased meanwhile; False where nobody was."""
    if not app.store.remember_bounce(feedback.address, late_bounce(feedback.at)):
        return False
    _change(feedback, app)  # they may be back, with the id that they had
    return True


def _pulse(feedback: Feedback, app: App, now: datetime) -> None:
    """Let the breaker count the feedback, once a send: by when the mail was sent, however late and often it is told."""
    app.store.note_pulse(feedback.kind, feedback.send_id, min(feedback.sent_at, now))
    if feedback.kind != "send":
        ask_to_look(app, now)


def _bounced(member: Member, feedback: Feedback) -> Member:
    suppression = Suppression(reason="bounce", at=feedback.at, by=feedback.send_id.tag)
    return suppress(member, feedback.address, suppression)


def _bounced_softly(member: Member, feedback: Feedback) -> Member:
    bounce = SoftBounce(address=feedback.address, at=feedback.at)
    return bounce_softly(member, feedback.send_id.tag, bounce)


def _complained(member: Member, feedback: Feedback) -> Member:
    return decide(member, ALL_MARKETING, Consent(given=False, at=feedback.at, by=feedback.send_id.tag))


_FOLDS: Mapping[str, Callable[[Member, Feedback], Member]] = {
    "bounce": _bounced,
    "bounce_suppressed": _bounced,
    "soft_bounce": _bounced_softly,
    "complaint": _complained,
    "complaint_suppressed": _complained,
}


def _change(feedback: Feedback, app: App) -> None:
    """Change whoever the mail's member is now: it may have been sent before two members proved to be one person.

    Mails to managers are of no member: then there is nothing to change.
    """
    member = app.store.survivor(feedback.send_id.member_id)
    if member is not None:
        app.store.change_member(member.id, lambda current: _FOLDS[feedback.kind](current, feedback), known=member)
