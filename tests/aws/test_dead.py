"""Dead letters against real queues, a real stream and the real handlers: tried again, kept, dropped, never lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.stub import Stubber

from functions import mail_feedback, mailer, onboarding, react, reward_notices
from infra import dead
from infra.letters import QUEUES, Letter
from infra.redrive import HELD, Queues, Redrive, StillFails
from shared.app import QUICK, App
from shared.model import Due, Identity, RewardNotice, SendStatus, member_id_of
from tests import ses_events
from tests.aws.conftest import Clock, Run, Wire
from tests.aws.test_functions import Context
from tests.aws.test_operate import a_stack
from tests.builders import JOINED, a_member, a_planned_mail, a_send, an_enrolment, at, joined, posted
from tests.store.test_facts import a_reward
from tests.unit.test_letters import ARN, NAME, failed_batch, failed_invocation

ADA = member_id_of(Identity("slack", "U1"))
REACT = "Flywheel-react1A2B-xYz"
OURS = (REACT, NAME, NAME.replace("onboarding", "mail_feedback"))


@pytest.fixture
def urls(app: App) -> dict[str, str]:
    """Queues for dead letters, and those that letters go back to, by the outputs that name them."""
    sqs = boto3.client("sqs", region_name=None, config=QUICK)
    made = {f"{name}QueueUrl": sqs.create_queue(QueueName=f"{name}-{uuid4().hex}")["QueueUrl"] for name in QUEUES}
    ours = app.settings
    told = {"MailQueueUrl": ours.mail_queue_url, "RewardQueueUrl": ours.reward_queue_url, "Functions": ",".join(OURS)}
    return made | told


@pytest.fixture
def queues(urls: dict[str, str]) -> Queues:
    return Queues(boto3.client("sqs", region_name=None, config=QUICK), urls, wait=0)


@pytest.fixture
def stream(app: App) -> str:
    """The stream of the test's table, switched on."""
    told = boto3.client("dynamodb").update_table(
        TableName=app.settings.table,
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    arn: str = told["TableDescription"]["LatestStreamArn"]
    return arn


@pytest.fixture
def invoked(app: App, monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    """What functions were given."""
    monkeypatch.setattr(react, "app", lambda: app)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Flywheel")
    return []


@pytest.fixture
def again(app: App, queues: Queues, invoked: list[Mapping[str, Any]]) -> Redrive:
    """Everything needed to try letters again; whatever is invoked is noted, and `react` is the real one."""

    def invoke(function: str, payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
        invoked.append(payload)
        return react.handler(dict(payload), Context()) if function == REACT else None

    streams = boto3.client("dynamodbstreams", region_name=None, config=QUICK)
    return Redrive(queues=queues, streams=streams, invoke=invoke, store=app.store, functions=OURS)


def put(urls: Mapping[str, str], queue: str, body: object, **attributes: str) -> None:
    boto3.client("sqs").send_message(
        QueueUrl=urls[f"{queue}QueueUrl"],
        MessageBody=body if isinstance(body, str) else json.dumps(body),
        MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
    )


def bodies(url: str) -> list[str]:
    got = boto3.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
    return [message["Body"] for message in got.get("Messages", [])]


def redrive_all(again: Redrive) -> list[str]:
    with again.queues.letters(held=HELD) as letters:
        return [again.redrive(letter) for letter in letters]


def a_batch(stream: str, **changes: Any) -> dict[str, Any]:
    """The letter of everything that the stream holds now."""
    streams = boto3.client("dynamodbstreams", region_name=None, config=QUICK)
    [shard] = streams.describe_stream(StreamArn=stream)["StreamDescription"]["Shards"]
    place = {"StreamArn": stream, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    records = streams.get_records(ShardIterator=streams.get_shard_iterator(**place)["ShardIterator"])["Records"]
    numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
    told = {
        "streamArn": stream,
        "shardId": shard["ShardId"],
        "startSequenceNumber": numbers[0],
        "endSequenceNumber": numbers[-1],
        "batchSize": len(numbers),
    }
    letter = failed_batch(**told | changes)
    letter["requestContext"]["functionArn"] = ARN.replace(NAME, REACT)
    return letter


def came_at(moment: datetime, **changes: Any) -> dict[str, Any]:
    """That a batch's records came into the stream then."""
    until = (moment + timedelta(seconds=2)).isoformat()
    return {"approximateArrivalOfFirstRecord": moment.isoformat(), "approximateArrivalOfLastRecord": until, **changes}


@contextmanager
def trimmed(again: Redrive) -> Iterator[None]:
    """The stream a day later."""
    with Stubber(again.streams) as stubber:
        stubber.add_client_error("get_shard_iterator", "TrimmedDataAccessException")
        yield


def what_is_due(app: App) -> list[Due]:
    """The agenda, but for how often somebody was told to look again."""
    return [due.model_copy(update={"version": 0}) for due in app.store.agenda()]


class TestRedrive:
    def test_a_mail_is_in_its_queue_and_its_letter_gone(self, again: Redrive, urls: dict[str, str]) -> None:
        mail = a_planned_mail("welcome").model_dump_json()
        put(urls, "DeadMail", mail)
        assert redrive_all(again) == [f"the mail welcome, {a_planned_mail('welcome').send_id}: back in its queue"]
        assert (bodies(urls["MailQueueUrl"]), bodies(urls["DeadMailQueueUrl"])) == ([mail], [])

    @pytest.mark.shows(12)
    def test_a_lost_batch_is_reacted_to_from_the_log(
        self, again: Redrive, urls: dict[str, str], stream: str, app: App
    ) -> None:
        app.store.log([joined(actor="U1", id="slack:Ev1"), joined(actor="U2", id="slack:Ev2")])
        put(urls, "DeadLog", a_batch(stream))
        assert app.store.member(ADA) is None
        assert redrive_all(again) == ["2 events reacted to again"]
        assert app.store.member(ADA) is not None
        assert bodies(urls["DeadLogQueueUrl"]) == []

    @pytest.mark.shows(12)
    def test_a_batch_twice_redriven_changes_nothing_more(
        self, again: Redrive, urls: dict[str, str], stream: str, app: App
    ) -> None:
        app.store.log([joined(actor="U1", id="slack:Ev1")])
        letter = a_batch(stream)
        put(urls, "DeadLog", letter)
        redrive_all(again)
        before = (app.store.member(ADA), what_is_due(app))
        put(urls, "DeadLog", letter)
        assert redrive_all(again) == ["1 event reacted to again"]
        assert (app.store.member(ADA), what_is_due(app)) == before

    def test_only_records_of_the_batch_are_taken(
        self, again: Redrive, urls: dict[str, str], stream: str, app: App, invoked: list[Mapping[str, Any]]
    ) -> None:
        app.store.log([joined(actor="U1", id="slack:Ev1")])
        letter = a_batch(stream)
        app.store.log([joined(actor="U2", id="slack:Ev2")])
        put(urls, "DeadLog", letter)
        redrive_all(again)
        assert [len(payload["Records"]) for payload in invoked] == [1]

    def test_an_old_batch_is_found_by_when_it_came(
        self, again: Redrive, urls: dict[str, str], stream: str, app: App
    ) -> None:
        late = joined(actor="U1", id="slack:Ev1", occurred_at=JOINED - timedelta(days=3), received_at=JOINED)
        before = joined(actor="U2", id="slack:Ev2", received_at=JOINED - timedelta(hours=1))
        app.store.log([late, before])
        put(urls, "DeadLog", a_batch(stream, **came_at(JOINED, batchSize=1)))
        with trimmed(again):
            assert redrive_all(again) == ["1 event reacted to again"]
        assert app.store.member(ADA) is not None

    @pytest.mark.parametrize("moment", [JOINED, at("2030-01-02T00:00Z")], ids=["at noon", "at midnight"])
    def test_what_happened_long_before_it_came_is_found_though_others_came_with_it(
        self, again: Redrive, urls: dict[str, str], stream: str, app: App, moment: datetime
    ) -> None:
        historic = joined(actor="U1", id="slack:Ev1", occurred_at=moment - timedelta(days=900), received_at=moment)
        app.store.log([historic])
        letter = a_batch(stream, **came_at(moment))
        soon = moment + timedelta(minutes=3)
        app.store.log([posted(actor="U2", at=soon)])  # which reacted well
        put(urls, "DeadLog", letter)
        with trimmed(again):
            assert redrive_all(again) == ["2 events reacted to again"]
        assert app.store.member(ADA) is not None

    def test_of_an_old_batch_what_the_log_has_is_reacted_to_and_the_letter_stays_for_the_rest(
        self, again: Redrive, urls: dict[str, str], stream: str, app: App
    ) -> None:
        app.store.log([joined(actor="U1", id="slack:Ev1")])
        put(urls, "DeadLog", a_batch(stream, **came_at(JOINED, batchSize=2)))
        told = "which 2 events they were; the 1 event of the log .* may not be all: see docs/runbooks/dead-letters.md"
        with trimmed(again), pytest.raises(StillFails, match=told):
            redrive_all(again)
        assert app.store.member(ADA) is not None
        assert len(bodies(urls["DeadLogQueueUrl"])) == 1

    def test_what_was_erased_meanwhile_is_not_brought_back(
        self, again: Redrive, urls: dict[str, str], stream: str, app: App, invoked: list[Mapping[str, Any]]
    ) -> None:
        app.store.log([joined(actor="U1", id="slack:Ev1")])
        letter = a_batch(stream)
        [item] = boto3.client("dynamodb").scan(TableName=app.settings.table)["Items"]
        boto3.client("dynamodb").delete_item(
            TableName=app.settings.table, Key={name: item[name] for name in ("pk", "sk")}
        )
        put(urls, "DeadLog", letter)
        assert redrive_all(again) == ["0 events reacted to again"]
        assert invoked == []

    def test_a_letter_that_fails_again_stays(
        self, again: Redrive, urls: dict[str, str], stream: str, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app.store.log([joined(actor="U1", id="slack:Ev1")])
        put(urls, "DeadLog", a_batch(stream))
        with monkeypatch.context() as broken:
            broken.setattr(app.store, "create_member", _away)
            with pytest.raises(StillFails, match="1 of 1 events failed again"):
                redrive_all(again)
        assert redrive_all(again) == ["1 event reacted to again"]

    def test_a_tick_is_given_to_its_function(
        self, again: Redrive, urls: dict[str, str], invoked: list[Mapping[str, Any]]
    ) -> None:
        put(urls, "DeadSchedules", {"scheduled_time": "2030-01-02T03:04:00Z"}, TARGET_ARN=ARN)
        assert redrive_all(again) == ["Flywheel-onboarding1A2B-xYz: the tick of 2030-01-02T03:04:00Z: done"]
        assert invoked == [{}]
        assert bodies(urls["DeadSchedulesQueueUrl"]) == []

    def test_a_letter_cannot_name_a_function_of_others(
        self, again: Redrive, urls: dict[str, str], invoked: list[Mapping[str, Any]]
    ) -> None:
        payroll = "arn:aws:lambda:eu-west-1:111122223333:function:payroll"
        put(urls, "DeadSchedules", {"scheduled_time": "2030-01-02T03:04:00Z"}, TARGET_ARN=payroll)
        with pytest.raises(StillFails, match="payroll is no function of this stack"):
            redrive_all(again)
        assert invoked == []

    def test_nor_one_of_another_stack_whose_name_begins_as_ours(
        self, again: Redrive, urls: dict[str, str], invoked: list[Mapping[str, Any]]
    ) -> None:
        theirs = ARN.replace(NAME, "Flywheel-staging-onboarding1A2B-xYz")
        put(urls, "DeadSchedules", failed_invocation({"scheduled_time": "x"}), TARGET_ARN=theirs)  # names ours itself
        put(urls, "DeadSchedules", {"scheduled_time": "x"}, TARGET_ARN=theirs)
        with again.queues.letters() as letters:
            told = [_redriven(again, letter) for letter in letters]
        assert sorted(told) == [
            f"{NAME}: the tick of x: done",
            "Flywheel-staging-onboarding1A2B-xYz is no function of this stack",
        ]
        assert invoked == [{}]

    def test_whose_account_a_function_is_in_is_not_for_a_letter_to_say(
        self, again: Redrive, urls: dict[str, str]
    ) -> None:
        names: list[str] = []
        given = replace(again, invoke=lambda function, _: names.append(function))
        put(urls, "DeadSchedules", {"scheduled_time": "x"}, TARGET_ARN=ARN.replace("111122223333", "999999999999"))
        redrive_all(given)
        assert names == [NAME]

    def test_more_letters_than_a_page_are_all_received(self, queues: Queues, urls: dict[str, str]) -> None:
        for number in range(23):
            put(urls, "DeadMail", a_planned_mail("welcome", send_id=f"a/b/m/{number}").model_dump_json())
        for _ in range(2):  # and once they have been looked at, they can be again
            with queues.letters() as letters:
                assert len({letter.id for letter in letters}) == 23

    @pytest.mark.parametrize("gone", [True, False])
    def test_letters_that_reappear_meanwhile_end_the_receiving(
        self, queues: Queues, urls: dict[str, str], *, gone: bool
    ) -> None:
        """Held for no time at all, as many letters are by the time the last of them is received."""
        for number in range(3):
            put(urls, "DeadMail", a_planned_mail("welcome", send_id=f"a/b/m/{number}").model_dump_json())
        with queues.letters(["DeadMail"], held=0) as letters:
            assert len({letter.id for letter in letters}) == len(letters) == 3
            if gone:
                for letter in letters:
                    queues.delete(letter)
        assert len(bodies(urls["DeadMailQueueUrl"])) == (0 if gone else 3)

    def test_no_more_letters_are_received_than_can_be_held(self, queues: Queues, urls: dict[str, str]) -> None:
        for number in range(13):
            put(urls, "DeadMail", a_planned_mail("welcome", send_id=f"a/b/m/{number}").model_dump_json())
        put(urls, "DeadReward", "{}")
        with replace(queues, most=10).letters() as letters:
            assert Counter(letter.queue for letter in letters) == {"DeadMail": 10, "DeadReward": 1}


class TestTwice:
    """A letter that is redriven and one more of the same change nothing that the first has not."""

    @pytest.fixture
    def again(self, app: App, queues: Queues, monkeypatch: pytest.MonkeyPatch) -> Redrive:
        """Everything needed to try letters again, with the real functions."""
        for function in (mail_feedback, mailer, onboarding, reward_notices):
            monkeypatch.setattr(function, "app", lambda: app)
        monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Flywheel")

        def invoke(function: str, payload: Mapping[str, Any]) -> None:
            which = mail_feedback if "mail_feedback" in function else onboarding
            which.handler(dict(payload), Context())

        streams = boto3.client("dynamodbstreams", region_name=None, config=QUICK)
        return Redrive(queues=queues, streams=streams, invoke=invoke, store=app.store, functions=OURS)

    def test_a_mail_goes_once(self, again: Redrive, urls: dict[str, str], app: App, clock: Clock, wire: Wire) -> None:
        clock.now = at("2030-01-02T09:00Z")
        app.store.create_member(a_member())
        letter = a_planned_mail("welcome", planned_at=clock.now).model_dump_json()
        for _ in range(2):
            put(urls, "DeadMail", letter)
            redrive_all(again)
            worked_off(urls["MailQueueUrl"], mailer)
        assert len(wire.mails) == 1
        assert bodies(urls["MailQueueUrl"]) == []

    def test_a_reward_is_told_of_once(self, again: Redrive, urls: dict[str, str], app: App, wire: Wire) -> None:
        app.store.create_member(a_member())
        app.store.grant(a_reward())
        letter = RewardNotice(member_id=a_member().id, rule="badge", about="granted").model_dump_json()
        for _ in range(2):
            put(urls, "DeadReward", letter)
            redrive_all(again)
            worked_off(urls["RewardQueueUrl"], reward_notices)
        assert len(wire.bus) == 1
        assert len(bodies(urls["MailQueueUrl"])) == 1

    def test_a_tick_takes_what_is_due_once(self, again: Redrive, urls: dict[str, str], app: App, clock: Clock) -> None:
        clock.now = at("2030-01-02T09:00Z")
        app.store.create_member(a_member())
        app.store.arm(an_enrolment())
        for _ in range(2):
            put(urls, "DeadSchedules", {"scheduled_time": "2030-01-02T09:00:00Z"}, TARGET_ARN=ARN)
            redrive_all(again)
        assert len(bodies(urls["MailQueueUrl"])) == 1

    def test_a_bounce_is_noted_once(self, again: Redrive, urls: dict[str, str], app: App, clock: Clock) -> None:
        clock.now = at("2030-01-01T12:10Z")
        app.store.create_member(a_member())
        app.store.skip(a_send("welcome", status=SendStatus.SENT))
        bounce = ses_events.event("bounce_permanent")
        function = ARN.replace("onboarding", "mail_feedback")
        seen: list[tuple[Any, Any]] = []
        for _ in range(2):
            put(urls, "DeadFeedback", bounce, TARGET_ARN=function)
            redrive_all(again)
            seen.append((app.store.member(a_member().id), app.store.ledger(a_member().id).sends))
        assert seen[0] == seen[1]
        assert seen[0][0].suppressions
        assert app.store.pulse("bounce", JOINED, JOINED + timedelta(days=30)) == 1


def worked_off(url: str, function: Any) -> None:
    """Give a queue's messages to the function that reads it, and take them out."""
    sqs = boto3.client("sqs")
    for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        record = {"messageId": message["MessageId"], "body": message["Body"], "eventSource": "aws:sqs"}
        answer = function.handler({"Records": [record | {"attributes": {}, "messageAttributes": {}}]}, Context())
        assert answer == {"batchItemFailures": []}
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


class TestCommands:
    @pytest.fixture(autouse=True)
    def cloudformation(self, urls: dict[str, str]) -> Iterator[None]:
        with Stubber(boto3.client("cloudformation", region_name=None, config=QUICK)) as stubber:
            for _ in range(3):
                stubber.add_response("describe_stacks", a_stack(**urls), {"StackName": "Flywheel"})
            yield

    @pytest.fixture
    def run(self, flywheel: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
        """Runs `flywheel dead` on the test's table and queues; its exit code, and what it said."""
        monkeypatch.setattr(dead, "WAIT", 0)

        return partial(flywheel, "dead")

    def the_letters(self, run: Run) -> list[dict[str, str]]:
        code, said, _ = run("list", "--json")
        assert code == 0
        found: list[dict[str, str]] = json.loads(said)
        return found

    def test_no_letters_are_a_sentence(self, run: Run) -> None:
        assert run("list") == (0, "There are no dead letters.\n", "")

    def test_the_list_tells_ids_and_no_person(self, run: Run, urls: dict[str, str]) -> None:
        put(urls, "DeadFeedback", failed_invocation(_bounce()))
        put(urls, "DeadMail", a_planned_mail("welcome").model_dump_json())
        letters = self.the_letters(run)
        assert [letter["queue"] for letter in letters] == ["DeadFeedback", "DeadMail"]
        code, said, _ = run("list")
        assert (code, "ada@example.com" in said, letters[0]["id"][:8] in said) == (0, False, True)

    def test_that_there_may_be_more_letters_is_told(
        self, run: Run, urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dead, "Queues", partial(Queues, most=1))
        put(urls, "DeadMail", "not a mail")
        code, said, aside = run("list", "--json")
        assert (code, len(json.loads(said))) == (0, 1)
        assert aside == "DeadMail may hold more than these 1 letters; run it again afterwards.\n"

    def test_a_letter_is_shown_whole(self, run: Run, urls: dict[str, str]) -> None:
        put(urls, "DeadFeedback", _bounce(), TARGET_ARN=ARN)
        [letter] = self.the_letters(run)
        code, said, _ = run("show", letter["id"][:6])
        shown = json.loads(said)
        assert (code, shown["body"], shown["attributes"]) == (0, _bounce(), {"TARGET_ARN": ARN})

    def test_all_mails_are_sent_back(self, run: Run, urls: dict[str, str], wire: Wire) -> None:
        put(urls, "DeadMail", a_planned_mail("welcome").model_dump_json())
        put(urls, "DeadReward", {"member_id": "m1", "rule": "first_friend", "about": "granted"})
        code, said, _ = run("redrive", "--queue", "DeadMail")
        assert (code, "back in its queue" in said) == (0, True)
        assert [len(bodies(urls[f"{name}QueueUrl"])) for name in ("Mail", "DeadMail", "DeadReward")] == [1, 0, 1]
        assert wire.requests["Invoke"] == 0

    def test_a_letter_nobody_understands_stays_and_is_told(self, run: Run, urls: dict[str, str]) -> None:
        put(urls, "DeadMail", "not a mail")
        code, said, _ = run("redrive", "--all")
        assert (code, "stays" in said, "flywheel dead show" in said) == (1, True, True)
        assert bodies(urls["DeadMailQueueUrl"]) == ["not a mail"]

    def test_which_letters_must_be_said(self, run: Run) -> None:
        code, _, said = run("redrive")
        assert (code, "say which" in said) == (2, True)

    def test_a_queue_that_is_none_is_a_sentence(self, run: Run) -> None:
        code, _, said = run("drop", "--queue", "Mail")
        assert (code, "there is no queue 'Mail'; there are DeadMail, DeadReward" in said) == (2, True)

    def test_an_id_that_means_none_is_a_sentence(self, run: Run) -> None:
        code, _, said = run("show", "0000")
        assert (code, "'0000' is no letter" in said) == (2, True)

    def test_an_id_that_means_several_is_a_sentence(self, run: Run, urls: dict[str, str]) -> None:
        put(urls, "DeadMail", a_planned_mail("welcome").model_dump_json())
        put(urls, "DeadMail", a_planned_mail("survey").model_dump_json())
        code, _, said = run("drop", "")
        assert (code, "means several letters" in said) == (2, True)

    def test_dropping_asks_and_no_means_no(self, run: Run, urls: dict[str, str]) -> None:
        put(urls, "DeadMail", a_planned_mail("welcome").model_dump_json())
        assert run("drop", "--all", answer="n\n")[0] == 1
        assert len(bodies(urls["DeadMailQueueUrl"])) == 1
        code, said, _ = run("drop", "--all", "--yes")
        assert (code, said.endswith("Thrown away.\n")) == (0, True)
        assert bodies(urls["DeadMailQueueUrl"]) + bodies(urls["MailQueueUrl"]) == []


def _bounce() -> dict[str, Any]:
    destination = {"mail": {"destination": ["ada@example.com"]}}
    return {"source": "aws.ses", "detail-type": "Email Bounced", "detail": destination}


def _redriven(again: Redrive, letter: Letter) -> str:
    try:
        return again.redrive(letter)
    except StillFails as exc:
        return str(exc)


def _away(*_: Any) -> bool:
    raise RuntimeError("away")
