"""Runs MiniStack so that it cannot outlive who started it: when the starter's end of stdin closes, the group ends.

Started as `python -m infra.local.gateway`, at the head of its own process group, which its Lambda workers join.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from threading import Thread

from ministack.app import main  # type: ignore[import-untyped]


def _end_with_the_starter() -> None:
    sys.stdin.buffer.read()
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    Thread(target=_end_with_the_starter, daemon=True).start()
    main()
