"""`make audit` when the network is away, with a `uv` that does what the real one does then."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from shutil import which

import pytest

from tests.builders import ROOT

AWAY = """Traceback (most recent call last):
  File "adapters.py", line 723, in send
requests.exceptions.ProxyError: HTTPSConnectionPool(host='index.example.com', port=443): Max retries exceeded"""
NOT_AUDITED = "Nothing was audited: the register of known holes did not answer (requests.exceptions.ProxyError).\n"
HOLE = "Found 1 known vulnerability in 1 package"


@pytest.mark.parametrize(
    ("code", "said", "told"),
    [
        (1, AWAY, NOT_AUDITED),
        (1, HOLE, f"{HOLE}\n"),
        (0, "No known vulnerabilities found", "No known vulnerabilities found\nNo known vulnerabilities found\n"),
    ],
)
def test_an_audit_tells_a_hole_from_a_network_that_is_away(tmp_path: Path, code: int, said: str, told: str) -> None:
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{said}\nEND\nexit {code}\n")
    uv.chmod(0o755)
    ran = subprocess.run(
        [str(which("make")), "--no-print-directory", "--old-file", ".venv/.ready", "audit", f"BIN={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
    )
    assert ran.stderr.replace("make: *** [Makefile", "\0").split("\0")[0] == told
    assert bool(ran.returncode) == bool(code)
