"""Values as DynamoDB has them: the same as boto3 makes of them, which we do without for it is slow to load."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from shared.model import SendStatus
from shared.store.wire import attributes, values

LEAVES = st.text() | st.booleans() | st.integers(-(10**37), 10**37) | st.binary() | st.none()
STORED = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
ITEMS = st.dictionaries(st.text(min_size=1), STORED)


@given(ITEMS)
def test_attributes_are_those_that_boto3_makes(item: dict[str, Any]) -> None:
    serialize = TypeSerializer().serialize
    assert attributes(item) == {name: serialize(value) for name, value in item.items() if value is not None}


@given(ITEMS)
def test_what_was_stored_is_read_back(item: dict[str, Any]) -> None:
    assert values(attributes(item)) == {name: value for name, value in item.items() if value is not None}


@pytest.mark.parametrize(
    "attribute", [{"N": "1.5"}, {"N": "-3"}, {"SS": ["a", "b"]}, {"M": {"a": {"NULL": True}}}, {"L": [{"N": "0"}]}]
)
def test_what_others_stored_is_read_as_boto3_does(attribute: dict[str, Any]) -> None:
    assert values({"it": attribute})["it"] == TypeDeserializer().deserialize(cast(Any, attribute))


def test_what_was_read_is_what_was_stored() -> None:
    assert values(attributes({"it": {"b", "a"}, "half": Decimal("0.5")})) == {"it": {"a", "b"}, "half": Decimal("0.5")}


def test_a_status_is_stored_as_its_text() -> None:
    assert attributes({"status": SendStatus.SENT}) == {"status": {"S": "sent"}}


def test_a_float_is_never_stored() -> None:
    with pytest.raises(TypeError, match="float"):
        attributes({"share": 0.5})
