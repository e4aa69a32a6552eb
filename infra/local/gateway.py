"""Runs MiniStack so that it cannot outlive who started it: when the starter's end of stdin closes, the group ends.

Started as `python -m infra.local.gateway`, at the head of its own process group, which its Lambda workers join.
MiniStack unpacks code and layers anew for every worker; here an archive is unpacked once, and each worker gets links.
It takes records of the stream that a function reports as failed for done, and has all workers of a function die with
one that does not get to start; here, as on AWS, such records come again, and a worker dies alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from threading import Lock, Thread
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

from ministack.app import main  # type: ignore[import-untyped]
from ministack.core import lambda_runtime  # type: ignore[import-untyped]
from ministack.services import lambda_svc  # type: ignore[import-untyped]

_UNPACKING = Lock()

Execute = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]
"""Runs a function on an event; what became of it, with `error` when it failed."""


class UnpackedOnce(ZipFile):
    """An archive whose second unpacking costs a few links: its content is only read."""

    def extractall(self, path: Any = None, members: Any = None, pwd: Any = None) -> None:  # noqa: ANN401 - ZipFile's own
        """Unpack everything to `path`, as links to what was unpacked before."""
        names = "".join(f"{entry.filename}\0{entry.CRC}\0" for entry in self.infolist())
        content = Path(os.environ["TMPDIR"]) / "unpacked" / sha256(names.encode()).hexdigest()[:16]
        with _UNPACKING:
            if not content.exists():
                super().extractall(content, members, pwd)
        for entry in content.iterdir():
            (Path(path) / entry.name).symlink_to(entry)


def with_failed_records_again(execute: Execute) -> Execute:
    """A batch of the stream has failed when any of its records has, and then comes again as a whole.

    AWS begins again at the first of them; what is done twice before it is the same as once.
    """

    def executed(function: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
        result = execute(function, event)
        records, body = event.get("Records") or [{}], result.get("body")
        failed = body.get("batchItemFailures") if isinstance(body, dict) else None
        if not failed or records[0].get("eventSource") != "aws:dynamodb":
            return result
        told = {"errorType": "RecordsFailed", "errorMessage": f"{len(failed)} of {len(records)}"}
        return {**result, "error": True, "body": told}

    return executed


def dying_alone(invoke: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """A worker that cannot start has its invocation fail, and no other worker's."""

    def invoked(worker: Any, *arguments: Any, **named: Any) -> dict[str, Any]:  # noqa: ANN401 - MiniStack's own
        try:
            return invoke(worker, *arguments, **named)
        except Exception as exc:  # noqa: BLE001 - answered, as the death of a worker that has started is
            worker.kill()
            return {"status": "error", "error": f"Worker did not start: {exc}"}

    return invoked


def _end_with_the_starter() -> None:
    sys.stdin.buffer.read()
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    lambda_runtime.zipfile = SimpleNamespace(**{**vars(zipfile), "ZipFile": UnpackedOnce})
    lambda_runtime.Worker.invoke = dying_alone(lambda_runtime.Worker.invoke)
    lambda_svc._execute_function = with_failed_records_again(lambda_svc._execute_function)  # noqa: SLF001 - the one place
    Thread(target=_end_with_the_starter, daemon=True).start()
    main()
