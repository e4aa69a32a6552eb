"""What `infra.local.gateway` has MiniStack do as AWS does it; `make load` shows it on the deployed stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.local.gateway import dying_alone, with_failed_records_again

REPORTED = {"body": {"batchItemFailures": [{"itemIdentifier": "2"}]}, "log": "why"}


def executed(source: str, result: dict[str, Any]) -> dict[str, Any]:
    execute = with_failed_records_again(lambda _function, _event: result)
    return execute({}, {"Records": [{"eventSource": source}, {"eventSource": source}]})


@dataclass
class Worker:
    """As much of MiniStack's as matters here."""

    killed: bool = False

    def kill(self) -> None:
        self.killed = True


def test_a_stream_batch_with_failed_records_failed() -> None:
    assert executed("aws:dynamodb", REPORTED) == {
        "error": True,
        "body": {"errorType": "RecordsFailed", "errorMessage": "1 of 2"},
        "log": "why",
    }


def test_a_stream_batch_without_failed_records_is_done() -> None:
    done: dict[str, Any] = {"body": {"batchItemFailures": []}}
    assert executed("aws:dynamodb", done) == done


def test_failed_messages_are_left_to_their_queue() -> None:
    assert executed("aws:sqs", REPORTED) == REPORTED


def test_what_is_no_batch_is_left_alone() -> None:
    execute = with_failed_records_again(lambda _function, _event: {"body": None})
    assert execute({}, {"scheduled_time": "2026-10-05T06:00:00Z"}) == {"body": None}


def test_a_worker_that_cannot_start_fails_its_own_call_only() -> None:
    def invoke(_worker: Worker, _event: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("exited immediately")

    worker = Worker()
    answer = dying_alone(invoke)(worker, {})
    assert answer == {"status": "error", "error": "Worker did not start: exited immediately"}
    assert worker.killed


def test_a_worker_that_answers_lives_on() -> None:
    worker = Worker()
    assert dying_alone(lambda _worker, event: event)(worker, {"status": "ok"}) == {"status": "ok"}
    assert not worker.killed
