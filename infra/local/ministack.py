"""One MiniStack process on loopback, with everything it starts: begun, watched and ended here.

Knows nothing of Flywheel but where its files may lie.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import httpx

from infra import ROOT, node
from shared.errors import FlywheelError, UsageError

HOST = "127.0.0.1"
REGION = "eu-west-1"
ACCOUNT = "000000000000"
LOCAL = ROOT / ".local"
RUNS = LOCAL / "run"
KEPT_RUNS = 3
"""How many finished runs keep their logs."""

QUIET = {
    # What MiniStack would open, ask or clear away beyond its one port on loopback.
    "BIND_HOST": HOST,
    "SFTP_ENABLED": "0",
    "IOT_MTLS_ENABLED": "0",
    "DOCKER_HOST": "unix:///dev/null",
    "MINISTACK_REGION": REGION,
}


class MiniStack:
    """A running MiniStack; `stop` ends it and all that it started."""

    def __init__(self, port: int | None, extra: Mapping[str, str]) -> None:
        self.port = _free(port) if port else _any_free()
        self.url = f"http://{HOST}:{self.port}"
        self.folder = RUNS / str(self.port)
        self.log = self.folder / "ministack.log"
        _forget_old_runs()
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "tmp").mkdir(parents=True)
        environment = {
            **_clean(node.environment()),
            **QUIET,
            "GATEWAY_PORT": str(self.port),
            "TMPDIR": str(self.folder / "tmp"),
            **extra,
        }
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "infra.local.gateway"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,  # its end tells the gateway that we are gone, however we went
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def group(self) -> int:
        """The process group that it and its workers are in."""
        return self._process.pid

    def wait_until_healthy(self, timeout: float = 60) -> None:
        """Return once it answers; FlywheelError with the end of its log when it does not within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise FlywheelError(f"the local AWS ended at once; {self.log} ends with:\n{tail(self.log)}")
            try:
                if httpx.get(f"{self.url}/_ministack/health", timeout=2).is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise FlywheelError(
            f"the local AWS did not answer within {timeout:g} s; {self.log} ends with:\n{tail(self.log)}"
        )

    def environment(self) -> dict[str, str]:
        """The environment in which an AWS tool talks to this MiniStack, and to nothing else."""
        return {
            **_clean(node.environment()),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ENDPOINT_URL_S3": self.url,
        }

    def stop(self) -> None:
        """End it and its workers, and wait until they are gone. May be called twice."""
        with suppress(ProcessLookupError):
            # At once: its state is only in memory, and its workers are in its group.
            os.killpg(self.group, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def _forget_old_runs() -> None:
    finished = [run for run in RUNS.glob("*") if not (run / "tmp").exists()]
    for run in sorted(finished, key=lambda run: run.stat().st_mtime)[:-KEPT_RUNS]:
        shutil.rmtree(run, ignore_errors=True)


def _clean(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without anybody's AWS account, proxies or byte code switch: the last makes every start slow."""
    unwanted = ("AWS_", "FLYWHEEL_", "CDK_", "LAMBDA_", "MINISTACK_")
    named = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "SERVICES", "AUTH", "PERSIST_STATE", "LOG_LEVEL"}
    proxies = {name for name in environment if name.lower() in {"http_proxy", "https_proxy", "all_proxy"}}
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(unwanted) and name not in named and name not in proxies
    }


def _free(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as exc:
            raise UsageError(f"port {port} is in use; give another one, or none to have a free one picked") from exc
    return port


def _any_free() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
