"""Discourse webhooks: enable the topic, user, post, like, solved and reviewable events.

Drops what is not the open community's: private messages, whispers, notices and system users. A new topic comes twice:
its first post's post_created, which has the text, is the post; topic_created tells the tags, so with one of the
playbook's it is news.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from shared.errors import Malformed
from shared.events import (
    COMMUNITY,
    LONGEST_TITLE,
    AnswerAccepted,
    CommentCreated,
    CommunityEvent,
    ContentFlagged,
    ContentPublished,
    HighlightKind,
    MemberJoined,
    MemberLeft,
    MemberUpdated,
    PostCreated,
    Profile,
    ReactionAdded,
)
from shared.platforms.delivery import Answer, Node, load, profile
from shared.platforms.proof import agree, digest, header, keys
from shared.platforms.text import feeling, measure
from shared.playbook.model import Platform

REGULAR_POST = 1

_INSTANCE = re.compile(r"https?://([A-Za-z0-9._:/-]{1,200})")
_SLUG = re.compile(r"[A-Za-z0-9_%-]{1,200}")
_QUOTE = re.compile(r"\[/?quote[^\[\]]{0,300}\]", re.IGNORECASE)


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], _now: datetime) -> None:
    """Raise Unauthentic unless Discourse signed these bytes with one of the secrets.

    Discourse signs neither time nor headers, so an old body proves itself for ever: the event's id makes it harmless.
    """
    given = header(headers, "x-discourse-event-signature")
    agree([given], [b"sha256=" + digest(key.encode(), body).hexdigest().encode() for key in keys(secrets)])


def parse(
    headers: Mapping[str, str], body: bytes, received_at: datetime, settings: Platform
) -> list[CommunityEvent] | Answer:
    """Read a delivery: its event, nothing for one we do not use, or the answer to a ping. Raises Malformed."""
    root = load(body)
    name = _header(headers, "x-discourse-event")
    if name == "ping":
        return Answer(200, "text/plain", "pong")
    if name not in _READERS:
        return []
    key, read = _READERS[name]
    if key == "topic" and not settings.content_tags:
        return []
    fingerprint = sha256(body).hexdigest()[:32]
    found = read(root.node(key), _Delivery(name, _instance(headers), fingerprint, received_at, settings))
    return [] if found is None else [found]


@dataclass(frozen=True)
class _Delivery:
    name: str
    instance: str
    fingerprint: str
    received_at: datetime
    settings: Platform

    def fields(self, actor: str, fact: object, at: datetime | None = None) -> dict[str, Any]:
        """What every event has; `fact` tells it from others of its name, `at` is None where Discourse tells no time.

        X-Discourse-Event-Id is no part of the id: an automatic retry carries a new one.
        """
        return {
            "id": f"discourse:{self.instance}:{self.name}:{fact}",
            "occurred_at": at or self.received_at,
            "received_at": self.received_at,
            "timed": at is not None,
            "platform": "discourse",
            "actor": actor,
        }

    def repeatable(self, actor: str) -> dict[str, Any]:
        """The fields of what can happen to a user again and again; the body has no version, so its bytes must do."""
        return self.fields(actor, f"{actor}:{self.fingerprint}")


def _user_created(actor: str, user: Node, delivery: _Delivery) -> CommunityEvent:
    fields = delivery.fields(actor, actor, user.moment("created_at"))
    return MemberJoined(**fields, profile=_profile(user, verified=user.flag("active")), invited_by=_inviter(user))


def _user_approved(actor: str, user: Node, delivery: _Delivery) -> CommunityEvent:
    known = _profile(user, verified=True)
    return MemberUpdated(**delivery.repeatable(actor), profile=known, invited_by=_inviter(user))


def _user_confirmed(actor: str, user: Node, delivery: _Delivery) -> CommunityEvent:
    return MemberUpdated(**delivery.repeatable(actor), profile=_profile(user, verified=True))


def _user_updated(actor: str, user: Node, delivery: _Delivery) -> CommunityEvent:
    return MemberUpdated(**delivery.repeatable(actor), profile=_profile(user, verified=user.flag("active")))


def _user_destroyed(actor: str, _user: Node, delivery: _Delivery) -> CommunityEvent:
    return MemberLeft(**delivery.fields(actor, actor))


def _user_suspended(actor: str, _user: Node, delivery: _Delivery) -> CommunityEvent:
    return MemberLeft(**delivery.repeatable(actor), reason="banned")


def _user_unsuspended(actor: str, user: Node, delivery: _Delivery) -> CommunityEvent:
    known = _profile(user, verified=user.flag("active"))
    return MemberJoined(**delivery.repeatable(actor), profile=known, returning=True)


def _topic_told(topic: Node, delivery: _Delivery) -> CommunityEvent | None:
    """A topic with one of the playbook's tags, told when it was created or any time it is edited or listed.

    It is one event however often it is told: the id and the link rest on what is signed and on the playbook, never on
    the instance header, which is not.
    """
    kind = _kind_of_news(topic, delivery.settings)
    if kind is None or not _is_listed(topic):
        return None
    number, front = topic.number("id"), str(delivery.settings.url).rstrip("/")
    created_by = topic.maybe_node("created_by")
    author = _person(topic, "user_id") if created_by is None else _person(created_by, "id")
    slug = topic.maybe_text("slug") or ""
    fields = delivery.fields(author or COMMUNITY, number, topic.moment("created_at"))
    fields["id"] = f"discourse:{front.split('://')[1]}:content:{number}:{kind}"
    return ContentPublished(
        **fields,
        object=f"topic:{number}",
        kind=kind,
        title=_shortened(" ".join(topic.text("title").split())),
        url=f"{front}/t/{slug}/{number}" if _SLUG.fullmatch(slug) else f"{front}/t/{number}",
    )


def _post_created(post: Node, delivery: _Delivery) -> CommunityEvent | None:
    author = _person(post, "user_id")
    if author is None or not _is_open(post):
        return None
    fields = delivery.fields(author, post.number("id"), post.moment("created_at")) | _place(post)
    raw = post.maybe_text("raw")
    fields["body"] = None if raw is None else measure(own_words(raw))
    return PostCreated(**fields) if fields["parent"] is None else CommentCreated(**fields)


def _post_liked(like: Node, delivery: _Delivery) -> CommunityEvent | None:
    post, liker = like.node("post"), _person(like.node("user"), "id")
    if liker is None or not _is_open(post):
        return None
    fields = delivery.fields(liker, f"{post.number('id')}:{liker}") | _place(post)
    return ReactionAdded(**fields, emoji="heart", sentiment=feeling("heart"))


def _accepted_solution(post: Node, delivery: _Delivery) -> CommunityEvent | None:
    author = _person(post, "user_id")
    if author is None or not _is_open(post):
        return None
    return AnswerAccepted(**delivery.fields(author, post.number("id")), **_place(post))


def _reviewable_created(reviewable: Node, delivery: _Delivery) -> CommunityEvent | None:
    """A flagged post of the open community; queued posts and new users waiting for approval are no flags."""
    post, category, topic = (reviewable.maybe_number(key) for key in ("post_id", "category_id", "topic_id"))
    author = _author(reviewable)
    if post is None or category is None or author is None:
        return None
    return ContentFlagged(
        **delivery.fields(author, reviewable.number("id"), reviewable.moment("created_at")),
        object=f"post:{post}",
        parent=None if topic is None else f"topic:{topic}",
        channel=str(category),
    )


def _of_account(read: Callable[[str, Node, _Delivery], CommunityEvent]) -> _Reader:
    """A reader of user events, without system users and staged ones (addresses that once wrote a mail)."""

    def read_account(user: Node, delivery: _Delivery) -> CommunityEvent | None:
        actor = None if user.flag("staged") else _person(user, "id")
        return None if actor is None else read(actor, user, delivery)

    return read_account


_Reader = Callable[[Node, _Delivery], CommunityEvent | None]
_READERS: Mapping[str, tuple[str, _Reader]] = {
    "topic_created": ("topic", _topic_told),
    "topic_edited": ("topic", _topic_told),
    "topic_visible_status_updated": ("topic", _topic_told),
    "user_created": ("user", _of_account(_user_created)),
    "user_confirmed_email": ("user", _of_account(_user_confirmed)),
    "user_approved": ("user", _of_account(_user_approved)),
    "user_updated": ("user", _of_account(_user_updated)),
    "user_destroyed": ("user", _of_account(_user_destroyed)),
    "user_suspended": ("user", _of_account(_user_suspended)),
    "user_unsuspended": ("user", _of_account(_user_unsuspended)),
    "post_created": ("post", _post_created),
    "post_liked": ("like", _post_liked),
    "accepted_solution": ("solved", _accepted_solution),
    "reviewable_created": ("reviewable", _reviewable_created),
}


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise Malformed(f"no {name} header")
    return value


def _instance(headers: Mapping[str, str]) -> str:
    """The forum's host and path, which make its numbers unique."""
    found = _INSTANCE.fullmatch(_header(headers, "x-discourse-instance"))
    if not found:
        raise Malformed("the x-discourse-instance header must be a URL")
    return found[1].lower().rstrip("/")


