"""Referrals and rewards: touches and attributions of a referee, referrals and rewards of a member."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from shared.model import Attribution, Referral, ReferralStatus, Reversal, Reward, Touch, Void, stamp
from shared.store import keys
from shared.store.items import expiry
from shared.store.table import Table
from shared.store.wire import attributes, key

_REVERSED = "#REVERSED"


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
        return self._put_new(keys.touch(touch), touch.model_dump(mode="json"))

    def note_void(self, referee_id: str, void: Void) -> bool:
        """Remember something that may undo a referral."""
        return self._put_new(keys.void(referee_id, void.at, void.reason), void.model_dump(mode="json"))

    def attribute(self, attribution: Attribution) -> Attribution:
        """Settle for good whose referee a member is, unless it is settled; how it stands."""
        pk, sk = keys.attribution(attribution.referee_id)
        item = attributes({"pk": pk, "sk": sk, **attribution.model_dump(mode="json")})
        old = self._write_or_old("put_item", Item=item, ConditionExpression="attribute_not_exists(pk)")
        return attribution if old is None else Attribution.model_validate(_plain(old, Attribution))

    def referee(self, member_ids: Iterable[str]) -> Referee:
        """What was told of a person, under all the ids they had; as of now, one query an id."""
        items = [item for member_id in member_ids for item in self._all(keys.attribution(member_id)[0])]
        return Referee(
            touches=[Touch.model_validate(_plain(item, Touch)) for item in items if _is(item, "TOUCH#")],
            voids=[Void.model_validate(_plain(item, Void)) for item in items if _is(item, "VOID#")],
            attributions=[Attribution.model_validate(_plain(item, Attribution)) for item in items if _is(item, "ATTR")],
        )

    def note_invited(self, email: str, touch: Touch) -> bool:
        """Remember who brought an address that was left on our join page, for when a member appears with it."""
        where = keys.invited(email), f"TOUCH#{stamp(touch.at)}#{touch.referrer_id}"
        return self._put_new(where, touch.model_dump(mode="json") | {"expires_at": expiry(touch.told_at)})

    def invited(self, email: str) -> list[Touch]:
        """The touches of an address that was left on our join page."""
        return [Touch.model_validate(_plain(item, Touch)) for item in self._all(keys.invited(email))]

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

        It is on the list for review while in it: put there first, so that a crash in between loses none.
        """
        if referral.status == "in_review":
            pk, sk = keys.review(referral)
            self._write("put_item", Item=attributes({"pk": pk, "sk": sk, **referral.model_dump(mode="json")}))
        old = self._move(referral, was)
        if (referral.status if old is None else old.get("status")) != "in_review":
            self._write("delete_item", Key=key(keys.review(referral)))
        return old is None

    def _move(self, referral: Referral, was: ReferralStatus | None) -> dict[str, Any] | None:
        pk, sk = keys.referral(referral.referrer_id, referral.referee_id)
        item = attributes({"pk": pk, "sk": sk, **referral.model_dump(mode="json")})
        if was is None:
            return self._write_or_old("put_item", Item=item, ConditionExpression="attribute_not_exists(pk)")
        return self._write_or_old(
            "put_item",
            Item=item,
            ConditionExpression="#status = :was",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues=attributes({":was": was}),
        )

    def reviews(self) -> list[Referral]:
        """Every referral that waits for a person."""
        return [Referral.model_validate(_plain(item, Referral)) for item in self._all("REVIEW")]

    # --- rewards ---------------------------------------------------------------------------------

    def grant(self, reward: Reward) -> bool:
        """Grant a reward, once for ever; False when it was granted before."""
        return self._put_new(keys.reward(reward.member_id, reward.rule), reward.model_dump(mode="json"))

    def reward(self, member_id: str, rule: str) -> Reward | None:
        """A reward as of now."""
        item = self._get(keys.reward(member_id, rule))
        return Reward.model_validate(_plain(item, Reward)) if item else None

    def note_reward(self, reward: Reward, moment: str, at: datetime) -> bool:
        """Note once that a reward was `fulfilled_at` or `refused_at`."""
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
        return self._put_new(keys.reversal(reversal.member_id, reversal.rule), reversal.model_dump(mode="json"))

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
        item = attributes({"pk": where[0], "sk": where[1], **plain})
        return self._write("put_item", Item=item, ConditionExpression="attribute_not_exists(pk)")


def _is(item: dict[str, Any], prefix: str) -> bool:
    return bool(item["sk"].startswith(prefix))


def _plain(item: dict[str, Any], kind: type[Any]) -> dict[str, Any]:
    return {name: item[name] for name in kind.model_fields if name in item}
