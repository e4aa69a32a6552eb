"""Days of the log rolled up hour by hour: figures, bitmaps, days of members, revenue; and what is done again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import boto3
import pytest

from shared.app import App
from shared.events import (
    CommentCreated,
    MemberLeft,
    MemberUpdated,
    Profile,
    PurchaseMade,
)
from shared.model import Attribution, Identity, member_id_of
from shared.rolling import SETTLED
from shared.rollups import Rollup
from shared.store import keys
from shared.tally import Doings
from tests.aws.days import (
    A_DAY,
    DAY,
    HOUR,
    NIGHT,
    NOON,
    afresh,
    an_event,
    bitmaps,
    figures,
    happen,
    joins,
    measured,
    ordinal,
    posts,
    replies,
    the_rollup,
    tick,
)
from tests.builders import at


class TestADay:
    def test_what_people_did_becomes_figures_bitmaps_and_days(self, app: App) -> None:
        happen(app, joins("U1", NOON), joins("U2", NOON + HOUR), posts("U1", NOON + 2 * HOUR))
        tick(app, NIGHT)
        told = figures(app)
        assert (told["members"], told["new_members"], told["active"], told["posts"]) == (2, 2, 1, 1)
        ada, bob = ordinal(app, "U1"), ordinal(app, "U2")
        assert bitmaps(app) == {name: {ada, bob} for name in ("joined", "seen", "members", "new")} | {"active": {ada}}
        ids = [member_id_of(Identity("slack", who)) for who in ("U1", "U2")]
        assert app.store.did(ids, DAY) == {ids[0]: Doings(posts=1), ids[1]: Doings()}
        assert the_rollup(app).closed

    def test_today_so_far_has_figures_but_no_days_of_members(self, app: App) -> None:
        happen(app, joins("U1", NOON))
        tick(app, NOON + HOUR)
        rollup = the_rollup(app)
        assert (rollup.closed, rollup.first, rollup.figures["members"]) == (False, None, 1)
        assert app.store.days_of(member_id_of(Identity("slack", "U1"))) == []

    def test_a_day_without_events_is_measured_and_nothing_is_zero_by_default(self, app: App) -> None:
        tick(app, NOON)
        tick(app, NOON + A_DAY)
        told = figures(app)
        assert (told["members"], told["posts"], told["response_rate"], told["nps"]) == (0, 0, None, None)
        assert the_rollup(app).closed

    def test_nothing_is_measured_before_the_first_day_on_which_something_happened(self, app: App) -> None:
        happen(app, joins("U1", NOON))
        tick(app, NIGHT)
        assert [one.day for one in app.store.rollups(DAY - 30 * A_DAY, DAY + A_DAY)] == [DAY, DAY + A_DAY]

    def test_a_day_on_which_the_clocks_go_back_has_25_hours(self, app: App) -> None:
        sunday = date(2030, 10, 27)
        edges = ["2030-10-26T21:59:59Z", "2030-10-26T22:00Z", "2030-10-27T22:59:59Z", "2030-10-27T23:00Z"]
        for number, moment in enumerate(edges):
            happen(app, posts("U1", at(moment), thread=f"T{number}"))
        app.store.mark(sunday - A_DAY, "x", NOON)
        tick(app, at("2030-10-27T23:07Z"))
        days = [sunday - A_DAY, sunday, sunday + A_DAY]
        assert [figures(app, day)["posts"] for day in days] == [1, 2, 1]

    @pytest.mark.shows(7)
    def test_an_event_that_cannot_be_read_holds_nothing_up(self, app: App) -> None:
        happen(app, posts("U1", NOON))
        pk, sk = keys.log(NOON.date(), Identity("slack", "U1"), "unreadable")
        item = {"pk": {"S": pk}, "sk": {"S": sk}, "event": {"S": '{"type": "member.teleported"}'}}
        boto3.client("dynamodb").put_item(TableName=app.settings.table, Item=item)
        tick(app, NIGHT)
        assert figures(app)["posts"] == 1

    def test_staff_bots_and_the_community_are_nobody(self, app: App) -> None:
        happen(app, joins("U1", NOON, profile=Profile(role="staff")), posts("U1", NOON), joins("U2", NOON))
        tick(app, NIGHT)
        assert (figures(app)["members"], figures(app)["posts"]) == (1, 0)


class TestAgain:
    def test_a_tick_with_nothing_new_changes_nothing(self, app: App) -> None:
        happen(app, joins("U1", NOON), posts("U1", NOON), replies("U2", NOON + HOUR))
        tick(app, NIGHT)
        before = measured(app)
        closed = the_rollup(app)
        tick(app, NIGHT + HOUR)
        assert measured(app) == before
        assert the_rollup(app) == closed

    @pytest.mark.shows(40)
    def test_a_late_event_restates_its_day_and_those_after_it(self, app: App) -> None:
        happen(app, joins("U1", NOON))
        tick(app, NIGHT)
        tick(app, NIGHT + A_DAY)
        happen(app, joins("U2", NOON), posts("U2", NOON + HOUR), now=NIGHT + A_DAY)
        assert tick(app, NIGHT + A_DAY + HOUR).days == [DAY, DAY + 2 * A_DAY]
        assert [figures(app, DAY + back * A_DAY)["members"] for back in range(3)] == [2, 2, 2]
        assert figures(app, DAY + A_DAY)["mau"] == 1
        assert app.store.marks() == []

    def test_what_was_first_published_is_kept_beside_what_is_known_now(self, app: App) -> None:
        happen(app, joins("U1", NOON))
        tick(app, NOON + HOUR)
        tick(app, NIGHT)
        happen(app, posts("U1", NOON + HOUR), now=NIGHT + HOUR)
        tick(app, NIGHT + 2 * HOUR)
        rollup = the_rollup(app)
        assert rollup.first is not None
        assert (rollup.first["posts"], rollup.figures["posts"]) == (0, 1)
        assert (rollup.first_at, rollup.computed_at) == (NIGHT, NIGHT + 2 * HOUR)

    def test_a_day_marked_again_while_it_is_read_stays_marked(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        happen(app, posts("U1", NOON))
        app.store.mark(DAY, "first", NIGHT)
        read = app.store.log_pages

        def interrupted(utc_day: date, shard: int) -> Iterator[list[str]]:
            app.store.mark(DAY, "second", NIGHT)
            return read(utc_day, shard)

        monkeypatch.setattr(app.store, "log_pages", interrupted)
        tick(app, NIGHT)
        assert [(mark.day, mark.token) for mark in app.store.marks()] == [(DAY, "second")]

    def test_a_day_whose_log_may_have_expired_is_never_computed_from_less(self, app: App) -> None:
        happen(app, posts("U1", NOON))
        tick(app, NIGHT)
        before = the_rollup(app)
        app.store.mark(DAY, "late", NIGHT)
        rolled = tick(app, at("2030-01-10T00:00+01:00") + timedelta(days=400), time_left=lambda: 0.0)
        assert (rolled.too_late, rolled.days) == ([DAY], [DAY + A_DAY])
        assert the_rollup(app) == before
        assert app.store.marks() == []

    def test_a_moment_before_its_log_may_expire_a_day_is_computed_again(self, app: App) -> None:
        app.store.mark(DAY, "late", NIGHT)
        happen(app, posts("U1", NOON))
        rolled = tick(app, at("2030-01-09T23:59+01:00") + timedelta(days=400), time_left=lambda: 0.0)
        assert (rolled.too_late, rolled.days) == ([], [DAY])

    def test_a_reply_days_later_restates_the_day_of_its_thread(self, app: App) -> None:
        happen(app, joins("U1", NOON), joins("U2", NOON), posts("U1", NOON))
        tick(app, NIGHT)
        assert figures(app)["response_rate"] == 0
        for day in range(1, 7):
            tick(app, NIGHT + day * A_DAY)
        happen(app, replies("U2", NOON + 7 * A_DAY))
        tick(app, NOON + 7 * A_DAY + HOUR)
        assert (figures(app)["response_rate"], figures(app)["ttfr_median"]) == (1, 7 * 86400)
        assert app.store.waits(DAY) == [7 * 86400]

    def test_a_reply_by_whoever_proved_to_be_the_opener_is_no_answer(self, app: App) -> None:
        mail = Profile(email="ada@example.com", email_verified=True)
        happen(app, joins("U1", NOON, profile=mail), posts("U1", NOON))
        happen(app, joins("standard:ada", NOON + HOUR))
        happen(app, an_event(CommentCreated, "slack:U9", NOON + 2 * HOUR, parent="T1"))
        tick(app, NIGHT)
        assert (figures(app)["members"], figures(app)["response_rate"]) == (3, 1)
        happen(app, an_event(MemberUpdated, "slack:U9", NIGHT + HOUR, profile=mail))
        happen(app, an_event(MemberUpdated, "standard:ada", NIGHT + HOUR, profile=mail))
        tick(app, NIGHT + 2 * HOUR)
        assert (figures(app)["members"], figures(app)["response_rate"]) == (1, 0)

    def test_who_proved_to_be_one_has_one_day_with_all_they_did(self, app: App) -> None:
        mail = Profile(email="ada@example.com", email_verified=True)
        happen(app, joins("U1", NOON, profile=mail), posts("U1", NOON))
        happen(app, joins("U9", NOON + HOUR), replies("U9", NOON + HOUR), an_event(MemberLeft, "U9", NOON + 3 * HOUR))
        for day in range(3):
            tick(app, NIGHT + day * A_DAY)
        now = NIGHT + 2 * A_DAY + HOUR
        happen(app, an_event(MemberUpdated, "U9", now, profile=mail))
        tick(app, now + HOUR)
        one, other = (member_id_of(Identity("slack", who)) for who in ("U1", "U9"))
        assert app.store.did([one, other], DAY) == {one: Doings(posts=1, comments=1)}
        tick(app, now + SETTLED)
        assert app.store.marks() == []
        assert measured(app) == afresh(app, now + SETTLED)

    def test_a_member_who_proves_to_be_a_bot_was_never_one(self, app: App) -> None:
        happen(app, joins("U1", NOON), posts("U1", NOON), joins("U2", NOON))
        tick(app, NIGHT)
        happen(app, an_event(MemberUpdated, "U1", NIGHT + HOUR, profile=Profile(role="bot")))
        tick(app, NIGHT + 2 * HOUR)
        assert (figures(app)["members"], figures(app)["posts"]) == (1, 0)
        assert app.store.days_of(member_id_of(Identity("slack", "U1"))) == []

    def test_an_event_on_time_marks_nothing(self, app: App) -> None:
        happen(app, posts("U1", NOON))
        assert app.store.marks() == []


class TestRevenue:
    def test_a_purchase_is_influenced_by_activity_on_one_of_90_days_before(self, app: App) -> None:
        happen(app, posts("U1", NOON), joins("U2", NOON))
        tick(app, NIGHT)
        for day in range(2, 90):
            app.store.put_rollup(Rollup(day=DAY + day * A_DAY, computed_at=NIGHT, closed=True))
        for who, day in (("U1", 1), ("U2", 1), ("U1", 90), ("U1", 91)):
            happen(app, an_event(PurchaseMade, who, NOON + day * A_DAY, amount=100 + day, currency="EUR"))
        tick(app, NIGHT + 91 * A_DAY)
        told = [figures(app, DAY + day * A_DAY)["influenced_revenue"] for day in (1, 90, 91)]
        assert told == [{"EUR": 101}, {"EUR": 190}, {}]

    def test_activity_told_late_influences_purchases_after_it(self, app: App) -> None:
        happen(app, joins("U1", NOON), an_event(PurchaseMade, "U1", NOON + 20 * A_DAY, amount=5, currency="EUR"))
        tick(app, NIGHT + 20 * A_DAY)
        assert figures(app, DAY + 20 * A_DAY)["influenced_revenue"] == {}
        happen(app, posts("U1", NOON), now=NIGHT + 20 * A_DAY)
        tick(app, NIGHT + 20 * A_DAY + HOUR)
        assert figures(app, DAY + 20 * A_DAY)["influenced_revenue"] == {"EUR": 5}

    def test_revenue_is_sourced_once_it_is_settled_who_brought_the_buyer(self, app: App) -> None:
        happen(app, joins("U1", NOON), an_event(PurchaseMade, "U1", NOON, amount=5, currency="EUR"))
        tick(app, NIGHT)
        assert (figures(app)["sourced_revenue"], figures(app)["referral_signups"]) == ({}, 0)
        settled = NIGHT + 9 * HOUR
        referee = member_id_of(Identity("slack", "U1"))
        app.store.attribute(
            Attribution(referee_id=referee, referrer_id="m1", touched_at=NOON, source="link", at=settled)
        )
        tick(app, settled + HOUR)
        assert figures(app)["sourced_revenue"] == {"EUR": 5}
        assert figures(app, DAY + A_DAY)["referral_signups"] == 1
