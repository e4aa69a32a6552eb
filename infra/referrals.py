"""`flywheel referrals ...`: who brought whom, what waits for a person, and what that person decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import boto3
import typer
from pydantic import JsonValue
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra import ROOT, STACK, secret
from infra.operate import deployed, house, now_of, output, region
from infra.referred import STATUSES, Bonds, bonds_of, gift, in_words, named, why_so
from infra.resume import clock
from infra.terminal import (
    Day,
    Json,
    PlaybookFile,
    StackName,
    TableName,
    Yes,
    agreed,
    out,
    print_json,
    read_playbook,
    span,
)
from infra.why import member_named
from shared.app import QUICK, App
from shared.errors import UsageError
from shared.leaderboard import Leaderboard, leaderboard
from shared.localtime import at_local, local_day
from shared.members import is_listed, zone_of
from shared.model import Member, Referral
from shared.noticequeue import NoticeQueue
from shared.playbook import Playbook
from shared.programmes.referrals import Case, qualified_count
from shared.reviewing import Rejection, approvable, approve, case_of, reject, rejection
from shared.signing import Signer
from shared.store import Store

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

commands = typer.Typer(
    help="Who brought whom: look, decide what waits, find a link, and who brought the most.", no_args_is_help=True
)

Under = Annotated[
    str | None, typer.Option("--referrer", help="Which of their referrals, where two members brought them.")
]
Who = Annotated[str, typer.Argument(help="A member id, a platform id such as slack:U123, or an address.")]


@commands.command("review")
def review(
    *,
    table: TableName = None,
    stack: StackName = STACK,
    playbook: PlaybookFile = ROOT / "playbook.yaml",
    as_json: Json = False,
) -> None:
    """List the referrals that wait for a person, the longest wait first, with what speaks against each."""
    rules = read_playbook(playbook)
    with deployed(table=table, stack=stack) as store:
        waiting = sorted(store.reviews(), key=lambda one: (one.at, one.referee_id))
        people = store.members(sorted({i for one in waiting for i in (one.referee_id, one.referrer_id)}))
    if as_json:
        print_json([_waiting(one, people) for one in waiting])
    elif not waiting:
        out.print("No referral waits for a person.")
    else:
        out.print(_reviews(waiting, people, zone_of(None, rules)), soft_wrap=True)


@commands.command("approve")
def approve_one(
    referee: Who,
    *,
    referrer: Under = None,
    yes: Yes = False,
    table: TableName = None,
    stack: StackName = STACK,
    playbook: PlaybookFile = ROOT / "playbook.yaml",
) -> None:
    """Let a referral that waits for a person count; what it earns is granted with the next tick."""
    with house(table, stack, read_playbook(playbook)) as app:
        now = now_of(app.store)
        case = _case(referee, referrer, app)
        waiting = approvable(case, app.playbook, now)
        _print_case(case, waiting, app.playbook)
        if not (yes or agreed("Let it count?", "let it count")):
            out.print("It waits on.")
            raise typer.Exit(1)
        approve(case, app, now)
    out.print("[green]It counts.[/] What it earns is granted with the next tick, within five minutes.", soft_wrap=True)


@commands.command("reject")
def reject_one(
    referee: Who,
    *,
    reason: Annotated[str, typer.Option(help="Why, for whoever asks later: it is kept, and told by `why`.")],
    referrer: Under = None,
    yes: Yes = False,
    table: TableName = None,
    stack: StackName = STACK,
    playbook: PlaybookFile = ROOT / "playbook.yaml",
) -> None:
    """Let a referral that waits for a person, or counts already, count no more; what it earned is taken back.

    Run again after a failure, it completes what was not done.
    """
    if not (reason := " ".join(reason.split())):
        raise UsageError("a reason is needed, for whoever asks later: --reason 'the same person twice'")
    with house(table, stack, read_playbook(playbook)) as app:
        now = now_of(app.store)
        case = _case(referee, referrer, app)
        planned = rejection(case, reason, app, now)
        _print_case(case, [move.to for move in planned.moves], app.playbook)
        _print_rejection(planned, case)
        if not (yes or agreed("Let it not count, for good?", "reject it")):
            out.print("It stays as it is.")
            raise typer.Exit(1)
        app.notices = _notices(stack)
        taken = reject(planned, app, now)
    told = f" Taken back: {', '.join(f'{one.rule} of {one.member_id}' for one in taken)}." if taken else ""
    out.print(f"It does not count.{told}", soft_wrap=True, markup=False, highlight=False)


@commands.command("link")
def link(
    member: Who,
    *,
    table: TableName = None,
    stack: StackName = STACK,
    playbook: PlaybookFile = ROOT / "playbook.yaml",
) -> None:
    """Print a member's own link, by which those come whom they bring."""
    with house(table, stack, read_playbook(playbook)) as app:
        found = member_named(member, app)
        print(f"{output('LinksUrl', stack)}/r/{_signer(stack).code(found.id)}")


