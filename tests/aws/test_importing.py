"""`flywheel import`: history comes into the log once, and sets off no burst; a bad file changes nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from infra import history, importing
from infra.exports import LeftOut
from infra.operate import region
from shared.agenda import tick as settle
from shared.app import QUICK, App
from shared.events import EVENT
from shared.experiments import group_of
from shared.forgetting import forget
from shared.model import Identity, member_id_of
from shared.programmes import PROGRAMMES
from shared.react import react
from tests.aws.conftest import Run, Wire, _Canned
from tests.aws.days import HOUR, figures, joins, tick
from tests.aws.test_requests import drain
from tests.builders import at
from tests.exports import Export, as_exported, export, told_live

NOW = at("2030-06-01T12:00Z")
TEN_O_CLOCK = at("2030-06-01T10:00+02:00")
A_DAY = timedelta(days=1)
LOGGED_OF_SLACK = 7


@pytest.fixture
def run(flywheel: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `flywheel import` at a fixed time; moto is not safe under threads, so there is one writer."""
    monkeypatch.setattr(importing, "now_of", lambda _: NOW)
    monkeypatch.setattr(importing, "_here", lambda: NOW)
    monkeypatch.setattr(history, "PAUSES", (0.0,))

    def imported(platform: str, *arguments: Any) -> tuple[int | str, str, str]:
        code, said, complaint = flywheel("import", platform, *map(str, arguments), "--writers", "1")
        return code, " ".join(said.split()), " ".join(complaint.split())

    return imported


def log_of(app: App) -> list[dict[str, Any]]:
    """Every event of the log."""
    pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName=app.settings.table)
    items = [item for page in pages for item in page["Items"] if item["pk"]["S"].startswith("LOG#")]
    return [json.loads(item["event"]["S"]) for item in items]


def react_to_all(app: App, now: datetime = NOW) -> None:
    """What the table's stream does with what was logged."""
    events = [EVENT.validate_python(one) for one in log_of(app)]
    for begin in range(0, len(events), 100):
        assert react(events[begin : begin + 100], app, now) == {}


def a_line(kind: str, actor: str, moment: datetime, **told: Any) -> str:
    who = {"id": actor, "email": f"{actor}@example.com", "timezone": "Europe/Berlin"}
    return json.dumps({"type": kind, "timestamp": moment.isoformat(), "data": {"actor": who, **told}})


def a_history(folder: Path, *lines: str) -> Path:
    path = folder / "events.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


THROTTLED = _Canned(
    400,
    {"x-amzn-requestid": "1"},
    b'{"__type": "com.amazonaws.dynamodb#ProvisionedThroughputExceededException"}',
)


@contextmanager
def answering_puts(answer: Callable[[], AWSResponse | None]) -> Iterator[None]:
    """Let this answer the command's puts, or with None the table itself."""
    events = boto3.client("dynamodb", region_name=region(), config=QUICK).meta.events  # the command's own client
    hook = "before-send.dynamodb.PutItem"

    def answered(**_: Any) -> AWSResponse | None:
        return answer()

    events.register_first(hook, answered)
    try:
        yield
    finally:
        events.unregister(hook, answered)


