"""Renders one mail for one member from the compiled mails: subject, HTML, text, and the headers it is sent with.

Knows the playbook, one member and the moment; knows nothing of SES, of storage or of how links are signed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from email.header import Header
from email.utils import formataddr
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, get_args
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from shared.addresses import usable_address
from shared.errors import UsageError
from shared.events import HighlightKind
from shared.experiments import variant_of
from shared.figures import FIGURES, Telling, Told
from shared.localtime import at_local, is_zone, local_day
from shared.members import language_of
from shared.model import Did, Member, News
from shared.playbook import Bonus, Link, Playbook, RecurringEvent, Weekday
from shared.wording import Counted, Wording

if TYPE_CHECKING:
    from jinja2 import Environment

LONGEST_NAME = 40
"""Characters of a first name that a mail shows; what is longer is cut."""

_INSIDE_A_NAME = "'’-·"
_ICONS: Mapping[HighlightKind, str] = {"feature": "✨", "guide": "📖", "ama": "💬"}
_RECOGNISED = ("active_days", "posts", "comments", "answers", "reactions")


class Links(NamedTuple):
    """The signed links of one mail: absolute URLs, the survey's without a query; no `bonus` where none is offered.

    `referral` is the member's own link to invite by; mails that show it do without when it is not given. `report` is
    the page of the report that a mail is.
    """

    unsubscribe: str
    preferences: str
    survey: str
    bonus: str = ""
    referral: str = ""
    report: str = ""


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What a mail tells besides its member and the playbook.

    `did` is what the member did, `news` the highlights, newest first, `figures` what was planned with the mail,
    `leave_out` the parts that are not needed, `attachments` the files that go with it.
    """

    did: Did = field(default_factory=Did)
    news: Sequence[News] = ()
    figures: Mapping[str, JsonValue] = field(default_factory=dict)
    leave_out: Collection[str] = ()
    attachments: Sequence[Attachment] = ()


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A file that goes with a mail. With a `content_id` it is a picture that the HTML shows: `cid:<content_id>`."""

    name: str
    media_type: str
    content: bytes
    content_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Composed:
    """A mail ready to be sent: `sender`, `to` and `reply_to` as header values, `address` the bare one it goes to.

    `variant` is which of its mail's subjects it has; None when there is only one.
    """

    locale: str
    variant: str | None
    subject: str
    html: str
    text: str
    sender: str
    reply_to: str | None
    to: str
    address: str
    headers: Mapping[str, str]
    attachments: Sequence[Attachment] = ()


@dataclass(frozen=True, kw_only=True)
class Titled:
    """A page to go to."""

    title: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Reading(Titled):
    """A page worth reading, and why."""

    note: str


@dataclass(frozen=True, kw_only=True)
class Happening(Titled):
    """An event to come, told in the member's zone: `on` is "on Thursday", `date` "Thursday, 5 March"."""

    date: str
    weekday: str
    on: str
    day: str
    month: str
    time: str
    zone: str


@dataclass(frozen=True, kw_only=True)
class Highlighted(Titled):
    """Something new: an `icon` for the eye only, and what `kind` of news it is in words."""

    icon: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class Offer(Titled):
    """A bonus; `until` is the last local day on which it holds, "5 March"."""

    until: str


@dataclass(frozen=True, kw_only=True)
class Greeted:
    """The member as a mail addresses them: a clean first name, empty when unknown."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Named:
    """The community."""

    name: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Signed:
    """Who the mail is from, and how they sign it."""

    name: str
    signature: str


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a template may name of the playbook, in the mail's language."""

    community: Named
    postal_address: str
    guide: Titled
    introductions: Titled
    discussion: Titled
    resources: tuple[Reading, ...]
    event: Happening
    tips: tuple[str, ...]
    ambassadors: Titled


