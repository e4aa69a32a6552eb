"""What the links in mails lead to: unsubscribing and the survey. GET only shows, POST acts, as often as one likes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs

from shared.app import App
from shared.errors import InvalidToken
from shared.events import SurveyAnswered
from shared.members import ALL_MARKETING, decide
from shared.model import Consent, Identity, Member
from shared.pages import Page
from shared.signing import Purpose

COMMENT_MAX = 2000
"""Characters of a survey's free text that are kept."""

_PURPOSES: dict[str, Purpose] = {"u": "unsubscribe", "s": "survey"}
_SCORES = {str(score): score for score in range(11)}


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A request to a link: `path` below `/l/`, `query` and `form` as sent, `language` of the browser."""

    method: str
    path: str
    query: Mapping[str, str]
    form: bytes
    language: str | None = None


def visit(request: Visit, app: App, now: datetime) -> Page:
    """Answer a visit; whatever is wrong with the link gets the same friendly page."""
    try:
        return _open(request, app, now)
    except InvalidToken:  # which tells its visitor nothing about why
        language = _language(request, app)
        return app.pages.render("unknown", app.playbook.locale_for(language), community=_community(app, language))


def _open(request: Visit, app: App, now: datetime) -> Page:
    kind, _, token = request.path.strip("/").partition("/")
    match kind, app.signer.read(_PURPOSES[kind], token) if kind in _PURPOSES else ():
        case "u", (member_id,):
            return _unsubscribe(request, _member(app, member_id), app, now)
        case "s", (member_id, occurrence):
            return _survey(request, _member(app, member_id), occurrence, app, now)
    raise InvalidToken("no link of ours")


def _member(app: App, member_id: str) -> Member:
    member = app.store.survivor(member_id)
    if member is None:
        raise InvalidToken("the member of this token is gone")
    return member


def _language(request: Visit, app: App) -> str | None:
    """The first of the browser's languages, best first, that the playbook has."""
    tags = [tag.partition(";")[0].strip() for tag in (request.language or "").split(",")]
    return next((tag for tag in tags if tag.partition("-")[0].lower() in app.playbook.locales), None)


def _unsubscribe(request: Visit, member: Member, app: App, now: datetime) -> Page:
    # The path's token decides, never the body: a mail client posts List-Unsubscribe=One-Click, our page an empty form.
    if request.method != "POST":
        return _page("unsubscribe", member, app)
    refusal = Consent(given=False, at=now)
    app.store.change_member(member.id, lambda current: decide(current, ALL_MARKETING, refusal), known=member)
    return _page("unsubscribed", member, app)


def _survey(request: Visit, member: Member, occurrence: str, app: App, now: datetime) -> Page:
    score = _score(request.query.get("score"))
    if request.method != "POST":
        return _page("survey", member, app, score=score)
    form = {name: given[0] for name, given in parse_qs(request.form.decode("utf-8", "replace")).items()}
    score = _score(form.get("score"))
    if score is None:
        return _page("survey", member, app, score=None)
    identity = Identity(*min(member.identities).split(":", 1))
    comment = form.get("comment", "").strip()[:COMMENT_MAX]
    answer = SurveyAnswered(
        id=f"survey:{member.id}:{occurrence}",
        occurred_at=now,
        received_at=now,
        timed=False,  # answered twice, it counts once, whatever the day
        platform=identity.platform,
        actor=identity.external_id,
        object=f"onboarding-{occurrence}",
        score=score,
        comment=comment or None,
    )
    app.store.log([answer])
    return _page("survey_thanks", member, app)


def _score(text: str | None) -> int | None:
    return _SCORES.get(text or "")


def _page(name: str, member: Member, app: App, **context: object) -> Page:
    return app.pages.render(
        name, app.playbook.locale_for(member.locale), community=_community(app, member.locale), **context
    )


def _community(app: App, language: str | None) -> str:
    return app.playbook.community.name[app.playbook.locale_for(language)]
