"""What a function does not load before it can begin. Each thing here was most of what a cold start took, once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.builders import ROOT

BOTO3 = ("boto3", "s3transfer")
"""Clients are botocore's own."""

LOADED = """
import importlib, sys
importlib.import_module("functions." + sys.argv[1])
print(*sys.modules)
"""


@pytest.mark.parametrize(
    ("function", "unneeded"),
    [
        ("webhooks", (*BOTO3, "jinja2", "itsdangerous", "shared.rollups", "shared.mail", "shared.programmes")),
        ("onboarding", (*BOTO3, "jinja2", "itsdangerous", "shared.rollups", "shared.mail", "shared.report")),
        ("mail_followups", (*BOTO3, "jinja2", "itsdangerous", "matplotlib")),
    ],
)
def test_a_function_loads_nothing_that_it_does_not_need(function: str, unneeded: tuple[str, ...]) -> None:
    line = [sys.executable, "-c", LOADED, function]
    loaded = subprocess.run(line, check=True, capture_output=True, text=True, cwd=ROOT).stdout.split()
    assert "shared.app" in loaded
    assert [name for name in unneeded if name in loaded] == []
