"""Referrals and rewards: touches and attributions of a referee, referrals and rewards of a member."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from shared.model import (
    Attribution,
    Member,
    Milestone,
    Referral,
    ReferralStatus,
    Reversal,
    Reward,
    Touch,
    Void,
    stamp,
)
from shared.store import keys
from shared.store.items import expiry
from shared.store.table import Table
from shared.store.wire import attributes, key

_REVERSED = "#REVERSED"

INVITERS = 20
"""How many referrers of one address count: a bound on what anybody can have done by leaving it ever again."""


class Referee(NamedTuple):
    """Everything that was told of one person as a referee."""

    touches: list[Touch]
    voids: list[Void]
    attributions: list[Attribution]

    @property
    def attribution(self) -> Attribution | None:
        """The one that counts: two members who proved to be one person may have been brought by two."""
        return min(self.attributions, key=lambda one: (one.touched_at, one.referrer_id), default=None)


class Standing(NamedTuple):
    """What one person has as a referrer, and what they were granted."""

    referrals: list[Referral]
    rewards: list[Reward]
    reversals: list[Reversal]


class Referrals(Table):
    """Facts of referrals, each put once; a reward is granted once and never expires."""

    # --- of a referee ----------------------------------------------------------------------------

    def note_touch(self, touch: Touch) -> bool:
        """Remember who brought a member; False when this very touch was told before."""
        return self._put_new(keys.touch(touch), touch.model_dump(mode="json") | {"expires_at": expiry(touch.told_at)})

    def note_void(self, referee_id: str, void: Void) -> bool:
        """Remember something that may undo a referral."""
        return self._put_new(keys.void(referee_id, void.at, void.reason), void.model_dump(mode="json"))

    def attribute(self, attribution: Attribution) -> Attribution:
        """Settle for good whose referee a member is, unless it is settled; how it stands."""
        where, one = keys.attribution(attribution.referee_id), attribution
        milestone = Milestone(kind="attributed", at=one.at, member_id=one.referrer_id, about=one.referee_id)
        if self._together([_new(where, one.model_dump(mode="json")), _mark(milestone)]):
            return attribution
        return Attribution.model_validate(_plain(self._get(where) or {}, Attribution))

    def referee(self, member_ids: Iterable[str]) -> Referee:
        """What was told of a person, under all the ids they had; as of now, one query an id."""
        items = [item for member_id in member_ids for item in self._all(keys.attribution(member_id)[0])]
        return Referee(
            touches=[Touch.model_validate(_plain(item, Touch)) for item in items if _is(item, "TOUCH#")],
            voids=[Void.model_validate(_plain(item, Void)) for item in items if _is(item, "VOID#")],
            attributions=[Attribution.model_validate(_plain(item, Attribution)) for item in items if _is(item, "ATTR")],
        )

    def note_invited(self, email: str, touch: Touch) -> bool:
        """Remember who brought an address that was left on our join page, for when a member appears with it.

        Once a referrer, however often it is left there: by the first time that it was, and by their earliest click.
        False when that is known.
        """
        first = {"told_at": stamp(touch.told_at), "expires_at": expiry(touch.told_at)}
        told = touch.model_dump(mode="json", exclude={"told_at"}) | {"at": stamp(touch.at)}
        sets = [f"#{name} = :{name}" for name in told] + [
            f"#{name} = if_not_exists(#{name}, :{name})" for name in first
        ]
        return self._write(
            "update_item",
            Key=key(keys.invited_by(email, touch.referrer_id)),
            UpdateExpression=f"SET {', '.join(sets)}",
            ConditionExpression="attribute_not_exists(pk) OR #at > :at",
            ExpressionAttributeNames={f"#{name}": name for name in (*told, *first)},
            ExpressionAttributeValues=attributes({f":{name}": value for name, value in (told | first).items()}),
        )

    def invited(self, email: str) -> list[Touch]:
        """The touches of an address that was left on our join page, of `INVITERS` referrers at most."""
        items = self._query(
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=attributes({":pk": keys.invited(email)}),
            ConsistentRead=True,
            Limit=INVITERS,
        )
        return [Touch.model_validate(_plain(item, Touch)) for item in islice(items, INVITERS)]

    # --- of a referrer ---------------------------------------------------------------------------

    def standing(self, member_ids: Iterable[str]) -> Standing:
        """A person's referrals and rewards, under all the ids they had; as of now, one query an id."""
        items = [
            item
            for member_id in member_ids
            for item in self._query(
                KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
                ExpressionAttributeValues=attributes(
                    {":pk": f"MEMBER#{member_id}", ":first": "REFERRAL#", ":last": "REWARD#\x7f"}
                ),
                ConsistentRead=True,
            )
        ]
        rewards = [item for item in items if _is(item, "REWARD#")]
        return Standing(
            referrals=[Referral.model_validate(_plain(item, Referral)) for item in items if _is(item, "REFERRAL#")],
            rewards=[
                Reward.model_validate(_plain(item, Reward)) for item in rewards if not item["sk"].endswith(_REVERSED)
            ],
            reversals=[
                Reversal.model_validate(_plain(item, Reversal)) for item in rewards if item["sk"].endswith(_REVERSED)
            ],
        )

    def settle_referral(self, referral: Referral, *, was: ReferralStatus | None) -> bool:
        """Move a referral on from the status it had, None for a new one; False when it has another one by now.

        With it goes its place on the list for review and among the milestones, all of it or nothing.
        """
        plain = referral.model_dump(mode="json")
        where = keys.referral(referral.referrer_id, referral.referee_id)
        writes = [_new(where, plain) if was is None else _replaced(where, plain, "status", was)]
        review = keys.review(referral)
        writes.append(_put(review, plain) if referral.status == "in_review" else _delete(review))
        if referral.qualified_at is not None:
            one = Milestone(
                kind="qualified", at=referral.qualified_at, member_id=referral.referrer_id, about=referral.referee_id
            )
            writes.append(_mark(one) if referral.status == "qualified" else _delete(keys.milestone(one)))
        return self._together(writes)

    def reviews(self) -> list[Referral]:
        """Every referral that waits for a person."""
        return [Referral.model_validate(_plain(item, Referral)) for item in self._all("REVIEW")]

    # --- rewards ---------------------------------------------------------------------------------

    def grant(
        self, reward: Reward, *, to: Member | None = None, by: Referral | None = None, level: str | None = None
    ) -> bool:
        """Grant a reward, once for ever, and give the member a `level` with it; False when it was granted before.

        It is granted only while `to` is who they were, nobody else having proved to be them, and `by` counts: False
        otherwise, too.
        """
        milestone = Milestone(kind="granted", at=reward.granted_at, member_id=reward.member_id, about=reward.rule)
        where = keys.reward(reward.member_id, reward.rule)
        writes = [_new(where, reward.model_dump(mode="json")), _mark(milestone)]
        if by is not None:
            writes.append(_still(keys.referral(by.referrer_id, by.referee_id), "#status = :was", was="qualified"))
        if to is not None and level is not None:
            writes.append(_raised(to, level))
        elif to is not None:
            same = "attribute_not_exists(merged_into) AND absorbed = :was"
            writes.append(_still(keys.member(to.id), same, was=sorted(to.absorbed)))
        return self._together(writes)

    def reward(self, member_id: str, rule: str) -> Reward | None:
        """A reward as of now."""
        item = self._get(keys.reward(member_id, rule))
        return Reward.model_validate(_plain(item, Reward)) if item else None

    def note_reward(self, reward: Reward, moment: str, at: datetime) -> bool:
        """Note once that a reward was `announced_at`, `fulfilled_at` or `refused_at`."""
        return self._write(
            "update_item",
            Key=key(keys.reward(reward.member_id, reward.rule)),
            UpdateExpression="SET #moment = if_not_exists(#moment, :at)",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeNames={"#moment": moment},
            ExpressionAttributeValues=attributes({":at": stamp(at)}),
        )

    def reverse(self, reversal: Reversal) -> bool:
        """Take a reward back, with a reason; False when it was taken back before. It is never granted again."""
        milestone = Milestone(kind="reversed", at=reversal.at, member_id=reversal.member_id, about=reversal.rule)
        where = keys.reversal(reversal.member_id, reversal.rule)
        return self._together([_new(where, reversal.model_dump(mode="json")), _mark(milestone)])

    # --- of a period -----------------------------------------------------------------------------

    def milestones(self, kind: str, since: datetime, until: datetime) -> Iterator[Milestone]:
        """What happened of a kind from `since` up to, not including, `until`, in order of time."""
        for partition in keys.milestone_partitions(since, until):
            items = self._query(
                KeyConditionExpression="pk = :pk AND sk BETWEEN :since AND :until",
                ExpressionAttributeValues=attributes(
                    {":pk": partition, ":since": f"{kind}#{stamp(since)}", ":until": f"{kind}#{stamp(until)}"}
                ),
            )
            yield from (Milestone.model_validate(_plain(item, Milestone)) for item in items)

    # --- how -------------------------------------------------------------------------------------

    def _all(self, partition: str) -> list[dict[str, Any]]:
        return list(
            self._query(
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues=attributes({":pk": partition}),
                ConsistentRead=True,
            )
        )

    def _put_new(self, where: keys.Key, plain: dict[str, Any]) -> bool:
        return self._write("put_item", **_new(where, plain)["Put"])

    def _together(self, writes: Sequence[dict[str, Any]]) -> bool:
        """Do all of these or none; False when a condition refused one."""
        items = [{kind: {"TableName": self._table, **one} for kind, one in write.items()} for write in writes]
        return self._write_all(items)