@commands.command("show")
def show(
    member: Who,
    *,
    table: TableName = None,
    stack: StackName = STACK,
    playbook: PlaybookFile = ROOT / "playbook.yaml",
    as_json: Json = False,
) -> None:
    """Tell whom a member brought and what they got for it, what comes next, and who brought them."""
    rules = read_playbook(playbook)
    with house(table, stack, rules) as app:
        found = member_named(member, app)
        bonds = bonds_of(found, app.store)
    if as_json:
        print_json(_told(found, bonds, rules))
    else:
        out.print(_shown(found, bonds, rules), soft_wrap=True)


@commands.command("leaderboard")
def leaders(
    *,
    since: Day = None,
    until: Day = None,
    table: TableName = None,
    stack: StackName = STACK,
    playbook: PlaybookFile = ROOT / "playbook.yaml",
    as_json: Json = False,
) -> None:
    """Tell who brought the most friends that count; by default this month. Only who wants to be named is."""
    rules = read_playbook(playbook)
    zone = zone_of(None, rules)
    with deployed(table=table, stack=stack) as store:
        days = (since.date() if since else None, until.date() if until else None)
        start, end = span(*days, zone=zone, now=now_of(store), usual=lambda end: _month_of(end, zone))
        counted = list(store.milestones("qualified", start, end))
        found = leaderboard(counted, _survivors({i for one in counted for i in (one.member_id, one.about)}, store))
    if as_json:
        print_json(_board_told(found, start, end))
    else:
        out.print(_board(found, start, end, zone), soft_wrap=True)


# --- the way there -----------------------------------------------------------------------------------


def _case(referee: str, referrer: str | None, app: App) -> Case:
    return case_of(member_named(referee, app).id, app, under=member_named(referrer, app).id if referrer else None)


def _notices(stack: str) -> NoticeQueue:
    client: SQSClient = boto3.client("sqs", region_name=region(), config=QUICK)
    return NoticeQueue(client, output("RewardQueueUrl", stack))


def _signer(stack: str) -> Signer:
    return Signer(secret.read(secret.parameters(), output("LinksSecret", stack)))


# --- what is shown -----------------------------------------------------------------------------------


def _reviews(waiting: Sequence[Referral], people: Mapping[str, Member], zone: ZoneInfo) -> RenderableType:
    lines = [
        Text(f"{_some(len(waiting), 'referral waits', 'referrals wait')} for a person; times are those of {zone}.")
    ]
    for one in waiting:
        lines += [Text(), Text.assemble((_whole(one.referee_id, people), "bold"), f", since {clock(one.at, zone)}")]
        lines.append(Text(f"  brought by {_whole(one.referrer_id, people)}"))
        lines += [Text(f"  {in_words(code)}", "yellow") for code in one.evidence]
    return Group(*lines)


def _waiting(referral: Referral, people: Mapping[str, Member]) -> JsonValue:
    return {
        "referee": _person(referral.referee_id, people),
        "referrer": _person(referral.referrer_id, people),
        "since": referral.at.isoformat(),
        "evidence": [{"code": code, "text": in_words(code)} for code in referral.evidence],
    }


def _print_case(case: Case, referrals: Sequence[Referral], playbook: Playbook) -> None:
    """What a person is to know before they decide."""
    zone = zone_of(None, playbook)
    known = [case.referee, *([case.referrer] if case.referrer else [])]
    people = {member_id: one for one in known for member_id in (one.id, *one.absorbed)}
    for one in referrals:
        _say(f"{_whole(one.referee_id, people)}, touched {clock(one.touched_at, zone)}")
        _say(f"  brought by {_whole(one.referrer_id, people)}")
        for code in one.evidence:
            _say(f"  {in_words(code)}")


def _print_rejection(planned: Rejection, case: Case) -> None:
    if planned.again:
        _say("It was rejected before; what was not done of it then is done now.")
    people = {one.id: one for one in (case.referee, case.referrer) if one is not None}
    for reward in planned.take_back:
        _say(f"  to be taken back: {gift(reward)} of {named(reward.member_id, people)}")
    if not planned.take_back:
        _say("  no reward has to be taken back")


def _shown(member: Member, bonds: Bonds, playbook: Playbook) -> RenderableType:
    """A member as a referrer, and as a referee."""
    zone = zone_of(None, playbook)
    lines = [
        Text(named(member.id, {member.id: member}), "bold"),
        Text(f"times are of {zone}", "dim"),
        Text(_progress(member, bonds, playbook)),
        Text("wants to be named on the leaderboard" if is_listed(member) else "is not named on the leaderboard", "dim"),
    ]
    if bonds.attribution is not None:
        how = ", ".join(f"that {STATUSES[one.status]}" for one in bonds.brought) or "that is not decided yet"
        lines.append(Text(f"brought by {named(bonds.attribution.referrer_id, bonds.people)}: {how}"))
    return Group(*lines, Text(), _table(bonds, zone))


