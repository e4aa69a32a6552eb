"""What a run comes to, in figures."""

from __future__ import annotations

from collections import Counter
from typing import Any

from infra.letters import QUEUES
from infra.local.summary import outcome
from tests.builders import a_playbook
from tests.load.running import Load, Run
from tests.load.verdicts import Stands, verdicts

SHOWN = 5
"""Faults of a kind that are told in full."""


def stands(load: Load) -> Stands:
    """What stands in the stack that was loaded."""
    found = outcome(load.stack, a_playbook())
    letters = sum(load.waiting(f"{queue}QueueUrl") for queue in QUEUES)
    return Stands(found=found, agenda=load.store.agenda(), letters=letters)


def figures(run: Run, found: Stands) -> dict[str, Any]:
    """What was done, what came of it, and what is wrong with it."""
    tally, faults = run.tally, verdicts(run, found)
    taken = {message["MessageId"] for message in found.found.inbox} - {send.message_id for send in found.mails}
    return {
        "seed": run.plan.seed,
        "minutes": round(run.sent_for / 60, 2),
        "senders": run.senders,
        "accepted_a_second_by_senders": run.rates,
        "seconds_of_a_cold_start": round(run.cold_start, 1),
        "deliveries": {
            "posted": tally.posted,
            "a_second": round(tally.posted / run.sent_for, 1),
            "retried": tally.retried,
            "duplicates": tally.duplicates,
            "forged": tally.forged,
            "answers": dict(sorted(tally.statuses.items())),
            "seconds_to_2xx": _quantiles(sorted(tally.seconds)),
        },
        "events": {
            "accepted": tally.accepted.total(),
            "logged": len(found.found.events),
            "given_up": tally.given_up.total(),
        },
        "members": len(found.found.members),
        "killed": dict(run.killed.most_common()),
        "batches_that_died": dict(run.died.most_common()),
        "dead_letters_redriven": dict(run.redriven),
        "mails": {
            "planned": len(found.mails),
            **Counter(str(send.status) for send in found.mails),
            "accepted_by_ses": len(found.found.inbox),
            "parked_though_accepted": len(taken),
        },
        "violations": {kind: len(told) for kind, told in faults.items()},
        "told": {kind: told[:SHOWN] for kind, told in faults.items() if told},
    }


def _quantiles(seconds: list[float]) -> dict[str, float]:
    shares = {"median": 0.5, "p95": 0.95, "p99": 0.99}
    return {name: round(seconds[int(share * (len(seconds) - 1))], 3) for name, share in shares.items() if seconds}