def _person(node: Node, key: str) -> str | None:
    """The id of a person; system users have negative ones, deleted people none."""
    number = node.maybe_number(key)
    return None if number is None or number <= 0 else str(number)


def _inviter(user: Node) -> str | None:
    """Whose invitation a user took: an object as Discourse writes it, or their id alone."""
    if isinstance(user.value.get("invited_by"), dict):
        return _person(user.node("invited_by"), "id")
    return _person(user, "invited_by")


def _author(reviewable: Node) -> str | None:
    author = reviewable.maybe_node("target_created_by")
    return _person(reviewable, "target_created_by_id") if author is None else _person(author, "id")


def _is_open(post: Node) -> bool:
    """Whether a post is the community's: regular, and not private. Without an archetype, no category means private."""
    archetype = post.maybe_text("topic_archetype")
    private = post.maybe_number("category_id") is None if archetype is None else archetype == "private_message"
    kind = post.maybe_number("post_type")
    return not private and kind in {None, REGULAR_POST}


def _is_listed(topic: Node) -> bool:
    """Whether a topic is there for everybody to find. Without an archetype, no category means private."""
    archetype = topic.maybe_text("archetype")
    private = topic.maybe_number("category_id") is None if archetype is None else archetype == "private_message"
    return not private and topic.flag("visible", default=True) and topic.maybe_text("deleted_at") is None


