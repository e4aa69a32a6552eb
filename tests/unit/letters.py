"""Mails to Ada as tests ask for them, and what they look at in one."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from pydantic import JsonValue

from infra.mails import written
from infra.sample_report import sample_facts
from shared.mail import Composed, Gathered, Links, Mails, compose
from shared.model import Did
from shared.report import Language, build
from tests.builders import ROOT, a_member, a_playbook, at

SOURCE = ROOT / "shared" / "mails"
PLAYBOOK = a_playbook()
LINKS = Links(*(f"https://links.example.com/l/{letter}/AbC.123-x_" for letter in "upsbrm"))
PAUSED: dict[str, JsonValue] = {"reason": "bounces", "sends": 412, "bounces": 23, "complaints": 1, "hours": 24}
FIGURES: dict[str, dict[str, JsonValue]] = {
    "mail_paused": PAUSED,
    "reward": {"rule": "premium_month", "qualified": 5},
    "trial": {"rule": "trial", "qualified": 0},
}
ACTIVE = Did(active_days=12, posts=1, comments=21, answers=2)
WRITTEN = [(mail, locale) for mail, found in written(SOURCE).items() for locale in sorted(found.locales)]
MARKETING = [(mail, locale) for mail, locale in WRITTEN if PLAYBOOK.mails[mail].class_ == "marketing"]


def written_for(mails: Mails, mail: str = "welcome", **changes: Any) -> Composed:
    """A mail to Ada on a Tuesday in March, two days before the open workshop."""
    asked: dict[str, Any] = {"playbook": PLAYBOOK, "links": LINKS, "now": at("2030-03-12T09:00Z")}
    asked |= {name: changes.pop(name) for name in asked.keys() & changes.keys()}
    told: dict[str, Any] = {"figures": figures_of(mails, mail, changes.get("locale", "en"))}
    told |= {name: changes.pop(name) for name in ("did", "news", "figures", "leave_out") if name in changes}
    return compose(mails, mail=mail, member=a_member(**changes), gathered=Gathered(**told), **asked)


def figures_of(mails: Mails, mail: str, locale: str) -> dict[str, JsonValue]:
    """What a mail is told: of a report all of it, in its reader's language."""
    if mail != PLAYBOOK.reports.mail:
        return FIGURES.get(mail, {})
    language = Language.of(locale, mails.wording(locale))
    return build(sample_facts(PLAYBOOK), playbook=PLAYBOOK, language=language).model_dump(mode="json")


def links_in(html: str) -> set[str]:
    """Where the links of a page lead."""
    return {unescape(link) for link in re.findall(r'href="([^"]*)"', html)}