class TestLogging:
    def test_twice_is_once(self, app: App, run: Run, tmp_path: Path) -> None:
        paths = export("slack.workspace").written(tmp_path)
        code, said, _ = run("slack", *paths, "--yes")
        assert code == 0
        assert f"Logged {LOGGED_OF_SLACK} events" in said
        before = log_of(app)
        assert len(before) == LOGGED_OF_SLACK
        code, said, _ = run("slack", *paths, "--yes")
        assert code == 0
        assert "Logged 0 events, " in said
        assert f"{LOGGED_OF_SLACK} stood in the log already" in said
        assert log_of(app) == before

    @pytest.mark.parametrize(
        ("platform", "name", "more"),
        [
            ("discord", "discord.channel", []),
            ("telegram", "telegram.group", ["--bot", "79"]),
            ("discourse", "discourse.user_list", []),
            ("events", "events.lines", []),
        ],
    )
    def test_every_platform_s_export_comes_into_the_log(
        self, app: App, run: Run, tmp_path: Path, platform: str, name: str, more: list[str]
    ) -> None:
        one = Export(**vars(export(name)) | {"now": NOW})
        expected = {event.id for event in one.told(tmp_path) if not isinstance(event, LeftOut)}
        assert run(platform, *one.written(tmp_path), *more, "--yes")[0] == 0
        assert {event["id"] for event in log_of(app)} == expected
        assert {event["received_at"] for event in log_of(app)} == {"2030-06-01T12:00:00Z"}

    def test_a_dry_run_tells_and_writes_nothing(self, wire: Wire, app: App, run: Run, tmp_path: Path) -> None:
        code, said, _ = run("slack", *export("slack.workspace").written(tmp_path), "--dry-run")
        assert code == 0
        assert f"{LOGGED_OF_SLACK} events of 3 people, from 2026-01-01 to 2026-06-01" in said
        assert "2 of bots" in said
        assert "2 messages of private conversations" in said
        assert f"{LOGGED_OF_SLACK} events are older than 400 days" in said
        assert (wire.reads(), wire.writes(), log_of(app)) == (0, 0, [])

    def test_no_is_an_answer(self, app: App, flywheel: Run, tmp_path: Path) -> None:
        paths = map(str, export("events.lines").written(tmp_path))
        code, said, _ = flywheel("import", "events", *paths, "--writers", "1", answer="n\n")
        assert (code, log_of(app)) == (1, [])
        assert "Nothing was logged" in said

    def test_days_that_are_not_asked_for_are_left_out_but_people_are_not(
        self, app: App, run: Run, tmp_path: Path
    ) -> None:
        paths = export("slack.workspace").written(tmp_path)
        assert run("slack", *paths, "--since", "2026-01-03", "--until", "2026-01-03", "--yes")[0] == 0
        assert Counter(event["type"] for event in log_of(app)) == {
            "member.updated": 3,
            "member.left": 1,
            "member.joined": 1,
            "comment.created": 1,
        }

    def test_what_came_by_webhook_is_not_logged_again(self, app: App, run: Run, tmp_path: Path) -> None:
        app.store.log(told_live("slack.message"))
        _, said, _ = run("slack", *as_exported("slack.message").written(tmp_path), "--yes")
        assert "1 stood in the log already" in said
        assert len(log_of(app)) == LOGGED_OF_SLACK + 1

    def test_of_who_was_erased_nothing_comes_back(self, app: App, run: Run, tmp_path: Path) -> None:
        app.store.log([joined := joins("U1", NOW - A_DAY)])
        react([joined], app, NOW - A_DAY)
        ada = app.store.survivor(member_id_of(Identity("slack", "U1")))
        assert ada is not None
        forget(ada, app, NOW - HOUR)
        _, said, _ = run("slack", *export("slack.workspace").written(tmp_path), "--yes")
        assert "3 left out: of people who were erased" in said
        assert "U1" not in {event["actor"] for event in log_of(app)}

    def test_a_throttled_table_is_waited_for(self, app: App, run: Run, tmp_path: Path) -> None:
        answers = iter([THROTTLED] * 3)
        with answering_puts(lambda: next(answers, None)):
            code, _, _ = run("events", *export("events.lines").written(tmp_path), "--yes")
        assert (code, next(answers, None)) == (0, None)
        assert len(log_of(app)) == 2

    @pytest.mark.parametrize(("end", "code_of_it"), [(KeyboardInterrupt(), 130), (THROTTLED, 2)])
    def test_what_breaks_off_goes_on_when_run_again(
        self, app: App, run: Run, tmp_path: Path, end: AWSResponse | KeyboardInterrupt, code_of_it: int
    ) -> None:
        paths = export("slack.workspace").written(tmp_path)
        passed = iter(range(3))

        def answer() -> AWSResponse | None:
            if next(passed, None) is not None:
                return None
            if isinstance(end, KeyboardInterrupt):
                raise end
            return end

        with answering_puts(answer):
            code, _, complaint = run("slack", *paths, "--yes")
        assert code == code_of_it
        assert f"at least 0 of {LOGGED_OF_SLACK} events are logged. Run it again: none is logged twice." in complaint
        held = len(log_of(app))
        assert held in {3, 4}  # moto takes the refused put all the same, as when a reply is lost
        _, said, _ = run("slack", *paths, "--yes")
        assert f"Logged {LOGGED_OF_SLACK - held} events" in said
        assert f"{held} stood in the log already" in said
        assert len(log_of(app)) == LOGGED_OF_SLACK


