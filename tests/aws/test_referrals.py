"""Referrals from the event to the reward: every door, every order, and a crash at every request."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any

import boto3
import pytest

from shared.app import App
from shared.events import CommunityEvent, MemberJoined, Profile, PurchaseRefunded, ReferralSignedUp
from shared.model import Due, Identity, Member, Referral, Touch, member_id_of, stamp
from shared.playbook import check
from shared.programmes.referrals import AGAIN, KEY, NAME
from shared.react import react
from shared.rewarding import look, settle_all
from shared.store import keys
from tests.builders import JOINED, a_member, joined, left, posted, raw_playbook, updated

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
POSTED = JOINED + 2 * HOUR
OVER = POSTED + 8 * DAY

Doors = Callable[[App], list[CommunityEvent]]


def an_id(actor: str, platform: str = "standard") -> str:
    return member_id_of(Identity(platform, actor))


def came(actor: str, *, at: datetime = JOINED, **changes: Any) -> MemberJoined:
    """Somebody joins, with an address of their own."""
    email = changes.pop("email", f"{actor}@example.com")
    profile = Profile(name=actor.title(), email=email, email_verified=email is not None)
    fields = {"id": f"joined:{actor}", "platform": "standard", "actor": actor, "profile": profile, "at": at}
    return joined(**fields | changes)


def wrote(actor: str, *, at: datetime = POSTED, **changes: Any) -> CommunityEvent:
    return posted(**{"id": f"posted:{actor}", "platform": "standard", "actor": actor, "at": at} | changes)


def gone(actor: str, at: datetime, **changes: Any) -> CommunityEvent:
    return left(**{"id": f"left:{actor}", "platform": "standard", "actor": actor, "at": at} | changes)


def signed_up(actor: str, *, at: datetime = JOINED, **changes: Any) -> ReferralSignedUp:
    fields: dict[str, Any] = {"id": f"signed:{actor}:{at}", "occurred_at": at, "received_at": at}
    return ReferralSignedUp(**fields | {"platform": "standard", "actor": actor} | changes)


def with_code(app: App, actor: str, referrer: str, at: datetime = JOINED) -> ReferralSignedUp:
    return signed_up(actor, at=at, code=app.signer.code(an_id(referrer)))


def with_ref(app: App, actor: str, referrer: str, *, clicked_at: datetime, at: datetime) -> ReferralSignedUp:
    return signed_up(actor, at=at, ref=app.signer.sign("referral", an_id(referrer), "c1", stamp(clicked_at)))


def tell(app: App, *events: CommunityEvent) -> None:
    """Events come one by one, each when it was received."""
    for event in events:
        assert react([event], app, event.received_at) == {}


def run(app: App, until: datetime) -> None:
    """A tick at once, after the settling time, and at `until`."""
    for moment in (JOINED, JOINED + 26 * HOUR, until):
        settle_all(app, moment)


def referrals(app: App, referrer: str) -> list[Referral]:
    return app.store.standing([an_id(referrer)]).referrals


def rewards(app: App, actor: str) -> set[str]:
    return {reward.rule for reward in app.store.standing([an_id(actor)]).rewards}


def notices(app: App) -> list[tuple[str, str, str]]:
    """What waits in the reward queue, taken out of it."""
    found: list[tuple[str, str, str]] = []
    sqs, url = boto3.client("sqs"), app.settings.reward_queue_url
    while got := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in got:
            told = json.loads(message["Body"])
            found.append((told["member_id"], told["rule"], told["about"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def on_agenda(app: App, now: datetime) -> list[Due]:
    """Every case on the agenda up to a moment."""
    pages = [app.store.due(NAME, shard, now, 25) for shard in range(keys.AGENDA_SHARDS)]
    return [due for page in pages for _, items in page for due in items]


def by_code(app: App) -> list[CommunityEvent]:
    return [came("bo", at=JOINED - 9 * DAY), came("ada"), with_code(app, "ada", "bo")]


def by_ref(app: App) -> list[CommunityEvent]:
    clicked = with_ref(app, "ada", "bo", clicked_at=JOINED - DAY, at=JOINED)
    return [came("bo", at=JOINED - 9 * DAY), clicked, came("ada")]


def by_invitation(_: App) -> list[CommunityEvent]:
    return [came("bo", at=JOINED - 9 * DAY), came("ada", invited_by="bo")]


def by_join_page(app: App) -> list[CommunityEvent]:
    told = Touch(
        referee_id="", referrer_id=an_id("bo"), at=JOINED - HOUR, told_at=JOINED - HOUR, source="join_page", utm={}
    )
    app.store.note_invited("ada@example.com", told)
    return [came("bo", at=JOINED - 9 * DAY), came("ada")]


class TestDoors:
    @pytest.mark.parametrize(
        ("door", "source"),
        [(by_code, "code"), (by_ref, "link"), (by_invitation, "invitation"), (by_join_page, "join_page")],
    )
    def test_every_door_leads_to_the_reward(self, app: App, door: Doors, source: str) -> None:
        tell(app, *door(app), wrote("ada"))
        run(app, OVER)
        attribution = app.store.referee([an_id("ada")]).attribution
        assert attribution is not None
        assert (attribution.referrer_id, attribution.source) == (an_id("bo"), source)
        assert [one.status for one in referrals(app, "bo")] == ["qualified"]
        assert (rewards(app, "bo"), rewards(app, "ada")) == ({"badge"}, {"trial"})
        assert sorted(notices(app)) == sorted([(an_id("bo"), "badge", "granted"), (an_id("ada"), "trial", "granted")])
        assert on_agenda(app, OVER + 999 * DAY) == []

    def test_an_address_left_on_the_join_page_and_proved_later_counts(self, app: App) -> None:
        bo, _ = by_join_page(app)
        proved = Profile(email="ada@example.com", email_verified=True)
        later = updated(proved, id="updated:ada", platform="standard", actor="ada", at=JOINED + HOUR)
        tell(app, bo, came("ada", email=None), later, wrote("ada"))
        run(app, OVER)
        assert rewards(app, "bo") == {"badge"}

    def test_an_inviter_told_with_the_approval_counts(self, app: App) -> None:
        bo, _ = by_invitation(app)
        approved = updated(
            Profile(), id="approved:ada", platform="standard", actor="ada", at=JOINED + HOUR, invited_by="bo"
        )
        tell(app, bo, came("ada"), approved, wrote("ada"))
        run(app, OVER)
        assert rewards(app, "bo") == {"badge"}

    @pytest.mark.parametrize(
        "told",
        [
            signed_up("ada", code="ADA-7"),
            signed_up("ada", ref="WyJtMSJd.c2lnbmF0dXJl"),
            signed_up("ada"),
            came("ada", id="again", invited_by="nobody"),
        ],
    )
    def test_what_we_never_gave_out_brings_nobody(self, app: App, told: CommunityEvent) -> None:
        tell(app, came("bo", at=JOINED - 9 * DAY), came("ada"), told, wrote("ada"))
        run(app, OVER)
        assert app.store.referee([an_id("ada")]).touches == []
        assert rewards(app, "bo") == rewards(app, "ada") == set()

    def test_a_click_that_is_too_old_brings_nobody(self, app: App) -> None:
        old = with_ref(app, "ada", "bo", clicked_at=JOINED - 91 * DAY, at=JOINED)
        tell(app, came("bo", at=JOINED - 200 * DAY), old, came("ada"))
        assert app.store.referee([an_id("ada")]).touches == []

    def test_a_code_counts_where_the_ref_does_not(self, app: App) -> None:
        both = signed_up("ada", ref="WyJtMSJd.c2lnbmF0dXJl", code=app.signer.code(an_id("bo")))
        tell(app, came("bo"), came("ada"), both)
        assert [one.source for one in app.store.referee([an_id("ada")]).touches] == ["code"]

    def test_a_member_of_long_standing_is_brought_by_nobody(self, app: App) -> None:
        late = with_code(app, "ada", "bo", at=JOINED + 30 * DAY)
        tell(app, came("bo"), came("ada"), wrote("ada"), late)
        run(app, JOINED + 60 * DAY)
        assert app.store.referee([an_id("ada")]).attribution is None
        assert referrals(app, "bo") == []


class TestTwoReferrers:
    def told(self, app: App) -> list[CommunityEvent]:
        """Cid's link was followed first; the sign-up through Bo's came first."""
        return [
            with_ref(app, "ada", "bo", clicked_at=JOINED - HOUR, at=JOINED),
            with_ref(app, "ada", "cid", clicked_at=JOINED - 2 * HOUR, at=JOINED + HOUR),
        ]

    @pytest.mark.parametrize("order", [1, -1])
    def test_who_was_first_to_bring_wins_in_either_order(self, app: App, order: int) -> None:
        events = self.told(app)[::order]
        tell(app, came("bo", at=JOINED - 9 * DAY), came("cid", at=JOINED - 9 * DAY), came("ada"), *events)
        tell(app, wrote("ada"))
        run(app, OVER)
        assert (rewards(app, "cid"), rewards(app, "bo")) == ({"badge"}, set())
        assert referrals(app, "bo") == []

    def test_once_settled_an_earlier_click_comes_too_late(self, app: App) -> None:
        first, second = self.told(app)
        late = second.model_copy(update={"received_at": JOINED + 30 * HOUR})
        tell(app, came("bo", at=JOINED - 9 * DAY), came("cid", at=JOINED - 9 * DAY), came("ada"), first)
        settle_all(app, JOINED + 25 * HOUR)
        tell(app, late, wrote("ada"))
        run(app, OVER)
        assert (rewards(app, "bo"), rewards(app, "cid")) == ({"badge"}, set())

    def test_the_tick_s_own_delay_changes_nobody_s_referrer(self, app: App) -> None:
        first, second = self.told(app)
        late = second.model_copy(update={"received_at": JOINED + 30 * HOUR})
        tell(app, came("bo", at=JOINED - 9 * DAY), came("cid", at=JOINED - 9 * DAY), came("ada"), first, late)
        settle_all(app, JOINED + 40 * HOUR)
        assert [one.referee_id for one in referrals(app, "bo")] == [an_id("ada")]


def state(app: App, *actors: str) -> dict[str, Any]:
    """All that stands of these people's referrals, by their names."""
    names = {an_id(actor): actor for actor in actors}
    text = json.dumps(
        {
            actor: {
                "standing": [
                    [one.model_dump(mode="json") for one in part] for part in app.store.standing([an_id(actor)])
                ],
                "attribution": [one.model_dump(mode="json") for one in app.store.referee([an_id(actor)]).attributions],
                "level": (app.store.member(an_id(actor)) or nobody()).level,
            }
            for actor in actors
        },
        sort_keys=True,
    )
    for member_id, actor in names.items():
        text = text.replace(member_id, actor)
    found: dict[str, Any] = json.loads(text)
    return found


