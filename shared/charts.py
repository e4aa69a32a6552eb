"""Draws a report's charts as small pictures that can be read on a phone, whatever is around them: a light card each.

Knows no language: every word comes with the chart, every number is written by whoever asks. It brings in matplotlib, so
only the function that makes reports may import it. The same chart gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from math import ceil, floor, isnan, log10, nan

from matplotlib import rc_context, rcParamsDefault
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from shared.report import Chart
from shared.report.model import ChartName

Written = Callable[[float], str]
"""Writes a number of a chart in its unit, as the report's language does: `1,234`, `40 %`, `2 h`."""

WIDTH = 560
"""Pixels of the mail's column that a picture fills; it is drawn with twice as many."""

SCALE = 2
PHONE = 320
"""Pixels of a picture on a narrow phone."""

SMALLEST_TEXT = 11
"""Pixels of letters on such a phone, at least."""

# Okabe and Ito's colours, which people tell apart whatever colours they see; text is never told by colour alone.
BLUE, VERMILION, ORANGE, PURPLE = "#0072B2", "#D55E00", "#E69F00", "#CC79A7"
INK, MUTED, GRID, CARD, NOTHING = "#1F2933", "#52606D", "#D9DEE4", "#F7F9FB", "#E9EDF1"
_SHADES = LinearSegmentedColormap.from_list("shades", ["#E1EDF6", BLUE, "#06395C"])
CROWDED = 16
"""From more points on than this a line has no dots, and its first and last time stand within the axis."""

_COLOURS = 32
"""Of a picture, for lines and letters with soft edges: a fraction of the bytes of one in full colour."""

_HOUR = 3600
_SECONDS = (1, 5, 15, 30, 60, 300, 900, 1800, _HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR)
_DPI = 100 * SCALE
_POINTS = 72 / 100 * SMALLEST_TEXT * WIDTH / PHONE
_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": GRID,
    "axes.facecolor": CARD,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.h_pad": 0.12,
    "figure.constrained_layout.w_pad": 0.12,
    "figure.facecolor": CARD,
    "font.family": "DejaVu Sans",
    "font.size": _POINTS,
    "grid.color": GRID,
    "grid.linewidth": 1,
    "legend.borderaxespad": 0.4,
    "legend.columnspacing": 1.2,
    "legend.fontsize": _POINTS,
    "legend.frameon": False,
    "legend.handlelength": 1,
    "legend.handletextpad": 0.4,
    "legend.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelsize": _POINTS,
    "xtick.major.pad": 10,
    "xtick.major.size": 0,
    "ytick.color": MUTED,
    "ytick.labelsize": _POINTS,
    "ytick.major.size": 0,
}


