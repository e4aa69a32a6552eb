"""`flywheel` in a terminal: what it prints, and that a mistake is one line and exit code 2."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from infra import cli
from infra.terminal import compiled_mails
from tests.builders import ROOT

MAILS = "ambassador, check_in, digest, mail_paused, miss_you, report, reward, survey, trial, welcome"
COMMANDS = tuple(typer.main.get_command(cli.app).commands)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int | str | None
    out: str
    err: str

    @property
    def mistakes(self) -> list[str]:
        """What it complained of, and nothing but complaints."""
        lines = self.err.splitlines()
        assert all(line.startswith("flywheel: ") for line in lines), self.err
        return [line.removeprefix("flywheel: ") for line in lines]


Flywheel = Callable[..., Ran]


@pytest.fixture
def flywheel(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Flywheel:
    """Runs `flywheel` with arguments, in this process; what it writes goes to a temporary folder."""
    monkeypatch.setattr(cli, "OUT", tmp_path / "out")

    def run(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["flywheel", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return Ran(ended.value.code, said.out, said.err)

    return run


def changed(tmp_path: Path, *changes: tuple[str, str], name: str = "playbook.yaml") -> Path:
    """The default playbook in a file of its own, with some text replaced."""
    text = (ROOT / "playbook.yaml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


class TestHelp:
    def test_help_lists_every_command_with_a_sentence(self, flywheel: Flywheel) -> None:
        ran = flywheel("--help")
        assert not ran.code
        for command in COMMANDS:
            assert re.search(rf"\b{command}\b +[A-Z]", ran.out)

    @pytest.mark.parametrize(
        "command", [*((name,) for name in COMMANDS), ("playbook", "check"), ("playbook", "schema")]
    )
    def test_every_command_explains_itself(self, flywheel: Flywheel, command: tuple[str, ...]) -> None:
        ran = flywheel(*command, "--help")
        assert not ran.code
        assert "Usage: flywheel " + " ".join(command) in ran.out

    @pytest.mark.parametrize(
        "wrong", [("dance",), ("preview",), ("demo", "--members", "0"), ("preview", "welcome", "--lang", "ru")]
    )
    def test_a_command_line_that_makes_no_sense_is_one_line(self, flywheel: Flywheel, wrong: tuple[str, ...]) -> None:
        ran = flywheel(*wrong)
        assert ran.code == 2
        assert len(ran.mistakes) == 1


class TestPlaybookCheck:
    def test_the_default_playbook_is_good(self, flywheel: Flywheel) -> None:
        ran = flywheel("playbook", "check")
        assert not ran.code
        assert "playbook.yaml is good. Languages: en, ru." in ran.out
        assert "welcome on day 1, check_in on day 3, digest on day 7, survey on day 14, ambassador on day 30" in ran.out

    def test_every_mistake_is_a_line_with_file_and_place(self, flywheel: Flywheel, tmp_path: Path) -> None:
        file = changed(
            tmp_path, ("Europe/Berlin", "Mars/Olympus"), ("category: onboarding, sender: hello}", "sender: you}")
        )
        ran = flywheel("playbook", "check", str(file))
        assert ran.code == 2
        assert ran.out == ""
        assert ran.mistakes[0] == (
            f"{file}: community.timezone: must be an IANA time zone such as Europe/Berlin; got 'Mars/Olympus'"
        )
        assert [line.split(": ")[1] for line in ran.mistakes[1:]] == [
            f"mails.{mail}.category" for mail in ("check_in", "digest", "survey")
        ]

    @pytest.mark.parametrize("odd", ["[/]", "[red]", "[link=x]y", "\\\\[b]", "{x}", "%s"])
    def test_what_stands_in_a_playbook_is_never_markup(self, flywheel: Flywheel, tmp_path: Path, odd: str) -> None:
        file = changed(tmp_path, ("timezone: Europe/Berlin", f"timezone: '{odd}'"), name="[play].yaml")
        ran = flywheel("playbook", "check", str(file))
        [line] = ran.mistakes
        assert ran.code == 2
        assert line.startswith(f"{file}: community.timezone: ")
        assert line.endswith(f"got {odd!r}")

    def test_a_good_file_with_an_odd_name_keeps_it(self, flywheel: Flywheel, tmp_path: Path) -> None:
        assert flywheel("playbook", "check", str(changed(tmp_path, name="[play].yaml"))).out.startswith(
            "[play].yaml is good."
        )

    @pytest.mark.parametrize("text", ["a: [1", "locales: [en]\nlocales: [ru]\n", "- a\n", ""])
    def test_a_file_that_is_no_playbook_is_one_line(self, flywheel: Flywheel, tmp_path: Path, text: str) -> None:
        (tmp_path / "p.yaml").write_text(text, encoding="utf-8")
        ran = flywheel("playbook", "check", str(tmp_path / "p.yaml"))
        assert ran.code == 2
        assert len(ran.mistakes) == 1

    def test_a_file_that_is_not_there_is_one_line(self, flywheel: Flywheel, tmp_path: Path) -> None:
        ran = flywheel("playbook", "check", str(tmp_path / "none.yaml"))
        assert (ran.code, len(ran.mistakes)) == (2, 1)
        assert "No such file" in ran.mistakes[0]


class TestPlaybookSchema:
    def test_the_schema_is_json_and_nothing_else(self, flywheel: Flywheel) -> None:
        ran = flywheel("playbook", "schema")
        assert not ran.code
        assert "onboarding" in json.loads(ran.out)["properties"]


class TestPreview:
    def test_a_mail_is_written_as_html_and_text(self, flywheel: Flywheel, tmp_path: Path) -> None:
        ran = flywheel("preview", "survey", "--locale", "ru", "--name", "[/] Ада")
        assert not ran.code, ran.err
        page = tmp_path / "out" / "preview" / "survey.ru.html"
        assert "<html" in page.read_text(encoding="utf-8")
        assert "Ада" in page.with_suffix(".txt").read_text(encoding="utf-8")
        assert str(page) in ran.out

    def test_what_a_mail_tells_is_shown_with_sample_content(self, flywheel: Flywheel, tmp_path: Path) -> None:
        assert not flywheel("preview", "miss_you").code
        text = (tmp_path / "out" / "preview" / "miss_you.en.txt").read_text(encoding="utf-8")
        assert [kind in text for kind in ("New feature: ", "Ask an expert: ", "Guide: ")] == [True] * 3
        assert "One free evening at any workshop" in text
        assert not flywheel("preview", "mail_paused").code

    def test_two_previews_at_once_do_not_share_a_folder(self) -> None:
        with compiled_mails() as one, compiled_mails() as other:
            assert one.render("welcome/en.preheader.txt", {}) == other.render("welcome/en.preheader.txt", {})

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (
                ("farewell",),
                f"there is no mail 'farewell'; choose one of {MAILS}",
            ),
            (
                ("../welcome",),
                f"there is no mail '../welcome'; choose one of {MAILS}",
            ),
            (("welcome", "--locale", "de"), "there is no language 'de'; choose one of en, ru"),
        ],
    )
    def test_what_is_not_there_is_one_line_with_what_is(
        self, flywheel: Flywheel, tmp_path: Path, arguments: tuple[str, ...], told: str
    ) -> None:
        ran = flywheel("preview", *arguments)
        assert (ran.code, ran.mistakes) == (2, [told])
        assert not (tmp_path / "out").exists()

    def test_a_bad_playbook_is_told_before_anything_is_written(self, flywheel: Flywheel, tmp_path: Path) -> None:
        file = changed(tmp_path, ("day: 7", "day: 2"))
        ran = flywheel("preview", "welcome", "--playbook", str(file))
        assert ran.code == 2
        assert [line.split(": ")[1] for line in ran.mistakes] == ["onboarding.steps[2].day"]


def test_the_command_itself_ends_with_code_2_and_no_traceback(tmp_path: Path) -> None:
    file = changed(tmp_path, ("min_gap: 20h", "min_gap: soon"))
    ran = subprocess.run(
        [sys.executable, "-m", "infra.cli", "playbook", "check", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"flywheel: {file}: onboarding.min_gap: must be a whole number and a unit")
    assert len(ran.stderr.splitlines()) == 1
