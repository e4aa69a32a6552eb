"""What is measured, reported and marked: written whole, in pieces that belong together, under a lease."""

from __future__ import annotations

from datetime import timedelta
from random import Random

from pyroaring import BitMap

from shared.model import Edition
from shared.rollups import Rollup
from shared.store import Store, keys
from shared.store.pieces import PIECE
from shared.store.rollups import CHUNK_BITS, Mark
from shared.tally import Doings
from tests.builders import JOINED, a_member
from tests.store.conftest import Asked
from tests.store.test_facts import an_attribution

DAY = JOINED.date()
NEXT = DAY + timedelta(days=1)
ADA = a_member().id
HOUR = timedelta(hours=1)
WEEK = Edition("weekly", "2030-W01", "en")


def noise(length: int) -> bytes:
    """Bytes that do not get smaller by packing."""
    return Random(length).randbytes(length)  # noqa: S311 - the same bytes every time


class TestDays:
    def test_a_rollup_is_replaced_whole_and_read_in_order(self, store: Store) -> None:
        first, again, after = (
            Rollup(day=day, computed_at=JOINED, closed=closed, figures={"mau": 0.5})
            for day, closed in ((DAY, False), (DAY, True), (NEXT, False))
        )
        for one in (after, first, again):
            store.put_rollup(one)
        assert store.rollups(DAY, NEXT) == [again, after]
        assert store.rollups(DAY, DAY) == [again]
        assert store.first_measured() == DAY

    def test_bitmaps_are_kept_by_chunk_and_the_empty_ones_go(self, store: Store) -> None:
        beyond = 1 << CHUNK_BITS
        store.claim_ordinals(beyond + 10)
        active = BitMap([1, 5, beyond + 3])
        store.put_activity(DAY, {"active": active, "joined": BitMap([5])}, {})
        assert store.activity([DAY, NEXT], ["active", "left"]) == {DAY: {"active": active}, NEXT: {}}
        store.put_activity(DAY, {"active": BitMap([1])}, {"active": active})
        assert store.activity([DAY], ["active", "joined"]) == {DAY: {"active": BitMap([1]), "joined": BitMap([5])}}

    def test_what_members_did_is_written_and_read_past_a_request(self, store: Store, asked: Asked) -> None:
        doings = {f"m{number}": Doings(posts=number) for number in range(110)}
        store.put_did(DAY, doings)
        store.put_did(NEXT, {ADA: Doings(comments=1), "m1": Doings(posts=9)})
        assert asked == {"BatchWriteItem": 6}
        assert store.did([*doings, "mx"], DAY) == doings
        assert store.days_of("m1") == [DAY, NEXT]
        store.forget_days("m1", [DAY, NEXT + timedelta(days=1)])
        assert store.days_of("m1") == [NEXT]

    def test_waits_rest_and_partials_are_each_their_own(self, store: Store) -> None:
        store.put_waits(DAY, [1, 20])
        store.put_rest(DAY, b"rest")
        store.put_partial(DAY, "run1", 3, b"third", at=JOINED)
        store.put_partial(DAY, "run2", 4, b"fourth", at=JOINED)
        assert (store.waits(DAY), store.waits_of([DAY, NEXT])) == ([1, 20], {DAY: [1, 20], NEXT: []})
        assert store.rest([DAY, NEXT]) == {DAY: b"rest"}
        assert store.partials(DAY, "run1", range(8)) == {3: b"third"}
        store.put_waits(DAY, [])
        assert store.waits(DAY) == []

    def test_who_has_an_attribution_is_a_referee(self, store: Store) -> None:
        store.attribute(an_attribution())
        referee = an_attribution().referee_id
        assert store.referees_of([referee, *(f"m{number}" for number in range(120))]) == {referee}


class TestPieces:
    def test_what_is_larger_than_an_item_reads_back_whole(self, store: Store) -> None:
        content = noise(3 * PIECE)
        store.put_rest(DAY, content)
        assert store.rest([DAY]) == {DAY: content}

    def test_what_is_larger_than_a_batch_may_answer_reads_back_whole(
        self, store: Store, asked: Asked, engine: str
    ) -> None:
        content = noise(50 * PIECE)  # 17.5 MB, of the 16 MB that one answer may have
        store.put_rest(DAY, content)
        asked.clear()
        assert store.rest([DAY]) == {DAY: content}
        # The head, what fits of the rest, and what was left unread: which MiniStack, unlike AWS, never does.
        assert asked == {"BatchGetItem": 2 if engine == "ministack" else 3}

    def test_a_report_is_replaced_and_first_told_once(self, store: Store) -> None:
        for content in (noise(2 * PIECE), b"shorter"):
            store.put_part(WEEK, "page", content, at=JOINED)
        assert (store.part(WEEK, "page"), store.part(WEEK, "csv")) == (b"shorter", None)
        told = [store.note_first_reported("weekly", "2030-W01", {"mau": value}, at=JOINED) for value in (0.25, 0.5)]
        assert (told, store.first_reported("weekly", "2030-W01")) == ([True, False], {"mau": 0.25})
        assert store.first_reported("weekly", "2030-W02") is None


class TestMarks:
    def test_what_was_marked_again_meanwhile_stays_marked(self, store: Store) -> None:
        store.mark(ADA, "t0", JOINED)
        store.mark(DAY, "t1", JOINED)
        day, member = store.marks()
        assert (day, member.day) == (Mark("2030-01-01", "t1", JOINED), None)
        store.mark(DAY, "t2", JOINED + HOUR)
        assert [store.unmark(day), store.unmark(member), store.unmark(member)] == [False, True, False]
        assert store.marks() == [Mark("2030-01-01", "t2", JOINED + HOUR)]

    def test_the_lease_of_rolling_is_one_s_until_it_ends_or_is_over(self, store: Store) -> None:
        def begin(token: str, hours: int) -> bool:
            return store.begin_rolling(token, at=JOINED + hours * HOUR, until=JOINED + (hours + 2) * HOUR)

        assert [begin("a", 0), begin("b", 1), begin("b", 2), begin("c", 3)] == [True, False, False, True]
        assert [store.end_rolling("a"), store.end_rolling("c"), begin("d", 3)] == [False, True, True]
        assert [item["token"] for item in store.held_in(keys.ROLLING[0])] == ["d"]
