"""Charts as pictures: small, the same every time, made of what they are given, and readable on a phone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from io import BytesIO
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from infra import ROOT
from shared.charts import BLUE, CARD, NOTHING, PHONE, SMALLEST_TEXT, VERMILION, WIDTH, png, round_numbers
from shared.report import Chart, Series
from shared.report.model import ChartName

WEEKS = [f"{day} Oct" for day in range(1, 13)]
HEAVIEST = 40_000

WHOLE: dict[ChartName, tuple[Sequence[str], dict[str, Sequence[float | None]]]] = {
    "active": (
        [f"{1 + day} October" for day in range(90)],
        {
            "MAU": [1180 + 3 * day + day * 7919 % 40 for day in range(90)],
            "DAU": [200 + day % 7 * 9 for day in range(90)],
        },
    ),
    "turnover": (
        WEEKS,
        {"New": [week * 7 % 60 for week in range(12)], "Churned": [week * 5 % 40 for week in range(12)]},
    ),
    "cohorts": (WEEKS, {"D1": [0.5] * 12, "D7": [0.25] * 11 + [None], "D30": [0.1] * 8 + [None] * 4}),
    "onboarding": (
        ["Welcome, day 1", "Check-in, day 3", "Digest, day 7", "Survey, day 14", "Ambassadors, day 30"],
        {"Due": [52, 48, 40, 31, 22], "Sent": [50, 40, 33, 25, 12], "Skipped": [2, 8, 7, 6, 10]},
    ),
    "response": (
        WEEKS,
        {"Median": [1800 + 60 * week for week in range(12)], "90 %": [None, *range(9000, 20_000, 1000)]},
    ),
}


def a_chart(name: ChartName = "active", **changes: Sequence[float | None]) -> Chart:
    labels, series = WHOLE[name]
    unit = "share" if name == "cohorts" else "seconds" if name == "response" else "count"
    return Chart(
        name=name,
        title="A chart",
        alt="What it shows",
        unit=unit,  # type: ignore[arg-type]
        labels=tuple(labels),
        series=tuple(Series(name=key, values=tuple(values)) for key, values in {**series, **changes}.items()),
        columns=(),
        rows=(),
    )


def plain(value: float) -> str:
    return f"{value:g}"


def colours(picture: bytes) -> set[str]:
    found = Image.open(BytesIO(picture)).convert("RGB").getcolors(maxcolors=1 << 20)
    assert found is not None
    return {"#{:02X}{:02X}{:02X}".format(*colour) for _, colour in found}  # type: ignore[misc]


@pytest.mark.parametrize("name", WHOLE)
def test_a_chart_is_a_small_picture_at_twice_the_width(name: ChartName) -> None:
    picture = png(a_chart(name), plain)
    drawn = Image.open(BytesIO(picture))
    assert (drawn.format, drawn.width) == ("PNG", 2 * WIDTH)
    assert 2_000 < len(picture) <= HEAVIEST


def test_the_heaviest_chart_in_the_longest_words_stays_small() -> None:
    weeks = [f"{day} сент." for day in range(13, 26)]
    shares = {"День 1": [0.554 + week / 100 for week in range(13)], "День 7": [0.379 + week / 90 for week in range(13)]}
    heat = a_chart("cohorts").model_copy(
        update={
            "labels": tuple(weeks),
            "series": tuple(
                Series(name=name, values=tuple(shares[name.replace("30", "7")])) for name in (*shares, "День 30")
            ),
        }
    )
    assert len(png(heat, lambda share: f"{100 * share:g}\N{NO-BREAK SPACE}%".replace(".", ","))) <= HEAVIEST


@pytest.mark.parametrize("name", WHOLE)
def test_the_same_chart_gives_the_same_bytes(name: ChartName) -> None:
    picture = png(a_chart(name), plain)
    assert png(a_chart(name), plain) == picture
    assert Image.open(BytesIO(picture)).info == {}


@pytest.mark.parametrize("name", WHOLE)
def test_a_chart_brings_its_own_light_card(name: ChartName) -> None:
    drawn = Image.open(BytesIO(png(a_chart(name), plain))).convert("RGB")
    corners = [(0, 0), (drawn.width - 1, 0), (0, drawn.height - 1), (drawn.width - 1, drawn.height - 1)]
    assert {"#{:02X}{:02X}{:02X}".format(*drawn.getpixel(corner)) for corner in corners} == {CARD}  # type: ignore[misc]


@pytest.mark.parametrize("name", ["active", "turnover", "response"])
def test_both_series_are_drawn_in_their_colours(name: ChartName) -> None:
    assert {BLUE, VERMILION} <= colours(png(a_chart(name), plain))


def test_one_other_value_is_another_picture() -> None:
    steps = [50.0, 40, 33, 25, 11]
    assert png(a_chart("onboarding", Sent=steps), plain) != png(a_chart("onboarding"), plain)


def test_a_cohort_that_is_too_young_is_blank() -> None:
    known = a_chart("cohorts", D1=[0.5] * 12, D7=[0.2] * 12, D30=[0.1] * 12)
    assert NOTHING in colours(png(a_chart("cohorts"), plain))
    assert NOTHING not in colours(png(known, plain))


def test_a_gap_is_not_drawn_as_nought() -> None:
    values = list(range(90, 180))
    gap, nought = [*values[:40], None, *values[41:]], [*values[:40], 0, *values[41:]]
    assert png(a_chart("active", DAU=gap), plain) != png(a_chart("active", DAU=nought), plain)


def test_a_chart_of_a_single_day_is_drawn() -> None:
    one = Chart(
        name="active",
        title="",
        alt="",
        unit="count",
        labels=("1 October",),
        series=(Series(name="MAU", values=(3,)), Series(name="DAU", values=(None,))),
        columns=(),
        rows=(),
    )
    assert BLUE in colours(png(one, plain))


@pytest.mark.parametrize("name", WHOLE)
def test_a_chart_of_noughts_is_drawn(name: ChartName) -> None:
    noughts = {key: [0.0] * len(WHOLE[name][0]) for key in WHOLE[name][1]}
    assert png(a_chart(name, **noughts), plain)


def test_a_chart_of_nothing_is_refused() -> None:
    empty = {"MAU": [None] * 90, "DAU": [None] * 90}
    with pytest.raises(ValueError, match="nothing to draw"):
        png(a_chart("active", **empty), plain)


def test_numbers_are_written_as_they_are_told() -> None:
    told: list[float] = []

    def russian(value: float) -> str:
        told.append(value)
        return f"{value:g} ₽".replace(".", ",")

    picture = png(a_chart("turnover"), russian)
    assert told == [0, 20, 40, 60]
    assert picture != png(a_chart("turnover"), plain)


def test_letters_are_readable_on_a_phone() -> None:
    """The height of a capital is 0.73 of the size of DejaVu Sans; a size of 11 pixels is eight of them."""
    alone = a_chart("cohorts").model_copy(
        update={"labels": ("H",), "series": (Series(name=" ", values=(0.0,)),)},
    )
    drawn = Image.open(BytesIO(png(alone, lambda _: " "))).convert("L")
    left = drawn.crop((0, 0, 60, drawn.height)).point(lambda shade: 255 if shade < 150 else 0)
    box = left.getbbox()
    assert box is not None
    assert (box[3] - box[1]) * PHONE / (2 * WIDTH) >= 0.7 * SMALLEST_TEXT


@given(st.floats(0, 1e9), st.sampled_from(["count", "share", "seconds"]))
def test_an_axis_has_few_round_numbers_up_to_the_highest(highest: float, unit: str) -> None:
    ticks = round_numbers(highest, unit)
    assert ticks[0] == 0
    assert ticks[-1] >= highest * (1 - 1e-6)
    assert 2 <= len(ticks) <= 6
    assert all(later > earlier for earlier, later in pairwise(ticks))
    assert unit != "count" or all(tick.is_integer() for tick in ticks)


def test_only_drawing_brings_in_matplotlib() -> None:
    modules = [
        "functions." + file.stem for file in sorted((ROOT / "functions").glob("*.py")) if file.stem != "manager_report"
    ]
    imports = "".join(f"import {name}\n" for name in modules)
    script = f"import sys\n{imports}print('matplotlib' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
