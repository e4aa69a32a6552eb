"""What a drip mail costs from being due to being handed over, beside django-drip-campaigns with as long a mail.

Ours decides, queues, claims, looks, writes and settles, all of it through boto3, whose requests are answered in this
process. The peer's database and transport are in its process, too.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

from botocore.client import BaseClient

from functions import mailer
from infra.mailers import BATCH
from shared.agenda import tick
from shared.app import App
from tests.bench.mail_rate import Context
from tests.bench.memory import Memory
from tests.bench.rows import Row, cpu, in_turns
from tests.bench.stage import an_app, some_members
from tests.builders import JOINED, ROOT

MAILS, RUNS = 10_000, 3


class Calls:
    """Seconds of CPU in botocore's own work, without what answers in place of AWS."""

    def __init__(self, memory: Memory) -> None:
        self.seconds = 0.0
        call = BaseClient._make_api_call  # type: ignore[attr-defined]

        def timed(client: BaseClient, *asked: Any) -> Any:
            began, spent = process_time(), memory.spent
            try:
                return call(client, *asked)
            finally:
                self.seconds += process_time() - began - (memory.spent - spent)

        BaseClient._make_api_call = timed  # type: ignore[attr-defined]


def rows() -> Iterator[Row]:
    """Milliseconds of CPU a mail, and what ours go into."""
    with TemporaryDirectory() as folder:
        memory = Memory()
        app = an_app(memory, Path(folder))
        app.clock = lambda: JOINED  # type: ignore[method-assign]
        vars(mailer)["app"] = lambda: app
        calls = Calls(memory)
        html = Path(folder) / "drip.html"
        html.write_text(_a_drip(memory, app), encoding="utf-8")
        peers: list[str] = []
        ours, other = in_turns(partial(_ours, memory, app, calls), partial(_peer, html, peers), runs=RUNS)
        a_mail = 1000 / MAILS
        yield Row(
            name="mail.peer",
            ours=ours * a_mail,
            other=other * a_mail,
            unit="ms of CPU",
            other_is=f"{peers[-1]}: SQLite and locmem",
            runs=RUNS,
            facts={
                "mails": MAILS,
                "bytes of HTML": html.stat().st_size,
                "of ours in botocore, ms": round(calls.seconds * a_mail, 2),
                "of ours in what answers for AWS, ms": round(memory.spent * a_mail, 2),
                "requests a mail": {name: round(asked / MAILS, 2) for name, asked in memory.requests.items()},
            },
        )


def _ours(memory: Memory, app: App, calls: Calls) -> float:
    """Seconds of CPU that all mails take us, of new people each time."""
    memory.forget()
    for member, due in some_members(MAILS):
        app.store.create_member(member)
        app.store.arm(due)
    tick("onboarding", app, JOINED.replace(year=2029))  # the agenda is arranged once after a deploy, not for each mail
    memory.requests.clear()
    memory.spent = calls.seconds = 0.0
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        vars(mailer.logger.registered_handler)["stream"] = nowhere
        spent = cpu(partial(_send_what_is_due, memory, app))
    assert sum(memory.mails.values()) == len(memory.mails) == MAILS
    return spent


def _send_what_is_due(memory: Memory, app: App) -> None:
    tick("onboarding", app, JOINED)
    for start in range(0, len(memory.queued), BATCH):
        bodies = enumerate(memory.queued[start : start + BATCH])
        records = [{"messageId": str(at), "body": body, "eventSource": "aws:sqs"} for at, body in bodies]
        assert mailer.handler({"Records": records}, Context()) == {"batchItemFailures": []}


def _peer(html: Path, peers: list[str]) -> float:
    command = [sys.executable, "-m", "tests.bench.drip_campaigns", str(MAILS), str(html)]
    told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout)
    peers.append(told["versions"])
    return float(told["seconds"])


def _a_drip(memory: Memory, app: App) -> str:
    """Our own mail as the peer's template: one place for the name, and one for the link that unsubscribes."""
    [(member, due)] = some_members(1)
    app.store.create_member(member)
    app.store.arm(due)
    _send_what_is_due(memory, app)
    html = str(memory.last_mail["Content"]["Simple"]["Body"]["Html"]["Data"])
    named = html.replace("Ada0", "{{ user.first_name }}")
    assert named != html
    return re.sub(r'https://links\.example\.com/l/u/[^"]+', "{{ unsubscribe_link_drip }}", named)
