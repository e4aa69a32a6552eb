"""Every minute -> deferred mails whose time has come, and sends whose fate was in doubt."""

from __future__ import annotations

from collections import Counter
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import count
from shared.app import app, scheduled_at
from shared.sending import NotAllFollowedUp, follow_up_all

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001 - Lambda's signature
    """Look again at every send that is due for it."""
    verdicts: Counter[str] = Counter()
    try:
        verdicts = follow_up_all(app(), scheduled_at(event, app().clock))
    except NotAllFollowedUp as exc:
        verdicts = exc.verdicts
        raise
    finally:  # what was parked, and that marketing mail is paused, is told whatever else fails: nobody finds it again
        if verdicts:
            logger.info("followed up", extra={"verdicts": dict(verdicts)})
        count("SendsParked", verdicts["park"])
        pause = app().store.pause()
        count("MarketingPaused", int(pause is not None and pause.resumed_at is None))
