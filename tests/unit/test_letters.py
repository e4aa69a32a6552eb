from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.letters import QUEUES, Again, Back, Batch, Letter, Unreadable, function_name, remedy, why
from tests.builders import a_planned_mail

NAME = "Flywheel-onboarding1A2B-xYz"
ARN = f"arn:aws:lambda:eu-west-1:111122223333:function:{NAME}"


def a_letter(queue: str, body: object, **attributes: str) -> Letter:
    text = body if isinstance(body, str) else json.dumps(body)
    died_at = datetime(2030, 1, 2, tzinfo=UTC)
    return Letter(queue=queue, id="0a1b2c3d-4e5f", handle="h", body=text, died_at=died_at, attributes=attributes)


def failed_invocation(payload: dict[str, Any]) -> dict[str, Any]:
    """What Lambda leaves of an asynchronous invocation that it gave up on."""
    return {
        "version": "1.0",
        "timestamp": "2030-01-02T03:04:05.678Z",
        "requestContext": {"requestId": "r", "functionArn": f"{ARN}:$LATEST", "condition": "RetriesExhausted"},
        "requestPayload": payload,
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {"errorType": "Unavailable", "errorMessage": "ada@example.com could not be written"},
    }


def failed_batch(**changes: Any) -> dict[str, Any]:
    """What Lambda leaves of a batch of the stream that it gave up on: where it stands, not what it held."""
    info = {
        "shardId": "shardId-00000001",
        "startSequenceNumber": "100",
        "endSequenceNumber": "300",
        "approximateArrivalOfFirstRecord": "2030-01-01T12:00:01Z",
        "approximateArrivalOfLastRecord": "2030-01-01T12:00:03Z",
        "batchSize": 2,
        "streamArn": "arn:aws:dynamodb:eu-west-1:111122223333:table/t/stream/s",
    }
    context = {"functionArn": ARN, "condition": "RetryAttemptsExhausted"}
    return {"version": "1.0", "requestContext": context, "DDBStreamBatchInfo": info | changes}


def test_a_mail_goes_back_into_its_queue() -> None:
    letter = a_letter("DeadMail", a_planned_mail("welcome").model_dump_json())
    found = remedy(letter)
    assert isinstance(found, Back)
    assert (found.output, found.about[:16]) == ("MailQueueUrl", "the mail welcome")


def test_a_reward_goes_back_into_its_queue() -> None:
    letter = a_letter("DeadReward", {"member_id": "m1", "rule": "first_friend", "about": "granted"})
    assert remedy(letter) == Back("RewardQueueUrl", "the reward first_friend of m1")


def test_a_tick_is_made_up_for_as_of_now() -> None:
    found = remedy(a_letter("DeadSchedules", failed_invocation({"scheduled_time": "2030-01-02T03:04:00Z"})))
    assert isinstance(found, Again)
    assert (found.function, found.payload) == (NAME, {})
    assert found.about == "Flywheel-onboarding1A2B-xYz: the tick of 2030-01-02T03:04:00Z"


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_report_is_made_for_the_time_it_was_due(*, wrapped: bool) -> None:
    payload = {"scheduled_time": "2030-01-07T07:00:00Z", "kind": "weekly"}
    body = {"FunctionName": ARN, "Payload": json.dumps(payload)} if wrapped else payload
    found = remedy(a_letter("DeadSchedules", body, TARGET_ARN=ARN))
    assert isinstance(found, Again)
    assert (found.function, found.payload) == (NAME, payload)


def test_an_event_of_ses_is_told_again_from_rule_and_function_alike() -> None:
    event = {"source": "aws.ses", "detail-type": "Email Bounced", "detail": {}}
    of_rule = remedy(a_letter("DeadFeedback", event, TARGET_ARN=ARN))
    of_function = remedy(a_letter("DeadFeedback", failed_invocation(event)))
    assert isinstance(of_rule, Again)
    assert isinstance(of_function, Again)
    assert of_rule.payload == of_function.payload == event


def test_a_batch_of_the_stream_is_told_by_when_it_came() -> None:
    found = remedy(a_letter("DeadLog", failed_batch()))
    assert isinstance(found, Batch)
    assert (found.first, found.last) == ("100", "300")
    assert found.about == "2 events that came from 2030-01-01 12:00:01 to 12:00:03 UTC"


@pytest.mark.parametrize("queue", QUEUES)
@pytest.mark.parametrize("body", ["", "not json", "[]", "{}", '"text"', '{"requestContext": {}}', "null"])
def test_what_no_queue_should_hold_is_never_acted_on(queue: str, body: str) -> None:
    assert isinstance(remedy(a_letter(queue, body, TARGET_ARN=ARN)), Unreadable)


@pytest.mark.parametrize("queue", QUEUES)
@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        '{"requestContext": ' * 100_000,
        "1" * 5_000,
        json.dumps(failed_batch()).replace('"batchSize": 2', '"batchSize": 1e999'),
        json.dumps(failed_batch(startSequenceNumber="first")),
        json.dumps(failed_batch(approximateArrivalOfFirstRecord="2030-01-01T12:00:01")),
        json.dumps(failed_invocation({"scheduled_time": "x"})).replace(NAME, "\\ud800"),
    ],
    ids=["a deep list", "a deep object", "a long number", "infinite", "no number", "no offset", "no name"],
)
def test_a_malformed_letter_hides_no_others(queue: str, body: str) -> None:
    letter = a_letter(queue, body)
    assert isinstance(remedy(letter), Unreadable)
    assert why(letter)


def test_a_letter_s_words_cannot_steer_a_terminal() -> None:
    letter = a_letter("DeadSchedules", failed_invocation({"scheduled_time": "\x1b[2J\ud800"}))
    assert remedy(letter).about == f"{NAME}: the tick of ?[2J?"
    assert why(a_letter("DeadFeedback", {}, ERROR_CODE="\x1b[2J")) == "?[2J"


def test_why_quotes_no_error_text() -> None:
    letter = a_letter("DeadSchedules", failed_invocation({"scheduled_time": "x"}))
    assert why(letter) == "RetriesExhausted, Unhandled, Unavailable"
    assert why(a_letter("DeadFeedback", {}, ERROR_CODE="NO_PERMISSIONS", ERROR_MESSAGE="ada")) == "NO_PERMISSIONS"
    assert why(a_letter("DeadMail", "not json")) == "received too often"


def test_a_function_s_name_is_without_its_version() -> None:
    assert function_name(f"{ARN}:$LATEST") == function_name(ARN) == "Flywheel-onboarding1A2B-xYz"
