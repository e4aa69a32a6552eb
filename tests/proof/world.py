"""A community's whole machine on one thread and in virtual time: table, queues, stream, schedules, the mail's way out.

What the services promise is kept here and no more than that: a message leaves its queue when it was acknowledged, the
stream goes on behind the last record that was dealt with, a schedule fires when its time has come.
"""

from __future__ import annotations

import io
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Self

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType

from functions import mailer, reward_notices
from infra.local.signing import sign
from shared.app import App, Settings
from shared.ledger import SEND_EVENT_WINDOW
from shared.model import stamp
from shared.playbook import Playbook
from shared.ses import Pace
from shared.store import Store
from tests.golden import SECRETS
from tests.invocation import Context
from tests.proof.dynamo import Dynamo, State
from tests.proof.faults import Death
from tests.proof.house import FUNCTIONS, House, Outside
from tests.receiver import Delivery, Reply
from tests.ses_events import event as golden_event

TABLE = "proof"
QUEUES = {"mail": "https://sqs.example.com/mail", "rewards": "https://sqs.example.com/rewards"}
MINUTE = timedelta(minutes=1)

REDELIVERED = timedelta(minutes=6)
"""Six times a function's timeout, as the queues have it."""

TICKS = {
    "onboarding": ("onboarding", MINUTE),
    "reengagement": ("reengagement", 15 * MINUTE),
    "mail": ("mail_followups", MINUTE),
    "referrals": ("referral_rewards", 5 * MINUTE),
    "reward_notices": ("referral_rewards", 5 * MINUTE),
}
"""Whose agenda is taken up by which function, how often."""

RECEIVED_AT_MOST = {"mailer": 10, "reward_notices": 5}
"""How often a message is received before it is a dead letter."""

TOO_LONG = 400
"""More rounds than any community of these needs to come to rest."""

Item = dict[str, dict[str, Any]]
Playbooks = Callable[[House], Playbook]

_TOKEN = re.compile(r"token\d+")


class Restless(Exception):
    """The machine does not come to rest."""


@dataclass
class Message:
    """A message of a queue, that is seen again from `visible_at` on."""

    body: str
    visible_at: datetime
    received: int = 0


@dataclass(frozen=True)
class Told:
    """What SES has to tell, and when it does."""

    at: datetime
    event: dict[str, Any]


@dataclass
class Queues:
    """What waits to be delivered."""

    mail: list[Message] = field(default_factory=list)
    rewards: list[Message] = field(default_factory=list)
    stream: list[Item] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    later: list[tuple[datetime, str, dict[str, Any]]] = field(default_factory=list)
    dead: list[tuple[str, str]] = field(default_factory=list)

    def copy(self) -> Queues:
        """The same, to be changed without this one."""
        mail, rewards = ([replace(message) for message in queue] for queue in (self.mail, self.rewards))
        return Queues(mail, rewards, list(self.stream), list(self.told), list(self.later), list(self.dead))


@dataclass
class Snapshot:
    """All of a world, to go on from as often as one likes."""

    table: State
    now: datetime
    queues: Queues
    outside: Outside
    deliveries: list[Delivery]
    replies: list[Reply]
    known: tuple[int, set[str]]


