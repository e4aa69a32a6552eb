"""One planned mail through the ledger to SES: claim, look, render, hand over, settle.

A mail can go twice only if SES accepts it, its reply is lost, and its Send event never arrives, and only for the
service class. The claim's token fences off a worker that comes back after its lease.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from shared.app import App
from shared.errors import Unavailable
from shared.ledger import IN_DOUBT, LEASE, SEND_EVENT_WINDOW, after_the_window, held_until, retry_at, why_not_send
from shared.mail import Composed, Links, compose
from shared.model import Did, Due, Identity, Member, PlannedMail, Send, SendId, SendStatus
from shared.store.keys import AGENDA_SHARDS

AGENDA = "mail"
"""The agenda of deferred and doubtful sends."""

PAGE = 25
"""Items a query."""


@dataclass
class Claim:
    """A send that this worker holds; `settled` once the ledger says what became of it."""

    send: Send
    settled: bool = False


def send_planned(planned: PlannedMail, app: App, now: datetime) -> Send:
    """Send one planned mail, or record why not; the ledger's line after it.

    Raises Unavailable when another worker holds it: the queue brings it back.
    """
    claimed = _claimed_by(planned, app, now)
    taken = app.store.claim(claimed)
    if taken is not None:
        return _already(taken, planned, app, now)
    with _released_unless_settled(Claim(claimed), app, now) as claim:
        member, _, sends = app.store.ledger(claimed.member_id)
        for absorbed in sorted(member.absorbed) if member else ():
            sends += app.store.ledger(absorbed).sends
        why_not = why_not_send(member, sends, planned, app.playbook, now)
        if why_not is not None and why_not.until is not None:
            return _defer(claim, planned, app, now, why_not.until, why_not.reason)
        if why_not is not None or member is None:
            return _settle(claim, app, now, SendStatus.SKIPPED, reason=why_not.reason if why_not else "unknown_member")
        mail = _compose(planned, member, app, now)
        app.pace.wait()
        return _hand_over(claim, planned, mail, app, now)


def follow_up_all(app: App, now: datetime) -> Counter[str]:
    """Look again at every deferred or doubtful send that is due; how many came out how.

    One that fails does not hold up the others: all errors are raised together at the end.
    """
    verdicts: Counter[str] = Counter()
    failed: list[Exception] = []
    for shard in range(AGENDA_SHARDS):
        for _, items in app.store.due(AGENDA, shard, now, PAGE):
            for due in items:
                try:
                    verdicts[follow_up(due, app, now)] += 1
                except Exception as exc:  # noqa: BLE001 - raised with all the others once the rest is done
                    failed.append(exc)
    if failed:
        raise ExceptionGroup(f"{len(failed)} sends could not be followed up", failed)
    return verdicts


def follow_up(due: Due, app: App, now: datetime) -> str:
    """Look again at a deferred or doubtful send; what was done, as `after_the_window` names it."""
    planned = PlannedMail.model_validate(due.state)
    send = app.store.send(SendId.parse(planned.send_id))
    mail = app.playbook.mails.get(planned.mail)
    verdict = after_the_window(send, mail.class_ if mail else "marketing", now)
    if send is not None and verdict == "held":
        app.store.advance(due, due.model_copy(update={"due_at": held_until(send)}))
        return verdict
    if send is not None and verdict == "park":
        app.store.settle(send, SendStatus.PARKED, now, reason=IN_DOUBT)
    if send is not None and verdict == "again":
        app.store.settle(send, SendStatus.DEFERRED, now, reason=send.reason or IN_DOUBT)
        if app.queue.put([planned]):
            raise Unavailable("the mail queue refused a mail")
    app.store.done(due)
    return verdict


def what_they_did(member: Member, since: datetime, app: App) -> Did:
    """What a member did since a moment, counted from the log of the days on which they were active."""
    kinds: Counter[str] = Counter()
    days = sorted(day for day in member.active_days if day >= since.date().isoformat())
    for day in days:
        for identity in sorted(member.identities):
            events = app.store.logged(Identity(*identity.split(":", 1)), datetime.fromisoformat(day).date())
            kinds.update(event.type for event in events if event.occurred_at >= since)
    return Did(
        active_days=len(days),
        posts=kinds["post.created"],
        comments=kinds["comment.created"],
        reactions=kinds["reaction.added"],
        answers=kinds["answer.accepted"],
    )


def _claimed_by(planned: PlannedMail, app: App, now: datetime) -> Send:
    return Send(
        send_id=planned.send_id,
        member_id=SendId.parse(planned.send_id).member_id,
        mail=planned.mail,
        status=SendStatus.CLAIMED,
        at=now,
        planned_at=planned.planned_at,
        token=app.token(),
        lease_until=now + LEASE,
    )


def _already(taken: Send, planned: PlannedMail, app: App, now: datetime) -> Send:
    """Somebody claimed this send before us: settled, in doubt, or still in their hands."""
    if taken.status is not SendStatus.CLAIMED:
        return taken
    if taken.lease_until is not None and taken.lease_until > now:
        raise Unavailable("another worker holds this send")
    # Its worker died with the mail in its hands: nobody knows whether SES has it.
    return _doubt(Claim(taken), planned, app, now, "worker_lost")


@contextmanager
def _released_unless_settled(claim: Claim, app: App, now: datetime) -> Iterator[Claim]:
    """Give a claim back when we fail before the mail left our hands, so that the queue's retry can take it."""
    try:
        yield claim
    finally:
        if not claim.settled:
            app.store.settle(claim.send, SendStatus.DEFERRED, now, reason="error")


