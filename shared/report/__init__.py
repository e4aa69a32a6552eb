"""What a manager's report says: from facts to a `Report` in one language, with its charts as numbers.

Pure; knows no store, no mail and no drawing.
"""

from shared.report.build import build
from shared.report.facts import (
    PERIODS,
    Cohort,
    Delivery,
    Facts,
    Needs,
    ReferralResult,
    ReportKind,
    StepResult,
)
from shared.report.model import Block, Change, Chart, Group, Health, Line, Part, Report, Row, Series, Stage, Trend
from shared.report.table import csv_of
from shared.report.words import Language

__all__ = [
    "PERIODS",
    "Block",
    "Change",
    "Chart",
    "Cohort",
    "Delivery",
    "Facts",
    "Group",
    "Health",
    "Language",
    "Line",
    "Needs",
    "Part",
    "ReferralResult",
    "Report",
    "ReportKind",
    "Row",
    "Series",
    "Stage",
    "StepResult",
    "Trend",
    "build",
    "csv_of",
]
