"""The units of work that are budgeted: what stands before each, and what is counted then. Items are of real sizes.

Members have names, addresses and zones; those of long standing have three mails a month in their ledger, for the
400 days that it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from shared.events import CommunityEvent
from shared.experiments import group_of
from shared.model import PlannedMail, Send, SendId, SendStatus, stamp
from shared.programmes.reengagement import NAME as REENGAGEMENT
from shared.store.items import send_item
from tests.golden import golden
from tests.proof.flows import DAY, FLOWS, HOUR, START, an_id, happen, joins, post, posts
from tests.proof.world import TABLE, World
from tests.ses_events import event as ses_event

Step = Callable[[World], None]

MANY = 10
"""How many mails go in one measured tick: on a day of 300,000 a month they come by the hundred."""

TICKING = ("onboarding", "reengagement", "mail_followups", "referral_rewards", "metrics_rollup")
"""What a schedule wakes, whether or not anything is due."""

RECENT, LONG = 4, 39
"""Mails in the ledger of a new member, and of one of long standing."""

NIGHT = START + timedelta(hours=11)
"""Midnight in Berlin."""

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One kind of work: `does` is counted, and comes to `per` of it; `less` is another's share, no part of it."""

    says: str
    does: Step
    before: Step = lambda _: None
    per: int = 1
    less: str | None = None
    flow: str = "event to reaction"
    """Whose playbook and beginning the world has."""


# --- people --------------------------------------------------------------------------------------


def people(count: int) -> list[str]:
    """Actors, all of whom would be asked to come back; none is held out."""
    numbers = (f"U0{number:09}" for number in range(10_000))
    found = (one for one in numbers if group_of(REENGAGEMENT, an_id(one), 10) == "treated")
    return [next(found) for _ in range(count)]


def settle_in(world: World, actors: Sequence[str], *, days: int, last: int, lines: int = LONG) -> None:
    """Members who joined `days` ago and were last active `last` days ago, with their mails in the ledger."""
    since, seen = START - days * DAY, START - last * DAY
    joined: list[CommunityEvent] = [joins(actor, since, email=f"{actor.lower()}@example.com") for actor in actors]
    active: list[CommunityEvent] = [posts(actor, seen) for actor in actors]
    for moment, events in ((since, joined), (seen, active)):
        world.now = moment
        happen(world, *events)
        _reacts(world)
    world.now = START
    before = [send_item(_line(actor, number, lines, days)) for actor in actors for number in range(lines)]
    for at in range(0, len(before), 25):
        puts = [{"PutRequest": {"Item": item}} for item in before[at : at + 25]]
        world.house.client.batch_write_item(RequestItems={TABLE: puts})


def _line(actor: str, number: int, of: int, days: int) -> Send:
    """A mail that went to a member earlier, as SES has told of it."""
    at = START - min(days, 390) * DAY * (of - number) / (of + 1) - 9 * DAY
    send_id = SendId(REENGAGEMENT, f"attempt{number % 3 + 1}", an_id(actor), f"{at:%Y%m%d}x{number}")
    return Send(
        send_id=str(send_id),
        member_id=an_id(actor),
        mail="miss_you",
        status=SendStatus.SENT,
        at=at,
        planned_at=at,
        locale="en",
        subject="What you have missed in your community, in short",
        token="0" * 32,
        lease_until=at,
        message_id="0" * 60,
        variant="news",
        feedback={"send": stamp(at), "delivery": stamp(at)},
    )


def without(world: World, *programmes: str) -> None:
    """Take a programme's items off the agenda: what is counted is not about them."""
    for due in world.store.agenda():
        if due.programme in programmes:
            world.store.done(due)


def _seasoned(world: World) -> None:
    settle_in(world, people(1), days=400, last=0)


def _seen_yesterday(world: World) -> None:
    settle_in(world, people(1), days=400, last=1)


def _reacts(world: World) -> None:
    while world.queues.stream:
        world.deliver()


# --- what comes in -------------------------------------------------------------------------------

TIMED = ("slack.message", "slack.reaction_added", "discourse.post_created_reply")
"""What platforms tell most: a post, a reaction, a reply."""


def _deliver(*names: str) -> Step:
    def delivered(world: World) -> None:
        for one in map(golden, names):
            world.now = one.received_at
            post(world, one.platform, one.headers, one.body)

    return delivered


def _posts_again(world: World) -> None:
    happen(world, posts(people(1)[0], START + HOUR))
    _reacts(world)


def _posts_today(world: World) -> None:
    happen(world, posts(people(1)[0], START))
    _reacts(world)


