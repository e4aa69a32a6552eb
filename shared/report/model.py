"""A report as its reader gets it: in one language, every number already written out. JSON, so that it can be kept."""

from __future__ import annotations

from typing import Literal

from shared.events import Frozen
from shared.report.facts import ReportKind

Trend = Literal["better", "worse", "even", "unknown"]
"""What a change means: `even` where it is neither good nor bad, or there is none; `unknown` without a value before."""

GroupKey = Literal["growth", "engagement", "quality", "impact"]

ChartName = Literal["active", "turnover", "cohorts", "onboarding", "response"]


class Row(Frozen):
    """One metric. `previous`, `change` and `goal` are "" where there is none; `reached` is about the goal.

    `no_data` is whether `value` says so; `restated` whether it differs from what was first reported.
    """

    key: str
    name: str
    value: str
    previous: str
    change: str
    trend: Trend
    goal: str
    reached: bool
    definition: str
    no_data: bool
    restated: bool


class Group(Frozen):
    """A group of the dashboard."""

    key: GroupKey
    title: str
    rows: tuple[Row, ...]


class Part(Frozen):
    """A part of the health score: its points, its weight in the score ("40 %") and its change."""

    key: str
    name: str
    value: str
    weight: str
    change: str
    trend: Trend
    definition: str


class Health(Frozen):
    """The health score and its parts; `bar` is how full a bar of it is, in per cent, None without data."""

    value: str
    previous: str
    change: str
    trend: Trend
    bar: int | None
    parts: tuple[Part, ...]
    sentence: str
    definition: str


class Change(Frozen):
    """A figure that moved: what it did, and what the other figures say about it; `reason` may be ""."""

    key: str
    name: str
    headline: str
    reason: str
    trend: Trend


class Stage(Frozen):
    """A stage of the flywheel, told by one figure; one of five may have `moved_most`."""

    key: str
    title: str
    name: str
    value: str
    change: str
    trend: Trend
    moved_most: bool


class Line(Frozen):
    """Something and its number, or any short fact."""

    name: str
    value: str
    note: str = ""


class Block(Frozen):
    """A heading, its lines, and a sentence below them that may be ""."""

    key: str
    title: str
    lines: tuple[Line, ...]
    note: str = ""


class Series(Frozen):
    """Numbers to draw, one for each label of their chart; None is a gap, not a nought."""

    name: str
    values: tuple[float | None, ...]


class Chart(Frozen):
    """A picture of `series` over `labels`, what it shows in a sentence with figures, and its small table.

    `active` is lines over days, `turnover` two bars a week, `cohorts` a heat map (a label is a row, a series a column),
    `onboarding` bars by step (the first series is the whole of which the others are parts), `response` two lines over
    weeks in seconds.
    """

    name: ChartName
    title: str
    alt: str
    unit: Literal["count", "share", "seconds"]
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return all(value is None for one in self.series for value in one.values)


class Report(Frozen):
    """The report of one period in one language. Notes are "" where there is nothing to note.

    `id` is the period as it is written in names (`2026-W40`), `period` in words; `subject` and `preheader` are for the
    mail; `needs` is what waits for a person, with a note instead when nothing does.
    """

    kind: ReportKind
    locale: str
    id: str
    community: str
    title: str
    period: str
    as_of: str
    subject: str
    preheader: str
    too_little_history: str
    restated: str
    incomplete: str
    health: Health
    changes: tuple[Change, ...]
    unchanged: str
    groups: tuple[Group, ...]
    stages: tuple[Stage, ...]
    moved_most: str
    programmes: tuple[Block, ...]
    deliverability: Block
    planned: Block
    needs: Block
    charts: tuple[Chart, ...]