def nobody() -> Member:
    return Member(id="m", ordinal=0, created_at=JOINED)


class TestOrder:
    @pytest.mark.parametrize("seed", range(3))
    def test_every_event_told_twice_in_any_order_ends_the_same(self, app: App, seed: int) -> None:
        events = [
            *(came("bo", at=JOINED - 9 * DAY), came("cid", at=JOINED - 9 * DAY), came("ada"), came("eva")),
            *TestTwoReferrers().told(app),
            *(with_code(app, "eva", "cid"), wrote("ada"), wrote("eva"), gone("eva", POSTED + DAY)),
        ]
        shuffled = [*events, *events]
        Random(seed).shuffle(shuffled)  # noqa: S311 - an order, not a secret
        tell(app, *shuffled)
        run(app, OVER)
        found = state(app, "bo", "cid", "ada", "eva")
        statuses = {one["referee_id"]: one["status"] for one in found["cid"]["standing"][0]}
        assert statuses == {"ada": "qualified", "eva": "voided"}
        assert [one["rule"] for one in found["cid"]["standing"][1]] == ["badge"]
        assert found["bo"]["standing"] == found["eva"]["standing"] == [[], [], []]
        assert [one["rule"] for one in found["ada"]["standing"][1]] == ["trial"]

    def test_telling_all_again_after_the_end_changes_nothing(self, app: App) -> None:
        events = [*by_code(app), wrote("ada")]
        tell(app, *events)
        run(app, OVER)
        before = state(app, "bo", "ada")
        tell(app, *events)
        run(app, OVER + DAY)
        assert state(app, "bo", "ada") == before
        assert on_agenda(app, OVER + 999 * DAY) == []