def _new_member(world: World) -> None:
    happen(world, joins("U0NEW", START, email="u0new@example.com"))
    _reacts(world)


# --- mails ---------------------------------------------------------------------------------------


def _due_for_onboarding(world: World) -> None:
    world.tick("onboarding")
    settle_in(world, people(MANY), days=0, last=0, lines=RECENT)


def _due_for_asking(world: World) -> None:
    settle_in(world, people(MANY), days=400, last=31)
    without(world, "onboarding")
    world.now = START - 3 * DAY
    world.tick("reengagement")
    world.queues.mail.clear()
    world.now = max(due_at for programme, due_at in world.due() if programme == "reengagement")


def _tick_and_send(function: str) -> Step:
    def sent(world: World) -> None:
        world.tick(function)
        while world.queues.mail:
            world.deliver_mail(10)
        assert len(world.queues.told) == 2 * MANY, "not every mail was sent"

    return sent


def _sent(world: World) -> None:
    _due_for_onboarding(world)
    _tick_and_send("onboarding")(world)
    told, world.queues.told = world.queues.told, []
    world.queues.later = [(world.now, "mail_feedback", one.event) for one in told]


def _told(kind: str) -> Step:
    def heard(world: World) -> None:
        for _, function, event in world.queues.later:
            if event["detail"]["eventType"].lower() == kind:
                world.invoke(function, event)

    return heard


def _bounces(world: World) -> None:
    """One mail of those that were sent bounces for good."""
    _, _, told = world.queues.later[0]
    bounced = ses_event("bounce_permanent")
    tags = told["detail"]["mail"]["tags"]
    mail = {**bounced["detail"]["mail"], "tags": tags, "timestamp": stamp(world.now)}
    world.invoke("mail_feedback", {**bounced, "detail": {**bounced["detail"], "mail": mail}})


def _planned_at_night(world: World) -> None:
    settle_in(world, people(MANY), days=400, last=31)
    without(world, "onboarding", "reengagement")
    world.now = NIGHT
    world.tick("mail_followups")
    planned = [
        PlannedMail(
            send_id=str(SendId(REENGAGEMENT, "attempt1", an_id(one), "20300107")), mail="miss_you", planned_at=NIGHT
        )
        for one in people(MANY)
    ]
    world.app.queue.put(planned)
    world.collect()


def _put_off(world: World) -> None:
    """The mails are put off until the morning, and queued again then."""
    while world.queues.mail:
        world.deliver_mail(10)
    world.now = max(due_at for programme, due_at in world.due() if programme == "mail")
    world.tick("mail_followups")
    assert len(world.queues.mail) == MANY, "not every mail was put off"
    world.queues.mail.clear()


# --- links, referrals, measuring -----------------------------------------------------------------


def _visit(world: World, path: str, method: str = "GET", form: Mapping[str, str] | None = None) -> None:
    event = {
        "rawPath": f"/l/{path}",
        "headers": {"accept-language": "en", "user-agent": BROWSER},
        "requestContext": {"http": {"method": method}},
        "isBase64Encoded": False,
        "body": urlencode(form or {}),
    }
    _, answer = world.invoke("links", event)
    assert answer["statusCode"] in {200, 302}, answer


def _clicks(world: World) -> None:
    _visit(world, f"r/{world.app.signer.code(an_id(people(1)[0]))}")


def _unsubscribes(world: World) -> None:
    path = f"u/{world.app.signer.sign('unsubscribe', an_id(people(1)[0]))}"
    _visit(world, path)
    _visit(world, path, "POST", {"List-Unsubscribe": "One-Click"})


def _brings_a_friend(world: World) -> None:
    flow = FLOWS["referral to reward"]
    flow.begins(world)
    world.run(world.now + flow.quiet_after)


def _a_day(members: int, posts_each: int) -> Step:
    """A day on which so many members each posted so often, which has just ended."""

    def lived(world: World) -> None:
        actors = people(members)
        settle_in(world, actors, days=400, last=35, lines=0)
        for moment in (START - 2 * DAY, START - DAY, START - HOUR):
            world.now = moment
            world.tick("metrics_rollup")
        world.now = START
        happen(world, *(posts(one, START + timedelta(minutes=n)) for one in actors for n in range(posts_each)))
        _reacts(world)
        world.now = START + HOUR

    return lived


def _measure(world: World) -> None:
    world.tick("metrics_rollup")


def _ended(lived: Step) -> Step:
    def measured(world: World) -> None:
        lived(world)
        world.tick("metrics_rollup")
        world.now = NIGHT + HOUR + timedelta(minutes=7)

    return measured


