"""What the documents say is held against the code: a table that leaves something out, or names what is gone, fails."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from typer.main import get_command

from infra import cli, doctor, letters, referred, why
from infra.app import CONTEXT
from infra.local.inbox import REASONS
from shared import feedback, links, referral_links
from shared.events import CommunityEvent
from shared.ledger import Facts, WhyNot, why_not_send
from shared.model import Send, SendStatus, Void
from shared.platforms import discourse, slack, standard
from shared.playbook import Playbook, check
from shared.programmes import Programme
from tests.builders import ROOT, a_member, a_planned_mail, a_playbook, a_send, at, raw_playbook

SYSTEMS = (
    "Onboarding (activation)",
    "Re-engagement",
    "Referrals",
    "Metrics",
    "Manager reports",
    "Ambassadors",
    "Moderation",
    "Content calendar and events",
    "Weekly digest",
    "User-generated content and recognition",
    "Strategy and set-up",
)

WORDS = (
    *("member", "identity", "platform", "event", "log", "playbook", "programme", "step", "agenda", "due", "arm"),
    *("tick", "facts", "action", "send", "claim", "lease", "skip", "defer", "park", "suppression", "consent"),
    *("category", "budget", "quiet hours", "attempt", "holdout", "dormant", "highlight", "variant", "breaker", "ramp"),
    *("referrer", "referee", "touch", "attribution", "referral", "hold", "void", "case", "review", "reward"),
    *("grant", "reversal", "level", "notice", "receiver"),
)

PROMISE = (
    "a mail can go twice only if SES accepts it, its reply is lost, and its Send event never arrives, "
    "and only for at-least-once classes"
)

NOT_OURS = re.compile(
    r"registry\.(?:npmjs|yarnpkg)|pypi\.org|pythonhosted\.org|proxy\.golang|/(?:work|root)/|/(?:home|Users)/\w"
)
"""Addresses of package indexes, and places on somebody's machine."""


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def files() -> tuple[Path, ...]:
    """Every file of the project but what git ignores."""
    ignored = {line.strip("/") for line in read(".gitignore").splitlines()} | {".git"}
    found: list[Path] = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in ignored]
        found += [Path(folder, name) for name in names if name not in ignored and not name.endswith(".pyc")]
    return tuple(sorted(found))


def documents() -> list[str]:
    return [str(file.relative_to(ROOT)) for file in files() if file.suffix == ".md"]


