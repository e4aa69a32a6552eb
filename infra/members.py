"""`flywheel members ...`: tell a person all that is held of them, and erase them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import JsonValue

from infra import ROOT, STACK
from infra.operate import house, now_of
from infra.terminal import PlaybookFile, StackName, TableName, Yes, agreed, out, print_json, read_playbook
from infra.why import member_named
from shared.app import App
from shared.forgetting import Forgotten, Held, forget, forget_what_came_after, forget_what_was_told_again, held
from shared.model import Identity, Member
from shared.store import keys

commands = typer.Typer(help="A person's own: tell them all that is held of them, or erase it.", no_args_is_help=True)

Who = Annotated[str, typer.Argument(help="A member id, a platform id such as slack:U123, or an address.")]
ToFile = Annotated[Path | None, typer.Option("--to", help="A file to write it to; it is printed otherwise.")]
ReceiptFile = Annotated[
    Path | None, typer.Option("--receipt", help="Where the receipt goes.", show_default="out/erased-<member id>.json")
]

WORDS: Mapping[str, str] = {
    "PROFILE": "profiles",
    "IDENTITY": "identities",
    "EMAIL": "addresses",
    "LOG": "events",
    "SEEN": "guards",
    "DUE": "agenda",
    "SEND": "sends",
    "DAY": "days",
    "ATTEMPTS": "attempts",
    "PULSE": "pulses",
    "TOUCH": "touches",
    "ATTRIBUTION": "attributions",
    "VOID": "voids",
    "INVITED": "invited",
    "REFERRAL": "referrals",
    "REVIEW": "reviews",
    "REWARD": "rewards",
    "REFERRALS": "milestones",
    "DIRTY": "marks",
}
"""What each kind of item is called, as `docs/how-it-works.md` explains them."""

AS_JSON = frozenset({"event", "state"})
"""What an item holds as text, and is told as what it says."""

IN_FIGURES = (
    "each day's bitmaps hold the number `ordinal` of the profile; with a day's threads each purchase among the events"
    " is kept once more, for 410 days: who bought, for how much, in which currency and when; nothing else is in figures"
)
"""What figures are made of and hold of a person, beside what is told by kind."""

COPIES: Mapping[str, timedelta] = {
    "the table's stream": timedelta(hours=24),
    "parts of large days": timedelta(days=2),
    "dead letters, which hold ids": timedelta(days=14),
    "guards against deliveries that are tried again": timedelta(days=14),
    "point-in-time recovery of the table": timedelta(days=35),
    "the functions' logs, which hold ids": timedelta(days=92),
    "marks of their ids on platforms, from which nobody can tell these": timedelta(days=400),
}
"""Where copies are that nobody can reach into, and for how long after an erasure."""

OTHERS = (
    "a mark of each address, from which nobody can tell it, stays: so nobody mails it against what was said",
    "SES's own suppression list keeps addresses that bounced or complained, until they are taken off it",
    "whoever hands out rewards was told of theirs, with their ids",
    "exports, backups and reports of your own are yours to look through",
)
"""What an erasure does not reach, and no time ends."""


@commands.command("export")
def export(
    member: Who,
    *,
    to: ToFile = None,
    table: TableName = None,
    stack: StackName = STACK,
    playbook: PlaybookFile = ROOT / "playbook.yaml",
) -> None:
    """Tell all that is held of a person, under every id they ever had, as JSON."""
    with house(table, stack, read_playbook(playbook)) as app:
        now = now_of(app.store)
        told = exported(held(member_named(member, app), app.store, now), now)
    if to is None:
        print_json(told)
        return
    _write(to, told)
    out.print(f"Everything that is held of {told['member']} is in {to}.", soft_wrap=True, highlight=False)


@commands.command("erase")
def erase(
    member: Who,
    *,
    receipt: ReceiptFile = None,
    yes: Yes = False,
    table: TableName = None,
    stack: StackName = STACK,
    playbook: PlaybookFile = ROOT / "playbook.yaml",
) -> None:
    """Erase a person, for good: no figure changes, refusals of mail outlive them, and a receipt says what was done.

    May be run again at any time, and completes what was broken off: then with the member id.
    """
    with house(table, stack, read_playbook(playbook)) as app:
        if (gone := _erased_before(member.strip(), app)) is not None:
            out.print(gone, soft_wrap=True, highlight=False)
            return
        found = member_named(member, app)
        out.print(_planned(found), soft_wrap=True, markup=False, highlight=False)
        if not (yes or agreed("Erase them, for good?", "erase them")):
            out.print("They stay.")
            raise typer.Exit(1)
        done = forget(found, app, now_of(app.store))  # not before they answered: until then it is no erasure
    file = receipt or ROOT / "out" / f"erased-{found.id}.json"
    _write(file, receipt_of(found, done))
    out.print(f"[green]{found.id} is erased.[/] The receipt is {file}.", soft_wrap=True, highlight=False)


def _planned(member: Member) -> str:
    """Whom an operator is about to erase."""
    who = ", ".join([member.name or "Somebody without a name", *sorted(member.identities)])
    also = f" and {len(member.absorbed)} that they were known by before" if member.absorbed else ""
    return f"{who} ({member.id}){also}. If they are still in the community, what they do next makes them a new member."


def _erased_before(who: str, app: App) -> str | None:
    """What to say of somebody who is erased already; None where they are not. What came to stand since goes, too."""
    if app.store.survivor(who) is None and _is_member_id(who):
        left = forget_what_came_after(who, app)
        return f"Of {who} nothing is held{f' any more; {left} items had come to stand since' if left else ''}."
    lookups = _lookups(who)
    erased = app.store.remembered(lookups) if lookups and not app.store.owners(lookups) else {}
    for one in erased.values():
        identity = Identity(*who.split(":", 1)) if ":" in who else None
        left = forget_what_was_told_again(identity, one.at, app) if identity else 0
        also = f" {left} old events had been told again, and are gone, too." if left else ""
        return f"{who} was erased at {one.at:%Y-%m-%d %H:%M} UTC: nothing is held.{also}"
    return None


def _is_member_id(who: str) -> bool:
    return len(who) == 1 + 20 and who.startswith("m") and set(who[1:]) <= set("0123456789abcdef")


def _lookups(who: str) -> list[keys.Key]:
    platform, colon, external_id = who.partition(":")
    if colon:
        return [keys.identity(Identity(platform, external_id))]
    return [keys.address(who)] if "@" in who else []


# --- what is told --------------------------------------------------------------------------------


def exported(found: Held, now: datetime) -> dict[str, Any]:
    """All that is held of a person as plain values, by kind; of others only the ids that stand in it."""
    by_kind: dict[str, list[JsonValue]] = {}
    for item in sorted(found.items, key=lambda item: (item["pk"], item["sk"])):
        kind = WORDS[keys.kind((item["pk"], item["sk"]))]
        by_kind.setdefault(kind, []).append({name: _plain(name, value) for name, value in item.items()})
    person = found.person
    return {
        "member": person.id,
        "known_as": person.ids,
        "identities": [str(identity) for identity in person.identities],
        "as_of": now.isoformat(),
        "held": {kind: by_kind[kind] for kind in WORDS.values() if kind in by_kind},
        "remembered": [one.model_dump(mode="json", exclude_none=True) for one in found.remembered],
        "in_figures": IN_FIGURES,
    }


def _plain(name: str, value: Any) -> Any:  # noqa: ANN401 - whatever an item holds
    if name in AS_JSON and isinstance(value, str):
        return json.loads(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        return {key: _plain("", one) for key, one in value.items()}
    return [_plain("", one) for one in value] if isinstance(value, list | set) else value


def receipt_of(member: Member, done: Forgotten) -> dict[str, Any]:
    """What an erasure did, what of it is left where, and until when. It names nobody but by the id, which is gone."""
    return {
        "member": member.id,
        "erased_at": done.at.isoformat(),
        "deleted": _counted(done.deleted),
        "made_nobodys": _counted(done.anonymous),
        "remembered_against_mail": done.remembered,
        "copies_until": {where: (done.at + kept).isoformat() for where, kept in COPIES.items()},
        "beyond": list(OTHERS),
    }


def _counted(kinds: Counter[str]) -> dict[str, int]:
    return {word: kinds[kind] for kind, word in WORDS.items() if kinds[kind]}


def _write(file: Path, told: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    # Nobody else's to read, from its first byte on; an older file keeps the rights that somebody gave it.
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as opened:
        opened.write(text)
