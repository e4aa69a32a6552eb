"""`make sizes`: what each function unpacks at a cold start, code and layers, beside what it may.

Arguments: `lambda` for the wheels that are deployed, which is the default, or `host` for this machine's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import cast, get_args

from infra import ROOT, bundle, mails
from infra.bundle import Asset, Machine
from shared import playbook

DRAWS = "manager_report"
"""The one function with the layer to draw with."""

MOST = 45_000_000
MOST_DRAWING = 200_000_000
"""Bytes that a function may come to, and the one that draws: Lambda's own limit is 250 MB."""


def unpacked(code: Asset, layer: Asset, drawing: Asset) -> dict[str, int]:
    """Bytes that each function unpacks."""
    names = sorted(file.stem for file in (ROOT / "functions").glob("*.py") if file.stem != "__init__")
    both = weight(code) + weight(layer)
    return {name: both + (weight(drawing) if name == DRAWS else 0) for name in names}


def weight(asset: Asset) -> int:
    """Bytes of what is in an asset."""
    return sum(file.stat().st_size for file in asset.folder.rglob("*") if file.is_file())


def most(function: str) -> int:
    """Bytes that a function may come to."""
    return MOST_DRAWING if function == DRAWS else MOST


def assets(machine: Machine) -> tuple[Asset, Asset, Asset]:
    """The code and both layers for a machine, built where they are not."""
    code = bundle.code(playbook.load(ROOT / "playbook.yaml", mails=mails.written(bundle.MAILS)))
    return code, bundle.layer(machine), bundle.layer(machine, "report")


def main(arguments: Sequence[str]) -> int:
    """Print the sizes; 1 when one is too large, 2 for a machine that is none."""
    asked = arguments[0] if arguments else "lambda"
    if asked not in get_args(Machine):
        print(f"sizes: the machine must be lambda or host; got {asked!r}", file=sys.stderr)
        return 2
    built = assets(cast("Machine", asked))
    print(*built, sep="\n")
    found = unpacked(*built)
    for name, size in found.items():
        print(f"  {name:18} {size / 1e6:6.1f} MB unpacked, of {most(name) / 1e6:.0f}")
    return int(any(size > most(name) for name, size in found.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
