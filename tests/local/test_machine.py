from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from infra import ROOT
from infra.local.ministack import HOST, MiniStack
from infra.local.stack import LocalStack
from shared.errors import FlywheelError, UsageError

pytestmark = pytest.mark.local

STARTER = """
from infra.local.ministack import MiniStack
machine = MiniStack(None, {})
machine.wait_until_healthy()
print(machine.group, machine.folder, flush=True)
input()
"""


@pytest.fixture
def machine() -> Iterator[MiniStack]:
    started = MiniStack(None, {})
    try:
        started.wait_until_healthy()
        yield started
    finally:
        started.stop()


def is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_port_in_use_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        with pytest.raises(UsageError, match=f"port {taken.getsockname()[1]} is in use"):
            MiniStack(taken.getsockname()[1], {})


def test_it_listens_on_nothing_but_loopback(machine: MiniStack) -> None:
    with socket.socket() as elsewhere:
        assert elsewhere.connect_ex(("127.0.0.2", machine.port)) != 0


def test_stopping_leaves_no_process_and_no_files(machine: MiniStack) -> None:
    machine.stop()
    assert not is_alive(machine.group)
    assert [file.name for file in machine.folder.iterdir()] == ["ministack.log"]


def test_it_ends_when_its_starter_is_killed() -> None:
    line = [sys.executable, "-c", STARTER]
    starter = subprocess.Popen(line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with starter:
        assert starter.stdout
        group, _folder = starter.stdout.readline().split()
        assert is_alive(int(group))
        starter.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_alive(int(group)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(int(group))


def test_schedules_fire_only_when_told(stack: LocalStack) -> None:
    schedules = stack.schedules()
    states = {stack.scheduler.get_schedule(Name=schedule.name)["State"] for schedule in schedules}
    hourly, quarters = ["cron(7 * * * ? *)", "cron(10 * * * ? *)"], "cron(0/15 * * * ? *)"
    reports = ["cron(0 8 * * ? *)", "cron(0 8 1 * ? *)", "cron(0 8 ? * MON *)"]
    ticks = ["rate(1 minute)", "rate(1 minute)", "rate(5 minutes)", *hourly, quarters]
    assert sorted(schedule.expression for schedule in schedules) == sorted([*reports, *ticks])
    assert states == {"DISABLED"}


def test_an_idle_stack_is_looked_through_without_a_failure(stack: LocalStack) -> None:
    [watch] = [schedule for schedule in stack.schedules() if "watch" in schedule.name]
    assert stack.fire(watch, datetime(2026, 3, 2, 9, tzinfo=UTC)) is None


def test_a_failing_function_raises_with_its_log(stack: LocalStack) -> None:
    webhooks = next(
        found["FunctionName"]
        for found in stack.lambda_.list_functions()["Functions"]
        if found["Handler"] == "functions.webhooks.handler"
    )
    with pytest.raises(FlywheelError, match="pathParameters"):
        stack.invoke(webhooks, "{}")


def test_an_unsigned_webhook_is_refused(stack: LocalStack) -> None:
    stack.set_clock(datetime(2026, 3, 2, 9, tzinfo=UTC))
    answer = stack.http("POST", "/webhooks/standard", json={"type": "member.joined"})
    assert answer.status_code == 401
    stack.quiet(timeout=5)
