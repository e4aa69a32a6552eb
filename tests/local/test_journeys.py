"""The deployed stack on one machine: signed webhooks over HTTP through to mails, with everybody's story told."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import httpx
import pytest

from infra.local.community import NEWS
from infra.local.demo import SECRETS, Demo
from infra.local.people import QUIRKS, START
from infra.local.signing import sign
from infra.local.stack import LocalStack
from infra.local.summary import Outcome, summary
from shared.model import Send
from tests.builders import ROOT, a_playbook

pytestmark = pytest.mark.local


def sends_to(found: Outcome, demo: Demo, quirk: str) -> dict[str, Send]:
    """What the ledger says of the person with a quirk, by step."""
    [person] = [person for person in demo.community.people if person.quirk == quirk]
    [member] = [
        member
        for member in found.members.values()
        if f"{person.platform}:{person.external_id}" in member.identities and member.merged_into is None
    ]
    return {send.send_id.split("/")[1]: send for send in found.sends if send.member_id == member.id}


def reasons(sends: dict[str, Send]) -> dict[str, str | None]:
    return {step: send.reason or send.status.value for step, send in sends.items()}


def test_nothing_is_lost_and_nothing_comes_twice(demo: Demo, found: Outcome) -> None:
    told = summary(demo, found, 0)
    must_be_0 = {"duplicate_sends", "lost_events", "overdue", "lost_mails"}
    must_be_0 |= {"after_unsubscribe", "in_quiet_hours", "over_budget", "rewards_twice", "rewards_lost"}
    assert told["checks"] == dict.fromkeys(must_be_0, 0)
    assert told["webhooks"]["unexpected"] == []
    assert told["webhooks"]["duplicates_posted"] > 0
    assert {"400", "401", "404", "413"} == set(told["webhooks"]["rejected"])


def test_every_mail_after_the_first_comes_at_ten_o_clock_local_time(demo: Demo, found: Outcome) -> None:
    sends = summary(demo, found, 0)["sends"]
    scheduled = [send for send in sends if send["programme"] in ("onboarding", "reengagement")]
    later = [send for send in scheduled if send["status"] == "sent" and send["step"] != "welcome"]
    times = Counter(datetime.fromisoformat(send["local_time"]).strftime("%H:%M") for send in later)
    assert times.keys() == {"10:00"}
    assert len({datetime.fromisoformat(send["local_time"]).utcoffset() for send in later}) >= 6


def test_every_story_is_in_the_community(demo: Demo) -> None:
    assert {person.quirk for person in demo.community.people} >= set(QUIRKS)


@pytest.mark.parametrize(
    ("quirk", "ends"),
    [
        ("leaves", {"digest": "left", "survey": "left"}),
        ("is banned", {"digest": "banned", "survey": "banned"}),
        ("is staff", {"welcome": "staff", "survey": "staff"}),
        ("never gives an address", {"welcome": "no_address"}),
        ("address comes later", {"welcome": "sent", "check_in": "sent"}),
        ("is on two platforms", {"welcome": "sent", "digest": "sent"}),
        ("unsubscribes", {"welcome": "sent", "check_in": "unsubscribed", "attempt1": "unsubscribed"}),
        ("comes back when asked", {"ambassador": "sent", "attempt1": "sent"}),
        ("is held out", {"ambassador": "sent", "attempt1": "holdout"}),
        ("bounces", {"digest": "sent", "survey": "suppressed_bounce", "attempt1": "suppressed_bounce"}),
        ("complains", {"digest": "sent", "survey": "unsubscribed", "attempt1": "unsubscribed"}),
        ("mailbox is full", {"ambassador": "sent", "attempt1": "suppressed_soft_bounces"}),
    ],
)
def test_each_story_ends_as_it_should(demo: Demo, found: Outcome, quirk: str, ends: dict[str, str]) -> None:
    assert reasons(sends_to(found, demo, quirk)).items() >= ends.items()


def test_who_was_there_before_gets_no_onboarding_but_is_missed(demo: Demo, found: Outcome) -> None:
    assert sends_to(found, demo, "was there before").keys() == {"attempt1"}


def test_who_is_away_is_asked_after_thirty_days_at_ten_and_won_back(demo: Demo, found: Outcome) -> None:
    attempt = sends_to(found, demo, "comes back when asked")["attempt1"]
    local = next(send for send in summary(demo, found, 0)["sends"] if send["send_id"] == attempt.send_id)["local_time"]
    assert datetime.fromisoformat(local).strftime("%H:%M") == "10:00"
    assert attempt.at - START > timedelta(days=30)
    assert attempt.feedback.keys() >= {"send", "delivery"}
    assert summary(demo, found, 0)["reengagement"]["won_back"] == 1


def test_who_is_asked_back_is_told_what_they_missed(demo: Demo, found: Outcome) -> None:
    attempt = sends_to(found, demo, "comes back when asked")["attempt1"]
    [text] = [message["BodyText"] for message in found.inbox if message["MessageId"] == attempt.message_id]
    assert [title for day, _, title in NEWS if day < demo.days and title not in text] == []


def test_a_welcome_of_the_evening_waits_for_the_morning(demo: Demo, found: Outcome) -> None:
    welcome = sends_to(found, demo, "address comes later")["welcome"]
    told = summary(demo, found, 0)
    local = next(send for send in told["sends"] if send["send_id"] == welcome.send_id)["local_time"]
    assert datetime.fromisoformat(local).strftime("%H:%M") == "08:00"
    assert told["deferred"] == 1


def test_who_posted_first_is_not_asked_to_introduce_themselves(demo: Demo, found: Outcome) -> None:
    early = sends_to(found, demo, "posts before the welcome")["welcome"]
    other = sends_to(found, demo, "answers the survey")["welcome"]
    texts = {message["MessageId"]: message["BodyText"] for message in found.inbox}
    introductions = str(a_playbook().content.introductions.url)
    assert introductions not in texts[early.message_id or ""]
    assert introductions in texts[other.message_id or ""]


def test_a_survey_answered_from_the_mail_is_in_the_log(found: Outcome) -> None:
    assert found.logged["survey.answered"] >= 1


def test_slack_s_handshake_is_answered_with_its_challenge(stack: LocalStack) -> None:
    body = b'{"type": "url_verification", "challenge": "a-challenge", "token": "unused"}'
    stack.set_clock(START)
    got = stack.http(
        "POST", "/webhooks/slack", content=body, headers=sign("slack", {}, body, secret=SECRETS["slack"][0], now=START)
    )
    assert (got.status_code, got.json()) == (200, {"challenge": "a-challenge"})


def test_nothing_listens_beyond_loopback(stack: LocalStack) -> None:
    listening = {
        bytes.fromhex(line.split()[1].split(":")[0])[::-1]
        for line in (ROOT / "/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and int(line.split()[1].split(":")[1], 16) == stack.machine.port
    }
    assert listening == {bytes([127, 0, 0, 1])}
    assert httpx.get(f"{stack.machine.url}/_ministack/health").is_success
