"""Onboarding: the steps of a member's first weeks, each at its local time on its local day, once.

Two pure functions over (event or due item, member, playbook, now). Knows no AWS and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from shared.actions import Action, Advance, Arm, Done, SendMail, Skip, Wake
from shared.events import CommunityEvent, MemberJoined, MemberUpdated
from shared.localtime import at_local, local_day, next_local
from shared.members import meets, send_time, zone_of
from shared.model import Due, Member, SendId
from shared.playbook import Playbook, Step

NAME = "onboarding"
KEY = "steps"

PUNCTUAL = timedelta(minutes=5)
"""A tick no later than this is on time: the next day's mail at the same hour keeps a gap of 24 hours to it."""


class Enrolment(NamedTuple):
    """What the agenda item remembers: when the member joined, the steps settled so far, the last one handed over.

    Read and written by hand, for every decision begins and ends with it.
    """

    joined_at: datetime
    settled: Sequence[str] = ()
    last_sent_at: datetime | None = None

    @classmethod
    def read(cls, state: Mapping[str, JsonValue]) -> Enrolment:
        """The enrolment that an item holds; ValueError, which quotes nothing of it, when it holds none."""
        settled, last = state.get("settled", []), state.get("last_sent_at")
        try:
            return cls(_moment(state["joined_at"]), _names(settled), None if last is None else _moment(last))
        except (KeyError, TypeError, ValueError):
            raise ValueError("an agenda item does not hold an enrolment") from None

    def written(self) -> dict[str, JsonValue]:
        """The enrolment as an item holds it."""
        last = self.last_sent_at
        return {
            "joined_at": _text(self.joined_at),
            "settled": list(self.settled),
            "last_sent_at": None if last is None else _text(last),
        }


def _names(told: object) -> list[str]:
    if not isinstance(told, list):
        raise TypeError("not a list")
    return [str(name) for name in told]


def _moment(told: object) -> datetime:
    if not isinstance(told, str) or (moment := datetime.fromisoformat(told)).tzinfo is None:
        raise ValueError("not an aware moment")
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()[: -len("+00:00")] + "Z"


class Timetable:
    """When the steps of one member are due: by their wall clock, counted from their local day of joining.

    Made once a decision; zone and day of joining are looked up when a step first asks for them.
    """

    def __init__(self, joined_at: datetime, member: Member | None, playbook: Playbook) -> None:
        self._joined_at = joined_at
        self._member = member
        self._playbook = playbook
        self._zone: ZoneInfo | None = None
        self._day_of_joining: date | None = None

    @property
    def zone(self) -> ZoneInfo:
        """The member's zone, else the community's."""
        if self._zone is None:
            self._zone = zone_of(self._member, self._playbook)
        return self._zone

    def due_at(self, step: Step) -> datetime:
        """When a step is due: day 1 at once; day N at its local time on the (N-1)th local day after joining."""
        if step.day == 1:
            return self._joined_at
        if self._day_of_joining is None:
            self._day_of_joining = local_day(self._joined_at, self.zone)
        return at_local(self._day_of_joining + timedelta(step.day - 1), self._clock(step), self.zone)

    def not_before(self, step: Step, last_sent_at: datetime | None) -> datetime:
        """The first moment that keeps `min_gap` after the last mail, at the step's local time."""
        if last_sent_at is None:
            return self._joined_at
        return next_local(last_sent_at + self._playbook.onboarding.min_gap, self._clock(step), self.zone)

    def _clock(self, step: Step) -> time:
        return send_time(self._member, step.send_at or self._playbook.onboarding.send_at)


def on_event(event: CommunityEvent, before: Member | None, member: Member, playbook: Playbook) -> list[Action]:
    """Enrol a member who joins; look again at one whose address or time zone has changed."""
    actions: list[Action] = []
    joined_at = member.joined_at
    if isinstance(event, MemberJoined) and joined_at is not None and _enrols(event, member, joined_at, playbook):
        state = Enrolment(joined_at).written()
        actions.append(Arm(programme=NAME, member_id=member.id, key=KEY, due_at=joined_at, state=state))
    if isinstance(event, MemberUpdated) or (isinstance(event, MemberJoined) and before is not None):
        # Asked of the event, not of the difference to before: a retry finds the difference folded in already.
        told = (member.told_at.get("email"), member.told_at.get("timezone"))
        actions += wake(member, playbook, event.received_at) if event.occurred_at in told else []
    return actions


def wake(member: Member, playbook: Playbook, now: datetime) -> list[Action]:  # noqa: ARG001 - every programme's signature
    """Look again at a member of whom more is known now: an address, a zone, an hour."""
    return [Wake(programme=NAME, member_id=member.id, key=KEY, at=now)]