class TestMistakes:
    @pytest.mark.parametrize(
        ("platform", "name"),
        [
            ("slack", "slack.strange_time"),
            ("discord", "discord.no_offset"),
            ("discord", "discord.cut_off"),
            ("telegram", "telegram.no_unixtime"),
            ("discourse", "discourse.strange_date"),
            ("events", "events.wrong_line"),
        ],
    )
    def test_a_bad_file_is_one_sentence_and_nothing_is_logged(
        self, app: App, run: Run, tmp_path: Path, platform: str, name: str
    ) -> None:
        one = export(name)
        code, _, complaint = run(platform, *one.written(tmp_path), "--yes")
        assert (code, complaint) == (2, f"flywheel: {one.expect['refused']}")
        assert log_of(app) == []

    @pytest.mark.parametrize(
        ("source", "more", "said"),
        [
            ("slack", ["{file}"], "import slack takes one file at a time, and there are 2"),
            ("discord", ["--channel", "general"], "--channel is for slack alone, and this is discord"),
            ("events", ["--bot", "79"], "--bot is for telegram alone, and this is events"),
        ],
    )
    def test_what_a_source_does_not_take_is_one_sentence(
        self, run: Run, tmp_path: Path, source: str, more: list[str], said: str
    ) -> None:
        [file, *_] = export("events.lines").written(tmp_path)
        code, _, complaint = run(source, file, *(one.format(file=file) for one in more), "--dry-run")
        assert (code, complaint) == (2, f"flywheel: {said}")

    def test_a_file_that_is_not_there_is_said(self, run: Run, tmp_path: Path) -> None:
        code, _, complaint = run("telegram", tmp_path / "result.json", "--yes")
        assert code == 2
        assert "result.json" in complaint


class TestWhatItSetsOff:
    PEOPLE = [f"u{number}" for number in range(40)]

    def imported(self, app: App, run: Run, folder: Path, *, days: int = 380) -> None:
        """Forty people who joined long ago, said something then, and have been silent since."""
        long_ago = NOW - days * A_DAY
        lines = [a_line("member.joined", who, long_ago) for who in self.PEOPLE]
        lines += [a_line("post.created", who, long_ago + HOUR, object=f"p-{who}") for who in self.PEOPLE]
        code, said, _ = run("events", a_history(folder, *lines), "--yes")
        assert code == 0
        assert "40 people have been silent for 30 days or more" in said
        react_to_all(app)

    def test_old_members_get_no_onboarding(self, app: App, run: Run, tmp_path: Path) -> None:
        self.imported(app, run, tmp_path)
        assert settle("onboarding", app, NOW + A_DAY) == 0
        assert drain(app) == []

    def test_the_silent_are_asked_a_few_a_day(self, app: App, run: Run, tmp_path: Path) -> None:
        self.imported(app, run, tmp_path)
        a_day: list[int] = []
        for passed in range(1, 33):
            settle("reengagement", app, TEN_O_CLOCK + passed * A_DAY)
            a_day.append(len(drain(app)))
        ids = [member_id_of(Identity("standard", who)) for who in self.PEOPLE]
        assert sum(a_day) == sum(group_of("reengagement", one, 10) == "treated" for one in ids)
        assert max(a_day) <= 6

    def test_a_past_that_was_never_measured_is(self, app: App, run: Run, tmp_path: Path) -> None:
        tick(app, NOW - HOUR)
        self.imported(app, run, tmp_path, days=33)
        assert tick(app, NOW).left == []
        day = (NOW - 33 * A_DAY).date()
        assert figures(app, day)["posts"] == len(self.PEOPLE)
        assert figures(app, day + 32 * A_DAY)["members"] == len(self.PEOPLE)
        assert len(app.store.rollups(day, NOW.date())) == 34

    def test_an_invitation_of_the_past_earns_nothing(self, app: App, run: Run, tmp_path: Path) -> None:
        lines = [
            a_line("member.joined", "u1", NOW - 60 * A_DAY),
            a_line("member.joined", "u2", NOW - 50 * A_DAY, invited_by="u1"),
            a_line("post.created", "u2", NOW - 49 * A_DAY, object="p1"),
            a_line("referral.signed_up", "u2", NOW - 50 * A_DAY, code="abc"),
        ]
        run("events", a_history(tmp_path, *lines), "--yes")
        react_to_all(app)
        assert [due.programme for due in app.store.agenda() if due.programme not in PROGRAMMES] == []
