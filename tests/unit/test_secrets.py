"""No secret of anybody's is in the project: whatever looks like one is listed here with what it is instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from detect_secrets.core.scan import scan_file
from detect_secrets.settings import transient_settings

from tests.builders import ROOT
from tests.unit.test_docs import files

DETECTORS = (
    "ArtifactoryDetector",
    "AWSKeyDetector",
    "AzureStorageKeyDetector",
    "Base64HighEntropyString",
    "BasicAuthDetector",
    "DiscordBotTokenDetector",
    "GitHubTokenDetector",
    "HexHighEntropyString",
    "JwtTokenDetector",
    "KeywordDetector",
    "MailchimpDetector",
    "NpmDetector",
    "PrivateKeyDetector",
    "SendGridDetector",
    "SlackDetector",
    "SquareOAuthDetector",
    "StripeDetector",
    "TwilioKeyDetector",
)
"""What is looked for; nothing that is found is tried out over the network."""

HASHES_OF_PACKAGES = re.compile(r"^(requirements/.*\.txt|package-lock\.json)$")

HARMLESS = {
    r"[0-9a-f]{32}": "the digest that the id of a golden event ends with",
    r"deprecated|unused": "Slack's old token, which nothing reads",
    r"whsec_\.\.\.": "where the reader puts their own",
    r"\{\}|test": "no secret at all, and what the local stack takes for a key of AWS",
    r"token|t1|t2|another|act": "the name of an attribute, fencing tokens of tests, and a verdict",
    r"rewards|webhook|links|key|a-link-key": "names of secrets, and keys of tests",
    r"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw": "Standard Webhooks' public test vector",
    r"[0-9a-f]{64}": "signatures of public test vectors",
    r"msg_p5jXN8AQM9LWM0D4loKWxJek": "the id of the message of that test vector",
    r"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_": "an alphabet",
}
"""What looks like a secret and is none: the whole of it, and what it is."""

Found = dict[str, list[str]]


@pytest.fixture(scope="module")
def found() -> Found:
    """Everything in the project that looks like a secret: value -> where."""
    looks: Found = {}
    with transient_settings({"plugins_used": [{"name": name} for name in DETECTORS]}):
        for file in scanned():
            for one in scan_file(str(file)):
                where = f"{file.relative_to(ROOT)}:{one.line_number} ({one.type})"
                looks.setdefault(str(one.secret_value), []).append(where)
    return looks


def scanned() -> Iterator[Path]:
    return (file for file in files() if not HASHES_OF_PACKAGES.match(str(file.relative_to(ROOT))))


def harmless(value: str) -> bool:
    return any(re.fullmatch(known, value) for known in HARMLESS)


def test_nothing_in_the_project_is_a_secret(found: Found) -> None:
    assert [where for value, where in found.items() if not harmless(value)] == []


def test_only_what_is_there_is_called_harmless(found: Found) -> None:
    assert [known for known in HARMLESS if not any(re.fullmatch(known, value) for value in found)] == []


def test_a_secret_would_be_found(tmp_path: Path) -> None:
    # Put together here, or else this very file would hold what it warns of.
    leaked = tmp_path / "settings.py"
    leaked.write_text("key = " + repr("AKIA" + "QZ7RNVLO5DX2MJKE") + "\n", encoding="utf-8")
    with transient_settings({"plugins_used": [{"name": name} for name in DETECTORS]}):
        values = [str(one.secret_value) for one in scan_file(str(leaked))]
    assert values
    assert not any(map(harmless, values))
