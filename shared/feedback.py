"""What SES tells of a mail afterwards: in any order, twice, early or late; what is unknown changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from shared.addresses import address_hash
from shared.app import App
from shared.events import Frozen, Utc
from shared.members import ALL_MARKETING, decide, suppress
from shared.model import Consent, Member, SendId, Suppression

Kind = Literal[
    "send",
    "delivery",
    "bounce",
    "complaint",
    "reject",
    "open",
    "click",
    "rendering_failure",
    "delivery_delay",
    "subscription",
]

_KINDS: dict[str, Kind] = {
    "Send": "send",
    "Delivery": "delivery",
    "Bounce": "bounce",
    "Complaint": "complaint",
    "Reject": "reject",
    "Open": "open",
    "Click": "click",
    "Rendering Failure": "rendering_failure",
    "DeliveryDelay": "delivery_delay",
    "Subscription": "subscription",
}
_DETAIL_KEYS: dict[Kind, str] = {"rendering_failure": "failure", "delivery_delay": "deliveryDelay"}


class Feedback(Frozen):
    """One SES event about one of our sends; `permanent` is a bounce that will bounce for ever; `address` is a hash."""

    kind: Kind
    send_id: SendId
    message_id: str
    at: Utc
    address: str
    permanent: bool = False


def read(event: Mapping[str, Any]) -> Feedback | None:
    """An EventBridge event from SES as feedback; None when it is not about a send of ours, or not what SES sends."""
    try:
        detail = event["detail"]
        kind = _KINDS[detail["eventType"]]
        about = detail.get(_DETAIL_KEYS.get(kind, kind)) or {}
        return Feedback(
            kind=kind,
            send_id=SendId.parse(detail["mail"]["tags"]["send"][0]),
            message_id=detail["mail"]["messageId"],
            at=about.get("timestamp") or detail["mail"]["timestamp"],
            address=address_hash(detail["mail"]["destination"][0]),
            permanent=about.get("bounceType") == "Permanent",
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        return None


def note(feedback: Feedback, app: App) -> bool:
    """Record feedback on the ledger and the member; False when the send is not in the ledger."""
    if not app.store.note_feedback(feedback.send_id, feedback.kind, feedback.at):
        return False
    if feedback.kind == "send":
        app.store.note_sent(feedback.send_id, feedback.message_id, feedback.at)
    elif feedback.kind == "bounce" and feedback.permanent:
        suppression = Suppression(reason="bounce", at=feedback.at, by=feedback.send_id.tag)
        _change(feedback, lambda member: suppress(member, feedback.address, suppression), app)
    elif feedback.kind == "complaint":
        refusal = Consent(given=False, at=feedback.at, by=feedback.send_id.tag)
        _change(feedback, lambda member: decide(member, ALL_MARKETING, refusal), app)
    return True


def _change(feedback: Feedback, fold: Callable[[Member], Member], app: App) -> None:
    """Change whoever the mail's member is now: it may have been sent before two members proved to be one person."""
    member = app.store.survivor(feedback.send_id.member_id)
    if member is not None:
        app.store.change_member(member.id, fold, known=member)
