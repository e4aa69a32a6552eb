"""The month's bill: what it is made of, what it says, and what the documents say of it."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from infra import cli, cost
from infra.bill import ASSUMED, HOURS, LAMBDA, SECRETIVE, Bill, Size, bill, instead, month
from infra.terminal import out
from tests.unit.test_docs import quoted, read, rows, section

LARGE = Size(members=100_000, events=1_000_000, mails=300_000, months=cost.KEPT_LONG)
SMALL = Size(members=1_000, events=10_000, mails=3_000, months=cost.KEPT_LONG)
ONE = {"name": "x", "unit": "x", "amount": "0.50", "per": 1000}


def of(size: Size, **changes: Any) -> Bill:
    """A bill with some of the counted work, or of what the stack has, changed."""
    work = json.loads(cost.WORK.read_text(encoding="utf-8"), parse_float=Decimal)
    for name, told in changes.items():
        work["stack" if name in work["stack"] else "units"][name] = told
    return bill(size, work, cost.prices())


def line(found: Bill, key: str) -> Any:
    return next(one for one in found.lines if one.key == key)


class TestBill:
    def test_every_line_has_a_price_and_every_price_is_used(self) -> None:
        used = [one.key for one in of(LARGE).lines] + list(of(LARGE).ses)
        assert sorted(used) == sorted(cost.prices().keys() - {"instead"})

    @pytest.mark.parametrize("price", [*cost.prices().keys() - {"instead"}])
    def test_every_price_says_its_day_and_where_it_was_read(self, price: str) -> None:
        told = cost.prices()[price]
        assert told["party"] in {"first", "third", "recalled"}
        assert isinstance(told["as_of"], date)
        assert told["source"]
        assert isinstance(told["amount"], str), "a fraction in binary is not the price"

    def test_ses_is_its_price_and_nothing_else(self) -> None:
        assert of(LARGE).ses == {"ses": Decimal(30), "ses_essentials": Decimal(48)}

    def test_twice_the_community_costs_twice_as_much_beyond_what_is_fixed(self) -> None:
        twice = of(replace(LARGE, members=200_000, events=2_000_000, mails=600_000))
        nothing = of(Size(members=1, events=0, mails=0, months=LARGE.months))
        moving = of(LARGE).listed - nothing.listed
        assert abs((twice.listed - nothing.listed) / moving - 2) < Decimal("0.1")

    def test_what_is_free_is_taken_off_once_and_never_below_nothing(self) -> None:
        small = of(SMALL)
        assert line(small, "storage").listed > line(small, "storage").billed == 0
        assert line(small, "alarms").listed - line(small, "alarms").billed == Decimal("1.00")

    def test_lambda_s_free_share_can_be_used_up_by_others(self) -> None:
        found = of(LARGE)
        by_hand = found.billed + sum(line(found, key).listed - line(found, key).billed for key in LAMBDA)
        assert found.without_lambda_s_free_share == by_hand > found.billed

    def test_what_is_kept_grows_for_400_days_and_then_only_by_what_is_kept_for_ever(self) -> None:
        held = [line(of(replace(LARGE, months=months)), "storage").quantity for months in (1, 7, 13, 14, 15)]
        assert held == sorted(held)
        assert held[4] - held[3] < (held[1] - held[0]) / 6 / 4

    def test_a_secret_is_decrypted_four_times_an_hour_by_each_worker_at_most(self) -> None:
        most = len(SECRETIVE) * 2 * 4 * HOURS
        assert line(of(SMALL), "decryptions").quantity < line(of(LARGE), "decryptions").quantity <= most
        assert line(of(SMALL), "decryptions").billed == 0

    def test_a_metric_is_billed_for_the_hours_in_which_it_is_told(self) -> None:
        def metrics(size: Size) -> Decimal:
            return Decimal(line(of(size), "metrics").quantity)

        hardly_any = Size(members=1, events=0, mails=0, months=1)
        assert round(metrics(hardly_any), 3) == 1  # that days are measured is told hourly
        assert metrics(SMALL) < metrics(LARGE) <= 10

    def test_a_mail_has_every_event_that_ses_tells_of_it(self) -> None:
        counts = month(LARGE, cost.work()["stack"])
        assert counts["onboarding mail"] + counts["attempt"] == counts["ses send"] == LARGE.mails
        assert counts["ses delivery"] + counts["bounce"] == LARGE.mails

    def test_every_event_is_reacted_to_once(self) -> None:
        counts = month(LARGE, cost.work()["stack"])
        reacted = counts["reaction"] + counts["first of a day"] + counts["new member"]
        assert reacted == counts["webhook"] + counts["webhook untimed"] == LARGE.events

    def test_money_is_exact_to_a_millionth_of_a_dollar(self) -> None:
        assert all(one.listed == one.listed.quantize(Decimal("0.000001")) for one in of(LARGE).lines)
        assert isinstance(of(LARGE).billed, Decimal)


class TestElsewhere:
    def test_a_price_for_each_contact_reaches_any_number(self) -> None:
        offer = {"amount": "0", "included": 0, "further": "0.009"}
        assert instead(1000, offer) == (Decimal("0.9"), Decimal(9))

    def test_a_price_for_so_many_contacts_reaches_no_further(self) -> None:
        offer = {"amount": "100", "included": 5000}
        assert instead(5000, offer) == (Decimal(2), Decimal(100))
        assert instead(5001, offer) == (Decimal(2), None)


class TestCommand:
    @pytest.fixture(autouse=True)
    def wide(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(out, "_width", 160)

    def ran(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *options: str) -> list[Any]:
        monkeypatch.setattr(sys, "argv", ["flywheel", "cost", *options])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return [ended.value.code or 0, said.out, said.err]

    def test_it_tells_every_line_the_sums_and_what_is_assumed(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, told, _ = self.ran(monkeypatch, capsys)
        found = of(LARGE)
        assert code == 0
        assert [one.name for one in found.lines if one.name not in told] == []
        assert [one.says for one in ASSUMED.values() if one.says not in told] == []
        assert f"{found.listed:.2f}" in told
        assert f"{found.billed:.2f}" in told

    def test_scripts_read_dollars_as_text_with_day_and_source(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, told, _ = self.ran(monkeypatch, capsys, "--members", "1000", "--json")
        read_ = json.loads(told)
        assert (code, read_["size"]) == (0, {"members": 1000, "events": 10_000, "mails": 3_000, "months": 14})
        assert read_["everything_but_ses"]["billed"] == str(of(SMALL).billed)
        writes = read_["lines"][0]
        assert (writes["name"], writes["as_of"], writes["party"]) == ("DynamoDB writes", "2024-11-01", "third")

    @pytest.mark.parametrize(
        ("options", "mistake"),
        [
            (["--members", "0"], "--members must be between 1 and 10,000,000; got 0"),
            (["--mails", "-1"], "--mails must be between 0 and 1,000,000,000; got -1"),
            (["--events", "99999999999"], "--events must be between 0 and 10,000,000,000; got 99,999,999,999"),
            (["--months", "0"], "--months must be between 1 and 120; got 0"),
        ],
    )
    def test_a_number_that_is_none_is_one_sentence(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], mistake: str
    ) -> None:
        assert self.ran(monkeypatch, capsys, *options) == [2, "", f"flywheel: {mistake}\n"]


class TestDocuments:
    def test_the_readme_tells_what_the_command_tells(self) -> None:
        told = rows(section("README.md", "## What it costs"))
        bills = [of(size) for size in (replace(SMALL, months=1), SMALL, replace(LARGE, months=1), LARGE)]
        assert told == [
            [f"{getattr(one.size, name):,}" for name in ("members", "events", "mails", "months")]
            + [cost.money(amount) for amount in (one.billed, one.listed, one.ses["ses"])]
            for one in bills
        ]

    def test_the_page_on_costs_explains_every_line_and_every_assumption(self) -> None:
        lines = {name for row in rows(section("docs/cost.md", "## The lines")) for name in [row[0]]}
        assert lines == {one.name for one in of(LARGE).lines}
        assumed = rows(section("docs/cost.md", "## What is assumed"))
        told = {name: row[1] for row in assumed for name in quoted(row[0])}
        assert told == {name: f"{one.value:,}" for name, one in ASSUMED.items()}

    def test_the_page_on_costs_names_the_metrics_that_functions_tell(self) -> None:
        code = "".join(read(f"functions/{name}.py") for name in cost.work()["stack"]["memory"])
        written = set(re.findall(r'(?:count\(|name=)"([A-Z]\w+)"', code))
        assert written == {name for row in rows(section("docs/cost.md", "## Metrics")) for name in quoted(row[0])}
