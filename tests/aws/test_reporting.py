"""Reports as managers get them: made once, kept, mailed once to each, shown behind a link, and made again on demand."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from datetime import date, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import boto3
import pytest

from functions import manager_report
from infra import cli
from infra.reports import period_of
from shared.app import App
from shared.editions import publish
from shared.errors import Unavailable, UsageError
from shared.events import CommentCreated, CommunityEvent, MemberJoined, PostCreated
from shared.links import visit
from shared.metrics import Period
from shared.model import Edition, PlannedMail, SendId, SendStatus, stamp
from shared.pages import Page
from shared.playbook import Playbook, check
from shared.react import react
from shared.report import Facts
from shared.reported import PAGE_KEPT, REPORT
from shared.reporting import facts_of, following, newest
from shared.rolling import roll
from shared.sending import send_planned
from shared.store import keys
from shared.visits import Visit
from tests.aws.conftest import Wire
from tests.aws.test_functions import Context, golden_input
from tests.builders import at, raw_playbook

NIGHT = at("2030-01-14T00:07+01:00")
"""The first tick after the second week of January, in Berlin."""

MONDAY = at("2030-01-14T08:00+01:00")
"""When the report on the second week of January goes out."""

WEEK = Period.of("week", date(2030, 1, 7))
HEAVIEST_HTML = 90_000


def an_event(kind: type[CommunityEvent], who: str, moment: str, **changes: Any) -> CommunityEvent:
    fields: dict[str, Any] = {
        "id": f"{kind.__name__}-{who}-{moment}",
        "occurred_at": at(moment),
        "received_at": at(moment),
        "platform": "slack",
        "actor": who,
    }
    return kind(**fields | changes)


LIFE = [
    *(an_event(MemberJoined, f"U{number}", f"2030-01-0{number}T10:00+01:00") for number in range(1, 9)),
    *(an_event(PostCreated, "U1", f"2030-01-{day:02}T11:00+01:00", object=f"T{day}") for day in range(1, 14)),
    an_event(CommentCreated, "U2", "2030-01-08T13:00+01:00", object="C1", parent="T8"),
    an_event(CommentCreated, "U3", "2030-01-10T11:30+01:00", object="C2", parent="T10"),
]
"""Two weeks of eight people: one joins a day, one opens a thread a day, two of the second week's are answered."""


def live(app: App, *events: CommunityEvent, told: datetime) -> None:
    """Let these things have happened, told of all at once: the days of the past are marked to be measured then."""
    for event in events:
        app.store.log([event])
    assert react(list(events), app, told) == {}


def measure(app: App, now: datetime) -> None:
    """One tick, which measures the day before and every day that is marked."""
    roll(app, now, lambda: 1e9)


@pytest.fixture
def lived(app: App) -> App:
    """An App whose community lived through two weeks, all measured."""
    live(app, *LIFE, told=NIGHT)
    measure(app, NIGHT)
    return app


def a_playbook_with(**reports: Any) -> Playbook:
    raw = raw_playbook()
    raw["managers"]["ada"] = {"name": "Ада", "address": "ada.m@community.example.com", "locale": "ru"}
    raw["reports"] |= reports
    return check(raw, source="playbook")


def facts(app: App, period: Period = WEEK, now: str = "2030-01-14T08:00+01:00") -> Facts:
    return facts_of("weekly", period, store=app.store, playbook=app.playbook, now=at(now))


def queued(app: App) -> list[PlannedMail]:
    got = boto3.client("sqs").receive_message(QueueUrl=app.settings.mail_queue_url, MaxNumberOfMessages=10)
    return [PlannedMail.model_validate_json(message["Body"]) for message in got.get("Messages", [])]


def attached(wire: Wire) -> dict[str, dict[str, Any]]:
    files: list[dict[str, Any]] = wire.mails[-1]["Content"]["Simple"]["Attachments"]
    return {one["FileName"]: one for one in files}


def html(wire: Wire) -> str:
    return str(wire.mails[-1]["Content"]["Simple"]["Body"]["Html"]["Data"])


def get(app: App, path: str, now: Any) -> Page:
    return visit(Visit(method="GET", path=path, query={}, form=b"", language="en"), app, now)