class TestHold:
    @pytest.mark.parametrize("first", ["signed up", "left"])
    def test_a_leave_voids_whichever_is_told_first(self, app: App, first: str) -> None:
        told = [with_code(app, "ada", "bo"), gone("ada", POSTED + HOUR)]
        tell(app, came("bo", at=JOINED - 9 * DAY), came("ada"), wrote("ada"))
        tell(app, *(told if first == "signed up" else told[::-1]))
        run(app, OVER)
        assert [(one.status, one.reason) for one in referrals(app, "bo")] == [("voided", "left")]
        assert rewards(app, "bo") == rewards(app, "ada") == set()

    def test_a_refund_voids(self, app: App) -> None:
        refund = PurchaseRefunded(
            id="r", platform="standard", actor="ada", object="o", occurred_at=POSTED + DAY, received_at=POSTED + DAY
        )
        tell(app, *by_code(app), wrote("ada"), refund)
        run(app, OVER)
        assert [one.reason for one in referrals(app, "bo")] == ["refunded"]

    def test_a_ban_told_after_the_reward_is_for_a_person(self, app: App) -> None:
        tell(app, *by_code(app), wrote("ada"))
        run(app, OVER)
        tell(app, gone("ada", POSTED + DAY, reason="banned", received_at=OVER + DAY))
        run(app, OVER + DAY)
        assert [one.evidence for one in app.store.reviews()] == [["banned_within_hold"]]
        assert rewards(app, "bo") == {"badge"}  # nothing is taken back but by a person

    def test_what_happens_while_a_case_is_looked_at_is_not_missed(self, app: App) -> None:
        tell(app, *by_code(app))
        told: list[CommunityEvent] = [wrote("ada", at=JOINED + 26 * HOUR)]
        with hooked(app, "before", lambda name: tell(app, told.pop()) if told and name == "DeleteItem" else None):
            settle_all(app, JOINED + 25 * HOUR)
        assert told == []
        run(app, JOINED + 40 * DAY)
        assert rewards(app, "bo") == {"badge"}


