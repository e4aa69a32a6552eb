"""One call to SES and an honest answer: accepted, refused, surely not sent, or in doubt."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import pairwise
from time import sleep
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    SSLError,
)
from hypothesis import given
from hypothesis import strategies as st

from shared.app import ONCE
from shared.mail import Attachment, Composed
from shared.model import SendId
from shared.ses import SECOND, Outcome, Pace, Ses
from tests.builders import a_member

SEND_ID = SendId("onboarding", "welcome", a_member().id)
URL = "https://email.example.com"
MAIL = Composed(
    sender="Mira <hello@community.example.com>",
    reply_to=None,
    to="Ada <ada@example.com>",
    address="ada@example.com",
    subject="Добро пожаловать",
    html="<p>Hi</p>",
    text="Hi",
    locale="ru",
    variant=None,
    headers={"List-Unsubscribe": "<https://links.example.com/l/u/t>"},
)


class Post:
    """The far end of the wire: answers as it is told, and counts how often it was asked."""

    def __init__(self) -> None:
        self.answer: Callable[[], AWSResponse] = lambda: _reply(200, {"MessageId": "ses-1"})
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: Any, **_: Any) -> AWSResponse:
        self.asked.append(json.loads(request.body))
        return self.answer()


@cache
def _client() -> tuple[Any, Post]:
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="eu-west-1")
    client, post = session.client("sesv2", config=ONCE), Post()
    client.meta.events.register_first("before-send.sesv2.*", post)
    return client, post


@pytest.fixture
def post() -> Post:
    _, post = _client()
    post.__init__()  # type: ignore[misc]
    return post


def _reply(status: int, body: dict[str, str], code: str = "") -> AWSResponse:
    class Reply(AWSResponse):  # type: ignore[misc, unused-ignore]
        content = json.dumps(body).encode()

    return Reply(URL, status, {"x-amzn-errortype": code} if code else {}, None)  # type: ignore[arg-type]


def send(mail: Composed = MAIL) -> Outcome:
    client, _ = _client()
    return Ses(client, "flywheel").send(mail, SEND_ID)


def fails(post: Post, error: Exception) -> None:
    def answer() -> AWSResponse:
        raise error

    post.answer = answer


class TestAccepted:
    def test_an_accepted_mail_has_its_message_id(self, post: Post) -> None:
        post.answer = lambda: _reply(200, {"MessageId": "ses-7"})
        assert send() == Outcome("accepted", "ses-7")

    def test_what_ses_is_given_is_the_mail_its_tag_and_its_set(self, post: Post) -> None:
        send()
        [asked] = post.asked
        simple = asked["Content"]["Simple"]
        assert asked["EmailTags"] == [{"Name": "send", "Value": f"onboarding-welcome-{a_member().id}-1"}]
        assert asked["ConfigurationSetName"] == "flywheel"
        assert simple["Subject"] == {"Data": "Добро пожаловать", "Charset": "UTF-8"}
        assert set(simple["Body"]) == {"Text", "Html"}
        assert simple["Headers"] == [{"Name": "List-Unsubscribe", "Value": "<https://links.example.com/l/u/t>"}]

    def test_a_picture_goes_inline_and_a_file_beside_the_mail(self, post: Post) -> None:
        picture = Attachment(name="active.png", media_type="image/png", content=b"\x89PNG", content_id="chart-active")
        file = Attachment(name="figures.csv", media_type="text/csv", content="имя".encode())
        send(replace(MAIL, attachments=[picture, file]))
        inline, beside = post.asked[0]["Content"]["Simple"]["Attachments"]
        assert (inline["ContentDisposition"], inline["ContentId"]) == ("INLINE", "chart-active")
        assert (beside["ContentDisposition"], beside["FileName"]) == ("ATTACHMENT", "figures.csv")
        assert "ContentId" not in beside
        assert b64decode(inline["RawContent"]) == b"\x89PNG"

    def test_a_mail_without_files_has_no_attachments(self, post: Post) -> None:
        send()
        assert "Attachments" not in post.asked[0]["Content"]["Simple"]

    def test_a_send_id_survives_its_tag(self) -> None:
        assert SendId.parse(SEND_ID.tag) == SendId.parse(str(SEND_ID)) == SEND_ID


class TestNotAccepted:
    @pytest.mark.shows(27)
    @pytest.mark.parametrize("code", ["MessageRejected", "BadRequestException"])
    def test_a_mail_that_ses_will_not_have_is_refused(self, post: Post, code: str) -> None:
        post.answer = lambda: _reply(400, {"message": "no"}, code)
        assert send() == Outcome("refused", code)

    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (429, "TooManyRequestsException"),
            (400, "LimitExceededException"),
            (400, "SendingPausedException"),
            (400, "AccountSuspendedException"),
            (400, "MailFromDomainNotVerifiedException"),
            (404, "NotFoundException"),
            (403, "AccessDeniedException"),
            (403, "ExpiredTokenException"),
        ],
    )
    def test_an_answer_about_us_and_not_the_mail_is_surely_not_sent(self, post: Post, status: int, code: str) -> None:
        post.answer = lambda: _reply(status, {"message": "no"}, code)
        assert send() == Outcome("not_sent", code)

    @pytest.mark.parametrize(
        "error", [ConnectTimeoutError(endpoint_url=URL), EndpointConnectionError(endpoint_url=URL)], ids=repr
    )
    def test_a_connection_that_never_stood_sent_nothing(self, post: Post, error: Exception) -> None:
        fails(post, error)
        assert send() == Outcome("not_sent", type(error).__name__)

    @pytest.mark.parametrize(
        "error",
        [
            ReadTimeoutError(endpoint_url=URL),
            ConnectionClosedError(endpoint_url=URL),
            SSLError(endpoint_url=URL, error=OSError("eof")),
        ],
        ids=repr,
    )
    def test_a_reply_that_was_lost_leaves_doubt(self, post: Post, error: Exception) -> None:
        fails(post, error)
        assert send() == Outcome("in_doubt", type(error).__name__)

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    def test_a_server_s_fault_leaves_doubt(self, post: Post, status: int) -> None:
        post.answer = lambda: _reply(status, {"message": "oops"}, "InternalFailure")
        assert send() == Outcome("in_doubt", "InternalFailure")

    @pytest.mark.shows(25)
    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_ses_is_asked_exactly_once_whatever_it_answers(self, post: Post, status: int) -> None:
        post.answer = lambda: _reply(status, {"message": "no"}, "TooManyRequestsException")
        send()
        assert len(post.asked) == 1

    def test_a_lost_reply_is_not_asked_for_again(self, post: Post) -> None:
        fails(post, ReadTimeoutError(endpoint_url=URL))
        send()
        assert len(post.asked) == 1

    def test_a_fault_of_our_own_is_raised(self, post: Post) -> None:
        fails(post, NoCredentialsError())
        with pytest.raises(NoCredentialsError):
            send()


class Watch:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class TestPace:
    def test_the_first_mail_goes_at_once(self) -> None:
        watch = Watch()
        Pace(0.5, monotonic=lambda: watch.now, sleep=watch.sleep).wait()
        assert watch.slept == []

    def test_a_second_s_mails_go_at_once_and_the_next_one_waits_for_the_first_to_be_past(self) -> None:
        watch = Watch()
        pace = Pace(4, monotonic=lambda: watch.now, sleep=watch.sleep)
        for _ in range(4):
            pace.wait()
        watch.now += 0.5
        pace.wait()
        assert watch.slept == [pytest.approx(SECOND - 0.5)]

    def test_below_one_a_second_each_mail_waits_for_the_one_before(self) -> None:
        watch = Watch()
        pace = Pace(0.5, monotonic=lambda: watch.now, sleep=watch.sleep)
        for _ in range(3):
            pace.wait()
        assert watch.slept == [pytest.approx(2 * SECOND)] * 2

    def test_an_idle_hour_is_not_saved_up_for_a_burst(self) -> None:
        watch = Watch()
        pace = Pace(2, monotonic=lambda: watch.now, sleep=watch.sleep)
        pace.wait()
        watch.now += 3600
        for _ in range(3):
            pace.wait()
        assert watch.slept == [pytest.approx(SECOND)]

    def test_what_a_batch_left_of_a_second_is_there_for_the_next(self) -> None:
        watch = Watch()
        pace = Pace(10, monotonic=lambda: watch.now, sleep=watch.sleep)
        for _ in range(10):
            for _ in range(10):
                pace.wait()
                watch.now += 0.07
            watch.now += 0.2  # between two batches
        assert watch.now - 1000 == pytest.approx(10 * SECOND, abs=0.5)

    def test_a_mail_that_woke_late_counts_from_then(self) -> None:
        watch = Watch()
        pace = Pace(1, monotonic=lambda: watch.now, sleep=lambda seconds: watch.sleep(seconds + 0.3))
        gone = []
        for _ in range(3):
            pace.wait()
            gone.append(watch.now)
        assert min(later - earlier for earlier, later in pairwise(gone)) >= SECOND

    def test_threads_wait_in_turn(self) -> None:
        watch = Watch()

        def slowly(seconds: float) -> None:
            sleep(0.01)  # long enough for every other thread to come by
            watch.sleep(seconds)

        pace = Pace(20, monotonic=lambda: watch.now, sleep=slowly)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: pace.wait(), range(45)))
        assert watch.slept == [pytest.approx(SECOND)] * 2

    @given(
        rate=st.floats(0.1, 20),
        pauses=st.lists(st.floats(0, 0.3), min_size=2, max_size=60),
    )
    def test_no_second_holds_more_mails_than_the_rate(self, rate: float, pauses: list[float]) -> None:
        watch = Watch()
        pace = Pace(rate, monotonic=lambda: watch.now, sleep=watch.sleep)
        gone = []
        for pause in pauses:
            watch.now += pause
            pace.wait()
            gone.append(watch.now)
        most = max(1, int(rate))
        apart = [later - earlier for earlier, later in zip(gone, gone[most:], strict=False)]
        assert min(apart, default=9) > max(1, 1 / rate)