def section(document: str, heading: str) -> str:
    """What stands below a heading, up to the next one of its level or above."""
    level = heading.split(" ", maxsplit=1)[0]
    text = re.sub(r"^```.*?^```$", "", read(document), flags=re.MULTILINE | re.DOTALL)
    return re.split(rf"^#{{1,{len(level)}}} ", text.split(f"\n{heading}\n", maxsplit=1)[1], flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row, without heads."""
    lines = [line.strip().strip("|") for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]
    heads = {at - 1 for at, row in enumerate(cells) if set("".join(row)) <= set("-: ")}
    return [row for at, row in enumerate(cells) if at not in heads and at - 1 not in heads]


def rows_below(head: str, text: str) -> list[list[str]]:
    """The cells of the rows of those tables whose first head is this one."""
    tables = re.findall(r"(?:^\|.*\n?)+", text, flags=re.MULTILINE)
    return [row for table in tables if re.match(rf"\| {head} \|", table) for row in rows(table)]


def quoted(text: str) -> set[str]:
    """Everything that stands in backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


def first_cells(text: str) -> set[str]:
    """What stands in backticks in the first cell of every table row."""
    return {name for row in rows(text) for name in quoted(row[0])}


def key_paths(model: type[BaseModel], at: str = "") -> Iterator[str]:
    """Every key of a model and below it, as the documents write it: `onboarding.steps[].key`, `senders.<name>.name`."""
    for name, field in model.model_fields.items():
        path = f"{at}{field.alias or name}"
        yield path
        for below, placeholder in _models_below(field.annotation, name):
            yield from key_paths(below, f"{path}{placeholder}.")


def _models_below(annotation: Any, name: str) -> Iterator[tuple[type[BaseModel], str]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, ""
        return
    if isinstance(annotation, UnionType):
        for one in get_args(annotation):
            yield from _models_below(one, name)
        return
    *_, last = get_args(annotation) or (None,)
    placeholder = {"list": "[]", "dict": ".<mail>" if name == "mails" else ".<name>"}
    if isinstance(last, type) and issubclass(last, BaseModel):
        yield last, placeholder[annotation.__origin__.__name__]


def command_names(group: Any, before: str = "flywheel") -> Iterator[str]:
    for name, command in group.commands.items():
        below = getattr(command, "commands", None)
        yield from command_names(command, f"{before} {name}") if below else [f"{before} {name}"]


def anchors(document: Path) -> set[str]:
    """The fragments that headings of a document can be linked by, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def relative_links(document: str) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", read(document), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    return [link for link in found if not re.match(r"[a-z]+:", link)]


class TestReadme:
    def test_feature_table_has_the_eleven_systems(self) -> None:
        table = rows(section("README.md", "## What works"))
        assert [(row[0], row[1]) for row in table] == [(str(at), name) for at, name in enumerate(SYSTEMS, start=1)]

    def test_a_system_works_or_does_not_yet(self) -> None:
        states = {row[1]: row[2].strip("*") for row in rows(section("README.md", "## What works"))}
        working = {name for name, state in states.items() if state == "works"}
        assert working == {"Onboarding (activation)", "Re-engagement", "Referrals", "Metrics", "Manager reports"}
        assert set(states.values()) == {"works", "not yet"}

    def test_every_command_is_explained_and_no_other(self) -> None:
        explained = first_cells(section("README.md", "## Your own community"))
        assert explained == set(command_names(get_command(cli.app)))

    def test_deploy_choices_are_those_of_the_app(self) -> None:
        known = set(CONTEXT) - {"machine"}  # the local stack's own
        assert first_cells(section("README.md", "## Deploy it")) == known

    def test_promise_about_sending_stands_word_for_word(self) -> None:
        for document in ("README.md", "docs/how-it-works.md"):
            assert PROMISE in " ".join(read(document).split())

    def test_make_targets_named_in_documents_exist(self) -> None:
        targets = set(re.findall(r"^([a-z]+):", read("Makefile"), flags=re.MULTILINE))
        for document in documents():
            commands = "\n".join([*quoted(read(document)), *re.findall(r"^make .+$", read(document), re.MULTILINE)])
            assert set(re.findall(r"^make ([a-z]+)\b", commands, re.MULTILINE)) <= targets

    def test_discourse_hooks_to_enable_are_those_read(self) -> None:
        named = quoted(section("README.md", "### Connect Discourse"))
        assert {name for name in named if re.fullmatch(r"[a-z]+_[a-z_]+", name)} - {"retry_web_hook_events"} == set(
            discourse._READERS
        )

    def test_slack_events_to_subscribe_are_those_read(self) -> None:
        named = {name.split(".")[0] for name in quoted(section("README.md", "### Connect Slack"))}
        assert named >= set(slack._READERS)


class TestHowItWorks:
    def test_every_function_has_a_row_and_no_other(self) -> None:
        modules = {file.stem for file in (ROOT / "functions").glob("*.py")} - {"__init__"}
        assert first_cells(section("docs/how-it-works.md", "## The functions")) == modules

    def test_every_key_of_the_table_has_a_row(self) -> None:
        made = set(re.findall(r'"([A-Z]+(?:#|(?=")))', read("shared/store/keys.py")))
        table = rows(section("docs/how-it-works.md", "## The table"))
        told = {"".join(re.findall("^[A-Z]+#?", name)) for row in table for cell in row[1:3] for name in quoted(cell)}
        assert {"NEWS", "ATTEMPTS#", "PULSE#", "BREAKER", "PAUSE"} <= made
        assert made == told - {""}

    def test_every_state_of_a_send_has_a_row(self) -> None:
        assert first_cells(section("docs/how-it-works.md", "## The send ledger")) == {one.value for one in SendStatus}

    def test_every_kind_of_feedback_has_a_row_and_no_other(self) -> None:
        assert first_cells(section("docs/how-it-works.md", "## What SES tells of a send")) == set(
            get_args(feedback.Kind)
        )

    def test_feedback_that_counts_for_the_breaker_says_so(self) -> None:
        table = rows(section("docs/how-it-works.md", "## What SES tells of a send"))
        counted = {name for row in table if "counts for the breaker" in row[2] for name in quoted(row[0])}
        assert counted == feedback.COUNTED

    def test_feedback_that_changes_a_member_says_how(self) -> None:
        table = rows(section("docs/how-it-works.md", "## What SES tells of a send"))
        noted = {name for row in table if row[2].startswith("noted") for name in quoted(row[0])}
        assert noted.isdisjoint(feedback._FOLDS)
        assert noted | set(feedback._FOLDS) | {"send"} == set(get_args(feedback.Kind))

    def test_every_link_has_a_row_and_no_other(self) -> None:
        paths = {f"/l/{kind}" for kind in links._PURPOSES} | {"/l/r", referral_links.JOIN_PATH}
        assert first_cells(section("docs/how-it-works.md", "### The links")) == paths


class TestPlaybook:
    def test_every_key_has_a_row_and_no_other(self) -> None:
        keys = rows_below("key", read("docs/playbook.md"))
        assert {name for row in keys for name in quoted(row[0])} == set(key_paths(Playbook))

    def test_categories_and_their_mails_are_those_of_the_playbook(self) -> None:
        playbook = a_playbook()
        told = {row[0].strip("`"): quoted(row[1]) for row in rows_below("category", read("docs/playbook.md"))}
        assert list(told) == list(playbook.categories)
        assert told == {
            category: {name for name, mail in playbook.mails.items() if mail.category == category}
            for category in playbook.categories
        }

    def test_the_example_of_the_budget_is_what_the_code_decides(self) -> None:
        raw = raw_playbook()
        raw["limits"]["excluded_weekdays"] = ["sunday"]
        playbook = check(raw, source="playbook")
        days = [at(f"2030-01-{day}+01:00") for day in ("06T22:30", "08T10:00", "11T10:00")]  # Sunday, Tuesday, Friday
        sends = [a_send(step, at=day) for step, day in zip(("welcome", "check_in", "survey"), days, strict=True)]
        saturday, monday = at("2030-01-12T10:00+01:00"), at("2030-01-14T08:00+01:00")

        def why_not(step: str, planned_at: datetime, sends: list[Send], now: datetime) -> WhyNot | None:
            facts = Facts(member=a_member(), sends=sends)
            return why_not_send(facts, a_planned_mail(step, planned_at=planned_at), playbook=playbook, now=now)

        assert why_not("welcome", days[0], [], days[0]) is None
        late = why_not("welcome", days[0], [], days[0] + timedelta(hours=1))
        assert late == WhyNot("quiet_hours", until=at("2030-01-07T08:00+01:00"))
        assert why_not("digest", saturday, sends, saturday) == WhyNot("budget", until=monday)
        assert why_not("digest", saturday, sends, monday) is None

    def test_rewards_to_begin_with_are_those_of_the_playbook(self) -> None:
        told = [
            (row[0].strip("`"), row[1], int(row[2].split()[0]) if row[1] == "referrer" else None, row[3])
            for row in rows_below("reward", read("docs/playbook.md"))
        ]
        rules = a_playbook().referrals.rewards
        assert [row[:3] for row in told] == [(rule.key, rule.to, rule.at) for rule in rules]
        assert all(str(rule.days) in row[3] for rule, row in zip(rules, told, strict=True) if rule.days)

    def test_every_reason_not_to_send_is_explained(self) -> None:
        told = first_cells(section("docs/playbook.md", "## Why a mail was not sent"))
        assert told >= set(REASONS)


class TestOperating:
    def test_every_figure_is_named_and_no_other(self) -> None:
        code = "\n".join(module.read_text(encoding="utf-8") for module in (ROOT / "functions").glob("*.py"))
        figures = set(re.findall(r'(?:count\(|add_metric\(|single_metric\(name=)"(\w+)"', code))
        named = quoted(section("docs/operating.md", "## What watches")) - {"Flywheel"}
        assert {name for name in named if re.fullmatch(r"([A-Z][a-z]+)+", name)} == figures

    def test_all_that_doctor_looks_at_has_a_row_and_no_other(self) -> None:
        told = first_cells(section("docs/operating.md", "## Is everything well?"))
        assert told == {*doctor.CHECKS, "parked mails"}

    def test_every_runbook_that_a_finding_names_is_there(self) -> None:
        named = set(re.findall(r'(?:runbook=|runbook = )"([a-z-]+)"', read("infra/findings.py")))
        assert named
        assert [name for name in named if not (ROOT / "docs" / "runbooks" / f"{name}.md").exists()] == []

    def test_every_queue_of_dead_letters_has_a_row_and_no_other(self) -> None:
        assert first_cells(section("docs/operating.md", "## Dead letters")) == set(letters.QUEUES)
        assert first_cells(section("docs/runbooks/dead-letters.md", "## Look")) == set(letters.QUEUES)

    def test_every_label_of_why_is_explained_and_no_other(self) -> None:
        explained = first_cells(section("docs/operating.md", "### Reading `flywheel why`"))
        assert explained == {label for label, _ in why.LABELS.values()}

    def test_all_that_speaks_against_a_referral_is_explained(self) -> None:
        told = {name for row in rows_below("evidence", read("docs/operating.md")) for name in quoted(row[0])}
        busy = a_playbook().referrals.suspicion
        many = (busy.an_hour, "an_hour"), (busy.a_day, "a_day"), (busy.one_payer, "on_one_payer")
        late = {f"{reason}_within_hold" for reason in get_args(Void.model_fields["reason"].annotation)}
        known = {code for code in referred.EVIDENCE if not code.endswith("_within_hold")}
        assert told == known | late | {f"more_than_{count}_{what}" for count, what in many}


class TestContributing:
    def test_every_module_of_shared_has_a_row_and_no_other(self) -> None:
        entries = [entry for entry in (ROOT / "shared").iterdir() if not entry.name.startswith("__")]
        modules = {f"{entry.name}/" for entry in entries if entry.is_dir()} | {
            entry.stem for entry in entries if entry.suffix == ".py"
        }
        assert first_cells(section("CONTRIBUTING.md", "### What is where in `shared/`")) == modules

    def test_every_field_of_a_programme_is_named(self) -> None:
        assert quoted(section("CONTRIBUTING.md", "### A programme")) >= {one.name for one in fields(Programme)}

    def test_every_word_of_ours_is_explained(self) -> None:
        explained = {row[0] for row in rows(section("CONTRIBUTING.md", "## Our words"))}
        assert explained >= set(WORDS)

    def test_every_explained_word_is_used_in_the_code(self) -> None:
        modules = [*(ROOT / "shared").rglob("*.py"), *(ROOT / "functions").glob("*.py")]
        code = "\n".join(module.read_text(encoding="utf-8") for module in modules).lower()
        for word in (row[0] for row in rows(section("CONTRIBUTING.md", "## Our words"))):
            assert re.search(rf"\b{word}", code), word


def test_every_event_type_is_told_and_no_other() -> None:
    types = {event.model_fields["type"].default for event in get_args(CommunityEvent)} - standard.OURS
    assert first_cells(section("docs/standard-webhooks.md", "### The types and their own fields")) == types


@pytest.mark.parametrize("document", documents())
def test_relative_links_lead_somewhere(document: str) -> None:
    for link in relative_links(document):
        path, _, fragment = link.partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        assert target.exists(), link
        assert not fragment or fragment in anchors(target), link


def test_pictures_stay_small() -> None:
    pictures = list((ROOT / "docs" / "images").iterdir())
    assert pictures
    assert [picture.name for picture in pictures if picture.stat().st_size >= 150_000] == []


def test_no_file_names_an_index_or_a_machine() -> None:
    found = []
    for file in files():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{file.relative_to(ROOT)}: {match[0]}" for match in NOT_OURS.finditer(text)]
    assert found == []
