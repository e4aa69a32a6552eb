"""A world that lives through a plan: everything may go wrong on the way, and at the end nothing does any more."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from random import Random
from typing import Any

from shared.ledger import LEASE
from shared.members import why_not
from shared.model import Identity, SendId, member_id_of
from shared.playbook import Playbook
from shared.signing import Signer
from shared.store.items import member_of
from shared.store.wire import values
from tests.proof.faults import Fault, faults_of
from tests.proof.flows import post
from tests.proof.house import House
from tests.proof.months import DAY, HOUR, MINUTE, START, Move, Plan
from tests.proof.world import QUEUES, World

NOTHING_ELSE = timedelta(days=12)
"""After the last thing that the outside does: longer than every hold, retry and deferral of a month's plan."""

GRIM = (0.004, 0.015, 0.04)
"""How probable a fault of a call may be."""


OUTAGE = 4
"""A function that has failed so often in a row is left alone: of very many calls one would fail each time."""


class Lived:
    """One life of a plan; `chance` None is the one without faults."""

    def __init__(self, house: House, playbook: Playbook, plan: Plan, *, faulty: bool) -> None:
        self.plan, self.house, self.playbook = plan, house, playbook
        self.chance = Random(f"faults {plan.seed}") if faulty else None  # noqa: S311 - chance, no secret
        self.world = World(house, playbook, START)
        self.struck: Counter[str] = Counter()
        self.trace: list[str] = []
        self.against_their_will: list[str] = []
        self.lossy = False
        """Whether some of what SES has to tell of a mail never comes."""
        self._depth = 0
        house.outside.taken = self._taken

    def live(self) -> World:
        """Live through it all; the world as it is in the end, when it is quiet."""
        with self.world as world:
            if self.plan.measured:  # as it is from the first hour after a deploy: days count from then on
                world.tick("metrics_rollup")
            self._strike()
            for move in self.plan.moves:
                self._go_on(move.at)
                self._note(f"{move.what} {move.who} {[event['type'] for event in move.events]}")
                self._do(move)
            self._go_on(self.plan.until)
            self._strike_no_more()
            self._recover(world)
        return world

    # --- what the outside does -------------------------------------------------------------------

    def _do(self, move: Move) -> None:
        world = self.world
        match move.what:
            case "told":
                self._tell(move)
            case "refuses":
                token = Signer(self.house.secrets["links"]).sign("unsubscribe", self._person(move.who))
                world.ask("links", one_click(token))
            case "bounces" | "softly" | "complains":
                kind = {"bounces": "bounce_permanent", "softly": "bounce_transient", "complains": "complaint"}[
                    move.what
                ]
                sent = [
                    (one, tag) for one, tag in self.house.outside.message_ids.items() if self._person(move.who) in tag
                ]
                world.queues.told += [world.told(kind, *one) for one in sent[-1:]]
            case "edited":
                self._deploy()
            case "measured":  # it comes every hour, so one that failed has others soon after it
                for hours in range(3):
                    at = world.now + hours * HOUR
                    world.queues.later.append((at, "metrics_rollup", {"scheduled_time": at.isoformat()}))
            case "reported":
                world.ask("manager_report", {"kind": "weekly", "scheduled_time": world.now.isoformat()})

    def _tell(self, move: Move) -> None:
        events = [_resolved(event, Signer(self.house.secrets["links"])) for event in move.events]
        body = json.dumps(events[0]).encode()
        post(self.world, "standard", {"webhook-id": f"{move.who}-{move.number}"}, body)

    def _person(self, name: str) -> str:
        return next(person.member_id for person in self.plan.people if person.name == name)

    def _deploy(self) -> None:
        """A step moves to another day, and the processes start anew."""
        raw = self.playbook.model_copy(deep=True)
        steps = [
            step.model_copy(update={"day": 5}) if step.key == "check_in" else step for step in raw.onboarding.steps
        ]
        edited = raw.model_copy(update={"onboarding": raw.onboarding.model_copy(update={"steps": steps})})
        self.world.playbook = edited
        self.world.app = self.world._a_process()

    def _go_on(self, until: datetime) -> None:
        if until > self.world.now:
            self.world.run(until)
        if self.chance is not None and self.chance.random() < 0.2:
            self.house.table.forget_expired(self.world.now.timestamp())

    # --- what goes wrong -------------------------------------------------------------------------

    def _strike(self) -> None:
        world, chance = self.world, self.chance
        if chance is None:
            return
        grim, self.lossy = chance.choice(GRIM), chance.random() < 0.3
        world.ses_loses = lambda: self.lossy and chance.random() < 0.3
        world.again = lambda: chance.random() < 0.04
        world.late = lambda: timedelta(0) if chance.random() < 0.7 else chance.random() * 2 * HOUR
        world.batch = lambda: chance.choice((1, 3, 100))
        world.shuffled = lambda queue: chance.sample(queue, len(queue))
        table, outside = self.house.table, self.house.outside
        table.lag = lambda pending: min(pending, chance.choice((0, 0, 0, 1, 3)))
        table.part = lambda count: count if chance.random() < 0.95 else chance.randint(1, count)
        outside.part = lambda count: count if chance.random() < 0.95 else chance.randrange(count)
        self.house.faults.draw = lambda operation: self._drawn(operation, grim)
        self.house.faults.meanwhile = self._meanwhile

    def _drawn(self, operation: str, grim: float) -> Fault | None:
        chance = self.chance
        if chance is None or chance.random() > grim or max(self.world.failed_in_a_row.values(), default=0) >= OUTAGE:
            return None
        fault = chance.choice([*faults_of(operation, first=True), Fault.THROTTLED])
        self.struck[fault.name] += 1
        self._note(f"  {operation}: {fault}")
        return fault

    def _meanwhile(self, operation: str) -> None:
        """Between two calls of one worker, others work; now and then so long that its lease is over."""
        chance = self.chance
        if chance is None or self._depth or chance.random() > 0.02:
            return
        self._depth += 1
        before, world = self.world.now, self.world
        try:
            if chance.random() < 0.15:
                world.now += LEASE + MINUTE
                self.struck["OVERSLEPT"] += 1
            what = chance.choice(("deliver", "tick", "tick"))
            self._note(f"  before {operation}, meanwhile: {what}, {world.now - before} later")
            self.struck["MEANWHILE"] += 1
            if what == "deliver":
                world.deliver()
            else:
                world.tick(chance.choice(("onboarding", "mail_followups", "referral_rewards", "reengagement")))
        finally:
            self._depth -= 1

    def _strike_no_more(self) -> None:
        world, table, outside = self.world, self.house.table, self.house.outside
        self.house.faults.draw, self.house.faults.meanwhile = lambda _: None, lambda _: None
        world.ses_loses = world.again = lambda: False
        world.late, world.batch, world.shuffled = timedelta, lambda: 100, list
        table.lag, table.part, outside.part = lambda _: 0, lambda count: count, lambda count: count

    def _recover(self, world: World) -> None:
        """The rest of the time without faults; dead letters are redriven, as a person does, and days measured."""
        self._go_on(self.plan.until + DAY)
        for kind, body in world.queues.dead:
            self._note(f"redriven: {kind}")
            self.house.outside.queued[QUEUES[kind]].append(body)
        world.queues.dead.clear()
        world.collect()
        self._go_on(self.plan.until + NOTHING_ELSE)
        for _ in range(3 if self.plan.measured else 0):
            world.tick("metrics_rollup")
            self._go_on(world.now + HOUR)

    # --- what is looked at on the way ------------------------------------------------------------

    def _taken(self, tag: str) -> None:
        """SES takes a mail: whoever it is to must not have said no before that."""
        self._note(f"  SES takes {tag}")
        send_id = SendId.parse(tag)
        item = self.house.table.state.items.get((f"MEMBER#{send_id.member_id}", "PROFILE"))
        mail = self.playbook.mails.get(_mail_of(send_id, self.playbook))
        if item is not None and mail is not None and (reason := why_not(member_of(values(item)), mail)) is not None:
            self.against_their_will.append(f"{tag} although {reason}")

    def _note(self, text: str) -> None:
        self.trace.append(f"{self.world.now:%m-%d %H:%M:%S} {text}")


def _mail_of(send_id: SendId, playbook: Playbook) -> str:
    if send_id.programme == "onboarding":
        return next(step.mail for step in playbook.onboarding.steps if step.key == send_id.step)
    return playbook.reengagement.mail if send_id.programme == "reengagement" else ""


def _resolved(event: dict[str, Any], signer: Signer) -> dict[str, Any]:
    """Who was brought by somebody has their code."""
    data = dict(event["data"])
    if brought_by := data.pop("brought_by", None):
        data["code"] = signer.code(member_id_of(Identity("shop", brought_by)))
    return {**event, "data": data}


def one_click(token: str) -> dict[str, Any]:
    """What a mail program posts when somebody unsubscribes in it."""
    return {
        "rawPath": f"/l/u/{token}",
        "requestContext": {"http": {"method": "POST"}},
        "headers": {"user-agent": "mail program"},
        "body": "List-Unsubscribe=One-Click",
        "isBase64Encoded": False,
    }
