"""Every function behind its real handler, driven with its golden input; its log lines never hold a person."""

from __future__ import annotations

import io
import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from traceback import format_exception
from types import ModuleType
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import ValidationError

from functions import links, mail_feedback, mail_followups, mailer, onboarding, react, reengagement, webhooks
from infra.local.signing import sign
from shared.app import App
from shared.errors import Unavailable
from shared.events import EVENT
from shared.model import Due, Identity, Member, Pause, SendId, SendStatus, member_id_of
from tests.aws.conftest import Clock, Wire
from tests.aws.test_requests import drain
from tests.builders import JOINED, ROOT, a_member, a_planned_mail, a_send, an_enrolment
from tests.golden import golden

LONG_AGO = JOINED - timedelta(days=900)
ADA = member_id_of(Identity("slack", "U1"))
PEOPLE = ("ada@example.com", "Ada", "Europe/Berlin", "hello@community.example.com", "a-link-key", "a-signing-secret")
"""What no log line may hold: golden inputs and members are full of it."""


MANAGERS_MAIL = SendId("operations", "paused", "manager_mira", "20300101T120000")


def golden_input(name: str) -> dict[str, Any]:
    """A golden input of events/."""
    found: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text(encoding="utf-8"))
    return found


class Context(LambdaContext):
    """What Lambda tells an invocation; `remaining` milliseconds, one value a question."""

    def __init__(self, *remaining: int) -> None:
        self._function_name = self._aws_request_id = "here"
        self._memory_limit_in_mb = 512
        self._invoked_function_arn = "arn:aws:lambda:eu-west-1:000000000000:function:here"
        self.remaining = list(remaining) or [60_000] * 100

    def get_remaining_time_in_millis(self) -> int:  # type: ignore[override]
        return self.remaining.pop(0)


