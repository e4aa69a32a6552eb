"""Any small community over some weeks, and every figure of it by brute force, which shares no code with `shared`.

People are numbers: 0 to 5 are members, 6 is staff, 7 a bot, 8 nobody we know. Each has an identity on two platforms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from shared.events import EVENT, CommunityEvent
from shared.model import Member
from tests.builders import a_member, at

ZONES = ("Europe/Berlin", "UTC", "America/New_York", "Asia/Kolkata", "Pacific/Apia")
BEGINS = (at("2026-10-12T00:00Z"), at("2026-03-16T00:00Z"))
"""Moments soon before the clocks change, back and forward."""

LENGTH = 46
HUMANS = range(6)
INACTIVE = 4
PRESENT = ("member.joined", "post.created", "comment.created", "reaction.added", "event.attended", "survey.answered")
ACTIVE = (*PRESENT[1:], "answer.accepted")
KINDS = (
    *PRESENT,
    "answer.accepted",
    "member.joined",
    "member.left",
    "member.left",
    "purchase.made",
    "ticket.opened",
    "content.approved",
)
ACTORS = (*(f"U{who}" for who in (0, 0, 0, 1, 1, 1, *range(9))), "community")
FORMATS = ("case_study", "tutorial_video", "template", "resource", "qa_thread", "success_story")


def people() -> dict[str, Member]:
    """Who is behind each identity."""
    roles = {6: "staff", 7: "bot"}
    members = {who: a_member(id=f"m{who}", ordinal=10 * who, role=roles.get(who, "member")) for who in range(8)}
    return {f"{platform}:U{who}": member for who, member in members.items() for platform in ("slack", "discourse")}


def who_is(event: CommunityEvent) -> int | None:
    """The person's number, if they count."""
    number = int(event.actor.removeprefix("U")) if event.actor.startswith("U") else 8
    return number if number in HUMANS else None


@st.composite
def an_event(draw: st.DrawFn, number: int, moments: list[datetime]) -> CommunityEvent:
    kind = draw(st.sampled_from(KINDS))
    moment = draw(st.sampled_from(moments)) + timedelta(seconds=draw(st.sampled_from((0, 0, 1, 3600))))
    fields: dict[str, Any] = {"type": kind, "id": f"Ev{number}", "occurred_at": moment, "received_at": moment}
    fields["platform"] = draw(st.sampled_from(("slack", "discourse")))
    fields["actor"] = draw(st.sampled_from(ACTORS))
    sentiment = draw(st.sampled_from((None, "positive", "neutral", "negative")))
    more: dict[str, dict[str, Any]] = {
        "member.joined": {"returning": draw(st.booleans())},
        "post.created": {"object": f"T{number}", "body": {"length": 1, "sentiment": sentiment}},
        "comment.created": {
            "parent": f"T{draw(st.integers(0, number + 1))}",
            "body": {"length": 1, "sentiment": sentiment},
        },
        "reaction.added": {"sentiment": sentiment},
        "survey.answered": {"score": draw(st.integers(0, 10))},
        "answer.accepted": {"parent": f"T{draw(st.integers(0, 3))}"},
        "purchase.made": {"amount": draw(st.integers(0, 9)), "currency": draw(st.sampled_from(("EUR", "USD")))},
        "content.approved": {"format": draw(st.sampled_from(FORMATS))},
    }
    return EVENT.validate_python(fields | more.get(kind, {}))


@st.composite
def a_talk(draw: st.DrawFn, number: int, begin: datetime) -> list[CommunityEvent]:
    """A thread and replies to it, about as long after it as still counts."""
    opened = begin + timedelta(hours=12 * draw(st.integers(0, 2 * LENGTH - 18)))
    base = {"platform": "slack", "received_at": opened}
    told: list[dict[str, Any]] = [
        {
            "type": "post.created",
            "id": f"Po{number}",
            "actor": f"U{draw(st.integers(0, 7))}",
            "object": f"P{number}",
            "occurred_at": opened,
        }
    ]
    for at_, wait in enumerate(
        draw(st.lists(st.sampled_from((-1, 0, 1, 60, 90_000, 604_799, 604_800, 604_801)), max_size=4))
    ):
        moment = opened + timedelta(seconds=wait)
        actor = f"U{draw(st.integers(0, 7))}"
        told.append(
            {
                "type": "comment.created",
                "id": f"Re{number}.{at_}",
                "actor": actor,
                "parent": f"P{number}",
                "occurred_at": moment,
            }
        )
    return [EVENT.validate_python(base | one) for one in told]


@dataclass(frozen=True)
class Community:
    """Some events, and where days begin."""

    zone: ZoneInfo
    begin: datetime
    events: list[CommunityEvent]

    def day(self, moment: datetime) -> date:
        return moment.astimezone(self.zone).date()

    @property
    def days(self) -> list[date]:
        """Every local day there is anything of."""
        first = self.day(self.begin) - timedelta(days=1)
        return [first + timedelta(days=one) for one in range(LENGTH + 4)]


