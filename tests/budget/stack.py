"""What the template says of the bill: memory, schedules, queues, alarms, and how long logs are kept."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from infra.local.assembly import assembly

HOURS = 730
"""Of a month, as AWS counts them."""

OF_A_KIND = {"daily": 30.4, "weekly": 4.35, "monthly": 1}
"""Reports a month."""

Template = dict[str, Any]


def synthesised() -> Template:
    """The stack's template, as it goes to production."""
    template: Template = json.loads((assembly() / "Flywheel.template.json").read_text(encoding="utf-8"))
    return template


def stack_of(template: Template) -> dict[str, Any]:
    """The template's share of the budget file."""
    functions = _of_type(template, "AWS::Lambda::Function")
    names = {name: one["Handler"].split(".")[1] for name, one in functions.items()}
    schedules = list(_of_type(template, "AWS::Scheduler::Schedule").values())
    ticks, reports = Counter[str](), dict[str, float]()
    for one in schedules:
        kind = json.loads(one["Target"]["Input"]).get("kind")
        if kind:
            reports[kind] = OF_A_KIND[kind]
        else:
            ticks[names[one["Target"]["Arn"]["Fn::GetAtt"][0]]] += per_month(one["ScheduleExpression"])
    mappings = _of_type(template, "AWS::Lambda::EventSourceMapping").values()
    polled = [one["FunctionName"]["Ref"] for one in mappings if "Queue" in json.dumps(one["EventSourceArn"])]
    retention = max(one["RetentionInDays"] for one in _of_type(template, "AWS::Logs::LogGroup").values())
    return {
        "memory": {names[name]: one["MemorySize"] for name, one in sorted(functions.items())},
        "ticks": dict(sorted(ticks.items())),
        "reports": reports,
        "queues": sorted(names[one] for one in polled),
        "alarms": sum(len(one.get("Metrics", [1])) for one in _of_type(template, "AWS::CloudWatch::Alarm").values()),
        "dashboards": len(_of_type(template, "AWS::CloudWatch::Dashboard")),
        "log_months": retention // 30,
    }


def per_month(expression: str) -> int:
    """How often a month a schedule fires: `rate(5 minutes)`, or a cron whose minute alone is named."""
    if rate := re.fullmatch(r"rate\((\d+) minutes?\)", expression):
        return 60 * HOURS // int(rate[1])
    if cron := re.fullmatch(r"cron\((?:\d+/(\d+)|\d+) \* \* \* \? \*\)", expression):
        return HOURS * (60 // int(cron[1]) if cron[1] else 1)
    raise ValueError(f"not a schedule whose firings can be counted: {expression}")


def _of_type(template: Template, kind: str) -> dict[str, Any]:
    return {name: found["Properties"] for name, found in template["Resources"].items() if found["Type"] == kind}
