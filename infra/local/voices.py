"""How a person's platform tells of what they do: webhooks as Slack, Discourse or the owner's own back end send them.

Shares no code with the receivers: what it expects of them it says itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Literal

from infra.local.people import START, Person

Kind = Literal["first", "duplicate", "unused", "hostile"]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One webhook as its platform sends it.

    `expect` is the event type it must add to the log, if any; `status` the answer it must get. `signed_at` differs from
    `at` for a stale one, `forged` is one with a bad signature. A `prompt` one is sent at once, others may lie a while.
    """

    at: datetime
    platform: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    kind: Kind = "first"
    expect: str | None = None
    status: int = 202
    signed_at: datetime | None = None
    forged: bool = False
    prompt: bool = False


class Voice:
    """One person's platform, telling what they do."""

    def __init__(self, person: Person, random: Random, serial: int = 0) -> None:
        self.person = person
        self.random = random
        self.serial = serial

    def joins(self, at: datetime, email: str | None, invited_by: str | None = None) -> Delivery:
        """The delivery that tells of them joining; of who invited them only Discourse tells here."""
        if self.person.platform == "slack":
            return self._slack({"type": "team_join", "user": self._slack_user(email)}, at, "member.joined")
        if self.person.platform == "discourse":
            account = self._account() | {"active": False, "created_at": iso(at)}
            account |= {"invited_by": {"id": int(invited_by)}} if invited_by else {}
            return self._discourse("user_created", {"user": account}, at, "member.joined")
        return self._standard("member.joined", {}, at, profile=True)

    def leaves(self, at: datetime) -> Delivery:
        """The delivery that tells of them going, or on Discourse of being sent away."""
        if self.person.platform == "discourse":
            return self._discourse("user_suspended", {"user": self._account()}, at, "member.left")
        gone = {"type": "user_change", "user": self._slack_user(None) | {"deleted": True}}
        return self._slack(gone, at, "member.left")

    def changes(self, at: datetime) -> Delivery:
        """The delivery that tells Slack's profile of them as it is now, with their address."""
        return self._slack({"type": "user_change", "user": self._slack_user(self.person.email)}, at, "member.updated")

    def confirms(self, at: datetime) -> Delivery:
        """The delivery that tells of their address on Discourse being theirs."""
        return self._discourse("user_confirmed_email", {"user": self._account()}, at, "member.updated")

    def acts(self, at: datetime) -> Delivery:
        """One of the things that people do."""
        match self.random.choices(("writes", "answers", "likes"), (2, 5, 3))[0]:
            case "writes":
                return self.writes(at)
            case "answers":
                return self.writes(at, parent=f"{self.random.randrange(1, 30)}")
            case _:
                return self._likes(at)

    def said_at(self, at: datetime) -> datetime:
        """When a Slack message was written: a channel has no two of one time, by which they are told apart."""
        return at.replace(microsecond=at.microsecond // 1000 * 1000 + self.person.number % 1000)

    def writes(self, at: datetime, parent: str | None = None) -> Delivery:
        """A new thread, or an answer in one."""
        kind = "comment.created" if parent else "post.created"
        if self.person.platform == "slack":
            message = {
                "type": "message",
                "channel": "C0001",
                "channel_type": "channel",
                "user": self.person.external_id,
            }
            message |= {"text": "Has anybody tried this? :tada:", "ts": slack_ts(self.said_at(at))}
            thread = {"thread_ts": slack_ts(START - timedelta(days=int(parent)))} if parent else {}
            return self._slack(message | thread, at, kind)
        if self.person.platform == "discourse":
            number = self._next()
            post = {
                "id": number,
                "user_id": int(self.person.external_id),
                "raw": "Has anybody tried this?",
                "post_type": 1,
            }
            post |= {
                "created_at": iso(at),
                "topic_id": int(parent or number),
                "category_id": 5,
                "topic_archetype": "regular",
            }
            return self._discourse("post_created", {"post": post | {"post_number": 2 if parent else 1}}, at, kind)
        return self._standard(
            kind, {"text": "Has anybody tried this?", "object": str(self._next()), "parent": parent}, at
        )

    def is_told_of(self, kind: str, told: dict[str, Any], at: datetime) -> Delivery:
        """What the owner's back end tells of them, under their id on their own platform."""
        where = {} if self.person.platform == "standard" else {"platform": self.person.platform}
        return self._standard(kind, told | where, at)

    def _likes(self, at: datetime) -> Delivery:
        if self.person.platform == "slack":
            item = {"type": "message", "channel": "C0001", "ts": slack_ts(START)}
            reaction = {"type": "reaction_added", "user": self.person.external_id, "reaction": "heart", "item": item}
            return self._slack(reaction | {"event_ts": slack_ts(at)}, at, "reaction.added")
        if self.person.platform == "discourse":
            post = {"id": self._next(), "topic_id": 1, "post_number": 2, "post_type": 1, "topic_archetype": "regular"}
            liker = {"id": int(self.person.external_id), "username": f"member{self.person.number}"}
            return self._discourse("post_liked", {"like": {"post": post, "user": liker}}, at, "reaction.added")
        return self._standard("reaction.added", {"emoji": "heart", "object": "1"}, at)

    def _next(self) -> int:
        self.serial += 1
        return self.person.number * 1000 + self.serial

    def _slack_user(self, email: str | None) -> dict[str, Any]:
        person = self.person
        profile = {"real_name": person.name, "display_name": "", **({"email": email} if email else {})}
        return {
            "id": person.external_id,
            "real_name": person.name,
            "tz": person.timezone,
            "locale": person.locale,
            "is_bot": False,
            "deleted": False,
            "is_admin": person.quirk == "is staff",
            "profile": profile,
        }

    def _account(self) -> dict[str, Any]:
        person = self.person
        return {
            "id": int(person.external_id),
            "username": f"member{person.number}",
            "name": person.name,
            "email": person.email,
            "locale": person.locale,
            "user_option": {"timezone": person.timezone},
            "active": True,
        }

    def _slack(self, event: dict[str, Any], at: datetime, expect: str) -> Delivery:
        outer = {"type": "event_callback", "team_id": "T1", "api_app_id": "A1", "event_time": int(at.timestamp())}
        outer |= {
            "event_id": f"Ev{self.person.number:04}{self._next():07}",
            "event": {"event_ts": slack_ts(at)} | event,
        }
        return Delivery(at=at, platform="slack", body=as_json(outer), expect=expect)

    def _discourse(self, name: str, body: dict[str, Any], at: datetime, expect: str) -> Delivery:
        headers = {
            "x-discourse-instance": "https://forum.example.com",
            "x-discourse-event-id": str(self._next()),
            "x-discourse-event-type": next(iter(body)),
            "x-discourse-event": name,
        }
        return Delivery(at=at, platform="discourse", body=as_json(body), headers=headers, expect=expect)

    def _standard(self, kind: str, told: dict[str, Any], at: datetime, *, profile: bool = False) -> Delivery:
        person = self.person
        actor: dict[str, Any] = {"id": person.external_id}
        if profile:
            actor |= {"name": person.name, "timezone": person.timezone, "locale": person.locale}
            actor |= {"email": person.email} if person.email else {}
        told = {name: value for name, value in told.items() if value is not None} | {"actor": actor}
        body = {"type": kind, "timestamp": iso(at), "data": told}
        headers = {"webhook-id": f"msg_{person.number}_{self._next()}"}
        return Delivery(at=at, platform="standard", body=as_json(body), headers=headers, expect=kind)


def as_json(value: object) -> bytes:
    """A body as it goes over the wire."""
    return json.dumps(value, ensure_ascii=False).encode()


def iso(at: datetime) -> str:
    """A moment as most platforms write it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def slack_ts(at: datetime) -> str:
    """A moment as Slack writes it."""
    return f"{int(at.timestamp())}.{at.microsecond:06}"
