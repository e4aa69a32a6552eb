"""How long each function takes until it can begin: its modules, its App, its playbook and its clients.

Each is taken in a fresh process, with the byte code of the bundle. Beside it stands `import boto3` with the same
clients, as pip installs it; `facts` has the same by the bundle's own, whose descriptions of AWS hold no prose.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from statistics import median

from infra import bundle
from tests.bench.bundled import code
from tests.bench.rows import Row, in_turns

RUNS = 5

CLIENTS = {
    "webhooks": {"store": "dynamodb", "_parameters": "ssm"},
    "links": {"store": "dynamodb", "_parameters": "ssm"},
    "react": {"store": "dynamodb", "queue": "sqs"},
    "onboarding": {"store": "dynamodb", "queue": "sqs"},
    "reengagement": {"store": "dynamodb", "queue": "sqs"},
    "mailer": {"store": "dynamodb", "ses": "sesv2", "_parameters": "ssm"},
    "mail_followups": {"store": "dynamodb", "queue": "sqs"},
    "mail_feedback": {"store": "dynamodb"},
    "referral_rewards": {"store": "dynamodb", "notices": "sqs"},
    "reward_notices": {"store": "dynamodb", "queue": "sqs", "bus": "events", "_parameters": "ssm"},
    "metrics_rollup": {"store": "dynamodb"},
    "manager_report": {"store": "dynamodb", "queue": "sqs"},
}
"""The clients of each function, by what the App calls them."""

OURS = """
import sys, time
began = time.process_time()
places, function, *parts = sys.argv[1:]
sys.path += places.split(",")
import importlib
importlib.import_module("functions." + function)
from shared.app import app
for part in ("playbook", *parts):
    getattr(app(), part)
print(time.process_time() - began)
"""

OTHER = """
import sys, time
began = time.process_time()
places, *services = sys.argv[1:]
sys.path += places.split(",")
import boto3
for service in services:
    boto3.client(service)
print(time.process_time() - began)
"""


def rows() -> Iterator[Row]:
    """CPU of each function's beginning."""
    packages, drawing, ours = (asset.folder for asset in (bundle.layer("host"), bundle.layer("host", "report"), code()))
    places = [str(packages / "python"), str(drawing / "python"), str(ours)]
    installed = sysconfig.get_paths()["purelib"]
    _seconds(OTHER, installed, *bundle.SERVICES)  # from here on all of it stands there as byte code
    for name, clients in CLIENTS.items():

        def beginning(name: str = name, parts: Sequence[str] = tuple(clients)) -> float:
            return _seconds(OURS, ",".join(places), name, *parts)

        def bare(place: str = installed, services: Sequence[str] = tuple(clients.values())) -> float:
            return _seconds(OTHER, place, *services)

        mine, theirs = in_turns(lambda: beginning() * 1000, lambda: bare() * 1000, runs=RUNS)
        lean = median(bare(places[0]) for _ in range(RUNS)) * 1000
        yield Row(
            name=f"cold.{name}",
            ours=mine,
            other=theirs,
            unit="ms CPU",
            other_is=f"import boto3 and {', '.join(clients.values())}",
            runs=RUNS,
            most=None if name == "manager_report" else 1.35,
            facts={"beside the bundle's boto3": round(mine / lean, 2)},
        )


def _seconds(script: str, *arguments: str) -> float:
    """CPU as the script itself tells it: Python's own beginning is nobody's."""
    line = [sys.executable, "-I", "-S", "-c", script, *arguments]
    environment = {
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "key",
        "MPLCONFIGDIR": os.devnull,
    }
    ran = subprocess.run(line, check=True, capture_output=True, text=True, env=environment, cwd=os.sep)
    return float(json.loads(ran.stdout))
