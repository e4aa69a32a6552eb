"""The one place that turns a programme's actions into calls. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from shared.actions import Action, Advance, Arm, Done, Rest, SendMail, Skip, Try, Wake
from shared.app import App
from shared.errors import Unavailable
from shared.members import is_dormant, leave_in_peace
from shared.model import Attempt, Due, PlannedMail, Send, SendStatus
from shared.store import Store


def apply(decisions: Iterable[Sequence[Action]], app: App, now: datetime) -> None:
    """Carry out decisions, one a due item or event: their mails go to the queue FIRST, then the rest in order.

    A crash in between enqueues a mail twice, which its claim absorbs. A decision whose mail could not be enqueued is
    left wholly undone; Unavailable is raised for it after all others are carried out.
    """
    decisions = list(decisions)
    mails = [action for actions in decisions for action in actions if isinstance(action, SendMail)]
    refused = app.queue.put([_planned(mail) for mail in mails]) if mails else frozenset[str]()
    for actions in decisions:
        if any(isinstance(action, SendMail) and str(action.send_id) in refused for action in actions):
            continue
        for action in actions:
            _apply_one(action, app.store, now)
    if refused:
        raise Unavailable(f"the mail queue refused {len(refused)} of {len(mails)} mails")


def _apply_one(action: Action, store: Store, now: datetime) -> None:
    match action:
        case SendMail():
            pass  # enqueued before everything else
        case Skip():
            store.skip(_skipped(action, now))
        case Try():
            sent = action.send_id
            store.note_attempt(Attempt(send_id=str(sent), member_id=sent.member_id, group=action.group, at=action.at))
        case Rest():
            member = store.change_member(action.due.member_id, lambda member: leave_in_peace(member, action.at))
            if member is None or is_dormant(member):
                store.done(action.due)
        case Arm():
            _arm(_item(action), store)
        case Advance():
            store.advance(action.due, action.due.model_copy(update={"due_at": action.due_at, "state": action.state}))
        case Done():
            store.done(action.due)
        case Wake():
            store.wake(action.programme, action.member_id, action.key, action.at)


def _item(arm: Arm) -> Due:
    return Due(programme=arm.programme, member_id=arm.member_id, key=arm.key, due_at=arm.due_at, state=arm.state)


def _arm(due: Due, store: Store) -> bool:
    """Put an item there. Who has read one that is there does not know yet what for, and may just be taking it off."""
    return store.arm(due) or store.fence(due.programme, due.member_id, due.key) or store.arm(due)


def _planned(mail: SendMail) -> PlannedMail:
    return PlannedMail(
        send_id=str(mail.send_id), mail=mail.mail, planned_at=mail.planned_at, leave_out=list(mail.leave_out)
    )


def _skipped(skip: Skip, now: datetime) -> Send:
    return Send(
        send_id=str(skip.send_id),
        member_id=skip.send_id.member_id,
        mail=skip.mail,
        status=SendStatus.SKIPPED,
        at=now,
        planned_at=skip.planned_at,
        reason=skip.reason,
    )