def _compose(planned: PlannedMail, member: Member, app: App, now: datetime) -> Composed:
    rules = app.playbook.mails[planned.mail]
    base, signer = app.settings.links_url, app.signer
    links = Links(
        unsubscribe=f"{base}/l/u/{signer.sign('unsubscribe', member.id)}",
        survey=f"{base}/l/s/{signer.sign('survey', member.id, SendId.parse(planned.send_id).occurrence)}",
    )
    did = what_they_did(member, now - rules.recognises, app) if rules.recognises else Did()
    return compose(
        app.mails,
        mail=planned.mail,
        member=member,
        playbook=app.playbook,
        links=links,
        did=did,
        leave_out=planned.leave_out,
        now=now,
    )


def _hand_over(claim: Claim, planned: PlannedMail, mail: Composed, app: App, now: datetime) -> Send:
    claim.settled = True  # from here on only the outcome may say that the mail was not sent
    outcome = app.ses.send(mail, SendId.parse(planned.send_id))
    match outcome.kind:
        case "accepted":
            return _settle(
                claim, app, now, SendStatus.SENT, message_id=outcome.detail, subject=mail.subject, locale=mail.locale
            )
        case "refused":
            return _settle(claim, app, now, SendStatus.PARKED, reason=outcome.detail)
        case "not_sent":
            return _defer(claim, planned, app, now, retry_at(planned, now), outcome.detail)
        case "in_doubt":
            return _doubt(claim, planned, app, now, outcome.detail)


def _defer(claim: Claim, planned: PlannedMail, app: App, now: datetime, until: datetime, reason: str) -> Send:
    """Put it on the agenda first, then release: a crash in between is found by the agenda."""
    _look_again(planned, app, until)
    return _settle(claim, app, now, SendStatus.DEFERRED, reason=reason, until=until)


def _doubt(claim: Claim, planned: PlannedMail, app: App, now: datetime, reason: str) -> Send:
    _look_again(planned, app, now + SEND_EVENT_WINDOW)
    return _settle(claim, app, now, SendStatus.UNKNOWN, reason=reason)


def _look_again(planned: PlannedMail, app: App, at: datetime) -> None:
    member_id = SendId.parse(planned.send_id).member_id
    state = planned.model_dump(mode="json")
    # Not `arm`: a follow-up may just be about to take off the item that brought this send here, which would lose it.
    app.store.rearm(Due(programme=AGENDA, member_id=member_id, key=planned.send_id, due_at=at, state=state))


def _settle(claim: Claim, app: App, now: datetime, status: SendStatus, **changes: str | datetime | None) -> Send:
    claim.settled = True
    app.store.settle(claim.send, status, now, **changes)
    return claim.send.model_copy(update={"status": status, "at": now, **changes})
