"""Who brought whom: what events tell of it becomes touches, and a referee's case is taken up.

A touch is a fact; which one counts is decided when the settling time is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from shared.app import App
from shared.errors import InvalidToken
from shared.events import CommunityEvent, MemberJoined, MemberUpdated, ReferralSignedUp
from shared.members import here_since, touch
from shared.model import Due, Identity, Member, Touch
from shared.programmes.referrals import KEY, NAME, takes_up, void_of
from shared.store import keys

CLOCKS_DIFFER = timedelta(minutes=5)
"""So much a platform's clock may be behind ours."""


def refer(events: Iterable[CommunityEvent], member: Member, app: App, now: datetime) -> None:
    """Record what events tell of who brought their actor, and what may undo it; every part may be done again."""
    events = list(events)
    touches = [told for event in events for told in touches_of(event, member, app)]
    for told in touches:
        app.store.note_touch(told)
    for void in filter(None, map(void_of, events)):
        app.store.note_void(member.id, void)
    if touches:
        earliest = min(told.at for told in touches)
        member = app.store.change_member(member.id, lambda current: touch(current, earliest), known=member) or member
        if app.store.referee([member.id, *sorted(member.absorbed)]).attribution is None:  # else it is final
            _take_up(member.id, min(told.told_at for told in touches) + app.playbook.referrals.settle_after, app, now)
    if any(takes_up(event, member, app.playbook) for event in events):
        _take_up(member.id, now, app, now)


def take_up_again(member: Member, app: App, now: datetime) -> None:
    """Look anew at a person's case, and at what they are owed as a referrer: they proved to be two members."""
    if member.touched_at is not None:
        _take_up(member.id, now, app, now)
    for referral in app.store.standing([member.id, *sorted(member.absorbed)]).referrals:
        if referral.status == "qualified":
            _take_up(referral.referee_id, now, app, now)
            return  # any one of them has all that is owed granted


def touches_of(event: CommunityEvent, referee: Member, app: App) -> list[Touch]:
    """Every touch that an event tells of its actor; a ref or code that we never gave out tells nothing."""
    if isinstance(event, ReferralSignedUp):
        return _signed_up(event, referee, app)
    found = []
    if isinstance(event, MemberJoined | MemberUpdated) and event.invited_by:
        lookup = keys.identity(Identity(event.platform, event.invited_by))
        referrer = app.store.owners([lookup]).get(lookup)
        # Whenever it is told, they took it when they came.
        came = min(event.occurred_at, here_since(referee))
        found += [_touch(event, referee, referrer, "invitation", at=came)] if referrer else []
    return [*found, *_left_on_join_page(event, referee, app)]


def _left_on_join_page(event: CommunityEvent, referee: Member, app: App) -> list[Touch]:
    """The invitations that an address took on our join page before its owner came; later, anybody might leave it."""
    vouched = isinstance(event, MemberJoined | MemberUpdated) and event.profile.email_verified and event.profile.email
    since = here_since(referee)
    if not vouched or app.playbook.referrals.join_url is not None or not _is_fresh(since, event, app):
        return []
    return [
        told.model_copy(update={"referee_id": referee.id, "told_at": event.received_at})
        for told in app.store.invited(vouched)
        if _is_fresh(told.at, event, app) and told.told_at <= since + CLOCKS_DIFFER
    ]


def _signed_up(event: ReferralSignedUp, referee: Member, app: App) -> list[Touch]:
    """The click that the sign-up hands back, else the code that was entered: who is nobody attributes nothing."""
    clicked = _click(event.ref, app) if event.ref else None
    if clicked and _is_fresh(clicked[1], event, app):
        ours = app.playbook.referrals.utm  # what the click led on with, where the sign-up hands nothing back
        told = _touch(event, referee, clicked[0], "link", at=clicked[1])
        return [told.model_copy(update={"utm": told.utm or ours})]
    owner = _owner(event.code, app) if event.code else None
    return [_touch(event, referee, owner, "code")] if owner else []


def _click(ref: str, app: App) -> tuple[str, datetime] | None:
    """Whose link was followed, and when; None for what we never gave out."""
    try:
        referrer, _, clicked_at = app.signer.read("referral", ref)
    except (InvalidToken, ValueError):
        return None
    return referrer, datetime.fromisoformat(clicked_at)


def _owner(code: str, app: App) -> str | None:
    """Whose code it is; None for what we never gave out."""
    try:
        return app.signer.member_of(code)
    except InvalidToken:
        return None


def _is_fresh(clicked_at: datetime, event: CommunityEvent, app: App) -> bool:
    return event.occurred_at - clicked_at <= app.playbook.referrals.first_touch_for


def _touch(
    event: CommunityEvent, referee: Member, referrer_id: str, source: str, *, at: datetime | None = None
) -> Touch:
    utm = event.utm if isinstance(event, ReferralSignedUp) else {}
    return Touch.model_validate(
        {
            "referee_id": referee.id,
            "referrer_id": referrer_id,
            "at": at or event.occurred_at,
            "told_at": event.received_at,
            "source": source,
            "utm": utm,
        }
    )


def _take_up(referee_id: str, at: datetime, app: App, now: datetime) -> None:
    """Put a case on the agenda for `at`; if it is there, have it looked at now, and whoever looks already look again.

    A look too early does no harm. One that began before what there is to see now must not close the case.
    """
    due = Due(programme=NAME, member_id=referee_id, key=KEY, due_at=at)
    if not app.store.arm(due):
        app.store.rearm(due.model_copy(update={"due_at": min(at, now)}))
