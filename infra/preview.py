"""One mail with sample content: what `flywheel preview` shows and `flywheel send-test` sends."""

from __future__ import annotations

from datetime import datetime, timedelta

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from shared.errors import UsageError
from shared.mail import Composed, Links, Mails, compose
from shared.model import Did, Member
from shared.playbook import Playbook

LINKS = Links(
    unsubscribe="https://links.example.com/l/u/a-signed-token",
    survey="https://links.example.com/l/s/a-signed-token",
)


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
    did = Did(active_days=12, posts=2, comments=21, reactions=34, answers=1)
    return compose(mails, mail=mail, member=member, playbook=playbook, links=LINKS, did=did, leave_out=(), now=now)


def send(mail: Composed) -> str:
    """Send a mail through SES with the operator's own credentials; its message id. UsageError with SES's own reason."""
    body = {"Text": {"Data": mail.text}, "Html": {"Data": mail.html}}
    try:
        got = boto3.client("sesv2").send_email(
            FromEmailAddress=mail.sender,
            Destination={"ToAddresses": [mail.to]},
            Content={"Simple": {"Subject": {"Data": mail.subject}, "Body": body}},
        )
    except (BotoCoreError, ClientError) as exc:
        raise UsageError(f"SES did not take the mail: {exc}") from exc
    return str(got["MessageId"])


def _one_of(what: str, given: str, allowed: list[str]) -> None:
    if given not in allowed:
        raise UsageError(f"there is no {what} {given!r}; choose one of {', '.join(allowed)}")