class TestFacts:
    def test_figures_are_those_of_the_week_beside_the_week_before(self, lived: App) -> None:
        told = facts(lived)
        assert (told.figures["members"], told.figures["new_members"], told.figures["threads"]) == (8, 2, 7)
        assert (told.figures["ttfr_median"], told.previous["threads"]) == (75 * 60, 6)
        assert told.figures["response_rate"] == pytest.approx(2 / 7)

    def test_history_begins_with_the_first_day_measured(self, lived: App) -> None:
        told = facts(lived)
        assert told.first_day == date(2030, 1, 1)
        assert [day for day, _ in told.history] == [date(2030, 1, day) for day in range(1, 14)]
        assert [str(week) for week, _ in told.weeks] == ["2030-W01", "2030-W02"]

    def test_a_cohort_is_looked_at_only_when_it_is_old_enough(self, lived: App) -> None:
        first, second = facts(lived).cohorts
        assert (first.members, first.d30) == (6, None)
        assert first.d1 == pytest.approx(1 / 6)
        assert first.d7 == pytest.approx(2 / 6)
        assert (second.members, second.d1) == (2, None)

    def test_days_that_are_not_measured_yet_are_named(self, app: App) -> None:
        the_night_before = NIGHT - timedelta(days=1)
        live(app, *LIFE, told=the_night_before)
        measure(app, the_night_before)
        assert facts(app).missing == (date(2030, 1, 13),)

    def test_a_community_without_any_day_measured_has_no_figures(self, app: App) -> None:
        told = facts(app)
        assert (told.first_day, told.previous, told.history) == (None, {}, ())
        assert told.figures["members"] is None

    def test_what_became_of_each_step_is_counted_from_the_ledger(self, lived: App) -> None:
        step = SendId("onboarding", "welcome", "m" + "1" * 20)
        planned = PlannedMail(send_id=str(step), mail="welcome", planned_at=at("2030-01-08T09:00Z"))
        send_planned(planned, lived, at("2030-01-08T09:00Z"))  # nobody is known by this id
        lived.store.note_feedback(step, "bounce", at("2030-01-08T09:01Z"))
        told = {result.key: result for result in facts(lived).steps}
        assert (told["welcome"].due, told["welcome"].skipped) == (0, 0)  # a mail to nobody is in no count
        assert (facts(lived, WEEK.previous).steps[0].due, facts(lived, following(WEEK)).steps[0].due) == (0, 0)
        assert facts(lived).delivery.sent == 0

    def test_what_comes_due_next_is_counted_from_the_agenda(self, lived: App) -> None:
        due = [item for item in lived.store.agenda() if item.programme == "onboarding"]
        coming = [item for item in due if at("2030-01-14T00:00+01:00") <= item.due_at < at("2030-01-21T00:00+01:00")]
        assert facts(lived).planned["onboarding"] == len(coming)

    def test_newest_period_is_the_last_that_is_over_where_the_community_is(self, app: App) -> None:
        sunday_in_london = at("2030-01-13T23:30Z")  # in Berlin it is Monday
        assert newest("weekly", sunday_in_london, app.playbook) == WEEK
        assert str(newest("daily", sunday_in_london, app.playbook)) == "2030-01-13"
        assert str(newest("monthly", at("2030-03-01T08:00+01:00"), app.playbook)) == "2030-02"