@dataclass(frozen=True, kw_only=True)
class Personal:
    """What a template may name of this mail and its member.

    `marketing` is whether it can be unsubscribed from; `recognised` what the member did, without what they did not do;
    `period` the stretch it covers ("30 days"); `figures` are given to those mails that tell figures.
    """

    marketing: bool
    sender: Signed
    member: Greeted
    links: Links
    leave_out: frozenset[str]
    recognised: tuple[Counted, ...]
    period: str
    highlights: tuple[Highlighted, ...]
    bonus: Offer | None
    figures: Told | None


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What HTML and text may name besides: the rendered subject and preheader."""

    subject: str
    preheader: str


def environment(folder: Path) -> Environment:
    """The Jinja environment that mails are written for: `*.html` escapes, and an unknown name is always an error."""
    # Here, because some functions know mails, but write none.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape  # noqa: PLC0415

    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=select_autoescape(["html"], default_for_string=True, default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


class Mails:
    """The compiled mails of a folder; templates are read once and kept."""

    def __init__(self, folder: Path) -> None:
        self._templates = environment(folder)
        self._reading = Lock()
        wording = sorted((folder / "wording").glob("*.json"))
        self._wording = {path.stem: Wording.model_validate_json(path.read_bytes()) for path in wording}

    def wording(self, locale: str) -> Wording:
        """How this language names things; UsageError when there are no mails in it."""
        if locale not in self._wording:
            raise UsageError(f"no mails are written in {locale!r}; there are {', '.join(self._wording) or 'none'}")
        return self._wording[locale]

    def render(self, name: str, values: Mapping[str, object]) -> str:
        """Fill in one template, such as `welcome/en.html`; UsageError when there is none of this name."""
        from jinja2 import TemplateNotFound  # noqa: PLC0415 - as in `environment`

        try:
            with self._reading:  # of several threads that need it first, one compiles it
                template = self._templates.get_template(name)
            return template.render(values)
        except TemplateNotFound as exc:
            raise UsageError(f"the mail template {name!r} is not written") from exc


def compose(
    mails: Mails,
    *,
    mail: str,
    member: Member,
    playbook: Playbook,
    links: Links,
    gathered: Gathered,
    now: datetime,
) -> Composed:
    """Write `mail` for `member` in their language and zone; the next event is the first one after `now`.

    ValueError when the member has no address that can stand in a header, when a link that the mail needs is missing or
    cannot stand in a header, or when its figures are not such a mail's.
    """
    reader, treated = _reader(member, mails, playbook), playbook.mails[mail]
    sender, locale = playbook.senders[treated.sender], reader.locale
    content = _content(playbook, locale, event=_happening(playbook, reader, now))
    personal = _personal(mail, reader, playbook=playbook, links=links, gathered=gathered, now=now)
    variant = variant_of(mail, treated.variants, member.id)
    parts = _parts(mails, f"{mail}/{locale}", variant, {**vars(content), **vars(personal)})
    address = _address(member.email)
    return Composed(
        locale=locale,
        variant=variant,
        subject=parts["subject"],
        html=parts["html"],
        text=parts["text"],
        sender=_mailbox(sender.name[locale], sender.address),
        reply_to=sender.reply_to,
        to=_mailbox(reader.name, address),
        address=address,
        headers=one_click_headers(links.unsubscribe) if personal.marketing else {},
        attachments=gathered.attachments,
    )


def first_name(name: str | None) -> str:
    """The name to greet a person by, or "" when there is none that is safe and sounds like one.

    Invisible and control characters go, decoration around the name goes, and whatever still holds anything but
    letters, digits and the marks inside names (an address, a link, markup) is not a name.
    """
    composed = unicodedata.normalize("NFC", name or "")
    visible = "".join(char for char in composed if char.isspace() or not unicodedata.category(char).startswith("C"))
    words = (word for word in visible.split() if not word.endswith(".") and any(map(_is_letter_or_digit, word)))
    word = next(words, "")
    ends = [at for at, char in enumerate(word) if _is_letter_or_digit(char)]
    core = word[ends[0] : ends[-1] + 1] if ends else ""
    named = all(_is_letter_or_digit(char) or char in _INSIDE_A_NAME for char in core)
    return core[:LONGEST_NAME] if named and any(char.isalpha() for char in core) else ""


def _is_letter_or_digit(char: str) -> bool:
    return unicodedata.category(char)[0] in "LMN" or char == "_"


def one_click_headers(url: str) -> dict[str, str]:
    """The two headers of RFC 8058, in the order it shows them; ValueError when the link cannot stand in a header."""
    if not re.fullmatch(r"https?://[!-;=?-~]+", url):
        raise ValueError("an unsubscribe link must be one http(s) URL of plain characters")
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def next_time(event: RecurringEvent, zone: ZoneInfo, now: datetime) -> datetime:
    """When a weekly event next begins, in UTC: strictly after `now`, at its time of day in the community's zone."""
    today = now.astimezone(zone)
    ahead = (get_args(Weekday).index(event.weekday) - today.weekday()) % 7
    first, second = (
        datetime.combine(today.date() + timedelta(days=days), event.at, tzinfo=zone).astimezone(UTC)
        for days in (ahead, ahead + 7)
    )
    return first if first > now else second


def bonus_ends(bonus: Bonus, zone: ZoneInfo, now: datetime) -> datetime:
    """When a bonus that is offered now ends: with the last minute of a day in the member's zone, as the mail says."""
    return at_local(local_day(now + bonus.valid_for, zone), time(23, 59), zone)


class _Reader(NamedTuple):
    """Whom a mail is written for: their clean first name, their language, how it names things, and their time zone."""

    name: str
    locale: str
    wording: Wording
    zone: ZoneInfo


def _reader(member: Member, mails: Mails, playbook: Playbook) -> _Reader:
    locale = playbook.locale_for(language_of(member))
    known = member.timezone if member.timezone and is_zone(member.timezone) else playbook.community.timezone
    return _Reader(first_name(member.name), locale, mails.wording(locale), ZoneInfo(known))


