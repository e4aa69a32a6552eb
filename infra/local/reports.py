"""The reports of the demo: on which of its days they are made, and as files beside its inbox."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from infra.local.people import START
from shared.localtime import at_local, local_day
from shared.model import Edition, Send, SendId, SendStatus
from shared.playbook import Playbook, ReportKind
from shared.reported import PAGE, PROGRAMME, REPORT, picture
from shared.store import Store

MADE_ON: Mapping[ReportKind, tuple[int, ...]] = {"weekly": (7, 35, 154), "monthly": (147,), "daily": (155,)}
"""The days from START on which the demo lets a schedule fire, of all on which it would: the first week's, which knows
little yet, and some later ones."""


@dataclass(frozen=True, kw_only=True)
class Printed:
    """A report that a manager got: its `period`, its `subject`, its page, and what its pictures are, by Content-ID."""

    send: Send
    edition: Edition
    page: str
    pictures: Mapping[str, bytes]

    @property
    def file(self) -> str:
        """Where its page is written, below the folder of the demo."""
        return f"reports/{self.edition.kind}-{self.edition.period}.html"

    def shown_in(self, html: str) -> str:
        """The HTML of its mail with the pictures that came with it: a browser knows no Content-ID."""
        for name, content in self.pictures.items():
            html = html.replace(f"cid:{name}", f"data:image/png;base64,{b64encode(content).decode()}")
        return html


def moments(playbook: Playbook, days: int) -> dict[datetime, list[ReportKind]]:
    """When which reports are made, within so many days from START."""
    found: dict[datetime, list[ReportKind]] = {}
    for kind, rule in playbook.reports.kinds.items():
        zone = ZoneInfo(rule.timezone or playbook.community.timezone)
        for day in MADE_ON[kind]:
            at = at_local(local_day(START, zone) + timedelta(days=day), rule.at, zone)
            if at <= START + timedelta(days=days):
                found.setdefault(at, []).append(kind)
    return found


def printed(sends: Iterable[Send], store: Store) -> list[Printed]:
    """The reports among what was sent, in order, with what is kept of them."""
    ours = [send for send in sends if send.send_id.startswith(f"{PROGRAMME}/") and send.status is SendStatus.SENT]
    return [_printed(send, store) for send in sorted(ours, key=lambda send: (send.at, send.send_id))]


def write(out: Path, reports: Iterable[Printed]) -> None:
    """Write each report's page."""
    (out / "reports").mkdir(parents=True, exist_ok=True)
    for report in reports:
        (out / report.file).write_text(report.page, encoding="utf-8")


def told(report: Printed, inbox: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A report in the demo's summary; `bytes` are those of its HTML."""
    [html] = [message["BodyHtml"] for message in inbox if message["MessageId"] == report.send.message_id]
    return {
        "kind": report.edition.kind,
        "period": report.edition.period,
        "to": report.send.member_id,
        "subject": report.send.subject,
        "bytes": len(html.encode()),
    }


def _printed(send: Send, store: Store) -> Printed:
    parts = SendId.parse(send.send_id)
    edition = Edition(parts.step, _period(parts.occurrence), send.locale or "")
    kept = {name: store.part(edition, name) or b"{}" for name in (REPORT, PAGE)}
    charts = [picture(chart["name"]) for chart in json.loads(kept[REPORT]).get("charts", [])]
    drawn = {name: content for name in charts if (content := store.part(edition, name)) is not None}
    return Printed(send=send, edition=edition, page=json.loads(kept[PAGE])["html"], pictures=drawn)


def _period(occurrence: str) -> str:
    """`2026W41` is the week `2026-W41`, `20261005` the day `2026-10-05`, `202610` the month `2026-10`."""
    return re.sub(r"^(\d{4})(W?\d\d)(\d\d)?$", lambda told: "-".join(filter(None, told.groups())), occurrence)
