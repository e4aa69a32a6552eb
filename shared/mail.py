"""Renders one mail for one member from the compiled mails: subject, HTML, text, and the headers it is sent with.

Knows the playbook, one member and the moment; knows nothing of SES, of storage or of how links are signed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.header import Header
from email.utils import formataddr
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateNotFound, select_autoescape
from pydantic import Field

from shared.addresses import usable_address
from shared.errors import UsageError
from shared.events import Frozen
from shared.model import Did, Member
from shared.playbook import Link, Playbook, RecurringEvent, Weekday

LONGEST_NAME = 40
"""Characters of a first name that a mail shows; what is longer is cut."""

_INSIDE_A_NAME = "'’-·"
_RECOGNISED = ("active_days", "posts", "comments", "answers", "reactions")
_CITY_AREAS = (
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
)


class Links(NamedTuple):
    """The signed links of one mail: absolute URLs, the survey's without a query."""

    unsubscribe: str
    survey: str


@dataclass(frozen=True, kw_only=True)
class Composed:
    """A mail ready to be sent: `sender`, `to` and `reply_to` as header values, `address` the bare one it goes to."""

    locale: str
    subject: str
    html: str
    text: str
    sender: str
    reply_to: str | None
    to: str
    address: str
    headers: Mapping[str, str]


class Wording(Frozen):
    """How a language names days, dates, places and counted things; `layout` holds the frame's own words."""

    plural_rule: Literal["one_other", "one_few_many"]
    weekdays: Annotated[list[str], Field(min_length=7, max_length=7)]
    on_weekdays: Annotated[list[str], Field(min_length=7, max_length=7)]
    months: Annotated[list[str], Field(min_length=12, max_length=12)]
    date: str
    time: str
    zone: str
    unnamed_zone: str
    cities_as_in_zone_names: bool
    cities: dict[str, str]
    counted: dict[str, dict[str, str]]
    layout: dict[str, str]

    def noun(self, kind: str, number: int) -> str:
        """The noun for `number` things of a kind, without the number: `comment`, `comments`."""
        return self.counted[kind][_PLURAL_RULES[self.plural_rule](number)]

    def zone_name(self, moment: datetime) -> str:
        """The zone of an aware local moment as people name it, with its offset: `Berlin time (UTC+1)`."""
        key, offset = str(moment.tzinfo), _offset(moment)
        city = self.cities.get(key)
        if city is None and self.cities_as_in_zone_names and key.split("/", maxsplit=1)[0] in _CITY_AREAS:
            city = key.rsplit("/", 1)[-1].replace("_", " ")
        return self.zone.format(city=city, offset=offset) if city else self.unnamed_zone.format(offset=offset)


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
class Counted:
    """So many of something: `5`, `comments`."""

    number: int
    noun: str


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

    `recognised` is what the member did, without what they did not do; `period` the stretch it covers ("30 days").
    """

    sender: Signed
    member: Greeted
    links: Links
    leave_out: frozenset[str]
    recognised: tuple[Counted, ...]
    period: str


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What HTML and text may name besides: the rendered subject and preheader."""

    subject: str
    preheader: str


def environment(folder: Path) -> Environment:
    """The Jinja environment that mails are written for: `*.html` escapes, and an unknown name is always an error."""
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
        wording = sorted((folder / "wording").glob("*.json"))
        self._wording = {path.stem: Wording.model_validate_json(path.read_bytes()) for path in wording}

    def wording(self, locale: str) -> Wording:
        """How this language names things; UsageError when there are no mails in it."""
        if locale not in self._wording:
            raise UsageError(f"no mails are written in {locale!r}; there are {', '.join(self._wording) or 'none'}")
        return self._wording[locale]

    def render(self, name: str, values: Mapping[str, object]) -> str:
        """Fill in one template, such as `welcome/en.html`; UsageError when there is none of this name."""
        try:
            return self._templates.get_template(name).render(values)
        except TemplateNotFound as exc:
            raise UsageError(f"the mail template {name!r} is not written") from exc