def _personal(
    mail: str, reader: _Reader, *, playbook: Playbook, links: Links, gathered: Gathered, now: datetime
) -> Personal:
    treated, wording = playbook.mails[mail], reader.wording
    sender, telling = playbook.senders[treated.sender], Telling(playbook, reader.locale, wording)
    return Personal(
        marketing=treated.class_ == "marketing",
        sender=Signed(name=sender.name[reader.locale], signature=sender.signature[reader.locale]),
        member=Greeted(name=reader.name),
        links=links,
        leave_out=frozenset(gathered.leave_out),
        recognised=_recognised(gathered.did, wording),
        period=wording.count("days", treated.recognises.days) if treated.recognises else "",
        highlights=tuple(_highlighted(one, reader) for one in gathered.news),
        bonus=_offer(playbook.bonuses[treated.bonus], reader, links.bonus, now) if treated.bonus else None,
        figures=FIGURES[mail](gathered.figures, telling) if mail in FIGURES else None,
    )


def _parts(mails: Mails, name: str, variant: str | None, values: Mapping[str, object]) -> dict[str, str]:
    """Subject, HTML and text of a mail; the subject and the preheader are one line each, whatever is in them."""
    subject = f"{name}.subject.{variant}.txt" if variant else f"{name}.subject.txt"
    frame = Frame(
        subject=_one_line(mails.render(subject, values)),
        preheader=_one_line(mails.render(f"{name}.preheader.txt", values)),
    )
    framed = {**values, **vars(frame)}
    text = re.sub(r"\n{3,}", "\n\n", mails.render(f"{name}.txt", framed)).strip() + "\n"
    return {"subject": frame.subject, "html": mails.render(f"{name}.html", framed), "text": text}


def _one_line(text: str) -> str:
    return " ".join("".join(" " if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char for char in text).split())


def _content(playbook: Playbook, locale: str, event: Happening) -> Content:
    content = playbook.content
    return Content(
        community=Named(name=playbook.community.name[locale], url=str(playbook.community.url)),
        postal_address=playbook.postal_address[locale],
        guide=_titled(content.guide, locale),
        introductions=_titled(content.introductions, locale),
        discussion=_titled(content.discussion, locale),
        resources=tuple(
            Reading(title=page.title[locale], url=str(page.url), note=page.note[locale]) for page in content.resources
        ),
        event=event,
        tips=tuple(tip[locale] for tip in content.tips),
        ambassadors=_titled(content.ambassadors, locale),
    )


def _titled(page: Link, locale: str) -> Titled:
    return Titled(title=page.title[locale], url=str(page.url))


def _happening(playbook: Playbook, reader: _Reader, now: datetime) -> Happening:
    """The community's next event, told in the reader's zone."""
    event, wording = playbook.content.event, reader.wording
    moment = next_time(event, ZoneInfo(playbook.community.timezone), now).astimezone(reader.zone)
    return Happening(
        title=event.title[reader.locale],
        url=str(event.url),
        date=wording.full_date(moment),
        weekday=wording.weekdays[moment.weekday()],
        on=wording.on_weekdays[moment.weekday()],
        day=str(moment.day),
        month=wording.months[moment.month - 1],
        time=wording.time.format(hour=moment.hour, minute=moment.minute),
        zone=wording.zone_name(moment),
    )


def _highlighted(news: News, reader: _Reader) -> Highlighted:
    """News in the reader's language, else as it was told without one, else in whatever language there is."""
    title = news.titles.get(reader.locale) or news.titles.get("") or next(iter(news.titles.values()))
    kind = reader.wording.highlights[news.kind]
    return Highlighted(title=_one_line(title), url=news.url, icon=_ICONS[news.kind], kind=kind)


def _offer(bonus: Bonus, reader: _Reader, link: str, now: datetime) -> Offer:
    """The bonus as it is offered now; ValueError without a link to it."""
    if not link:
        raise ValueError("a mail that offers a bonus needs the link to it")
    until = bonus_ends(bonus, reader.zone, now).astimezone(reader.zone)
    return Offer(title=bonus.title[reader.locale], url=link, until=reader.wording.short_date(until))


def _recognised(did: Did, wording: Wording) -> tuple[Counted, ...]:
    numbers = {kind: getattr(did, kind) for kind in _RECOGNISED}
    return tuple(Counted(number=number, noun=wording.noun(kind, number)) for kind, number in numbers.items() if number)


def _address(email: str | None) -> str:
    address = usable_address(email or "")
    if address is None:
        raise ValueError("the member has no address that a mail can be sent to")
    return address


def _mailbox(name: str, address: str) -> str:
    """A display name and an address as a header value; RFC 2047 words of at most 75 characters when not ASCII."""
    clean = _one_line(name)
    if clean.isascii():
        return formataddr((clean, address))
    return f"{Header(clean, 'utf-8', maxlinelen=75).encode(linesep='')} <{address}>"
