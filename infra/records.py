"""What the DNS says of a sender's domain, and whether mailbox providers will take its mail by that.

Each record is judged by a pure function of what was found. Only `looking` asks anybody, and only when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import JsonValue

from infra.findings import Finding
from shared.errors import FlywheelError

if TYPE_CHECKING:
    from dns.resolver import Resolver

Kind = str
"""`TXT`, `CNAME` or `MX`."""

Lookup = Callable[[str, Kind], Sequence[str]]
"""The records of a name, each as text and without a dot at its end; none where there are none. May raise Unanswered."""

PATIENCE = 5.0
"""Seconds within which the DNS must have answered, whatever it has to ask."""

BULK = 5000
"""Mails a day from which on Gmail, Yahoo and Microsoft ask for DMARC, each counting those to its own mailboxes."""

AT_SES = "dkim.amazonses.com"

RUNBOOK = "reputation"


class Unanswered(FlywheelError):
    """The DNS did not answer, which is no word on whether there is a record."""


def looking(resolver: Resolver | None = None) -> Lookup:
    """A lookup by this machine's resolver, or by the one given."""
    from dns.exception import DNSException  # noqa: PLC0415 - every other command would wait for it, too
    from dns.resolver import NXDOMAIN, NoAnswer, Resolver  # noqa: PLC0415

    def look(name: str, kind: Kind) -> Sequence[str]:
        try:
            asked = resolver or Resolver()
            return [_text(one) for one in asked.resolve(name, kind, lifetime=PATIENCE)]
        except (NXDOMAIN, NoAnswer):
            return []
        except DNSException as exc:
            raise Unanswered(f"the DNS did not answer for {name} ({type(exc).__name__})") from exc

    return look


def _text(record: Any) -> str:  # noqa: ANN401 - dnspython's records share no type that tells
    if record.rdtype.name == "TXT":
        return b"".join(record.strings).decode(errors="replace")
    return str(record.exchange if record.rdtype.name == "MX" else record.target).rstrip(".").lower()


def examine(domain: str, told: Mapping[str, Any], *, sent: float, lookup: Lookup) -> Iterator[Finding]:
    """The records of a sender's domain; `told` is SES's answer to GetEmailIdentity, `sent` the mails of 24 hours."""
    yield _judged(f"DMARC of {domain}", lambda name: dmarc(name, _published(domain, lookup), bulk=sent >= BULK))
    yield _judged(f"DKIM of {domain}", lambda name: dkim(name, _keys(domain, told, lookup)))
    envelope = told.get("MailFromAttributes", {}).get("MailFromDomain")
    if envelope:
        yield _judged(f"SPF of {envelope}", lambda name: spf(name, lookup(envelope, "TXT"), lookup(envelope, "MX")))
    else:
        text = "the envelope is SES's own, for which SPF passes; DMARC is met by DKIM alone"
        yield Finding(name=f"SPF of {domain}", state="fine", text=text)


def _judged(name: str, judge: Callable[[str], Finding]) -> Finding:
    try:
        return judge(name)
    except Unanswered as exc:
        return Finding(name=name, state="unseen", text=str(exc))


# --- DMARC ---------------------------------------------------------------------------------------


class Published(NamedTuple):
    """The DMARC records that count for a domain: at the nearest name up the tree that has any, perhaps its `own`."""

    where: str
    texts: Sequence[str]
    own: bool


def _published(domain: str, lookup: Lookup) -> Published:
    labels = domain.split(".")
    for at in range(len(labels) - 1):
        where = ".".join(labels[at:])
        found = [text for text in lookup(f"_dmarc.{where}", "TXT") if _tags(text).get("v") == "DMARC1"]
        if found:
            return Published(where, found, own=at == 0)
    return Published(domain, [], own=True)