def png(chart: Chart, written: Written) -> bytes:
    """A chart as a PNG of 1120 pixels' width; ValueError when there is nothing to draw."""
    if chart.is_empty:
        raise ValueError(f"the chart {chart.name!r} has nothing to draw")
    with rc_context({**rcParamsDefault, **_STYLE}):
        figure = Figure(figsize=(WIDTH / 100, _height(chart) / 100), dpi=_DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        _DRAWN[chart.name](chart, figure.add_subplot(), written)
        pixels, picture = BytesIO(), BytesIO()
        figure.savefig(pixels, format="rgba", dpi=_DPI)
    drawn = Image.frombytes("RGBA", canvas.get_width_height(), pixels.getvalue())
    drawn.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(picture, "PNG", optimize=True)
    return picture.getvalue()


def _height(chart: Chart) -> int:
    """Pixels of the mail: charts with a row for each label are as high as they need to be."""
    each = {"cohorts": 34, "onboarding": 62}.get(chart.name)
    return 330 if each is None else 80 + each * len(chart.labels)


def _lines(chart: Chart, axes: Axes, written: Written) -> None:
    """Lines over time, with the newest value at the end of each; gaps where there is none."""
    at = range(len(chart.labels))
    for one, colour in zip(chart.series, (BLUE, VERMILION), strict=False):
        values = _numbers(one.values)
        dot = "o" if len(values) <= CROWDED else ""
        axes.plot(at, values, color=colour, linewidth=2.2, marker=dot, markersize=5, label=one.name, clip_on=False)
    _scale(chart, axes, written)
    _name_ends(chart, axes, written)
    _name_times(chart.labels, axes)
    _legend(axes)


def _name_ends(chart: Chart, axes: Axes, written: Written) -> None:
    """The last value of each line beside its end, kept apart where the lines end close together."""
    ends = [
        (values[-1], colour)
        for one, colour in zip(chart.series, (BLUE, VERMILION), strict=False)
        if not isnan((values := _numbers(one.values))[-1])
    ]
    apart = axes.get_ylim()[1] / 10
    lowest = -apart
    for value, colour in sorted(ends):
        lowest = max(value, lowest + apart)
        axes.annotate(
            written(value),
            (len(chart.labels) - 1, lowest),
            xytext=(7, 0),
            textcoords="offset points",
            annotation_clip=False,
            color=colour,
            va="center",
            weight="bold",
        )


def _bars(chart: Chart, axes: Axes, written: Written) -> None:
    """Two bars for each label, side by side."""
    wide = 0.8 / len(chart.series)
    for number, (one, colour) in enumerate(zip(chart.series, (BLUE, VERMILION), strict=False)):
        at = [place - 0.4 + wide * (number + 0.5) for place in range(len(chart.labels))]
        axes.bar(at, _numbers(one.values), width=wide * 0.92, color=colour, label=one.name)
    _scale(chart, axes, written)
    _name_times(chart.labels, axes)
    _legend(axes)


def _heat(chart: Chart, axes: Axes, written: Written) -> None:
    """A table of shares, whose cells are the darker the more they hold; one that is not known yet stays blank."""
    rows = list(zip(*(_numbers(one.values) for one in chart.series), strict=True))
    highest = _highest(chart) or 1.0
    axes.set_facecolor(NOTHING)
    axes.imshow(rows, cmap=_SHADES, vmin=0, vmax=highest, aspect="auto", interpolation="nearest")
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            if not isnan(value):
                colour = _readable_on(_SHADES(value / highest))
                axes.text(column, row, written(round(value, 2)), ha="center", va="center", color=colour)
    axes.set_xticks(range(len(chart.series)), [one.name for one in chart.series])
    axes.set_yticks(range(len(chart.labels)), chart.labels)
    axes.xaxis.tick_top()
    for line in (place - 0.5 for place in range(1, len(rows))):
        axes.axhline(line, color=CARD, linewidth=3)
    for line in (place - 0.5 for place in range(1, len(chart.series))):
        axes.axvline(line, color=CARD, linewidth=3)
    axes.spines["bottom"].set_visible(False)


def _readable_on(shade: tuple[float, float, float, float]) -> str:
    """White or ink, whichever stands out more, by the contrast ratio of WCAG 2."""
    light = _luminance(shade[:3])
    against_white, against_ink = 1.05 / (light + 0.05), (light + 0.05) / (_luminance(to_rgb(INK)) + 0.05)
    return "white" if against_white > against_ink else INK


def _luminance(colour: Sequence[float]) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _steps(chart: Chart, axes: Axes, written: Written) -> None:
    """For each step its name, and below a bar of its parts as long as the step's whole, with the whole at its end."""
    whole, *parts = chart.series
    wholes = _numbers(whole.values)
    longest = _highest(chart) or 1.0
    begun = [0.0] * len(wholes)
    for one, colour in zip(parts, (BLUE, ORANGE, MUTED, PURPLE), strict=False):
        lengths = [0.0 if isnan(value) else value for value in _numbers(one.values)]
        if any(lengths):
            axes.barh(range(len(wholes)), lengths, left=begun, height=0.36, color=colour, label=one.name)
        begun = [start + length for start, length in zip(begun, lengths, strict=True)]
    for row, (name, value) in enumerate(zip(chart.labels, wholes, strict=True)):
        axes.text(0, row - 0.28, name, va="bottom", color=INK)
        if not isnan(value):
            axes.text(value + longest / 60, row, written(value), va="center", color=INK, weight="bold")
    axes.set_xlim(0, longest * 1.14)
    axes.set_ylim(len(wholes) - 0.7, -0.7)
    axes.set_axis_off()
    _legend(axes)


_DRAWN: Mapping[ChartName, Callable[[Chart, Axes, Written], None]] = {
    "active": _lines,
    "turnover": _bars,
    "cohorts": _heat,
    "onboarding": _steps,
    "response": _lines,
}


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [nan if value is None else float(value) for value in values]


def _highest(chart: Chart) -> float:
    return max((value for one in chart.series for value in one.values if value is not None), default=0.0)


def _scale(chart: Chart, axes: Axes, written: Written) -> None:
    """From nought up, with a few round numbers."""
    ticks = round_numbers(_highest(chart), chart.unit)
    axes.set_ylim(0, ticks[-1])
    axes.set_yticks(ticks, [written(tick) for tick in ticks])
    axes.grid(axis="y")


def round_numbers(highest: float, unit: str) -> list[float]:
    """From nought to `highest` or the next round number: three to five of them, whole ones where things are counted."""
    least = max(highest, 1.0 if unit == "count" else 60.0 if unit == "seconds" else 0.01) / 4
    if unit == "seconds" and least <= _SECONDS[-1]:
        step = float(next(one for one in _SECONDS if one >= least))
    elif unit == "seconds":
        step = 24.0 * _HOUR * ceil(least / (24 * _HOUR))
    else:
        ten = 10.0 ** floor(log10(least))
        step = next(ten * one for one in (1, 2, 2.5, 5, 10) if ten * one >= least * (1 - 1e-9))
        step = max(1.0, float(ceil(step))) if unit == "count" else step
    return [step * number for number in range(max(1, ceil(highest / step - 1e-9)) + 1)]


def _name_times(labels: Sequence[str], axes: Axes) -> None:
    """As many of the times below the axis as there is room for, evenly apart, the first and the last among them."""
    last = len(labels) - 1
    axes.set_xticks([0, last], [max(labels, key=len)] * 2)
    _figure(axes).draw_without_rendering()  # so that it is known how wide the words are, and the axis
    widest = max(text.get_window_extent().width for text in axes.get_xticklabels())
    named = max(2, min(5, len(labels), int(axes.get_window_extent().width / (widest * 1.25))))
    places = sorted({round(number * last / (named - 1)) for number in range(named)})
    axes.set_xticks(places, [labels[place] for place in places])
    for text, place in zip(axes.get_xticklabels(), places, strict=True):
        if len(labels) > CROWDED and place in {0, last}:
            text.set_horizontalalignment("right" if place else "left")


def _legend(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    _figure(axes).legend(handles, labels, loc="outside upper left", ncols=2 if len(labels) > 3 else len(labels))


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)  # noqa: S101 - axes are only ever made on the figure of `png` # nosec B101
    return figure
