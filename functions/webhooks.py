"""POST /webhooks/{platform}: a signed delivery in, its events into the log, and only then 2xx."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import count
from shared.app import App, app
from shared.errors import Malformed, Unauthentic, Unavailable, WebhookError
from shared.platforms import PLATFORMS, Answer, receive

RETRY_AFTER = 30
"""Seconds after which a sender may try again when the table or the secrets could not be reached."""

Response = dict[str, Any]

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> Response:  # noqa: ARG001 - Lambda's signature
    """Receive one delivery (HTTP API payload 2.0); refusals and outages become answers, nothing is raised for them."""
    platform = event["pathParameters"]["platform"]
    try:
        return _accept(app(), platform, event)
    except WebhookError as exc:
        return _reject(platform, exc.status, "not authentic" if isinstance(exc, Unauthentic) else str(exc))
    except Unavailable:
        return _reject(platform, 503, "try again later") | {"headers": _JSON | {"retry-after": str(RETRY_AFTER)}}


def _accept(house: App, platform: str, event: Mapping[str, Any]) -> Response:
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    found = receive(
        platform,
        headers,
        _body(event),
        secrets=house.webhook_secrets,
        enabled=house.playbook.platforms,
        now=house.clock(),
    )
    if isinstance(found, Answer):
        return {"statusCode": found.status, "headers": {"content-type": found.content_type}, "body": found.body}
    new = house.store.log(found) if found else 0
    count("EventsLogged", new)
    logger.info("received", extra={"platform": platform, "event_ids": [one.id for one in found], "new": new})
    return _respond(202 if found else 200, {"events": len(found), "new": new})


def _body(event: Mapping[str, Any]) -> bytes:
    """The bytes as they were sent: a signature is over them, not over any reading of them."""
    body: str = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return body.encode("utf-8", "surrogatepass")
    try:
        return b64decode(body)
    except ValueError as exc:
        raise Malformed("the body is not the base64 it is said to be") from exc


def _reject(platform: str, status: int, reason: str) -> Response:
    known = platform if platform in PLATFORMS else "unknown"
    logger.info("rejected", extra={"platform": known, "status": status})
    return _respond(status, {"error": reason})


_JSON = {"content-type": "application/json"}


def _respond(status: int, told: Mapping[str, object]) -> Response:
    return {"statusCode": status, "headers": _JSON, "body": json.dumps(told)}
