"""One planned mail through the ledger to SES: claim, look, render, hand over, settle.

A mail can go twice only if SES accepts it, its reply is lost, and its Send event does not come in time, and only a mail
of the service class. The claim's token fences off a worker that comes back after its lease.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from shared import reported
from shared.app import App
from shared.breaker import BREAKER_MEMBER, PAUSED_BY_SES
from shared.errors import Unavailable
from shared.highlights import highlights_of
from shared.ledger import (
    IN_DOUBT,
    LEASE,
    SEND_EVENT_WINDOW,
    Facts,
    after_the_window,
    held_until,
    retry_at,
    why_not_send,
)
from shared.mail import Composed, Gathered, Links, bonus_ends, compose
from shared.members import zone_of
from shared.model import Did, Due, Edition, Identity, Member, Pause, PlannedMail, Send, SendId, SendStatus
from shared.pausing import ask_to_look, look
from shared.programmes.reengagement import last_seen
from shared.recipients import MANAGER, manager_of
from shared.store.keys import AGENDA_SHARDS

AGENDA = "mail"
"""The agenda of deferred and doubtful sends."""

NOBODY = "unknown_member"
"""Why a mail is not sent whose reader is in neither the table nor the playbook."""

PAGE = 25
"""Items a query."""


@dataclass
class Claim:
    """A send that this worker holds; `settled` once the ledger says what became of it."""

    send: Send
    settled: bool = False


def send_planned(planned: PlannedMail, app: App, now: datetime, *, pause: Pause | None = None) -> Send:
    """Send one planned mail, or record why not; the ledger's line after it. `pause` is the breaker's newest.

    Raises Unavailable when another worker holds it: the queue brings it back.
    """
    claimed = _claimed_by(planned, app, now)
    taken = app.store.claim(claimed)
    if taken is not None:
        return _already(taken, planned, app, now)
    with _released_unless_settled(Claim(claimed), app, now) as claim:
        facts = _gather(claimed, pause, app)
        why_not = why_not_send(facts, planned, playbook=app.playbook, now=now)
        if why_not is not None and why_not.until is not None:
            return _defer(claim, planned, app, now, why_not.until, why_not.reason)
        if why_not is not None or facts.member is None:
            if facts.member is None and not claimed.member_id.startswith(MANAGER):
                return _withdraw(claim, app, now)
            return _skip(claim, planned, app, now, why_not.reason if why_not else NOBODY)
        member = facts.member
        mail = _compose(planned, member, app, now)
        app.pace.wait()
        return _hand_over(claim, planned, mail, app, now)


class NotAllFollowedUp(ExceptionGroup[Exception]):
    """Why some sends could not be followed up; `verdicts` is how many of the others came out how."""

    verdicts: Counter[str]


def follow_up_all(app: App, now: datetime) -> Counter[str]:
    """Look again at every deferred or doubtful send that is due; how many came out how.

    One that fails does not hold up the others: NotAllFollowedUp has all errors, at the end.
    """
    verdicts: Counter[str] = Counter()
    failed: list[Exception] = []
    for shard in range(AGENDA_SHARDS):
        for _, items in app.store.due(AGENDA, shard, now, PAGE):
            again: dict[str, tuple[Due, PlannedMail]] = {}
            for due in items:
                try:
                    verdict = follow_up(due, app, now)
                except Exception as exc:  # noqa: BLE001 - raised with all the others once the rest is done
                    failed.append(exc)
                    continue
                verdicts[verdict if isinstance(verdict, str) else "again"] += 1
                if isinstance(verdict, PlannedMail):
                    again[verdict.send_id] = due, verdict
            failed += _requeue(again, app)
    if failed:
        error = NotAllFollowedUp(f"{len(failed)} sends could not be followed up", failed)
        error.verdicts = verdicts
        raise error
    return verdicts


def _requeue(again: Mapping[str, tuple[Due, PlannedMail]], app: App) -> list[Exception]:
    """Put a page of mails back into the queue, and only then take them off the agenda; what could not be put."""
    if not again:
        return []
    try:
        refused = app.queue.put([planned for _, planned in again.values()])
        for send_id in again.keys() - refused:
            app.store.done(again[send_id][0])
    except Unavailable as exc:
        return [exc]
    return [Unavailable("the mail queue refused a mail") for _ in refused]


def follow_up(due: Due, app: App, now: datetime) -> str | PlannedMail:
    """Look again at a deferred or doubtful send; what was done, as `after_the_window` names it, or the mail to put
    back into the queue.

    Or look at the figures of the breaker, when it is that that is due.
    """
    if due.member_id == BREAKER_MEMBER:
        return look(due, app, now)
    planned = PlannedMail.model_validate(due.state)
    send = app.store.send(SendId.parse(planned.send_id))
    mail = app.playbook.mails.get(planned.mail)
    verdict = after_the_window(send, mail.class_ if mail else "marketing", now)
    if send is not None and verdict == "held":
        app.store.advance(due, due.model_copy(update={"due_at": held_until(send)}))
        return verdict
    if send is not None and verdict == "again":
        if send.status is not SendStatus.DEFERRED:
            app.store.settle(send, SendStatus.DEFERRED, now, reason=IN_DOUBT)
        return planned
    if send is not None and verdict == "park":
        app.store.settle(send, SendStatus.PARKED, now, reason=IN_DOUBT)
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


def _gather(claimed: Send, pause: Pause | None, app: App) -> Facts:
    """What is known of a mail's member, or of the manager it is for, as of now.

    A service mail to who proved to be another member since goes to that one; of marketing the other has their own.
    """
    member, dues, sends = app.store.ledger(claimed.member_id)
    member = member or manager_of(claimed.member_id, app.playbook)
    if member is not None and member.merged_into and app.playbook.mails[claimed.mail].class_ == "service":
        member = app.store.survivor(member.merged_into) or member
    for absorbed in sorted(member.absorbed) if member else ():
        sends += app.store.ledger(absorbed).sends
    return Facts(member=member, dues=dues, sends=sends, pause=pause)


def _compose(planned: PlannedMail, member: Member, app: App, now: datetime) -> Composed:
    report = _report(planned)
    return compose(
        app.mails,
        mail=planned.mail,
        # A report goes in the language that it was made in, though its reader may have another one by now.
        member=member.model_copy(update={"locale": report.locale}) if report else member,
        playbook=app.playbook,
        links=_links(planned, member, app, now),
        gathered=reported.gathered(report, app) if report else _gathered(planned, member, app, now),
        now=now,
    )


def _report(planned: PlannedMail) -> Edition | None:
    """The report that a mail is, if it is one."""
    is_report = SendId.parse(planned.send_id).programme == reported.PROGRAMME
    return reported.edition_of(planned.figures) if is_report else None


def _gathered(planned: PlannedMail, member: Member, app: App, now: datetime) -> Gathered:
    rules = app.playbook.mails[planned.mail]
    did = what_they_did(member, now - rules.recognises, app) if rules.recognises else Did()
    seen = last_seen(member)
    news = highlights_of(app.store.published(seen, now), app.playbook, seen, now) if rules.highlights else ()
    return Gathered(did=did, news=news, figures=planned.figures, leave_out=planned.leave_out)


def _links(planned: PlannedMail, member: Member, app: App, now: datetime) -> Links:
    sign, base, report = app.signer.sign, f"{app.settings.links_url}/l", _report(planned)
    bonus = app.playbook.mails[planned.mail].bonus
    ends = bonus_ends(app.playbook.bonuses[bonus], zone_of(member, app.playbook), now) if bonus else now
    return Links(
        unsubscribe=f"{base}/u/{sign('unsubscribe', member.id)}",
        preferences=f"{base}/p/{sign('preferences', member.id)}",
        survey=f"{base}/s/{sign('survey', member.id, SendId.parse(planned.send_id).occurrence)}",
        bonus=f"{base}/b/{sign('bonus', member.id, bonus, ends.isoformat())}" if bonus else "",
        referral=_referral_link(member, app) if planned.figures else "",
        report=reported.page_link(report, app, now) if report else "",
    )


def _referral_link(member: Member, app: App) -> str:
    """The member's own link to share; managers have none."""
    return "" if member.id.startswith(MANAGER) else f"{app.settings.links_url}/l/r/{app.signer.code(member.id)}"


