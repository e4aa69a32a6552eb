"""The programmes, in one table. Each is pure: (event or due item, facts, playbook, now) -> actions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.actions import Action
from shared.events import CommunityEvent
from shared.model import Due, Member, SendId
from shared.playbook import Playbook
from shared.programmes import onboarding, reengagement


@dataclass(frozen=True, kw_only=True)
class Programme:
    """One programme: its reactions, its agenda, and the limits its mails keep.

    `wake` is asked when more is known of a member: an address, a zone, an hour of their choice. `plan` fingerprints
    what arranges its agenda; when a deploy changes it, `rearrange` is asked for every item. `no_longer` is asked once
    more before a mail goes, which may have waited; `next_mail` names what an agenda item will send,
    as things stand, and when.
    """

    on_event: Callable[[CommunityEvent, Member | None, Member, Playbook], list[Action]]
    wake: Callable[[Member, Playbook, datetime], list[Action]]
    on_due: Callable[[Due, Member | None, Playbook, datetime], list[Action]]
    plan: Callable[[Playbook], str]
    rearrange: Callable[[Due, Member | None, Playbook], list[Action]]
    no_longer: Callable[[SendId, Member, Playbook], str | None]
    next_mail: Callable[[Due, Member, Playbook], tuple[str, datetime] | None]
    min_gap: Callable[[Playbook], timedelta]
    stale_after: Callable[[Playbook], timedelta]


PROGRAMMES: dict[str, Programme] = {
    onboarding.NAME: Programme(
        on_event=onboarding.on_event,
        wake=onboarding.wake,
        on_due=onboarding.on_due,
        plan=onboarding.plan,
        rearrange=onboarding.rearrange,
        no_longer=onboarding.no_longer,
        next_mail=onboarding.next_mail,
        min_gap=lambda playbook: playbook.onboarding.min_gap,
        stale_after=lambda playbook: playbook.onboarding.stale_after,
    ),
    reengagement.NAME: Programme(
        on_event=reengagement.on_event,
        wake=reengagement.wake,
        on_due=reengagement.on_due,
        plan=reengagement.plan,
        rearrange=reengagement.rearrange,
        no_longer=reengagement.no_longer,
        next_mail=reengagement.next_mail,
        min_gap=lambda _: timedelta(0),
        stale_after=lambda playbook: playbook.reengagement.stale_after,
    ),
}
