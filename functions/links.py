"""GET and POST /l/... -> the pages that our links lead to, and where referral links go."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.app import app
from shared.errors import Unavailable
from shared.links import visit
from shared.visits import Visit

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Answer one visit; 503 when the table is away, so that a mail client's one-click tries again."""
    try:
        page = visit(_visit(event), app(), app().clock())
    except Unavailable as exc:
        logger.warning("link not answered", extra={"error": str(exc)})
        return {
            "statusCode": 503,
            "headers": {"retry-after": "30", "content-type": "text/plain"},
            "body": "Please try again in a minute.",
        }
    return {"statusCode": page.status, "headers": page.headers, "cookies": list(page.cookies), "body": page.html}


def _visit(event: dict[str, Any]) -> Visit:
    headers = event.get("headers") or {}
    return Visit(
        method=event["requestContext"]["http"]["method"],
        path=event["rawPath"].removeprefix("/l/"),
        query=event.get("queryStringParameters") or {},
        form=_form(event),
        language=headers.get("accept-language"),
        cookies=tuple(event.get("cookies") or headers.get("cookie", "").split(";")),  # the latter on the local stack
        user_agent=headers.get("user-agent", ""),
    )


def _form(event: dict[str, Any]) -> bytes:
    body: str = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return body.encode("utf-8", "replace")
    try:
        return b64decode(body)
    except ValueError:  # not the base64 it is said to be: a form in which nothing was filled in
        return b""
