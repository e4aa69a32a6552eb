"""Reports as tests ask for them: the sample community's, in a language, with some facts changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from infra.sample_report import first_days, sample_facts
from shared.metrics import Figure
from shared.report import Facts, Language, Report, build
from shared.report.model import Row
from shared.wording import Wording
from tests.builders import ROOT, a_playbook

PLAYBOOK = a_playbook()
WHOLE = sample_facts(PLAYBOOK)
FIRST_DAYS = first_days(PLAYBOOK)


def language(locale: str = "en") -> Language:
    """A language with its words."""
    wording = (ROOT / "shared" / "mails" / "wording" / f"{locale}.json").read_bytes()
    return Language.of(locale, Wording.model_validate_json(wording))


def a_report(facts: Facts = WHOLE, locale: str = "en", **changes: Any) -> Report:
    """A report in a language on facts of which some are changed."""
    return build(replace(facts, **changes), playbook=PLAYBOOK, language=language(locale))


def moved(**pairs: tuple[Figure, Figure]) -> dict[str, Any]:
    """The figures of a period and of the one before, in which nothing else is known: (now, before) by key."""
    now, before = ({key: pair[at] for key, pair in pairs.items()} for at in (0, 1))
    return {"figures": now, "previous": before}


def row(report: Report, key: str) -> Row:
    """A report's row of one figure."""
    return next(one for group in report.groups for one in group.rows if one.key == key)
