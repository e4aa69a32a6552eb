"""The store's contract: what stands stays, what is guarded loses cleanly, what is read is what was written."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.app import App
from shared.model import Identity, Member, SendId, SendStatus
from shared.store import keys
from tests.aws.conftest import Wire
from tests.builders import JOINED, a_member, a_send, an_enrolment, at, joined, posted


class TestLog:
    @pytest.mark.shows(1, 3)
    def test_an_event_is_logged_once_however_often_it_comes(self, app: App) -> None:
        assert [app.store.log([posted()]) for _ in range(3)] == [1, 0, 0]

    def test_a_webhook_with_three_events_costs_three_puts(self, app: App, wire: Wire) -> None:
        app.store.log([posted(id=f"slack:{number}") for number in range(3)])
        assert wire.requests == {"PutItem": 3}

    def test_an_event_without_its_own_time_is_logged_once_across_midnight(self, app: App) -> None:
        like = posted(id="discourse:like:1:2", timed=False, at=at("2030-01-01T23:59Z"))
        later = like.model_copy(update={"occurred_at": at("2030-01-02T00:04Z")})
        assert app.store.log([like]) == 1
        assert app.store.log([later]) == 0

    @pytest.mark.shows(18)
    def test_an_old_event_told_today_is_kept_as_long_as_any(self, app: App) -> None:
        app.store.log([posted(at=at("2025-01-01T00:00Z")).model_copy(update={"received_at": JOINED})])
        items = app.store._client.scan(TableName=app.settings.table)["Items"]
        assert [int(item["expires_at"]["N"]) for item in items] == [int((JOINED + timedelta(days=400)).timestamp())]

    def test_what_came_between_two_moments_is_found_whenever_it_had_happened(self, app: App) -> None:
        came = {
            "before": JOINED - timedelta(seconds=1),
            "first": JOINED,
            "historic": JOINED,
            "tomorrow's": JOINED,
            "over midnight": JOINED + timedelta(hours=12),
            "after": JOINED + timedelta(hours=12, seconds=1),
        }
        happened = came | {
            "historic": JOINED - timedelta(days=900),
            "tomorrow's": JOINED + timedelta(days=1),
            "over midnight": JOINED + timedelta(hours=11),
        }
        app.store.log([posted(id=name, received_at=came[name], at=happened[name]) for name in came])
        entries = app.store.received(JOINED, JOINED + timedelta(hours=12))
        found = [entry["sk"]["S"].rpartition("#")[2] for entry in entries]
        assert sorted(found) == ["first", "historic", "over midnight", "tomorrow's"]

    def test_what_came_on_its_own_day_costs_no_place_in_the_index(self, app: App) -> None:
        app.store.log([posted(), posted(id="slack:2", at=JOINED - timedelta(days=1), received_at=JOINED)])
        index = app.store._client.scan(TableName=app.settings.table, IndexName="late")["Items"]
        assert [item["came_in"]["S"] for item in index] == ["2030-01-01T12"]

    def test_one_person_s_day_reads_back_as_it_was_logged(self, app: App) -> None:
        mine, other = posted(), posted(id="slack:Ev3", actor="U10")
        app.store.log([mine, other, joined(at=at("2030-01-02T00:00Z"))])
        assert list(app.store.logged(Identity("slack", "U1"), JOINED.date())) == [mine]


class TestMembers:
    def test_a_member_reads_back_as_written(self, app: App) -> None:
        member = a_member(active_days=frozenset({"2030-01-01"}), last_active_at=JOINED)
        assert app.store.create_member(member)
        assert app.store.member(member.id) == member

    def test_a_member_is_made_once(self, app: App) -> None:
        app.store.create_member(a_member())
        assert not app.store.create_member(a_member(name="Eve"))

    def test_ordinals_are_dense_and_never_given_twice(self, app: App) -> None:
        assert [app.store.claim_ordinals(count) for count in (1, 3, 1)] == [0, 1, 4]

    def test_an_identity_stays_with_who_came_first(self, app: App) -> None:
        key = keys.identity(Identity("slack", "U1"))
        assert app.store.own(key, "ma") == "ma"
        assert app.store.own(key, "mb") == "ma"
        assert app.store.owners([key]) == {key: "ma"}

    def test_a_change_that_lost_a_race_is_folded_into_what_won(self, app: App) -> None:
        stale = a_member()
        app.store.create_member(stale)
        app.store.change_member(stale.id, lambda member: member.model_copy(update={"name": "Ada L."}))
        app.store.change_member(stale.id, lambda member: member.model_copy(update={"locale": "ru"}), known=stale)
        now = app.store.member(stale.id)
        assert now is not None
        assert (now.name, now.locale) == ("Ada L.", "ru")

    def test_a_change_that_changes_nothing_costs_nothing(self, app: App, wire: Wire) -> None:
        app.store.create_member(a_member())
        wire.requests.clear()
        app.store.change_member(a_member().id, lambda member: member, known=a_member())
        assert not wire.requests

    def test_a_field_that_is_emptied_is_gone(self, app: App) -> None:
        app.store.create_member(a_member())
        app.store.change_member(a_member().id, lambda member: member.model_copy(update={"locale": None}))
        now = app.store.member(a_member().id)
        assert now is not None
        assert now.locale is None

    def test_a_hundred_and_fifty_members_are_two_requests(self, app: App, wire: Wire) -> None:
        wanted = [f"m{number}" for number in range(150)]
        app.store.members(wanted)
        assert wire.requests == {"BatchGetItem": 2}


class TestAgenda:
    def due_now(self, app: App, member: Member, moment: str) -> int:
        shard = keys.agenda("onboarding", member.id).rpartition("#")[2]
        return sum(len(items) for _, items in app.store.due("onboarding", int(shard), at(moment), 25))

    def test_an_item_is_found_from_its_due_moment_on(self, app: App) -> None:
        app.store.arm(an_enrolment())
        assert self.due_now(app, a_member(), "2030-01-01T11:59:59.999999Z") == 0
        assert self.due_now(app, a_member(), "2030-01-01T12:00Z") == 1

    def test_arming_twice_keeps_the_first(self, app: App) -> None:
        assert app.store.arm(an_enrolment())
        assert not app.store.arm(an_enrolment(settled=["welcome"]))

    def test_only_one_of_two_who_advance_wins(self, app: App) -> None:
        due = an_enrolment()
        app.store.arm(due)
        moved = due.model_copy(update={"due_at": JOINED + timedelta(days=2)})
        assert [app.store.advance(due, moved) for _ in range(2)] == [True, False]
        assert not app.store.done(due)

    def test_waking_brings_forward_but_never_back(self, app: App) -> None:
        due = an_enrolment().model_copy(update={"due_at": at("2030-01-05T00:00Z")})
        app.store.arm(due)
        args = ("onboarding", due.member_id, "steps")
        assert app.store.wake(*args, at("2030-01-02T00:00Z"))
        assert app.store.wake(*args, at("2030-01-03T00:00Z"))
        assert self.due_now(app, a_member(), "2030-01-02T00:00Z") == 1

    def test_waking_what_is_not_there_makes_nothing(self, app: App) -> None:
        assert not app.store.wake("onboarding", "mx", "steps", JOINED)
        assert app.store.agenda() == []

    def test_the_plan_comes_with_the_first_look(self, app: App) -> None:
        app.store.set_plan("onboarding", 0, "p1")
        assert next(iter(app.store.due("onboarding", 0, JOINED, 25))) == ("p1", [])


CLAIMED = a_send(status=SendStatus.CLAIMED, token="t1", lease_until=JOINED)


class TestLedger:
    def test_of_two_claims_one_wins_and_the_other_sees_it(self, app: App) -> None:
        assert app.store.claim(CLAIMED) is None
        assert app.store.claim(CLAIMED.model_copy(update={"token": "t2"})) == CLAIMED

    def test_a_deferred_send_may_be_claimed_again(self, app: App) -> None:
        app.store.claim(CLAIMED)
        app.store.settle(CLAIMED, SendStatus.DEFERRED, JOINED)
        assert app.store.claim(CLAIMED.model_copy(update={"token": "t2"})) is None

    def test_a_worker_that_lost_its_claim_settles_nothing(self, app: App) -> None:
        app.store.claim(CLAIMED)
        app.store.settle(CLAIMED, SendStatus.DEFERRED, JOINED)
        app.store.claim(CLAIMED.model_copy(update={"token": "t2"}))
        assert not app.store.settle(CLAIMED, SendStatus.SENT, JOINED)

    def test_a_skip_never_replaces_a_line_of_the_ledger(self, app: App) -> None:
        app.store.claim(CLAIMED)
        assert not app.store.skip(a_send(status=SendStatus.SKIPPED, reason="left"))

    def test_the_send_event_settles_a_send_in_doubt(self, app: App) -> None:
        app.store.claim(CLAIMED)
        app.store.settle(CLAIMED, SendStatus.UNKNOWN, JOINED, reason="ReadTimeoutError")
        assert app.store.note_sent(SendId.parse(CLAIMED.send_id), "ses-1", JOINED)
        [line] = app.store.ledger(CLAIMED.member_id).sends
        assert (line.status, line.message_id, line.reason) == (SendStatus.SENT, "ses-1", None)

    def test_the_ledger_is_one_query(self, app: App, wire: Wire) -> None:
        app.store.create_member(a_member())
        app.store.skip(a_send(status=SendStatus.SKIPPED, reason="left"))
        wire.requests.clear()
        member, _, sends = app.store.ledger(a_member().id)
        assert (member, len(sends)) == (a_member(), 1)
        assert wire.requests == {"Query": 1}
