"""A tick with 20 items due, in communities of 1,000, 10,000 and 100,000 members, through the real handler.

The table is held in memory behind the wire and queried by its index, as DynamoDB does; what DynamoDB itself takes for
that is not measured. What this shows is that our own code asks the same and does the same however many there are.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from datetime import timedelta

from shared.programmes import onboarding
from tests.bench.members import a_new_member, agenda_of, enrolled, items_of, the_function
from tests.bench.rows import Row, cpu, in_turns
from tests.bench.wire import Table, Wire, an_app
from tests.builders import JOINED, a_playbook
from tests.invocation import Context

DUE = 20
COMMUNITIES = (1_000, 10_000, 100_000)
TIMES = 5

Tick = Callable[[], float]


def rows() -> Iterator[Row]:
    """CPU of a tick, the largest community beside the smallest, and the requests of each."""
    tables = [a_community(members) for members in COMMUNITIES]
    gc.freeze()  # what stands in memory here stands in DynamoDB elsewhere: it must not cost us collections
    onboarding_function = the_function("onboarding")
    wire, app, context = Wire(), an_app(), Context()
    app.clock = lambda: JOINED  # type: ignore[method-assign]
    onboarding_function.app = lambda: app

    def tick() -> None:
        onboarding_function.handler({}, context)

    def measured(table: Table) -> Tick:
        def ms() -> float:
            wire.says(Query=table.query, BatchGetItem=table.batch_get)
            tick()  # the wire has now been asked everything once
            return cpu(tick, times=TIMES) * 1000

        return ms

    requests = {}
    for members, table in zip(COMMUNITIES, tables, strict=True):
        wire.says(Query=table.query, BatchGetItem=table.batch_get)
        tick()
        requests[f"requests at {members:,}"] = dict(wire.requests)
    assert requests["requests at 1,000"]["PutItem"] == DUE
    assert len({str(asked) for asked in requests.values()}) == 1, requests
    smallest, *others = map(measured, tables)
    for members, ours in zip(COMMUNITIES[1:], others, strict=True):
        mine, theirs = in_turns(ours, smallest)
        yield Row(
            name=f"tick.{members}",
            ours=mine,
            other=theirs,
            unit="ms CPU",
            other_is=f"the same tick at {COMMUNITIES[0]:,} members",
            most=1.1,
            facts={name: asked for name, asked in requests.items() if f"{members:,}" in name},
        )


def a_community(members: int) -> Table:
    """Everybody is on the agenda, 20 of them now."""
    people = [a_new_member(number) for number in range(members)]
    later = JOINED + timedelta(days=1)
    dues = [enrolled(member, due_at=JOINED if at < DUE else later) for at, member in enumerate(people)]
    plan = onboarding.plan(a_playbook(at_any_hour=True))
    return Table([*items_of(people), *agenda_of(dues, plan)])