class TestMerges:
    def both_are_ada(self, moment: datetime) -> CommunityEvent:
        """The forum proves an address that Bo has."""
        profile = Profile(email="bo@example.com", email_verified=True)
        return updated(profile, id="updated:ada", platform="standard", actor="ada", at=moment)

    def test_who_counted_and_proves_to_be_the_referrer_is_for_review(self, app: App) -> None:
        bo, _, code = by_code(app)
        tell(app, bo, came("ada", email=None), code, wrote("ada"))
        run(app, OVER)
        assert rewards(app, "bo") == {"badge"}
        tell(app, self.both_are_ada(OVER + DAY))
        run(app, OVER + 2 * DAY)
        [waiting] = app.store.reviews()
        assert "self" in waiting.evidence
        assert waiting.referrer_id == an_id("bo")

    def test_who_proves_to_be_the_referrer_within_the_hold_is_for_review(self, app: App) -> None:
        bo, _, code = by_code(app)
        tell(app, bo, came("ada", email=None), code, wrote("ada"))
        settle_all(app, JOINED + 26 * HOUR)
        tell(app, self.both_are_ada(JOINED + 2 * DAY))
        run(app, OVER)
        assert ["self" in one.evidence for one in app.store.reviews()] == [True]
        assert rewards(app, "bo") == set()

    @pytest.mark.shows(35)
    def test_one_person_brought_twice_has_one_referrer(self, app: App) -> None:
        people = [came("bo", at=JOINED - 9 * DAY), came("cid", at=JOINED - 9 * DAY)]
        tell(app, *people, came("ada", email=None), came("eva"))
        tell(app, with_code(app, "ada", "bo"), with_code(app, "eva", "cid", at=JOINED + HOUR))
        settle_all(app, JOINED + 26 * HOUR)
        profile = Profile(email="eva@example.com", email_verified=True)
        tell(app, updated(profile, id="u", platform="standard", actor="ada", at=JOINED + 2 * DAY))
        tell(app, wrote("eva", at=JOINED + 3 * DAY))
        run(app, JOINED + 20 * DAY)
        assert [(one.status, one.reason) for one in referrals(app, "cid")] == [("voided", "brought_by_another")]
        assert (rewards(app, "bo"), rewards(app, "cid")) == ({"badge"}, set())

    def test_two_referrers_who_prove_to_be_one_get_what_they_earned_together(self, app: App) -> None:
        tell(app, came("bo", at=JOINED - 9 * DAY), came("cid", at=JOINED - 8 * DAY, email=None))
        for number in range(5):
            actor, referrer = f"p{number}", ("bo", "cid")[number % 2]
            touched = JOINED + number * 2 * HOUR
            tell(app, came(actor, at=touched), with_code(app, actor, referrer, at=touched))
            tell(app, wrote(actor, at=JOINED + DAY))
        run(app, OVER + 3 * DAY)
        assert (rewards(app, "bo"), rewards(app, "cid")) == ({"badge"}, {"badge"})
        profile = Profile(email="bo@example.com", email_verified=True)
        tell(app, updated(profile, id="u", platform="standard", actor="cid", at=OVER + 4 * DAY))
        run(app, OVER + 5 * DAY)
        assert rewards(app, "bo") == {"badge", "premium_month"}


