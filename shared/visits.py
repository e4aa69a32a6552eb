"""What a browser asks of a link, as the routes below `/l/` see it. Knows no route, no store and no AWS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from shared.playbook import Playbook

FORM_MAX = 64_000
"""Bytes of a form that are read; the longest of ours, a survey's free text in percent signs, is 24,000."""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A request to a link: `path` below `/l/`, `query` and `form` as sent, `language` of the browser.

    `cookies` are the texts `name=value`; neither they nor the user agent may ever be logged.
    """

    method: str
    path: str
    query: Mapping[str, str]
    form: bytes
    language: str | None = None
    cookies: tuple[str, ...] = ()
    user_agent: str = ""

    def fields(self) -> dict[str, list[str]]:
        """What was filled in, by field: blanks too, and nothing sensible of a body that is no form."""
        return parse_qs(self.form[:FORM_MAX].decode("utf-8", "replace"), keep_blank_values=True)

    def field(self, name: str) -> str:
        """What was filled in for one field, "" when nothing was."""
        return self.fields().get(name, [""])[0]

    def cookie_values(self, name: str) -> list[str]:
        """Every value of a cookie: a browser may send several of one name, set for different paths."""
        pairs = [cookie.strip().partition("=") for cookie in self.cookies]
        return [value for given, _, value in pairs if given == name]

    def locale(self, playbook: Playbook) -> str:
        """The first of the browser's languages, best first, that the playbook has, or the playbook's own."""
        tags = [tag.partition(";")[0].strip() for tag in (self.language or "").split(",")]
        return playbook.locale_for(
            next((tag for tag in tags if tag.partition("-")[0].lower() in playbook.locales), None)
        )
