"""Erasing: what remains of an item is put in its place in one move, and only marks remember who it was."""

from __future__ import annotations

from typing import Any

from shared.addresses import address_hash
from shared.model import Erased, Identity, Suppression
from shared.store import Store, keys
from tests.builders import JOINED, a_member, posted
from tests.store.conftest import Asked

ADA = a_member()
SLACK = Identity("slack", "U1")
LOOKUPS = [keys.identity(SLACK), keys.address("ada@example.com")]


def an_item(number: int, **changes: Any) -> dict[str, Any]:
    return {"pk": "NEWS", "sk": f"n{number:03}", "by": "ada"} | changes


def all_of(store: Store) -> list[dict[str, Any]]:
    return list(store.read_through("NEWS"))


class TestRemembering:
    def test_the_salt_is_set_once(self, store: Store) -> None:
        assert [store.salt("s1"), store.salt("s2")] == ["s1", "s1"]

    def test_an_erasure_is_noted_once_with_its_token(self, store: Store) -> None:
        assert [store.begin_erasing([ADA.id], token, JOINED)[ADA.id] for token in ("t1", "t2")] == ["t1", "t1"]

    def test_who_was_erased_is_known_by_marks_alone(self, store: Store, asked: Asked) -> None:
        assert store.remembered(LOOKUPS) == {}
        assert asked == {"GetItem": 1}
        memory = Erased(at=JOINED)
        store.remember(dict.fromkeys(LOOKUPS, memory), store.salt("s1"))
        assert store.remembered([*LOOKUPS, keys.identity(Identity("slack", "U2"))]) == dict.fromkeys(LOOKUPS, memory)
        held = store._client.scan(TableName=store._table)["Items"]
        assert "ada@example.com" not in str(held)
        assert "slack:U1" not in str(held)

    def test_a_bounce_after_it_is_remembered_of_an_address_that_was_erased(self, store: Store) -> None:
        bounced = Suppression(reason="bounce", at=JOINED)
        assert not store.remember_bounce(address_hash("ada@example.com"), bounced)
        store.remember({LOOKUPS[1]: Erased(at=JOINED)}, store.salt("s1"))
        assert store.remember_bounce(address_hash("ada@example.com"), bounced)
        assert not store.remember_bounce(address_hash("bo@example.com"), bounced)
        assert store.remembered(LOOKUPS)[LOOKUPS[1]].suppression == bounced


class TestReplacing:
    def test_items_change_move_and_go_past_one_transaction(self, store: Store, asked: Asked) -> None:
        items = [an_item(number) for number in range(100)]
        store.put_whole(items)
        asked.clear()
        nobodys = [an_item(number, by=None, sk=f"x{number:03}", kept="yes") for number in range(50)]
        changed = [{"pk": "NEWS", "sk": item["sk"], "kept": "too"} for item in items[50:90]]
        store.replace(list(zip(items, [*nobodys, *changed, *[None] * 10], strict=True)))
        assert asked == {"TransactWriteItems": 3}
        moved = [{name: value for name, value in item.items() if value is not None} for item in nobodys]
        assert all_of(store) == [*changed, *moved]

    def test_it_ends_before_the_first_that_has_gone_meanwhile(self, store: Store) -> None:
        store.put_whole([an_item(0), an_item(2)])
        changes = [(an_item(number), an_item(number, sk=f"x{number}")) for number in range(3)]
        assert store.replace(changes) == 1
        assert all_of(store) == [an_item(2), an_item(0, sk="x0")]

    def test_what_did_not_change_is_not_written(self, store: Store, asked: Asked) -> None:
        store.replace([(an_item(1), an_item(1))])
        assert asked == {}


class TestLettingGo:
    def test_a_person_goes_with_all_that_finds_them_or_stays_whole(self, store: Store) -> None:
        store.create_member(ADA)
        for lookup in LOOKUPS:
            store.own(lookup, ADA.id)
        store.begin_erasing([ADA.id], "t1", JOINED)
        assert not store.let_go([ADA.id], profiles={ADA.id: 1}, found_by=LOOKUPS)
        wanted = [*LOOKUPS, keys.erasing(ADA.id), keys.member(ADA.id)]
        assert len(store.held_at(wanted)) == 4
        assert store.let_go([ADA.id], profiles={ADA.id: 0}, found_by=LOOKUPS)
        assert store.held_at(wanted) == []
        assert not store.let_go([ADA.id], profiles={ADA.id: 0}, found_by=LOOKUPS)

    def test_more_identities_than_a_transaction_takes_go_as_well(self, store: Store) -> None:
        store.create_member(ADA)
        lookups = [keys.identity(Identity("slack", f"U{number}")) for number in range(110)]
        for lookup in lookups:
            store.own(lookup, ADA.id)
        assert store.let_go([ADA.id], profiles={ADA.id: 0}, found_by=lookups)
        assert store.held_at(lookups) == []

    def test_a_person_s_day_of_the_log_is_theirs_alone(self, store: Store) -> None:
        store.log([posted(), posted(id="slack:Ev9", actor="U10")])
        [held] = store.held_of_day(SLACK, JOINED.date())
        assert held["sk"] == "slack:U1#slack:Ev2"
