"""Everything that was decided about one member, and why: found in the table, told newest first. `history` is pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from pydantic import JsonValue
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra.lines import Kind, Line
from infra.local.inbox import REASONS
from infra.referred import Bonds, bonds_of, story
from infra.resume import clock, state
from shared.actions import Action, Advance, Rest, SendMail, Skip
from shared.addresses import address_hash
from shared.app import App
from shared.errors import UsageError
from shared.ledger import held_until
from shared.machines import clicks_by_people
from shared.members import (
    SOFT_BOUNCE_WINDOW,
    SOFT_BOUNCES,
    is_dormant,
    language_of,
    why_not,
    zone_of,
)
from shared.model import Consent, Due, Identity, Member, Pause, PlannedMail, Send, SendId, SendStatus, SoftBounce
from shared.playbook import ALL_MARKETING, Playbook
from shared.programmes import onboarding, reengagement, referrals
from shared.recipients import MANAGER, manager_id, manager_of
from shared.sending import AGENDA
from shared.store import Store, keys

LABELS: Mapping[Kind, tuple[str, str]] = {
    "next": ("next", "bold"),
    "pause": ("paused", "bold red"),
    "ramp": ("ramp", "bold"),
    "sent": ("sent", "green"),
    "skipped": ("skipped", "yellow"),
    "deferred": ("put off", "cyan"),
    "held_out": ("held out", "magenta"),
    "parked": ("parked", "red"),
    "in_doubt": ("in doubt", "red"),
    "claimed": ("sending", "cyan"),
    "consent": ("consent", "blue"),
    "suppressed": ("suppressed", "red"),
    "soft_bounce": ("bounced", "yellow"),
    "dormant": ("dormant", "yellow"),
    "joined": ("joined", "bold"),
    "left": ("left", "bold"),
    "returned": ("came back", "bold"),
    "known": ("known", "dim"),
    "chosen": ("chose", "blue"),
    "touched": ("touched", "dim"),
    "brought": ("brought by", "bold"),
    "referral": ("referral", "cyan"),
    "reward": ("reward", "green"),
    "reversed": ("taken back", "red"),
}
"""What each kind is called on a terminal, and its colour."""

BY_PEOPLE = {
    "delivery": "delivered",
    "delivery_delay": "delayed",
    "bounce": "bounced for good",
    "soft_bounce": "bounced for now",
    "open": "opened",
    "click": "clicked",
    "complaint": "complained of",
    "not_spam": "taken out of the spam folder",
    "reject": "rejected by SES",
    "rendering_failure": "not rendered by SES",
    "subscription": "subscription changed",
}
"""What SES tells of a send that the mail itself, or a person, did."""

BY_MACHINES = {"open_by_machine": "opened", "click_by_scanner": "clicked", "click_like_scanner": "clicked"}
"""What SES tells of a send that no person did."""

BY = {
    "one_click": "with the unsubscribe button of their mail program",
    "page": "on a page that a mail of ours led to",
}
"""What made a decision about consent, where it was no complaint."""


A_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Known:
    """All that the table holds of a member, and of those who proved to be the same person."""

    member: Member
    dues: Sequence[Due] = ()
    sends: Sequence[Send] = ()
    pause: Pause | None = None
    bonds: Bonds = field(default_factory=Bonds)


def member_named(who: str, app: App) -> Member:
    """The member meant by what `find` takes; UsageError when that is a manager of the playbook, or nobody."""
    found = find(who.strip(), app.store, app.playbook).member
    if found.id.startswith(MANAGER):
        raise UsageError(f"{found.id} is a manager of the playbook, not a member")
    return found


def find(who: str, store: Store, playbook: Playbook) -> Known:
    """Whoever is meant by a member id, a platform id (`slack:U123`, or `U123` of any platform), or an address.

    An address is only theirs who have it now: it may have been somebody else's before. Who was merged is found as who
    they were merged into. A manager of the playbook is found by address, or by the id that leads to their ledger
    (`manager_mira`). UsageError when that is nobody, or more than one.
    """
    member = store.survivor(who) or manager_of(who, playbook) or _owner(who, store, playbook)
    ledgers = [store.ledger(member_id) for member_id in (member.id, *sorted(member.absorbed))]
    return Known(
        member=member,
        dues=[due for ledger in ledgers for due in ledger.dues],
        sends=[send for ledger in ledgers for send in ledger.sends],
        pause=store.pause(),
        bonds=Bonds() if _is_manager(member) else bonds_of(member, store),
    )


def _owner(who: str, store: Store, playbook: Playbook) -> Member:
    platform, colon, external_id = who.partition(":")
    named = [Identity(platform, external_id)] if colon else []
    anywhere = [Identity(name, who) for name in playbook.platforms]
    found = _by_identity(named, store) or _by_identity(anywhere, store) or _by_address(who, store, playbook)
    if len({member.id for member in found.values()}) > 1:
        raise UsageError(f"{who!r} is more than one member; choose one of {', '.join(sorted(found))}")
    for member in found.values():
        return member
    raise UsageError(f"nobody is known as {who!r}; give a member id, a platform id such as slack:U123, or an address")


def _by_identity(identities: Sequence[Identity], store: Store) -> dict[str, Member]:
    """Who is behind these identities, by the identity."""
    names = {keys.identity(identity): str(identity) for identity in identities}
    owners = store.owners(names)
    return {names[key]: one for key, owner in owners.items() if (one := store.survivor(owner)) is not None}


def _by_address(address: str, store: Store, playbook: Playbook) -> dict[str, Member]:
    """Whose address this is at present, by the id of the member or manager."""
    if "@" not in address:
        return {}
    wanted = address_hash(address)
    behind = [store.survivor(owner) for owner in store.owners([keys.address(address)]).values()]
    managers = [manager_of(manager_id(name), playbook) for name in playbook.managers]
    found = [one for one in (*behind, *managers) if one is not None and one.email is not None]
    return {one.id: one for one in found if one.email is not None and address_hash(one.email) == wanted}


def history(known: Known, *, playbook: Playbook, now: datetime) -> list[Line]:
    """What is next, soonest first; then everything that was decided about the member, newest first."""
    teller = _Teller(known, playbook, now)
    past = [*teller.sends(), *teller.decisions(), *teller.bounces(), *teller.life(), *teller.bonds()]
    newest = sorted(past, key=lambda line: line.at or now, reverse=True)
    return [*teller.pause(), *teller.agenda(), *newest]


class _Teller:
    """Puts what is known of a member into words."""

    def __init__(self, known: Known, playbook: Playbook, now: datetime) -> None:
        self._known, self._member, self._playbook, self._now = known, known.member, playbook, now
        self._zone = zone_of(known.member, playbook)

    # --- what is next ----------------------------------------------------------------------------

    def pause(self) -> Iterator[Line]:
        """Whether marketing mail is held up for everybody."""
        pause = self._known.pause
        held = state(pause, self._playbook.breaker, zone=self._zone, now=self._now)
        if pause is not None and held is not None:
            yield Line(kind="pause" if pause.resumed_at is None else "ramp", at=None, text=held)

    def agenda(self) -> Iterator[Line]:
        """What is on the agenda, soonest first."""
        lines = [self._due(due) for due in self._known.dues]
        yield from sorted(lines, key=lambda line: line.at or self._now)
        if not lines:
            yield Line(kind="next", at=None, text="nothing is on the agenda for them")

    def _due(self, due: Due) -> Line:
        facts: dict[str, JsonValue] = {"programme": due.programme, "key": due.key}
        if due.programme == AGENDA:
            return Line(kind="next", at=due.due_at, text=self._again(due), facts=facts)
        if due.programme == reengagement.NAME:
            return self._turn(due, facts)
        if due.programme == onboarding.NAME:
            return self._step(due, facts)
        if due.programme == referrals.NAME:
            text = "referrals: look whose referee they are, whether that counts, and what is earned"
            return Line(kind="next", at=due.due_at, text=text, facts=facts)
        return Line(kind="next", at=due.due_at, text=f"{due.programme}: {due.key}", facts=facts)

    def _again(self, due: Due) -> str:
        planned = PlannedMail.model_validate(due.state)
        waits = f", which waits: {_words(planned.waited_for)}" if planned.waited_for else ""
        return f"look again at {_name(planned.send_id)}{waits}"

    def _step(self, due: Due, facts: dict[str, JsonValue]) -> Line:
        """The next step of onboarding; the agenda was moved to when it is due under the playbook as it is now."""
        moves = onboarding.rearrange(due, self._member, self._playbook)
        at = max([due.due_at, *(move.due_at for move in moves if isinstance(move, Advance))])
        coming = onboarding.next_mail(due, self._member, self._playbook)
        if coming is None:
            text = "onboarding: nothing more, unless a step is added by then"
            return Line(kind="next", at=at, text=text, facts=facts)
        mail = coming[0]
        reason = why_not(self._member, self._playbook.mails[mail])
        notes = (self._objection(reason),) if reason else ()
        return Line(kind="next", at=at, text=f"onboarding: mail {mail}", notes=notes, facts={**facts, "mail": mail})

    def _turn(self, due: Due, facts: dict[str, JsonValue]) -> Line:
        """What the timer of re-engagement comes to: the programme itself is asked, as of then."""
        at, actions = self._comes_to(due)
        for action in actions:
            if isinstance(action, SendMail | Skip):
                notes = (self._objection(action.reason),) if isinstance(action, Skip) else ()
                text = f"reengagement: mail {action.mail}"
                return Line(kind="next", at=at, text=text, notes=notes, facts={**facts, "mail": action.mail})
        stops = any(isinstance(action, Rest) for action in actions)
        text = "stop asking, unless they come back by then" if stops else "look whether they are still away"
        return Line(kind="next", at=at, text=f"reengagement: {text}", facts=facts)

    def _comes_to(self, due: Due) -> tuple[datetime, list[Action]]:
        """When a lazy timer really comes to something, and to what, if nothing changes until then."""
        at = max(due.due_at, reengagement.next_look(due, self._member, self._playbook))
        actions = self._at(due, at)
        match actions:
            case [Advance(due_at=later)] if later - at < A_DAY:  # they chose another hour since it was set
                return later, self._at(due, later)
        return at, actions

    def _at(self, due: Due, at: datetime) -> list[Action]:
        return reengagement.on_due(due.model_copy(update={"due_at": at}), self._member, self._playbook, at)

    def _objection(self, reason: str) -> str:
        """Why a mail would not go out if nothing changes."""
        if reason == reengagement.HOLDOUT:
            return "but they are held out, to tell the effect of asking"
        return f"not as things stand: {_words(reason)}"

    # --- mails -----------------------------------------------------------------------------------

    def sends(self) -> Iterator[Line]:
        """Every line of the send ledger."""
        for send in self._known.sends:
            kind, text, notes = self._send(send)
            facts: dict[str, JsonValue] = send.model_dump(
                mode="json", exclude_none=True, exclude={"token", "member_id"}
            )
            if send.member_id != self._member.id:
                notes = [*notes, f"when they were known as {send.member_id}"]
            yield Line(kind=kind, at=send.at, text=text, notes=tuple(notes), facts=facts)

    def _send(self, send: Send) -> tuple[Kind, str, list[str]]:
        name, why = _name(send.send_id), _words(send.reason)
        told = [*self._waited(send), *self._told(send)]
        match send.status:
            case SendStatus.SENT:
                variant = f" (variant {send.variant})" if send.variant else ""
                return "sent", f"{name}: “{send.subject}”{variant}" if send.subject else f"{name}{variant}", told
            case SendStatus.SKIPPED:
                kind: Kind = "held_out" if send.reason == reengagement.HOLDOUT else "skipped"
                return kind, f"{name}: {why}", told
            case SendStatus.DEFERRED:
                return "deferred", f"{name}{self._until(send)}: {why}", told
            case SendStatus.UNKNOWN:
                return "in_doubt", f"{name}: left alone{self._until(send)}, for SES may have taken it ({why})", told
            case SendStatus.PARKED:
                return "parked", f"{name}: {why}", told
            case SendStatus.CLAIMED:
                return "claimed", f"{name}: a worker has it{self._until(send)}", told

    def _until(self, send: Send) -> str:
        until = held_until(send)
        return f" until {clock(until, self._zone)}" if until else ""

    def _waited(self, send: Send) -> list[str]:
        return [f"it had waited: {_words(send.waited_for)}"] if send.waited_for else []

    def _told(self, send: Send) -> list[str]:
        """What SES told of a send: of people and of machines apart."""
        machines = {kind: send.feedback[kind] for kind in BY_MACHINES if kind in send.feedback}
        people = {kind: at for kind, at in send.feedback.items() if kind not in machines and kind != "send"}
        if clicks := clicks_by_people(send.feedback):
            people["click"] = clicks[0].isoformat()
            machines = {kind: at for kind, at in machines.items() if datetime.fromisoformat(at) not in clicks}
        lines = [self._moments(people, BY_PEOPLE)] if people else []
        return [*lines, f"by machines, not people: {self._moments(machines, BY_MACHINES)}"] if machines else lines

    def _moments(self, feedback: Mapping[str, str], labels: Mapping[str, str]) -> str:
        in_order = sorted((datetime.fromisoformat(at), kind) for kind, at in feedback.items())
        return ", ".join(f"{labels.get(kind, _words(kind))} {clock(at, self._zone)}" for at, kind in in_order)

    # --- the member ------------------------------------------------------------------------------

    def decisions(self) -> Iterator[Line]:
        """What the member decided about their mail."""
        for category, consent in self._member.consent.items():
            what = "all marketing mail" if category == ALL_MARKETING else f"mail of the category {category}"
            text = f"{'asked for' if consent.given else 'unsubscribed from'} {what}{_made_by(consent)}"
            facts: dict[str, JsonValue] = {"category": category, "given": consent.given, "by": consent.by}
            yield Line(kind="consent", at=consent.at, text=text, facts=facts)
        if self._member.chosen_at is not None:
            hour, language = self._member.send_hour, self._member.chosen_locale
            wishes = [f"mail at {hour:02}:00"] if hour is not None else ["mail at the usual hour"]
            wishes += [f"in the language {language}"] if language else []
            yield Line(kind="chosen", at=self._member.chosen_at, text=", ".join(wishes))

    def bounces(self) -> Iterator[Line]:
        """Which addresses are suppressed and why, and what is counted towards it."""
        now_theirs = address_hash(self._member.email) if self._member.email else None
        for address, suppression in self._member.suppressions.items():
            because = {
                "bounce": "it bounced for good",
                "soft_bounces": f"it bounced {SOFT_BOUNCES} times within a month",
            }
            whose = "their address" if address == now_theirs else "an address they no longer have"
            last = f", last with {_name(suppression.by)}" if suppression.by else ""
            text = f"{whose}: {because[suppression.reason]}{last}"
            facts: dict[str, JsonValue] = {"reason": suppression.reason, "by": suppression.by}
            yield Line(kind="suppressed", at=suppression.at, text=text, facts=facts)
        for tag, bounce in self._member.soft_bounces.items():
            count = f"{self._counted(bounce)} of {SOFT_BOUNCES} within {SOFT_BOUNCE_WINDOW.days} days"
            text = f"{_name(tag)} was not taken for now; that makes {count}"
            yield Line(kind="soft_bounce", at=bounce.at, text=text, facts={"by": tag})

    def _counted(self, bounce: SoftBounce) -> int:
        same = (one for one in self._member.soft_bounces.values() if one.address == bounce.address)
        return sum(bounce.at - SOFT_BOUNCE_WINDOW <= one.at <= bounce.at for one in same)

    def bonds(self) -> Iterator[Line]:
        """Who brought them, whom they brought, and what was granted or taken back for it."""
        return story(self._known.bonds, self._zone)

    def life(self) -> Iterator[Line]:
        """When they came and went, and when we stopped asking; of a manager there is nothing such to tell."""
        member = self._member
        if _is_manager(member):
            return
        if member.dormant_at is not None:
            notes = () if is_dormant(member) else ("they have come back since",)
            yield Line(kind="dormant", at=member.dormant_at, text="stopped asking them to come back", notes=notes)
        if member.status_at is not None and member.status != "active":
            text = {"left": "they left the community", "removed": "they were removed", "banned": "they were banned"}
            yield Line(kind="left", at=member.status_at, text=text[member.status])
        elif member.status_at is not None and member.status_at != member.joined_at:
            yield Line(kind="returned", at=member.status_at, text="they joined again")
        if member.joined_at is not None:
            yield Line(kind="joined", at=member.joined_at, text="they joined the community")
        if member.joined_at is None or abs(member.created_at - member.joined_at) > A_DAY:
            yield Line(kind="known", at=member.created_at, text="first heard of here")


def told(who: str, known: Known, lines: Sequence[Line], playbook: Playbook) -> dict[str, JsonValue]:
    """The history as plain values; times are UTC."""
    member = known.member
    return {
        "member": member.id,
        "merged_from": who if who in member.absorbed else None,
        "identities": list[JsonValue](sorted(member.identities)),
        "timezone": str(zone_of(member, playbook)),
        "lines": [_plain(line) for line in lines],
    }


def _plain(line: Line) -> JsonValue:
    return {
        "kind": line.kind,
        "at": line.at.isoformat() if line.at else None,
        "text": line.text,
        "notes": list(line.notes),
        "facts": dict(line.facts),
    }


def shown(who: str, known: Known, lines: Sequence[Line], playbook: Playbook) -> RenderableType:
    """The history for a terminal of 80 columns."""
    zone = zone_of(known.member, playbook)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for line in lines:
        label, style = LABELS[line.kind]
        table.add_row(clock(line.at, zone) if line.at else "now", Text(label, style), Text(line.text))
        for note in line.notes:
            table.add_row("", "", Text(note, "dim"))
    return Group(*_header(who, known.member, zone), Text(), table)


def _header(who: str, member: Member, zone: ZoneInfo) -> Iterator[Text]:
    if who in member.absorbed:
        yield Text(f"{who} proved to be the same person as {member.id}; this is the story of both.", "yellow")
    name = (member.name or "Somebody without a name", "bold")
    who_else = "a manager of the playbook" if _is_manager(member) else ", ".join(sorted(member.identities))
    yield Text.assemble(name, f", {who_else} ({member.id})")
    address, language = member.email or "no address", language_of(member) or "language unknown"
    seen = f"last active on {member.last_active_at:%Y-%m-%d}" if member.last_active_at else "never seen active"
    standing = () if _is_manager(member) else (member.role, member.status, seen)
    yield Text(", ".join((address, language, *standing)), "dim")
    yield Text(f"times are those of {zone}", "dim")


def _is_manager(member: Member) -> bool:
    return member.id.startswith(MANAGER)


def _name(send_id: str) -> str:
    """A send, by its id or tag, as a person names it: programme and step; what is neither, as it is."""
    try:
        found = SendId.parse(send_id)
    except ValueError:
        return send_id
    return f"{found.programme}/{found.step}"


def _words(reason: str | None) -> str:
    """A reason in words for a person."""
    return REASONS.get(reason, reason.replace("_", " ")) if reason else "no reason was noted"


def _made_by(consent: Consent) -> str:
    if consent.by in BY:
        return f", {BY[consent.by]}"
    complained = _name(consent.by)
    if complained == consent.by:  # nothing that we know the name of
        return f", by {consent.by}" if consent.by else ""
    return f": they complained about {complained}"
