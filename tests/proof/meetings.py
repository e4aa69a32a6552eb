"""Two workers at the same people: at each call of the one, the other does all of its work.

The end must be as good as when they come one after the other, in either order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from shared.ledger import LEASE
from shared.model import stamp
from tests.proof.faults import Fault
from tests.proof.flows import (
    DAY,
    HOUR,
    START,
    Step,
    a_playbook,
    an_id,
    happen,
    joins,
    one_brought_another,
    one_joined,
    one_silent,
    posts,
    proves,
    some_days,
    told_by_receiver,
)
from tests.proof.house import House
from tests.proof.lived import one_click
from tests.proof.verdicts import End, end_of, violations
from tests.proof.world import Playbooks, Snapshot, World

MINUTE = timedelta(minutes=1)
_ABSORBED = re.compile(r'"absorbed": \{"L": \[[^]]*\]\}')


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """`one` is interrupted by `other`, before each of its calls; with `overslept`, for so long.

    `then` is what comes after both, and by `quiet_after` all is done.
    `shows` are the numbers of the classes of failure that it shows.
    """

    name: str
    before: Step
    one: Step
    other: Step
    quiet_after: timedelta = 3 * HOUR
    overslept: timedelta = timedelta(0)
    then: Step = lambda _: None
    playbook: Playbooks = lambda _: a_playbook()
    starts_at: datetime = START
    ses_tells: bool = True
    shows: tuple[int, ...] = ()


@dataclass
class Met:
    """What came of a meeting at all of its points."""

    calls: int = 0
    violations: list[tuple[str, list[str]]] = field(default_factory=list)


def meet(meeting: Meeting, house: House, *, at_most: int | None = None) -> Met:
    """Try a meeting at each call of the one; `at_most`: stop after so many violations."""
    met = Met()
    with World(house, meeting.playbook(house), meeting.starts_at, ses_tells=meeting.ses_tells) as world:
        meeting.before(world)
        start = world.snapshot()
        orders = [_end(meeting, world, start, [first, second]) for first, second in _orders(meeting)]
        for end in orders:
            if end.wrong:
                raise AssertionError(f"{meeting.name} is not right one after the other: {end.wrong}")
        for number in range(1, _calls(meeting, world, start) + 1):
            met.calls += 1
            end = _end(meeting, world, start, [_interrupted(meeting, number)])
            found = [violations(_bare(end), _bare(order), ses_tells=True) for order in orders]
            if all(found):
                met.violations.append((f"before call {number}", min(found, key=len)))
            if at_most is not None and len(met.violations) >= at_most:
                break
    return met


def _orders(meeting: Meeting) -> Iterator[tuple[Step, Step]]:
    yield meeting.one, meeting.other
    yield meeting.other, meeting.one


def _calls(meeting: Meeting, world: World, start: Snapshot) -> int:
    """How many calls the one makes when nobody interrupts it."""
    world.restore(start)
    world.house.faults.begin()
    meeting.one(world)
    return len(world.house.faults.calls)


def _interrupted(meeting: Meeting, number: int) -> Step:
    def both(world: World) -> None:
        faults, left = world.house.faults, [number]

        def meanwhile(_: str) -> None:
            left[0] -= 1
            if left[0] == 0:
                world.now += meeting.overslept
                meeting.other(world)

        faults.meanwhile = meanwhile
        try:
            meeting.one(world)
        finally:
            faults.meanwhile = lambda _: None

    return both


def _end(meeting: Meeting, world: World, start: Snapshot, steps: list[Callable[[World], None]]) -> End:
    world.restore(start)
    world.house.faults.begin()
    for step in steps:
        step(world)
    world.run(start.now + meeting.quiet_after)
    meeting.then(world)
    return end_of(world, start.now)


def _bare(end: End) -> End:
    """An end without what does not matter: whether there were two members before they were one, and whose timers look.

    Two workers may find that out in an order that neither alone would have.
    """
    others = {key.split(" ")[0] for key, said in end.items.items() if '"merged_into"' in said}
    alike = {
        key: "a timer" if "DUE#reengagement#inactivity" in key else _ABSORBED.sub("", said)
        for key, said in end.items.items()
        if key.split(" ")[0] not in others and not key.startswith("DIRTY m")
    }
    return replace(end, items=alike)


# --- who meets -----------------------------------------------------------------------------------


def _two_batches(world: World) -> None:
    """Adele, on another platform, proves to be Ada; and Ada posts, and is heard of for the first time."""
    happen(world, joins("ada", START, email="ada@example.com"))
    while world.queues.stream:
        world.deliver()
    happen(world, posts("ada", START + DAY), joins("adele", START, platform="forum"))
    happen(world, proves("adele", "ada@example.com", START, platform="forum"), posts("ada", START - DAY))
    world.now = START + 2 * DAY


def _batch(first: int) -> Step:
    """React to two of the records that wait; what fails waits behind the others."""

    def react(world: World) -> None:
        waiting = world.queues.stream
        batch = waiting[first : first + 2] if len(waiting) > 2 else waiting[:2]
        world.queues.stream = [one for one in waiting if one not in batch]
        again = batch[world.react_to(batch) :] if batch else []
        world.queues.stream += again

    return react


def _reacts(world: World) -> None:
    while world.queues.stream:
        world.deliver()


def _two_to_be_one(world: World) -> None:
    """Adele, who gets mail of her own, proves to be Ada; both have mails that are due."""
    happen(world, joins("ada", START, email="ada@example.com"))
    happen(world, joins("adele", START, platform="forum", email="adele@example.com"))
    _reacts(world)
    world.now = START + MINUTE
    happen(world, proves("adele", "ada@example.com", START + MINUTE, platform="forum"))


def _two_with_mails(world: World) -> None:
    _two_to_be_one(world)
    world.tick("onboarding")


def _strangers(world: World) -> None:
    """Two batches of one person whom nobody knows yet."""
    happen(world, joins("ada", START, email="ada@example.com"), posts("ada", START + HOUR))
    happen(world, posts("ada", START + 2 * HOUR), proves("adele", "ada@example.com", START, platform="forum"))


def _one_address(world: World) -> None:
    """Two batches of two strangers, for whom two platforms vouch with one address."""
    happen(world, joins("ada", START, email="ada@example.com"), posts("ada", START + HOUR))
    happen(world, joins("adele", START + DAY, email="ada@example.com", platform="forum"))


def _two_days(world: World) -> None:
    """Two batches of one member, who did something on two days."""
    happen(world, joins("ada", START, email="ada@example.com"))
    while world.queues.stream:
        world.deliver()
    happen(world, posts("ada", START + DAY), posts("ada", START + DAY + HOUR))
    happen(world, posts("ada", START + 2 * DAY))
    world.now = START + 3 * DAY


def _waits_for_an_address(world: World) -> None:
    """Somebody joined, and their address is on its way when their first mail is due."""
    happen(world, joins("ada", START))
    while world.queues.stream:
        world.deliver()
    happen(world, proves("ada", "ada@example.com", START))


def _asked_in_vain(world: World) -> None:
    """Bo was asked to come back as often as there are attempts, and does something when that is to be the end."""
    one_silent(world)
    [due] = [due for due in world.store.agenda() if due.programme == "reengagement"]
    world.now += 20 * DAY
    asked = {"since": stamp(START - 31 * DAY), "attempts": 9, "asked_at": stamp(START), "mails": 9}
    world.store.advance(due, due.model_copy(update={"due_at": world.now, "state": asked}))
    happen(world, posts("bo", world.now))


def _refuses(world: World) -> None:
    world.ask("links", one_click(world.app.signer.sign("unsubscribe", an_id("ada"))))


def _a_mail_waits(world: World) -> None:
    one_joined(world)
    world.tick("onboarding")


def _twice_queued(world: World) -> None:
    _a_mail_waits(world)
    [message] = world.queues.mail
    world.queues.mail.append(type(message)(message.body, message.visible_at))


def _mailer(world: World) -> None:
    world.deliver_mail(1)


def _put_off(world: World) -> None:
    """SES was asked too much of, and the mail's next moment has come."""
    _a_mail_waits(world)
    _put_off_again(world)
    [world.now] = [due_at for programme, due_at in world.due() if programme == "mail"]


