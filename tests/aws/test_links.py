"""Links in mails: looking changes nothing, posting acts, and a wrong link never says why it is wrong."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from shared.app import App
from shared.events import SurveyAnswered
from shared.links import visit
from shared.members import consents, is_dormant, rest
from shared.model import Consent, Identity, Member, stamp
from shared.pages import Page
from shared.react import react
from shared.visits import Visit
from tests.aws.conftest import Wire
from tests.builders import JOINED, a_member, an_enrolment

ONE_CLICK = b"List-Unsubscribe=One-Click"
READS = {"GetItem", "GetParameter"}


@pytest.fixture
def ada(app: App) -> App:
    """An App that knows Ada."""
    app.store.create_member(a_member())
    return app


def unsubscribe_path(app: App, member_id: str = a_member().id) -> str:
    return f"u/{app.signer.sign('unsubscribe', member_id)}"


def survey_path(app: App, member_id: str = a_member().id) -> str:
    return f"s/{app.signer.sign('survey', member_id, '1')}"


def preferences_path(app: App, member_id: str = a_member().id) -> str:
    return f"p/{app.signer.sign('preferences', member_id)}"


def bonus_path(app: App, key: str = "welcome_back", ends: str = stamp(JOINED + timedelta(days=14))) -> str:
    return f"b/{app.signer.sign('bonus', a_member().id, key, ends)}"


def get(app: App, path: str, *, now: datetime = JOINED, **query: str) -> Page:
    return visit(Visit(method="GET", path=path, query=query, form=b""), app, now)


def post(
    app: App,
    path: str,
    form: bytes = b"",
    *,
    query: dict[str, str] | None = None,
    language: str = "",
    now: datetime = JOINED,
) -> Page:
    return visit(Visit(method="POST", path=path, query=query or {}, form=form, language=language), app, now)


def ticked(app: App, *kinds: str, button: str = "save", **more: str) -> bytes:
    """The preference form as it is shown now, with these kinds of mail ticked."""
    page = get(app, preferences_path(app))
    shown = re.findall(r'<input type="hidden" name="(was_on|was_off)" value="(\w+)">', page.html)
    return urlencode([*shown, *(("take", kind) for kind in kinds), *more.items(), ("choice", button)]).encode()


def taken(app: App) -> set[str]:
    return {kind for kind in app.playbook.categories if consents(member(app), kind)}


FOREIGN = [
    b"",
    b"{}",
    b'{"choice": "save", "take": ["digest"]}',
    b"\xff\xfe=&&&==%00%zz",
    "choice=сохранить".encode("cp1251"),
    "choice=save".encode("utf-16"),
    b"List-Unsubscribe=One-Click",
    b"choice",
    b"choice=&choice=save",
    b"a=1&" * 100_000 + b"choice=save",
    b'--x\r\nContent-Disposition: form-data; name="choice"\r\n\r\nsave\r\n--x--\r\n',
]
"""What is not our form."""


def member(app: App, member_id: str = a_member().id) -> Member:
    found = app.store.member(member_id)
    assert found is not None
    return found


def refuses(app: App, member_id: str = a_member().id) -> bool:
    return "all" in member(app, member_id).consent and not member(app, member_id).consent["all"].given


def answers(app: App) -> list[SurveyAnswered]:
    logged = app.store.logged(Identity("slack", "U1"), JOINED.date())
    return [event for event in logged if isinstance(event, SurveyAnswered)]


def chosen(page: Page) -> list[str]:
    """The scores that a page shows as chosen already."""
    return [
        score
        for one in re.findall(r"<input[^>]*\bchecked\b[^>]*>", page.html)
        for score in re.findall(r'value="(\d+)"', one)
    ]


class TestUnsubscribe:
    def test_looking_asks_and_changes_nothing(self, ada: App, wire: Wire) -> None:
        page = get(ada, unsubscribe_path(ada))
        assert page.status == 200
        assert "<form" in page.html
        assert not refuses(ada)
        assert set(wire.requests) <= READS | {"PutItem"}  # the put is the fixture's

    def test_one_click_from_a_mail_client_acts(self, ada: App) -> None:
        page = post(ada, unsubscribe_path(ada), ONE_CLICK)
        assert page.status == 200
        assert member(ada).consent["all"].at == JOINED
        assert refuses(ada)

    @pytest.mark.parametrize(
        ("form", "by"),
        [
            (ONE_CLICK, "one_click"),
            (
                b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n',
                "one_click",
            ),
            (b"", "page"),
            (b"List-Unsubscribe=No", "page"),
        ],
    )
    def test_it_is_recorded_what_unsubscribed(self, ada: App, form: bytes, by: str) -> None:
        post(ada, unsubscribe_path(ada), form)
        assert member(ada).consent == {"all": Consent(given=False, at=JOINED, by=by)}

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_the_page_leads_to_the_preferences(self, ada: App, method: str) -> None:
        page = visit(Visit(method=method, path=unsubscribe_path(ada), query={}, form=b""), ada, JOINED)
        [path] = re.findall(r'href="/l/([^"]+)"', page.html)
        assert path == preferences_path(ada)
        assert get(ada, path).status == 200

    def test_mail_asked_for_by_a_clock_ahead_stops_too(self, ada: App) -> None:
        ahead = Consent(given=True, at=JOINED + timedelta(minutes=5))
        ada.store.change_member(a_member().id, lambda one: one.model_copy(update={"consent": {"digest": ahead}}))
        post(ada, unsubscribe_path(ada), ONE_CLICK)
        assert taken(ada) == set()

    @pytest.mark.parametrize("form", [*FOREIGN, b"anything=else"])
    def test_the_token_decides_and_never_the_body(self, ada: App, form: bytes) -> None:
        post(ada, unsubscribe_path(ada), form)
        assert refuses(ada)

    def test_twice_is_as_good_as_once(self, ada: App) -> None:
        pages = [post(ada, unsubscribe_path(ada), ONE_CLICK) for _ in range(2)]
        assert pages[0] == pages[1]
        assert refuses(ada)

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT"])
    def test_only_a_post_acts(self, ada: App, method: str) -> None:
        visit(Visit(method=method, path=unsubscribe_path(ada), query={}, form=ONE_CLICK), ada, JOINED)
        assert not refuses(ada)

    def test_who_left_may_still_unsubscribe(self, app: App) -> None:
        app.store.create_member(a_member(status="left", email=None))
        assert post(app, unsubscribe_path(app)).status == 200
        assert refuses(app)

    def test_a_link_to_who_was_merged_stops_mails_to_who_remains(self, ada: App) -> None:
        for number in (1, 2):
            ada.store.create_member(
                a_member(id=f"mb{number}", merged_into=f"mb{number + 1}" if number == 1 else a_member().id)
            )
        post(ada, unsubscribe_path(ada, "mb1"))
        assert refuses(ada)

    def test_a_circle_of_merges_is_answered_too(self, app: App) -> None:
        app.store.create_member(a_member(id="ma", merged_into="mb"))
        app.store.create_member(a_member(id="mb", merged_into="ma"))
        assert post(app, unsubscribe_path(app, "ma")).status == 200


class TestWrongLinks:
    def wrong(self, app: App) -> list[str]:
        good, survey = unsubscribe_path(app), survey_path(app)
        return [
            "",
            "u",
            "u/",
            "s/",
            "x/y",
            "u/x",
            good[:-2],
            good + "x",
            f"s/{good[2:]}",
            f"u/{survey[2:]}",
            unsubscribe_path(app, "mnobody"),
            survey_path(app, "mnobody"),
            f"u/{app.signer.sign('unsubscribe')}",
            f"u/{app.signer.sign('unsubscribe', a_member().id, '1')}",
            f"s/{app.signer.sign('survey', a_member().id)}",
            f"p/{good[2:]}",
            f"u/{preferences_path(app)[2:]}",
            f"b/{preferences_path(app)[2:]}",
            preferences_path(app)[:-3],
            preferences_path(app, "mnobody"),
            f"p/{app.signer.sign('preferences', a_member().id, '1')}",
            f"b/{app.signer.sign('bonus', a_member().id)}",
            f"b/{app.signer.sign('bonus', 'mnobody', 'welcome_back', stamp(JOINED))}",
            bonus_path(app, ends="tomorrow"),
            bonus_path(app, ends="2030-01-15T12:00:00"),
            "../../etc/passwd",
            "u/" + "A" * 5000,
            "u/é\x00",
        ]

    def test_every_wrong_link_gets_the_very_same_page(self, ada: App) -> None:
        pages = {get(ada, path).html for path in self.wrong(ada)} | {post(ada, path).html for path in self.wrong(ada)}
        assert len(pages) == 1
        assert {get(ada, path).status for path in self.wrong(ada)} == {404}

    def test_a_wrong_link_changes_nothing(self, ada: App, wire: Wire) -> None:
        wire.requests.clear()
        for path in self.wrong(ada):
            post(ada, path, ONE_CLICK)
        assert set(wire.requests) <= READS

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        path=st.one_of(st.text(max_size=40), *(st.text(max_size=40).map((kind + "/{}").format) for kind in "uspb")),
        form=st.binary(max_size=60),
        method=st.sampled_from(["GET", "POST"]),
    )
    def test_whatever_is_asked_there_is_an_answer(self, app: App, path: str, form: bytes, method: str) -> None:
        assume(path.strip("/").partition("/")[0] not in {"r", "j"})  # referral links lead on, whatever their code
        page = visit(Visit(method=method, path=path, query={}, form=form), app, JOINED)
        assert page.status == 404


class TestSurvey:
    def test_looking_shows_the_question_and_logs_nothing(self, ada: App) -> None:
        page = get(ada, survey_path(ada))
        assert page.status == 200
        assert 'method="post"' in page.html
        assert chosen(page) == []
        assert answers(ada) == []

    def test_a_score_clicked_in_the_mail_is_chosen_already(self, ada: App) -> None:
        page = get(ada, survey_path(ada), score="9")
        assert chosen(page) == ["9"]
        assert answers(ada) == []

    @pytest.mark.parametrize("score", ["11", "-1", "٣", "", "1e1", "007", "0100", "9" * 5000, " 9", "9.0", "<script>"])
    def test_a_strange_score_in_the_link_chooses_none(self, ada: App, score: str) -> None:
        page = get(ada, survey_path(ada), score=score)
        assert page.status == 200
        assert chosen(page) == []
        assert "<script" not in page.html

    def test_an_answer_is_logged_as_an_event(self, ada: App) -> None:
        page = post(ada, survey_path(ada), urlencode({"score": "10", "comment": " Спасибо! "}).encode())
        assert page.status == 200
        [answer] = answers(ada)
        assert (answer.score, answer.comment, answer.platform, answer.actor) == (10, "Спасибо!", "slack", "U1")

    @pytest.mark.parametrize("score", ["0", "10"])
    def test_both_ends_of_the_scale_count(self, ada: App, score: str) -> None:
        post(ada, survey_path(ada), f"score={score}".encode())
        assert [answer.score for answer in answers(ada)] == [int(score)]

    @pytest.mark.parametrize(
        "form",
        [
            b"",
            b"comment=Fine",
            b"score=",
            b"score=11",
            b"score=-1",
            "score=٣".encode(),
            b"score=%D9%A3",
            b"score=1e1",
            b"score=0100",
            b"score=" + b"0" * 5000,
            b"\xff\xfe=&&&==",
        ],
    )
    def test_without_a_good_score_the_question_is_shown_again(self, ada: App, form: bytes) -> None:
        page = post(ada, survey_path(ada), form, query={"score": "9"})
        assert page.status == 200
        assert 'method="post"' in page.html
        assert answers(ada) == []

    def test_free_text_is_kept_to_two_thousand_characters(self, ada: App) -> None:
        post(ada, survey_path(ada), urlencode({"score": "9", "comment": "я" * 2500}).encode())
        assert [len(answer.comment or "") for answer in answers(ada)] == [2000]

    def test_blank_free_text_is_none(self, ada: App) -> None:
        post(ada, survey_path(ada), b"score=9&comment=+%0A+")
        assert [answer.comment for answer in answers(ada)] == [None]

    def test_answering_twice_is_one_answer(self, ada: App) -> None:
        for score in (b"score=9", b"score=2"):
            assert post(ada, survey_path(ada), score).status == 200
        assert [answer.score for answer in answers(ada)] == [9]

    def test_answering_again_after_midnight_is_one_answer_still(self, ada: App) -> None:
        for later in (timedelta(0), timedelta(days=1)):
            visit(Visit(method="POST", path=survey_path(ada), query={}, form=b"score=9"), ada, JOINED + later)
        assert ada.store.logged(Identity("slack", "U1"), (JOINED + timedelta(days=1)).date()) == []

    def test_an_answer_makes_the_member_one_who_answered(self, ada: App) -> None:
        post(ada, survey_path(ada), b"score=9")
        react(answers(ada), ada, JOINED)
        found = ada.store.owners([("IDENTITY#slack:U1", "IDENTITY")])
        assert member(ada, next(iter(found.values()))).survey_answered_at == JOINED

    def test_free_text_never_comes_back_as_markup(self, ada: App) -> None:
        page = post(ada, survey_path(ada), urlencode({"comment": "<script>alert(1)</script>"}).encode())
        assert "<script" not in page.html


class TestUnanswered:
    @pytest.mark.parametrize("form", [*FOREIGN, b"score=99&comment=x"])
    def test_a_foreign_body_is_told_what_is_missing(self, ada: App, form: bytes) -> None:
        page = post(ada, survey_path(ada), form)
        assert (page.status, 'role="alert"' in page.html) == (200, True)
        assert answers(ada) == []

    def test_what_was_written_is_kept_and_escaped(self, ada: App) -> None:
        page = post(ada, survey_path(ada), urlencode({"comment": " Мне & вам </textarea> "}).encode())
        assert "Мне &amp; вам &lt;/textarea&gt;</textarea>" in page.html

    def test_only_looking_is_not_told_off(self, ada: App) -> None:
        assert 'role="alert"' not in get(ada, survey_path(ada), score="99").html


class TestPreferences:
    def test_looking_shows_what_holds_and_writes_nothing(self, ada: App, wire: Wire) -> None:
        wire.requests.clear()
        page = get(ada, preferences_path(ada))
        assert page.status == 200
        assert page.html.count(" checked") == len(ada.playbook.categories)
        assert 'role="status"' not in page.html
        assert set(wire.requests) <= READS

    def test_a_choice_is_kept_and_confirmed(self, ada: App) -> None:
        page = post(ada, preferences_path(ada), ticked(ada, "digest", "events"), now=JOINED + timedelta(days=1))
        assert 'role="status"' in page.html
        assert taken(ada) == {"digest", "events"}
        decided = Consent(given=False, at=JOINED + timedelta(days=1), by="page")
        assert member(ada).consent == dict.fromkeys(set(ada.playbook.categories) - {"digest", "events"}, decided)

    def test_all_of_a_form_is_one_write_and_none_again(self, ada: App, wire: Wire) -> None:
        wire.requests.clear()
        form = ticked(ada, "digest", language="ru")
        pages = [post(ada, preferences_path(ada), form, now=JOINED + timedelta(days=day)) for day in range(3)]
        assert wire.writes() == 1
        assert pages[0] == pages[1] == pages[2]

    def test_a_new_hour_has_the_agenda_looked_at_once(self, ada: App) -> None:
        ada.store.arm(an_enrolment().model_copy(update={"due_at": JOINED + timedelta(days=2)}))
        for minutes in (1, 2):
            at = JOINED + timedelta(minutes=minutes)
            post(ada, preferences_path(ada), ticked(ada, "onboarding", hour="18"), now=at)
            steps = [due.due_at for due in ada.store.agenda() if due.programme == "onboarding"]
            assert steps == [JOINED + timedelta(minutes=1)]

    def test_who_unsubscribed_gets_just_what_they_tick(self, ada: App) -> None:
        post(ada, unsubscribe_path(ada), ONE_CLICK)
        post(ada, preferences_path(ada), ticked(ada, "news"))  # at the same moment, as a clock that stands still has it
        assert taken(ada) == {"news"}
        post(ada, unsubscribe_path(ada), ONE_CLICK)
        assert taken(ada) == set()

    def test_a_page_opened_before_an_unsubscribe_does_not_undo_it(self, ada: App) -> None:
        form = ticked(ada, *ada.playbook.categories, language="ru")
        post(ada, unsubscribe_path(ada), ONE_CLICK)
        page = post(ada, preferences_path(ada), form, now=JOINED + timedelta(hours=1))
        assert taken(ada) == set()
        assert " checked" not in page.html  # and it says so
        assert member(ada).chosen_locale == "ru"

    def test_of_an_old_page_only_what_was_changed_counts(self, ada: App) -> None:
        post(ada, preferences_path(ada), ticked(ada, "events", "news"))
        form = ticked(ada, "events", "digest")
        post(ada, unsubscribe_path(ada), ONE_CLICK)
        post(ada, preferences_path(ada), form, now=JOINED + timedelta(hours=1))
        assert taken(ada) == {"digest"}

    def test_saving_wakes_who_was_written_off(self, ada: App) -> None:
        ada.store.change_member(a_member().id, lambda one: rest(one, JOINED + timedelta(days=90)))
        later = JOINED + timedelta(days=91)
        post(ada, preferences_path(ada), ticked(ada, *ada.playbook.categories), now=later)
        assert not is_dormant(member(ada))

    def test_the_one_button_leaves_service_mail_only(self, ada: App) -> None:
        page = post(ada, preferences_path(ada), ticked(ada, "news", button="nothing"))
        assert taken(ada) == set()
        assert " checked" not in page.html
        assert refuses(ada)

    def test_the_answer_speaks_the_language_just_chosen(self, ada: App) -> None:
        page = post(ada, preferences_path(ada), ticked(ada, language="ru"))
        assert '<html lang="ru">' in page.html
        assert "по Берлину" in page.html
        assert '<html lang="ru">' in get(ada, unsubscribe_path(ada)).html

    def test_an_hour_is_kept_until_the_usual_one_is_chosen(self, ada: App) -> None:
        post(ada, preferences_path(ada), ticked(ada, hour="18"))
        assert member(ada).send_hour == 18
        post(ada, preferences_path(ada), ticked(ada, hour=""))
        assert member(ada).send_hour is None

    @pytest.mark.parametrize("form", FOREIGN)
    def test_a_foreign_body_changes_nothing(self, ada: App, form: bytes) -> None:
        page = post(ada, preferences_path(ada), form)
        assert (page.status, 'role="status"' in page.html) == (200, False)
        assert member(ada) == a_member()

    def test_unknown_kinds_and_hours_are_ignored(self, ada: App) -> None:
        known = ticked(ada, *ada.playbook.categories, "all", "nonsense", hour="99", language="tlh")
        post(ada, preferences_path(ada), known + b"&was_off=all&was_off=nonsense&hour=9&language=ru")
        assert member(ada) == a_member()

    def test_who_was_merged_chooses_for_who_remains(self, ada: App) -> None:
        ada.store.create_member(a_member(id="mb", merged_into=a_member().id))
        post(ada, preferences_path(ada, "mb"), ticked(ada, "digest"))
        assert taken(ada) == {"digest"}


class TestBonus:
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_it_shows_its_code_and_its_end(self, ada: App, wire: Wire, method: str) -> None:
        wire.requests.clear()
        page = visit(Visit(method=method, path=bonus_path(ada), query={}, form=b""), ada, JOINED)
        assert page.status == 200
        assert 'value="WELCOME-BACK"' in page.html
        assert "Good until 15 January, 13:00, Berlin time (UTC+1)" in page.html
        assert set(wire.requests) <= READS

    def test_it_ends_at_its_moment_and_says_so(self, ada: App) -> None:
        end = JOINED + timedelta(days=14)
        assert get(ada, bonus_path(ada), now=end - timedelta(seconds=1)).status == 200
        page = get(ada, bonus_path(ada), now=end)
        assert page.status == 410
        assert "WELCOME-BACK" not in page.html
        assert "15 January" in page.html

    def test_a_bonus_taken_out_of_the_playbook_is_over(self, ada: App) -> None:
        page = get(ada, bonus_path(ada, "of_last_year"))
        assert (page.status, "no longer there" in page.html) == (410, True)

    def test_it_speaks_the_member_s_language_and_zone(self, app: App) -> None:
        app.store.create_member(a_member(chosen_locale="ru", timezone="Asia/Tokyo"))
        page = get(app, bonus_path(app))
        assert "Один бесплатный вечер" in page.html
        assert "15 января, 21:00 по Токио (UTC+9)" in page.html


class TestLanguage:
    @pytest.mark.parametrize(("locale", "lang"), [("ru-RU", "ru"), ("en", "en"), ("de", "en"), (None, "en")])
    def test_a_page_speaks_the_member_s_language(self, app: App, locale: str | None, lang: str) -> None:
        app.store.create_member(a_member(locale=locale))
        for page in (get(app, unsubscribe_path(app)), get(app, survey_path(app)), post(app, unsubscribe_path(app))):
            assert f'<html lang="{lang}"' in page.html

    @pytest.mark.parametrize(
        ("language", "lang"),
        [
            ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
            ("ru,en;q=0.9", "ru"),
            ("ru;q=0.9", "ru"),
            ("de-DE,de;q=0.9,ru;q=0.8,en;q=0.7", "ru"),
            ("RU", "ru"),
            ("en-GB,ru;q=0.5", "en"),
            ("ja", "en"),
            ("*", "en"),
            (",;,", "en"),
            ("", "en"),
        ],
    )
    def test_a_stranger_s_page_speaks_the_browser_s(self, app: App, language: str, lang: str) -> None:
        assert f'<html lang="{lang}"' in post(app, "u/x", language=language).html
