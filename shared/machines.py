"""Which opens and clicks were no person's: mail programs fetch pictures and scanners follow links, unasked. Pure.

SES says what it thinks of each (`isBotEvent`, since August 2026); what it leaves open is told by the user agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

Open = Literal["open", "open_by_machine"]
Click = Literal["click", "click_like_scanner", "click_by_scanner"]

AT_ONCE = timedelta(seconds=10)
"""So soon after the delivery, or before it, a click by what looks like a scanner is a scanner's."""

LIKELY, UNLIKELY = "Likely", "Unlikely"

BARE = frozenset({"", "-", "Mozilla/5.0"})
"""User agents that name nothing; the last one, whole, is Apple's Mail Privacy Protection."""

PREFETCHERS = (
    "googleimageproxy",  # Gmail's, "(via ggpht.com GoogleImageProxy)"
    "edge/12.246 mozilla/5.0",  # Gmail again, fetching ahead of the reader
    "yahoomailproxy",
    "duckduckgo-mail",
)
"""What the user agents hold of those that fetch a mail's pictures in the reader's stead, in lower case."""

SCANNERS = (
    "barracuda",
    "mimecast",
    "proofpoint",
    "symantec",
    "trendmicro",
    "fireeye",
    "safelinks",
    "urlanalyzer",
    "headlesschrome",
    "phantomjs",
    "python-requests",
    "python-urllib",
    "go-http-client",
    "java/",
    "curl/",
    "wget/",
    "bot/",
    "spider",
    "crawler",
)
"""What the user agents hold of those that follow every link of a mail to see where it leads, in lower case."""


def kind_of_open(told: Mapping[str, Any]) -> Open:
    """Whose an open is, of SES's `open` object: SES's own word first, the user agent where it says nothing."""
    verdict = told.get("isBotEvent")
    if verdict == LIKELY or (verdict != UNLIKELY and _looks_like(told, PREFETCHERS + SCANNERS)):
        return "open_by_machine"
    return "open"


def kind_of_click(told: Mapping[str, Any]) -> Click:
    """Whose a click is, of SES's `click` object; like a scanner's is one that only the delivery's time can judge."""
    if told.get("isBotEvent") == LIKELY:
        return "click_by_scanner"
    return "click_like_scanner" if _looks_like(told, SCANNERS) else "click"


def clicks_by_people(feedback: Mapping[str, str]) -> list[datetime]:
    """When people first clicked, of a send's feedback; in whatever order SES told of the clicks and the delivery."""
    clicks = [datetime.fromisoformat(feedback["click"])] if "click" in feedback else []
    if "click_like_scanner" in feedback and "delivery" in feedback:
        clicked, delivered = (datetime.fromisoformat(feedback[kind]) for kind in ("click_like_scanner", "delivery"))
        clicks += [clicked] if clicked - delivered > AT_ONCE else []
    return sorted(clicks)


def _looks_like(told: Mapping[str, Any], signs: tuple[str, ...]) -> bool:
    agent = str(told.get("userAgent") or "").strip()
    return agent in BARE or any(sign in agent.lower() for sign in signs)
