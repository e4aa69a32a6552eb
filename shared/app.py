"""The composition root: settings, clients, clock. The only reader of the environment, and of the time."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection
from botocore.session import Session
from pydantic import Field

from shared.errors import FlywheelError, Unavailable
from shared.events import Frozen
from shared.store import Store

# What only some functions need is imported when it is first used: a cold start pays for no more than its own.
if TYPE_CHECKING:
    from shared.eventbus import EventBus
    from shared.largedays import LargeDays
    from shared.mail import Mails
    from shared.mailqueue import MailQueue
    from shared.noticequeue import NoticeQueue
    from shared.pages import Pages
    from shared.playbook import Playbook
    from shared.ses import Pace, Ses
    from shared.signing import Signer

HERE = Path(__file__).parent

SECRETS_KEPT = 900.0
"""Seconds that a secret is used before it is read again, so that a rotation takes effect. To read one costs: by KMS."""

MOST_AT_ONCE = 32
"""How many threads of a function may use one client; it keeps as many connections, which costs nothing until then."""

# What is asked is typed and tested: botocore's own look at it, and building its long name anew for each request, are a
# fifth of what a request costs.
LEAN = Config(user_agent="flywheel", parameter_validation=False, max_pool_connections=MOST_AT_ONCE)
QUICK = LEAN.merge(Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3}))
# One attempt only: SES has no idempotency token, and the SDK's own retry after a lost reply would send a mail twice.
ONCE = LEAN.merge(Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 1}))


@cache
def session() -> Session:
    """The session of this process. It is botocore's own: boto3 makes the same clients, and brings in much besides."""
    return Session()


@cache
def client(service: str, config: Config) -> Any:  # noqa: ANN401 - botocore's classes are made at run time
    """The one client of this process for a service."""
    return session().create_client(service, config=config)


