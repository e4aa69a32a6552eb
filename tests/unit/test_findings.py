from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from infra import findings
from infra.findings import Finding
from shared.balance import Balance
from shared.model import Pause, SendStatus
from tests.builders import JOINED, a_playbook, at

NOW = JOINED
ZONE = ZoneInfo("Europe/Berlin")
RULES = a_playbook().breaker
DAY = date(2030, 1, 1)
HEALTHY: dict[str, Any] = {
    "SendingEnabled": True,
    "ProductionAccessEnabled": True,
    "EnforcementStatus": "HEALTHY",
    "SendQuota": {"Max24HourSend": 1000.0, "SentLast24Hours": 10.0},
}


def ago(**span: float) -> Any:
    return NOW - timedelta(**span)


class TestAgenda:
    def test_what_is_due_within_three_ticks_is_fine(self) -> None:
        assert findings.agenda({"onboarding": ago(minutes=14), "reengagement": ago(minutes=44)}, NOW).state == "fine"

    def test_what_is_later_is_told_with_how_late(self) -> None:
        found = findings.agenda({"onboarding": ago(minutes=16), "mail": ago(hours=50)}, NOW)
        assert (found.state, found.text) == ("act", "overdue: mail by 2 days, onboarding by 16 min")
        assert found.runbook == "overdue"


class TestLedger:
    def of(self, *statuses: SendStatus, stuck: Sequence[str] = ()) -> Balance:
        return Balance(days={DAY: Counter(statuses)}, stuck=stuck)

    def test_a_ledger_without_stuck_mails_balances(self) -> None:
        found = findings.ledger(self.of(SendStatus.SENT, SendStatus.SENT, SendStatus.DEFERRED))
        assert (found.state, found.text) == ("fine", "3 mails of 1 day balance")
        assert found.facts == {"2030-01-01": {"sent": 2, "deferred": 1}, "stuck": []}

    def test_a_stuck_mail_is_to_be_acted_on(self) -> None:
        found = findings.ledger(self.of(SendStatus.SENT, SendStatus.CLAIMED, stuck=["onboarding/welcome/m1/1"]))
        assert (found.state, found.runbook) == ("act", "ledger-imbalance")
        assert found.text == "1 of 2 mails open beyond their time, such as onboarding/welcome/m1/1"

    def test_parked_mails_wait_for_the_morning(self) -> None:
        days = {DAY: Counter({SendStatus.PARKED: 2}), DAY + timedelta(days=1): Counter({SendStatus.SENT: 1})}
        found = findings.parked(Balance(days=days, stuck=()))
        assert (found.state, found.text) == ("look", "2 within 2 days")
        assert findings.parked(self.of(SendStatus.SENT)).state == "fine"


class TestMarketing:
    def state(self, **pause: Any) -> str:
        paused = Pause(tripped_at=ago(days=2), reason="bounces", **pause)
        return findings.marketing(paused, RULES, zone=ZONE, now=NOW).state

    def test_a_pause_is_to_be_acted_on_until_it_is_over(self) -> None:
        assert findings.marketing(None, RULES, zone=ZONE, now=NOW).state == "fine"
        assert self.state() == "act"
        assert self.state(resumed_at=ago(hours=23)) == "look"
        assert self.state(resumed_at=ago(hours=24)) == "fine"


class TestMeasured:
    @pytest.mark.parametrize(
        ("now", "due"),
        [("2030-01-10T01:59Z", 8), ("2030-01-10T02:00Z", 9), ("2030-01-10T22:30Z", 9)],  # Berlin is an hour ahead
    )
    def test_yesterday_must_be_measured_by_three(self, now: str, due: int) -> None:
        before = {date(2030, 1, day) for day in range(1, due)}
        measured = partial(findings.measured, since_yesterday=False, zone=ZONE, now=at(now))
        assert measured(before).text == f"2030-01-{due:02} is not measured"
        assert measured(before | {date(2030, 1, due)}).state == "fine"

    def test_a_stack_that_has_just_been_deployed_has_a_day_to_measure_one(self) -> None:
        states = [findings.measured([], since_yesterday=long, zone=ZONE, now=NOW).state for long in (False, True)]
        assert states == ["look", "act"]


