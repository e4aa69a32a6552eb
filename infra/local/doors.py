"""How those who are brought come into the community: browsers that follow links, and the sign-ups told of afterwards.

A browser keeps its cookies and takes `ref` from where it is sent, but follows no redirect: of all join pages only ours
is here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from infra.local.friends import EARLY, LATE, Friend
from infra.local.people import START, Person
from infra.local.stack import LocalStack
from infra.local.voices import Delivery, as_json, iso
from shared.errors import FlywheelError
from shared.model import Identity, member_id_of
from shared.signing import Signer

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PREVIEW = "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"

CLICKED_EARLY = START + timedelta(hours=LATE)
"""When a friend who is claimed by another clicks, the day before they join."""

TOLD_LATE = timedelta(hours=LATE - EARLY)
"""How long after joining their click is told, when another's code was told long since."""


@dataclass
class Browser:
    """Somebody's browser: what it was sent with, and with which cookies it comes back."""

    stack: LocalStack
    cookies: dict[str, str] = field(default_factory=dict)

    def follow(self, code: str) -> dict[str, str]:
        """Follow a referral link; the query of where it leads: `ref` and the UTM values."""
        got = self.stack.http("GET", f"/l/r/{code}", headers=self._headers())
        for cookie in got.headers.get_list("set-cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        query = parse_qs(urlsplit(got.headers.get("location", "")).query)
        if got.status_code != 302 or "ref" not in query:
            raise FlywheelError(f"a referral link was answered {got.status_code}, without a ref")
        return {name: values[0] for name, values in query.items()}

    def join(self, email: str) -> int:
        """Look at our own join page and fill it in; the worse of the two statuses."""
        form = {"email": email, "consent": "yes"}
        looked = self.stack.http("GET", "/l/j", headers=self._headers())
        return max(looked.status_code, self.stack.http("POST", "/l/j", headers=self._headers(), data=form).status_code)

    def _headers(self) -> dict[str, str]:
        jar = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"user-agent": AGENT, **({"cookie": jar} if jar else {})}


class Doors:
    """Lets each friend in at their moments. `clicks` counts those that people made; `unexpected` is what went wrong."""

    def __init__(self, stack: LocalStack, friends: Sequence[Friend], people: Sequence[Person]) -> None:
        self.stack = stack
        self.people = people
        self.clicks = 0
        self.unexpected: list[str] = []
        self._friends = friends
        self._signer = Signer(stack.secret("LinksSecret"))
        self._browsers = {friend.number: Browser(stack) for friend in friends}
        self._queries: dict[int, dict[str, str]] = {}

    def moments(self) -> set[datetime]:
        """When there is something to do here."""
        return {moment for friend in self._friends for moment in self._moments(friend)}

    def open(self, now: datetime) -> list[Delivery]:
        """What friends do in their browsers at a moment; the sign-ups that the owner's back end tells of then."""
        return [told for friend in self._friends if now in self._moments(friend) for told in self._come(friend, now)]

    def _moments(self, friend: Friend) -> list[datetime]:
        joins_at = self.people[friend.number].joins_at
        return [CLICKED_EARLY, joins_at, joins_at + TOLD_LATE] if friend.claimed_by is not None else [joins_at]

    def _come(self, friend: Friend, now: datetime) -> Iterator[Delivery]:
        person = self.people[friend.number]
        if friend.claimed_by is not None:
            yield from self._between_two(friend, friend.claimed_by, now)
        elif friend.door == "link":
            yield _signed_up(person, now, self._click(friend, friend.by))
        elif friend.door == "code":
            told = _signed_up(person, now, {"code": self._code(friend.by)})
            yield told
            yield replace(told, kind="duplicate")
        elif friend.door == "join page":
            self._click(friend, friend.by)
            self._expect("our join page", self._browsers[friend.number].join(person.email or ""), 200)

    def _between_two(self, friend: Friend, rival: int, now: datetime) -> Iterator[Delivery]:
        """One whom two bring: they click on one's link, later on the other's, and the later one is told of first."""
        person = self.people[friend.number]
        if now == CLICKED_EARLY:
            self._look_only(friend.by)
            self._queries[friend.number] = self._click(friend, friend.by)
        elif now == person.joins_at:
            remembered = self._click(friend, rival) == self._queries[friend.number]
            self._expect("a second link keeps the first touch", remembered, True)  # noqa: FBT003 - what was expected
            yield _signed_up(person, now, {"code": self._code(rival)})
        else:
            yield _signed_up(person, now, self._queries[friend.number])

    def _click(self, friend: Friend, by: int) -> dict[str, str]:
        self.clicks += 1
        return self._browsers[friend.number].follow(self._code(by))

    def _look_only(self, by: int) -> None:
        """A chat's preview of a link, and a client that only asks for its head: neither is a click."""
        path = f"/l/r/{self._code(by)}"
        self._expect("a preview", self.stack.http("GET", path, headers={"user-agent": PREVIEW}).status_code, 302)
        self._expect("a HEAD", self.stack.http("HEAD", path, headers={"user-agent": AGENT}).status_code, 302)

    def _code(self, number: int) -> str:
        person = self.people[number]
        return self._signer.code(member_id_of(Identity(person.platform, person.external_id)))

    def _expect(self, what: str, got: object, wanted: object) -> None:
        if got != wanted:
            self.unexpected.append(f"{what}: {got}")


def _signed_up(person: Person, now: datetime, by: dict[str, str]) -> Delivery:
    """The owner's back end tells of a sign-up, whatever the platform: the code that was entered, or where from."""
    utm = {name: value for name, value in by.items() if name.startswith("utm_")}
    handed = {name: value for name, value in by.items() if name in {"ref", "code"}}
    about = {
        "actor": {"id": person.external_id},
        "platform": person.platform,
        **handed,
        **({"utm": utm} if utm else {}),
    }
    body = as_json({"type": "referral.signed_up", "timestamp": iso(now), "data": about})
    headers = {"webhook-id": f"msg_signup_{person.number}_{int(now.timestamp())}"}
    return Delivery(at=now, platform="standard", body=body, headers=headers, expect="referral.signed_up", prompt=True)