class Settings(Frozen):
    """What the stack tells a function, one `FLYWHEEL_<NAME>` variable each; a function gets only what it needs.

    Of a secret it is the name of its parameter.
    """

    table: str = ""
    mail_queue_url: str = ""
    reward_queue_url: str = ""
    rewards_secret: str = ""
    event_bus: str = ""
    webhook_secret: str = ""
    links_secret: str = ""
    links_url: str = ""
    configuration_set: str = ""
    mailer_workers: int = Field(default=2, ge=1)
    mails_at_once: int = Field(default=1, ge=1, le=MOST_AT_ONCE)
    large_days_machine: str = ""
    rollup_readers: int = Field(default=8, ge=1, le=MOST_AT_ONCE)
    local_clock: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings; FlywheelError when one is not what it must be."""
        variables = {name: f"FLYWHEEL_{name.upper()}" for name in cls.model_fields}
        given = {name: environment[variable] for name, variable in variables.items() if variable in environment}
        try:
            return cls.model_validate(given)
        except ValueError as exc:
            raise FlywheelError(f"the environment's FLYWHEEL_ variables are wrong: {exc}") from exc


class App:
    """Everything a function works with, each part made when first used."""

    def __init__(self, settings: Settings, *, playbook: Playbook | None = None, code: Path = HERE) -> None:
        self.settings = settings
        self._code = code
        self._secrets: dict[str, tuple[float, dict[str, Any]]] = {}
        if playbook is not None:
            self.playbook = playbook

    @cached_property
    def playbook(self) -> Playbook:
        """The playbook as it was compiled into the bundle."""
        from shared.playbook import Playbook

        return Playbook.model_validate_json((self._code / "playbook.json").read_bytes())

    @cached_property
    def store(self) -> Store:
        """The table."""
        return Store(client("dynamodb", QUICK), self.settings.table)

    @cached_property
    def queue(self) -> MailQueue:
        """The mail queue."""
        from shared.mailqueue import MailQueue

        return MailQueue(client("sqs", QUICK), self.settings.mail_queue_url)

    @cached_property
    def notices(self) -> NoticeQueue:
        """The queue of rewards that are to be told of."""
        from shared.noticequeue import NoticeQueue

        return NoticeQueue(client("sqs", QUICK), self.settings.reward_queue_url)

    @cached_property
    def bus(self) -> EventBus:
        """Our own event bus."""
        from shared.eventbus import EventBus

        return EventBus(client("events", QUICK), self.settings.event_bus)

    @cached_property
    def large_days(self) -> LargeDays:
        """The way out for days of too many events."""
        from shared.largedays import LargeDays

        return LargeDays(client("stepfunctions", QUICK), self.settings.large_days_machine)

    @cached_property
    def ses(self) -> Ses:
        """The way out for mails."""
        from shared.ses import Ses

        return Ses(client("sesv2", ONCE), self.settings.configuration_set)

    @cached_property
    def pace(self) -> Pace:
        """This worker's share of the account's send rate, read once a worker."""
        from shared.ses import Pace

        return Pace(self.ses.max_send_rate() / self.settings.mailer_workers, monotonic=time.monotonic, sleep=time.sleep)

    @cached_property
    def mails(self) -> Mails:
        """The compiled mails."""
        from shared.mail import Mails

        return Mails(self._code / "mails")

    @cached_property
    def pages(self) -> Pages:
        """The pages that links lead to."""
        from shared.pages import Pages

        return Pages(self._code / "pages")

    @property
    def signer(self) -> Signer:
        """Signs and reads the tokens in links."""
        from shared.signing import Signer

        return Signer(self._secret(self.settings.links_secret))

    @cached_property
    def _parameters(self) -> Any:  # noqa: ANN401 - botocore's classes are made at run time
        return client("ssm", QUICK)

    def prepare_for_threads(self) -> None:
        """Make and read what threads share, before there are any: once is enough, and boto3 makes clients in one."""
        for name in ("playbook", "store", "ses", "pace", "mails", "signer"):
            getattr(self, name)

    def webhook_secrets(self, platform: str) -> list[str]:
        """Every secret that a platform may sign with; none means that its webhooks are refused."""
        given = self._secret(self.settings.webhook_secret).get(platform, [])
        return [given] if isinstance(given, str) else list(given)

    @cached_property
    def receiver_seconds(self) -> float:
        """How long the receiver of rewards may take for an answer."""
        from shared.outgoing import SECONDS

        return SECONDS

    def rewards_secrets(self) -> list[str]:
        """What rewards are signed with when they are told: the current secret, then the one it takes the place of."""
        secret = self._secret(self.settings.rewards_secret)
        return [str(secret[name]) for name in ("current", "previous") if secret.get(name)]

    def clock(self) -> datetime:
        """The time, asked once an invocation. On the local stack, the instant that was set there, if one was."""
        if self.settings.local_clock and (instant := self.store.local_clock()) is not None:
            return instant
        return datetime.now(UTC)

    def wire_clock(self) -> datetime:
        """The time that others compare ours with: never the one that was set on the local stack."""
        return datetime.now(UTC)

    def token(self) -> str:
        """A new fencing token."""
        return uuid4().hex

    def _secret(self, parameter: str) -> dict[str, Any]:
        read_at, secret = self._secrets.get(parameter, (-SECRETS_KEPT, {}))
        if time.monotonic() - read_at >= SECRETS_KEPT:
            secret = self._read_secret(parameter)
            self._secrets[parameter] = (time.monotonic(), secret)
        return secret

    def _read_secret(self, parameter: str) -> dict[str, Any]:
        try:
            text = self._parameters.get_parameter(Name=parameter, WithDecryption=True)["Parameter"]["Value"]
        except (ClientError, HTTPClientError, NoConnection) as exc:
            raise Unavailable(f"a secret could not be read: {type(exc).__name__}") from exc
        secret = json.loads(text)
        if not isinstance(secret, dict):
            raise FlywheelError("a secret must be a JSON object")
        return secret


@cache
def app() -> App:
    """The one App of this process."""
    return App(Settings.from_environment(os.environ))


def scheduled_at(event: Mapping[str, Any], clock: Callable[[], datetime]) -> datetime:
    """When a schedule's tick is for: its own timestamp, or the clock's where the scheduler did not fill it in."""
    try:
        moment = datetime.fromisoformat(str(event.get("scheduled_time")))
    except ValueError:
        return clock()
    return moment.astimezone(UTC) if moment.tzinfo else clock()
