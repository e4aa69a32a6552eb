"""What becomes of our mails at the invented community: some are read and their links used, some bounce, one is minded.

MiniStack tells nothing of a mail after it was sent, so what SES would tell is brought to the deployed function: the
golden files of events/, about this very mail.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from email.utils import parseaddr
from typing import Any

from infra import ROOT
from infra.local.people import Person
from infra.local.stack import LocalStack
from shared.errors import FlywheelError
from shared.model import Identity, SendId, member_id_of, stamp
from shared.store import Store

GOLDEN = ROOT / "events" / "ses"

EVERY = "*"
"""Every step of every programme."""

REACTIONS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "bounces": {"digest": ("bounce_permanent", "send", "bounce_permanent")},
    "complains": {"digest": ("send", "delivery", "complaint", "complaint")},
    "mailbox is full": {EVERY: ("send", "bounce_transient")},
    "comes back when asked": {"attempt1": ("delivery", "send")},
    "comes back at the second asking": {"attempt1": ("send", "delivery"), "attempt2": ("send", "delivery")},
}
"""By a person's quirk and the step of a mail to them, what SES tells of it: at times twice, or in the wrong order."""


class Mailboxes:
    """The mailboxes of those who do something about what they get, and of those whose mailbox does.

    `refused` are the addresses that said that they want no more, and how many mails they had got by then; `answered`
    counts answers to the survey; `unexpected` is what our pages should not have answered.
    """

    def __init__(self, stack: LocalStack, store: Store, people: Iterable[Person]) -> None:
        self.stack = stack
        self.store = store
        self.refused: dict[str, int] = {}
        self.answered = 0
        self.unexpected: list[str] = []
        self._owners = {_member_id(person): person for person in people if _reads(person) or person.quirk in REACTIONS}
        self._looked_at = 0

    def look(self, members: Collection[str], now: datetime) -> bool:
        """Let mails that have just come to any of these members have their effect; whether there was anyone to look."""
        if not self._owners.keys() & members:
            return False
        inbox = self.stack.inbox()
        owners = {person.email: person for person in self._owners.values()}
        for number, message in enumerate(inbox[self._looked_at :], self._looked_at):
            if person := owners.get(address_of(message)):
                got = sum(address_of(earlier) == person.email for earlier in inbox[: number + 1])
                self._react_to(message, person, got, now)
        self._looked_at = len(inbox)
        self.stack.quiet()
        return True

    def _react_to(self, message: Mapping[str, Any], person: Person, got: int, now: datetime) -> None:
        if person.quirk in REACTIONS:
            self._feed_back(message, person, got, now)
        elif person.quirk == "unsubscribes" and got == 1:
            self._unsubscribe(message, got)
        elif "/l/s/" in message["BodyText"]:
            self._answer(message["BodyText"], person)

    def _feed_back(self, message: Mapping[str, Any], person: Person, got: int, now: datetime) -> None:
        """Tell of a mail what SES would tell."""
        sends = self.store.ledger(_member_id(person)).sends
        (send_id,) = (SendId.parse(send.send_id) for send in sends if send.message_id == message["MessageId"])
        theirs = REACTIONS[person.quirk]
        for golden in theirs.get(send_id.step, theirs.get(EVERY, ())):
            self.stack.feed_back(_told(golden, send_id, message=message, now=now))
            if golden == "complaint":
                self.refused[address_of(message)] = got

    def _unsubscribe(self, message: Mapping[str, Any], got: int) -> None:
        """As a mail client does for its user: RFC 8058, one POST, no page."""
        link = _link(message["BodyText"], "/l/u/")
        answer = self.stack.http("POST", link, data={"List-Unsubscribe": "One-Click"})
        self.refused[address_of(message)] = got
        if answer.status_code != 200:
            self.unexpected.append(f"unsubscribe: {answer.status_code}")

    def _answer(self, text: str, person: Person) -> None:
        path = _link(text, "/l/s/")
        answer = {"score": str(10 - person.number % 5), "comment": "More evenings like the last one, please."}
        statuses = [
            self.stack.http("GET", f"{path}?score={answer['score']}").status_code,
            self.stack.http("POST", path, data=answer).status_code,
        ]
        self.answered += 1
        if statuses != [200, 200]:
            self.unexpected.append(f"survey: {statuses}")


def address_of(message: Mapping[str, Any]) -> str:
    """Whom a mail of the inbox is to."""
    return parseaddr(message["To"][0])[1]


def _reads(person: Person) -> bool:
    """Whether a person uses the links in their mails: to unsubscribe, or to answer the survey."""
    return person.quirk in {"unsubscribes", "answers the survey"} or (not person.quirk and person.number % 8 == 1)


def _member_id(person: Person) -> str:
    return member_id_of(Identity(person.platform, person.external_id))


def _link(text: str, path: str) -> str:
    found = re.search(rf"https?://[^/\s]+({re.escape(path)}[^\s?>)]+)", text)
    if found is None:
        raise FlywheelError(f"a mail holds no link to {path}")
    return found[1]


def _told(golden: str, send_id: SendId, *, message: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The EventBridge event that SES would send of this mail, as of now."""
    text = (GOLDEN / f"{golden}.json").read_text(encoding="utf-8")
    sample = json.loads(text)["detail"]["mail"]
    for old, new in (
        (sample["tags"]["send"][0], send_id.tag),
        (sample["messageId"], message["MessageId"]),
        (sample["destination"][0], address_of(message)),
    ):
        text = text.replace(json.dumps(old), json.dumps(new))
    event: dict[str, Any] = json.loads(text)
    event["time"] = event["detail"]["mail"]["timestamp"] = stamp(now)
    about = event["detail"].get(event["detail"]["eventType"].lower())
    if about:
        about["timestamp"] = stamp(now)
    return event
