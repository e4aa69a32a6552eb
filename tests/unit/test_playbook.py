"""The playbook: the default one is the programme, and every mistake in one is told in a line that helps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import time, timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from shared.errors import PlaybookError
from shared.playbook import Playbook, check, load, schema
from tests.builders import ROOT, a_playbook, raw_playbook
from tests.unit.playbook_mistakes import ONE_MISTAKE, STEPS, WRITTEN, Path_, changed, without


def mistakes(raw: object) -> list[str]:
    """What is wrong with a playbook, a line each."""
    with pytest.raises(PlaybookError) as found:
        check(raw, source="playbook.yaml", mails=WRITTEN)
    lines = [str(problem) for problem in found.value.problems]
    assert str(found.value).splitlines() == [f"playbook.yaml: {line}" for line in lines]
    return lines


def mistake(raw: object) -> str:
    [line] = mistakes(raw)
    return line


class TestDefault:
    def test_the_default_playbook_is_good(self) -> None:
        assert load(ROOT / "playbook.yaml", mails=WRITTEN) == a_playbook()

    def test_onboarding_is_the_programme_s_five_steps(self) -> None:
        steps = a_playbook().onboarding.steps
        assert [(step.day, step.key) for step in steps] == [
            (1, "welcome"),
            (3, "check_in"),
            (7, "digest"),
            (14, "survey"),
            (30, "ambassador"),
        ]
        assert [step.mail for step in steps] == [step.key for step in steps]

    def test_onboarding_s_rules_are_the_programme_s(self) -> None:
        rules = a_playbook().onboarding
        assert rules.send_at == time(10)
        assert (rules.min_gap, rules.stale_after, rules.wait_for_address) == (
            timedelta(hours=20),
            timedelta(hours=72),
            timedelta(hours=72),
        )

    def test_the_introduction_prompt_and_the_survey_know_what_is_done_already(self) -> None:
        welcome, *_, survey, _ambassador = a_playbook().onboarding.steps
        assert (welcome.leave_out, survey.unless) == ({"introduction": "posted"}, ["answered_survey"])

    def test_the_ambassador_mail_recognises_thirty_days(self) -> None:
        recognised = {name: mail.recognises for name, mail in a_playbook().mails.items() if mail.recognises}
        assert recognised == {"ambassador": timedelta(days=30)}

    def test_the_health_score_weighs_40_30_30(self) -> None:
        weights = a_playbook().health_score.weights
        assert (weights.engagement, weights.growth, weights.sentiment) == (0.4, 0.3, 0.3)

    def test_a_report_comes_every_day_week_and_month(self) -> None:
        assert set(a_playbook().reports.kinds) == {"daily", "weekly", "monthly"}

    def test_reports_that_are_left_out_are_not_sent(self) -> None:
        raw = raw_playbook()
        raw["reports"] = {"mail": "report", "weekly": raw["reports"]["weekly"]}
        assert list(check(raw, source="playbook").reports.kinds) == ["weekly"]

    def test_goals_may_be_left_out(self) -> None:
        assert check(without(["goals"]), source="playbook").goals == {}

    def test_mails_come_in_russian_and_english(self) -> None:
        assert set(a_playbook().locales) == {"en", "ru"}

    def test_every_mail_but_rewards_and_the_managers_needs_consent(self) -> None:
        playbook = a_playbook()
        service = [name for name, mail in playbook.mails.items() if mail.class_ == "service"]
        assert service == ["reward", "trial", "mail_paused", "report"]
        rewards = [playbook.referrals.mail, playbook.referrals.referee_mail]
        assert service == [*rewards, playbook.breaker.mail, playbook.reports.mail]

    def test_rewards_are_the_programme_s(self) -> None:
        rewards = a_playbook().referrals.rewards
        assert [(rule.to, rule.at, rule.gives, rule.days or rule.level) for rule in rewards] == [
            ("referrer", 1, "badge", None),
            ("referrer", 5, "premium_days", 30),
            ("referrer", 10, "premium_lifetime", None),
            ("referrer", 25, "level", "ambassador"),
            ("referee", None, "premium_days", 7),
        ]

    def test_who_is_active_qualifies_after_a_week_s_hold(self) -> None:
        rules = a_playbook().referrals
        assert (rules.qualified_when, rules.hold) == ("active", timedelta(days=7))
        assert (rules.first_touch_for, rules.settle_after) == (timedelta(days=90), timedelta(hours=24))

    def test_the_missed_are_asked_three_times_and_one_in_ten_is_held_out(self) -> None:
        rules = a_playbook().reengagement
        assert (rules.inactive_days, rules.max_attempts, rules.holdout_percent) == (30, 3, 10)
        assert rules.spacing == [timedelta(days=30), timedelta(days=45), timedelta(days=60)]

    def test_the_budget_is_one_a_day_and_three_a_week_by_day(self) -> None:
        limits = a_playbook().limits
        assert (limits.a_day, limits.a_week, limits.excluded_weekdays) == (1, 3, [])
        assert limits.quiet_hours is not None
        assert (limits.quiet_hours.from_, limits.quiet_hours.until) == (time(21), time(8))

    def test_the_breaker_s_lines_are_4_and_0_08_percent_of_200_sends(self) -> None:
        rules = a_playbook().breaker
        assert (rules.bounces_percent, rules.complaints_percent, rules.least_sends) == (4, 0.08, 200)
        assert rules.window == timedelta(hours=24)

    @pytest.mark.parametrize(
        ("preferred", "locale"),
        [("ru-RU", "ru"), ("ru_RU", "ru"), ("RU", "ru"), ("en-GB", "en"), ("de-DE", "en"), ("", "en"), (None, "en")],
    )
    def test_a_member_gets_the_nearest_language(self, preferred: str | None, locale: str) -> None:
        assert a_playbook().locale_for(preferred) == locale


class TestMistakes:
    @pytest.mark.parametrize(("path", "value", "line"), ONE_MISTAKE, ids=lambda value: str(value)[:40])
    def test_a_mistake_is_one_line_with_place_and_what_is_allowed(self, path: Path_, value: object, line: str) -> None:
        assert mistake(changed(path, value)) == line

    @pytest.mark.parametrize(
        "path",
        [
            ["community"],
            ["onboarding", "start"],
            [*STEPS, 2, "mail"],
            ["content", "tips"],
            ["mails", "survey", "class"],
        ],
        ids=str,
    )
    def test_what_is_left_out_is_said_to_be_missing(self, path: Path_) -> None:
        assert mistake(without(path)).endswith(": is missing")

    @pytest.mark.parametrize("raw", [None, [], "playbook"], ids=repr)
    def test_something_else_than_a_playbook_is_one_line(self, raw: object) -> None:
        assert mistake(raw).startswith("must be keys with values below it")

    def test_several_mistakes_are_told_at_once(self) -> None:
        raw = raw_playbook()
        raw["community"]["timezone"] = "Mars/Olympus"
        raw["mails"]["welcome"]["sender"] = "nobody"
        raw["onboarding"]["steps"][1]["mail"] = "nope"
        raw["onboarding"]["steps"][2]["day"] = "2"
        raw["onboarding"]["steps"][3]["key"] = "welcome"
        del raw["content"]["guide"]["title"]["ru"]
        places = {line.split(": ")[0] for line in mistakes(raw)}
        assert places == {
            "community.timezone",
            "mails.welcome.sender",
            "onboarding.steps[2].day",
            "onboarding.steps[3].key",
            "content.guide.title",
        }
        raw["onboarding"]["steps"][2:4] = raw_playbook()["onboarding"]["steps"][2:4]
        assert "onboarding.steps[1].mail" in {line.split(": ")[0] for line in mistakes(raw)}

    def test_a_new_language_is_asked_for_everywhere_at_once(self) -> None:
        lines = mistakes(changed(["locales"], ["en", "ru", "de"]))
        assert "mails.welcome: missing locale 'de'; it is written in en, ru" in lines
        assert "content.event.title: missing locale 'de'; this playbook's locales are en, ru, de" in lines
        assert len(lines) == len(set(lines)) > 20

    def test_a_variant_has_a_subject_in_every_language(self) -> None:
        wave_only_in_english = WRITTEN["miss_you"]._replace(variants={"wave": {"en"}, "news": {"en", "ru"}})
        with pytest.raises(PlaybookError) as found:
            check(raw_playbook(), source="playbook.yaml", mails={**WRITTEN, "miss_you": wave_only_in_english})
        [problem] = found.value.problems
        assert str(problem) == "mails.miss_you.variants[0]: missing locale 'ru'; it is written in en"

    def test_what_may_be_left_out_is_not_missed(self) -> None:
        raw = raw_playbook()
        del raw["limits"]["quiet_hours"], raw["limits"]["excluded_weekdays"], raw["content"]["highlights"]
        del raw["bonuses"], raw["mails"]["miss_you"]["bonus"], raw["mails"]["miss_you"]["highlights"]
        playbook = check(raw, source="playbook.yaml", mails=WRITTEN)
        assert (playbook.limits.quiet_hours, playbook.content.highlights, playbook.bonuses) == (None, [], {})

    def test_a_bonus_may_be_a_page_instead_of_a_code(self) -> None:
        raw = raw_playbook()
        raw["bonuses"]["welcome_back"] |= {"code": None, "url": "https://community.example.com/back"}
        assert str(check(raw, source="playbook.yaml").bonuses["welcome_back"].url).endswith("/back")

    @settings(max_examples=80, deadline=None)
    @given(st.data())
    def test_any_value_anywhere_is_taken_or_told_in_one_line_each(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(places(raw_playbook())))
        value = data.draw(st.sampled_from(ODD))
        told = []
        try:
            check(changed(path, value), source="playbook.yaml", mails=WRITTEN)
        except PlaybookError as exc:
            told = list(exc.problems)
        assert not any("\n" in str(problem) for problem in told)


ODD: list[object] = ["", "x", "-1", "9" * 30, "a\nb", "[/]", None, [], {}, [[]], {"": ""}, ["x"], True]


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a playbook."""
    below: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        below = list(value.items())
    elif isinstance(value, list):
        below = list(enumerate(value))
    return [path] * bool(path) + [one for part, inner in below for one in places(inner, (*path, part))]


