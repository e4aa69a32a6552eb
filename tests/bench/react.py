"""A batch of the stream: 100 events of members who are known and were active that day, through the real handler.

Beside it stand the very reads that this takes, made by boto3 alone, which looks at nothing that it gets.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from shared.model import Identity
from shared.store import keys
from shared.store.wire import attributes
from tests.bench.members import a_known_member, items_of, the_function
from tests.bench.rows import Row, cpu, in_turns
from tests.bench.wire import Table, Wire, an_app, replayed
from tests.builders import JOINED, posted
from tests.invocation import Context

EVENTS = 100
TIMES = 5


def rows() -> Iterator[Row]:
    """CPU of a batch."""
    react, people = the_function("react"), map(a_known_member, range(EVENTS))
    wire, app = Wire(BatchGetItem=Table(items_of(people)).batch_get), an_app()
    app.clock = lambda: JOINED + timedelta(minutes=1)  # type: ignore[method-assign]
    react.app = lambda: app
    batch, context = {"Records": [record(number) for number in range(EVENTS)]}, Context()

    with wire.recorded(app.store._client) as calls:
        assert react.handler(batch, context) == {"batchItemFailures": []}
    assert dict(wire.requests) == {"BatchGetItem": len(calls)}

    def ours() -> float:
        return cpu(lambda: react.handler(batch, context), times=TIMES) * 1000

    mine, theirs = in_turns(ours, lambda: cpu(lambda: replayed(calls), times=TIMES) * 1000)
    yield Row(
        name="react",
        ours=mine,
        other=theirs,
        unit="ms CPU",
        other_is=f"its {len(calls)} reads by boto3",
        most=1.6,
        facts={"requests": len(calls), "events": EVENTS},
    )


def record(number: int) -> dict[str, Any]:
    """One new item of the log, as the stream tells of it."""
    event = posted(id=f"slack:Ev{number}", actor=f"U{number}", channel="C1")
    pk, sk = keys.log(event.occurred_at.date(), Identity(event.platform, event.actor), event.id)
    image = {"pk": pk, "sk": sk, "event": event.model_dump_json(exclude_none=True), "expires_at": 1_928_059_200}
    return {"eventName": "INSERT", "dynamodb": {"SequenceNumber": str(number), "NewImage": attributes(image)}}