class TestOnce:
    def test_a_report_goes_once_to_each_manager_in_their_language(self, lived: App, wire: Wire) -> None:
        weekly = {"at": "08:00", "weekday": "monday", "to": ["mira", "ada"]}
        lived.playbook = a_playbook_with(weekly=weekly)
        publish("weekly", lived, MONDAY)
        mails = queued(lived)
        assert {mail.send_id for mail in mails} == {
            f"reports/weekly/manager_{name}/2030W02" for name in ("mira", "ada")
        }
        assert [send_planned(mail, lived, MONDAY).status for mail in mails] == [SendStatus.SENT] * 2
        languages = {
            one["Destination"]["ToAddresses"][0]: one["Content"]["Simple"]["Subject"]["Data"] for one in wire.mails
        }
        assert any(re.search("[а-я]", subject) for subject in languages.values())
        assert len(set(languages.values())) == 2

    def test_fired_twice_it_is_made_once_and_sent_once(self, lived: App, wire: Wire) -> None:
        first = publish("weekly", lived, MONDAY)
        puts = wire.requests["PutItem"]
        again = publish("weekly", lived, MONDAY + timedelta(minutes=3))
        assert wire.requests["PutItem"] == puts
        assert [mail.send_id for mail in again] == [mail.send_id for mail in first]
        for mail in [*first, *again]:
            send_planned(mail, lived, MONDAY)
        assert wire.requests["SendEmail"] == 1

    def test_a_crash_before_the_mails_are_planned_costs_nothing(
        self, lived: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url = lived.settings.mail_queue_url
        monkeypatch.setattr(lived.queue, "_url", f"{url}-gone")
        with pytest.raises(Unavailable):
            publish("weekly", lived, MONDAY)
        monkeypatch.setattr(lived.queue, "_url", url)
        assert lived.store.part(Edition("weekly", "2030-W02", "en"), REPORT)
        assert len(publish("weekly", lived, MONDAY)) == 1

    def test_an_edition_that_was_not_kept_whole_is_made_again(
        self, lived: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put, left = lived.store.put_part, [3]

        def dies(*arguments: Any, **options: Any) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Unavailable("the table is away")
            put(*arguments, **options)

        monkeypatch.setattr(lived.store, "put_part", dies)
        with pytest.raises(Unavailable):
            publish("weekly", lived, MONDAY)
        monkeypatch.setattr(lived.store, "put_part", put)
        [mail] = publish("weekly", lived, MONDAY)
        assert send_planned(mail, lived, MONDAY).status is SendStatus.SENT

    def test_a_kind_that_is_left_out_is_not_sent(self, lived: App) -> None:
        raw = raw_playbook()
        del raw["reports"]["daily"]
        lived.playbook = check(raw, source="playbook")
        assert publish("daily", lived, MONDAY) == []
        assert queued(lived) == []

    def test_the_queue_carries_ids_only(self, lived: App) -> None:
        publish("weekly", lived, MONDAY)
        [mail] = queued(lived)
        assert mail.figures == {"kind": "weekly", "period": "2030-W02", "locale": "en"}


class TestFunction:
    def test_its_schedule_makes_the_report_of_its_kind_as_of_its_time(
        self, lived: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(manager_report, "app", lambda: lived)
        told = StringIO()
        monkeypatch.setattr(manager_report.logger.registered_handler, "stream", told)
        manager_report.handler(golden_input("schedules/weekly_report"), Context())
        [mail] = queued(lived)
        assert (mail.send_id, mail.planned_at) == ("reports/weekly/manager_mira/2030W02", MONDAY)
        line = json.loads(told.getvalue())
        assert (line["message"], line["kind"], line["mails"]) == ("report planned", "weekly", 1)


class TestMail:
    def test_every_picture_it_shows_is_attached_and_no_other(self, lived: App, wire: Wire) -> None:
        [mail] = publish("weekly", lived, MONDAY)
        send_planned(mail, lived, MONDAY)
        inline = {one["ContentId"] for one in attached(wire).values() if one["ContentDisposition"] == "INLINE"}
        assert {"chart-active", "chart-turnover", "chart-response"} <= inline
        assert set(re.findall(r"cid:([\w-]+)", html(wire))) == inline
        assert len(html(wire).encode()) < HEAVIEST_HTML

    def test_all_figures_are_attached_as_csv(self, lived: App, wire: Wire) -> None:
        [mail] = publish("weekly", lived, MONDAY)
        send_planned(mail, lived, MONDAY)
        file = attached(wire)["weekly-2030-W02.csv"]
        assert file["ContentDisposition"] == "ATTACHMENT"
        assert ",members," in b64decode(file["RawContent"]).decode("utf-8-sig")

    def test_what_was_reported_is_mailed_though_figures_changed_since(self, lived: App) -> None:
        [mail] = publish("weekly", lived, MONDAY)
        kept = lived.store.part(Edition("weekly", "2030-W02", "en"), REPORT)
        live(lived, an_event(PostCreated, "U4", "2030-01-12T10:00+01:00", object="late"), told=MONDAY)
        measure(lived, MONDAY)
        assert publish("weekly", lived, MONDAY + timedelta(hours=1))
        assert lived.store.part(Edition("weekly", "2030-W02", "en"), REPORT) == kept
        assert "posts" in facts(lived).restated
        assert send_planned(mail, lived, MONDAY).status is SendStatus.SENT

    def test_a_report_that_nothing_changed_is_not_restated(self, lived: App) -> None:
        assert facts(lived).restated == frozenset()
        publish("weekly", lived, MONDAY)
        assert facts(lived).restated == frozenset()

    def test_a_manager_who_is_gone_by_then_gets_none(self, lived: App, wire: Wire) -> None:
        lived.playbook = a_playbook_with(daily={"at": "08:00", "to": ["ada"]})
        [mail] = publish("daily", lived, MONDAY)
        lived.playbook = check(raw_playbook(), source="playbook")
        assert send_planned(mail, lived, MONDAY).reason == "unknown_member"
        assert wire.requests["SendEmail"] == 0


class TestPage:
    @pytest.fixture
    def path(self, lived: App, wire: Wire) -> str:
        """The path of the link in the mail."""
        [mail] = publish("weekly", lived, MONDAY)
        send_planned(mail, lived, MONDAY)
        found = re.search(r"https://links\.example\.com/l/(m/[\w.-]+)", html(wire))
        assert found is not None
        return found[1]

    def test_the_link_in_the_mail_shows_the_report_with_its_pictures(self, lived: App, path: str) -> None:
        shown = get(lived, path, MONDAY)
        assert shown.status == 200
        assert shown.html.count("data:image/png;base64,") >= 3
        assert "img-src data:" in shown.headers["content-security-policy"]
        assert "http" not in re.sub(r'href="https?://[^"]+"', "", shown.html.split("</head>")[1]).replace("data:", "")

    def test_the_page_ends_with_its_link(self, lived: App, path: str) -> None:
        assert get(lived, path, MONDAY + PAGE_KEPT - timedelta(seconds=1)).status == 200
        assert get(lived, path, MONDAY + PAGE_KEPT).status == 404

    def test_a_link_to_another_report_is_not_made_of_this_one(self, lived: App, path: str) -> None:
        assert get(lived, f"{path[:-1]}{'A' if path[-1] != 'A' else 'B'}", MONDAY).status == 404
        other = lived.signer.sign("bonus", "weekly", "2030-W02", "en", (MONDAY + PAGE_KEPT).isoformat())
        assert get(lived, f"m/{other}", MONDAY).status == 404

    def test_a_report_that_is_not_kept_any_more_is_no_page(self, lived: App) -> None:
        token = lived.signer.sign("report", "weekly", "2029-W02", "en", (MONDAY + PAGE_KEPT).isoformat())
        assert get(lived, f"m/{token}", MONDAY).status == 404


class TestAgain:
    @pytest.fixture
    def run(self, app: App, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
        pk, sk = keys.LOCAL_CLOCK
        clock = {"pk": {"S": pk}, "sk": {"S": sk}, "now": {"S": stamp(MONDAY)}}
        boto3.client("dynamodb").put_item(TableName=app.settings.table, Item=clock)

        def run(*arguments: str) -> tuple[int, str, str]:
            monkeypatch.setattr("sys.argv", ["flywheel", "report", *arguments, "--table", app.settings.table])
            with pytest.raises(SystemExit) as ended:
                cli.main()
            told = capsys.readouterr()
            return int(ended.value.code or 0), told.out, told.err

        return run

    @pytest.mark.usefixtures("lived")
    def test_any_period_is_written_to_a_file_with_its_pictures(self, run: Any, tmp_path: Path) -> None:
        file = tmp_path / "week.html"
        code, out, _ = run("weekly", "--at", "2030-W02", "--to", str(file))
        assert (code, "2030" in out) == (0, True)
        assert file.read_text(encoding="utf-8").count("data:image/png;base64,") >= 3

    @pytest.mark.usefixtures("lived")
    def test_it_is_sent_to_an_address_at_once_in_the_language_asked_for(self, run: Any, wire: Wire) -> None:
        code, _, err = run("weekly", "--at", "2030-W02", "--to", "boss@example.com", "--locale", "ru")
        assert (code, err) == (0, "")
        [mail] = wire.mails
        assert mail["Destination"]["ToAddresses"] == ["boss@example.com"]
        assert re.search("[а-я]", mail["Content"]["Simple"]["Subject"]["Data"])
        assert len(mail["Content"]["Simple"]["Attachments"]) >= 4
        assert "/l/m/" not in html(wire)

    def test_what_changed_since_it_was_reported_is_marked(self, lived: App, run: Any, tmp_path: Path) -> None:
        publish("weekly", lived, MONDAY)
        live(lived, an_event(PostCreated, "U4", "2030-01-12T10:00+01:00", object="late"), told=MONDAY)
        measure(lived, MONDAY)
        _, out, _ = run("weekly", "--at", "2030-W02", "--to", str(tmp_path / "week.html"))
        assert "have changed since it was first reported" in " ".join(out.split())

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("yearly", "--to", "x.html"), "there is no report 'yearly'; choose one of daily, weekly, monthly"),
            (("weekly", "--at", "2030-10", "--to", "x.html"), "a week is written like 2026-W40; got '2030-10'"),
            (("daily", "--at", "2099-01-01", "--to", "x.html"), "2099-01-01 has not begun yet"),
            (("daily", "--to", "x.html", "--locale", "fr"), "there is no language 'fr'"),
            (("daily", "--to", "not@an@address"), "is no address that a mail can be sent to"),
        ],
    )
    def test_what_cannot_be_is_said_in_one_sentence(self, run: Any, arguments: tuple[str, ...], said: str) -> None:
        code, _, err = run(*arguments)
        assert (code, len(err.splitlines())) == (2, 1)
        assert said in err

    def test_every_kind_of_period_is_read_as_it_is_written(self, app: App) -> None:
        for kind, text in (("daily", "2030-01-05"), ("weekly", "2030-W01"), ("monthly", "2030-01")):
            assert str(period_of(kind, text, playbook=app.playbook, now=MONDAY)) == text  # type: ignore[arg-type]
        with pytest.raises(UsageError):
            period_of("weekly", "2030-W54", playbook=app.playbook, now=MONDAY)
