"""The ways through the machine: what stands before each, what sets it off, and by when it must be quiet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.events import CommunityEvent, MemberJoined, MemberUpdated, PostCreated, Profile, ReferralSignedUp
from shared.model import Identity, member_id_of
from shared.playbook import Playbook, check
from tests.builders import at, raw_playbook
from tests.golden import golden
from tests.proof.house import House
from tests.proof.world import World

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = at("2030-01-07T12:00Z")
"""A Monday noon: no quiet hours, and no day's end near."""

Step = Callable[[World], None]


@dataclass(frozen=True, kw_only=True)
class Flow:
    """`before` happens without faults; from `begins` on every call may be struck. `quiet_after`: by then all is done.

    `before` and `begins` may only bring what the outside brings: deliveries, schedules, time.
    `shows` are the numbers of the classes of failure that it shows.
    """

    name: str
    before: Step
    begins: Step
    quiet_after: timedelta
    then: Step = lambda _: None
    playbook: Callable[[House], Playbook] = lambda _: a_playbook()
    starts_at: datetime = START
    ses_tells: bool = True
    receiver_answers: tuple[int, ...] = ()
    shows: tuple[int, ...] = ()

    def world(self, house: House) -> World:
        """A world in which everything before has happened; it is quiet."""
        return World(house, self.playbook(house), self.starts_at, ses_tells=self.ses_tells)

    def run(self, world: World) -> None:
        """What is proved: set it off, and go on until it is quiet."""
        world.house.receiver.will_answer(*self.receiver_answers)
        until = world.now + self.quiet_after
        self.begins(world)
        world.run(until)


def a_playbook(**referrals: Any) -> Playbook:
    """The default playbook, with a first reward of every kind for the first referee, and changes to `referrals`."""
    raw = raw_playbook()
    raw["referrals"] |= referrals
    return check(raw, source="playbook")


def told_by_receiver(house: House) -> Playbook:
    """The same, and whoever hands out rewards is told of them."""
    return a_playbook(webhook={"url": house.receiver.url, "allow_private": True})


# --- what the outside brings ---------------------------------------------------------------------


def post(world: World, platform: str, headers: Mapping[str, str], body: bytes) -> None:
    """A platform delivers; it signs anew and comes again until it is answered 2xx."""
    event = {
        "rawPath": f"/webhooks/{platform}",
        "headers": dict(headers),
        "pathParameters": {"platform": platform},
        "isBase64Encoded": False,
        "body": body.decode(),
    }
    world.ask("webhooks", event)


def happen(world: World, *events: CommunityEvent) -> None:
    """These events are in the log, and on their way through the stream."""
    world.store.log(events)
    world.collect()


def _base(actor: str, moment: datetime, platform: str = "slack") -> dict[str, Any]:
    return {"occurred_at": moment, "received_at": moment, "platform": platform, "actor": actor}


def joins(actor: str, moment: datetime, *, email: str | None = None, platform: str = "slack") -> MemberJoined:
    """Somebody joins."""
    profile = Profile(name=actor, email=email, email_verified=email is not None, locale="en", timezone="Europe/Berlin")
    return MemberJoined(id=f"joined:{platform}:{actor}", profile=profile, **_base(actor, moment, platform))


def posts(actor: str, moment: datetime, platform: str = "slack") -> PostCreated:
    """Somebody opens a thread."""
    told = _base(actor, moment, platform)
    return PostCreated(id=f"posted:{platform}:{actor}:{moment}", object=f"{actor}:{moment:%d%H%M}", **told)


def proves(actor: str, email: str, moment: datetime, platform: str = "slack") -> MemberUpdated:
    """Somebody proves an address."""
    profile = Profile(email=email, email_verified=True)
    told = _base(actor, moment, platform)
    return MemberUpdated(id=f"proved:{platform}:{actor}", profile=profile, **told)


def an_id(actor: str, platform: str = "slack") -> str:
    """The member that an actor is."""
    return member_id_of(Identity(platform, actor))


def _nothing(_: World) -> None:
    """Nothing happens."""


# --- the flows -----------------------------------------------------------------------------------


def _deliveries(world: World) -> None:
    """Two at once: one of several events, and one that has no time of its own."""
    several, untimed = golden("standard.several"), golden("discourse.user_updated")
    for one in (several, untimed):
        post(world, one.platform, one.headers, one.body)


def _two_who_are_one(world: World) -> None:
    """Ada joins on two platforms, posts, and proves that she is one; of Bo we only hear, and late."""
    happen(
        world,
        joins("ada", START, email="ada@example.com"),
        joins("adele", START, platform="discourse"),
        posts("ada", START),
        posts("adele", START, platform="discourse"),
        posts("bo", START - 2 * DAY),
    )
    while world.queues.stream:
        world.deliver()
    happen(world, proves("adele", "ada@example.com", START, platform="discourse"), posts("bo", START - DAY))


