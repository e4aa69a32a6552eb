"""Re-engagement from the first event to the mail, over the real table and queue."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType, Item

from shared.agenda import tick
from shared.app import App
from shared.events import CommunityEvent, HighlightKind, Profile
from shared.experiments import group_of
from shared.model import Identity, Member, News, SendStatus, member_id_of
from shared.programmes.reengagement import NAME
from shared.react import react
from shared.sending import send_planned
from shared.store import keys
from shared.store.wire import attributes
from tests.aws.conftest import Wire
from tests.aws.test_requests import drain
from tests.builders import at, joined, posted

LONG_AGO = at("2025-06-01T08:00Z")
SEEN = at("2030-01-01T12:00Z")
FIRST = at("2030-02-01T09:00Z")


def member_of(app: App, actor: str) -> Member:
    member = app.store.member(member_id_of(Identity("slack", actor)))
    assert member is not None
    return member


def people(app: App, *actors: str, seen: datetime = SEEN) -> None:
    """Members of long ago, last seen writing something."""
    for actor in actors:
        profile = Profile(name="Ada", email=f"{actor}@example.com", email_verified=True, timezone="Europe/Berlin")
        events: list[CommunityEvent] = [
            joined(id=f"slack:j{actor}", actor=actor, at=LONG_AGO, profile=profile),
            posted(id=f"slack:p{actor}", actor=actor, at=seen),
        ]
        assert react(events, app, seen) == {}


def actors_in(group: str, count: int) -> list[str]:
    found = (f"U{n}" for n in range(10_000) if group_of(NAME, member_id_of(Identity("slack", f"U{n}")), 10) == group)
    return [next(found) for _ in range(count)]


def live_on(app: App, until: datetime, start: datetime = FIRST) -> None:
    """Tick at every due moment up to `until`, and send what comes."""
    now = start
    while True:
        tick(NAME, app, now)
        for planned in drain(app):
            send_planned(planned, app, now)
        coming = [due.due_at for due in app.store.agenda() if due.programme == NAME and due.due_at > now]
        if not coming or min(coming) > until:
            return
        now = min(coming)


def test_who_is_away_is_asked_with_what_is_new_and_a_bonus_of_their_own(app: App, wire: Wire) -> None:
    [actor] = actors_in("treated", 1)
    people(app, actor)
    kinds: tuple[HighlightKind, ...] = ("feature", "guide", "ama", "guide")
    for number, kind in enumerate(kinds):
        news = News(
            kind=kind,
            titles={"": f"{kind} number {number}"},
            url=f"https://community.example.com/n/{number}",
            published_at=SEEN + timedelta(days=number + 1),
        )
        app.store.publish(news)
    live_on(app, FIRST)
    [mail] = wire.mails
    text = mail["Content"]["Simple"]["Body"]["Text"]["Data"]
    assert all(title in text for title in ("feature number 0", "ama number 2", "guide number 3"))
    assert "guide number 1" not in text
    assert "https://links.example.com/l/b/" in text
    [sent] = app.store.ledger(member_of(app, actor).id).sends
    assert (sent.status, sent.mail) == (SendStatus.SENT, "miss_you")
    assert sent.variant in app.playbook.mails["miss_you"].variants


def test_three_attempts_then_nothing_more_until_they_come_back(app: App, wire: Wire) -> None:
    [actor] = actors_in("treated", 1)
    people(app, actor)
    live_on(app, FIRST + timedelta(days=500))
    assert wire.requests["SendEmail"] == 3
    member = member_of(app, actor)
    assert member.dormant_at is not None
    assert app.store.agenda() == []
    back = member.dormant_at + timedelta(days=3)
    assert react([posted(id="slack:back", actor=actor, at=back)], app, back) == {}
    [timer] = app.store.agenda()
    assert timer.due_at - back >= timedelta(days=30)
    live_on(app, timer.due_at, start=timer.due_at)
    assert wire.requests["SendEmail"] == 4


def test_the_holdout_is_in_the_ledger_and_among_the_attempts(app: App, wire: Wire) -> None:
    [held_out], [treated] = actors_in("held_out", 1), actors_in("treated", 1)
    people(app, held_out, treated)
    live_on(app, FIRST)
    assert wire.requests["SendEmail"] == 1
    [skipped] = app.store.ledger(member_of(app, held_out).id).sends
    assert (skipped.status, skipped.reason) == (SendStatus.SKIPPED, "holdout")
    attempts = app.store.attempts(NAME, FIRST - timedelta(days=40), FIRST + timedelta(days=1))
    assert sorted(attempt.group for attempt in attempts) == ["held_out", "treated"]


def test_who_comes_back_while_their_mail_waits_is_not_missed(app: App, wire: Wire) -> None:
    [actor] = actors_in("treated", 1)
    people(app, actor)
    tick(NAME, app, FIRST)
    [planned] = drain(app)
    assert react([posted(id="slack:back", actor=actor, at=FIRST)], app, FIRST) == {}
    assert send_planned(planned, app, FIRST).reason == "returned"
    assert wire.requests["SendEmail"] == 0


@pytest.mark.shows(31)
def test_a_tick_told_twice_asks_once(app: App, wire: Wire) -> None:
    people(app, *actors_in("treated", 3))
    for _ in range(2):
        tick(NAME, app, FIRST)
    for planned in drain(app) * 2:
        send_planned(planned, app, FIRST)
    assert wire.requests["SendEmail"] == 3


def test_two_members_who_prove_to_be_one_keep_a_timer(app: App) -> None:
    people(app, "U1")
    [timer] = app.store.agenda()
    app.store.done(timer)
    first = member_of(app, "U1")
    profile = Profile(email="U1@example.com", email_verified=True)
    later = SEEN + timedelta(days=3)
    other = joined(id="discourse:1", platform="discourse", actor="7", at=later, profile=profile)
    posted_before = posted(id="discourse:2", platform="discourse", actor="7", at=later - timedelta(hours=1))
    assert react([posted_before], app, later) == {}
    assert react([other], app, later) == {}
    assert first.id in {due.member_id for due in app.store.agenda()}


def test_activity_writes_no_agenda(app: App, wire: Wire) -> None:
    people(app, "U1")
    wire.requests.clear()
    for day in range(1, 30):
        now = SEEN + timedelta(days=day)
        react([posted(id=f"slack:d{day}", actor="U1", at=now)], app, now)
    assert wire.requests["UpdateItem"] == 29
    assert wire.requests["PutItem"] == 0


@pytest.mark.parametrize("members", [1_000, 50_000])
def test_sweeping_costs_what_is_due_however_many_there_are(app: App, wire: Wire, members: int) -> None:
    people(app, *actors_in("treated", 20))
    tick(NAME, app, SEEN)
    fill_agenda(app, members - 20)
    wire.requests.clear()
    assert tick(NAME, app, FIRST) == 20
    per_kind = {name: count for name, count in wire.requests.items() if name != "BatchGetItem"}
    assert per_kind == {"Query": keys.AGENDA_SHARDS, "SendMessageBatch": 4, "PutItem": 40}
    assert wire.requests["BatchGetItem"] == keys.AGENDA_SHARDS


def fill_agenda(app: App, count: int) -> None:
    """Timers that are not due, put into moto's own table at once: through its API they would take minutes."""
    items = dynamodb_backends["123456789012"]["eu-west-1"].tables[app.settings.table].items
    for number in range(count):
        member_id = f"mx{number}"
        pk, sk = keys.due(NAME, member_id, "inactivity")
        due_at = keys.due_at(FIRST + timedelta(days=1))
        timer = attributes({"pk": pk, "sk": sk, "agenda": keys.agenda(NAME, member_id), "due_at": due_at})
        hash_key, range_key = DynamoType(timer["pk"]), DynamoType(timer["sk"])
        items[hash_key][range_key] = Item(hash_key, range_key, timer)
