"""Whatever happens in whatever order: rewards are what a plain reading of the rules over the whole history says."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from shared.app import App
from shared.events import CommunityEvent, MemberLeft, Profile, PurchaseMade, PurchaseRefunded, ReferralSignedUp
from shared.model import stamp
from shared.playbook import check
from shared.programmes.referrals import NAME
from shared.react import react
from shared.reviewing import approve, case_of, reject, rejection
from shared.rewarding import settle_all
from shared.store import keys
from tests.aws.test_referrals import an_id, came, with_code, wrote
from tests.builders import JOINED, raw_playbook, updated

HOUR = timedelta(hours=1)
SETTLING, HOLD = 24 * HOUR, 7 * 24 * HOUR
THRESHOLDS = {"badge": 1, "premium_month": 2, "premium_lifetime": 3, "ambassador": 4}
OLD = ("bo", "cid")
"""Who has been here for a month and may bring others."""

NEW = ("ada", "dan", "eva", "fay")
Furthest = ("attributed", "voided", "in_review", "rejected", "qualified")


@dataclass
class Bond:
    """One account brought another: as plain as it can be said."""

    referrer: str
    referee: str
    touched: datetime
    status: str = "attributed"
    known: set[str] = field(default_factory=set)

    def doubted(self, why: str) -> None:
        """What a person has looked at already is not held against it again."""
        if why not in self.known:
            self.known.add(why)
            self.status = "in_review"


@dataclass
class Reading:
    """The rules, read plainly over all that happened. Knows nothing of how they are carried out."""

    joined: dict[str, datetime] = field(default_factory=dict)
    posted: dict[str, datetime] = field(default_factory=dict)
    voids: list[tuple[str, datetime]] = field(default_factory=list)
    touches: list[tuple[str, str, datetime, datetime]] = field(default_factory=list)
    one_is: dict[str, str] = field(default_factory=dict)
    brought: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    bonds: list[Bond] = field(default_factory=list)
    granted: list[tuple[str, str]] = field(default_factory=list)
    reversed: set[tuple[str, str]] = field(default_factory=set)

    def read(self, history: list[tuple[Any, ...]]) -> Reading:
        for what, *told in history:
            getattr(self, what)(*told)
        return self

    # --- what happened

    def join(self, who: str, at: datetime) -> None:
        self.joined[who] = at

    def post(self, who: str, at: datetime) -> None:
        self.posted.setdefault(who, at)

    def touch(self, who: str, by: str, at: datetime, told: datetime) -> None:
        self.touches.append((who, by, at, told))

    def undo(self, who: str, at: datetime) -> None:
        self.voids.append((who, at))

    def merge(self, one: str, other: str) -> None:
        first, second = sorted({self.person(one), self.person(other)}, key=self.joined.__getitem__)
        self.one_is[second] = first

    def reject(self, who: str) -> None:
        bonds = self.rejectable(who)
        for bond in bonds:
            bond.status = "rejected"
        referrer, remain = self.person(bonds[0].referrer), self.number(bonds[0].referrer, "in_review")
        counts = any(bond.status == "qualified" for bond in self.bonds_of(who))
        for owner, reward in self.granted:
            too_many = self.person(owner) == referrer and THRESHOLDS.get(reward, 0) > remain
            own = self.person(owner) == self.person(who) and reward == "trial" and not counts
            if too_many or own:
                self.reversed.add((owner, reward))

    def approve(self, who: str) -> None:
        for bond in self.waiting(who):
            bond.status = "qualified"

    def tick(self, now: datetime) -> None:
        people = sorted({self.person(who) for who, *_ in self.touches})
        for look in (self.settle, self.part, self.judge, self.doubt):
            for who in people:
                look(who, now)
        for who in people:
            self.pay(who)

    # --- who is who

    def person(self, who: str) -> str:
        while who in self.one_is:
            who = self.one_is[who]
        return who

    def accounts(self, who: str) -> list[str]:
        return [one for one in self.joined if self.person(one) == self.person(who)]

    def bonds_of(self, who: str) -> list[Bond]:
        return [bond for bond in self.bonds if self.person(bond.referee) == self.person(who)]

    def referrer(self, who: str) -> str | None:
        """Who brought a person: of all that brought one of their accounts, the first."""
        settled = [self.brought[one] for one in self.accounts(who) if one in self.brought]
        return self.person(min(settled)[1]) if settled else None

    def main(self, who: str) -> Bond | None:
        """A person's one referral under who brought them: the furthest, of those the first."""
        ours = [bond for bond in self.bonds_of(who) if self.person(bond.referrer) == self.referrer(who)]
        ours.sort(key=lambda bond: bond.touched)
        return max(ours, key=lambda bond: Furthest.index(bond.status), default=None)

    def rejectable(self, who: str) -> list[Bond]:
        under = [bond for bond in self.bonds_of(who) if self.person(bond.referrer) == self.referrer(who)]
        return [bond for bond in under if bond.status in ("in_review", "qualified")]

    def waiting(self, who: str) -> list[Bond]:
        return [bond for bond in self.rejectable(who) if bond.status == "in_review"]

    def number(self, referrer: str, *more: str) -> int:
        ours = [bond for bond in self.bonds if self.person(bond.referrer) == self.person(referrer)]
        return len({self.person(bond.referee) for bond in ours if bond.status in ("qualified", *more)})

    # --- the rules

    def settle(self, who: str, now: datetime) -> None:
        """The first touch of those told within a day of the first telling brings somebody, unless they were here."""
        start = min(self.joined[one] for one in self.accounts(who))
        mine = [touch[1:] for touch in self.touches if self.person(touch[0]) == who and touch[2] <= start + SETTLING]
        end = min((told for _, _, told in mine), default=now) + SETTLING
        if self.referrer(who) is None and now >= end:
            by, at, _ = min((touch for touch in mine if touch[2] <= end), key=lambda touch: (touch[1], an_id(touch[0])))
            self.brought[who] = (at, by)
        if self.referrer(who) is not None and self.main(who) is None:
            at, by = min(self.brought[one] for one in self.accounts(who) if one in self.brought)
            self.bonds.append(Bond(self.person(by), who, at))

    def part(self, who: str, _: datetime) -> None:
        """One person has one referrer; nobody brings themselves."""
        for bond in self.bonds_of(who):
            if self.person(bond.referrer) == self.referrer(who):
                continue
            own = self.person(bond.referrer) == who
            if bond.status == "qualified" or (own and bond.status == "attributed"):
                bond.doubted("self" if own else "another")
            elif bond.status == "attributed":
                bond.status = "voided"

    def judge(self, who: str, now: datetime) -> None:
        posts = [self.posted[one] for one in self.accounts(who) if one in self.posted]
        bond = self.main(who)
        if bond is None or bond.status != "attributed" or not posts:
            return
        start = max(min(posts), bond.touched)
        if now >= start + HOLD:
            bond.status = "voided" if self.undone(who, start) else "qualified"

    def undone(self, who: str, start: datetime) -> bool:
        return any(self.person(one) == who and start <= at < start + HOLD for one, at in self.voids)

    def doubt(self, who: str, _: datetime) -> None:
        """Who brought themselves, or was here before, does not count until a person says so."""
        bond = self.main(who)
        if bond is None or bond.status != "qualified":
            return
        posts = [self.posted[one] for one in self.accounts(who) if one in self.posted]
        doubts = {
            "before": bond.touched > min(self.joined[one] for one in self.accounts(who)) + SETTLING,
            "self": self.person(bond.referrer) == who,
            "late": self.undone(who, max(min(posts), bond.touched)),
        }
        for why in [why for why, holds in doubts.items() if holds]:
            bond.doubted(why)

    def pay(self, who: str) -> None:
        bond = self.main(who)
        if bond is None or bond.status != "qualified":
            return
        reached = [reward for reward, at in THRESHOLDS.items() if at <= self.number(bond.referrer)]
        for owner, rewards in ((who, ["trial"]), (self.person(bond.referrer), reached)):
            had = {reward for one, reward in self.granted if self.person(one) == owner}
            self.granted += [(owner, reward) for reward in rewards if reward not in had]


