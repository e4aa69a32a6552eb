"""Who brought whom: what events tell of it becomes touches, and a referee's case is taken up.

A touch is a fact; which one counts is decided when the settling time is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from shared.app import App
from shared.errors import InvalidToken
from shared.events import CommunityEvent, MemberJoined, MemberUpdated, ReferralSignedUp
from shared.members import touch
from shared.model import Due, Identity, Member, Touch
from shared.programmes.referrals import KEY, NAME, takes_up, void_of
from shared.store import keys


def refer(events: Iterable[CommunityEvent], member: Member, app: App, now: datetime) -> None:
    """Record what events tell of who brought their actor, and what may undo it; every part may be done again."""
    events = list(events)
    touches = [told for event in events for told in touches_of(event, member, app)]
    for told in touches:
        app.store.note_touch(told)
    if touches:
        earliest = min(told.at for told in touches)
        member = app.store.change_member(member.id, lambda current: touch(current, earliest), known=member) or member
        _take_up(member, min(told.told_at for told in touches) + app.playbook.referrals.settle_after, app)
    for event in events:
        if (void := void_of(event, member)) is not None:
            app.store.note_void(member.id, void)
        if takes_up(event, member, app.playbook):
            _take_up(member, now, app)


def take_up_again(member: Member, app: App, now: datetime) -> None:
    """Look at a referee's case anew: two members proved to be one person."""
    if member.touched_at is not None:
        _take_up(member, now, app)


def touches_of(event: CommunityEvent, referee: Member, app: App) -> list[Touch]:
    """Every touch that an event tells of its actor; a ref or code that we never gave out tells nothing."""
    if isinstance(event, ReferralSignedUp):
        return _signed_up(event, referee, app)
    found = []
    if isinstance(event, MemberJoined) and event.invited_by:
        lookup = keys.identity(Identity(event.platform, event.invited_by))
        referrer = app.store.owners([lookup]).get(lookup)
        found += [_touch(event, referee, referrer, "invitation")] if referrer else []
    vouched = isinstance(event, MemberJoined | MemberUpdated) and event.profile.email_verified and event.profile.email
    if vouched and app.playbook.referrals.join_url is None:
        found += [
            told.model_copy(update={"referee_id": referee.id, "told_at": event.received_at})
            for told in app.store.invited(vouched)
        ]
    return found


def _signed_up(event: ReferralSignedUp, referee: Member, app: App) -> list[Touch]:
    try:
        if event.ref:
            referrer, _, clicked_at = app.signer.read("referral", event.ref)
            at = datetime.fromisoformat(clicked_at)
            fresh = event.occurred_at - at <= app.playbook.referrals.first_touch_for
            return [_touch(event, referee, referrer, "link", at=at)] if fresh else []
        return [_touch(event, referee, app.signer.member_of(event.code), "code")] if event.code else []
    except (InvalidToken, ValueError):
        return []


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


def _take_up(member: Member, at: datetime, app: App) -> None:
    app.store.arm(Due(programme=NAME, member_id=member.id, key=KEY, due_at=at))
