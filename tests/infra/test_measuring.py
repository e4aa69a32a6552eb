"""The state machine of large days in the template: what it does, and what it may do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.largedays import SHARDS
from shared.store import keys
from tests.infra.conftest import Template
from tests.infra.test_grants import actions_of, grants, listed
from tests.infra.test_template import functions, of_type


def machine(template: Template) -> dict[str, Any]:
    (found,) = of_type(template, "AWS::StepFunctions::StateMachine").values()
    return found


def rollup_function(template: Template) -> str:
    found = of_type(template, "AWS::Lambda::Function").items()
    (name,) = [name for name, one in found if one["Handler"] == "functions.metrics_rollup.handler"]
    return name


def test_every_shard_is_read_and_then_the_whole_and_both_are_tried_again(template: Template) -> None:
    states = json.loads(machine(template)["DefinitionString"])["States"]
    shards, whole = states["Shards"], states["Whole"]
    inside = shards["ItemProcessor"]["States"]["Shard"]
    assert (shards["Type"], shards["ItemsPath"], shards["Next"]) == ("Map", "$.shards", "Whole")
    assert shards["ItemSelector"]["shard.$"] == "$$.Map.Item.Value"
    assert whole["Parameters"] == {name: path for name, path in shards["ItemSelector"].items() if name != "shard.$"}
    assert [one["Resource"] for one in (inside, whole)] == ["${function}"] * 2
    assert all(one["Retry"][0]["MaxAttempts"] > 0 for one in (inside, whole))
    assert SHARDS == keys.LOG_SHARDS


def test_the_machine_may_invoke_that_function_and_nothing_else(template: Template) -> None:
    role = machine(template)["RoleArn"]["Fn::GetAtt"][0]
    (allowed,) = [one for owner, one in grants(template) if owner == role]
    assert allowed["Action"] == "lambda:InvokeFunction"
    assert allowed["Resource"] == {"Fn::GetAtt": [rollup_function(template), "Arn"]}


def test_a_shard_that_runs_out_of_its_time_fails_before_the_run_does(template: Template) -> None:
    definition = json.loads(machine(template)["DefinitionString"])
    again = definition["States"]["Whole"]["Retry"][0]
    waits = sum(again["IntervalSeconds"] * again["BackoffRate"] ** attempt for attempt in range(again["MaxAttempts"]))
    longest = (again["MaxAttempts"] + 1) * functions(template)["metrics_rollup"]["Timeout"] + waits
    assert longest < definition["TimeoutSeconds"]


def test_that_function_alone_may_start_the_machine_and_nothing_else(template: Template) -> None:
    assert [name for name in functions(template) if actions_of(template, name, "states")] == ["metrics_rollup"]
    (allowed,) = [one for _, one in grants(template) if "states:StartExecution" in listed(one["Action"])]
    told = functions(template)["metrics_rollup"]["Environment"]["Variables"]["FLYWHEEL_LARGE_DAYS_MACHINE"]
    assert allowed["Action"] == "states:StartExecution"
    assert allowed["Resource"] == told
    assert json.dumps(told).endswith(f':stateMachine:{machine(template)["StateMachineName"]}"]]}}')


def test_days_are_measured_every_hour_some_minutes_past_it(template: Template) -> None:
    schedules = of_type(template, "AWS::Scheduler::Schedule").values()
    wanted = {"Fn::GetAtt": [rollup_function(template), "Arn"]}
    (schedule,) = [one for one in schedules if one["Target"]["Arn"] == wanted]
    assert schedule["ScheduleExpression"] == "cron(7 * * * ? *)"


def test_a_tick_has_the_time_and_the_processor_to_measure(template: Template) -> None:
    function = functions(template)["metrics_rollup"]
    assert (function["Timeout"], function["MemorySize"]) == (900, 1769)


@pytest.mark.parametrize("how", ["Failed", "TimedOut"])
def test_a_run_that_ends_without_its_figures_raises_an_alarm(
    template: Template, other_template: Template, how: str
) -> None:
    for one in (template, other_template):
        [alarm] = [
            alarm
            for name, alarm in of_type(one, "AWS::CloudWatch::Alarm").items()
            if name.startswith(f"LargeDays{how}")
        ]
        assert (alarm["MetricName"], alarm["Threshold"]) == (f"Executions{how}", 1)
