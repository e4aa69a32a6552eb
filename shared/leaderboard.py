"""Who brought the most friends in a period. Pure; only who said yes is named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.members import is_listed
from shared.model import Member, Milestone


@dataclass(frozen=True, kw_only=True)
class Place:
    """A member of the leaderboard: how many people count whom they brought in the period. Equals share a `rank`."""

    rank: int
    member: Member
    count: int


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """The places in order, and how many more people brought somebody who are not named, with how many they brought."""

    places: tuple[Place, ...]
    others: int
    brought_by_others: int


def leaderboard(qualified: Iterable[Milestone], people: Mapping[str, Member]) -> Leaderboard:
    """The leaderboard of a period's referrals that count; `people` are both sides of them, by every id they have there.

    A person is ranked among those who are named: by how many they brought, then by who was there with the last first.
    Two members who proved to be one person are one, on either side. Staff and bots are not ranked.
    """
    brought: dict[str, dict[str, datetime]] = defaultdict(dict)
    for one in sorted(qualified, key=lambda one: one.at):
        referrer, referee = people.get(one.member_id), people.get(one.about)
        if referrer is not None and referrer.status == "active" and referrer.role == "member":
            brought[referrer.id].setdefault(referee.id if referee else one.about, one.at)
    known = {member.id: member for member in people.values()}
    order = sorted(brought, key=lambda id_: (-len(brought[id_]), max(brought[id_].values()), id_))
    named = [known[id_] for id_ in order if is_listed(known[id_])]
    counts = [len(brought[member.id]) for member in named]
    places = tuple(
        Place(rank=counts.index(count) + 1, member=member, count=count)
        for member, count in zip(named, counts, strict=True)
    )
    unnamed = [id_ for id_ in order if not is_listed(known[id_])]
    return Leaderboard(places=places, others=len(unnamed), brought_by_others=sum(len(brought[id_]) for id_ in unnamed))
