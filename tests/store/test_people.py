"""The log, members and the agenda: put if absent, guarded by versions, moved forward only."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.errors import Unavailable
from shared.model import Due, Identity, Member
from shared.store import Store, keys
from shared.store.wire import values
from tests.builders import JOINED, a_member, at, joined, posted
from tests.store.conftest import Asked

DAY = JOINED.date()
ADA = a_member()
SLACK = Identity("slack", "U1")


class TestLog:
    def test_an_event_is_logged_once_and_the_first_stands(self, store: Store) -> None:
        told = posted()
        assert [store.log([told]), store.log([told.model_copy(update={"object": "C9:9"})])] == [1, 0]
        assert store.logged(SLACK, DAY) == [told]

    def test_an_event_without_its_time_is_logged_with_its_guard_or_not_at_all(self, store: Store) -> None:
        like = posted(timed=False)
        tomorrow = like.model_copy(update={"occurred_at": like.occurred_at + timedelta(days=1)})
        assert [store.log([like]), store.log([tomorrow])] == [1, 0]
        assert store.logged(SLACK, tomorrow.occurred_at.date()) == []

    def test_a_day_is_read_by_person_by_shard_and_whole(self, store: Store) -> None:
        mine, other = posted(), joined(id="slack:Ev3", actor="U10")
        store.log([mine, other, joined(id="slack:Ev4", at=JOINED + timedelta(days=1))])
        assert store.logged(SLACK, DAY) == [mine]
        entries = list(store.entries_of(DAY))
        assert len(entries) == 2
        wanted = [(entry["pk"]["S"], entry["sk"]["S"]) for entry in entries]
        assert store.entries([*wanted, ("LOG#2030-01-01#0", "nothing")]) == entries
        pages = [event for shard in range(keys.LOG_SHARDS) for page in store.log_pages(DAY, shard) for event in page]
        assert sorted(pages) == sorted(values(entry)["event"] for entry in entries)


class TestReceived:
    def test_what_came_in_a_time_is_found_whenever_it_had_happened(self, store: Store) -> None:
        long_ago = posted(id="slack:Ev7", at=JOINED - timedelta(days=90)).model_copy(update={"received_at": JOINED})
        store.log([posted(), long_ago, posted(id="slack:Ev8", at=JOINED - timedelta(days=1))])
        hour = timedelta(hours=1)
        found = [values(entry)["sk"] for entry in store.received(JOINED - hour, JOINED + hour)]
        assert sorted(found) == ["slack:U1#slack:Ev2", "slack:U1#slack:Ev7"]


class TestMembers:
    def test_a_member_is_made_once_and_reads_back_as_written(self, store: Store) -> None:
        member = a_member(active_days=frozenset({"2030-01-01"}), told_at={"name": JOINED})
        assert [store.create_member(member), store.create_member(a_member(name="Eve"))] == [True, False]
        assert store.member(ADA.id) == member
        assert store.member("mx") is None

    def test_a_hundred_and_fifty_members_are_read_in_two_requests(self, store: Store, asked: Asked) -> None:
        made = [a_member(id=f"m{number}", ordinal=number) for number in range(150)]
        for member in made:
            store.create_member(member)
        asked.clear()
        found = store.members([*(member.id for member in made), "mx", made[0].id])
        assert asked == {"BatchGetItem": 2}
        assert found == {member.id: member for member in made}

    def test_ordinals_are_dense_and_never_given_twice(self, store: Store) -> None:
        assert [store.claim_ordinals(count) for count in (1, 3, 1)] == [0, 1, 4]

    def test_an_identity_stays_with_who_came_first_until_it_is_given_on(self, store: Store) -> None:
        who, address = keys.identity(SLACK), keys.address("ada@example.com")
        assert [store.own(who, "ma"), store.own(who, "mb"), store.own(address, "ma")] == ["ma", "ma", "ma"]
        assert [store.take_over(address, "mx", "mb"), store.take_over(address, "ma", "mb")] == [False, True]
        store.reown(who, "mc")
        assert store.owners([who, address, keys.address("eve@example.com")]) == {who: "mc", address: "mb"}

    def test_a_change_that_lost_a_race_is_folded_into_what_won(self, store: Store) -> None:
        store.create_member(ADA)
        store.change_member(ADA.id, lambda one: one.model_copy(update={"name": "Ada L.", "email": None}))
        changed = store.change_member(ADA.id, lambda one: one.model_copy(update={"locale": "ru"}), known=ADA)
        assert changed == store.member(ADA.id)
        assert changed == ADA.model_copy(update={"name": "Ada L.", "email": None, "locale": "ru", "version": 2})

    def test_a_change_that_changes_nothing_writes_nothing(self, store: Store, asked: Asked) -> None:
        store.create_member(ADA)
        asked.clear()
        assert store.change_member(ADA.id, lambda member: member, known=ADA) == ADA
        assert asked == {}

    def test_a_change_never_makes_a_member(self, store: Store) -> None:
        assert store.change_member(ADA.id, lambda one: one.model_copy(update={"name": "Eve"}), known=ADA) is None
        assert store.member(ADA.id) is None

    def test_a_merged_member_leads_to_who_they_are(self, store: Store) -> None:
        other = a_member(id="mb")
        for member in (ADA, other, a_member(id="mc")):
            store.create_member(member)
        assert store.merge_into(ADA, "mb") is None
        assert store.merge_into(other, "mc") is None
        merged = store.member(ADA.id)
        assert merged is not None
        assert (merged.merged_into, merged.version) == ("mb", 1)
        changed = store.change_member(ADA.id, lambda one: one.model_copy(update={"level": "gold"}))
        assert changed == store.survivor(ADA.id)
        assert changed is not None
        assert (changed.id, changed.level) == ("mc", "gold")

    def test_a_member_who_changed_since_is_not_merged_but_told(self, store: Store) -> None:
        store.create_member(ADA)
        newer = store.change_member(ADA.id, lambda one: one.model_copy(update={"level": "gold"}))
        assert store.merge_into(ADA, "mb") == newer == store.member(ADA.id)

    def test_a_member_who_is_gone_cannot_be_merged(self, store: Store) -> None:
        with pytest.raises(Unavailable):
            store.merge_into(ADA, "mb")


def a_due(number: int = 0, *, hours: float = 0, member: Member = ADA, **changes: object) -> Due:
    moment = JOINED + timedelta(hours=hours)
    fields = {"programme": "onboarding", "member_id": member.id, "key": f"k{number}", "due_at": moment}
    return Due.model_validate(fields | changes)


SHARD = int(keys.agenda("onboarding", ADA.id).rpartition("#")[2])


def due_now(store: Store, moment: str, page: int = 25) -> list[list[str]]:
    return [[due.key for due in items] for _, items in store.due("onboarding", SHARD, at(moment), page) if items]


class TestAgenda:
    def test_what_is_due_comes_oldest_first_and_past_one_page(self, store: Store, asked: Asked) -> None:
        for number in (3, 1, 4, 0, 2):
            store.arm(a_due(number, hours=number))
        asked.clear()
        assert due_now(store, "2030-01-01T15:59:59.999999Z", page=2) == [["k0", "k1"], ["k2", "k3"]]
        assert asked["Query"] in {2, 3}, "whether a last page is known for the last is the engine's to say"
        assert due_now(store, "2030-01-01T16:00Z", page=2)[2] == ["k4"]

    def test_an_item_is_armed_once(self, store: Store) -> None:
        assert [store.arm(a_due(state={"a": 1})), store.arm(a_due(state={"a": 2}))] == [True, False]
        assert store.agenda() == [a_due(state={"a": 1})]

    def test_of_two_who_move_an_item_one_wins(self, store: Store) -> None:
        due = a_due()
        store.arm(due)
        moved = a_due(hours=48)
        assert [store.advance(due, moved), store.advance(due, moved), store.done(due)] == [True, False, False]
        assert [one.due_at for one in store.upcoming("onboarding", SHARD)] == [moved.due_at]
        assert store.done(moved.model_copy(update={"version": 1}))
        assert store.agenda() == []

    def test_an_item_that_was_put_there_anew_is_another_one(self, store: Store) -> None:
        store.arm(a_due())
        store.done(a_due())
        store.arm(a_due(hours=1))
        assert not store.done(a_due())

    def test_rearming_fences_off_who_held_the_old_one(self, store: Store) -> None:
        store.rearm(a_due())
        store.rearm(a_due(hours=2, state={"tries": 2}))
        assert [store.done(a_due()), store.done(a_due(version=1))] == [False, False]
        assert store.agenda() == [a_due(hours=2, state={"tries": 2}, version=2)]

    def test_waking_brings_forward_and_never_back(self, store: Store) -> None:
        store.arm(a_due(hours=96))
        for hours in (24, 48, 12):
            assert store.wake("onboarding", ADA.id, "k0", JOINED + timedelta(hours=hours))
        assert [(due.due_at, due.version) for due in store.agenda()] == [(JOINED + timedelta(hours=12), 3)]
        assert not store.wake("onboarding", "mx", "k0", JOINED)
        assert store.agenda()[1:] == []

    def test_who_read_an_item_before_it_was_fenced_moves_it_no_more(self, store: Store) -> None:
        store.arm(a_due())
        [read] = store.agenda()
        assert store.fence("onboarding", ADA.id, "k0")
        assert not store.advance(read, read.model_copy(update={"due_at": JOINED + timedelta(hours=9)}))
        assert not store.done(read)
        [again] = store.agenda()
        assert again.due_at == read.due_at
        assert store.done(again)
        assert not store.fence("onboarding", ADA.id, "k0")
        assert store.agenda() == []

    def test_the_plan_comes_with_the_first_look_and_is_no_item(self, store: Store) -> None:
        store.set_plan("onboarding", SHARD, "p1")
        store.set_plan("onboarding", SHARD, "p2")
        store.arm(a_due())
        [(plan, items)] = store.due("onboarding", SHARD, JOINED, 25)
        assert (plan, items) == ("p2", [a_due()])
        assert list(store.upcoming("onboarding", SHARD)) == store.agenda() == [a_due()]

    def test_what_comes_is_counted_by_programme_and_time(self, store: Store) -> None:
        for number in range(5):
            store.arm(a_due(number, hours=number))
        store.arm(a_due(9, hours=1, programme="reengagement"))
        assert store.coming("onboarding", JOINED + timedelta(hours=1), JOINED + timedelta(hours=3)) == 3