def on_due(due: Due, member: Member | None, playbook: Playbook, now: datetime) -> list[Action]:
    """Settle the steps that are due, and say when to look again."""
    if member is None:
        return [Done(due=due)]  # they were erased, and no line of theirs is to come
    rules = playbook.onboarding
    enrolment = Enrolment.read(due.state)
    times = Timetable(enrolment.joined_at, member, playbook)
    steps = _open_steps(playbook, enrolment)
    if member.merged_into is not None:
        missed = ((step, times.due_at(step)) for step in steps)
        return [*(_skip(due, step, at, "merged") for step, at in missed if at <= now), Done(due=due)]
    actions: list[Action] = []
    settled, last = [*enrolment.settled], enrolment.last_sent_at
    for step in steps:
        at = times.due_at(step)
        if at > now:
            return [*actions, _look_again(due, settled, last, at)]
        reason = _reason_to_skip(step, member, now - at, playbook)
        if reason is not None:
            actions.append(_skip(due, step, at, reason))
            settled.append(step.key)
            continue
        if member.email is None:
            return [*actions, _look_again(due, settled, last, at + rules.wait_for_address)]
        not_before = times.not_before(step, last)
        if not_before > now:
            return [*actions, _look_again(due, settled, last, not_before)]
        actions.append(_send(due, step, member, at))
        planned = max(at, not_before)
        settled.append(step.key)
        last = planned if now - planned < PUNCTUAL else now
    # All are settled: stay on the agenda while a step added later could still reach this member.
    closes_at = enrolment.joined_at + rules.open_for
    return [*actions, Done(due=due) if closes_at <= now else _look_again(due, settled, last, closes_at)]


def plan(playbook: Playbook) -> str:
    """A fingerprint of everything that decides when a step is due; when it changes, agendas are rearranged."""
    rules = playbook.onboarding
    times = [f"{step.key}@{step.day}@{step.send_at or rules.send_at}" for step in rules.steps]
    return sha256("|".join([str(rules.open_for), playbook.community.timezone, *times]).encode()).hexdigest()[:16]


def rearrange(due: Due, member: Member | None, playbook: Playbook) -> list[Action]:
    """Move an agenda item to what is next under the playbook as it is now; nothing when that has not changed."""
    enrolment = Enrolment.read(due.state)
    times, last = Timetable(enrolment.joined_at, member, playbook), enrolment.last_sent_at
    step = next(iter(_open_steps(playbook, enrolment)), None)
    if step is None:
        at = enrolment.joined_at + playbook.onboarding.open_for
    else:
        at = max(times.due_at(step), times.not_before(step, last))
    return [] if at == due.due_at else [_look_again(due, enrolment.settled, last, at)]


def no_longer(send_id: SendId, member: Member, playbook: Playbook) -> str | None:
    """Which of a step's `unless` has come true since its mail was decided on."""
    steps = (step for step in playbook.onboarding.steps if step.key == send_id.step)
    conditions = (condition for step in steps for condition in step.unless)
    return next((f"unless_{condition}" for condition in conditions if meets(member, condition)), None)


def next_mail(due: Due, member: Member, playbook: Playbook) -> tuple[str, datetime] | None:
    """The mail of the first step that is still open and would not be skipped, and when it is due."""
    enrolment = Enrolment.read(due.state)
    steps = _open_steps(playbook, enrolment)
    wanted = (step for step in steps if not any(meets(member, condition) for condition in step.unless))
    step = next(wanted, None)
    times = Timetable(enrolment.joined_at, member, playbook)
    return (step.mail, max(due.due_at, times.due_at(step))) if step else None


def over_at(member: Member, playbook: Playbook) -> datetime | None:
    """The end of the day of the last step, for a member who was enrolled; None for others."""
    if member.joined_at is None or member.joined_at < playbook.onboarding.start:
        return None
    zone = zone_of(member, playbook)
    last = max(step.day for step in playbook.onboarding.steps)
    return at_local(local_day(member.joined_at, zone) + timedelta(days=last), time(), zone)


def _enrols(event: MemberJoined, member: Member, joined_at: datetime, playbook: Playbook) -> bool:
    """Whether a join starts the steps; not one that is told when these would be over, as when a history is imported."""
    rules = playbook.onboarding
    in_time = joined_at >= rules.start and joined_at + rules.open_for > event.received_at
    return in_time and member.status == "active" and member.merged_into is None


def _open_steps(playbook: Playbook, enrolment: Enrolment) -> Sequence[Step]:
    return [step for step in playbook.onboarding.steps if step.key not in enrolment.settled]


def _reason_to_skip(step: Step, member: Member, late: timedelta, playbook: Playbook) -> str | None:
    if member.status != "active":
        return member.status
    if member.role != "member":
        return member.role
    for condition in step.unless:
        if meets(member, condition):
            return f"unless_{condition}"
    rules = playbook.onboarding
    if member.email is None:
        return "no_address" if late >= rules.wait_for_address else None
    return "stale" if late > rules.stale_after else None


def _send(due: Due, step: Step, member: Member, at: datetime) -> SendMail:
    left_out = tuple(part for part, condition in step.leave_out.items() if meets(member, condition))
    return SendMail(send_id=_send_id(due, step), mail=step.mail, planned_at=at, leave_out=left_out)


def _skip(due: Due, step: Step, at: datetime, reason: str) -> Skip:
    return Skip(send_id=_send_id(due, step), mail=step.mail, reason=reason, planned_at=at)


def _send_id(due: Due, step: Step) -> SendId:
    return SendId(programme=NAME, step=step.key, member_id=due.member_id)


def _look_again(due: Due, settled: Sequence[str], last_sent_at: datetime | None, at: datetime) -> Advance:
    """The item moved on. What it holds of joining stays as it is written, for joining does not change."""
    last = None if last_sent_at is None else _text(last_sent_at)
    return Advance(due=due, due_at=at, state={**due.state, "settled": list(settled), "last_sent_at": last})
