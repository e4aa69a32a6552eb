"""From the size of a community to the month's bill, line by line. Pure: prices, work and assumptions in, money out.

What one unit of work asks of AWS is measured (`infra/work.json`, written by `make budget`); how much of it a month
brings, and what cannot be measured on one machine, is assumed, and told. Money is Decimal US dollars, never float.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

HOURS = 730
"""Of a month, as AWS counts them."""

DAYS = Decimal("30.4")
GB = Decimal(1024**3)
WHOLE = Decimal(1769)
"""MB of memory that bring a whole processor with them; less brings as much less of it."""

Work = Mapping[str, Any]
Units = dict[str, Decimal]


@dataclass(frozen=True, kw_only=True)
class Size:
    """A community's month: members, events logged, mails sent; and how many months it has kept what it keeps."""

    members: int
    events: int
    mails: int
    months: int


@dataclass(frozen=True)
class Assumed:
    """One thing that no test here can measure."""

    value: Decimal
    says: str


def _assumed(value: str, says: str) -> Assumed:
    return Assumed(Decimal(value), says)


ASSUMED: Mapping[str, Assumed] = {
    "joining": _assumed("0.03", "of the members join in a month"),
    "per_day": _assumed("4", "events come of a member on a day on which they are active"),
    "untimed": _assumed("0.1", "of the events have no time of their own"),
    "unused": _assumed("0.2", "deliveries that are not used, such as edits, come for each event"),
    "again": _assumed("0.01", "of the events are delivered twice"),
    "attempts": _assumed("0.5", "of the mails ask silent members to come back; the others are drips"),
    "put_off": _assumed("0.1", "of the mails wait for the morning, a gap or the budget"),
    "bounces": _assumed("0.01", "of the mails bounce for good"),
    "leaving": _assumed("0.005", "of the mails bring somebody to unsubscribe"),
    "clicks": _assumed("0.02", "visits to a referral link come of each member in a month"),
    "friends": _assumed("0.002", "friends who count come of each member in a month"),
    "rereads": _assumed(
        "14",
        "times an event is read to measure its day: each hour with half of the day's, and when it is over",
    ),
    "cpu": _assumed("1", "times the CPU time measured here is what a whole processor of Lambda needs"),
    "wait": _assumed("5", "ms pass until AWS has answered a request"),
    "pace": _assumed("143", "ms pass for each mail until SES may have it: half of the 14 a second of a new account"),
    "cold": _assumed("24", "cold starts a day and function, of a second each"),
    "workers": _assumed(
        "2", "workers of a function that reads a secret are there all month, and read it every quarter of an hour"
    ),
    "polls": _assumed(
        "648000", "times a month Lambda asks a queue in which nothing is: five pollers, every 20 seconds"
    ),
    "platform": _assumed("300", "bytes Lambda itself logs of an invocation: START, END and REPORT"),
    "access": _assumed("250", "bytes the HTTP API logs of a request"),
    "packed": _assumed("0.15", "of their size logs have when they are kept"),
}
"""By name, in the order in which they are told."""

MEASURED_TICKS = ("onboarding", "reengagement", "mail_followups", "referral_rewards", "metrics_rollup")
SECRETIVE = ("webhooks", "links", "react", "mailer", "reward_notices")
"""The functions that read a secret."""

QUEUED = ("mailer", "reward_notices")
"""The functions that a queue invokes, which costs a receipt and a deletion each time."""


def value(name: str) -> Decimal:
    """An assumption's number."""
    return ASSUMED[name].value


