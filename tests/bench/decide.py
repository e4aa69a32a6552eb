"""How many onboarding decisions one core makes in a second, over the cases that there are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from statistics import median

from shared.actions import Advance, Done, SendMail, Skip
from shared.programmes import onboarding
from tests.bench.rows import RUNS, Row, cpu
from tests.builders import JOINED, a_member, a_playbook, an_enrolment

TIMES = 150


def rows() -> Iterator[Row]:
    """Decisions a second: a mail that is due, one that is not needed or still waited for, no address yet, the end."""
    playbook = a_playbook()
    steps = [step.key for step in playbook.onboarding.steps]
    checked = an_enrolment(settled=steps[:3], last_sent_at=JOINED)
    sent = an_enrolment(settled=steps[:1], last_sent_at=JOINED)
    over = an_enrolment(settled=steps, last_sent_at=JOINED)
    answered = a_member(survey_answered_at=JOINED)
    cases = (
        (an_enrolment(), a_member(), JOINED),
        (sent, a_member(), JOINED + timedelta(hours=1)),
        (sent, a_member(), JOINED + timedelta(days=2)),
        (an_enrolment(), a_member(email=None), JOINED),
        (checked, answered, JOINED + timedelta(days=15)),
        (over, a_member(), JOINED + timedelta(days=400)),
    )
    decided = [action for due, member, now in cases for action in onboarding.on_due(due, member, playbook, now)]
    assert {type(action) for action in decided} == {SendMail, Skip, Advance, Done}

    def round_of_cases() -> None:
        for due, member, now in cases:
            onboarding.on_due(due, member, playbook, now)

    rates = [len(cases) / cpu(round_of_cases, times=TIMES) for _ in range(RUNS)]
    yield Row(
        name="decide",
        ours=median(rates),
        other=None,
        unit="a second",
        other_is="",
        least=50_000,
        facts={"cases": len(cases)},
    )