class TestFile:
    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (b"onboarding: [1", "is not YAML: while parsing a flow sequence at line 1, column 13"),
            (b"a:\n\tb: 1\n", "is not YAML: while scanning for the next token found character '\\t'"),
            (
                b"locales: [en]\nlocales: [ru]\n",
                "is not YAML: the key 'locales' stands twice in one place, again on line 2",
            ),
            (
                b"community:\n  name: {en: a,\n    ru: b, en: c}\n",
                "is not YAML: the key 'en' stands twice in one place, again on line 3",
            ),
            (b"a: &a [*a]\n", "is not YAML: found unconstructable recursive node"),
            (b"a: 1\n---\nb: 2\n", "is not YAML: expected a single document"),
            (b"? [a, b]\n: c\n", "is not YAML: while constructing a mapping"),
            (b"\xff\xfe\x00", "cannot be read: 'utf-8' codec can't decode"),
        ],
    )
    def test_what_cannot_be_read_is_one_line_with_its_place(self, tmp_path: Path, text: bytes, told: str) -> None:
        file = tmp_path / "playbook.yaml"
        file.write_bytes(text)
        with pytest.raises(PlaybookError) as found:
            load(file)
        assert str(found.value).startswith(f"{file}: {told}")
        assert len(str(found.value).splitlines()) == 1

    def test_a_file_that_is_not_there_is_one_line(self, tmp_path: Path) -> None:
        for file in (tmp_path / "none.yaml", tmp_path):
            with pytest.raises(PlaybookError, match="cannot be read") as found:
                load(file)
            assert len(found.value.problems) == 1

    def test_a_python_object_in_yaml_is_only_keys_and_text(self, tmp_path: Path) -> None:
        marker = tmp_path / "ran"
        file = tmp_path / "playbook.yaml"
        file.write_text(f"a: !!python/object/apply:os.mkdir ['{marker}']\n", encoding="utf-8")
        with pytest.raises(PlaybookError, match="a: unknown key"):
            load(file)
        assert not marker.exists()

    def test_words_that_yaml_would_turn_stay_words(self, tmp_path: Path) -> None:
        text = (
            (ROOT / "playbook.yaml")
            .read_text(encoding="utf-8")
            .replace('"10:00"', "10:00")
            .replace("[en, ru]", "[no, ru]")
        )
        file = tmp_path / "playbook.yaml"
        file.write_text(text.replace("{en:", "{no:").replace("locale: en", "locale: no"), encoding="utf-8")
        playbook = load(file)
        assert (playbook.locales[0], playbook.onboarding.send_at) == ("no", time(10))