def _table(bonds: Bonds, zone: ZoneInfo) -> Table:
    """Referees, rewards and reversals, each with when it came to stand as it does."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for referral in sorted(bonds.referrals, key=lambda one: (one.touched_at, one.referee_id)):
        who = Text(named(referral.referee_id, bonds.people))
        table.add_row(Text(clock(referral.at, zone), "dim"), Text(STATUSES[referral.status]), who)
        for why in why_so(referral):
            table.add_row("", "", Text(why, "dim"))
    for reward in sorted(bonds.rewards, key=lambda one: one.granted_at):
        table.add_row(Text(clock(reward.granted_at, zone), "dim"), Text("granted", "green"), Text(gift(reward)))
    for gone in bonds.reversals:
        table.add_row(Text(clock(gone.at, zone), "dim"), Text("taken back", "red"), Text(f"{gone.rule}: {gone.reason}"))
    return table


def _month_of(moment: datetime, zone: ZoneInfo) -> datetime:
    return at_local(local_day(moment, zone).replace(day=1), time(), zone)


def _survivors(member_ids: Iterable[str], store: Store) -> dict[str, Member]:
    """Members by the ids that they are named by, whoever they proved to be since."""
    found = store.members(member_ids)
    merged = {member_id for member_id, member in found.items() if member.merged_into}
    return found | {member_id: survivor for member_id in merged if (survivor := store.survivor(member_id))}


def _board(found: Leaderboard, start: datetime, end: datetime, zone: ZoneInfo) -> RenderableType:
    """The leaderboard for a terminal."""
    first, last = local_day(start, zone), local_day(end - timedelta(microseconds=1), zone)
    table = Table.grid(padding=(0, 2, 0, 0))
    for place in found.places:
        people = {place.member.id: place.member}
        table.add_row(
            f"{place.rank}.", _some(place.count, "friend", "friends"), Text(named(place.member.id, people), "bold")
        )
    lines: list[RenderableType] = [
        Text(f"Friends that came to count from {first:%d %b %Y} to {last:%d %b %Y}, by who brought them.")
    ]
    lines += [table] if found.places else [Text("Nobody brought somebody and wants to be named.")]
    if found.others:
        more = f"{_some(found.others, 'other member', 'other members')} brought {found.brought_by_others}"
        lines.append(Text(f"{more} and did not ask to be named.", "dim"))
    return Group(*lines)


def _board_told(found: Leaderboard, start: datetime, end: datetime) -> JsonValue:
    """The same as plain values; times are UTC."""
    places: list[JsonValue] = [
        {"rank": place.rank, "member": place.member.id, "name": place.member.name, "friends": place.count}
        for place in found.places
    ]
    others: dict[str, JsonValue] = {"members": found.others, "friends": found.brought_by_others}
    return {"since": start.isoformat(), "until": end.isoformat(), "places": places, "others": others}


def _told(member: Member, bonds: Bonds, playbook: Playbook) -> dict[str, JsonValue]:
    """The same as plain values; times are UTC."""
    count, following = _standing(member, bonds, playbook)
    return {
        "member": member.id,
        "listed": is_listed(member),
        "brought_by": bonds.attribution.model_dump(mode="json") if bonds.attribution else None,
        "own_referrals": [one.model_dump(mode="json") for one in bonds.brought],
        "referrals": [one.model_dump(mode="json") for one in bonds.referrals],
        "rewards": [one.model_dump(mode="json") for one in bonds.rewards],
        "reversals": [one.model_dump(mode="json") for one in bonds.reversals],
        "qualified": count,
        "next": {"rule": following[0], "at": following[1]} if following else None,
    }


def _progress(member: Member, bonds: Bonds, playbook: Playbook) -> str:
    count, following = _standing(member, bonds, playbook)
    counted = f"{_some(count, 'referee counts', 'referees count')}"
    return (
        f"{counted}; next is {following[0]}, at {following[1]}"
        if following
        else f"{counted}; there is no further reward"
    )


def _standing(member: Member, bonds: Bonds, playbook: Playbook) -> tuple[int, tuple[str, int] | None]:
    """How many people count whom a member brought, and the reward that comes next with its threshold."""
    fellows = [one for one in bonds.people.values() if one.id != member.id]
    count = qualified_count(Case(referee=member, touches=(), referrals=bonds.referrals, fellows=fellows))
    had = {reward.rule for reward in bonds.rewards}
    rules = [rule for rule in playbook.referrals.rewards if rule.key not in had]
    ahead = [(rule.at, rule.key) for rule in rules if rule.at is not None and rule.at > count]
    at, key = min(ahead, default=(0, ""))
    return count, (key, at) if key else None


def _whole(member_id: str, people: Mapping[str, Member]) -> str:
    """A member with their address, for who is to tell one person from two."""
    member = people.get(member_id)
    return f"{named(member_id, people)}{f', {member.email}' if member and member.email else ''}"


def _person(member_id: str, people: Mapping[str, Member]) -> JsonValue:
    member = people.get(member_id)
    if member is None:
        return {"id": member_id}
    identities = list[JsonValue](sorted(member.identities))
    return {"id": member_id, "name": member.name, "email": member.email, "identities": identities}


def _some(count: int, one: str, more: str) -> str:
    return f"{count or 'no'} {one if count == 1 else more}".capitalize()


def _say(text: str) -> None:
    """A line as it stands: names and reasons are never markup."""
    out.print(text, soft_wrap=True, markup=False, highlight=False)
