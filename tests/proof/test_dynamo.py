"""The table in memory is as strict as AWS, and as loose."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.proof.dynamo import Dynamo, Refused
from tests.proof.exhaustive import prove
from tests.proof.expressions import Invalid
from tests.proof.flows import FLOWS
from tests.proof.house import House, opened
from tests.proof.verdicts import End, end_of, violations


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with opened() as house:
        yield house


def a_put(sk: str = "A", **more: object) -> dict[str, object]:
    return {"TableName": "t", "Item": {"pk": {"S": "P"}, "sk": {"S": sk}, **more}}


class TestStrict:
    """Where it must refuse."""

    @pytest.mark.parametrize(
        "asked",
        [
            {"ConditionExpression": "attribute_not_exists(pk)", "ExpressionAttributeValues": {":unused": {"S": "x"}}},
            {"ConditionExpression": "#a = :b", "ExpressionAttributeNames": {"#a": "a"}},
            {"ConditionExpression": "pk SOUNDS_LIKE :b", "ExpressionAttributeValues": {":b": {"S": "x"}}},
        ],
    )
    def test_what_aws_would_not_understand_is_invalid(self, asked: dict[str, object]) -> None:
        with pytest.raises(Invalid):
            Dynamo().do("PutItem", a_put() | asked)

    def test_an_item_over_the_limit_is_invalid(self) -> None:
        with pytest.raises(Invalid, match="size"):
            Dynamo().do("PutItem", a_put(text={"S": "x" * 410_000}))

    def test_a_key_of_an_index_must_be_text(self) -> None:
        with pytest.raises(Invalid, match="agenda"):
            Dynamo().do("PutItem", a_put(agenda={"N": "1"}))

    def test_a_transaction_writes_all_or_nothing(self) -> None:
        table = Dynamo()
        table.do("PutItem", a_put("B"))
        absent = {"ConditionExpression": "attribute_not_exists(pk)"}
        with pytest.raises(Refused) as refused:
            table.do("TransactWriteItems", {"TransactItems": [{"Put": a_put("A")}, {"Put": a_put("B") | absent}]})
        assert [one["Code"] for one in refused.value.more["CancellationReasons"]] == ["None", "ConditionalCheckFailed"]
        assert [sk for _, sk in table.state.items] == ["B"]

    def test_a_copy_is_not_changed_by_what_comes_after(self) -> None:
        table = Dynamo()
        table.do("PutItem", a_put("A"))
        before = table.state.copy()
        table.do("PutItem", a_put("B"))
        assert len(before.items) == 1


class TestLoose:
    """Where it need not be kind: nothing of ours may rest on that."""

    def _ends(self, house: House, name: str, *, lag: int = 0, parts: bool = False, expired: bool = False) -> list[End]:
        """How a flow ends in a table that is not as kind, and how it does in one that is."""
        flow = FLOWS[name]
        with flow.world(house) as world:
            flow.before(world)
            world.forget()
            start, begun = world.snapshot(), world.now
            flow.run(world)
            flow.then(world)
            whole = end_of(world, begun)
            world.restore(start)
            house.table.lag = lambda pending: min(pending, lag)
            house.table.part = (lambda count: max(1, count * 3 // 4)) if parts else house.table.part
            if expired:
                house.table.forget_expired((world.now - timedelta(days=1)).timestamp())
            flow.run(world)
            house.table.lag = lambda _: 0
            flow.then(world)
            world.run(world.now + flow.quiet_after)
            return [end_of(world, begun), whole]

    @pytest.mark.shows(17)
    @pytest.mark.parametrize("name", ["drip, tick to settled", "inactivity"])
    @pytest.mark.parametrize("lag", [1, 4])
    def test_an_index_that_is_behind_moves_nothing_twice(self, house: House, name: str, lag: int) -> None:
        end, whole = self._ends(house, name, lag=lag)
        # It goes later than it would, but it goes once.
        assert (end.accepted, end.sends, end.wrong) == (whole.accepted, whole.sends, ())

    @pytest.mark.parametrize("name", ["event to reaction", "drip, tick to settled", "rollup"])
    def test_pages_and_batches_may_come_in_parts(self, house: House, name: str) -> None:
        end, whole = self._ends(house, name, parts=True)
        assert violations(end, whole, ses_tells=True) == []

    @pytest.mark.shows(18)
    @pytest.mark.parametrize("name", ["drip, tick to settled", "inactivity"])
    def test_what_has_expired_may_stay_or_go(self, house: House, name: str) -> None:
        for expired in (True, False):
            end, whole = self._ends(house, name, expired=expired)
            assert violations(end, whole, ses_tells=True) == []


def test_a_flow_that_is_struck_leaves_no_trace_in_the_next(house: House) -> None:
    first, second = (prove(FLOWS["drip, SES's word lost"], house) for _ in range(2))
    assert (first.calls, first.points, first.violations) == (second.calls, second.points, second.violations)