def _hand_over(claim: Claim, planned: PlannedMail, mail: Composed, app: App, now: datetime) -> Send:
    claim.settled = True  # from here on only the outcome may say that the mail was not sent
    outcome = app.ses.send(mail, SendId.parse(planned.send_id))
    match outcome.kind:
        case "accepted":
            told = {"subject": mail.subject, "locale": mail.locale, "variant": mail.variant}
            waited_for = planned.waited_for
            return _settle(claim, app, now, SendStatus.SENT, message_id=outcome.detail, waited_for=waited_for, **told)
        case "refused":
            return _settle(claim, app, now, SendStatus.PARKED, reason=outcome.detail)
        case "not_sent":
            if outcome.detail in PAUSED_BY_SES:
                ask_to_look(app, now, PAUSED_BY_SES[outcome.detail])
            return _defer(claim, planned, app, now, retry_at(planned, now), outcome.detail)
        case "in_doubt":
            return _doubt(claim, planned, app, now, outcome.detail)


def _skip(claim: Claim, planned: PlannedMail, app: App, now: datetime, reason: str) -> Send:
    return _settle(claim, app, now, SendStatus.SKIPPED, reason=reason, waited_for=planned.waited_for)


def _withdraw(claim: Claim, app: App, now: datetime) -> Send:
    """Give up a mail to somebody who was erased while it was on its way: no line of theirs is to count any more."""
    app.store.withdraw(claim.send, now, reason=NOBODY)
    claim.settled = True
    return claim.send.model_copy(update={"status": SendStatus.SKIPPED, "at": now, "reason": NOBODY})


def _defer(claim: Claim, planned: PlannedMail, app: App, now: datetime, until: datetime, reason: str) -> Send:
    """Put it on the agenda first, then release: a crash in between is found by the agenda."""
    _look_again(planned.model_copy(update={"waited_for": reason}), app, until)
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
    app.store.settle(claim.send, status, now, **changes)
    claim.settled = True
    return claim.send.model_copy(update={"status": status, "at": now, **changes})
