"""The golden exports of events/exports: each as the file or files that a platform would have written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from infra.exports import Told, discord, discourse, lines, slack, telegram
from shared.events import CommunityEvent
from shared.platforms import receive
from tests.builders import ROOT, a_playbook, at
from tests.golden import SECRETS, golden

FOLDER = ROOT / "events" / "exports"
FORUM = "forum.example.com"


@dataclass(frozen=True)
class Export:
    """One file: what an export holds, the moment it is read at, and what is to come of it."""

    name: str
    now: datetime
    files: Mapping[str, Any]
    expect: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def platform(self) -> str:
        return self.name.split(".", maxsplit=1)[0]

    def written(self, folder: Path) -> list[Path]:
        """The export on disk: Slack's files in one zip, others' as they are."""
        if self.platform == "slack":
            path = folder / "export.zip"
            with ZipFile(path, "w") as archive:
                for name, content in self.files.items():
                    archive.writestr(name, as_text(content))
            return [path]
        paths = [folder / name for name in self.files]
        for path, content in zip(paths, self.files.values(), strict=True):
            path.write_text(as_text(content), encoding="utf-8")
        return paths

    def told(self, folder: Path) -> list[Told]:
        """What is read of it."""
        return list(told(self.platform, self.written(folder), self.now, self.options))


def told(platform: str, paths: list[Path], now: datetime, options: Mapping[str, Any] | None = None) -> Iterator[Told]:
    """What is read of a platform's files."""
    chosen = options or {}
    match platform:
        case "slack":
            return slack.events(paths[0], now=now, **chosen)
        case "discord":
            return discord.events(paths, now=now)
        case "telegram":
            return telegram.events(paths[0], now=now, **chosen)
        case "discourse":
            return discourse.events(paths, now=now, instance=FORUM)
    return lines.events(paths[0], now=now)


def as_text(content: Any) -> str:
    """What a file holds: text stands for itself, anything else is JSON."""
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=1)


@cache
def export(name: str) -> Export:
    """The golden export of a file's name, without `.json`."""
    raw = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return Export(name=name, **raw | {"now": at(raw["now"])})


def told_live(name: str) -> list[CommunityEvent]:
    """What a golden delivery of Slack's tells by its webhook."""
    delivery = golden(name)
    live = receive(
        "slack",
        delivery.signed_headers(),
        delivery.body,
        secrets=lambda _: [SECRETS["slack"]],
        enabled=a_playbook().platforms,
        now=delivery.received_at,
    )
    assert isinstance(live, list)
    return live


def as_exported(name: str) -> Export:
    """The golden workspace with that message in it, as Slack exports it."""
    told = json.loads(golden(name).body)["event"]
    raw = {key: told[key] for key in ("type", "user", "text", "ts")}
    return with_files("slack.workspace", **{"general/2026-03-04.json": [raw]})


def with_files(name: str, **files: Any) -> Export:
    """A golden export with some of its files changed."""
    found = export(name)
    return replace(found, files={**found.files, **files})


def names() -> list[str]:
    """The names of all golden exports."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))
