"""Tells of rewards: on our own bus, by mail, and to the receiver that the playbook names.

Each part may be done again: the bus's readers and the receiver tell by the id, the mail by its ledger. A notice leaves
the queue only once everything is told, or its next try stands on the agenda; a crash in between brings it back.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from hashlib import sha256
from hmac import digest
from typing import Any, Literal, TypeVar
from zlib import crc32

from shared.app import App
from shared.errors import FlywheelError, Unavailable
from shared.model import Due, Member, PlannedMail, Reversal, Reward, RewardNotice, SendId
from shared.outgoing import Answer, post
from shared.playbook.referrals import RewardWebhook
from shared.programmes import referrals
from shared.rewarding import qualified_of
from shared.store.keys import AGENDA_SHARDS

AGENDA = "reward_notices"
"""The agenda of notices that are to be tried again."""

PAGE = 10
"""Items a query: as many as the reward queue takes in a request."""

_HOUR = timedelta(hours=1)
DELAYS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    *(hours * _HOUR for hours in (2, 5, 10, 14, 20, 24)),
)
"""How long after each failed try the next one is; as the Standard Webhooks specification advises."""

PATIENCE = timedelta(days=3)
"""How long after the first try a failed one is followed by another."""

LONGEST_WAIT = timedelta(days=1)
"""The most that a receiver may ask for with Retry-After."""

FORGOTTEN = PATIENCE + 2 * LONGEST_WAIT
"""Longer after its first try than a notice is ever tried: it was redriven, and starts anew."""

SPREAD = 0.1
"""Up to this share is added to a delay, so that many notices that failed together do not come back together."""

GONE = 410
BUSY = frozenset({429, 503})

Fact = TypeVar("Fact", Reward, Reversal)
Outcome = Literal["told", "refused", "again", "nothing_to_tell"]


@dataclass(frozen=True)
class Fulfilment:
    """What became of a notice, and in a few words why; `again_at` is when it is tried next."""

    outcome: Outcome
    why: str = ""
    again_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Told:
    """A reward and what is to be told of it: `detail` is the same for all who are told."""

    kind: str
    id: str
    at: datetime
    reward: Reward
    detail: Mapping[str, Any]
    member: Member | None


def fulfil(notice: RewardNotice, app: App, now: datetime) -> Fulfilment:
    """Tell of a reward whatever is not told yet; what became of it.

    Raises Unavailable when something of ours is away, FlywheelError when the receiver did not take it for three days:
    either way the queue brings the notice back, and keeps it in the end among its dead letters.
    """
    if notice.since is None or now - notice.since > FORGOTTEN:
        notice = notice.model_copy(update={"tries": 0, "since": now})
    told = what_to_tell(notice, app)
    if told is None:
        return Fulfilment("nothing_to_tell")
    if notice.tries == 0:  # a try is only counted once these were told
        app.bus.put(told.kind, told.detail)
        _plan_mail(told, app, now)
    webhook = app.playbook.referrals.webhook
    if webhook is None:
        return _taken(told, app, now)
    if told.reward.refused_at is not None:
        return Fulfilment("refused", "the receiver refused this reward before")
    return _tell_receiver(notice, told, webhook, app, now)


def put_back(app: App, now: datetime) -> int:
    """Put every notice whose next try is due into the reward queue; how many.

    Into the queue first, then off the agenda: a crash in between has it tried twice, which harms nobody.
    """
    count = 0
    for shard in range(AGENDA_SHARDS):
        for _, items in app.store.due(AGENDA, shard, now, PAGE):
            app.notices.put([RewardNotice.model_validate(due.state) for due in items])
            for due in items:
                app.store.done(due)  # False when it failed again meanwhile: then that is its next try
            count += len(items)
    return count


# --- what is told --------------------------------------------------------------------------------


def what_to_tell(notice: RewardNotice, app: App) -> Told | None:
    """What is to be told; None when all is told, or the reward was taken back before it was told of."""
    member = app.store.survivor(notice.member_id)
    ids = {notice.member_id} | ({member.id} | member.absorbed if member else set())
    standing = app.store.standing(sorted(ids))
    reward = _of(notice, standing.rewards)
    if reward is None:
        raise FlywheelError("a notice names a reward that was never granted")
    reversal = _of(notice, standing.reversals)
    if notice.about == "granted":
        if reward.fulfilled_at or reward.refused_at or reversal:
            return None
        return _told("reward.granted", reward, member)
    if reversal is None:
        raise FlywheelError("a notice names a reward that was never taken back")
    return _told("reward.reversed", reward, member, reversal)


def _of(notice: RewardNotice, facts: Sequence[Fact]) -> Fact | None:
    return next((one for one in facts if (one.member_id, one.rule) == (notice.member_id, notice.rule)), None)


def _told(kind: str, reward: Reward, member: Member | None, reversal: Reversal | None = None) -> Told:
    detail: dict[str, Any] = {
        "id": reward.id,
        "member_id": reward.member_id,
        "identities": sorted(member.identities) if member else [],
        **reward.model_dump(mode="json", include={"rule", "gives", "days", "level", "granted_at"}, exclude_none=True),
    }
    if reversal is not None:
        detail["reason"] = reversal.reason
    return Told(
        kind=kind,
        id=f"{reward.id}-reversed" if reversal else reward.id,
        at=reversal.at if reversal else reward.granted_at,
        reward=reward,
        detail=detail,
        member=member,
    )


def _plan_mail(told: Told, app: App, now: datetime) -> None:
    rules = app.playbook.referrals
    rule = next((one for one in rules.rewards if one.key == told.reward.rule), None)
    if told.kind != "reward.granted" or rule is None or told.member is None:
        return
    qualified = qualified_of(told.reward.member_id, app) if rule.to == "referrer" else 0
    planned = PlannedMail(
        send_id=str(SendId(referrals.NAME, rule.key, told.member.id)),
        mail=rules.mail if rule.to == "referrer" else rules.referee_mail,
        planned_at=now,
        figures={"rule": rule.key, "qualified": qualified},
    )
    if app.queue.put([planned]):
        raise Unavailable("the mail queue refused the mail of a reward")


# --- the receiver --------------------------------------------------------------------------------


def _tell_receiver(notice: RewardNotice, told: Told, webhook: RewardWebhook, app: App, now: datetime) -> Fulfilment:
    body = json.dumps(
        {"type": told.kind, "timestamp": told.at.isoformat().replace("+00:00", "Z"), "data": told.detail}
    ).encode()
    sent_at = app.wire_clock()
    headers = signed(told.id, body, app.rewards_secrets(), sent_at)
    try:
        answer = post(
            str(webhook.url), body, headers, allow_private=webhook.allow_private, seconds=app.receiver_seconds
        )
    except FlywheelError as exc:
        return _again(notice, told, app, now, why=str(exc))
    if 200 <= answer.status < 300:
        return _taken(told, app, now)
    if answer.status == GONE:
        app.store.note_reward(told.reward, "refused_at", now)
        return Fulfilment("refused", "the receiver answered 410")
    wait = asked_for(answer, sent_at)
    return _again(notice, told, app, now, why=f"the receiver answered {answer.status}", wait=wait)


def signed(message_id: str, body: bytes, secrets: Sequence[str], at: datetime) -> dict[str, str]:
    """The headers of an outgoing Standard Webhook at a moment, with one signature for each secret.

    Raises FlywheelError when there is no secret, or one is not base64, with or without `whsec_` before it.
    """
    stamp = str(int(at.timestamp()))
    content = f"{message_id}.{stamp}.".encode() + body
    return {
        "Content-Type": "application/json",
        "User-Agent": "Flywheel",
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(
            f"v1,{b64encode(digest(key, content, sha256)).decode()}" for key in _keys(secrets)
        ),
    }


def _keys(secrets: Sequence[str]) -> list[bytes]:
    try:
        keys = [b64decode(secret.removeprefix("whsec_"), validate=True) for secret in secrets]
    except ValueError as exc:
        raise FlywheelError("a secret that rewards are signed with is not base64") from exc
    if not keys or not all(keys):
        raise FlywheelError("there is no secret to sign rewards with")
    return keys


def asked_for(answer: Answer, at: datetime) -> timedelta | None:
    """How long a busy receiver asks to be left alone as of `at`, a day at most; None when it does not say."""
    if answer.status not in BUSY or answer.retry_after is None:
        return None
    told = answer.retry_after.strip()
    if told.isascii() and told.isdigit():
        return timedelta(seconds=min(int(told[:9]), LONGEST_WAIT.total_seconds()))
    try:
        until = parsedate_to_datetime(told)
    except (ValueError, OverflowError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(until - at, timedelta()), LONGEST_WAIT)


def _taken(told: Told, app: App, now: datetime) -> Fulfilment:
    if told.kind == "reward.granted":
        app.store.note_reward(told.reward, "fulfilled_at", now)
    return Fulfilment("told")


def _again(
    notice: RewardNotice, told: Told, app: App, now: datetime, *, why: str, wait: timedelta | None = None
) -> Fulfilment:
    """Put the next try on the agenda, unless it was tried for long enough."""
    if now - (notice.since or now) >= PATIENCE:
        raise FlywheelError(f"reward {told.id} was told of for three days in vain, at last: {why}")
    again_at = now + (delay(told.id, notice.tries) if wait is None else max(wait, DELAYS[0]))
    state = notice.model_copy(update={"tries": notice.tries + 1}).model_dump(mode="json")
    due = Due(programme=AGENDA, member_id=notice.member_id, key=told.id, due_at=again_at, state=state)
    if notice.tries:
        app.store.rearm(due)
    else:
        app.store.arm(due)  # one that is there already has come further
    return Fulfilment("again", why, again_at)


def delay(message_id: str, tries: int) -> timedelta:
    """How long to wait after so many failed tries and this one."""
    share = crc32(f"{message_id} {tries}".encode()) / 2**32
    return DELAYS[min(tries, len(DELAYS) - 1)] * (1 + SPREAD * share)