class TestWhatMoves:
    def test_one_dead_letter_is_to_be_acted_on(self) -> None:
        assert findings.dead({"DeadMail": 0, "DeadLog": 0}).state == "fine"
        found = findings.dead({"DeadMail": 0, "DeadLog": 2})
        assert (found.state, found.text, found.runbook) == ("act", "2 in DeadLog", "dead-letters")

    def test_a_full_queue_is_fine_and_an_old_one_is_not(self) -> None:
        waiting, long = {"Mail": 5000, "Reward": 0}, timedelta(hours=2)
        assert findings.queues(waiting, {"Mail": long, "Reward": 9 * long}).state == "fine"
        assert findings.queues(waiting, {"Mail": long + timedelta(seconds=1)}).state == "act"

    @pytest.mark.parametrize(("seconds", "state"), [(300, "fine"), (301, "look"), (3600, "look"), (3601, "act")])
    def test_a_stream_may_be_five_minutes_behind(self, seconds: int, state: str) -> None:
        assert findings.stream(timedelta(seconds=seconds)).state == state

    def test_a_stream_without_events_is_fine(self) -> None:
        assert findings.stream(None).text == "0 min behind"

    @pytest.mark.parametrize(
        ("states", "text"),
        [
            ({"a": "ENABLED", "b": "Enabled"}, "2 enabled"),
            ({"a": "ENABLED", "b": "DISABLED"}, "not enabled: b"),
            ({"a": "ENABLED"}, "1 of 2 are there"),
        ],
    )
    def test_every_schedule_must_be_there_and_enabled(self, states: dict[str, str], text: str) -> None:
        found = findings.triggers("schedules", states, 2)
        assert (found.text, found.state == "fine") == (text, text == "2 enabled")


class TestMail:
    @pytest.mark.parametrize(
        ("changes", "state"),
        [
            ({}, "fine"),
            ({"SendingEnabled": False}, "act"),
            ({"EnforcementStatus": "PROBATION"}, "act"),
            ({"ProductionAccessEnabled": False}, "look"),
            ({"SendQuota": {"Max24HourSend": 1000.0, "SentLast24Hours": 800.0}}, "look"),
            ({"SendQuota": {"Max24HourSend": 1000.0, "SentLast24Hours": 799.0}}, "fine"),
            ({"SendQuota": {"Max24HourSend": -1.0, "SentLast24Hours": 799.0}}, "fine"),  # no limit
        ],
    )
    def test_what_ses_says_of_the_account(self, changes: dict[str, Any], state: str) -> None:
        assert findings.account(HEALTHY | changes).state == state

    @pytest.mark.parametrize(
        ("bounces", "complaints", "state"),
        [(None, None, "fine"), (0.0399, 0.00079, "fine"), (0.04, None, "act"), (0.0, 0.0008, "act")],
    )
    def test_rates_are_near_where_the_breaker_trips(
        self, bounces: float | None, complaints: float | None, state: str
    ) -> None:
        assert findings.reputation(bounces, complaints, RULES).state == state

    @pytest.mark.parametrize(
        ("verified", "dkim", "mail_from", "state"),
        [
            (True, "SUCCESS", None, "fine"),
            (True, "SUCCESS", "SUCCESS", "fine"),
            (True, "SUCCESS", "FAILED", "look"),
            (True, "TEMPORARY_FAILURE", None, "act"),
            (False, "SUCCESS", None, "act"),
        ],
    )
    def test_a_domain_is_verified_and_signs(
        self, *, verified: bool, dkim: str, mail_from: str | None, state: str
    ) -> None:
        attributes = {"MailFromDomainStatus": mail_from} if mail_from else {}
        told = {"VerifiedForSendingStatus": verified, "DkimAttributes": {"Status": dkim}}
        assert findings.identity("example.com", told | {"MailFromAttributes": attributes}).state == state


def test_a_platform_without_a_secret_is_named() -> None:
    told = {"Webhook": {"slack": ["s"], "discourse": []}, "Links": {"current": "1", "1": "k"}, "Rewards": {}}
    found = findings.secrets(told, ["slack", "discourse"])
    assert (found.state, found.text) == ("act", "missing: of the platform discourse, of rewards")
    assert findings.secrets(told | {"Rewards": {"current": "k"}}, ["slack"]).state == "fine"


@pytest.mark.parametrize("links", [{"current": "2", "1": "k"}, {"current": ["1"]}, {}])
def test_links_without_their_current_key_are_named(links: dict[str, Any]) -> None:
    told = {"Webhook": {}, "Links": links, "Rewards": {"current": "k"}}
    assert findings.secrets(told, []).text == "missing: of links"


@pytest.mark.parametrize("held", [None, [], "x", 1])
def test_a_secret_that_is_no_json_object_is_to_be_acted_on(held: Any) -> None:
    found = findings.secrets({"Webhook": held, "Links": {}, "Rewards": held}, ["slack"])
    assert (found.state, found.text) == ("act", "not there, or no JSON object: WebhookSecret, RewardsSecret")


def test_only_what_cannot_wait_changes_the_exit_code() -> None:
    def code(*states: Any) -> int:
        return findings.worst([Finding(name="x", state=state, text="") for state in states])

    assert (code("fine", "look"), code("fine", "act"), code("unseen", "fine")) == (0, 1, 1)