def month(size: Size, stack: Work) -> Units:
    """How many of each unit of work a month brings."""
    events, mails, members = Decimal(size.events), Decimal(size.mails), Decimal(size.members)
    days = events / value("per_day")
    ticks = {f"idle {name}": Decimal(str(stack["ticks"][name])) for name in MEASURED_TICKS}
    joins = min(members * value("joining"), events)
    return {
        **ticks,
        "webhook": events * (1 - value("untimed")),
        "webhook untimed": events * value("untimed"),
        "webhook again": events * value("again"),
        "webhook unused": events * value("unused"),
        "new member": joins,
        "first of a day": days,
        "reaction": max(events - days - joins, Decimal(0)),
        "onboarding mail": mails * (1 - value("attempts")),
        "attempt": mails * value("attempts"),
        "put off": mails * value("put_off"),
        "ses send": mails,
        "ses delivery": mails * (1 - value("bounces")),
        "bounce": mails * value("bounces"),
        "unsubscribe": mails * value("leaving"),
        "click": members * value("clicks"),
        "friend": members * value("friends"),
        "event measured": events * value("rereads"),
        "member measured": days * (value("rereads") - 1),
        "member of a day over": days,
        **{f"{kind} report": Decimal(str(count)) for kind, count in stack["reports"].items()},
    }


def quantities(size: Size, work: Work) -> Units:
    """How much of everything that has a price a month takes, by the price's name."""
    units, stack = month(size, work["stack"]), work["stack"]
    invocations = _by_function("invocations", units, work)
    requests = _by_function("requests", units, work)
    told = _bitmaps(size, units, work)
    http = invocations["webhooks"] + invocations["links"]
    called = _sum(invocations.values())
    logged = _sum(_by_function("logged", units, work).values()) + called * value("platform")
    logged += http * value("access")
    stored = _stored(size, units, work)
    return {
        "writes": _total("wru", units, work) + told["written"],
        "reads": _total("rru", units, work) + told["read"],
        "storage": stored / GB,
        "backup": stored / GB,
        "invocations": called,
        "compute": _compute(units, work),
        "http": http,
        "queues": _queues(invocations, requests, stack),
        "bus": units["ses send"] + units["ses delivery"] + units["bounce"] + requests["PutEvents"],
        "schedules": _sum(Decimal(str(count)) for count in stack["ticks"].values()),
        "logs": logged / GB,
        "logs_kept": logged / GB * value("packed") * min(size.months, stack["log_months"]),
        "metrics": _metrics(units, work),
        "alarms": Decimal(stack["alarms"]),
        "dashboards": Decimal(stack["dashboards"]),
        "decryptions": _sum(min(invocations[name], value("workers") * HOURS * 4) for name in SECRETIVE),
    }


# --- how much of each ----------------------------------------------------------------------------


def _sum(numbers: Iterable[Decimal]) -> Decimal:
    return sum(numbers, Decimal(0))


def _number(told: Mapping[str, Any], name: str) -> Decimal:
    return Decimal(str(told.get(name, 0)))


def _total(name: str, units: Units, work: Work) -> Decimal:
    return _sum(count * _number(work["units"][unit], name) for unit, count in units.items())


def _by_function(name: str, units: Units, work: Work) -> Units:
    found: Units = defaultdict(Decimal)
    for unit, count in units.items():
        for function in work["units"][unit][name]:
            found[function] += count * _number(work["units"][unit][name], function)
    return found


def _bitmaps(size: Size, units: Units, work: Work) -> Units:
    """Units more than measured: a set of members is a bit each, where a small community's is next to nothing."""
    held, ticks = Decimal(size.members) / 8, units["idle metrics_rollup"]
    counted = work["units"]["day so far"]["bitmaps"]
    more = {"written": _ceiling(held / 1024) - 1, "read": _ceiling(held / 4096) - 1}
    return {name: ticks * _number(counted, name) * max(more[name], Decimal(0)) for name in more}


def _ceiling(number: Decimal) -> Decimal:
    return number.to_integral_value(ROUND_CEILING)


def _stored(size: Size, units: Units, work: Work) -> Decimal:
    """Bytes that stand in the table: what each month brought, for as long as it is kept."""
    there = size.members * _number(work["units"]["new member"]["stored"], "ever")
    for unit, count in units.items():
        for kept, held in work["units"][unit]["stored"].items():
            months = Decimal(size.months) if kept == "ever" else min(Decimal(size.months), Decimal(kept) / DAYS)
            there += count * Decimal(str(held)) * months
    return max(there, Decimal(0))