@st.composite
def communities(draw: st.DrawFn) -> Community:
    begin, zone = draw(st.sampled_from(BEGINS)), ZoneInfo(draw(st.sampled_from(ZONES)))
    count, talks = draw(st.integers(0, 40)), draw(st.integers(0, 4))
    # Few moments, and some of them just as far apart as windows are long: so ties and their very ends come up often.
    days = draw(st.lists(st.integers(0, LENGTH), min_size=1, max_size=4))
    days += [days[0] + draw(st.sampled_from((1, 3, 4, 5, 6, 7, 8, 29, 30, 31)))]
    moments = [begin + timedelta(hours=24 * min(day, LENGTH) + half) for day in days for half in (9, 21)]
    events = [draw(an_event(number, moments)) for number in range(count)]
    events += [event for number in range(talks) for event in draw(a_talk(number, begin))]
    return Community(zone, begin, events)


class Brute:
    """Every figure of a community, the slow and plain way: lists, sets and loops over all events."""

    def __init__(self, community: Community) -> None:
        self.days = community.days
        self.rows = [
            (community.day(one.occurred_at), who, one) for one in community.events if (who := who_is(one)) is not None
        ]
        self.active, self.seen, self.joined, self.left = (
            self._who_did(kinds) for kinds in (ACTIVE, PRESENT + ACTIVE, None, ())
        )
        self.members: dict[date, set[int]] = {}
        self.gone: dict[date, set[int]] = {}
        self.new: dict[date, set[int]] = {}
        here: set[int] = set()
        for day in self.days:
            self.new[day] = self.joined[day] - here
            self.gone[day] = {who for who in self.left[day] if who in here or who in self.seen[day]}
            here = {who for who in HUMANS if (who in here or who in self.seen[day]) and who not in self.gone[day]}
            self.members[day] = here

    def _who_did(self, kinds: tuple[str, ...] | None) -> dict[date, set[int]]:
        """By day who did one of these; None stands for joining, nothing for leaving last."""
        found: dict[date, set[int]] = defaultdict(set)
        for day, who, one in self.rows:
            if kinds is None:
                if one.type == "member.joined" and not one.returning:
                    found[day].add(who)
            elif kinds:
                if one.type in kinds:
                    found[day].add(who)
            elif one.type == "member.left":
                later = [
                    other
                    for its_day, its_who, other in self.rows
                    if its_day == day
                    and its_who == who
                    and other.type in PRESENT + ACTIVE
                    and other.occurred_at > one.occurred_at
                ]
                if not later:
                    found[day].add(who)
        return found

    def silent_for(self, who: int, day: date) -> int | None:
        """Days since they were last seen, that day included; None if they never were."""
        seen = [one for one in self.days if one <= day and who in self.seen[one]]
        return (day - max(seen)).days if seen else None

    def lapsed(self, day: date) -> set[int]:
        return {who for who in self.members[day] if self.silent_for(who, day) == INACTIVE}

    def returned(self, day: date) -> set[int]:
        before = day - timedelta(days=1)
        back = set()
        for who in self.active[day] & self.members.get(before, set()):
            silent = self.silent_for(who, before)
            if silent is not None and silent >= INACTIVE:
                back.add(who)
        return back

    def over(self, days: list[date], of: Callable[[date], set[int]]) -> set[int]:
        return {who for day in days if day in self.days for who in of(day)}

    def window(self, last: date, length: int) -> set[int]:
        return self.over([last - timedelta(days=one) for one in range(length)], lambda day: self.active[day])

    def waits(self, days: list[date]) -> list[int]:
        found = []
        for day, who, thread in self.rows:
            if day in days and thread.type == "post.created":
                replies = [
                    reply.occurred_at
                    for its_day, other, reply in self.rows
                    if reply.type == "comment.created"
                    and reply.parent == thread.object
                    and reply.platform == thread.platform
                    and other != who
                    and its_day >= day
                ]
                if replies and (min(replies) - thread.occurred_at).total_seconds() <= 7 * 24 * 3600:
                    found.append(max(0, int((min(replies) - thread.occurred_at).total_seconds())))
        return sorted(found)

    def told(self, days: list[date], kind: str) -> list[Any]:
        return [one for day, _, one in self.rows if day in days and one.type == kind]

    def revenue(self, days: list[date]) -> dict[str, int]:
        sums: dict[str, int] = {}
        for day, who, one in self.rows:
            if day in days and one.type == "purchase.made" and who in self.window(day - timedelta(days=1), 90):
                sums[one.currency] = sums.get(one.currency, 0) + one.amount
        return sums

    def figures(self, first: date, last: date, before: tuple[date, date]) -> dict[str, Any]:
        """Every figure of the days from `first` to `last`, beside the period from one to the other of `before`."""
        days = [day for day in self.days if first <= day <= last]
        earlier = {who for day in self.days if before[0] <= day <= before[1] for who in self.active[day]}
        found = self._growth(days) | self._activity(days, earlier) | self._talk(days) | self._quality(days)
        return found | self._impact(days, found["deflected"]) | _health(found)

    def _growth(self, days: list[date]) -> dict[str, Any]:
        start = len(self.members.get(days[0] - timedelta(days=1), ()))
        new, gone = self.over(days, lambda day: self.new[day]), self.over(days, lambda day: self.gone[day])
        lapsed = self.over(days, self.lapsed)
        return {
            "members": len(self.members[days[-1]]),
            "new_members": len(new),
            "members_left": len(gone),
            "lapsed": len(lapsed),
            "churned": len(gone | lapsed),
            "churn_rate": _share(len(gone | lapsed), start),
            "growth_rate": _share(len(new), start),
            "win_backs": len(self.over(days, self.returned)),
            "referral_signups": 0,
        }

    def _activity(self, days: list[date], earlier: set[int]) -> dict[str, Any]:
        active = self.over(days, lambda day: self.active[day])
        dau, mau = sum(len(self.active[day]) for day in days) / len(days), len(self.window(days[-1], 30))
        return {
            "active": len(active),
            "dau": dau,
            "wau": len(self.window(days[-1], 7)),
            "mau": mau,
            "stickiness": _share(dau, mau),
            "retention": _share(len(active & earlier), len(earlier)),
            **{f"cohort_d{after}": self.cohort(days, after) for after in (1, 7, 30)},
        }

    def _talk(self, days: list[date]) -> dict[str, Any]:
        posts, comments = len(self.told(days, "post.created")), len(self.told(days, "comment.created"))
        waits, members = self.waits(days), len(self.members[days[-1]])
        return {
            "posts": posts,
            "comments": comments,
            "reactions": len(self.told(days, "reaction.added")),
            "engagement_rate": _share(posts + comments, members),
            "posts_per_member": _share(posts, members),
            "threads": posts,
            "response_rate": _share(len(waits), posts),
            "ttfr_median": (waits[(len(waits) - 1) // 2] + waits[len(waits) // 2]) / 2 if waits else None,
            "ttfr_p90": next((one for one in waits if 10 * sum(x <= one for x in waits) >= 9 * len(waits)), None),
        }

    def _quality(self, days: list[date]) -> dict[str, Any]:
        lately = [days[-1] - timedelta(days=one) for one in range(90)]
        scores = [one.score for one in self.told(lately, "survey.answered")]
        said = [one.body for kind in ("post.created", "comment.created") for one in self.told(days, kind) if one.body]
        felt = [one.sentiment for one in said + self.told(days, "reaction.added") if one.sentiment]
        accepted = [(day, one) for day, _, one in self.rows if day in days and one.type == "answer.accepted"]
        solved = len({(day, one.platform, one.parent) for day, one in accepted})
        tickets = len(self.told(days, "ticket.opened"))
        return {
            "nps": _share(100 * (sum(s >= 9 for s in scores) - sum(s <= 6 for s in scores)), len(scores)),
            "nps_answers": len(scores),
            "sentiment": _share(felt.count("positive"), len(felt)),
            "sentiments": len(felt),
            "deflected": solved,
            "tickets": tickets,
            "support_deflection": _share(solved, solved + tickets),
        }

    def _impact(self, days: list[date], solved: int) -> dict[str, Any]:
        approved = self.told(days, "content.approved")
        return {
            "ugc": len(approved),
            **{f"ugc_{kind}": sum(one.format == kind for one in approved) for kind in FORMATS},
            "influenced_revenue": self.revenue(days),
            "sourced_revenue": {},
            "feedback_implemented": 0,
            "cost_savings": {"EUR": 1500 * solved},
        }

    def cohort(self, days: list[date], after: int) -> float | None:
        pairs = [(who, day) for day in days for who in self.new.get(day - timedelta(days=after), set())]
        return _share(sum(who in self.active[day] for who, day in pairs), len(pairs))


def _health(found: dict[str, Any]) -> dict[str, Any]:
    parts = {
        "health_engagement": _clip(_share(100 * found["active"], found["members"]), 0),
        "health_growth": _clip(_share(100 * (found["new_members"] - found["churned"]), found["members"]), -100),
        "health_sentiment": None if found["sentiment"] is None else 100 * found["sentiment"],
    }
    weighed = [(w, p) for w, p in zip((0.4, 0.3, 0.3), parts.values(), strict=True) if p is not None]
    return {"health": _clip(_share(sum(w * p for w, p in weighed), sum(w for w, _ in weighed)), 0), **parts}


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _clip(value: float | None, least: float) -> float | None:
    return None if value is None else min(100, max(least, value))