class Told:
    """What the functions wrote: log lines and metrics."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.lines = io.StringIO()
        self._capsys = capsys

    def text(self) -> str:
        out, err = self._capsys.readouterr()
        return self.lines.getvalue() + out + err

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines.getvalue().splitlines()]


FUNCTIONS = (links, mail_feedback, mail_followups, mailer, onboarding, react, reengagement, webhooks)


@pytest.fixture(autouse=True)
def told(app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Told]:
    """The functions wired to the App; whatever a test made them write is searched for people at its end."""
    told = Told(capsys)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Flywheel")
    for function in FUNCTIONS:
        _wire(function, app, told, monkeypatch)
    yield told
    text = told.text()
    assert [person for person in PEOPLE if person in text] == []


def _wire(function: ModuleType, app: App, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function, "app", lambda: app)
    monkeypatch.setattr(function.logger.registered_handler, "stream", told.lines)


def the_member(app: App, member_id: str = ADA) -> Member:
    found = app.store.member(member_id)
    assert found is not None
    return found


def failures(answer: Any) -> list[str]:
    return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


def sequence_numbers(batch: dict[str, Any]) -> list[str]:
    return [record["dynamodb"]["SequenceNumber"] for record in batch["Records"]]


class TestReact:
    def test_a_batch_of_the_stream_makes_members_on_the_agenda(self, app: App) -> None:
        assert failures(react.handler(golden_input("streams/log_batch"), Context())) == []
        assert (the_member(app).name, the_member(app).first_post_at) == ("Ada", JOINED + timedelta(minutes=5))
        dues = [(due.member_id, due.programme) for due in app.store.agenda()]
        other = member_id_of(Identity("discourse", "7"))
        assert sorted(dues) == sorted([(ADA, "onboarding"), (ADA, "reengagement"), (other, "reengagement")])

    def test_a_batch_that_comes_again_changes_nothing(self, app: App) -> None:
        react.handler(golden_input("streams/log_batch"), Context())
        before = the_member(app)
        assert failures(react.handler(golden_input("streams/log_batch"), Context())) == []
        assert the_member(app) == before

    def test_a_record_that_cannot_be_read_alone_comes_again(self, app: App) -> None:
        batch = golden_input("streams/log_unreadable")
        assert failures(react.handler(batch, Context())) == [sequence_numbers(batch)[1]]
        assert the_member(app).name == "Ada"
        assert the_member(app, member_id_of(Identity("discourse", "7"))).first_comment_at is not None

    def test_one_person_s_failure_reports_their_records_alone(
        self, app: App, told: Told, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create = app.store.create_member

        def fail_for_ada(new: Member) -> bool:
            if new.id == ADA:
                raise RuntimeError("ada@example.com could not be written")
            return create(new)

        monkeypatch.setattr(app.store, "create_member", fail_for_ada)
        batch = golden_input("streams/log_batch")
        assert failures(react.handler(batch, Context())) == sequence_numbers(batch)[:2]
        assert {line["error"] for line in told.logged()} == {"RuntimeError"}

    @pytest.mark.shows(16)
    def test_a_table_that_is_away_reports_the_whole_batch(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(app.store, "change_member", _away)
        monkeypatch.setattr(app.store, "create_member", _away)
        batch = golden_input("streams/log_batch")
        assert failures(react.handler(batch, Context())) == sequence_numbers(batch)


def _away(*_: object, **__: object) -> Any:
    raise Unavailable("the table answered ThrottlingException")


class TestMailer:
    @pytest.fixture(autouse=True)
    def _ada(self, app: App) -> None:
        app.store.create_member(a_member())

    @pytest.mark.shows(10)
    def test_one_bad_message_of_a_batch_alone_comes_again(self, told: Told, wire: Wire) -> None:
        batch = golden_input("queues/mail_batch")
        assert failures(mailer.handler(batch, Context())) == [batch["Records"][2]["messageId"]]
        assert wire.requests["SendEmail"] == 1
        statuses = [line.get("status") for line in told.logged()]
        assert statuses == [SendStatus.SENT, SendStatus.SKIPPED, None]

    def test_the_mails_of_a_batch_are_counted_by_their_state(self, told: Told) -> None:
        first, second, _ = golden_input("queues/mail_batch")["Records"]
        batch = {"Records": [first, first | {"messageId": "again"}, second]}
        assert failures(mailer.handler(batch, Context())) == []
        metrics = [json.loads(line) for line in told.text().splitlines() if "_aws" in line]
        counted = [(line["status"], line["Mails"]) for line in metrics]
        assert sorted(counted) == [("sent", [2.0]), ("skipped", [1.0])]

    def test_a_whole_batch_asks_once_whether_mail_is_paused(self, app: App, wire: Wire) -> None:
        app.store.trip(Pause(tripped_at=JOINED, reason="bounces"))
        wire.requests.clear()
        mailer.handler(golden_input("queues/mail_batch"), Context())
        assert (wire.requests["GetItem"], wire.requests["SendEmail"]) == (1, 0)
        held = app.store.send(SendId.parse(a_planned_mail().send_id))
        assert held is not None
        assert (held.status, held.reason) == (SendStatus.DEFERRED, "paused")

    def test_a_message_that_comes_again_says_why_in_the_log(self, told: Told) -> None:
        mailer.handler(golden_input("queues/mail_batch"), Context())
        last = told.logged()[-1]
        assert (last["message"], last["error"]) == ("mail comes again", "ValidationError")
        assert last["message_id"].endswith("0003")

    def test_a_mail_another_worker_holds_comes_again(self, app: App, wire: Wire) -> None:
        lease = JOINED + timedelta(minutes=3)
        app.store.claim(a_send(status=SendStatus.CLAIMED, token="another", lease_until=lease))
        batch = golden_input("queues/mail_batch")
        assert batch["Records"][0]["messageId"] in failures(mailer.handler(batch, Context()))
        assert wire.requests["SendEmail"] == 0

    @pytest.mark.shows(11)
    @pytest.mark.parametrize(("remaining", "sent"), [(mailer.RESERVE_MS - 1, 0), (mailer.RESERVE_MS, 1)])
    def test_no_mail_is_begun_without_time_to_end_it(self, wire: Wire, remaining: int, sent: int) -> None:
        batch = golden_input("queues/mail_batch")
        batch["Records"] = batch["Records"][:1]
        assert len(failures(mailer.handler(batch, Context(remaining)))) == 1 - sent
        assert wire.requests["SendEmail"] == sent

    def test_time_running_out_gives_the_rest_back_untouched(self, app: App) -> None:
        batch = golden_input("queues/mail_batch")
        answer = mailer.handler(batch, Context(20_000, 14_000, 14_000))
        assert failures(answer) == [record["messageId"] for record in batch["Records"][1:]]
        assert app.store.send(SendId("onboarding", "welcome", "m" + "b" * 20)) is None

    def test_a_whole_batch_that_fails_is_reported_not_raised(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(app.store, "claim", _away)
        batch = golden_input("queues/mail_batch")
        assert len(failures(mailer.handler(batch, Context()))) == 3


def after_feedback(app: App, names: Sequence[str]) -> str:
    """The whole table after Ada's welcome mail and a manager's, and these golden events of SES; it is empty again."""
    app.store.create_member(a_member())
    for send_id in (SendId.parse(a_send().send_id), MANAGERS_MAIL):
        app.store.claim(a_send(send_id=str(send_id), member_id=send_id.member_id))
    for name in names:
        mail_feedback.handler(golden_input(f"ses/{name}"), Context())
    client, table = boto3.client("dynamodb"), app.settings.table
    items = client.scan(TableName=table)["Items"]
    for item in items:
        client.delete_item(TableName=table, Key={"pk": item["pk"], "sk": item["sk"]})
        item.pop("version", None)  # how often it was written
    return json.dumps(sorted(items, key=lambda item: (item["pk"]["S"], item["sk"]["S"])), sort_keys=True)


class TestFeedback:
    @pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "events" / "ses").glob("*.json")))
    def test_every_event_of_ses_is_taken_without_a_person_in_the_log(self, app: App, told: Told, name: str) -> None:
        app.store.create_member(a_member())
        app.store.claim(a_send())
        assert mail_feedback.handler(golden_input(f"ses/{name}"), Context()) is None
        assert told.logged()[-1]["message"] in {"feedback", "feedback on no send of ours"}

    @pytest.mark.shows(30)
    def test_all_events_of_ses_end_the_same_twice_and_in_any_order(self, app: App) -> None:
        names = sorted(path.stem for path in (ROOT / "events" / "ses").glob("*.json"))
        orders = [names, *(Random(seed).sample(names * 2, len(names) * 2) for seed in range(3))]  # noqa: S311 - the same every time is the point
        assert len({after_feedback(app, order) for order in orders}) == 1

    @pytest.mark.shows(19)
    def test_feedback_is_noted_by_our_own_clock(self, app: App, clock: Clock) -> None:
        app.store.create_member(a_member())
        app.store.claim(a_send())
        clock.now = JOINED + timedelta(days=3)
        mail_feedback.handler(golden_input("ses/bounce_permanent"), Context())
        assert [due.due_at for due in app.store.agenda()] == [clock.now]

    def test_feedback_stands_in_the_log_by_its_kind(self, app: App, told: Told) -> None:
        app.store.create_member(a_member())
        app.store.claim(a_send())
        mail_feedback.handler(golden_input("ses/bounce_permanent"), Context())
        [line] = told.logged()
        assert (line["message"], line["kind"]) == ("feedback", "bounce")


class TestSchedules:
    @pytest.mark.parametrize("name", ["tick", "not_filled_in"])
    def test_a_tick_sends_what_is_due_at_its_time_or_the_clock_s(self, app: App, clock: Clock, name: str) -> None:
        app.store.create_member(a_member())
        app.store.arm(an_enrolment())
        clock.now = JOINED if name == "not_filled_in" else JOINED - timedelta(days=9)
        onboarding.handler(golden_input(f"schedules/{name}"), Context())
        assert [mail.mail for mail in drain(app)] == ["welcome"]

    def test_an_early_clock_finds_nothing_due(self, app: App, clock: Clock) -> None:
        app.store.arm(an_enrolment())
        clock.now = JOINED - timedelta(seconds=1)
        onboarding.handler(golden_input("schedules/not_filled_in"), Context())
        assert drain(app) == []

    def test_a_follow_up_puts_a_deferred_mail_back_into_the_queue(self, app: App, wire: Wire) -> None:
        app.store.create_member(a_member())
        wire.ses_will_answer(429, "TooManyRequestsException")
        batch = golden_input("queues/mail_batch")
        batch["Records"] = batch["Records"][:1]
        mailer.handler(batch, Context())
        late = {"scheduled_time": (JOINED + timedelta(minutes=5)).isoformat()}
        mail_followups.handler(late, Context())
        assert [mail.send_id for mail in drain(app)] == [a_planned_mail().send_id]

    def test_a_quarter_of_an_hour_asks_who_is_away(self, app: App) -> None:
        away = a_member(created_at=LONG_AGO, joined_at=LONG_AGO, status_at=LONG_AGO, last_active_at=LONG_AGO)
        app.store.create_member(away)
        due_at = JOINED - timedelta(hours=3)
        app.store.arm(Due(programme="reengagement", member_id=away.id, key="inactivity", due_at=due_at))
        reengagement.handler({"scheduled_time": due_at.isoformat()}, Context())
        assert [mail.mail for mail in drain(app)] == ["miss_you"]

    @pytest.mark.parametrize(
        "function", [onboarding, reengagement, mail_followups], ids=lambda function: str(function.__name__)
    )
    def test_an_idle_tick_writes_nothing_to_the_log(self, told: Told, function: ModuleType) -> None:
        function.handler(golden_input("schedules/tick"), Context())
        assert told.logged() == []

    def test_a_bad_item_fails_the_tick_without_a_person_in_it(self, app: App) -> None:
        app.store.create_member(a_member())
        app.store.arm(an_enrolment().model_copy(update={"state": {"joined_at": "ada@example.com"}}))
        with pytest.raises(ExceptionGroup, match="agenda items of onboarding could not be settled") as failed:
            onboarding.handler(golden_input("schedules/tick"), Context())
        assert "example.com" not in "".join(format_exception(failed.value))  # which is what Lambda logs

    def test_a_send_that_cannot_be_read_fails_the_follow_ups(self, app: App) -> None:
        app.store.arm(Due(programme="mail", member_id="mx", key="x", due_at=JOINED, state={"send_id": "x"}))
        with pytest.raises(ExceptionGroup):
            mail_followups.handler(golden_input("schedules/tick"), Context())

    def test_a_mail_that_was_parked_is_told_though_another_failed(self, app: App, told: Told) -> None:
        doubted = a_send("welcome", status=SendStatus.UNKNOWN, at=JOINED - timedelta(hours=1), token="t")
        app.store.skip(doubted)
        for member_id, state in ((doubted.member_id, a_planned_mail("welcome").model_dump(mode="json")), ("mx", {})):
            app.store.arm(Due(programme="mail", member_id=member_id, key="x", due_at=JOINED, state=state))
        with pytest.raises(ExceptionGroup):
            mail_followups.handler(golden_input("schedules/tick"), Context())
        [figures] = [json.loads(line) for line in told.text().splitlines() if "SendsParked" in line]
        assert figures["SendsParked"] == [1.0]

    @pytest.mark.parametrize(("resumed", "told_as"), [(None, [[1.0]]), (JOINED, [])])
    def test_paused_marketing_mail_is_told_each_minute_and_only_then(
        self, app: App, told: Told, resumed: datetime | None, told_as: list[list[float]]
    ) -> None:
        app.store.trip(Pause(tripped_at=JOINED, reason="bounces"))
        if resumed:
            app.store.resume(resumed)
        mail_followups.handler(golden_input("schedules/tick"), Context())
        figures = [json.loads(line) for line in told.text().splitlines() if "MarketingPaused" in line]
        assert [one["MarketingPaused"] for one in figures] == told_as


def a_visit(path: str, *, method: str = "GET", **changes: Any) -> dict[str, Any]:
    """A request as the HTTP API hands it on (payload 2.0)."""
    event = {
        "version": "2.0",
        "routeKey": "ANY /l/{token+}",
        "rawPath": f"/l/{path}",
        "rawQueryString": "",
        "headers": {"accept-language": "ru-RU,ru;q=0.9", "host": "links.example.com"},
        "requestContext": {"http": {"method": method, "path": f"/l/{path}", "sourceIp": "192.0.2.1"}},
        "isBase64Encoded": False,
    }
    return event | changes


class TestLinks:
    @pytest.fixture(autouse=True)
    def path(self, app: App) -> str:
        """Ada's link to unsubscribe."""
        app.store.create_member(a_member())
        return f"u/{app.signer.sign('unsubscribe', a_member().id)}"

    def test_a_browser_gets_a_page_it_may_not_frame_or_keep(self, path: str) -> None:
        answer = links.handler(a_visit(path), Context())
        assert answer["statusCode"] == 200
        assert answer["headers"]["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in answer["headers"]["content-security-policy"]
        json.dumps(answer)

    @pytest.mark.parametrize("encoded", [False, True])
    def test_one_click_acts_with_its_body_as_text_or_base64(self, app: App, path: str, encoded: bool) -> None:  # noqa: FBT001 - the fact
        body = b"List-Unsubscribe=One-Click"
        text = b64encode(body).decode() if encoded else body.decode()
        answer = links.handler(a_visit(path, method="POST", body=text, isBase64Encoded=encoded), Context())
        assert answer["statusCode"] == 200
        assert not the_member(app, a_member().id).consent["all"].given

    @pytest.mark.parametrize("body", ["x", "=x", "ключ", "\ud800", "AAAAA"])
    def test_what_is_not_the_base64_it_says_is_an_empty_form(self, app: App, path: str, body: str) -> None:
        for link in (path, f"s/{app.signer.sign('survey', a_member().id, '1')}"):
            answer = links.handler(a_visit(link, method="POST", body=body, isBase64Encoded=True), Context())
            assert answer["statusCode"] == 200
        assert not the_member(app, a_member().id).consent["all"].given
        assert app.store.logged(Identity("slack", "U1"), JOINED.date()) == []

    def test_a_survey_form_in_base64_is_one_logged_event(self, app: App) -> None:
        survey = f"s/{app.signer.sign('survey', a_member().id, '1')}"
        form = b64encode("score=9&comment=Ada+сказала+да".encode()).decode()
        for _ in range(2):
            links.handler(a_visit(survey, method="POST", body=form, isBase64Encoded=True), Context())
        assert [event.type for event in app.store.logged(Identity("slack", "U1"), JOINED.date())] == ["survey.answered"]

    def test_the_score_in_a_mail_s_link_is_chosen(self, app: App) -> None:
        survey = f"s/{app.signer.sign('survey', a_member().id, '1')}"
        answer = links.handler(a_visit(survey, queryStringParameters={"score": "7"}), Context())
        assert re.findall(r'<input[^>]*value="(\d+)"[^>]*\bchecked', answer["body"]) == ["7"]

    def test_a_wrong_link_is_404_in_the_browser_s_language(self) -> None:
        answer = links.handler(a_visit("u/forged"), Context())
        assert answer["statusCode"] == 404
        assert '<html lang="ru"' in answer["body"]

    def test_a_request_without_headers_is_answered(self) -> None:
        event = a_visit("x/y")
        del event["headers"]
        assert links.handler(event, Context())["statusCode"] == 404

    def test_a_table_that_is_away_asks_to_come_again(
        self, app: App, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(app.store, "change_member", _away)
        answer = links.handler(a_visit(path, method="POST", body="List-Unsubscribe=One-Click"), Context())
        assert (answer["statusCode"], answer["headers"]["retry-after"]) == (503, "30")

    def test_secrets_that_are_away_ask_to_come_again(self, app: App) -> None:
        app.settings = app.settings.model_copy(update={"links_secret": "/flywheel/none"})
        assert links.handler(a_visit("u/x"), Context())["statusCode"] == 503


class TestErrors:
    """What Lambda logs of an error that nobody catches."""

    @pytest.mark.parametrize(
        "read",
        [
            lambda: EVENT.validate_json('{"type": "member.teleported", "actor": "ada@example.com"}'),
            lambda: EVENT.validate_json('{"type": "member.joined", "profile": {"email": ["ada@example.com"]}}'),
            lambda: Member.model_validate({"id": "m1", "email": ["ada@example.com"]}),
        ],
    )
    def test_an_unreadable_value_is_never_quoted(self, read: Callable[[], object]) -> None:
        with pytest.raises(ValidationError) as failed:
            read()
        assert "ada@example.com" not in str(failed.value)


def log_item_to_stream(app: App) -> dict[str, Any]:
    """What the table's stream says of every log item."""
    items = boto3.client("dynamodb").scan(TableName=app.settings.table)["Items"]
    logged = [item for item in items if item["pk"]["S"].startswith("LOG#")]
    return {
        "Records": [
            {"eventName": "INSERT", "dynamodb": {"NewImage": item, "SequenceNumber": str(number)}}
            for number, item in enumerate(logged)
        ]
    }


def sqs_event(app: App) -> dict[str, Any]:
    batch = golden_input("queues/mail_batch")
    pattern = batch["Records"][0]
    mails = [mail.model_dump_json() for mail in drain(app)]
    return {"Records": [pattern | {"messageId": f"id-{at}", "body": body} for at, body in enumerate(mails)]}


class TestTheWholeTrip:
    def test_from_a_signed_webhook_to_a_mail_and_its_bounce(
        self, app: App, told: Told, wire: Wire, clock: Clock
    ) -> None:
        delivery = golden("slack.team_join")
        clock.now = delivery.received_at
        headers = sign("slack", delivery.headers, delivery.body, secret="a-signing-secret", now=clock.now)
        posted_to = {"pathParameters": {"platform": "slack"}, "headers": headers, "body": delivery.body.decode()}
        assert webhooks.handler(posted_to, Context())["statusCode"] == 202
        assert failures(react.handler(log_item_to_stream(app), Context())) == []
        onboarding.handler({}, Context())
        assert failures(mailer.handler(sqs_event(app), Context())) == []
        [mail] = wire.mails
        [line] = told.logged()[-1:]
        assert line["status"] == SendStatus.SENT
        event = golden_input("ses/bounce_permanent")
        event["detail"]["mail"]["tags"]["send"] = [mail["EmailTags"][0]["Value"]]
        mail_feedback.handler(event, Context())
        member_id = SendId.parse(line["send_id"]).member_id
        assert [one.reason for one in the_member(app, member_id).suppressions.values()] == ["bounce"]
        [address] = mail["Destination"]["ToAddresses"]
        assert address not in told.text()
