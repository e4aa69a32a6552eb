"""What `flywheel doctor` makes of what it reads: pure, each finding with its state and where to read on.

`fine` needs nobody, `look` can wait for the morning, `act` cannot, and `unseen` could not be asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from infra.resume import because, clock
from shared.balance import OLD_IN_QUEUE, Balance, overdue
from shared.localtime import local_day
from shared.model import Pause, SendStatus
from shared.playbook import Breaker

State = Literal["fine", "look", "act", "unseen"]

OLD_IN_STREAM, VERY_OLD_IN_STREAM = timedelta(minutes=5), timedelta(hours=1)

ROLLED_BY = timedelta(hours=3)
"""How long after midnight the day that is over must have been measured."""

NEARLY_SPENT = 0.8
"""The share of the day's sending quota from which on it is worth a look."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at; `runbook` is a page of docs/runbooks, where there is one for it."""

    name: str
    state: State
    text: str
    runbook: str | None = None
    facts: Mapping[str, JsonValue] = field(default_factory=dict)


def agenda(oldest: Mapping[str, datetime], now: datetime) -> Finding:
    """How late the oldest due item of each programme is."""
    late = overdue(oldest, now)
    facts: dict[str, JsonValue] = {name: at.isoformat() for name, at in oldest.items()}
    if not late:
        return Finding(name="agenda", state="fine", text="nothing is overdue", facts=facts)
    told = ", ".join(f"{name} by {_length(by)}" for name, by in sorted(late.items()))
    return Finding(name="agenda", state="act", text=f"overdue: {told}", runbook="overdue", facts=facts)


def ledger(mails: Balance) -> Finding:
    """Whether every mail of these days is settled, or open with a moment at which it is looked at again."""
    facts: dict[str, JsonValue] = {
        str(day): {status.value: count for status, count in counts.items()} for day, counts in mails.days.items()
    }
    facts["stuck"] = list[JsonValue](mails.stuck)
    if not mails.stuck:
        text = f"{_many(mails.planned, 'mail')} of {_many(len(mails.days), 'day')} balance"
        return Finding(name="ledger", state="fine", text=text, facts=facts)
    told = f"{len(mails.stuck)} of {_many(mails.planned, 'mail')} open beyond their time, such as {mails.stuck[0]}"
    return Finding(name="ledger", state="act", text=told, runbook="ledger-imbalance", facts=facts)


def parked(mails: Balance) -> Finding:
    """How many mails of these days wait for a person."""
    count = mails.count(SendStatus.PARKED)
    if not count:
        return Finding(name="parked mails", state="fine", text="none", facts={"parked": 0})
    told = f"{count} within {_many(len(mails.days), 'day')}"
    return Finding(name="parked mails", state="look", text=told, runbook="parked-mails", facts={"parked": count})


def marketing(pause: Pause | None, rules: Breaker, *, zone: ZoneInfo, now: datetime) -> Finding:
    """Whether marketing mail is paused."""
    if pause is None or (pause.resumed_at is not None and pause.resumed_at + rules.ramp <= now):
        return Finding(name="marketing mail", state="fine", text="goes its usual way")
    if pause.resumed_at is not None:
        until = clock(pause.resumed_at + rules.ramp, zone)
        return Finding(name="marketing mail", state="look", text=f"what had waited goes out until {until}")
    told = f"paused since {clock(pause.tripped_at, zone)}: {because(pause)}"
    return Finding(name="marketing mail", state="act", text=told, runbook="breaker-tripped")


def measured(days: Collection[date], *, since_yesterday: bool, zone: ZoneInfo, now: datetime) -> Finding:
    """Whether the last local day that must have been measured has been, once it was over.

    `since_yesterday` is whether events have come for a day at least; it matters only where no day was measured.
    """
    due = local_day(now - ROLLED_BY, zone) - timedelta(days=1)
    if due in days:
        return Finding(name="measuring", state="fine", text=f"{due} is measured")
    if not days and not since_yesterday:
        return Finding(name="measuring", state="look", text="no day has been measured yet", runbook="rollup-missing")
    return Finding(name="measuring", state="act", text=f"{due} is not measured", runbook="rollup-missing")


def dead(letters: Mapping[str, int]) -> Finding:
    """How many dead letters there are."""
    told = ", ".join(f"{count} in {queue}" for queue, count in letters.items() if count)
    state: State = "act" if told else "fine"
    runbook = "dead-letters" if told else None
    return Finding(name="dead letters", state=state, text=told or "none", runbook=runbook, facts=dict(letters))


def queues(waiting: Mapping[str, int], oldest: Mapping[str, timedelta]) -> Finding:
    """How much waits in the queues, and how long the oldest has."""
    late = {queue: age for queue, age in oldest.items() if age > OLD_IN_QUEUE and waiting[queue]}
    told = ", ".join(f"{count} in {queue}" for queue, count in waiting.items() if count) or "empty"
    if not late:
        return Finding(name="queues", state="fine", text=told, facts=dict(waiting))
    oldest_told = ", ".join(f"the oldest in {queue} for {_length(age)}" for queue, age in late.items())
    return Finding(name="queues", state="act", text=f"{told}; {oldest_told}", runbook="queue-age", facts=dict(waiting))


