"""Where a member's referral link leads: to the community's join page, or to our own, which asks for an address.

Whoever comes keeps the link they followed first. Where a visitor is sent is the playbook's word, never the request's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote_plus, urlencode, urlsplit, urlunsplit

from shared.addresses import usable_address
from shared.app import App
from shared.errors import InvalidToken
from shared.events import ReferralClicked
from shared.mail import first_name
from shared.model import Identity, Member, Touch, stamp
from shared.pages import Page, redirect
from shared.playbook import Playbook
from shared.visits import Visit

COOKIE = "flywheel_ref"
"""The first-touch cookie: the token of the click that came first."""

JOIN_PATH = "/l/j"

LONGEST_ADDRESS = 254
"""Characters of an e-mail address, at most (RFC 5321, 4.5.3.1.3, less the angle brackets)."""

PREVIEWS = (
    "slackbot",  # Slack, which says Slackbot-LinkExpanding
    "slack-imgproxy",
    "twitterbot",  # X; also part of what Apple's Messages say
    "facebookexternalhit",  # Facebook, Instagram, Messenger, Apple's Messages
    "meta-externalagent",
    "linkedinbot",
    "telegrambot",
    "discordbot",
    "whatsapp/",
    "vkshare",  # VK
    "odklbot",  # Odnoklassniki
    "mail.ru_bot",
    "skypeuripreview",  # Skype and Teams
    "mattermost-bot",
    "redditbot",
    "pinterestbot",
    "embedly",  # what many forums fetch their previews with
    "iframely",
    "onebox",  # Discourse
    "viber",
    "mastodon",
    "cardyb",  # Bluesky
    "microsoftpreview",
    "google-pagerenderer",
    "googlebot",
    "bingbot",
    "bingpreview",
    "yandexbot",
    "duckduckbot",
    "applebot",
)
"""What the user agents hold of those that only look where a link leads, in lower case."""


@dataclass(frozen=True, kw_only=True)
class Invitation:
    """What a token of ours tells: who invited, by which click, and when that was."""

    referrer_id: str
    clicked_at: datetime
    token: str


def follow(request: Visit, code: str, app: App, now: datetime) -> Page:
    """Lead on from a referral link; whose it is goes with the visitor, if it is anybody's and the visitor a person."""
    referrer = _referrer(code, app) if _counts(request) else None
    if referrer is None:
        return redirect(_target(app.playbook))
    click_id = app.token()
    app.store.log([_clicked(referrer, click_id, now)])
    if first := _first_touch(request, app, now):
        return redirect(_attributed_target(first.token, app.playbook))
    token = app.signer.sign("referral", referrer.id, click_id, stamp(now))
    return redirect(_attributed_target(token, app.playbook), cookies=(_cookie(token, app.playbook),))


def join(request: Visit, app: App, now: datetime) -> Page:
    """Our own join page, where the playbook names no other: the invitation, then the way on; else InvalidToken."""
    if app.playbook.referrals.join_url is not None:
        raise InvalidToken("the community has a join page of its own")
    tokens = [request.field("ref"), request.query.get("ref", "")]
    remembered = _first_touch(request, app, now)
    invitation = remembered or next(iter(_invitations(tokens, app, now)), None)
    referrer = app.store.survivor(invitation.referrer_id) if invitation else None
    if invitation is None or referrer is None:
        return _way_on(request, app, invited=False)  # there is nothing to remember, so no address is asked for
    if request.method != "POST":
        return _ask(request, invitation, referrer, app)
    # Anybody can hand on an old token; that the click was theirs only the cookie says.
    touched_at = remembered.clicked_at if remembered else now
    return _answer(request, invitation, referrer, touched_at, app=app, now=now)


# --- the link ------------------------------------------------------------------------------------


def _counts(request: Visit) -> bool:
    """Whether a visit is a person's click: looking with HEAD is not, nor is a known preview bot."""
    agent = request.user_agent.lower()
    return request.method == "GET" and not any(preview in agent for preview in PREVIEWS)


def _referrer(code: str, app: App) -> Member | None:
    """Whose referral link this is, if they are here; a code that is nobody's is no fault of who follows it."""
    try:
        member = app.store.survivor(app.signer.member_of(code))
    except InvalidToken:
        return None
    return member if member is not None and member.status == "active" else None


