"""`flywheel cost`: a month's bill for a community of a given size, with what stands behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from typing import Annotated, Any

import typer
import yaml
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra import ROOT
from infra.bill import ASSUMED, Bill, Line, Size, bill, instead
from infra.terminal import Json, out, print_json
from shared.errors import UsageError

PRICES = ROOT / "infra" / "prices.yaml"
WORK = ROOT / "infra" / "work.json"

MOST = 10_000_000
"""Members beyond which a table of one account's prices says nothing."""

KEPT_LONG = 14
"""Months after which the log and the ledger, which are kept 400 days, grow no more."""

Members = Annotated[int, typer.Option(help="How many members the community has.")]
Events = Annotated[int | None, typer.Option(help="Events logged in a month.", show_default="ten a member")]
Mails = Annotated[int | None, typer.Option(help="Mails sent in a month.", show_default="three a member")]
Months = Annotated[int, typer.Option(help="Months it has been running: what is kept grows until the 14th.")]


def cost(
    *,
    members: Members = 100_000,
    events: Events = None,
    mails: Mails = None,
    months: Months = KEPT_LONG,
    as_json: Json = False,
) -> None:
    """Tell what a month costs, by line: what SES asks, everything else, and what one would pay elsewhere."""
    size = sized(members, events, mails, months)
    found = of_size(size)
    if as_json:
        print_json(told(found))
    else:
        out.print(shown(found))


def sized(members: int, events: int | None, mails: int | None, months: int) -> Size:
    """The size asked for; UsageError with what is allowed where it is none."""
    found = Size(
        members=members,
        events=10 * members if events is None else events,
        mails=3 * members if mails is None else mails,
        months=months,
    )
    for name, number, least, most in (
        ("members", found.members, 1, MOST),
        ("events", found.events, 0, 1000 * MOST),
        ("mails", found.mails, 0, 100 * MOST),
        ("months", found.months, 1, 120),
    ):
        if not least <= number <= most:
            raise UsageError(f"--{name} must be between {least:,} and {most:,}; got {number:,}")
    return found


def of_size(size: Size) -> Bill:
    """The bill of a month, by the prices and the measured work that are checked in."""
    return bill(size, work(), prices())


@cache
def prices() -> Mapping[str, Any]:
    """The price table."""
    table: Mapping[str, Any] = yaml.safe_load(PRICES.read_text(encoding="utf-8"))
    return table


@cache
def work() -> Mapping[str, Any]:
    """What each unit of work asks of AWS, as it was counted."""
    found: Mapping[str, Any] = json.loads(WORK.read_text(encoding="utf-8"), parse_float=Decimal)
    return found


# --- for scripts ---------------------------------------------------------------------------------


def told(found: Bill) -> dict[str, Any]:
    """The bill as plain values; dollars are text, so that no script reads them as a fraction that they are not."""
    return {
        "size": {name: getattr(found.size, name) for name in ("members", "events", "mails", "months")},
        "lines": [_plain(line) for line in found.lines],
        "everything_but_ses": {
            "listed": str(found.listed),
            "billed": str(found.billed),
            "without_lambda_s_free_share": str(found.without_lambda_s_free_share),
        },
        "ses": {name: str(amount) for name, amount in found.ses.items()},
        "assumed": {name: {"value": str(one.value), "says": one.says} for name, one in ASSUMED.items()},
    }


def _plain(line: Line) -> dict[str, str]:
    price = prices()[line.key]
    return {
        "name": line.name,
        "quantity": f"{line.quantity:.3f}",
        "unit": line.unit,
        "listed": str(line.listed),
        "billed": str(line.billed),
        "as_of": str(price["as_of"]),
        "source": price["source"],
        "party": price["party"],
    }


# --- for people ----------------------------------------------------------------------------------


def shown(found: Bill) -> RenderableType:
    """The bill for a terminal."""
    size = found.size
    head = f"{size.members:,} members, {size.events:,} events and {size.mails:,} mails a month, in month {size.months}"
    return Group(Text(head, style="bold"), _lines(found), Text(), _elsewhere(found), Text(), *_behind())


def _lines(found: Bill) -> Table:
    table = _table("US dollars a month", "quantity", "list price", "after what is free")
    for line in found.lines:
        table.add_row(line.name, f"{_short(line.quantity)} {_plural(line)}", money(line.listed), money(line.billed))
    table.add_section()
    table.add_row("Everything but SES", "", money(found.listed), money(found.billed), style="bold")
    aside = money(found.without_lambda_s_free_share)
    table.add_row("the same where Lambda's free share is used up", "", "", aside)
    table.add_section()
    for key, amount in found.ses.items():
        table.add_row(prices()[key]["name"], f"{_short(Decimal(found.size.mails))} mails", money(amount), money(amount))
    whole = found.ses["ses"]
    table.add_row(
        "All of it, SES à la carte", "", money(found.listed + whole), money(found.billed + whole), style="bold"
    )
    return table


def _elsewhere(found: Bill) -> Table:
    members = found.size.members
    table = _table(
        "Published prices elsewhere, US dollars a month", "a hundred contacts", f"{members:,} contacts", "read"
    )
    for offer in prices()["instead"]:
        hundred, whole = instead(members, offer)
        reaches = f"not published beyond {offer['included']:,}" if whole is None else money(whole)
        table.add_row(offer["name"], money(hundred), reaches, f"{offer['as_of']}, {offer['party']} party")
    ours = found.billed + found.ses["ses"]
    table.add_row("Flywheel, with SES à la carte", money(100 * ours / members), money(ours), "", style="bold")
    return table


def _behind() -> Iterator[Text]:
    """What is assumed; what is measured and what prices rest on is told by name."""
    yield Text("Requests, units and bytes are counted (infra/work.json); prices are in infra/prices.yaml. Assumed:")
    for one in ASSUMED.values():
        yield Text(f"  {one.value:>7,}  {one.says}", style="dim")
    yield Text("docs/cost.md explains each line.", style="dim")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for at, column in enumerate(columns):
        table.add_column(column, justify="right" if at else "left", overflow="fold")
    return table


def money(amount: Decimal) -> str:
    """Dollars and cents, rounded half up; what is less than half a cent is 0.00."""
    return f"{amount.quantize(Decimal('0.01')):,}"


def _short(number: Decimal) -> str:
    """A quantity as people read it: three figures."""
    for power, letter in ((9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.3g}{letter}"
    return f"{number:.3g}"


def _plural(line: Line) -> str:
    return line.unit if line.unit == "GB" or line.quantity == 1 else f"{line.unit}s"