def one_joined(world: World) -> None:
    """Ada has joined, and onboarding has been arranged before."""
    world.tick("onboarding")
    happen(world, joins("ada", START, email="ada@example.com"))
    while world.queues.stream:
        world.deliver()


def _tick_of_onboarding(world: World) -> None:
    world.tick("onboarding")


def one_silent(world: World) -> None:
    """Bo joined long ago, and said something last a month ago; his first weeks are over."""
    long_ago, last = START - 90 * DAY, START - 31 * DAY
    for moment, event in (
        (long_ago, joins("bo", long_ago, email="bo@example.com")),
        (last, posts("bo", last)),
    ):
        world.now = moment
        happen(world, event)
        while world.queues.stream:
            world.deliver()
    for due in world.store.agenda():
        if due.programme == "onboarding":
            world.store.done(due)
    world.now = START - 3 * DAY
    world.tick("reengagement", "onboarding")
    world.queues.mail.clear()
    [(_, world.now)] = world.due()


def _tick_of_reengagement(world: World) -> None:
    world.tick("reengagement")


def one_brought_another(world: World) -> None:
    """Bo's code was used by Ada, who did something: her hold is over, and all of it is due."""
    joined = START - 20 * DAY
    signed_up = ReferralSignedUp(id="signed:ada", code=world.app.signer.code(an_id("bo")), **_base("ada", joined))
    for moment, events in (
        (START - 100 * DAY, [joins("bo", START - 100 * DAY, email="bo@example.com")]),
        (joined, [joins("ada", joined, email="ada@example.com"), signed_up, posts("ada", joined + HOUR)]),
    ):
        world.now = moment
        happen(world, *events)
        while world.queues.stream:
            world.deliver()
    for due in world.store.agenda():
        if due.programme != "referrals":
            world.store.done(due)
    world.now = START


def _tick_of_referrals(world: World) -> None:
    world.tick("referral_rewards")


def some_days(world: World) -> None:
    """Three days of a small community, and a post that comes when its day is over."""
    first = START - 3 * DAY
    for day in range(3):
        world.now = first + day * DAY
        happen(world, *(joins(f"u{day}{n}", world.now) for n in range(2)), posts(f"u{day}0", world.now + HOUR))
        while world.queues.stream:
            world.deliver()
    _forget_agenda(world)


def _forget_agenda(world: World) -> None:
    """What follows is not about the programmes."""
    for due in world.store.agenda():
        world.store.done(due)
    world.queues.mail.clear()


def _measured_days(world: World) -> None:
    some_days(world)
    world.now = START - DAY
    world.tick("metrics_rollup")
    happen(world, posts("u01", START - 3 * DAY + 2 * HOUR))
    while world.queues.stream:
        world.deliver()
    world.now = START


def _tick_of_measuring(world: World) -> None:
    world.tick("metrics_rollup")


def _ticks_of_measuring_go_on(world: World) -> None:
    for _ in range(2):
        world.now += HOUR
        world.tick("metrics_rollup")


def _a_week(world: World) -> None:
    some_days(world)
    world.now = START
    world.tick("metrics_rollup")


def _report(world: World) -> None:
    world.ask("manager_report", {"kind": "weekly", "scheduled_time": world.now.isoformat()})


FLOWS: Mapping[str, Flow] = {
    flow.name: flow
    for flow in (
        Flow(
            name="webhook to log",
            shows=(4, 5),
            before=_nothing,
            begins=_deliveries,
            quiet_after=10 * timedelta(minutes=1),
            starts_at=golden("standard.several").received_at,
        ),
        Flow(name="event to reaction", shows=(14,), before=_nothing, begins=_two_who_are_one, quiet_after=timedelta(0)),
        Flow(
            name="drip, tick to settled",
            shows=(14, 22, 23),
            before=one_joined,
            begins=_tick_of_onboarding,
            quiet_after=3 * HOUR,
        ),
        Flow(
            name="drip, SES's word lost",
            shows=(24, 30),
            before=one_joined,
            begins=_tick_of_onboarding,
            quiet_after=3 * HOUR,
            ses_tells=False,
        ),
        Flow(name="inactivity", before=one_silent, begins=_tick_of_reengagement, quiet_after=3 * HOUR),
        Flow(
            name="referral to reward",
            shows=(14, 15, 37),
            before=one_brought_another,
            begins=_tick_of_referrals,
            quiet_after=12 * HOUR,
            playbook=told_by_receiver,
            receiver_answers=(503,),
        ),
        Flow(
            name="rollup",
            before=_measured_days,
            begins=_tick_of_measuring,
            quiet_after=timedelta(0),
            then=_ticks_of_measuring_go_on,
        ),
        Flow(name="report", before=_a_week, begins=_report, quiet_after=3 * HOUR),
    )
}
"""By name."""
