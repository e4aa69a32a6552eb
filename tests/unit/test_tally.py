"""What people did on a day: who counts, what is counted, whose word was the last."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pyroaring import BitMap

from shared.events import EVENT, CommunityEvent
from shared.model import Member
from shared.tally import Doings, Purchase, Said, Tally, merge, packed, tally, unpacked
from tests.builders import JOINED, a_member

ADA, BO = a_member(), a_member(id="mbo", ordinal=1)
STAFF, BOT = a_member(id="ms", ordinal=2, role="staff"), a_member(id="mbot", ordinal=3, role="bot")
PEOPLE: dict[str, Member] = {"slack:ada": ADA, "discourse:ada": ADA, "slack:bo": BO, "slack:s": STAFF, "slack:bot": BOT}


def did(kind: str, actor: str = "ada", *, minutes: int = 0, **fields: Any) -> CommunityEvent:
    moment = JOINED + timedelta(minutes=minutes)
    given: dict[str, Any] = {"type": kind, "id": f"{kind}{minutes}", "platform": "slack", "actor": actor}
    return EVENT.validate_python(given | {"occurred_at": moment, "received_at": moment} | fields)


def of(*events: CommunityEvent) -> Tally:
    return tally(events, PEOPLE)


def a_thread(actor: str = "ada", **fields: Any) -> CommunityEvent:
    return did("post.created", actor, object="T1", **fields)


def a_reply(actor: str, *, minutes: int, **fields: Any) -> CommunityEvent:
    return did("comment.created", actor, minutes=minutes, parent="T1", **fields)


class TestWhoCounts:
    @pytest.mark.parametrize("nobody", ["s", "bot", "community", "stranger"])
    def test_what_nobody_does_is_only_an_event(self, nobody: str) -> None:
        kinds = ("post.created", "member.joined", "member.left", "ticket.opened", "feedback.implemented")
        found = of(*(did(kind, nobody, object="T1") for kind in kinds))
        assert found == Tally(counts=Tally().counts.model_copy(update={"events": 5}))

    def test_the_community_is_nobody_even_when_it_is_known(self) -> None:
        assert not tally([did("post.created", "community")], {"slack:community": ADA}).active

    def test_two_identities_of_one_person_are_one(self) -> None:
        found = of(did("post.created"), did("reaction.added", platform="discourse"))
        assert found.active == BitMap([0])
        assert found.days == {ADA.id: Doings(posts=1, reactions=1)}

    def test_the_same_id_of_two_people_is_two_events(self) -> None:
        assert of(did("post.created", id="Ev1"), did("post.created", "bo", id="Ev1")).counts.posts == 2

    def test_an_event_given_twice_counts_once(self) -> None:
        again = did("purchase.made", amount=5, currency="EUR")
        found = of(again, again)
        assert (found.counts.events, len(found.purchases)) == (1, 1)


class TestActivity:
    @pytest.mark.parametrize(
        ("kind", "fields", "expected"),
        [
            ("post.created", {}, Doings(posts=1)),
            ("comment.created", {}, Doings(comments=1)),
            ("reaction.added", {}, Doings(reactions=1)),
            ("event.attended", {}, Doings(attended=1)),
            ("survey.answered", {"score": 3}, Doings(answers=1)),
            ("answer.accepted", {}, Doings(accepted=1)),
        ],
    )
    def test_each_activity_makes_its_actor_active(self, kind: str, fields: dict[str, Any], expected: Doings) -> None:
        found = of(did(kind, **fields))
        assert (found.active, found.days) == (BitMap([0]), {ADA.id: expected})

    @pytest.mark.parametrize(
        ("kind", "fields"),
        [
            ("member.joined", {}),
            ("member.left", {}),
            ("member.updated", {"profile": {}}),
            ("purchase.made", {"amount": 1, "currency": "EUR"}),
            ("ticket.opened", {}),
            ("content.approved", {"format": "template"}),
            ("referral.clicked", {}),
        ],
    )
    def test_nothing_else_does(self, kind: str, fields: dict[str, Any]) -> None:
        found = of(did(kind, **fields))
        assert (found.active, found.days) == (BitMap(), {})

    def test_who_joins_is_present_and_who_only_buys_is_not(self) -> None:
        found = of(did("member.joined"), did("purchase.made", "bo", amount=1, currency="EUR"))
        assert list(found.present) == [0]

    def test_a_lifted_ban_is_no_join(self) -> None:
        found = of(did("member.joined", returning=True))
        assert (found.joined, list(found.present)) == (BitMap(), [0])

    def test_the_last_moments_are_kept_whatever_came_first(self) -> None:
        found = of(*(did(kind, minutes=at) for at in (5, 9, 1) for kind in ("post.created", "member.left")))
        assert found.present == found.left == {0: JOINED + timedelta(minutes=9)}


class TestCounts:
    def test_sentiments_are_those_of_posts_comments_and_reactions(self) -> None:
        body = {"length": 1, "sentiment": "positive"}
        found = of(
            did("post.created", body=body),
            did("comment.created", body=body),
            did("reaction.added", sentiment="negative"),
            did("reaction.added", minutes=1, sentiment="neutral"),
            did("reaction.added", minutes=2),
        )
        assert (found.counts.positive, found.counts.neutral, found.counts.negative) == (2, 1, 1)

    def test_scores_and_formats_are_counted_one_by_one(self) -> None:
        scores = [did("survey.answered", minutes=at, score=score) for at, score in enumerate((9, 0, 9))]
        items = [did("content.approved", minutes=at, format=kind) for at, kind in enumerate(("template", "template"))]
        found = of(*scores, *items).counts
        assert (found.scores, found.ugc) == ({0: 1, 9: 2}, {"template": 2})

    def test_a_question_is_solved_once_a_day_however_often_an_answer_is_accepted(self) -> None:
        found = of(
            did("answer.accepted", parent="T1", object="A1"),
            did("answer.accepted", "bo", minutes=1, parent="T1", object="A2"),
            did("answer.accepted", minutes=2, parent="T2"),
            did("answer.accepted", minutes=3, parent="T1", platform="discourse"),
        )
        assert (len(found.solved), found.counts.accepted) == (3, 4)

    def test_an_answer_by_staff_solves_nothing_by_members(self) -> None:
        assert not of(did("answer.accepted", "s", parent="T1")).solved

    def test_purchases_keep_buyer_and_money(self) -> None:
        [bought] = of(did("purchase.made", amount=990, currency="EUR")).purchases
        assert bought == Purchase(JOINED, 0, ADA.id, 990, "EUR")


class TestThreads:
    def test_a_thread_is_its_opener_s_from_its_first_moment(self) -> None:
        found = of(a_thread(minutes=3), a_thread(minutes=1))
        assert found.threads == {"slack:T1": Said(JOINED + timedelta(minutes=1), 0)}

    def test_a_post_without_an_object_is_no_thread(self) -> None:
        found = of(did("post.created"))
        assert (found.threads, found.counts.posts) == ({}, 1)

    def test_the_first_replies_of_the_two_first_people_are_kept(self) -> None:
        cy = a_member(id="mcy", ordinal=7)
        replies = [
            a_reply("ada", minutes=9),
            a_reply("ada", minutes=1),
            a_reply("cy", minutes=4),
            a_reply("bo", minutes=2),
        ]
        found = tally(replies, {**PEOPLE, "slack:cy": cy})
        assert found.replies == {
            "slack:T1": (Said(JOINED + timedelta(minutes=1), 0), Said(JOINED + timedelta(minutes=2), 1))
        }

    def test_staff_s_reply_is_none(self) -> None:
        assert of(a_thread(), a_reply("s", minutes=1)).replies == {}

    def test_a_thread_of_the_same_name_elsewhere_is_another(self) -> None:
        found = of(a_thread(), a_reply("bo", minutes=1), a_thread(platform="discourse", minutes=2))
        assert (set(found.threads), set(found.replies)) == ({"slack:T1", "discourse:T1"}, {"slack:T1"})


class TestParts:
    DAY = (
        did("member.joined"),
        a_thread(minutes=1),
        a_reply("bo", minutes=2, body={"length": 1, "sentiment": "positive"}),
        a_reply("ada", minutes=3),
        did("member.left", minutes=4, platform="discourse"),
        did("survey.answered", "bo", minutes=5, score=10),
        did("purchase.made", "bo", minutes=6, amount=1, currency="USD"),
        did("answer.accepted", "bo", minutes=7, parent="T1"),
        did("content.approved", minutes=8, format="resource"),
    )

    @pytest.mark.parametrize("cut", range(10))
    def test_any_two_parts_merge_into_the_whole_in_either_order(self, cut: int) -> None:
        one, other = of(*self.DAY[:cut]), of(*self.DAY[cut:])
        assert merge(one, other) == merge(other, one) == of(*self.DAY)

    @pytest.mark.parametrize("order", [1, -1])
    def test_a_thread_told_by_two_people_is_that_of_the_first(self, order: int) -> None:
        parts = [of(a_thread(minutes=1)), of(a_thread("bo", minutes=2))][::order]
        assert merge(*parts).threads == {"slack:T1": Said(JOINED + timedelta(minutes=1), 0)}

    @pytest.mark.parametrize("order", [1, -1])
    def test_the_last_word_on_any_platform_is_the_person_s_last(self, order: int) -> None:
        early = of(did("member.left", minutes=1), did("post.created", minutes=2))
        late = of(*(did(kind, minutes=9, platform="discourse") for kind in ("member.left", "post.created")))
        found = merge(*[early, late][::order])
        assert found.left == found.present == {0: JOINED + timedelta(minutes=9)}

    def test_what_is_packed_comes_back_the_same(self) -> None:
        whole = of(*self.DAY)
        assert unpacked(packed(whole)) == whole
        assert packed(of(*reversed(self.DAY))) == packed(whole)

    def test_moments_keep_their_microseconds(self) -> None:
        whole = of(did("post.created", occurred_at="2030-01-01T12:00:00.123457Z"))
        assert unpacked(packed(whole)).present == whole.present
