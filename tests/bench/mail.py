"""Drip mails from the tick to SENT: the real handlers of the tick and of the mailer, with the queue between them.

Beside them stand the very calls that this takes, made by boto3 alone, and one rendering a mail of its HTML.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from shared.app import App
from shared.programmes import onboarding
from tests.bench.bundled import code
from tests.bench.members import a_new_member, agenda_of, enrolled, items_of, the_function
from tests.bench.rows import Row, cpu, in_turns
from tests.bench.wire import Table, Wire, an_app, replayed
from tests.builders import JOINED
from tests.invocation import Context

MAILS = 20
QUEUED = 10
"""Messages that the mailer is given at once."""


def rows() -> Iterator[Row]:
    """CPU of one mail."""
    people = [a_new_member(number) for number in range(MAILS)]
    app = an_app(code().folder / "shared")
    agenda = agenda_of(map(enrolled, people), onboarding.plan(app.playbook))
    table, house = Table([*items_of(people), *agenda]), House(app)
    wire = Wire(
        Query=table.query,
        BatchGetItem=table.batch_get,
        SendMessageBatch=house.keep,
        SendEmail={"MessageId": "0100"},
        GetParameter={"Parameter": {"Value": json.dumps({"current": "1", "1": "a-link-key"})}},
    )
    house.run()
    wire.requests.clear()
    with wire.recorded(app.store._client, app.queue._client, app.ses._client) as calls, house.rendered() as values:
        house.run()
    assert wire.requests["SendEmail"] == wire.requests["UpdateItem"] / 2 == MAILS
    assert wire.requests.total() == len(calls)
    requests = {name: count / MAILS for name, count in wire.requests.items()}

    def bare() -> None:
        replayed(calls)
        for one in values:
            app.mails.render("welcome/en.html", one)

    mine, theirs = in_turns(lambda: cpu(house.run) / MAILS * 1000, lambda: cpu(bare) / MAILS * 1000)
    yield Row(
        name="mail.cpu",
        ours=mine,
        other=theirs,
        unit="ms CPU",
        other_is="the same calls by boto3 and its HTML rendered once",
        most=1.4,
        facts={"requests of a mail": requests},
    )


class House:
    """The two functions, and what the one puts into the queue for the other."""

    def __init__(self, app: App) -> None:
        app.clock = lambda: JOINED  # type: ignore[method-assign]
        self._app, self._context = app, Context()
        self._onboarding, self._mailer = the_function("onboarding"), the_function("mailer")
        self._onboarding.app = self._mailer.app = lambda: app
        self._queued: list[str] = []

    def keep(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """What SQS does with a batch; it is asked only once of each, so that the queue is the same every time."""
        self._queued += [entry["MessageBody"] for entry in request["Entries"]]
        return {"Successful": [], "Failed": []}

    def run(self) -> None:
        """A tick, and then the mailer for all that it has put into the queue."""
        self._onboarding.handler({}, self._context)
        for at in range(0, len(self._queued), QUEUED):
            batch = [_message(number, body) for number, body in enumerate(self._queued[at : at + QUEUED])]
            assert self._mailer.handler({"Records": batch}, self._context) == {"batchItemFailures": []}

    @contextmanager
    def rendered(self) -> Iterator[list[Mapping[str, object]]]:
        """What each HTML that is rendered meanwhile is filled in with."""
        filled: list[Mapping[str, object]] = []
        render = self._app.mails.render

        def noting(name: str, values: Mapping[str, object]) -> str:
            if name.endswith(".html"):
                filled.append(values)
            return render(name, values)

        self._app.mails.render = noting  # type: ignore[method-assign]
        yield filled
        self._app.mails.render = render  # type: ignore[method-assign]


def _message(number: int, body: str) -> dict[str, Any]:
    return {"messageId": str(number), "body": body, "eventSource": "aws:sqs", "attributes": {}}
