"""Runs MiniStack so that it cannot outlive who started it: when the starter's end of stdin closes, the group ends.

Started as `python -m infra.local.gateway`, at the head of its own process group, which its Lambda workers join.
MiniStack unpacks code and layers anew for every worker; here an archive is unpacked once, and each worker gets links.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from hashlib import sha256
from pathlib import Path
from threading import Lock, Thread
from types import SimpleNamespace
from typing import Any
from zipfile import BadZipFile, ZipFile

from ministack.app import main  # type: ignore[import-untyped]
from ministack.core import lambda_runtime  # type: ignore[import-untyped]

_UNPACKING = Lock()


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


def _end_with_the_starter() -> None:
    sys.stdin.buffer.read()
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    lambda_runtime.zipfile = SimpleNamespace(ZipFile=UnpackedOnce, BadZipFile=BadZipFile)
    Thread(target=_end_with_the_starter, daemon=True).start()
    main()