class World:
    """One world at a time: its calls are the ones that are struck."""

    def __init__(self, house: House, playbook: Playbook, now: datetime, *, ses_tells: bool = True) -> None:
        self.house, self.playbook, self.now = house, playbook, now
        self.queues = Queues()
        # What may go wrong with deliveries; as long as nobody says otherwise, nothing does.
        self.shuffled: Callable[[list[Any]], list[Any]] = list
        self.again: Callable[[], bool] = lambda: False
        self.late: Callable[[], timedelta] = timedelta
        self.told_late: set[str] = set()
        """The mails of which SES told only when their class may have decided already."""
        self.batch: Callable[[], int] = lambda: 100
        self.ses_loses: Callable[[], bool] = lambda: not ses_tells
        self.looked_at: Callable[[Callable[[], str]], None] = lambda _: None
        self.began: set[int] = set()
        """The numbers of the calls that were, or would have been, the first of an invocation."""
        house.table = Dynamo()
        self.store = Store(house.client, TABLE)
        """The table as the outside reaches it: no call of its is ever struck."""
        self.failed_in_a_row: Counter[str] = Counter()
        self._logged = 0
        self._told_of: set[str] = set()
        self._tokens = count(1)
        house.fresh()
        self.app = self._a_process()
        house.app = lambda: self.app
        self._clients = [
            *(self.app.store._client, self.app.queue._client, self.app.notices._client),
            *(self.app.bus._client, self.app.ses._client, self.app._parameters),
        ]

    def __enter__(self) -> Self:
        self.house.faults.begin()
        for client in self._clients:
            self.house.faults.watch(client)
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            self.house.faults.leave(client)

    # --- beginning again -------------------------------------------------------------------------

    def forget(self) -> None:
        """Let nothing be on its way, and nothing have been told to anybody: here a proof begins."""
        self.queues = Queues()
        self.house.fresh()

    def snapshot(self) -> Snapshot:
        """How all stands."""
        outside, receiver = self.house.outside, self.house.receiver
        known = (self._logged, set(self._told_of))
        told = (deepcopy(outside), list(receiver.deliveries), list(receiver.replies))
        return Snapshot(self.house.table.state.copy(), self.now, self.queues.copy(), *told, known)

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from there, in a new process."""
        self.house.table.state = snapshot.table.copy()
        self.now, self.queues = snapshot.now, snapshot.queues.copy()
        self._logged, self._told_of = snapshot.known[0], set(snapshot.known[1])
        self.house.outside = deepcopy(snapshot.outside)
        self.house.receiver.deliveries[:] = snapshot.deliveries
        self.house.receiver.replies[:] = snapshot.replies
        self.app = self._a_process()

    def _a_process(self) -> App:
        settings = Settings(
            table=TABLE,
            mail_queue_url=QUEUES["mail"],
            reward_queue_url=QUEUES["rewards"],
            rewards_secret="rewards",
            webhook_secret="webhook",
            links_secret="links",
            event_bus="flywheel",
            links_url="https://links.example.com",
            configuration_set="flywheel",
            rollup_readers=1,
        )
        app = App(settings, playbook=self.playbook, code=self.house.code)
        app.mails, app.pages = self.house.mails, self.house.pages
        app.pace = Pace(1e9, monotonic=lambda: 0.0, sleep=lambda _: None)
        app.clock = app.wire_clock = lambda: self.now  # type: ignore[method-assign]
        app.token = lambda: f"token{next(self._tokens)}"  # type: ignore[method-assign]
        return app

    # --- the table, seen from outside ------------------------------------------------------------

    def items(self) -> list[Item]:
        """Everything in the table, without a call."""
        return [plain(item) for item in self.house.table.state.items.values()]

    def due(self) -> list[tuple[str, datetime]]:
        """Every item of the agenda: whose, and when it is due."""
        return [
            (item["programme"]["S"], datetime.fromisoformat(item["due_at"]["S"]))
            for item in self.house.table.state.items.values()
            if "agenda" in item and "programme" in item
        ]

    # --- one invocation --------------------------------------------------------------------------

    def invoke(self, function: str, event: dict[str, Any]) -> tuple[bool, Any]:
        """Invoke a function; whether it ended well, and its answer. What it set off arrives with it."""
        self.began.add(len(self.house.faults.calls) + 1)
        ended, answer = True, None
        try:
            with redirect_stdout(io.StringIO()), _own_batches():
                answer = FUNCTIONS[function].handler(event, Context())
        except Death:
            ended = False
            self.house.faults.revive()
            self.app = self._a_process()
        except Exception:  # noqa: BLE001 - Lambda tells the service that invoked it no more than that either
            ended = False
        self.failed_in_a_row[function] = 0 if ended else self.failed_in_a_row[function] + 1
        self.collect()
        return ended, answer

    def _fingerprint(self) -> str:
        """All that decides what comes from here on: what stands, what waits, what was told; but no token's name."""
        stands = _TOKEN.sub("", repr(sorted(self.house.table.state.items.items())))
        outside, receiver = self.house.outside, self.house.receiver
        ids = [one.headers["webhook-id"] for one in receiver.deliveries]
        told = (outside, sorted(self._told_of), ids, receiver.replies)
        return repr((self.now, stands, self.queues, told))

    def collect(self) -> None:
        """Let what was sent meanwhile arrive."""
        self.queues.mail += [Message(body, self.now) for body in self._arrived("mail")]
        self.queues.rewards += [Message(body, self.now) for body in self._arrived("rewards")]
        logged = self.house.table.state.logged
        self.queues.stream += map(dict, logged[self._logged :])
        self._logged = len(logged)
        for message_id, tag in self.house.outside.message_ids.items():
            if message_id not in self._told_of:
                self._told_of.add(message_id)
                self.queues.told += [self.told(kind, message_id, tag) for kind in ("send", "delivery")]

    def _arrived(self, kind: str) -> list[str]:
        return self.house.outside.queued.pop(QUEUES[kind], [])

    def told(self, kind: str, message_id: str, tag: str) -> Told:
        """What SES will tell of a mail, by the name of a golden event."""
        event = deepcopy(golden_event(kind))
        mail = event["detail"]["mail"]
        mail |= {"messageId": message_id, "timestamp": stamp(self.now)}
        mail["tags"]["send"] = [tag]
        for about in ("delivery", "bounce", "complaint"):
            if about in event["detail"]:
                event["detail"][about]["timestamp"] = stamp(self.now)
        return self._tells(event)

    def _tells(self, event: dict[str, Any]) -> Told:
        late = self.late()
        if late > SEND_EVENT_WINDOW - MINUTE:
            self.told_late.update(event["detail"]["mail"]["tags"]["send"])
        return Told(self.now + late, event)

    # --- deliveries ------------------------------------------------------------------------------

    def deliver(self) -> bool:
        """Deliver what waits, once; whether there was anything."""
        waited = [self._deliver_stream(), self.deliver_told(), self._deliver_later()]
        waited += [self.deliver_mail(10)]
        waited += [self._deliver_queue("reward_notices", self.queues.rewards, 1)]
        return any(waited)

    def _deliver_stream(self) -> bool:
        batch = self.queues.stream[: self.batch()]
        del self.queues.stream[: len(batch)]
        done = self.react_to(batch) if batch else 0
        self.queues.stream[:0] = batch[0 if self.again() else done :]
        return bool(batch)

    def react_to(self, batch: list[Item]) -> int:
        """Hand a batch of the stream to `react`; how many of its records, from the first on, need not come again."""
        records = [{"dynamodb": {"SequenceNumber": str(at), "NewImage": item}} for at, item in enumerate(batch)]
        ended, answer = self.invoke("react", {"Records": records})
        failed = [int(one["itemIdentifier"]) for one in answer["batchItemFailures"]] if ended else [0]
        return min(failed, default=len(batch))

    def deliver_mail(self, most: int) -> bool:
        """Deliver so many messages of the mail queue at the most."""
        return self._deliver_queue("mailer", self.queues.mail, most)

    def deliver_told(self) -> bool:
        """Deliver what SES tells by now."""
        told = self.shuffled([one for one in self.queues.told if one.at <= self.now])
        self.queues.told = [one for one in self.queues.told if one not in told]
        for one in told:
            if self.ses_loses():
                continue
            ended, _ = self.invoke("mail_feedback", one.event)
            if not ended or self.again():
                self.queues.told.append(self._tells(one.event))
        return bool(told)

    def _deliver_later(self) -> bool:
        now = [one for one in self.queues.later if one[0] <= self.now]
        for one in now:
            self.queues.later.remove(one)
            self.ask(one[1], one[2])
        return bool(now)

    def _deliver_queue(self, function: str, queue: list[Message], most: int) -> bool:
        batch = self.shuffled([one for one in queue if one.visible_at <= self.now])[:most]
        if not batch:
            return False
        for message in batch:  # before it is worked on: meanwhile nobody else is given it
            message.received += 1
            message.visible_at = self.now + REDELIVERED
        records = [_record(at, message) for at, message in enumerate(batch)]
        ended, answer = self.invoke(function, {"Records": records})
        failed = (
            {int(one["itemIdentifier"]) for one in answer["batchItemFailures"]} if ended else set(range(len(batch)))
        )
        for at, message in enumerate(batch):
            if at not in failed and not self.again():
                queue.remove(message)
            elif message.received >= RECEIVED_AT_MOST[function]:
                queue.remove(message)
                self.queues.dead.append(("mail" if function == "mailer" else "rewards", message.body))
        return True

    # --- schedules -------------------------------------------------------------------------------

    def ask(self, function: str, event: dict[str, Any]) -> None:
        """Invoke a function as a schedule or a sender does, who comes again a minute later when it fails."""
        ended, answer = self.invoke(function, self._signed(event) if function == "webhooks" else event)
        refused = isinstance(answer, dict) and answer.get("statusCode", 200) >= 500
        if not ended or refused:
            self.queues.later.append((self.now + MINUTE, function, event))

    def _signed(self, event: dict[str, Any]) -> dict[str, Any]:
        """A delivery as its sender signs it now, and anew each time."""
        platform, body = event["pathParameters"]["platform"], event["body"].encode()
        return {**event, "headers": sign(platform, event["headers"], body, secret=SECRETS[platform], now=self.now)}

    def tick(self, *functions: str) -> None:
        """Let schedules fire. What a tick leaves undone, the next one does."""
        for function in functions:
            self.invoke(function, {"scheduled_time": self.now.isoformat()})

    def run(self, until: datetime) -> None:
        """Deliver, and let time go on from one thing that is due to the next, until nothing is before that moment."""
        for _ in range(TOO_LONG):
            self.looked_at(self._fingerprint)
            if self.deliver():
                continue
            moments = [one for one in self._moments() if one <= until]
            if not moments:
                self.now = until
                return
            self.now = max(self.now, min(moments))
            self.tick(*sorted(self._ticking()))
        raise Restless(f"still {len(self.queues.mail)} mails, {len(self.queues.stream)} events, due {self.due()[:3]}")

    def _moments(self) -> Iterable[datetime]:
        """When something is to be seen to next."""
        for programme, due_at in self.due():
            _, every = TICKS[programme]
            yield _next_tick(max(due_at, self.now + timedelta(seconds=1)), every)
        for message in (*self.queues.mail, *self.queues.rewards):
            yield message.visible_at
        yield from (at for at, _, _ in self.queues.later)
        yield from (one.at for one in self.queues.told)

    def _ticking(self) -> set[str]:
        ripe = {TICKS[programme] for programme, due_at in self.due() if due_at <= self.now}
        return {function for function, every in ripe if _next_tick(self.now, every) == self.now}


@contextmanager
def _own_batches() -> Iterator[None]:
    """Each invocation has a batch of its own: another one may be in the middle of its own."""
    functions: tuple[Any, ...] = (mailer, reward_notices)
    before = [function.processor for function in functions]
    for function in functions:
        function.processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    try:
        yield
    finally:
        for function, processor in zip(functions, before, strict=True):
            function.processor = processor


def plain(item: Mapping[str, dict[str, Any]]) -> Item:
    """An item as a client reads it: what goes over the wire as base64 is bytes."""
    return {name: {"B": b64decode(value["B"])} if "B" in value else value for name, value in item.items()}


def _record(at: int, message: Message) -> dict[str, Any]:
    return {
        "messageId": str(at),
        "body": message.body,
        "eventSource": "aws:sqs",
        "attributes": {},
        "messageAttributes": {},
    }


def _next_tick(at: datetime, every: timedelta) -> datetime:
    """The first tick of a schedule at or after a moment."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + -(-(at - midnight) // every) * every
