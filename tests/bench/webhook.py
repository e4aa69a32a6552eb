"""A signed Slack message through the real handler, beside the smallest handler that does the same honestly.

That one checks the same signature and age, takes from the body what is stored, and puts it if it is absent.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from time import time
from typing import Any

from botocore.exceptions import ClientError

from infra.local.signing import sign
from tests.bench.members import the_function
from tests.bench.rows import Row, cpu, in_turns
from tests.bench.wire import SETTINGS, Wire, an_app, client
from tests.golden import SECRETS, golden
from tests.invocation import Context

TIMES = 30
SECRET = SECRETS["slack"]


def rows() -> Iterator[Row]:
    """CPU of one delivery."""
    webhooks = the_function("webhooks")
    wire = Wire(GetParameter={"Parameter": {"Value": json.dumps({"slack": [SECRET]})}})
    app, event, context = an_app(), delivery(), Context()
    webhooks.app = lambda: app

    def ours() -> float:
        return cpu(lambda: webhooks.handler(event, context), times=TIMES) * 1000

    def other() -> float:
        return cpu(lambda: smallest(event), times=TIMES) * 1000

    assert (webhooks.handler(event, context)["statusCode"], smallest(event)["statusCode"]) == (202, 202)
    assert wire.requests["PutItem"] == 2
    mine, theirs = in_turns(ours, other)
    yield Row(
        name="webhook",
        ours=mine,
        other=theirs,
        unit="ms CPU",
        other_is="the signature checked and one put_item",
        most=1.4,
    )


def delivery() -> dict[str, Any]:
    """The golden message as API Gateway hands it over, signed just now."""
    message = golden("slack.message")
    headers = sign("slack", message.headers, message.body, secret=SECRET, now=datetime.now(UTC))
    return {
        "version": "2.0",
        "rawPath": "/webhooks/slack",
        "headers": headers,
        "pathParameters": {"platform": "slack"},
        "requestContext": {"http": {"method": "POST", "path": "/webhooks/slack"}},
        "body": message.body.decode(),
        "isBase64Encoded": False,
    }


def smallest(event: Mapping[str, Any]) -> dict[str, Any]:
    """The least that is honest: nothing is kept that is not proved, and nothing twice."""
    headers, body = event["headers"], event["body"].encode()
    stamp = headers["x-slack-request-timestamp"]
    if abs(time() - int(stamp)) > 300:
        return {"statusCode": 401}
    expected = "v0=" + hmac.new(SECRET.encode(), f"v0:{stamp}:".encode() + body, "sha256").hexdigest()
    if not hmac.compare_digest(headers["x-slack-signature"], expected):
        return {"statusCode": 401}
    told = json.loads(body)
    item = {
        "pk": {"S": f"LOG#{told['event']['user']}"},
        "sk": {"S": told["event_id"]},
        "event": {"S": json.dumps(told["event"])},
        "expires_at": {"N": str(told["event_time"] + 400 * 86400)},
    }
    try:
        client("dynamodb").put_item(TableName=SETTINGS.table, Item=item, ConditionExpression="attribute_not_exists(pk)")
    except ClientError as exc:
        if exc.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
    return {"statusCode": 202, "body": json.dumps({"events": 1})}