def compose(
    mails: Mails,
    *,
    mail: str,
    member: Member,
    playbook: Playbook,
    links: Links,
    did: Did,
    leave_out: Collection[str],
    now: datetime,
) -> Composed:
    """Write `mail` for `member` in their language and zone; the next event is the first one after `now`.

    ValueError when the member has no address that can stand in a header, or a link none that can.
    """
    locale = playbook.locale_for(member.locale)
    wording = mails.wording(locale)
    treated = playbook.mails[mail]
    sender = playbook.senders[treated.sender]
    content = _content(
        playbook, locale, event=_happening(playbook, wording, locale=locale, zone=member.timezone, now=now)
    )
    personal = Personal(
        sender=Signed(name=sender.name[locale], signature=sender.signature[locale]),
        member=Greeted(name=first_name(member.name)),
        links=links,
        leave_out=frozenset(leave_out),
        recognised=_recognised(did, wording),
        period=_period(treated.recognises, wording),
    )
    parts = _parts(mails, f"{mail}/{locale}", {**vars(content), **vars(personal)})
    address = _address(member.email)
    return Composed(
        locale=locale,
        subject=parts["subject"],
        html=parts["html"],
        text=parts["text"],
        sender=_mailbox(sender.name[locale], sender.address),
        reply_to=sender.reply_to,
        to=_mailbox(personal.member.name, address),
        address=address,
        headers=one_click_headers(links.unsubscribe),
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


def _parts(mails: Mails, name: str, values: Mapping[str, object]) -> dict[str, str]:
    """Subject, HTML and text of a mail; the subject and the preheader are one line each, whatever is in them."""
    frame = Frame(
        subject=_one_line(mails.render(f"{name}.subject.txt", values)),
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


def _happening(playbook: Playbook, wording: Wording, *, locale: str, zone: str | None, now: datetime) -> Happening:
    """The community's next event, told in the zone of the member, or the community's when theirs is not known."""
    event, home = playbook.content.event, ZoneInfo(playbook.community.timezone)
    moment = next_time(event, home, now).astimezone(_zone(zone) or home)
    weekday, day, month = wording.weekdays[moment.weekday()], str(moment.day), wording.months[moment.month - 1]
    return Happening(
        title=event.title[locale],
        url=str(event.url),
        date=wording.date.format(weekday=weekday, day=day, month=month),
        weekday=weekday,
        on=wording.on_weekdays[moment.weekday()],
        day=day,
        month=month,
        time=wording.time.format(hour=moment.hour, minute=moment.minute),
        zone=wording.zone_name(moment),
    )


def _zone(name: str | None) -> ZoneInfo | None:
    """The zone of this name, or None: platforms send names that are no zones."""
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        return None


def _offset(moment: datetime) -> str:
    minutes = round((moment.utcoffset() or timedelta()).total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    sign = "\N{MINUS SIGN}" if minutes < 0 else "+"
    return "UTC" + (f"{sign}{hours}" if minutes else "") + (f":{rest:02}" if rest else "")


def _recognised(did: Did, wording: Wording) -> tuple[Counted, ...]:
    numbers = {kind: getattr(did, kind) for kind in _RECOGNISED}
    return tuple(Counted(number=number, noun=wording.noun(kind, number)) for kind, number in numbers.items() if number)


def _period(length: timedelta | None, wording: Wording) -> str:
    return f"{length.days} {wording.noun('days', length.days)}" if length else ""


def _one_other(number: int) -> str:
    return "one" if number == 1 else "other"


def _one_few_many(number: int) -> str:
    if number % 10 == 1 and number % 100 != 11:
        return "one"
    return "few" if number % 10 in (2, 3, 4) and number % 100 not in (12, 13, 14) else "many"


_PLURAL_RULES = {"one_other": _one_other, "one_few_many": _one_few_many}


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