def _kind_of_news(topic: Node, settings: Platform) -> HighlightKind | None:
    """The first of the playbook's kinds whose tag the topic carries."""
    tags = _tags(topic)
    return next((kind for kind, tag in settings.content_tags.items() if tag.lower() in tags), None)


def _tags(topic: Node) -> set[str]:
    """A topic's tags in lower case: names, or objects (since 2026) with a name, which may be translated, and a slug."""
    told = topic.value.get("tags") or []
    if not isinstance(told, list):
        topic.wrong("tags", "must be a list")
    names = [tag.get(key) for tag in told if isinstance(tag, dict) for key in ("name", "original_name", "slug")]
    return {name.lower() for name in (*names, *told) if isinstance(name, str)}


def _shortened(title: str) -> str:
    return title if len(title) <= LONGEST_TITLE else f"{title[: LONGEST_TITLE - 1].rstrip()}…"


def _place(post: Node) -> dict[str, Any]:
    """Where a post stands: the first one is its topic, every other one belongs to it."""
    topic, category = f"topic:{post.number('topic_id')}", post.maybe_number("category_id")
    opens = post.number("post_number") == 1
    return {
        "object": topic if opens else f"post:{post.number('id')}",
        "parent": None if opens else topic,
        "channel": None if category is None else str(category),
    }


def _profile(user: Node, *, verified: bool) -> Profile:
    options = user.maybe_node("user_option") or Node({}, user.at("user_option"))
    return profile(
        name=user.maybe_text("name") or user.maybe_text("username"),
        email=user.maybe_text("email"),
        verified=verified,
        locale=user.maybe_text("locale"),
        timezone=options.maybe_text("timezone"),
        role="staff" if user.flag("admin") or user.flag("moderator") else "member",
    )


def own_words(raw: str) -> str:
    """A post without what it quotes from others."""
    kept, depth, at = [], 0, 0
    for mark in _QUOTE.finditer(raw):
        if depth == 0:
            kept.append(raw[at : mark.start()])
        depth = max(0, depth - 1) if mark[0].startswith("[/") else depth + 1
        at = mark.end()
    return "".join([*kept, raw[at:]])
