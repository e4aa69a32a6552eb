"""Who is in which group of an experiment, and what it shows. Pure: the same member is always in the same group."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from shared.model import Group


def share(*names: str) -> float:
    """A number from 0 up to 1 that these names always give, spread evenly over many of them."""
    return int.from_bytes(sha256("/".join(names).encode()).digest()[:8]) / 2**64


def group_of(programme: str, member_id: str, holdout_percent: float) -> Group:
    """Whether a member is asked, or is one of the few who are not, for good and in this programme only."""
    return "held_out" if share("holdout", programme, member_id) < holdout_percent / 100 else "treated"


def variant_of(mail: str, variants: Sequence[str], member_id: str) -> str | None:
    """Which of a mail's variants a member gets, for good; None when it has none. Independent of any holdout."""
    return variants[int(share("variant", mail, member_id) * len(variants))] if variants else None
