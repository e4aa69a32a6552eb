"""What must hold once a loaded stack has come to rest; each fault in a sentence, by its kind.

Knows what was sent and what stands; shares no code with what put it there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from infra.local.mailboxes import address_of
from infra.local.summary import Outcome
from shared.events import ACTIVITY
from shared.ledger import IN_DOUBT
from shared.model import Due, Member, Send, SendId, SendStatus
from tests.load.crowd import Told, told_by
from tests.load.running import Run

SETTLED = {SendStatus.SENT, SendStatus.SKIPPED, SendStatus.PARKED}

FIRSTS: Mapping[str, Callable[[Member], datetime | None]] = {
    "member.joined": lambda member: member.joined_at,
    "post.created": lambda member: member.first_post_at,
    "comment.created": lambda member: member.first_comment_at,
}
"""What a member remembers the first of, by the type of event."""


@dataclass(frozen=True, kw_only=True)
class Stands:
    """What stands in the deployed stack."""

    found: Outcome
    agenda: Sequence[Due]
    letters: int

    @property
    def members(self) -> Mapping[str, Member]:
        """Who is behind each identity."""
        return {identity: self.found.who(one.id) for one in self.found.members.values() for identity in one.identities}

    @property
    def mails(self) -> list[Send]:
        """The ledger, without what went to managers."""
        return [send for send in self.found.sends if not send.member_id.startswith("manager_")]


def verdicts(run: Run, stands: Stands) -> dict[str, list[str]]:
    """Every fault by its kind; a kind without any is there too."""
    told = run.tally
    return {
        "answered_wrongly": told.wrong,
        "never_accepted": sorted(map(str, told.given_up.elements())),
        "not_at_rest": run.unrest,
        "lost_events": sorted(map(str, (told.accepted - _logged(stands)).elements())),
        "invented_events": sorted(map(str, (_logged(stands) - told.accepted - told.given_up).elements())),
        "not_reacted_to": list(_not_reacted_to(stands)),
        "no_timer": list(_no_timer(told.accepted, stands)),
        "overdue": [f"{due.programme} {due.key} since {due.due_at}" for due in stands.agenda if due.due_at <= run.end],
        "open_sends": [f"{send.send_id}: {send.status}" for send in stands.mails if _is_open(send, stands, run.end)],
        "unplanned_mails": list(_unplanned(told.accepted, stands)),
        "marketing_twice": list(_twice(stands)),
        "sent_but_not_there": _sent_but_not_there(stands),
        "there_but_not_sent": list(_there_but_not_sent(stands)),
        "parked_without_a_death": _parked_without_a_death(run, stands),
        "dead_letters": [f"{stands.letters} letters stayed"] if stands.letters else _deaths_of_messages(run),
    }


def _logged(stands: Stands) -> Counter[Told]:
    return Counter(map(told_by, stands.found.events))


def _not_reacted_to(stands: Stands) -> Iterator[str]:
    """Events whose actor is no member, or of whom their member does not know what they tell."""
    members = stands.members
    for event in stands.found.events:
        member = members.get(f"{event.platform}:{event.actor}")
        if member is None:
            yield f"{told_by(event)}: nobody is known as this"
        elif event.type in ACTIVITY and event.occurred_at.date().isoformat() not in member.active_days:
            yield f"{told_by(event)}: not a day on which they were active"
        elif event.type in FIRSTS and not _is_known(FIRSTS[event.type](member), event.occurred_at):
            yield f"{told_by(event)}: the first they know of is {FIRSTS[event.type](member)}"


def _is_known(first: datetime | None, at: datetime) -> bool:
    return first is not None and first <= at


def _no_timer(accepted: Iterable[Told], stands: Stands) -> Iterator[str]:
    """Members whom nobody would miss, and joiners who are not in their onboarding."""
    waiting = {(due.programme, due.member_id) for due in stands.agenda}
    members = stands.members
    for told in accepted:
        member = members.get(f"{told.platform}:{told.actor}")
        programmes = ("onboarding", "reengagement") if told.type == "member.joined" else ()
        if member is not None:
            yield from (f"{told}: no {one}" for one in programmes if (one, member.id) not in waiting)


def _is_open(send: Send, stands: Stands, end: datetime) -> bool:
    """Whether a send is neither settled nor waits for a moment at which the agenda will bring it up."""
    if send.status is not SendStatus.DEFERRED:
        return send.status not in SETTLED
    return not any(due.programme == "mail" and due.key == send.send_id and due.due_at > end for due in stands.agenda)


def _unplanned(accepted: Iterable[Told], stands: Stands) -> Iterator[str]:
    """Joiners to whom the ledger has no line of a step that has been due."""
    has = {(send.member_id, SendId.parse(send.send_id).step) for send in stands.mails}
    members = stands.members
    for told in accepted:
        member = members.get(f"{told.platform}:{told.actor}")
        if member is not None and told.type == "member.joined":
            yield from (f"{told}: no {step}" for step in ("welcome", "check_in") if (member.id, step) not in has)


def _twice(stands: Stands) -> Iterator[str]:
    """Mail to members that SES took twice. All of it is marketing, and each step has a subject of its own."""
    members = {member.email for member in stands.members.values()}
    taken = Counter((address_of(one), one["Subject"]) for one in stands.found.inbox if address_of(one) in members)
    yield from (f"{count} times to {address}: {subject}" for (address, subject), count in taken.items() if count > 1)


def _sent_but_not_there(stands: Stands) -> list[str]:
    there = {message["MessageId"] for message in stands.found.inbox}
    return [send.send_id for send in _sent(stands) if send.message_id not in there]


def _there_but_not_sent(stands: Stands) -> Iterator[str]:
    """Mails that SES took though the ledger knows of none to that address that may be out and is in doubt."""
    sent = {send.message_id for send in _sent(stands)}
    doubtful = Counter(stands.found.who(send.member_id).email or "" for send in parked(stands))
    unknown = Counter(address_of(one) for one in stands.found.inbox if one["MessageId"] not in sent)
    yield from (f"{count} to {address}" for address, count in (unknown - doubtful).items())


def _sent(stands: Stands) -> list[Send]:
    return [send for send in stands.found.sends if send.status is SendStatus.SENT]


def parked(stands: Stands) -> list[Send]:
    """Sends of which nobody knows whether they went, because their worker died with them."""
    return [send for send in stands.mails if send.status is SendStatus.PARKED and send.reason == IN_DOUBT]


def _parked_without_a_death(run: Run, stands: Stands) -> list[str]:
    """A worker holds one send at a time, so no more can be in doubt than batches died."""
    doubtful = parked(stands)
    others = [send for send in stands.mails if send.status is SendStatus.PARKED and send.reason != IN_DOUBT]
    beyond = doubtful[run.died["mailer"] :] if len(doubtful) > run.died["mailer"] else []
    return [f"{send.send_id}: {send.reason}" for send in (*beyond, *others)]


def _deaths_of_messages(run: Run) -> list[str]:
    """A message dies when its workers did ten times running, which is no chance; a tick, when three did."""
    return [f"{count} in {queue}" for queue, count in run.redriven.items() if queue != "DeadSchedules"]
