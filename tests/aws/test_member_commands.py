"""`flywheel members`: all that is held of a person is told, an erasure is asked for, done once and receipted."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from infra import members
from shared.app import App
from tests.aws.conftest import Run
from tests.aws.days import A_DAY, NIGHT, happen, joins, tick
from tests.aws.test_erasing import ADA, ADA_TOO, ADDRESS, LATER, ada, lives


@pytest.fixture
def run(flywheel: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `flywheel members` at a fixed time."""
    monkeypatch.setattr(members, "now_of", lambda _: LATER)
    return partial(flywheel, "members")


class TestExport:
    def test_every_kind_of_what_is_held_is_told_as_json(self, app: App, run: Run) -> None:
        lives(app)
        tick(app, NIGHT)
        app.store.mark(ADA, "merged", LATER)
        code, said, _ = run("export", ADDRESS)
        told = json.loads(said)
        assert (code, told["member"], set(told["known_as"])) == (0, ADA, {ADA, ADA_TOO})
        assert set(told["held"]) == set(members.WORDS.values()) - {"voids", "reviews"}
        assert {item["event"]["type"] for item in told["held"]["events"]} >= {"survey.answered", "purchase.made"}

    def test_what_is_remembered_of_an_earlier_erasure_is_told(self, app: App, run: Run, tmp_path: Path) -> None:
        lives(app)
        run("erase", "slack:U1", "--yes", "--receipt", str(tmp_path / "receipt.json"))
        happen(app, joins("U1", LATER + A_DAY))
        [remembered] = json.loads(run("export", "slack:U1")[1])["remembered"]
        assert remembered["at"] == "2030-01-11T01:07:00Z"
        assert not remembered["refused"]["all"]["given"]

    def test_purchases_in_figures_are_said(self, app: App, run: Run) -> None:
        lives(app)
        assert "purchase" in json.loads(run("export", ADDRESS)[1])["in_figures"]

    def test_a_file_of_theirs_is_nobody_else_s_to_read(self, app: App, run: Run, tmp_path: Path) -> None:
        lives(app)
        files = [tmp_path / "ada.json", tmp_path / "receipt.json"]
        run("export", "slack:U1", "--to", str(files[0]))
        run("erase", "slack:U1", "--yes", "--receipt", str(files[1]))
        assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]

    def test_it_goes_to_a_file_where_one_is_named(self, app: App, run: Run, tmp_path: Path) -> None:
        lives(app)
        code, said, _ = run("export", "slack:U1", "--to", str(tmp_path / "ada.json"))
        assert code == 0
        assert ADDRESS not in said
        assert json.loads((tmp_path / "ada.json").read_text())["held"]["profiles"][0]["email"] == ADDRESS

    def test_who_is_nobody_is_said(self, run: Run) -> None:
        code, _, complaint = run("export", "slack:U404")
        assert code == 2
        assert "nobody is known as" in complaint

    def test_a_manager_is_of_the_playbook(self, run: Run) -> None:
        code, _, complaint = run("erase", "manager_mira")
        assert code == 2
        assert "playbook" in complaint


class TestErase:
    def test_it_is_asked_for_and_no_is_an_answer(self, app: App, run: Run) -> None:
        lives(app)
        code, said, _ = run("erase", "slack:U1", answer="n\n")
        assert code == 1
        assert "slack:U1" in said
        assert ada(app).email == ADDRESS

    def test_it_counts_from_the_answer_on_not_from_the_question(
        self, app: App, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lives(app)
        asked: list[str] = []

        def agreed(*_: object) -> bool:
            asked.append("asked")
            return True

        monkeypatch.setattr(members, "agreed", agreed)
        monkeypatch.setattr(members, "now_of", lambda _: LATER + len(asked) * A_DAY)
        run("erase", "slack:U1", "--receipt", str(tmp_path / "receipt.json"))
        assert json.loads((tmp_path / "receipt.json").read_text())["erased_at"] == (LATER + A_DAY).isoformat()

    def test_the_receipt_names_what_was_done_and_until_when_copies_are(
        self, app: App, run: Run, tmp_path: Path
    ) -> None:
        lives(app)
        file = tmp_path / "receipt.json"
        assert run("erase", ADDRESS, "--yes", "--receipt", str(file))[0] == 0
        receipt = json.loads(file.read_text())
        assert receipt["member"] == ADA
        assert receipt["deleted"]["profiles"] == 2
        assert receipt["made_nobodys"]["events"] == 8
        assert (
            receipt["copies_until"]["point-in-time recovery of the table"] == (LATER + timedelta(days=35)).isoformat()
        )
        assert not any(one in file.read_text() for one in (ADDRESS, "U1", "Ada"))

    @pytest.mark.parametrize("who", ["slack:U1", ADDRESS, ADA])
    def test_twice_it_says_that_nothing_is_held(self, app: App, run: Run, who: str, tmp_path: Path) -> None:
        lives(app)
        run("erase", "slack:U1", "--yes", "--receipt", str(tmp_path / "receipt.json"))
        code, said, _ = run("erase", who, "--yes")
        assert code == 0
        assert "nothing is held" in " ".join(said.split())