class Community(RuleBasedStateMachine):
    """Two members of old, four new ones, and everything that may happen to them."""

    examples = count()

    def __init__(self, app: App) -> None:
        super().__init__()
        self.app = app
        self.run = next(self.examples)
        self.now = JOINED
        self.history: list[tuple[Any, ...]] = []
        self.told: list[CommunityEvent] = []
        self.numbers = count()

    def name(self, who: str) -> str:
        """A name that no other example knows; of one length and order, as ids are."""
        return f"{who}{self.run}"

    def tell(self, *events: CommunityEvent) -> None:
        self.told += events
        assert react(events, self.app, self.now) == {}

    def happen(self, what: str, *told: object) -> None:
        self.history.append((what, *told))

    def base(self, who: str) -> dict[str, Any]:
        moment = {"occurred_at": self.now, "received_at": self.now}
        return {"id": f"{self.run}:{next(self.numbers)}", "platform": "standard", "actor": self.name(who), **moment}

    def ticks(self) -> None:
        settle_all(self.app, self.now)
        self.happen("tick", self.now)

    def reading(self) -> Reading:
        return Reading().read(self.history)

    @initialize(
        by=st.lists(st.sampled_from(OLD), min_size=len(NEW), max_size=len(NEW)),
        writing=st.sets(st.sampled_from(NEW), min_size=2),
    )
    def begin(self, by: list[str], writing: set[str]) -> None:
        """Two are here for a month; four come with their codes, two hours apart, and some write at once."""
        for number, who in enumerate(OLD):
            self.comes(who, JOINED - (40 - number) * 24 * HOUR)
        for who, referrer in zip(NEW, by, strict=True):
            self.now += 2 * HOUR
            self.comes(who, self.now)
            self.told.append(with_code(self.app, self.name(who), self.name(referrer), at=self.now))
            self.happen("touch", self.name(who), self.name(referrer), self.now, self.now)
            if who in writing:
                self.told.append(self.post_of(who))
        assert react(self.told, self.app, self.now) == {}

    def comes(self, who: str, at: datetime) -> None:
        self.told.append(came(self.name(who), at=at))
        self.happen("join", self.name(who), at)

    def post_of(self, who: str) -> CommunityEvent:
        self.happen("post", self.name(who), self.now)
        return wrote(self.name(who), at=self.now, id=f"{self.run}:{next(self.numbers)}")

    @rule(who=st.sampled_from(NEW), by=st.sampled_from(OLD), clicked=st.sampled_from([0, 1, 9, 200]))
    def is_brought_again(self, who: str, by: str, clicked: int) -> None:
        """By a click so many hours ago, told now."""
        self.now += timedelta(minutes=1)
        at = self.now - clicked * HOUR
        ref = self.app.signer.sign("referral", an_id(self.name(by)), "click", stamp(at))
        self.tell(ReferralSignedUp(**self.base(who), ref=ref))
        self.happen("touch", self.name(who), self.name(by), at, self.now)

    @rule(who=st.sampled_from(NEW))
    def writes(self, who: str) -> None:
        self.now += timedelta(minutes=1)
        self.tell(self.post_of(who))

    @rule(
        who=st.sampled_from(NEW),
        how=st.sampled_from(["left", "banned", "refunded"]),
        late=st.sampled_from([0, 30, 190]),
    )
    def undoes(self, who: str, how: Any, late: int) -> None:
        """Told so many hours late: it may have begun to count."""
        self.now += timedelta(minutes=1)
        at = {"occurred_at": self.now - late * HOUR}
        if how == "refunded":
            self.tell(
                PurchaseMade(**self.base(who) | at, amount=1, currency="EUR"), PurchaseRefunded(**self.base(who) | at)
            )
        else:
            self.tell(MemberLeft(**self.base(who) | at, reason=how))
        self.happen("undo", self.name(who), at["occurred_at"])
        self.ticks()

    @rule(one=st.sampled_from(NEW), other=st.sampled_from([*OLD, *NEW]))
    def prove_to_be_one(self, one: str, other: str) -> None:
        if one == other:
            return
        self.ticks()
        self.now += timedelta(minutes=1)
        who = self.app.store.survivor(an_id(self.name(other)))
        assert who is not None
        same = updated(Profile(email=who.email, email_verified=True), **self.base(one))
        self.tell(same)
        if self.reading().person(self.name(one)) != self.reading().person(self.name(other)):
            self.happen("merge", self.name(one), self.name(other))
        self.ticks()
        self.rewards_are_those_of_the_rules()

    @rule(at=st.integers(0, 99))
    def is_told_again(self, at: int) -> None:
        event = self.told[at % len(self.told)]
        assert react([event], self.app, self.now) == {}

    @rule(hours=st.sampled_from([25, 100, 200]))
    def time_passes(self, hours: int) -> None:
        self.now += hours * HOUR
        self.ticks()
        self.rewards_are_those_of_the_rules()

    @rule(who=st.sampled_from(NEW))
    def is_rejected(self, who: str) -> None:
        if self.reading().rejectable(self.name(who)):
            self.now += timedelta(minutes=1)
            reject(rejection(case_of(an_id(self.name(who)), self.app), "no", self.app, self.now), self.app, self.now)
            self.happen("reject", self.name(who))
            self.rewards_are_those_of_the_rules()

    @rule(who=st.sampled_from(NEW))
    def is_approved(self, who: str) -> None:
        if self.reading().waiting(self.name(who)):
            self.now += timedelta(minutes=1)
            approve(case_of(an_id(self.name(who)), self.app), self.app, self.now)
            self.happen("approve", self.name(who))
            self.ticks()
            self.rewards_are_those_of_the_rules()

    def referrals_stand_as_the_rules_say(self, reading: Reading) -> None:
        names = {an_id(self.name(who)): self.name(who) for who in (*OLD, *NEW)}
        stand = [one for who in (*OLD, *NEW) for one in self.app.store.standing([an_id(self.name(who))]).referrals]
        found = sorted((names[one.referrer_id], names[one.referee_id], one.status) for one in stand)
        assert found == sorted((bond.referrer, bond.referee, bond.status) for bond in reading.bonds)
        waiting = {(one.referrer_id, one.referee_id) for one in self.app.store.reviews()}
        assert {(one.referrer_id, one.referee_id) for one in stand if one.status == "in_review"} <= waiting

    def rewards_are_those_of_the_rules(self) -> None:
        reading, expected, found = self.reading(), {}, {}
        for who in (*OLD, *NEW):
            name = self.name(who)
            standing = self.app.store.standing([an_id(name)])
            once = [reward.rule for reward in standing.rewards]
            assert len(once) == len(set(once))
            found[name] = set(once) - {one.rule for one in standing.reversals}
            had = [reward for owner, reward in reading.granted if owner == name]
            assert len(had) == len(set(had))
            expected[name] = {reward for reward in had if (name, reward) not in reading.reversed}
        assert found == expected
        self.referrals_stand_as_the_rules_say(reading)
        self.nobody_has_two_referrers(reading)

    def nobody_has_two_referrers(self, reading: Reading) -> None:
        brought: dict[str, set[str]] = {}
        names = {an_id(self.name(who)): self.name(who) for who in (*OLD, *NEW)}
        for who in (*OLD, *NEW):
            for one in self.app.store.standing([an_id(self.name(who))]).referrals:
                if one.status in ("attributed", "qualified"):
                    referee = reading.person(names[one.referee_id])
                    brought.setdefault(referee, set()).add(reading.person(names[one.referrer_id]))
        assert [referee for referee, by in brought.items() if len(by) > 1] == []

    def teardown(self) -> None:
        """Leave nothing on the agenda for the next example."""
        if self.history:
            self.time_passes(200)
        for shard in range(keys.AGENDA_SHARDS):
            for due in self.app.store.upcoming(NAME, shard):
                self.app.store.done(due)


def test_rewards_are_always_what_the_rules_say(app: App) -> None:
    raw = raw_playbook()
    raw["referrals"]["suspicion"] = {"an_hour": "99", "a_day": "99", "one_payer": "99"}
    for one in raw["referrals"]["rewards"]:
        if one["key"] in THRESHOLDS:
            one["at"] = str(THRESHOLDS[one["key"]])
    app.playbook = check(raw, source="playbook")
    run_state_machine_as_test(
        lambda: Community(app),  # type: ignore[arg-type] # it only calls it
        settings=settings(
            max_examples=8,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
