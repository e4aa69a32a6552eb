"""Alarms against the template and the pages: each leads to a runbook that is there, and watches what is written."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from infra import ROOT, budget
from tests.infra.conftest import EVERYTHING_CHOSEN, Template
from tests.infra.test_template import functions, of_type
from tests.unit.test_docs import quoted, rows, section

RUNBOOK = re.compile(r"\. What to do: docs/runbooks/([a-z-]+)\.md$")
RUNBOOKS = ROOT / "docs" / "runbooks"


def alarms(template: Template) -> dict[str, dict[str, Any]]:
    """Every alarm by its name in the code; CloudFormation's ids end in eight characters of a hash."""
    found = of_type(template, "AWS::CloudWatch::Alarm").items()
    return {re.sub(r"Alarm[0-9A-F]{8}$", "", name): one for name, one in found}


def runbook(alarm: dict[str, Any]) -> str:
    told = RUNBOOK.search(alarm["AlarmDescription"])
    assert told, alarm["AlarmDescription"]
    return told[1]


def test_every_alarm_leads_to_a_runbook_that_is_there(template: Template) -> None:
    found = alarms(template)
    assert len(found) >= 21
    assert [name for name, one in found.items() if not (RUNBOOKS / f"{runbook(one)}.md").exists()] == []


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("DeadLog", "dead-letters"),
        ("AgendaOverdue", "overdue"),
        ("StreamAge", "stream-age"),
        ("LedgerImbalance", "ledger-imbalance"),
        ("MailsRefused", "parked-mails"),
        ("MailsInDoubt", "parked-mails"),
        ("Bounces", "reputation"),
        ("Complaints", "reputation"),
        ("BreakerTripped", "breaker-tripped"),
        ("RollupMissing", "rollup-missing"),
    ],
)
def test_whatever_calls_for_a_person_has_an_alarm_and_its_runbook(template: Template, name: str, page: str) -> None:
    assert runbook(alarms(template)[name]) == page


def test_spending_is_told_to_the_topic_with_its_runbook(other_template: Template) -> None:
    [made] = of_type(other_template, "AWS::Budgets::Budget").values()
    told = {one["Address"] for teller in made["NotificationsWithSubscribers"] for one in teller["Subscribers"]}
    assert told == {EVERYTHING_CHOSEN["alarm_topic_arn"]}
    [page] = re.findall(r"docs/runbooks/([a-z-]+)\.md$", made["Budget"]["BudgetName"])
    assert (RUNBOOKS / f"{page}.md").exists()
    # What AWS Budgets takes for a name.
    assert re.fullmatch(r"(?![^:\\]*/action/)[^:\\]{1,100}", made["Budget"]["BudgetName"])


def test_every_alarm_has_a_row_with_its_runbook_and_no_other(template: Template) -> None:
    table = rows(section("docs/operating.md", "## Alarms"))
    told = {re.sub("[-_]", "", name): row[2] for row in table for name in quoted(row[0])}
    found = alarms(template)
    assert set(told) == set(found)
    assert [name for name in told if f"(runbooks/{runbook(found[name])}.md)" not in told[name]] == []


def test_every_runbook_is_reached_by_an_alarm_or_by_doctor(template: Template) -> None:
    by_alarm = {runbook(one) for one in alarms(template).values()} | {budget.RUNBOOK}
    findings = (ROOT / "infra" / "findings.py").read_text(encoding="utf-8")
    pages = {page.stem for page in RUNBOOKS.glob("*.md")}
    assert by_alarm <= pages
    assert [page for page in sorted(pages - by_alarm) if f'"{page}"' not in findings] == []


def test_every_runbook_says_how_bad_where_to_look_and_when_it_is_over() -> None:
    for page in RUNBOOKS.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        missing = [part for part in ("**How bad is it?**", "## Look", "## Mend", "## Over when") if part not in text]
        assert (page.name, missing) == (page.name, [])


def test_figures_that_are_watched_are_figures_that_are_written(template: Template) -> None:
    code = {name: (ROOT / "functions" / f"{name}.py").read_text(encoding="utf-8") for name in functions(template)}
    ours = [one for one in alarms(template).values() if one.get("Namespace") == "Flywheel"]
    for one in ours:
        service = {dimension["Name"]: dimension["Value"] for dimension in one["Dimensions"]}["service"]
        assert f'"{one["MetricName"]}"' in code[service]
    assert {one["MetricName"] for one in ours} == {
        *("DaysRolled", "MarketingPaused", "Mails", "OldestOverdue", "SendsParked", "SendsStuck")
    }


@pytest.mark.parametrize("tick", ["onboarding", "watch"])
def test_a_tick_that_does_not_come_is_an_alarm(template: Template, tick: str) -> None:
    alarm = alarms(template)[f"Overdue{tick}"]
    assert (alarm["MetricName"], alarm["TreatMissingData"]) == ("Invocations", "breaching")
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanThreshold", 1)


def test_silence_is_no_alarm_where_nothing_may_happen(template: Template) -> None:
    breaching = {name for name, one in alarms(template).items() if one["TreatMissingData"] == "breaching"}
    assert {name for name in breaching if not name.startswith("Overdue")} == {"RollupMissing"}


def test_the_dashboard_shows_every_function_and_every_queue(template: Template) -> None:
    [dashboard] = of_type(template, "AWS::CloudWatch::Dashboard").values()
    body = json.dumps(dashboard["DashboardBody"])
    assert dashboard["DashboardName"] == "Flywheel"
    drawn = {name for name in of_type(template, "AWS::SQS::Queue") if f'"{name}"' in body}
    assert drawn == set(of_type(template, "AWS::SQS::Queue"))
    assert [name for name in functions(template) if f'\\"label\\":\\"{name}\\"' not in body.replace("\\\\", "\\")] == []
