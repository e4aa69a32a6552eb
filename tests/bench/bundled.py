"""The bundle as it is deployed, with this machine's wheels."""

from __future__ import annotations

from infra import ROOT, bundle, mails
from shared import playbook


def code() -> bundle.Asset:
    """The code, with the mails compiled and the playbook of the repository."""
    return bundle.code(playbook.load(ROOT / "playbook.yaml", mails=mails.written(bundle.MAILS)))