def _a_week(world: World) -> None:
    FLOWS["report"].before(world)


def _report(kind: str) -> Step:
    def made(world: World) -> None:
        world.invoke("manager_report", {"kind": kind, "scheduled_time": world.now.isoformat()})

    return made


def _quiet_month(world: World) -> None:
    """A community in which nothing is due, with a month behind it."""
    settle_in(world, people(3), days=30, last=0, lines=0)
    without(world, "onboarding", "reengagement")
    world.tick(*TICKING)
    world.now = START + HOUR


def _idle(function: str) -> Step:
    def ticked(world: World) -> None:
        world.tick(function)

    return ticked


FEW, MORE, OFTEN = 20, 60, 16
"""Members and posts of the days that are measured: the difference between two of them is the share of one."""


GOLDEN = "webhook to log"
"""The flow whose world begins when the golden deliveries were received."""

UNITS: Mapping[str, Unit] = {
    "webhook": Unit(says="an event is received and logged", does=_deliver(*TIMED), per=len(TIMED), flow=GOLDEN),
    "webhook untimed": Unit(
        says="an event without a time of its own is received and logged",
        does=_deliver("discourse.post_liked"),
        flow=GOLDEN,
    ),
    "webhook again": Unit(
        says="a delivery comes once more",
        before=_deliver("slack.message"),
        does=_deliver("slack.message"),
        flow=GOLDEN,
    ),
    "webhook unused": Unit(
        says="a delivery that is not used, such as an edit", does=_deliver("slack.message_changed"), flow=GOLDEN
    ),
    "reaction": Unit(says="an event of a member who was active that day", before=_seasoned, does=_posts_again),
    "first of a day": Unit(says="a member's first event of a day", before=_seen_yesterday, does=_posts_today),
    "new member": Unit(says="somebody joins", does=_new_member),
    "onboarding mail": Unit(
        says="a mail of the onboarding, from the tick until SES has it",
        before=_due_for_onboarding,
        does=_tick_and_send("onboarding"),
        per=MANY,
    ),
    "attempt": Unit(
        says="a silent member is asked to come back, from the tick until SES has the mail",
        before=_due_for_asking,
        does=_tick_and_send("reengagement"),
        per=MANY,
    ),
    "put off": Unit(says="a mail waits for the morning", before=_planned_at_night, does=_put_off, per=MANY),
    "ses send": Unit(says="SES tells of a mail: send", before=_sent, does=_told("send"), per=MANY),
    "ses delivery": Unit(says="SES tells of a mail: delivery", before=_sent, does=_told("delivery"), per=MANY),
    "bounce": Unit(says="SES tells that a mail bounced for good", before=_sent, does=_bounces),
    "click": Unit(says="a visit to a referral link", before=_seasoned, does=_clicks),
    "unsubscribe": Unit(says="somebody opens the page to unsubscribe, and does", before=_seasoned, does=_unsubscribes),
    "friend": Unit(
        says="a friend counts, with the rewards, and all are told",
        before=FLOWS["referral to reward"].before,
        does=_brings_a_friend,
        flow="referral to reward",
    ),
    **{
        f"idle {function}": Unit(
            says=f"a tick of {function} with nothing due", before=_quiet_month, does=_idle(function)
        )
        for function in TICKING
    },
    "day so far": Unit(says=f"today of {FEW} members is measured", before=_a_day(FEW, 1), does=_measure),
    "event measured": Unit(
        says="an event of a measured day",
        before=_a_day(FEW, OFTEN),
        does=_measure,
        per=FEW * (OFTEN - 1),
        less="day so far",
    ),
    "member measured": Unit(
        says="a member who was active on a measured day, and their first event of it",
        before=_a_day(MORE, 1),
        does=_measure,
        per=MORE - FEW,
        less="day so far",
    ),
    "day over": Unit(
        says=f"a day of {FEW} members is measured when it is over", before=_ended(_a_day(FEW, 1)), does=_measure
    ),
    "member of a day over": Unit(
        says="a member who was active on a day that is over, and their first event of it",
        before=_ended(_a_day(MORE, 1)),
        does=_measure,
        per=MORE - FEW,
        less="day over",
    ),
    **{
        f"{kind} report": Unit(
            says=f"a {kind} report is made, and its mails planned", before=_a_week, does=_report(kind), flow="report"
        )
        for kind in ("daily", "weekly", "monthly")
    },
}
"""By name; what a share is taken off comes before what it is taken off."""
