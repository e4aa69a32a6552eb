"""The playbook: the default one is the programme, and every mistake in one is told in a line that helps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import time, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from infra.mails import written
from shared.errors import PlaybookError
from shared.playbook import Playbook, check, load, schema
from tests.builders import ROOT, a_playbook, raw_playbook

Path_ = Sequence[str | int]

WRITTEN = written(ROOT / "shared" / "mails")
STEPS = ["onboarding", "steps"]
CONDITIONS = "'posted', 'commented', 'contributed' or 'answered_survey'"


def changed(path: Path_, value: object) -> dict[str, Any]:
    """The default playbook with one value put in the place of another."""
    raw = raw_playbook()
    place: Any = raw
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return raw


def without(path: Path_) -> dict[str, Any]:
    """The default playbook with one key left out."""
    raw = raw_playbook()
    place: Any = raw
    for part in path[:-1]:
        place = place[part]
    del place[path[-1]]
    return raw


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

    def test_mails_come_in_russian_and_english(self) -> None:
        assert set(a_playbook().locales) == {"en", "ru"}

    def test_every_mail_of_the_programme_needs_consent(self) -> None:
        assert {mail.class_ for mail in a_playbook().mails.values()} == {"marketing"}

    @pytest.mark.parametrize(
        ("preferred", "locale"),
        [("ru-RU", "ru"), ("ru_RU", "ru"), ("RU", "ru"), ("en-GB", "en"), ("de-DE", "en"), ("", "en"), (None, "en")],
    )
    def test_a_member_gets_the_nearest_language(self, preferred: str | None, locale: str) -> None:
        assert a_playbook().locale_for(preferred) == locale


ONE_MISTAKE: list[tuple[Path_, object, str]] = [
    # unknown keys: what is allowed there
    (
        ["colour"],
        "red",
        "colour: unknown key; allowed here: " + ", ".join(Playbook.model_fields),
    ),
    (
        ["senders", "hello", "nme"],
        "x",
        "senders.hello.nme: unknown key; allowed here: name, address, reply_to, signature",
    ),
    (
        ["mails", "welcome", "form"],
        "x",
        "mails.welcome.form: unknown key; allowed here: class, category, sender, recognises",
    ),
    (
        [*STEPS, 0, "when"],
        "x",
        "onboarding.steps[0].when: unknown key; allowed here: key, day, mail, send_at, unless, leave_out",
    ),
    (["content", "tips", 0, "en"], "", "content.tips[0].en: must not be empty; got ''"),
    (["content", "resources", 1, "by"], "x", "content.resources[1].by: unknown key; allowed here: title, url, note"),
    # steps
    (
        [*STEPS, 1, "key"],
        "welcome",
        "onboarding.steps[1].key: 'welcome' is already steps[0]; every step needs its own key",
    ),
    (
        [*STEPS, 1, "day"],
        "1",
        "onboarding.steps[1].day: must be later than the step before it (day 1); got 1",
    ),
    ([*STEPS, 4, "day"], "91", "onboarding.steps[4].day: must lie within open_for (90d); got 91"),
    ([*STEPS, 0, "day"], "0", "onboarding.steps[0].day: must be at least 1; got '0'"),
    ([*STEPS, 4, "day"], "366", "onboarding.steps[4].day: must be at most 365; got '366'"),
    ([*STEPS, 4, "day"], "soon", "onboarding.steps[4].day: must be a whole number; got 'soon'"),
    ([*STEPS, 0, "key"], "Wel-come", "onboarding.steps[0].key: must match ^[a-z][a-z0-9_]{0,39}$; got 'Wel-come'"),
    (STEPS, [], "onboarding.steps: must have at least 1"),
    (STEPS, "welcome", "onboarding.steps: must be a list; got 'welcome'"),
    # what is named must exist
    (
        [*STEPS, 1, "mail"],
        "nope",
        "onboarding.steps[1].mail: unknown mail 'nope'; the mails are welcome, check_in, digest, survey, ambassador",
    ),
    (
        ["mails", "farewell"],
        {"class": "marketing", "category": "onboarding", "sender": "hello"},
        "mails.farewell: unknown mail; the mails written in shared/mails are " + ", ".join(sorted(WRITTEN)),
    ),
    (["mails", "welcome", "sender"], "nobody", "mails.welcome.sender: unknown sender 'nobody'; the senders are hello"),
    (["mails", "welcome", "class"], "spam", "mails.welcome.class: must be 'marketing' or 'service'; got 'spam'"),
    (
        [*STEPS, 3, "unless"],
        ["slept"],
        f"onboarding.steps[3].unless[0]: must be {CONDITIONS}; got 'slept'",
    ),
    (
        [*STEPS, 0, "leave_out"],
        {"tour": "slept"},
        f"onboarding.steps[0].leave_out.tour: must be {CONDITIONS}; got 'slept'",
    ),
    (["platforms", "myspace"], {}, "platforms.myspace: must be 'slack', 'discourse' or 'standard'; got 'myspace'"),
    (["platforms", "slack"], "", "platforms.slack: must be keys with values below it; got ''"),
    # languages
    (["community", "name"], {"en": "x"}, "community.name: missing locale 'ru'; this playbook's locales are en, ru"),
    (["community", "name", "de"], "x", "community.name.de: unknown locale; this playbook's locales are en, ru"),
    (["postal_address"], {"ru": "x"}, "postal_address: missing locale 'en'; this playbook's locales are en, ru"),
    (["locales"], ["en", "ru", "en"], "locales: must be named once each; 'en' stands twice"),
    (["locales", 0], "english", "locales[0]: must match ^[a-z]{2}$; got 'english'"),
    (["locales"], [], "locales: must have at least 1"),
    # numbers, zones, addresses, times
    (["health_score", "weights", "growth"], "0.4", "health_score.weights: the weights must sum to 1; these sum to 1.1"),
    (["health_score", "weights", "growth"], "-0.1", "health_score.weights.growth: must be at least 0; got '-0.1'"),
    (["health_score", "weights", "growth"], "nan", "health_score.weights.growth: must be at most 1; got 'nan'"),
    (
        ["community", "timezone"],
        "Mars/Olympus",
        "community.timezone: must be an IANA time zone such as Europe/Berlin; got 'Mars/Olympus'",
    ),
    (
        ["community", "timezone"],
        "Europe",
        "community.timezone: must be an IANA time zone such as Europe/Berlin; got 'Europe'",
    ),
    (
        ["senders", "hello", "address"],
        "hello",
        "senders.hello.address: must be an e-mail address such as hello@example.com; got 'hello'",
    ),
    (
        ["senders", "hello", "reply_to"],
        "a@example.com\nBcc:",
        "senders.hello.reply_to: must be an e-mail address such as hello@example.com; got 'a@example.com\\nBcc:'",
    ),
    (
        ["community", "url"],
        "our forum",
        "community.url: must be a web address such as https://community.example.com/; got 'our forum'",
    ),
    (
        ["community", "url"],
        "javascript:alert(1)",
        "community.url: must be a web address such as https://community.example.com/; got 'javascript:alert(1)'",
    ),
    (
        ["onboarding", "start"],
        "2026-01-01",
        "onboarding.start: must be a moment with its time zone, such as 2026-01-01T00:00:00Z; got '2026-01-01'",
    ),
    (
        ["onboarding", "start"],
        "2026",
        "onboarding.start: must be a moment with its time zone, such as 2026-01-01T00:00:00Z; got '2026'",
    ),
    *(
        (
            ["onboarding", "send_at"],
            wrong,
            f'onboarding.send_at: must be a time of day in quotes, such as "10:00"; got {wrong!r}',
        )
        for wrong in ("600", "25:00", "9:00", "1٠:00", "")
    ),
    *(
        (
            ["onboarding", "min_gap"],
            wrong,
            f"onboarding.min_gap: must be a whole number and a unit, such as 30m, 20h or 90d; got {wrong!r}",
        )
        for wrong in ("20", "20 h", "-1h", "1w", "٣h", "1.5h", "")
    ),
    (["content"], None, "content: must be keys with values below it; got None"),
]


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
        file.write_text(text.replace("{en:", "{no:"), encoding="utf-8")
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
        playbook = a_playbook(**changes, open_for=longest)
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