class TestRoundTrip:
    @given(
        durations=st.lists(
            st.builds("{}{}".format, st.integers(31, 999_999), st.sampled_from("mhd")), min_size=4, max_size=4
        ),
        clock=st.times().map(lambda moment: f"{moment:%H:%M}"),
    )
    def test_compiled_json_reads_back_as_the_same_playbook(self, durations: list[str], clock: str) -> None:
        names = ("min_gap", "stale_after", "wait_for_address")
        changes: dict[str, str] = dict(zip(names, durations, strict=False)) | {"send_at": clock}
        longest = durations[3] if durations[3].endswith("d") else "90d"
        playbook = a_playbook(at_any_hour=True, **changes, open_for=longest)
        assert Playbook.model_validate_json(playbook.model_dump_json(by_alias=True)) == playbook


class TestSchema:
    def test_the_schema_is_a_json_schema(self) -> None:
        Draft202012Validator.check_schema(schema())
        json.dumps(schema())

    def test_the_schema_accepts_the_default_playbook_as_an_editor_reads_it(self) -> None:
        class Loader(yaml.SafeLoader):
            """YAML as editors read it: numbers are numbers, a moment stays text."""

        Loader.yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }
        raw = yaml.load((ROOT / "playbook.yaml").read_text(encoding="utf-8"), Loader)  # noqa: S506 - a SafeLoader
        Draft202012Validator(schema(), format_checker=FormatChecker()).validate(raw)

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (["colour"], "red"),
            (["onboarding", "min_gap"], "20 hours"),
            (["onboarding", "send_at"], "25:00"),
            ([*STEPS, 0, "key"], "Welcome!"),
            (["platforms", "myspace"], {}),
        ],
        ids=str,
    )
    def test_the_schema_refuses_what_the_check_refuses(self, path: Path_, value: object) -> None:
        found = [error.path for error in Draft202012Validator(schema()).iter_errors(changed(path, value))]
        found_in_the_default = [error.path for error in Draft202012Validator(schema()).iter_errors(raw_playbook())]
        assert len(found) == len(found_in_the_default) + 1


def test_a_bad_playbook_fails_the_synthesis_before_anything_is_built(tmp_path: Path) -> None:
    file = tmp_path / "playbook.yaml"
    text = (ROOT / "playbook.yaml").read_text(encoding="utf-8")
    file.write_text(text.replace("Europe/Berlin", "Mars/Olympus").replace("day: 7", "day: 2"), encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "infra.app"],
        cwd=ROOT,
        env={
            **os.environ,
            "CDK_CONTEXT_JSON": json.dumps({"playbook": str(file)}),
            "CDK_OUTDIR": str(tmp_path / "out"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stderr.splitlines() == [
        f"{file}: community.timezone: must be an IANA time zone such as Europe/Berlin; got 'Mars/Olympus'",
        f"{file}: onboarding.steps[2].day: must be later than the step before it (day 3); got 2",
    ]
    assert not any((tmp_path / "out").iterdir())