def _clicked(referrer: Member, click_id: str, now: datetime) -> ReferralClicked:
    identity = Identity(*min(referrer.identities).split(":", 1))
    return ReferralClicked(
        id=f"click:{click_id}",
        occurred_at=now,
        received_at=now,
        platform=identity.platform,
        actor=identity.external_id,
        object=click_id,
    )


def _first_touch(request: Visit, app: App, now: datetime) -> Invitation | None:
    """The click that this browser remembers, while it counts; the earliest, should there be several."""
    known = _invitations(request.cookie_values(COOKIE), app, now)
    return min(known, key=lambda invitation: invitation.clicked_at, default=None)


def _invitations(tokens: Iterable[str], app: App, now: datetime) -> list[Invitation]:
    """What those of the tokens tell that we signed and that still count, in their order."""
    oldest = now - app.playbook.referrals.first_touch_for
    read = [_invitation(token, app) for token in tokens if token]
    return [invitation for invitation in read if invitation is not None and invitation.clicked_at >= oldest]


def _invitation(token: str, app: App) -> Invitation | None:
    try:
        referrer_id, _, clicked_at = app.signer.read("referral", token)
        moment = datetime.fromisoformat(clicked_at)
    except (InvalidToken, ValueError):  # not ours, or of another shape: as good as none
        return None
    return Invitation(referrer_id=referrer_id, clicked_at=moment, token=token) if moment.tzinfo else None


def _cookie(token: str, playbook: Playbook) -> str:
    seconds = int(playbook.referrals.first_touch_for.total_seconds())
    return f"{COOKIE}={token}; Max-Age={seconds}; Path=/l; Secure; HttpOnly; SameSite=Lax"


def _target(playbook: Playbook) -> str:
    return str(playbook.referrals.join_url or JOIN_PATH)


def _attributed_target(token: str, playbook: Playbook) -> str:
    """The join page with what it is to be told; a query of its own stays as it is, but for names that are ours."""
    parts, ours = urlsplit(_target(playbook)), {**playbook.referrals.utm, "ref": token}
    theirs = [pair for pair in parts.query.split("&") if pair and unquote_plus(pair.partition("=")[0]) not in ours]
    return urlunsplit(parts._replace(query="&".join([*theirs, urlencode(ours)])))


# --- our own join page ---------------------------------------------------------------------------


def _ask(
    request: Visit, invitation: Invitation, referrer: Member, app: App, missing: frozenset[str] = frozenset()
) -> Page:
    """The form, with what was filled in already and what is `missing` of it: `email`, `consent`."""
    return app.pages.render(
        "join",
        request.locale(app.playbook),
        community=_community(request, app),
        referrer=first_name(referrer.name) if referrer.status == "active" else "",
        ref=invitation.token,
        email=request.field("email").strip()[:LONGEST_ADDRESS],
        agreed=bool(request.field("consent")),
        missing=missing,
        onward=str(app.playbook.referrals.invite_url),
    )


def _answer(
    request: Visit, invitation: Invitation, referrer: Member, touched_at: datetime, *, app: App, now: datetime
) -> Page:
    written = request.field("email").strip()
    address = usable_address(written) if len(written) <= LONGEST_ADDRESS else None
    wanted = {"email": address, "consent": request.field("consent")}
    missing = frozenset(name for name, given in wanted.items() if not given)
    if address is None or missing:
        return _ask(request, invitation, referrer, app, missing)
    touch = Touch(
        referee_id="",  # whoever appears with the address
        referrer_id=referrer.id,
        at=touched_at,
        told_at=now,
        source="join_page",
        utm=app.playbook.referrals.utm,
    )
    app.store.note_invited(address, touch)
    return _way_on(request, app, invited=True)


def _way_on(request: Visit, app: App, *, invited: bool) -> Page:
    # By a link, not by a redirect: the page's own policy lets no form end up elsewhere.
    return app.pages.render(
        "join_onward",
        request.locale(app.playbook),
        community=_community(request, app),
        invited=invited,
        onward=str(app.playbook.referrals.invite_url),
    )


def _community(request: Visit, app: App) -> str:
    return app.playbook.community.name[request.locale(app.playbook)]