def _put_off_again(world: World) -> None:
    """Whatever is in the queue is put off once more."""
    faults = world.house.faults
    world.collect()
    faults.draw = lambda operation: Fault.THROTTLED if operation == "SendEmail" else None
    try:
        world.deliver_mail(10)
    finally:
        faults.draw = lambda _: None


def _bounces(world: World) -> None:
    """The mail of the day before bounced for good."""
    world.queues.told.append(world.told("bounce_permanent", "ses-0", f"onboarding-welcome-{an_id('ada')}-1"))
    world.deliver_told()


def _tick(function: str) -> Step:
    return lambda world: world.tick(function)


def _comes_late(world: World) -> None:
    """A post of three days ago is told while its day is measured."""
    happen(world, posts("u01", START - 3 * DAY + 2 * HOUR))
    batch, world.queues.stream = world.queues.stream, []
    again = batch[world.react_to(batch) :]
    world.queues.stream += again


def _measured_twice(world: World) -> None:
    for _ in range(2):
        world.now += HOUR
        world.tick("metrics_rollup")


def _days(world: World) -> None:
    some_days(world)
    world.now = START


MEETINGS = {
    one.name: one
    for one in (
        Meeting(name="two batches, two who are one", before=_two_batches, one=_batch(0), other=_batch(2)),
        Meeting(name="two batches, one stranger", before=_strangers, one=_batch(0), other=_batch(2)),
        Meeting(name="two batches, two strangers", before=_one_address, one=_batch(0), other=_batch(2)),
        Meeting(name="two batches, one member", shows=(20,), before=_two_days, one=_batch(0), other=_batch(2)),
        Meeting(name="a reaction and an unsubscribe", before=_two_batches, one=_batch(0), other=_refuses),
        Meeting(
            name="a tick and a tick", shows=(31,), before=one_joined, one=_tick("onboarding"), other=_tick("onboarding")
        ),
        Meeting(
            name="a tick and an address",
            before=_waits_for_an_address,
            one=_tick("onboarding"),
            other=_batch(0),
        ),
        Meeting(
            name="the last look and a return",
            before=_asked_in_vain,
            one=_tick("reengagement"),
            other=_batch(0),
        ),
        Meeting(name="a tick and a merge", before=_two_to_be_one, one=_tick("onboarding"), other=_reacts),
        Meeting(name="a mail and a merge", before=_two_with_mails, one=_mailer, other=_reacts),
        Meeting(name="a merge and a tick", before=_two_to_be_one, one=_reacts, other=_tick("onboarding")),
        Meeting(name="a merge and a mail", before=_two_with_mails, one=_reacts, other=_mailer),
        Meeting(name="a mail and an unsubscribe", shows=(29,), before=_a_mail_waits, one=_mailer, other=_refuses),
        Meeting(name="a mail twice", shows=(8,), before=_twice_queued, one=_mailer, other=_mailer, ses_tells=False),
        Meeting(
            name="a follow-up and a mail put off again",
            before=_put_off,
            one=_tick("mail_followups"),
            other=_put_off_again,
            quiet_after=6 * HOUR,
        ),
        Meeting(
            name="a mail twice, overslept",
            shows=(21,),
            before=_twice_queued,
            one=_mailer,
            other=_mailer,
            overslept=LEASE + MINUTE,
        ),
        Meeting(
            name="a mail and its follow-up, overslept",
            before=_a_mail_waits,
            one=_mailer,
            other=_tick("mail_followups"),
            overslept=HOUR,
        ),
        Meeting(name="an unsubscribe and a bounce", before=_a_mail_waits, one=_refuses, other=_bounces),
        Meeting(
            name="two ticks of referrals",
            shows=(15,),
            before=one_brought_another,
            one=_tick("referral_rewards"),
            other=_tick("referral_rewards"),
            quiet_after=12 * HOUR,
            playbook=told_by_receiver,
        ),
        Meeting(
            name="measuring and a late event",
            shows=(40,),
            before=_days,
            one=_tick("metrics_rollup"),
            other=_comes_late,
            quiet_after=timedelta(0),
            then=_measured_twice,
        ),
        Meeting(
            name="measuring twice at once",
            before=_days,
            one=_tick("metrics_rollup"),
            other=_tick("metrics_rollup"),
            quiet_after=timedelta(0),
            then=_measured_twice,
        ),
    )
}
"""By name."""
