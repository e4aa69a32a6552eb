"""However events come, wherever a tick dies: in the end all is as if it had been measured once and for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from shared.app import App
from shared.errors import Unavailable
from shared.events import (
    AnswerAccepted,
    CommunityEvent,
    MemberLeft,
    MemberUpdated,
    Profile,
    PurchaseMade,
    ReactionAdded,
    SurveyAnswered,
)
from shared.playbook import check
from shared.rolling import SETTLED, Part
from shared.store import keys
from tests.aws.days import (
    A_DAY,
    DAY,
    HOUR,
    NIGHT,
    NOON,
    afresh,
    an_event,
    figures,
    happen,
    joins,
    measured,
    posts,
    replies,
    tick,
)
from tests.builders import at, raw_playbook


def some_weeks(seed: int) -> list[tuple[datetime, CommunityEvent]]:
    """Some days of a few people with two accounts each, and when each event comes: often late, rarely in order."""
    random = Random(seed)  # noqa: S311 - the same every time is the point
    start = at("2030-03-10T00:00Z")
    people = [f"{platform}:p{number}" for number in range(6) for platform in ("slack", "standard")]
    found = []
    for number in range(60):
        who, moment = random.choice(people), start + random.random() * 10 * A_DAY
        thread = f"T{random.randrange(12)}"
        mail = Profile(email=f"{who.partition(':')[2]}@example.com", email_verified=True)
        made: list[Callable[[], CommunityEvent]] = [
            lambda: joins(who, moment, profile=random.choice([Profile(), mail])),  # noqa: B023 - called at once
            lambda: posts(who, moment, thread=thread),  # noqa: B023
            lambda: replies(who, moment, thread=thread),  # noqa: B023
            lambda: an_event(ReactionAdded, who, moment, object=thread, sentiment="positive"),  # noqa: B023
            lambda: an_event(MemberLeft, who, moment),  # noqa: B023
            lambda: an_event(MemberUpdated, who, moment, profile=mail),  # noqa: B023
            lambda: an_event(PurchaseMade, who, moment, amount=number, currency="EUR"),  # noqa: B023
            lambda: an_event(SurveyAnswered, who, moment, score=number % 11),  # noqa: B023
            lambda: an_event(AnswerAccepted, who, moment, parent=thread),  # noqa: B023
        ]
        event = random.choice(made)()
        late = random.choice([timedelta(), timedelta(), HOUR, A_DAY, 6 * A_DAY])
        found.append((moment + late, event))
    return sorted(found, key=lambda one: (one[0], one[1].id))


class TestAnyOrder:
    def test_figures_restated_day_by_day_are_those_computed_at_once(self, app: App) -> None:
        raw = raw_playbook()
        raw["reengagement"] |= {"inactive_days": "4", "spacing": ["4d", "45d", "60d"], "win_back_within": "2d"}
        app.playbook = check(raw, source="playbook")
        weeks = some_weeks(seed=0)
        now = weeks[0][0]
        for came, event in weeks:
            while now + 25 * HOUR < came:
                now += 25 * HOUR
                tick(app, now)
            happen(app, event, now=came)
        end = weeks[-1][0] + SETTLED + A_DAY
        tick(app, end)
        by_and_by = measured(app)
        assert len([pk for pk, _ in by_and_by if pk == keys.ROLLUPS]) >= 10
        assert by_and_by == afresh(app, end)


@contextmanager
def broken(app: App, after: int) -> Iterator[None]:
    """The table goes away after so many writes."""
    writes = 0

    def count(model: Any, **_: Any) -> None:
        nonlocal writes
        if model.name in {"PutItem", "DeleteItem", "BatchWriteItem", "UpdateItem"}:
            writes += 1
            if writes > after:
                raise EndpointConnectionError(endpoint_url="https://dynamodb.example.com")

    events = app.store._client.meta.events
    events.register("before-call.dynamodb.*", count)
    try:
        yield
    finally:
        events.unregister("before-call.dynamodb.*", count)


def crash_until_done(app: App, now: datetime) -> int:
    """Let a tick die at its first write, the next at its second and so on, until one comes through; how many died."""
    pk, sk = keys.ROLLING
    for crashes in range(60):
        app.store._client.delete_item(TableName=app.settings.table, Key={"pk": {"S": pk}, "sk": {"S": sk}})
        try:
            with broken(app, after=crashes):
                tick(app, now)
        except Unavailable:
            continue
        return crashes
    raise AssertionError("no tick came through")


class TestCrashes:
    def test_whatever_write_fails_the_next_tick_makes_good(self, app: App) -> None:
        happen(app, joins("U1", NOON), posts("U1", NOON), joins("U2", NOON + 2 * A_DAY))
        for day in range(3):
            tick(app, NIGHT + day * A_DAY)
        now = NIGHT + 2 * A_DAY
        late = [joins("U3", NOON), replies("U3", NOON + HOUR), posts("U2", NOON - A_DAY), posts("U3", NOON - 4 * A_DAY)]
        happen(app, *late, now=now)
        assert crash_until_done(app, now + HOUR) > 10
        found = measured(app)
        assert not [pk for pk, _ in found if pk == keys.DIRTY]
        assert found == afresh(app, now + HOUR)

    def test_a_day_that_is_missing_is_made_good_with_all_that_follows(self, app: App) -> None:
        now = NIGHT + 11 * A_DAY
        happen(app, posts("U1", NOON - A_DAY), now=now)
        tick(app, now)
        happen(app, joins("U2", NOON))  # and nobody marks the day
        pk, sk = keys.rollup(DAY)
        app.store._client.delete_item(TableName=app.settings.table, Key={"pk": {"S": pk}, "sk": {"S": sk}})
        assert crash_until_done(app, now) > 5
        assert [figures(app, DAY + day * A_DAY)["members"] for day in range(-1, 12)] == [1] + 12 * [2]
        assert app.store.marks() == []

    def test_time_that_runs_out_leaves_the_newer_days_to_the_next_tick(self, app: App) -> None:
        happen(app, joins("U1", NOON), posts("U1", NOON + 2 * A_DAY, thread="T2"))
        now = NIGHT + 3 * A_DAY
        app.store.mark(DAY, "x", now)
        days = [DAY + back * A_DAY for back in range(5)]
        for at_a_time, day in enumerate(days):
            rolled = tick(app, now, time_left=lambda: 0.0)
            assert (rolled.days, rolled.left) == ([day], days[at_a_time + 1 :])
        assert measured(app) == afresh(app, now)

    def test_two_ticks_at_once_are_one(self, app: App) -> None:
        app.store.begin_rolling("another", at=app.wire_clock(), until=app.wire_clock() + HOUR)
        assert tick(app, NOON).busy
        assert app.store.rollups(DAY, DAY) == []
        with pytest.raises(Unavailable):
            tick(app, NOON, part=Part(day=DAY, run="run", mark=""))

    def test_a_lease_that_nobody_gave_back_ends_by_itself(self, app: App) -> None:
        app.store.begin_rolling("crashed", at=app.wire_clock() - 2 * HOUR, until=app.wire_clock() - HOUR)
        assert not tick(app, NOON).busy
