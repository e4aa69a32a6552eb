"""Compiling the mails: what comes out, and what a writer is told when something is wrong."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from jinja2 import meta

from infra.mails import compile_mails, written
from shared.errors import UsageError
from shared.mail import environment
from shared.playbook import Written
from tests.builders import ROOT

SOURCE = ROOT / "shared" / "mails"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the mails, free to break."""
    return Path(shutil.copytree(SOURCE, tmp_path / "mails"))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    compile_mails(SOURCE, folder)
    return folder


def rewritten(file: Path, before: str, after: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert before in text
    file.write_text(text.replace(before, after, 1), encoding="utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def subjects(mail: Written) -> list[str]:
    return [f"subject.{variant}.txt" for variant in mail.variants] or ["subject.txt"]


def test_written_mails_and_languages_are_listed() -> None:
    mails = written(SOURCE)
    assert sorted(mails) == [
        *("ambassador", "check_in", "digest", "mail_paused"),
        *("miss_you", "report", "reward", "survey", "trial", "welcome"),
    ]
    assert all(mail.locales == {"en", "ru"} for mail in mails.values())


def test_parts_and_variants_are_read_off_the_files() -> None:
    mails = written(SOURCE)
    assert {name: mail.parts for name, mail in mails.items() if mail.parts} == {"welcome": {"introduction"}}
    variants = {name: mail.variants for name, mail in mails.items() if mail.variants}
    assert variants == {"miss_you": {"news": {"en", "ru"}, "wave": {"en", "ru"}}}


def test_part_asked_for_in_one_place_only_is_listed(source: Path) -> None:
    rewritten(source / "digest/ru.txt", "{% for", '{% if "tour" not in leave_out %}x{% endif %}{% for')
    assert written(source)["digest"].parts == {"tour"}


def test_subject_of_one_language_only_is_listed_as_such(source: Path) -> None:
    (source / "miss_you" / "ru.subject.wave.txt").unlink()
    assert written(source)["miss_you"].variants == {"news": {"en", "ru"}, "wave": {"en"}}


def test_the_same_source_gives_the_same_bytes(compiled: Path, tmp_path: Path) -> None:
    compile_mails(SOURCE, tmp_path)
    assert contents(tmp_path) == contents(compiled)


def test_only_what_functions_read_is_written(compiled: Path) -> None:
    mails = {
        f"{mail}/{locale}.{part}"
        for mail, found in written(SOURCE).items()
        for locale in found.locales
        for part in ("html", "txt", "preheader.txt", *subjects(found))
    }
    assert set(contents(compiled)) == mails | {"wording/en.json", "wording/ru.json"}


def test_compiling_in_place_beside_the_source_works(source: Path, compiled: Path) -> None:
    compile_mails(source, source.parent / "out")
    shutil.copytree(source.parent / "out", source, dirs_exist_ok=True)
    assert contents(compiled).items() <= contents(source).items()


def test_jinja_survives_and_the_frame_is_gone(compiled: Path) -> None:
    html = (compiled / "welcome" / "en.html").read_text(encoding="utf-8")
    assert '{% if "introduction" in leave_out %}' in html
    assert 'href="{{ introductions.url }}"' in html
    assert not re.search(r"\[\[|\[%|\[#|<mj", html)


def test_classes_are_written_into_the_tags(compiled: Path) -> None:
    html = (compiled / "survey" / "ru.html").read_text(encoding="utf-8")
    scores = re.findall(r'<a class="score"[^>]*>', html)
    assert len(scores) == 11
    assert all('style="display: block;' in score and 'aria-label="' in score for score in scores)


@pytest.mark.parametrize("mail", sorted(written(SOURCE)))
@pytest.mark.parametrize("part", ["html", "txt"])
def test_languages_of_a_mail_name_the_same_things(compiled: Path, mail: str, part: str) -> None:
    templates = environment(compiled)
    english, russian = (
        meta.find_undeclared_variables(templates.parse((compiled / mail / f"{locale}.{part}").read_text("utf-8")))
        for locale in ("en", "ru")
    )
    assert english == russian


@pytest.mark.parametrize(
    ("file", "before", "after", "reason"),
    [
        ("welcome/en.mjml", "</mj-section>", "", r"line 1: <mj-section> is never closed"),
        ("welcome/en.mjml", "</mj-column>", "</mj-text>", r"line 15: </mj-text> closes what is not open"),
        ("welcome/en.mjml", "<mj-button href", "<mj-buton href", r"line 10: <mj-buton> is no tag we use"),
        ("welcome/en.mjml", "{% endif %}", "{% endiff %}", r"unknown tag 'endiff'"),
        ("welcome/en.mjml", "{{ guide.title }}", "{{ guide.name }}", r"'guide.name' is not given to a mail"),
        ("welcome/en.mjml", "{{ community.name }}", "{{ comunity.name }}", r"'comunity' is not given to a mail"),
        ("digest/ru.txt", "{{ resource.note }}", "{{ resource.notes }}", r"'resource.notes' is not given to a mail"),
        ("welcome/ru.subject.txt", "{{ member.name }}", "{{ subject }}", r"'subject' is not given to a mail"),
        ("check_in/en.preheader.txt", "{{ discussion.title }}", "{{ discussion.title", r"unexpected end of template"),
        ("survey/en.mjml", "layout/scale.mjml", "layout/scales.mjml", r"layout/scales\.mjml"),
        ("survey/en.txt", "| format(score)", "| formatted(score)", r"No filter named 'formatted'"),
        ("miss_you/en.mjml", "{{ bonus.until }}", "{{ bonus.ends }}", r"'bonus.ends' is not given to a mail"),
        ("miss_you/ru.subject.news.txt", "if highlights", "if news", r"'news' is not given to a mail"),
        ("miss_you/en.txt", "{{ highlight.kind }}", "{{ highlight.sort }}", r"'highlight.sort' is not given to a mail"),
        ("mail_paused/ru.txt", "{{ figures.bounces }}", "{{ figures.bounce }}", r"'figures.bounce' is not given"),
        ("reward/en.txt", "{{ figures.next.at }}", "{{ figures.next.of }}", r"'\.\.\.\.of' is not given to a mail"),
        ("trial/ru.mjml", "{{ figures.days }}", "{{ figures.sends }}", r"'figures\.sends' is not given to a mail"),
        ("miss_you/ru.txt", "{{ bonus.until }}", "{{ figures.until }}", r"'figures' is not given to a mail"),
        ("wording/ru.json", '"percent"', '"per_cent"', r"percent: Field required"),
        ("wording/ru.json", '"months"', '"moths"', r"months: Field required"),
    ],
)
def test_mistake_is_one_sentence_that_names_the_file(
    source: Path, tmp_path: Path, file: str, before: str, after: str, reason: str
) -> None:
    rewritten(source / file, before, after)
    with pytest.raises(UsageError, match=reason) as refused:
        compile_mails(source, tmp_path / "out")
    assert str(refused.value).startswith(f"{source / file}: ")
    assert "\n" not in str(refused.value)


def test_text_that_mjml_would_drop_is_found(source: Path, tmp_path: Path) -> None:
    rewritten(source / "welcome/en.mjml", "<mj-column>", "<mj-column title='{{ community.name | upper }}'>")
    with pytest.raises(
        UsageError, match=r"welcome/en\.mjml: {{ community\.name \| upper }} stands where MJML drops it"
    ):
        compile_mails(source, tmp_path / "out")


@pytest.mark.parametrize("part", ["txt", "subject.txt", "preheader.txt"])
def test_missing_part_is_named(source: Path, tmp_path: Path, part: str) -> None:
    (source / "digest" / f"ru.{part}").unlink()
    with pytest.raises(UsageError, match=rf"digest/ru\.{re.escape(part)}: is missing"):
        compile_mails(source, tmp_path / "out")


def test_one_subject_beside_variants_is_refused(source: Path, tmp_path: Path) -> None:
    (source / "miss_you" / "en.subject.txt").write_text("We miss you", encoding="utf-8")
    with pytest.raises(UsageError, match=r"miss_you/en\.subject\.txt: has no place beside en\.subject\.news\.txt"):
        compile_mails(source, tmp_path / "out")


def test_mistake_in_a_shared_part_is_found_in_its_mails(source: Path, tmp_path: Path) -> None:
    rewritten(source / "layout/highlights.mjml", "{{ highlight.icon }}", "{{ highlight.picture }}")
    with pytest.raises(UsageError, match=r"miss_you/en\.mjml: 'highlight\.picture' is not given to a mail"):
        compile_mails(source, tmp_path / "out")


def test_missing_wording_is_named(source: Path, tmp_path: Path) -> None:
    (source / "wording" / "ru.json").unlink()
    with pytest.raises(UsageError, match=r"wording/ru\.json: is missing"):
        compile_mails(source, tmp_path / "out")
