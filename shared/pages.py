"""The small web pages that our links lead to: plain HTML with no script and nothing fetched from elsewhere.

Knows no tokens and no routes; what a page may show comes as an argument.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

FALLBACK = "en"
"""The language of a page that is not written in the one asked for."""

_STATUS = {
    "unsubscribe": 200,
    "unsubscribed": 200,
    "preferences": 200,
    "survey": 200,
    "survey_thanks": 200,
    "bonus": 200,
    "bonus_over": 410,
    "join": 200,
    "join_onward": 200,
    "report": 200,
    "unknown": 404,
}
_DEFAULTS: dict[str, Mapping[str, object]] = {"survey": {"score": None, "comment": "", "unanswered": False}}


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A kind of mail on the preference page, and whether the member takes it."""

    key: str
    name: str
    about: str
    taken: bool


@dataclass(frozen=True, kw_only=True)
class Hour:
    """An hour to choose, as the form sends it; None is the usual one."""

    value: str
    hour: int | None
    chosen: bool


@dataclass(frozen=True, kw_only=True)
class Until:
    """When something ends, as its reader says it: `5 March`, `10:00`, `Berlin time (UTC+1)`."""

    date: str
    time: str
    zone: str


@dataclass(frozen=True)
class Page:
    """An answer to a browser: its HTTP status, its headers (lower-case names), the HTML and the cookies it sets."""

    status: int
    headers: dict[str, str]
    html: str
    cookies: tuple[str, ...] = ()


def redirect(location: str, *, cookies: tuple[str, ...] = ()) -> Page:
    """An answer that sends a browser elsewhere, for this once; `location` is never what a request said."""
    headers = {"location": location, "cache-control": "no-store", "referrer-policy": "no-referrer"}
    return Page(status=302, headers=headers, html="", cookies=cookies)


class Pages:
    """The pages of a folder; templates are read once and kept."""

    def __init__(self, folder: Path) -> None:
        # Here, because some functions know pages, but show none.
        from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415

        self._templates = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            auto_reload=False,
        )
        self._language_names: dict[str, str] = json.loads((folder / "languages.json").read_bytes())
        common, own = (self._templates.get_template(name).render() for name in ("style.css", "report.css"))
        self._headers = _headers([common])
        self._own_headers = {"report": _headers([common, own], images="data:")}

    def render(self, page: str, locale: str, **context: object) -> Page:
        """Render one of the pages in a language; UndefinedError when something that it shows is missing.

        Every page is given `community`, its name. `unsubscribe` and `unsubscribed` are given `preferences`, a link;
        `preferences` is given `saved`, `offers`, `languages` (codes), `hours` and `zone`, in which they are, and for
        the leaderboard `listing`, the value of its box, and whether the member is `listed`;
        `bonus` is given `offer`, its `code` or its `url`, and `until`; `bonus_over` is given `home`, the community's
        address, and `until`, None for what ended early. `survey` may be given `score`, the answer chosen so far,
        `comment`, what was written so far, and whether it came back `unanswered`.
        `join` is given `referrer`, who invites or "", `ref`, `email` and `agreed`, what was filled in so far,
        `missing`, which of `email` and `consent` is still wanted, and `onward`, a link; `join_onward` is given
        `invited`, whether somebody is to be thanked, and `onward`. `report` is given `report`, `pictures`, an `inline`
        PNG for each chart that has one, and `csv`, which is "" or all figures `inline`.
        """
        template = self._templates.select_template([f"{page}/{locale}.html", f"{page}/{FALLBACK}.html"])
        language = Path(template.name or "").stem
        named = {"locale": language, "asked": locale, "language_names": self._language_names}
        html = template.render({**named, **_DEFAULTS.get(page, {}), **context})
        return Page(status=_STATUS[page], headers=dict(self._own_headers.get(page, self._headers)), html=html)


def inline(media_type: str, content: bytes) -> str:
    """A file as a URL that holds it, so that a page brings along what it shows."""
    return f"data:{media_type};base64,{b64encode(content).decode()}"


def _headers(styles: Sequence[str], *, images: str = "") -> dict[str, str]:
    """Nothing may be loaded, run or framed; the styles are named by their hashes, forms only come back to us."""
    shown = f"img-src {images}; " if images else ""
    hashes = " ".join(f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" for style in styles)
    return {
        "content-type": "text/html; charset=utf-8",
        "cache-control": "no-store",
        "content-security-policy": (
            f"default-src 'none'; style-src {hashes}; {shown}form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'"
        ),
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
