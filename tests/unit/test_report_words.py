"""How reports write numbers in each language, and that no word is missing in any."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import UsageError
from shared.metrics import FORMATS, METRICS, Figure, Unit
from shared.report.dashboard import named
from shared.report.words import FOLDER, Language, words_in
from tests.builders import ROOT
from tests.unit.reports import PLAYBOOK, language

EN, RU = language("en"), language("ru")
NARROW, WIDE = "\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}"
LOCALES = sorted(path.stem for path in (ROOT / "shared" / "mails" / "wording").glob("*.json"))


def phrases(words: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(words, dict):
        for key, value in words.items():
            yield from phrases(value, f"{path}.{key}")
    elif isinstance(words, str):
        yield path, words


def written_in(locale: str) -> dict[str, str]:
    return dict(phrases(json.loads((FOLDER / f"{locale}.json").read_bytes())))


@pytest.mark.parametrize(
    ("unit", "value", "english", "russian"),
    [
        ("count", 0, "0", "0"),
        ("count", 1284, "1,284", f"1{NARROW}284"),
        ("count", 1234567, "1,234,567", f"1{NARROW}234{NARROW}567"),
        ("count", 1234.5, "1,234.5", f"1{NARROW}234,5"),
        ("count", 5.25, "5.25", "5,25"),
        ("count", 0.1098, "0.11", "0,11"),
        ("count", 3.0, "3", "3"),
        ("share", 0.25, "25%", f"25{WIDE}%"),
        ("share", 0.8333, "83.3%", f"83,3{WIDE}%"),
        ("share", 0.00871, "0.87%", f"0,87{WIDE}%"),
        ("share", 1.5, "150%", f"150{WIDE}%"),
        ("points", -12.0, "−12", "−12"),
        ("points", 38.94, "38.9", "38,9"),
        ("points", -0.04, "0", "0"),
        ("seconds", 0, f"0{WIDE}s", f"0{WIDE}с"),
        ("seconds", 45, f"45{WIDE}s", f"45{WIDE}с"),
        ("seconds", 720, f"12{WIDE}min", f"12{WIDE}мин"),
        ("seconds", 12_000, f"3{WIDE}h 20{WIDE}min", f"3{WIDE}ч 20{WIDE}мин"),
        ("seconds", 7_200, f"2{WIDE}h", f"2{WIDE}ч"),
        ("seconds", 86_390, f"1{WIDE}d", f"1{WIDE}дн."),
        ("seconds", 187_200, f"2{WIDE}d 4{WIDE}h", f"2{WIDE}дн. 4{WIDE}ч"),
        ("money", {"EUR": 123450}, "€1,234.50", f"1{NARROW}234,50{WIDE}€"),
        ("money", {"JPY": 1234}, "¥1,234", f"1{NARROW}234{WIDE}¥"),
        ("money", {"KWD": 1234}, "KWD 1.234", f"1,234{WIDE}KWD"),
        ("money", {"USD": -50, "EUR": 1}, "€0.01, −$0.50", f"0,01{WIDE}€, −0,50{WIDE}$"),
        ("money", {}, "0", "0"),
        ("share", None, "no data", "нет данных"),
    ],
)
def test_a_figure_is_written_as_its_language_does(unit: Unit, value: Figure, english: str, russian: str) -> None:
    assert (EN.told(unit, value), RU.told(unit, value)) == (english, russian)


@pytest.mark.parametrize(
    ("unit", "value", "previous", "change"),
    [
        ("count", 88, 100, "−12, −12%"),
        ("count", 110, 100, "+10, +10%"),
        ("count", 3, 1, "+2"),
        ("count", 1001, 100_000, "−98,999, −99%"),
        ("count", 100_001, 100_000, "+1, 0%"),
        ("count", 5, 5, "no change"),
        ("count", 5.001, 5, "no change"),
        ("share", 0.83, 0.729, f"+10.1{WIDE}pp"),
        ("share", 0.0150, 0.0087, f"+0.63{WIDE}pp"),
        ("share", 0.5, 0.5, "no change"),
        ("points", 38.9, 38.6, "+0.3"),
        ("points", 38.91, 38.90, "no change"),
        ("seconds", 8_280, 15_900, f"−2{WIDE}h 7{WIDE}min"),
        ("seconds", 60.2, 60, "no change"),
        ("money", {"EUR": 1000}, {"EUR": 1500}, "−€5.00"),
        ("money", {"EUR": 1000, "USD": 5}, {"EUR": 1000}, "+$0.05"),
        ("money", {"EUR": 1000}, {"EUR": 1000}, "no change"),
        ("count", None, 5, ""),
        ("count", 5, None, ""),
    ],
)
def test_a_change_has_a_sign_and_its_unit(unit: Unit, value: Figure, previous: Figure, change: str) -> None:
    assert EN.change(unit, value, previous) == change


@given(
    st.sampled_from([EN, RU]),
    st.sampled_from(get_args(Unit)[:4]),
    st.floats(min_value=-1e9, max_value=1e9, allow_nan=False),
)
def test_every_number_can_be_told(spoken: Language, unit: Unit, value: float) -> None:
    told = spoken.told(unit, abs(value) if unit == "seconds" else value)
    assert re.search(r"\d", told)
    assert "-" not in told
    assert not re.search(r"[−+]0\D*$", told)


@given(st.floats(min_value=-1e9, max_value=1e9), st.floats(min_value=-1e9, max_value=1e9))
def test_a_change_has_the_sign_of_the_difference(value: float, previous: float) -> None:
    told = EN.change("points", value, previous)
    assert told == "no change" or told.startswith("+" if value > previous else "−")


@pytest.mark.parametrize("locale", LOCALES)
def test_every_metric_has_a_name_and_a_definition(locale: str) -> None:
    told = {key: named(key, PLAYBOOK, language(locale)) for key in METRICS}
    assert all(one.name and one.definition.endswith(".") for one in told.values())
    assert not [one for one in told.values() if re.search("[{}]", one.name + one.definition)]
    assert not set(words_in(locale).metrics) - set(METRICS)


@pytest.mark.parametrize("locale", LOCALES)
def test_every_format_and_unit_has_a_word(locale: str) -> None:
    words = words_in(locale)
    assert not set(FORMATS) - set(words.ugc)
    assert [f"unit_{unit}" in words.say for unit in get_args(Unit)] == [True] * 5


def test_every_language_says_the_same_things_with_the_same_values() -> None:
    english, russian = written_in("en"), written_in("ru")
    assert english.keys() == russian.keys()
    differ = [
        key
        for key, text in english.items()
        if not key.startswith((".periods", ".subjects", ".say.first_"))
        and set(re.findall(r"{(\w+)}", text)) != set(re.findall(r"{(\w+)}", russian[key]))
    ]
    assert differ == []


def test_every_sentence_is_said_somewhere() -> None:
    said = "\n".join(path.read_text(encoding="utf-8") for path in FOLDER.parent.glob("*.py"))
    made = ("column_", "csv_", "unit_", "step_note_", "referrals_", "mail_", "needs_", "reason_", "lift_")
    assert [key for key in EN.words.say if not key.startswith(made) and f'"{key}"' not in said] == []


def test_definitions_say_what_the_playbook_says() -> None:
    assert "for 30 days" in named("churned", PLAYBOOK, EN).definition
    assert "€15.00 for a ticket" in named("cost_savings", PLAYBOOK, EN).definition
    assert "0,4 × вовлечённость" in named("health", PLAYBOOK, RU).definition


def test_a_language_that_is_not_written_is_named() -> None:
    with pytest.raises(UsageError, match="'de'; they are in en, ru"):
        words_in("de")