def dmarc(name: str, published: Published, *, bulk: bool) -> Finding:
    """What receivers are asked to do with mail that is not proved to be the domain's.

    Missing, it is to be acted on from 5,000 mails a day on; `p=none` is all that anybody demands.
    """
    if len(published.texts) != 1:
        many = f"{len(published.texts)} records at _dmarc.{published.where}, of which receivers take none"
        text = f"{many if published.texts else 'no record'}. {_WANTED}"
        return Finding(name=name, state="act" if bulk else "look", text=text, runbook=RUNBOOK)
    tags = _tags(published.texts[0])
    which = "p" if published.own or "sp" not in tags else "sp"
    policy, facts = tags.get(which, ""), dict[str, JsonValue](tags)
    text = f"{which}={policy or '?'} at _dmarc.{published.where}, met by DKIM"
    problem = _lacking(policy, tags)
    if problem:
        return Finding(name=name, state="look", text=f"{text}; {problem}", runbook=RUNBOOK, facts=facts)
    accepted = "; accepted by all of them, and asks nobody to refuse what is forged" if policy == "none" else ""
    return Finding(name=name, state="fine", text=f"{text}{accepted}", facts=facts)


_WANTED = (
    f"Gmail, Yahoo and Microsoft refuse who sends them {BULK} mails a day or more without one; "
    "`v=DMARC1; p=none; rua=mailto:...` is enough"
)


def _lacking(policy: str, tags: Mapping[str, str]) -> str | None:
    if policy not in {"none", "quarantine", "reject"}:
        return "that is no policy, so receivers take it for none at best"
    return None if "rua" in tags else "without rua= nobody tells you who else sends as you"


def _tags(text: str) -> dict[str, str]:
    """The tags of a record such as `v=DMARC1; p=none`; the first of a name counts."""
    pairs = [part.partition("=") for part in text.split(";") if "=" in part]
    return {name.strip().lower(): value.strip() for name, _, value in reversed(pairs)}


# --- DKIM and SPF --------------------------------------------------------------------------------


def _keys(domain: str, told: Mapping[str, Any], lookup: Lookup) -> dict[str, tuple[str, Sequence[str]]]:
    """Each name under which SES's keys are to be found: where it must lead, and where it does."""
    signed = told.get("DkimAttributes", {})
    zone = signed.get("SigningHostedZone") or AT_SES
    names = {f"{token}._domainkey.{domain}": f"{token}.{zone}" for token in signed.get("Tokens", [])}
    return {name: (there, lookup(name, "CNAME")) for name, there in names.items()}


def dkim(name: str, keys: Mapping[str, tuple[str, Sequence[str]]]) -> Finding:
    """Whether every name of a key leads to SES. Where they do not for some days, SES no longer sends as the domain."""
    wrong = sorted(key for key, (there, found) in keys.items() if list(found) != [there])
    if not keys:
        return Finding(name=name, state="look", text="signed with keys of your own, which are not looked up")
    if wrong:
        text = f"{len(wrong)} of {len(keys)} CNAMEs do not lead to SES, such as {wrong[0]}"
        return Finding(name=name, state="act", text=text, runbook=RUNBOOK)
    return Finding(name=name, state="fine", text=f"{len(keys)} CNAMEs lead to SES")


def spf(name: str, texts: Sequence[str], exchanges: Sequence[str]) -> Finding:
    """Whether the envelope's domain lets SES send, and takes back what bounces."""
    policies = [text for text in texts if text.lower().split(" ")[0] == "v=spf1"]
    problems = [] if len(policies) == 1 else [f"{len(policies)} SPF records, where one must be"]
    if len(policies) == 1 and "include:amazonses.com" not in policies[0].lower().split():
        problems.append("SPF does not name include:amazonses.com")
    if not any(one.startswith("feedback-smtp.") and one.endswith(".amazonses.com") for one in exchanges):
        problems.append("MX does not lead to SES, so bounces are lost")
    if problems:
        return Finding(name=name, state="act", text="; ".join(problems), runbook=RUNBOOK)
    return Finding(name=name, state="fine", text="SPF and MX name SES")
