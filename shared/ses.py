"""One call to SES, exactly one attempt, and an honest answer to "was it sent?"."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, HTTPClientError, SSLError

from shared.mail import Attachment, Composed
from shared.model import SendId

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sesv2.type_defs import AttachmentTypeDef, MessageTypeDef

REFUSED_MAILS = frozenset({"MessageRejected", "BadRequestException"})
"""SES looked at this very mail and will not have it."""


@dataclass(frozen=True)
class Outcome:
    """What became of a call to SES.

    `accepted`: sent, with SES's message id. `refused`: this mail never will be. `not_sent`: surely not sent, try later
    (throttled, paused, unreachable, a fault in the set-up). `in_doubt`: the reply was lost, it may have been sent.
    """

    kind: Literal["accepted", "refused", "not_sent", "in_doubt"]
    detail: str


class Ses:
    """SES version 2, through a client that makes one attempt a call."""

    def __init__(self, client: SESV2Client, configuration_set: str) -> None:
        self._client = client
        self._configuration_set = configuration_set

    def max_send_rate(self) -> float:
        """Mails a second that the account may send."""
        return float(self._client.get_account()["SendQuota"]["MaxSendRate"])

    def send(self, mail: Composed, send_id: SendId) -> Outcome:
        """Hand one mail to SES, once."""
        try:
            got = self._client.send_email(
                FromEmailAddress=mail.sender,
                ReplyToAddresses=[mail.reply_to] if mail.reply_to else [],
                Destination={"ToAddresses": [mail.to]},
                Content={"Simple": message(mail)},
                EmailTags=[{"Name": "send", "Value": send_id.tag}],
                ConfigurationSetName=self._configuration_set,
            )
        except ClientError as exc:
            return _answered(exc)
        except (ConnectTimeoutError, EndpointConnectionError) as exc:
            return Outcome("not_sent", type(exc).__name__)
        except (HTTPClientError, SSLError) as exc:
            return Outcome("in_doubt", type(exc).__name__)
        return Outcome("accepted", got["MessageId"])


def message(mail: Composed) -> MessageTypeDef:
    """A mail as SES's simple content."""
    message: MessageTypeDef = {
        "Subject": {"Data": mail.subject, "Charset": "UTF-8"},
        "Body": {
            "Text": {"Data": mail.text, "Charset": "UTF-8"},
            "Html": {"Data": mail.html, "Charset": "UTF-8"},
        },
        "Headers": [{"Name": name, "Value": value} for name, value in mail.headers.items()],
    }
    if mail.attachments:
        message["Attachments"] = [_attached(one) for one in mail.attachments]
    return message


def _attached(one: Attachment) -> AttachmentTypeDef:
    """As SES takes it: what the HTML shows is `INLINE`, and known by its Content-ID."""
    request: AttachmentTypeDef = {
        "FileName": one.name,
        "ContentType": one.media_type,
        "ContentTransferEncoding": "BASE64",
        "ContentDisposition": "INLINE" if one.content_id else "ATTACHMENT",
        "RawContent": one.content,
    }
    if one.content_id:
        request["ContentId"] = one.content_id
    return request


def _answered(exc: ClientError) -> Outcome:
    code = exc.response["Error"]["Code"]
    if code in REFUSED_MAILS:
        return Outcome("refused", code)
    if exc.response["ResponseMetadata"].get("HTTPStatusCode", 0) >= 500:
        return Outcome("in_doubt", code)
    return Outcome("not_sent", code)


SECOND = 1.03
"""What a second is taken for: what leaves a second apart may reach SES a little closer together."""


class Pace:
    """Keeps one worker within its share of the send rate, by waiting before each mail: no second holds more than that.

    What a second has left when a batch ends is there for the next one. Threads may share it; they wait in turn.
    """

    def __init__(self, rate: float, *, monotonic: Callable[[], float], sleep: Callable[[float], None]) -> None:
        """`rate` is in mails a second; below one it is one mail in more than a second."""
        self.rate = rate
        self._span = SECOND * max(1, 1 / rate)
        self._monotonic = monotonic
        self._sleep = sleep
        self._gone: deque[float] = deque(maxlen=max(1, int(rate)))
        self._turn = Lock()

    def wait(self) -> None:
        """Return when the next mail may go."""
        with self._turn:
            full = len(self._gone) == self._gone.maxlen
            if full and (ahead := self._gone[0] + self._span - self._monotonic()) > 0:
                self._sleep(ahead)
            self._gone.append(self._monotonic())
