"""The programmes, in one table. Each is pure: (event or due item, facts, playbook, now) -> actions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.actions import Action
from shared.events import CommunityEvent
from shared.model import Due, Member
from shared.playbook import Playbook
from shared.programmes import onboarding


@dataclass(frozen=True, kw_only=True)
class Programme:
    """One programme: its reactions, its agenda, and the limits its mails keep.

    `plan` fingerprints what arranges its agenda; when a deploy changes it, `rearrange` is asked for every item.
    """

    on_event: Callable[[CommunityEvent, Member | None, Member, Playbook], list[Action]]
    on_merge: Callable[[Member, datetime], list[Action]]
    on_due: Callable[[Due, Member | None, Playbook, datetime], list[Action]]
    plan: Callable[[Playbook], str]
    rearrange: Callable[[Due, Member | None, Playbook], list[Action]]
    min_gap: Callable[[Playbook], timedelta]
    stale_after: Callable[[Playbook], timedelta]


PROGRAMMES: dict[str, Programme] = {
    onboarding.NAME: Programme(
        on_event=onboarding.on_event,
        on_merge=onboarding.on_merge,
        on_due=onboarding.on_due,
        plan=onboarding.plan,
        rearrange=onboarding.rearrange,
        min_gap=lambda playbook: playbook.onboarding.min_gap,
        stale_after=lambda playbook: playbook.onboarding.stale_after,
    )
}
