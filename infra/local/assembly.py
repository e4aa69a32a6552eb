"""The synthesised stack, as it goes to production but with this machine's wheels; made once for the same input.

The CDK library lives in another process: nothing here may import it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from infra import ROOT, bundle, node
from infra.local.ministack import LOCAL
from shared.errors import FlywheelError


def assembly(context: dict[str, Any] | None = None) -> Path:
    """The folder of the synthesised stack, synthesised unless it is there already. `context` is the CDK's.

    Raises FlywheelError with what `infra.app` says when it refuses: for a playbook, every problem.
    """
    context = {"machine": "host", **(context or {})}
    playbook = ROOT / context.get("playbook", "playbook.yaml")
    made_by = sorted((ROOT / "infra").glob("*.py"))
    sources = [*bundle.files(ROOT / "functions"), *bundle.files(ROOT / "shared"), *bundle.files(bundle.REQUIREMENTS)]
    facts = (json.dumps(context, sort_keys=True), bundle.python_version())
    digest = bundle.digest_of([*made_by, *sources, *([playbook] if playbook.exists() else [])], *facts)
    made = LOCAL / "assembly" / digest[:16]
    made.parent.mkdir(parents=True, exist_ok=True)
    with bundle.locked("assembly"):
        if not made.exists():
            with TemporaryDirectory(dir=LOCAL) as unfinished:
                synthesise(Path(unfinished) / "cdk.out", context)
                shutil.rmtree(made, ignore_errors=True)
                (Path(unfinished) / "cdk.out").rename(made)
            bundle.keep_newest(made.parent)
    return made


def synthesise(outdir: Path, context: dict[str, Any]) -> None:
    """Run the CDK app as the CDK's command line would, with this context."""
    environment = {name: value for name, value in node.environment().items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"CDK_OUTDIR": str(outdir), "CDK_CONTEXT_JSON": json.dumps(context)}
    ran = subprocess.run(
        [sys.executable, "-m", "infra.app"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise FlywheelError(
            ran.stderr.strip() or f"the synthesis failed with code {ran.returncode}{os.linesep}{ran.stdout}"
        )
