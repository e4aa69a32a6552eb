from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from shared import fulfilment, sending
from shared.balance import FINAL, OLD_IN_QUEUE, PATIENCE, Balance, overdue, stuck
from shared.ledger import after_the_window
from shared.model import SendStatus
from shared.programmes import PROGRAMMES, referrals
from tests.builders import JOINED, a_send

NOW = JOINED
DAY = JOINED.date()


def ago(**span: float) -> Any:
    return NOW - timedelta(**span)


def test_every_agenda_that_is_ticked_has_its_patience() -> None:
    assert set(PATIENCE) == {*PROGRAMMES, sending.AGENDA, referrals.NAME, fulfilment.AGENDA}


def test_what_is_due_within_three_ticks_is_not_overdue() -> None:
    assert overdue({"onboarding": ago(minutes=15), "reengagement": ago(minutes=45)}, NOW) == {}


def test_what_waits_longer_is_told_with_its_age() -> None:
    late = overdue({"onboarding": ago(minutes=16), "mail": ago(hours=50), "referrals": ago(minutes=29)}, NOW)
    assert late == {"onboarding": timedelta(minutes=16), "mail": timedelta(hours=50)}


@pytest.mark.parametrize(
    "changes",
    [
        {"status": SendStatus.CLAIMED, "lease_until": ago(minutes=135)},
        {"status": SendStatus.UNKNOWN, "at": ago(minutes=150)},
        {"status": SendStatus.DEFERRED, "until": ago(minutes=135), "at": ago(days=3)},
        {"status": SendStatus.DEFERRED, "until": NOW + timedelta(days=3), "at": ago(days=3)},
    ],
)
def test_an_open_mail_within_its_time_is_not_stuck(changes: dict[str, Any]) -> None:
    assert stuck([a_send(**changes)], NOW) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"status": SendStatus.CLAIMED, "lease_until": ago(minutes=136)},
        {"status": SendStatus.UNKNOWN, "at": ago(minutes=151)},
        {"status": SendStatus.DEFERRED, "until": ago(minutes=136), "at": NOW},
        {"status": SendStatus.DEFERRED, "at": ago(minutes=136)},
    ],
)
def test_a_mail_open_beyond_its_time_is_stuck(changes: dict[str, Any]) -> None:
    send = a_send(**changes)
    assert stuck([send], NOW) == [send.send_id]
    assert after_the_window(send, "service", NOW) == "again", "whoever looked now would settle it"


def test_a_mail_in_a_queue_that_is_not_old_is_not_stuck() -> None:
    follow_up = timedelta(minutes=1)
    queued = a_send(status=SendStatus.DEFERRED, until=NOW - OLD_IN_QUEUE - follow_up, at=ago(days=1))
    assert stuck([queued], NOW) == []


def test_every_state_is_final_or_open() -> None:
    assert set(SendStatus) - FINAL == {SendStatus.CLAIMED, SendStatus.UNKNOWN, SendStatus.DEFERRED}


def test_planned_mails_are_counted_over_all_days() -> None:
    days = {DAY: Counter({SendStatus.SENT: 2}), DAY - timedelta(days=1): Counter({SendStatus.PARKED: 1})}
    balance = Balance(days=days, stuck=())
    assert (balance.planned, balance.count(SendStatus.PARKED), balance.count(SendStatus.SKIPPED)) == (3, 1, 0)
