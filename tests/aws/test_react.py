"""From logged events to members, identities and the agenda."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from shared.app import App
from shared.errors import Unavailable
from shared.events import CommunityEvent, ContentPublished, Profile
from shared.members import fold
from shared.model import Identity, Member, News, PlannedMail, Send, SendId, member_id_of
from shared.react import react
from shared.sending import send_planned
from shared.store import keys
from tests.aws.conftest import Wire
from tests.builders import JOINED, at, joined, left, posted, updated

ADA = member_id_of(Identity("slack", "U1"))
ADA_ON_FORUM = member_id_of(Identity("discourse", "7"))
PROFILE = Profile(name="Ada", email="ada@example.com", email_verified=True)


def member(app: App, member_id: str = ADA) -> Member:
    found = app.store.member(member_id)
    assert found is not None
    return found


def agenda(app: App) -> list[str]:
    return [due.member_id for shard in range(keys.AGENDA_SHARDS) for due in app.store.upcoming("onboarding", shard)]


class TestMembers:
    def test_a_join_makes_a_member_on_the_agenda(self, app: App) -> None:
        assert react([joined()], app, JOINED) == {}
        assert (member(app).name, member(app).email, member(app).joined_at) == ("Ada", "ada@example.com", JOINED)
        assert agenda(app) == [ADA]

    @pytest.mark.shows(41)
    def test_reacting_twice_changes_nothing(self, app: App) -> None:
        react([joined(), posted()], app, JOINED)
        before = member(app)
        react([joined(), posted()], app, JOINED)
        assert member(app) == before
        assert agenda(app) == [ADA]

    def test_a_first_post_discovers_a_member_without_onboarding(self, app: App) -> None:
        react([posted()], app, JOINED)
        assert member(app).joined_at is None
        assert member(app).first_post_at == JOINED
        assert agenda(app) == []

    @pytest.mark.shows(13)
    @pytest.mark.parametrize("order", list(permutations(range(4))))
    def test_any_order_of_events_ends_in_the_same_member(self, app: App, order: tuple[int, ...]) -> None:
        events: list[CommunityEvent] = [
            joined(),
            posted(at=at("2030-01-02T08:00Z")),
            updated(PROFILE.model_copy(update={"name": "Ada L."}), id="slack:Ev3", at=at("2030-01-03T08:00Z")),
            left(id="slack:Ev4", at=at("2030-01-04T08:00Z")),
        ]
        for number in order:
            react([events[number]], app, JOINED)
        now = member(app)
        assert (now.name, now.status, now.joined_at, now.first_post_at) == (
            "Ada L.",
            "left",
            JOINED,
            at("2030-01-02T08:00Z"),
        )
        assert now.last_active_at == at("2030-01-02T08:00Z")

    def test_new_members_of_one_batch_get_ordinals_in_one_request(self, app: App) -> None:
        people = [joined(id=f"slack:{n}", actor=f"U{n}", profile=Profile(name=f"P{n}")) for n in range(5)]
        react(people, app, JOINED)
        ordinals = {member(app, member_id_of(Identity("slack", f"U{n}"))).ordinal for n in range(5)}
        assert ordinals == set(range(5))


class TestOnePersonOnTwoPlatforms:
    def forum(self, profile: Profile = PROFILE, moment: str = "2030-01-05T12:00Z") -> CommunityEvent:
        return joined(id="discourse:1", platform="discourse", actor="7", profile=profile, at=at(moment))

    def test_the_same_verified_address_is_the_same_member(self, app: App) -> None:
        react([joined()], app, JOINED)
        react([self.forum()], app, JOINED)
        assert member(app).identities == {"slack:U1", "discourse:7"}
        assert app.store.member(ADA_ON_FORUM) is None
        assert agenda(app) == [ADA]

    def test_both_in_one_batch_are_one_member(self, app: App) -> None:
        react([joined(), self.forum()], app, JOINED)
        assert app.store.member(ADA_ON_FORUM) is None
        assert agenda(app) == [ADA]

    def test_an_unverified_address_joins_nobody(self, app: App) -> None:
        react([joined(), self.forum(PROFILE.model_copy(update={"email_verified": False}))], app, JOINED)
        assert member(app, ADA_ON_FORUM).email is None

    def test_an_address_known_later_merges_into_who_joined_first(self, app: App) -> None:
        react([joined(profile=Profile(name="Ada"))], app, JOINED)
        react([self.forum()], app, JOINED)
        react([updated(PROFILE, id="slack:Ev9", at=at("2030-01-06T12:00Z"))], app, JOINED)
        assert member(app, ADA_ON_FORUM).merged_into == ADA
        assert member(app).identities == {"slack:U1", "discourse:7"}
        assert member(app).email == "ada@example.com"
        forum = keys.identity(Identity("discourse", "7"))
        assert app.store.owners([forum]) == {forum: ADA}

    def test_after_a_merge_events_of_either_identity_reach_the_one_member(self, app: App) -> None:
        self.test_an_address_known_later_merges_into_who_joined_first(app)
        later = posted(id="discourse:9", platform="discourse", actor="7", at=at("2030-01-09T12:00Z"))
        react([later], app, JOINED)
        assert member(app).last_active_at == at("2030-01-09T12:00Z")

    def test_an_address_in_other_letters_is_the_same(self, app: App) -> None:
        react([joined(), self.forum(PROFILE.model_copy(update={"email": "Ada@Example.COM"}))], app, JOINED)
        assert app.store.member(ADA_ON_FORUM) is None


class TestAddresses:
    NEW = Profile(name="Ada", email="ada@new.example.com", email_verified=True)

    def test_an_address_given_to_somebody_else_is_theirs(self, app: App) -> None:
        react([joined()], app, JOINED)
        react([updated(self.NEW, id="slack:Ev3", at=at("2030-01-02T12:00Z"))], app, JOINED)
        bo = Profile(name="Bo", email="ada@example.com", email_verified=True)
        react([joined(id="slack:Ev4", actor="U2", profile=bo, at=at("2030-01-03T12:00Z"))], app, JOINED)
        second = member(app, member_id_of(Identity("slack", "U2")))
        assert (member(app).name, second.name) == ("Ada", "Bo")
        assert member(app).merged_into is None
        assert second.merged_into is None
        address = keys.address("ada@example.com")
        assert app.store.owners([address]) == {address: second.id}

    def test_an_old_identity_leads_through_every_merge_to_who_remains(self, app: App) -> None:
        people = [("slack", "U1"), ("discourse", "7"), ("shop", "9")]
        for platform, actor in people:
            react([joined(id=f"{platform}:1", platform=platform, actor=actor, profile=Profile())], app, JOINED)
        first, second, third = (member_id_of(Identity(*person)) for person in people)
        for merged, survivor in ((first, second), (second, third)):
            app.store.merge_into(member(app, merged), survivor)
        react([posted(id="slack:Ev8", at=at("2030-01-08T00:00Z"))], app, JOINED)
        assert member(app, third).last_active_at == at("2030-01-08T00:00Z")
        assert member(app, second).last_active_at is None


class TestMerges:
    def test_a_merged_member_s_mails_are_not_sent_again(self, app: App, wire: Wire) -> None:
        forum = {"platform": "discourse", "actor": "7"}
        unconfirmed = PROFILE.model_copy(update={"email_verified": False})
        react([joined(id="discourse:1", profile=unconfirmed, **forum)], app, JOINED)
        react([joined(at=JOINED + timedelta(hours=1))], app, JOINED)
        welcome(app, ADA, JOINED + timedelta(hours=1))
        react([updated(PROFILE, id="discourse:2", at=JOINED + timedelta(hours=2), **forum)], app, JOINED)
        assert member(app, ADA).merged_into == ADA_ON_FORUM
        assert welcome(app, ADA_ON_FORUM, JOINED + timedelta(hours=2)).reason == "sent_before_merge"
        assert wire.requests["SendEmail"] == 1

    def test_a_ban_that_lands_on_a_member_being_merged_reaches_who_remains(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        TestOnePersonOnTwoPlatforms().test_an_unverified_address_joins_nobody(app)
        merge_into = app.store.merge_into

        def ban_first(merged: Member, survivor: str) -> Member | None:
            app.store.change_member(merged.id, lambda current: fold(current, BAN))
            return merge_into(merged, survivor)

        monkeypatch.setattr(app.store, "merge_into", ban_first)
        confirmed = updated(PROFILE, id="discourse:3", platform="discourse", actor="7", at=at("2030-01-06T12:00Z"))
        react([confirmed], app, JOINED)
        assert member(app, ADA_ON_FORUM).merged_into == ADA
        assert member(app).status == "banned"

    def test_a_crash_right_after_the_mark_loses_nothing_that_came_before_it(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        TestOnePersonOnTwoPlatforms().test_an_unverified_address_joins_nobody(app)
        merge_into = app.store.merge_into

        def ban_mark_and_die(merged: Member, survivor: str) -> Member | None:
            app.store.change_member(merged.id, lambda current: fold(current, BAN))
            if (standing := merge_into(merged, survivor)) is None:
                raise Unavailable("gone")
            return standing

        monkeypatch.setattr(app.store, "merge_into", ban_mark_and_die)
        confirmed = updated(PROFILE, id="discourse:3", platform="discourse", actor="7", at=at("2030-01-06T12:00Z"))
        assert set(react([confirmed], app, JOINED)) == {"discourse:3"}
        assert react([confirmed], app, JOINED) == {}
        assert member(app, ADA_ON_FORUM).merged_into == ADA
        assert member(app).status == "banned"

    def test_what_is_folded_into_a_merged_member_reaches_who_remains(self, app: App) -> None:
        TestOnePersonOnTwoPlatforms().test_an_unverified_address_joins_nobody(app)
        before = member(app, ADA_ON_FORUM)
        app.store.merge_into(before, ADA)
        app.store.change_member(ADA_ON_FORUM, lambda current: fold(current, BAN), known=before)
        assert member(app).status == "banned"


BAN = left(id="x:1", reason="banned", at=at("2030-02-01T00:00Z"))


def welcome(app: App, member_id: str, now: datetime) -> Send:
    send_id = SendId("onboarding", "welcome", member_id)
    return send_planned(PlannedMail(send_id=str(send_id), mail="welcome", planned_at=JOINED), app, now)


class TestFailures:
    def test_one_person_s_failure_holds_up_nobody_else(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        create = app.store.create_member

        def fail_for_ada(new: Member) -> bool:
            if new.id == ADA:
                raise RuntimeError("boom")
            return create(new)

        monkeypatch.setattr(app.store, "create_member", fail_for_ada)
        other = joined(id="slack:Ev5", actor="U2", profile=Profile(name="Bo"))
        failed = react([joined(), other, posted()], app, JOINED)
        assert set(failed) == {"slack:Ev1", "slack:Ev2"}
        assert member(app, member_id_of(Identity("slack", "U2"))).name == "Bo"


class TestNews:
    def news(self, **changes: Any) -> ContentPublished:
        fields: dict[str, Any] = {
            "id": "discourse:forum.example.com:content:12:guide",
            "occurred_at": JOINED,
            "received_at": JOINED,
            "platform": "discourse",
            "actor": "7",
            "kind": "guide",
            "title": "Sharpening anything",
            "url": "https://forum.example.com/t/sharpening/12",
        }
        return ContentPublished(**fields | changes)

    def published(self, app: App) -> list[News]:
        return list(app.store.published(JOINED - timedelta(days=1), JOINED + timedelta(days=9)))

    def test_what_was_published_is_remembered_once(self, app: App) -> None:
        for _ in range(2):
            assert react([self.news()], app, JOINED) == {}
        remembered = News(
            kind="guide",
            titles={"": "Sharpening anything"},
            url="https://forum.example.com/t/sharpening/12",
            published_at=JOINED,
        )
        assert self.published(app) == [remembered]

    def test_news_make_no_member_and_no_agenda(self, app: App) -> None:
        react([self.news(), self.news(id="standard:1", platform="standard", actor="community")], app, JOINED)
        assert app.store.member(ADA_ON_FORUM) is None
        assert app.store.owners([keys.identity(Identity("discourse", "7"))]) == {}
        assert app.store.agenda() == []

    def test_news_are_no_activity_of_their_author(self, app: App) -> None:
        react([joined(id="discourse:1", platform="discourse", actor="7")], app, JOINED)
        before = member(app, ADA_ON_FORUM)
        react([self.news(occurred_at=JOINED + timedelta(days=3))], app, JOINED)
        assert member(app, ADA_ON_FORUM) == before

    def test_news_cost_one_write_and_no_read(self, app: App, wire: Wire) -> None:
        react([self.news()], app, JOINED)
        assert wire.requests == {"PutItem": 1}

    def test_news_that_fail_hold_up_nobody_and_nothing_else(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        publish = app.store.publish

        def fail_for_guides(news: News) -> None:
            if news.kind == "guide":
                raise Unavailable("throttled")
            publish(news)

        monkeypatch.setattr(app.store, "publish", fail_for_guides)
        other = self.news(id="standard:2", kind="ama", url="https://forum.example.com/t/ask/13")
        failed = react([joined(), self.news(), other], app, JOINED)
        assert set(failed) == {self.news().id}
        assert member(app).name == "Ada"
        assert [news.kind for news in self.published(app)] == ["ama"]
