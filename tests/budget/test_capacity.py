"""What DynamoDB bills, held against its published rules and examples."""

from __future__ import annotations

from typing import Any

import pytest

from tests.budget.capacity import HALF, Index, batch_units, index_units, read_units, size, write_units

KB = 1024
AGENDA = Index(("agenda", "due_at"))
SENDS = Index(("planned_on", "sk"), frozenset({"status"}))


def text(**attributes: str) -> dict[str, Any]:
    return {name: {"S": value} for name, value in attributes.items()}


def of(size_: int) -> dict[str, Any]:
    """An item of exactly this size."""
    return text(a="x" * (size_ - 1))


class TestSize:
    """The rules are those of AWS's developer guide, "DynamoDB item sizes and formats"."""

    def test_the_guide_s_own_example_is_23_bytes(self) -> None:
        assert size({"shirt-color": {"S": "R"}, "shirt-size": {"S": "M"}}) == 23

    @pytest.mark.parametrize(
        ("attribute", "expected"),
        [
            ({"S": "naïve"}, 6),
            ({"B": "AAECAw=="}, 4),
            ({"B": b"\x00\x01"}, 2),
            ({"BOOL": True}, 1),
            ({"NULL": True}, 1),
            ({"N": "27"}, 2),
            ({"N": "300"}, 2),
            ({"N": "0.0012"}, 2),
            ({"N": "-123"}, 4),
            ({"N": "1893499200"}, 5),
            ({"L": []}, 3),
            ({"M": {}}, 3),
            ({"L": [{"S": "ab"}, {"BOOL": True}]}, 3 + 2 + 1 + 2),
            ({"M": {"ab": {"S": "cd"}}}, 3 + 1 + 4),
            ({"SS": ["ab", "c"]}, 3),
            ({"NS": ["1", "22"]}, 4),
        ],
    )
    def test_a_value_has_the_size_that_the_rules_give_it(self, attribute: dict[str, Any], expected: int) -> None:
        assert size({"n": attribute}) == 1 + expected


class TestUnits:
    """The examples are those of AWS's pricing page for on-demand capacity."""

    @pytest.mark.parametrize(("bytes_", "units"), [(KB, 1), (KB + 1, 2), (3 * KB, 3)])
    def test_a_write_of_1_kb_is_a_unit_and_of_3_kb_three_twice_that_in_a_transaction(
        self, bytes_: int, units: int
    ) -> None:
        assert write_units(None, of(bytes_)) == units
        assert write_units(None, of(bytes_), transactional=True) == 2 * units

    def test_the_larger_image_of_an_item_counts_and_a_write_in_vain_is_a_unit(self) -> None:
        assert write_units(of(3 * KB), of(KB)) == write_units(of(KB), of(3 * KB)) == 3
        assert write_units(None, None) == 1

    def test_a_read_of_8_kb_is_two_units_and_one_where_it_may_be_late(self) -> None:
        assert read_units(8 * KB, consistent=True) == 2
        assert read_units(8 * KB, consistent=False) == 1
        assert read_units(0, consistent=False) == HALF

    def test_a_batch_rounds_up_each_item_and_pays_for_those_that_are_not_there(self) -> None:
        items = [of(100), of(4 * KB + 1)]
        assert batch_units(items, asked=3, consistent=True) == 1 + 2 + 1
        assert batch_units(items, asked=3, consistent=False) == HALF * 4


class TestIndex:
    def test_an_item_without_a_key_of_the_index_costs_nothing_in_it(self) -> None:
        assert index_units(AGENDA, None, text(pk="p", sk="s", agenda="a")) == 0

    def test_an_item_that_comes_or_goes_is_one_write(self) -> None:
        there = text(pk="p", sk="s", agenda="a", due_at="d")
        assert index_units(AGENDA, None, there) == index_units(AGENDA, there, None) == 1

    def test_a_changed_key_is_a_deletion_and_a_put(self) -> None:
        old, new = (text(pk="p", sk="s", agenda="a", due_at=due) for due in ("d", "e"))
        assert index_units(AGENDA, old, new) == 2

    def test_what_the_index_does_not_hold_costs_nothing_in_it(self) -> None:
        old, new = (text(pk="p", sk="s", planned_on="d", status="sent", token=token) for token in ("a", "b"))
        assert index_units(SENDS, old, new) == 0
        assert index_units(SENDS, old, new | text(status="parked")) == 1
