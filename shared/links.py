"""What our links lead to: unsubscribing, preferences, the survey, a bonus, a report, and where a referral goes.

GET only shows, POST acts, as often as one likes; whatever is wrong with a link gets the same friendly page.
"""

from __future__ import annotations

from datetime import datetime

from shared.app import App
from shared.apply import apply
from shared.errors import InvalidToken
from shared.events import SurveyAnswered
from shared.members import consents, decide, is_dormant, is_listed, language_of, zone_of
from shared.model import Consent, Edition, Identity, Member
from shared.pages import Hour, Offer, Page, Until
from shared.playbook import ALL_MARKETING
from shared.preferences import BY_PAGE, LEADERBOARD, carry_out, chosen, hours, later_than, moment_of
from shared.programmes import PROGRAMMES
from shared.referral_links import follow, join
from shared.reported import page
from shared.signing import Purpose
from shared.visits import FORM_MAX, Visit

COMMENT_MAX = 2000
"""Characters of a survey's free text that are kept."""

_PURPOSES: dict[str, Purpose] = {"u": "unsubscribe", "p": "preferences", "s": "survey", "b": "bonus", "m": "report"}
_SCORES = {str(score): score for score in range(11)}


def visit(request: Visit, app: App, now: datetime) -> Page:
    """Answer a visit; whatever is wrong with the link gets the same friendly page."""
    try:
        return _open(request, app, now)
    except InvalidToken:  # which tells its visitor nothing about why
        locale = request.locale(app.playbook)
        return app.pages.render("unknown", locale, community=app.playbook.community.name[locale])


def _open(request: Visit, app: App, now: datetime) -> Page:
    kind, _, token = request.path.strip("/").partition("/")
    if kind == "r":
        return follow(request, token, app, now)
    if (kind, token) == ("j", ""):
        return join(request, app, now)
    match kind, app.signer.read(_PURPOSES[kind], token) if kind in _PURPOSES else ():
        case "u", (member_id,):
            return _unsubscribe(request, _member(app, member_id), app, now)
        case "p", (member_id,):
            return _preferences(request, _member(app, member_id), app, now)
        case "s", (member_id, occurrence):
            return _survey(request, _member(app, member_id), occurrence, app, now)
        case "b", (member_id, bonus, ends):
            return _bonus(_member(app, member_id), bonus, _moment(ends), app, now)
        case "m", (report, period, locale, ends):
            return page(Edition(report, period, locale), _moment(ends), app, now)
    raise InvalidToken("no link of ours")


def _member(app: App, member_id: str) -> Member:
    member = app.store.survivor(member_id)
    if member is None:
        raise InvalidToken("the member of this token is gone")
    return member


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise InvalidToken("this token does not hold a moment") from exc
    if moment.tzinfo is None:
        raise InvalidToken("this token's moment has no zone")
    return moment


def _unsubscribe(request: Visit, member: Member, app: App, now: datetime) -> Page:
    preferences = f"/l/p/{app.signer.sign('preferences', member.id)}"
    # The path's token decides, never the body: a mail client posts List-Unsubscribe=One-Click, our page an empty form.
    if request.method != "POST":
        return _page("unsubscribe", member, app, preferences=preferences)
    given = [decision.at for decision in member.consent.values() if decision.given]
    refusal = Consent(given=False, at=later_than(given, now), by=_unsubscribed_by(request))
    app.store.change_member(member.id, lambda current: decide(current, ALL_MARKETING, refusal), known=member)
    return _page("unsubscribed", member, app, preferences=preferences)


def _unsubscribed_by(request: Visit) -> str:
    """What unsubscribed: RFC 8058 lets a mail client say so in either encoding of a form."""
    said = request.form[:FORM_MAX]
    return "one_click" if b"List-Unsubscribe" in said and b"One-Click" in said else BY_PAGE


def _preferences(request: Visit, member: Member, app: App, now: datetime) -> Page:
    choice = chosen(request.fields()) if request.method == "POST" else None
    if choice is None:
        return _preferences_page(member, app, now, saved=False)
    at = moment_of(member, now)
    changed = app.store.change_member(
        member.id, lambda current: carry_out(current, choice, playbook=app.playbook, at=at), known=member
    )
    if changed is None:
        raise InvalidToken("the member of this token is gone")
    if changed.send_hour != member.send_hour or is_dormant(member) != is_dormant(changed):
        apply([programme.wake(changed, app.playbook, now) for programme in PROGRAMMES.values()], app, now)
    return _preferences_page(changed, app, now, saved=True)


def _preferences_page(member: Member, app: App, now: datetime, *, saved: bool) -> Page:
    playbook, locale = app.playbook, app.playbook.locale_for(language_of(member))
    offers = [
        Offer(key=key, name=category.name[locale], about=category.about[locale], taken=consents(member, key))
        for key, category in playbook.categories.items()
    ]
    offered = hours(member, playbook).items()
    return _page(
        "preferences",
        member,
        app,
        saved=saved,
        offers=offers,
        listing=LEADERBOARD,
        listed=is_listed(member),
        languages=playbook.locales,
        hours=[Hour(value=text, hour=hour, chosen=hour == member.send_hour) for text, hour in offered],
        zone=app.mails.wording(locale).zone_name(now.astimezone(zone_of(member, playbook))),
    )


def _survey(request: Visit, member: Member, occurrence: str, app: App, now: datetime) -> Page:
    if request.method != "POST":
        return _page("survey", member, app, score=_score(request.query.get("score")))
    form = {name: given[0] for name, given in request.fields().items()}
    score, comment = _score(form.get("score")), form.get("comment", "").strip()[:COMMENT_MAX]
    if score is None:
        return _page("survey", member, app, comment=comment, unanswered=True)
    identity = Identity(*min(member.identities).split(":", 1))
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


def _bonus(member: Member, key: str, ends: datetime, app: App, now: datetime) -> Page:
    locale, bonus = app.playbook.locale_for(language_of(member)), app.playbook.bonuses.get(key)
    local, wording = ends.astimezone(zone_of(member, app.playbook)), app.mails.wording(locale)
    until = Until(
        date=wording.short_date(local),
        time=wording.time.format(hour=local.hour, minute=local.minute),
        zone=wording.zone_name(local),
    )
    home = str(app.playbook.community.url)
    if bonus is None or now >= ends:
        return _page("bonus_over", member, app, home=home, until=until if bonus else None)
    url = str(bonus.url) if bonus.url else None
    return _page("bonus", member, app, offer=bonus.title[locale], code=bonus.code, url=url, until=until)


def _page(name: str, member: Member, app: App, **context: object) -> Page:
    locale = app.playbook.locale_for(language_of(member))
    return app.pages.render(name, locale, community=app.playbook.community.name[locale], **context)