class Crash(RuntimeError):
    """The function died at this moment."""


@contextmanager
def hooked(app: App, when: str, then: Callable[[str], object]) -> Iterator[None]:
    """Call something `before` each request to the table and the reward queue, or `after` it was answered."""
    clients = [app.store._client, app.notices._client]

    def call(model: Any = None, **_: Any) -> None:
        then(model.name)

    for client in clients:
        client.meta.events.register(f"{when}-call", call, unique_id="hooked")
    try:
        yield
    finally:
        for client in clients:
            client.meta.events.unregister(f"{when}-call", call, unique_id="hooked")


WRITES = {"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "SendMessageBatch"}


def die_at(point: int) -> Callable[[str], None]:
    """Die at the write of this number, counted from 1."""
    writes = count(1)

    def die(name: str) -> None:
        if name in WRITES and next(writes) == point:
            raise Crash

    return die


class TestCrashes:
    @pytest.fixture
    def town(self, app: App) -> App:
        """A reward of every kind for the first referee already."""
        raw = raw_playbook()
        for rule in raw["referrals"]["rewards"]:
            if "at" in rule:
                rule["at"] = "1"
        app.playbook = check(raw, source="playbook")
        return app

    def case(self, app: App, number: int, email: str) -> Due:
        """Somebody brought somebody, and all of it is due at once."""
        bo, ada = an_id(f"bo{number}"), an_id(f"ada{number}")
        moments = {"joined_at": JOINED, "touched_at": JOINED, "first_post_at": POSTED, "last_active_at": POSTED}
        app.store.create_member(a_member(id=bo, joined_at=JOINED - 9 * DAY))
        app.store.create_member(a_member(id=ada, email=email.format(f"ada{number}"), **moments))
        app.store.note_touch(
            Touch(referee_id=ada, referrer_id=bo, at=JOINED, told_at=JOINED, source="code", utm={"utm_source": "x"})
        )
        due = Due(programme=NAME, member_id=ada, key=KEY, due_at=JOINED + DAY)
        app.store.arm(due)
        return due

    def ended(self, app: App, number: int) -> tuple[object, ...]:
        bo, ada = f"bo{number}", f"ada{number}"
        waiting = [one.evidence for one in app.store.reviews() if one.referee_id == an_id(ada)]
        names = {an_id(bo): "bo", an_id(ada): "ada"}
        told = {(names[who], rule) for who, rule, _ in notices(app)}
        text = json.dumps(state(app, bo, ada)).replace(bo, "bo").replace(ada, "ada")
        text = text.replace(f"{OVER + AGAIN:%Y-%m-%dT%H:%M:%SZ}", f"{OVER:%Y-%m-%dT%H:%M:%SZ}")  # when it was announced
        passed = [
            (one.kind, names[one.member_id], names.get(one.about, one.about))
            for kind in ("attributed", "qualified", "granted", "reversed")
            for one in app.store.milestones(kind, JOINED, OVER + DAY)
            if one.member_id in names
        ]
        return text, waiting, told, on_agenda(app, OVER + 999 * DAY), sorted(passed)

    @pytest.mark.parametrize(("email", "writes"), [("{}@example.org", 19), ("{}@mailinator.com", 4)])
    def test_a_crash_at_any_write_is_made_good_by_the_next_tick(self, town: App, email: str, writes: int) -> None:
        """A crash at a read leaves what a crash after the write before it leaves: so all points are covered."""
        asked: list[str] = []
        due = self.case(town, 0, email)
        with hooked(town, "after", asked.append):
            look(due, town, OVER)
        whole = self.ended(town, 0)
        assert (sum(name in WRITES for name in asked), whole[3]) == (writes, [])
        points = [("before", 1), *(("after", point) for point in range(1, writes + 1))]
        for number, (when, point) in enumerate(points, start=1):
            due = self.case(town, number, email)
            with hooked(town, when, die_at(point)), pytest.raises(Crash):
                look(due, town, OVER)
            settle_all(town, OVER)
            settle_all(town, OVER + AGAIN)
            assert self.ended(town, number) == whole, (when, point)