def _put(where: keys.Key, plain: dict[str, Any]) -> dict[str, Any]:
    return {"Put": {"Item": attributes({"pk": where[0], "sk": where[1], **plain})}}


def _new(where: keys.Key, plain: dict[str, Any]) -> dict[str, Any]:
    return {"Put": {**_put(where, plain)["Put"], "ConditionExpression": "attribute_not_exists(pk)"}}


def _replaced(where: keys.Key, plain: dict[str, Any], name: str, was: str) -> dict[str, Any]:
    condition = {
        "ConditionExpression": "#name = :was",
        "ExpressionAttributeNames": {"#name": name},
        "ExpressionAttributeValues": attributes({":was": was}),
    }
    return {"Put": {**_put(where, plain)["Put"], **condition}}


def _still(where: keys.Key, condition: str, *, was: object) -> dict[str, Any]:
    check = {"Key": key(where), "ConditionExpression": condition}
    names = {"ExpressionAttributeNames": {"#status": "status"}} if "#status" in condition else {}
    return {"ConditionCheck": {**check, "ExpressionAttributeValues": attributes({":was": was}), **names}}


def _raised(member: Member, level: str) -> dict[str, Any]:
    return {
        "Update": {
            "Key": key(keys.member(member.id)),
            "UpdateExpression": "SET #level = :level, version = version + :one",
            "ConditionExpression": "version = :version AND attribute_not_exists(merged_into)",
            "ExpressionAttributeNames": {"#level": "level"},
            "ExpressionAttributeValues": attributes({":level": level, ":one": 1, ":version": member.version}),
        }
    }


def _delete(where: keys.Key) -> dict[str, Any]:
    return {"Delete": {"Key": key(where)}}


def _mark(milestone: Milestone) -> dict[str, Any]:
    return _put(keys.milestone(milestone), milestone.model_dump(mode="json"))


def _is(item: dict[str, Any], prefix: str) -> bool:
    return bool(item["sk"].startswith(prefix))


def _plain(item: dict[str, Any], kind: type[Any]) -> dict[str, Any]:
    return {name: item[name] for name in kind.model_fields if name in item}