def _compute(units: Units, work: Work) -> Decimal:
    """GB-seconds: the CPU time at a function's share of a processor, the waits, and cold starts."""
    memory = {name: Decimal(mb) for name, mb in work["stack"]["memory"].items()}
    found = Decimal(0)
    for unit, count in units.items():
        told = work["units"][unit]
        for function, cpu in told["cpu_ms"].items():
            computed = Decimal(str(cpu)) * value("cpu") / min(memory[function] / WHOLE, Decimal(1))
            waited = _number(told["asked"], function) * value("wait")
            if function == "mailer":
                waited += _number(told["requests"], "SendEmail") * value("pace")
            found += count * (computed + waited) / 1000 * memory[function] / 1024
    return found + _sum(memory.values()) / 1024 * value("cold") * DAYS


def _queues(invocations: Units, requests: Units, stack: Work) -> Decimal:
    taken = _sum(2 * invocations[name] for name in QUEUED)
    return requests["SendMessageBatch"] + taken + len(stack["queues"]) * value("polls")


def _metrics(units: Units, work: Work) -> Decimal:
    """Metrics, each for the share of the month's hours in which it is told at all."""
    told: Units = defaultdict(Decimal)
    for unit, count in units.items():
        for metric in work["units"][unit]["metrics"]:
            told[metric] += count
    return _sum(min(Decimal(1), count / HOURS) for count in told.values())


# --- what it comes to ----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the bill, in US dollars: at list prices, and after what is free each month."""

    key: str
    name: str
    quantity: Decimal
    unit: str
    listed: Decimal
    billed: Decimal


@dataclass(frozen=True, kw_only=True)
class Bill:
    """A month's bill: everything but SES by line; what SES asks by plan; what others ask, where that is published."""

    size: Size
    lines: tuple[Line, ...]
    ses: Mapping[str, Decimal]

    @property
    def listed(self) -> Decimal:
        """Everything but SES at list prices."""
        return _sum(line.listed for line in self.lines)

    @property
    def billed(self) -> Decimal:
        """Everything but SES after what is free each month."""
        return _sum(line.billed for line in self.lines)

    @property
    def without_lambda_s_free_share(self) -> Decimal:
        """The same where Lambda's free share is used up by others in the account."""
        return _sum(line.listed if line.key in LAMBDA else line.billed for line in self.lines)


LAMBDA = ("invocations", "compute")


def bill(size: Size, work: Work, prices: Work) -> Bill:
    """The month's bill of a community of this size."""
    found = quantities(size, work)
    ses = {key: _costs(Decimal(size.mails), prices[key]) for key in ("ses", "ses_essentials")}
    return Bill(size=size, lines=tuple(_lines(found, prices)), ses=ses)


def _lines(found: Units, prices: Work) -> Iterator[Line]:
    for key, quantity in found.items():
        price = prices[key]
        beyond = max(quantity - Decimal(price.get("free", 0)), Decimal(0))
        yield Line(
            key=key,
            name=price["name"],
            quantity=quantity,
            unit=price["unit"],
            listed=_costs(quantity, price),
            billed=_costs(beyond, price),
        )


def _costs(quantity: Decimal, price: Work) -> Decimal:
    return (quantity * Decimal(price["amount"]) / Decimal(price["per"])).quantize(Decimal("0.000001"))


def instead(members: int, offer: Work) -> tuple[Decimal, Decimal | None]:
    """What another asks for a hundred contacts, and for so many members where its published price reaches that far."""
    amount, included = Decimal(offer["amount"]), int(offer["included"])
    if "further" in offer:
        further = Decimal(offer["further"])
        return 100 * further, amount + max(members - included, 0) * further
    return 100 * amount / included, amount if members <= included else None
