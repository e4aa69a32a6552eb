"""One mail with sample content: what `flywheel preview` shows and `flywheel send-test` sends."""

from __future__ import annotations

from datetime import datetime, timedelta

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import JsonValue

from infra.operate import region
from infra.sample_report import sample_facts
from shared.errors import UsageError
from shared.events import HighlightKind
from shared.highlights import highlights_of
from shared.mail import Composed, Gathered, Links, Mails, compose
from shared.model import Did, Member, News
from shared.pages import inline
from shared.playbook import Playbook
from shared.reported import attachments
from shared.ses import message

LINKS = Links(
    unsubscribe="https://links.example.com/l/u/a-signed-token",
    preferences="https://links.example.com/l/p/a-signed-token",
    survey="https://links.example.com/l/s/a-signed-token",
    report="https://links.example.com/l/m/a-signed-token",
    bonus="https://links.example.com/l/b/a-signed-token",
    referral="https://links.example.com/l/r/0k3h7vq2d9xw4m5t1c8fabzn6e",
)

_NEWS: tuple[tuple[HighlightKind, int, dict[str, str]], ...] = (
    (
        "feature",
        3,
        {"en": "Book a workbench from your phone", "ru": "Место в мастерской теперь можно занять с телефона"},
    ),
    ("ama", 8, {"en": "Ask Vera, who restores old radios", "ru": "Спросите Веру, которая чинит старые приёмники"}),
    ("guide", 12, {"en": "Glue: which one, and when", "ru": "Какой клей для чего"}),
)
"""Invented news: its kind, how many days old it is, its title by language."""

_PAUSED: dict[str, JsonValue] = {"reason": "bounces", "sends": 412, "bounces": 23, "complaints": 0, "hours": 24}
"""Invented figures of a pause."""


def sample_mail(
    mails: Mails, playbook: Playbook, mail: str, locale: str, *, name: str, now: datetime, to: str = "ada@example.com"
) -> Composed:
    """Compose a mail for an invented member; UsageError when there is no such mail or language."""
    _one_of("mail", mail, sorted(playbook.mails))
    _one_of("language", locale, playbook.locales)
    member = Member(
        id="m" + "0" * 20,
        ordinal=0,
        created_at=now - timedelta(days=29),
        joined_at=now - timedelta(days=29),
        name=name,
        email=to,
        locale=locale,
    )
    gathered = Gathered(
        did=Did(active_days=12, posts=2, comments=21, reactions=34, answers=1),
        news=_news(playbook, now) if playbook.mails[mail].highlights else (),
        figures=_figures(mail, playbook),
    )
    if mail == playbook.reports.mail:
        gathered = _report(mails, playbook, locale)
    return compose(mails, mail=mail, member=member, playbook=playbook, links=LINKS, gathered=gathered, now=now)


def _report(mails: Mails, playbook: Playbook, locale: str) -> Gathered:
    """An invented week's report, with its charts."""
    from shared.editions import made  # noqa: PLC0415 - it brings in matplotlib, which takes a second

    one = made(sample_facts(playbook), playbook=playbook, mails=mails, locale=locale)
    return Gathered(
        figures=one.report.model_dump(mode="json"), attachments=attachments(one.report, one.pictures, one.csv)
    )


def whole(mail: Composed) -> str:
    """The HTML of a mail as a file of its own: with its pictures in it, where the mail has them attached."""
    html = mail.html
    for one in mail.attachments:
        if one.content_id:
            html = html.replace(f"cid:{one.content_id}", inline(one.media_type, one.content))
    return html


def _figures(mail: str, playbook: Playbook) -> dict[str, JsonValue]:
    """What is planned with the mails that tell figures; of rewards the playbook's own: the second one, where it can.

    UsageError when the mail is for rewards that the playbook has none of.
    """
    rules = playbook.referrals
    to = {rules.mail: "referrer", rules.referee_mail: "referee"}.get(mail)
    if to is None:
        return _PAUSED if mail == playbook.breaker.mail else {}
    rewards = [rule for rule in rules.rewards if rule.to == to]
    if not rewards:
        raise UsageError(f"the playbook has no reward to the {to}, so the mail {mail!r} has nothing to tell of")
    rule = rewards[min(1, len(rewards) - 1)]
    return {"rule": rule.key, "qualified": rule.at or 1}


def _news(playbook: Playbook, now: datetime) -> list[News]:
    url = str(playbook.community.url)
    invented = [
        News(
            kind=kind, titles={**titles, "": titles["en"]}, url=f"{url}{kind}", published_at=now - timedelta(days=days)
        )
        for kind, days, titles in _NEWS
    ]
    return highlights_of(invented, playbook, now - timedelta(days=30), now)


def send(mail: Composed) -> str:
    """Send a mail through SES with the operator's own credentials; its message id. UsageError with SES's own reason."""
    try:
        got = boto3.client("sesv2", region_name=region()).send_email(
            FromEmailAddress=mail.sender,
            Destination={"ToAddresses": [mail.to]},
            Content={"Simple": message(mail)},
        )
    except (BotoCoreError, ClientError) as exc:
        raise UsageError(f"SES did not take the mail: {exc}") from exc
    return str(got["MessageId"])


def _one_of(what: str, given: str, allowed: list[str]) -> None:
    if given not in allowed:
        raise UsageError(f"there is no {what} {given!r}; choose one of {', '.join(allowed)}")
