"""How much of the account's send rate one mailer uses, and that no mail is lost, twice or refused.

The real handler and the real SES client over HTTP; the table is in memory, at the wire, and takes its time. A machine
whose processors are busy with something else cannot show it: `SLOWER=10 make bench ARGS=mail_rate` lets ten seconds be
one, for SES, the table and the pace alike, and not for what a mail takes of the processor.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, process_time, sleep
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import mailer
from infra.mailers import AT_ONCE, BATCH
from shared.app import App
from shared.model import Member, PlannedMail, SendId
from shared.ses import Pace
from tests.bench.fake_ses import running, told_by
from tests.bench.memory import Memory
from tests.bench.rows import Row
from tests.bench.stage import an_app, some_members
from tests.builders import JOINED

SLOWER = float(os.environ.get("SLOWER", "1"))
"""How many of our seconds one of the benchmark's takes."""

RATE, LATENCY, TABLE_LATENCY = 200, 0.06, 0.005
"""Mails a second; seconds."""

MAILS = 3_000
WARM = 2.0
"""Seconds at the beginning that do not count: the first second of a pace may be a burst."""


class Context(LambdaContext):
    """What Lambda tells: a minute for each batch."""

    def __init__(self) -> None:
        self._function_name = self._aws_request_id = "mailer"
        self._memory_limit_in_mb = 1769
        self._invoked_function_arn = "arn:aws:lambda:eu-west-1:000000000000:function:mailer"
        self._ends = monotonic() + 60 * SLOWER

    def get_remaining_time_in_millis(self) -> int:  # type: ignore[override]
        return int((self._ends - monotonic()) / SLOWER * 1000)


def rows() -> Iterator[Row]:
    """The mails accepted a second, sustained, beside the limit."""
    with running(RATE, LATENCY, slower=SLOWER) as url, TemporaryDirectory() as folder:
        os.environ["AWS_ENDPOINT_URL_SESV2"] = url
        memory = Memory(latency=TABLE_LATENCY * SLOWER)
        app = an_app(memory, Path(folder), mailer_workers=1, mails_at_once=AT_ONCE)
        app.pace = Pace(RATE, monotonic=lambda: monotonic() / SLOWER, sleep=lambda seconds: sleep(seconds * SLOWER))
        planned = [_planned(member, app) for member, _ in some_members(MAILS)]
        began, cpu = monotonic(), process_time()
        again = _deliver(planned, app)
        spent, took = process_time() - cpu, (monotonic() - began) / SLOWER
        told = told_by(url)
    yield Row(
        name="mail.rate",
        ours=_sustained([at for _, at in told["accepted"]]),
        other=RATE,
        unit="mails/s",
        other_is=f"the limit; {LATENCY * 1000:.0f} ms to SES, {TABLE_LATENCY * 1000:.0f} ms to the table",
        runs=1,
        least=0.95 * RATE,
        facts={
            "mails": MAILS,
            **_fates(planned, told, memory),
            "come again": again,
            "in all a second": round(MAILS / took, 1),
            "ms of CPU a mail": round(spent / MAILS * 1000, 2),
            "batch, in hand": f"{BATCH}, {AT_ONCE}",
            "seconds slower": SLOWER,
        },
    )


def _planned(member: Member, app: App) -> PlannedMail:
    app.store.create_member(member)
    send_id = SendId("onboarding", "welcome", member.id)
    return PlannedMail(send_id=str(send_id), mail="welcome", planned_at=JOINED)


def _deliver(planned: Sequence[PlannedMail], app: App) -> int:
    """Give the handler batch after batch, as fast as it takes them; how many mails it wants again."""
    app.clock = lambda: JOINED  # type: ignore[method-assign]
    vars(mailer)["app"] = lambda: app
    again = 0
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        vars(mailer.logger.registered_handler)["stream"] = nowhere
        for start in range(0, len(planned), BATCH):
            records = [
                {"messageId": mail.send_id, "body": mail.model_dump_json(), "eventSource": "aws:sqs"}
                for mail in planned[start : start + BATCH]
            ]
            again += len(mailer.handler({"Records": records}, Context())["batchItemFailures"])
    return again


def _sustained(accepted: Sequence[float]) -> float:
    """Mails a second, after the first seconds."""
    steady = [at for at in accepted if at >= accepted[0] + WARM]
    return (len(steady) - 1) / (steady[-1] - steady[0])


def _fates(planned: Sequence[PlannedMail], told: Mapping[str, Any], memory: Memory) -> dict[str, int]:
    """What became of the mails: by the ledger, and by SES."""
    ledger = Counter(
        item["status"]["S"] for items in memory.items.values() for item in items.values() if "mail" in item
    )
    accepted = Counter(tag for tag, _ in told["accepted"])
    waiting = {item["key"]["S"] for items in memory.items.values() for item in items.values() if "due_at" in item}
    gone = {mail.send_id for mail in planned if SendId.parse(mail.send_id).tag in accepted}
    return {
        "sent": ledger["sent"],
        "refused": told["refused"],
        "deferred": ledger["deferred"],
        "lost": len({mail.send_id for mail in planned} - gone - waiting),
        "twice": sum(times > 1 for times in accepted.values()),
    }
