"""The budget of AWS requests a unit of work, counted. A change that costs more must change this table knowingly."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta

import boto3
import pytest

from shared.agenda import tick
from shared.app import App
from shared.events import Profile
from shared.model import Identity, News, PlannedMail, SendId, SendStatus, member_id_of
from shared.react import react
from shared.sending import send_planned
from shared.store import keys
from tests.aws.conftest import Wire
from tests.builders import JOINED, a_member, a_planned_mail, at, joined, posted


def known_members(app: App, count: int, active_on: str) -> None:
    """Members who joined long ago and were active, and posted, on a day."""
    for n in range(count):
        member_id = member_id_of(Identity("slack", f"U{n}"))
        app.store.own(keys.identity(Identity("slack", f"U{n}")), member_id)
        app.store.create_member(
            a_member(
                id=member_id,
                ordinal=n,
                identities=frozenset({f"slack:U{n}"}),
                email=f"member{n}@example.com",
                joined_at=at("2029-01-01T00:00Z"),
                last_active_at=at(active_on),
                created_at=at("2029-01-01T00:00Z"),
                first_post_at=at("2029-02-01T00:00Z"),
            )
        )


def test_100_events_of_members_active_that_day_cost_at_most_4_reads_and_no_write(app: App, wire: Wire) -> None:
    known_members(app, 100, active_on="2030-01-01T00:30Z")
    wire.requests.clear()
    react([posted(id=f"slack:{n}", actor=f"U{n}") for n in range(100)], app, JOINED)
    assert wire.reads() <= 4
    assert wire.writes() == 0


def test_a_member_s_first_event_of_a_day_costs_one_update_more(app: App, wire: Wire) -> None:
    known_members(app, 1, active_on="2029-12-31T23:30Z")
    wire.requests.clear()
    react([posted(actor="U0")], app, JOINED)
    assert wire.requests == {"BatchGetItem": 2, "UpdateItem": 1}


def test_an_idle_tick_is_one_query_an_agenda_shard(app: App, wire: Wire) -> None:
    tick("onboarding", app, JOINED)
    wire.requests.clear()
    tick("onboarding", app, JOINED + timedelta(minutes=1))
    assert wire.requests == {"Query": keys.AGENDA_SHARDS}


@pytest.mark.parametrize("members", [40, 200])
def test_a_tick_costs_what_is_due_not_what_there_is(app: App, wire: Wire, members: int) -> None:
    people = [
        joined(id=f"slack:{n}", actor=f"U{n}", at=JOINED if n < 20 else JOINED + timedelta(hours=9), profile=Profile())
        for n in range(members)
    ]
    for start in range(0, members, 100):
        react(people[start : start + 100], app, JOINED)
    tick("onboarding", app, JOINED - timedelta(days=1))
    wire.requests.clear()
    assert tick("onboarding", app, JOINED) == 20
    assert wire.requests["Query"] == keys.AGENDA_SHARDS
    assert wire.requests["BatchGetItem"] <= keys.AGENDA_SHARDS
    assert wire.writes() == 20


def test_one_drip_mail_from_tick_to_sent_costs_its_budget(app: App, wire: Wire) -> None:
    people = [
        joined(
            id=f"slack:{n}",
            actor=f"U{n}",
            profile=Profile(name="Ada", email=f"m{n}@example.com", email_verified=True),
        )
        for n in range(60)
    ]
    react(people, app, JOINED)
    tick("onboarding", app, JOINED - timedelta(days=1))
    wire.requests.clear()
    tick("onboarding", app, JOINED)
    for planned in drain(app):
        assert send_planned(planned, app, JOINED).status is SendStatus.SENT
    per_mail = {name: count / 60 for name, count in wire.requests.items() if name not in BY_THE_QUEUE}
    assert per_mail.pop("BatchGetItem") <= 1 / 25 + 0.04  # the tick's look at its members, a page at a time
    assert per_mail.pop("SendMessageBatch") <= 1 / 10 + 0.04
    # one query reads the member and the ledger; the rest are the tick's queries of the agenda, a page at a time
    assert per_mail.pop("Query") <= 1 + 1 / 25 + 0.08
    assert per_mail.pop("GetParameter") == 1 / 60  # once a worker
    # put: advance; update: claim and finish
    assert per_mail == {"PutItem": 1, "SendEmail": 1, "UpdateItem": 2}


def test_the_mail_that_recognises_costs_one_query_more_an_active_day_and_identity(app: App, wire: Wire) -> None:
    days = [(JOINED + timedelta(days=day)).date().isoformat() for day in range(12)]
    identities = frozenset({"slack:U1", "discourse:7"})
    app.store.create_member(a_member(active_days=frozenset(days), identities=identities))
    wire.requests.clear()
    planned_at = JOINED + timedelta(days=29)
    send_planned(a_planned_mail("ambassador", planned_at=planned_at), app, planned_at)
    assert wire.requests["Query"] == 1 + len(days) * len(identities)


BY_THE_QUEUE = {"ReceiveMessage", "DeleteMessage"}


def drain(app: App) -> list[PlannedMail]:
    """Every message of the mail queue."""
    sqs, url = boto3.client("sqs"), app.settings.mail_queue_url
    mails: list[PlannedMail] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            mails.append(PlannedMail.model_validate(json.loads(message["Body"])))
    return mails


def test_the_queue_never_holds_a_person(app: App) -> None:
    react([joined()], app, JOINED)
    tick("onboarding", app, JOINED)
    tick("onboarding", app, JOINED)
    [planned] = drain(app)
    assert set(planned.model_dump()) == {"send_id", "mail", "planned_at", "leave_out", "figures", "waited_for"}
    assert Counter(planned.send_id)["@"] == 0


def test_a_mail_with_news_costs_one_query_more(app: App, wire: Wire) -> None:
    app.store.create_member(a_member(last_active_at=JOINED - timedelta(days=40), status_at=None))
    for number in range(60):
        published_at = JOINED - timedelta(hours=number)
        url = f"https://community.example.com/{number}"
        app.store.publish(News(kind="guide", titles={"": "A guide"}, url=url, published_at=published_at))
    wire.requests.clear()
    send_id = str(SendId("reengagement", "attempt1", a_member().id, "20291123"))
    planned = PlannedMail(send_id=send_id, mail="miss_you", planned_at=JOINED)
    assert send_planned(planned, app, JOINED).status is SendStatus.SENT
    assert wire.requests["Query"] <= 2 + 60 // 25
