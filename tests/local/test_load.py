"""Webhooks while the stack's processes are killed: nothing that was accepted is lost, and everything is settled.

The short form of `make load`, on a stack of its own.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from infra.local.demo import SECRETS
from infra.local.people import START
from infra.local.stack import LocalStack, running
from shared.model import Member, Send, SendStatus
from shared.store import keys
from tests.load import killing
from tests.load.figures import figures, stands
from tests.load.killing import Worker, kill, workers
from tests.load.running import Load, Plan, Run
from tests.load.senders import Tally
from tests.load.verdicts import Stands, verdicts

pytestmark = [
    pytest.mark.local,
    pytest.mark.skipif(not killing.supported(), reason="processes are found and killed here as Linux has it"),
]

PLAN = Plan(seconds=12, third_day=5, senders=2, seed=11, every=1.5, least_accepted=10, least_killed=3)


@pytest.fixture(scope="module")
def loaded() -> Iterator[LocalStack]:
    with running(secrets=SECRETS) as started:
        yield started


@pytest.fixture(scope="module")
def after(loaded: LocalStack) -> tuple[Run, Stands]:
    """What was done to the stack, and what stands in it when it has come to rest."""
    load = Load(loaded, PLAN)
    return load.go(), stands(load)


def test_nothing_is_lost_or_done_twice_while_workers_die(after: tuple[Run, Stands]) -> None:
    told = figures(*after)
    assert told["told"] == {}
    assert told["events"]["logged"] == told["events"]["accepted"]


def test_there_was_a_load(after: tuple[Run, Stands]) -> None:
    told = figures(*after)
    assert sum(told["killed"].values()) >= PLAN.least_killed
    assert told["deliveries"]["forged"] > 0
    assert told["deliveries"]["duplicates"] > 0
    assert told["members"] > 1
    assert told["mails"]["sent"] > 1


def spoiled(found: Stands, **changes: Any) -> Stands:
    return replace(found, found=replace(found.found, **changes))


def marked(found: Stands, status: SendStatus, reason: str | None) -> list[Send]:
    return [send.model_copy(update={"status": status, "reason": reason}) for send in found.found.sends]


def unseen(found: Stands) -> dict[str, Member]:
    return {name: one.model_copy(update={"active_days": frozenset()}) for name, one in found.found.members.items()}


FAULTS: dict[str, Callable[[Stands], Stands]] = {
    "lost_events": lambda found: spoiled(found, events=found.found.events[1:]),
    "invented_events": lambda found: spoiled(found, events=found.found.events + found.found.events[:1]),
    "not_reacted_to": lambda found: spoiled(found, members=unseen(found)),
    "no_timer": lambda found: replace(found, agenda=[]),
    "overdue": lambda found: replace(found, agenda=[found.agenda[0].model_copy(update={"due_at": START})]),
    "open_sends": lambda found: spoiled(found, sends=marked(found, SendStatus.CLAIMED, None)),
    "unplanned_mails": lambda found: spoiled(found, sends=[]),
    "marketing_twice": lambda found: spoiled(found, inbox=found.found.inbox * 2),
    "sent_but_not_there": lambda found: spoiled(found, inbox=[]),
    "there_but_not_sent": lambda found: spoiled(found, sends=marked(found, SendStatus.SKIPPED, "stale")),
    "parked_without_a_death": lambda found: spoiled(found, sends=marked(found, SendStatus.PARKED, "in_doubt")),
    "dead_letters": lambda found: replace(found, letters=1),
}
"""What a stack would look like that had done one thing wrong."""


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_would_be_seen(after: tuple[Run, Stands], kind: str) -> None:
    run, found = after
    assert verdicts(run, FAULTS[kind](found))[kind]


def test_what_was_answered_wrongly_or_does_not_rest_is_seen(after: tuple[Run, Stands]) -> None:
    run, found = after
    tally = Tally(given_up=run.tally.accepted, wrong=["401 in place of 2"])
    seen = verdicts(replace(run, tally=tally, unrest=["5 messages in the queues"]), found)
    assert seen["not_at_rest"]
    assert seen["never_accepted"]
    assert seen["answered_wrongly"]


@pytest.mark.usefixtures("after")
def test_nobody_else_can_be_killed(loaded: LocalStack) -> None:
    alive = {worker.pid for worker in workers(loaded.machine)}
    assert alive
    assert loaded.machine.group not in alive
    line = [sys.executable, "-c", "input()", str(loaded.machine.folder / "tmp" / "ministack-lambda-mine")]
    with subprocess.Popen(line, stdin=subprocess.PIPE) as other:
        assert not kill(Worker(other.pid, "mailer", busy=True), loaded.machine)
        assert not kill(Worker(loaded.machine.group, "mailer", busy=True), loaded.machine)
        assert other.poll() is None
        other.kill()


@pytest.mark.usefixtures("after")
def test_a_record_of_the_stream_that_fails_comes_again(loaded: LocalStack) -> None:
    """The last test on this stack: what cannot be read stays at the head of the stream."""
    item = {"pk": {"S": keys.log_partition(START.date(), 0)}, "sk": {"S": "slack:U1#nothing"}, "event": {"S": "{}"}}
    loaded.dynamodb.put_item(TableName=loaded.outputs["TableName"], Item=item)
    until = time.monotonic() + 30
    while loaded.machine.log.read_text(errors="replace").count("RecordsFailed") < 2 and time.monotonic() < until:
        time.sleep(0.2)
    assert loaded.machine.log.read_text(errors="replace").count("RecordsFailed") >= 2