def stream(age: timedelta | None) -> Finding:
    """How far `react` is behind the table's stream; None when nothing has come lately."""
    if age is None or age <= OLD_IN_STREAM:
        return Finding(name="stream", state="fine", text=f"{_length(age or timedelta())} behind")
    state: State = "act" if age > VERY_OLD_IN_STREAM else "look"
    return Finding(name="stream", state=state, text=f"{_length(age)} behind", runbook="stream-age")


def account(told: Mapping[str, Any]) -> Finding:
    """What SES lets us send: the answer to GetAccount."""
    quota = told.get("SendQuota", {})
    sent, most = quota.get("SentLast24Hours", 0), quota.get("Max24HourSend", 0)
    enforced = told.get("EnforcementStatus", "HEALTHY")
    facts: dict[str, JsonValue] = {"sent": sent, "most": most, "status": enforced}
    text = f"{sent:.0f} of {most:.0f} mails in 24 hours"
    if not told.get("SendingEnabled") or enforced != "HEALTHY":
        return Finding(name="ses", state="act", text=f"{text}; {enforced}", runbook="reputation", facts=facts)
    if not told.get("ProductionAccessEnabled"):
        return Finding(name="ses", state="look", text=f"{text}; the account is in the sandbox", facts=facts)
    spent = 0 < most <= sent / NEARLY_SPENT
    return Finding(name="ses", state="look" if spent else "fine", text=text, facts=facts)


def reputation(bounces: float | None, complaints: float | None, rules: Breaker) -> Finding:
    """How near SES's own rates of the account are to where the breaker trips; None when SES has told none lately."""
    text = f"{bounces or 0:.2%} bounced, {complaints or 0:.3%} complained"
    near = 100 * (bounces or 0) >= rules.bounces_percent or 100 * (complaints or 0) >= rules.complaints_percent
    return Finding(
        name="reputation",
        state="act" if near else "fine",
        text=text,
        runbook="reputation" if near else None,
        facts={"bounces": bounces, "complaints": complaints},
    )


def identity(domain: str, told: Mapping[str, Any]) -> Finding:
    """Whether SES may send as a domain: the answer to GetEmailIdentity."""
    dkim = told.get("DkimAttributes", {}).get("Status", "NOT_STARTED")
    mail_from = told.get("MailFromAttributes", {}).get("MailFromDomainStatus")
    facts: dict[str, JsonValue] = {"dkim": dkim, "mail_from": mail_from}
    text = f"DKIM {dkim.lower()}, MAIL FROM {(mail_from or 'of SES').lower()}"
    if not told.get("VerifiedForSendingStatus") or dkim != "SUCCESS":
        return Finding(name=domain, state="act", text=f"{text}; not verified", runbook="reputation", facts=facts)
    state: State = "fine" if mail_from in {None, "SUCCESS"} else "look"
    return Finding(name=domain, state=state, text=text, facts=facts)


def secrets(told: Mapping[str, Any], platforms: Iterable[str]) -> Finding:
    """Whether every platform of the playbook has a secret, and what we sign with is there.

    `told` is what the secrets `Webhook`, `Links` and `Rewards` hold: a JSON object each; None for anything else.
    """
    broken = [name for name, held in told.items() if not isinstance(held, dict)]
    if broken:
        text = f"not there, or no JSON object: {', '.join(f'{name}Secret' for name in broken)}"
        return Finding(name="secrets", state="act", text=text, runbook="server-errors")
    webhooks, links, rewards = (told[name] for name in ("Webhook", "Links", "Rewards"))
    missing = [f"of the platform {name}" for name in platforms if not webhooks.get(name)]
    missing += [] if isinstance(links.get("current"), str) and links["current"] in links else ["of links"]
    missing += [] if rewards.get("current") else ["of rewards"]
    if not missing:
        return Finding(name="secrets", state="fine", text="all there")
    return Finding(name="secrets", state="act", text=f"missing: {', '.join(missing)}")


def triggers(kind: str, states: Mapping[str, str], expected: int) -> Finding:
    """Whether as many schedules, or mappings, are there as there must be, and all of them are enabled."""
    off = sorted(name for name, state in states.items() if state.upper() != "ENABLED")
    if not off and len(states) >= expected:
        return Finding(name=kind, state="fine", text=f"{len(states)} enabled")
    told = f"not enabled: {', '.join(off)}" if off else f"{len(states)} of {expected} are there"
    return Finding(name=kind, state="act", text=told, runbook="overdue")


def playbook(*, same: bool) -> Finding:
    """Whether the playbook that is deployed is the one here."""
    text = "deployed as it is here" if same else "what is deployed is not the one here; `--playbook` names another"
    return Finding(name="playbook", state="fine" if same else "look", text=text)


def worst(findings: Sequence[Finding]) -> int:
    """The exit code: 0 when nothing has to be done now, 1 when something has, or could not be seen."""
    return int(any(finding.state in {"act", "unseen"} for finding in findings))


def _length(span: timedelta) -> str:
    minutes = round(span / timedelta(minutes=1))
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} days"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
