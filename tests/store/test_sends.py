"""The ledger of mails: a claim is one worker's, its token is the fence, and what SES tells settles once."""

from __future__ import annotations

from datetime import timedelta

from shared.model import SendId, SendStatus
from shared.store import Store, keys
from shared.store.wire import key
from tests.builders import JOINED, a_member, a_send
from tests.store.conftest import Asked
from tests.store.test_people import a_due

CLAIMED = a_send(status=SendStatus.CLAIMED, token="t1", lease_until=JOINED + timedelta(minutes=3))
OTHER = CLAIMED.model_copy(update={"token": "t2"})
ID = SendId.parse(CLAIMED.send_id)
HOUR = timedelta(hours=1)


class TestClaims:
    def test_of_two_claims_one_wins_and_the_other_sees_it(self, store: Store) -> None:
        assert [store.claim(CLAIMED), store.claim(OTHER)] == [None, CLAIMED]

    def test_a_deferred_send_is_claimed_anew_and_its_past_is_gone(self, store: Store) -> None:
        store.claim(CLAIMED)
        assert store.settle(CLAIMED, SendStatus.DEFERRED, JOINED, reason="quiet_hours", until=JOINED + HOUR)
        store.note_feedback(ID, "delay", JOINED)
        assert store.claim(OTHER) is None
        assert store.send(ID) == OTHER.model_copy(update={"feedback": {"delay": "2030-01-01T12:00:00.000000Z"}})

    def test_every_other_state_is_final_or_somebodys(self, store: Store) -> None:
        for status in set(SendStatus) - {SendStatus.DEFERRED}:
            line = a_send(status.value, status=status)
            store.skip(line)
            assert store.claim(line.model_copy(update={"status": SendStatus.CLAIMED, "token": "t2"})) == line

    def test_a_worker_that_lost_its_claim_settles_nothing(self, store: Store) -> None:
        store.claim(CLAIMED)
        store.settle(CLAIMED, SendStatus.DEFERRED, JOINED)
        store.claim(OTHER)
        assert not store.settle(CLAIMED, SendStatus.SENT, JOINED, message_id="late")
        assert store.settle(OTHER, SendStatus.SENT, JOINED, message_id="ses-1", subject=None)
        line = store.send(ID)
        assert line is not None
        assert (line.status, line.message_id, line.subject) == (SendStatus.SENT, "ses-1", None)

    def test_what_is_settled_is_settled_once_in_each_state(self, store: Store) -> None:
        store.claim(CLAIMED)
        assert store.settle(CLAIMED, SendStatus.UNKNOWN, JOINED, reason="ReadTimeoutError")
        assert not store.settle(CLAIMED, SendStatus.SENT, JOINED)
        assert not store.settle(a_send("survey", token="t1"), SendStatus.SENT, JOINED)

    def test_a_skip_never_replaces_a_line(self, store: Store) -> None:
        assert store.skip(a_send(status=SendStatus.SKIPPED, reason="left"))
        assert not store.skip(a_send(status=SendStatus.SENT))
        assert store.send(SendId("onboarding", "welcome", "mx")) is None


class TestWhatSesTells:
    def test_a_send_in_doubt_is_settled_and_a_settled_one_is_left(self, store: Store) -> None:
        store.claim(CLAIMED)
        store.settle(CLAIMED, SendStatus.UNKNOWN, JOINED, reason="ReadTimeoutError", until=JOINED)
        assert [store.note_sent(ID, name, JOINED) for name in ("ses-1", "ses-2")] == [True, False]
        line = store.send(ID)
        assert line is not None
        assert (line.status, line.message_id, line.reason, line.until) == (SendStatus.SENT, "ses-1", None, None)

    def test_a_line_that_is_not_there_or_skipped_is_not_made_sent(self, store: Store) -> None:
        assert not store.note_sent(ID, "ses-1", JOINED)
        assert store.note_feedback(ID, "bounce", JOINED) is None
        store.skip(a_send(status=SendStatus.SKIPPED, reason="left"))
        assert not store.note_sent(ID, "ses-1", JOINED)

    def test_a_mail_to_nobody_is_withdrawn_out_of_every_count_by_who_holds_it(self, store: Store) -> None:
        store.claim(CLAIMED)
        other = CLAIMED.model_copy(update={"token": "t2"})
        assert not store.withdraw(other, JOINED, reason="erased")
        assert store.withdraw(CLAIMED, JOINED, reason="erased")
        line = store.send(ID)
        assert line is not None
        assert (line.status, line.reason) == (SendStatus.SKIPPED, "erased")
        assert list(store.planned(JOINED - HOUR, JOINED + HOUR)) == []

    def test_of_a_kind_the_earliest_is_kept_in_any_order(self, store: Store) -> None:
        store.claim(CLAIMED)
        for hours in (2, 1, 3):
            line = store.note_feedback(ID, "open", JOINED + hours * HOUR)
            assert line is not None
        line = store.note_feedback(ID, "click", JOINED)
        assert line == store.send(ID)
        assert line is not None
        assert line.feedback == {"open": "2030-01-01T13:00:00.000000Z", "click": "2030-01-01T12:00:00.000000Z"}


class TestReading:
    def test_a_member_s_ledger_is_one_query_of_all_that_a_mailer_needs(self, store: Store, asked: Asked) -> None:
        store.create_member(a_member())
        store.arm(a_due())
        store.skip(a_send(status=SendStatus.SKIPPED, reason="left"))
        store.skip(a_send("survey"))
        asked.clear()
        member, dues, sends = store.ledger(a_member().id)
        assert (member, dues, {send.mail for send in sends}) == (a_member(), [a_due()], {"welcome", "survey"})
        assert asked == {"Query": 1}

    def test_lines_by_id_past_a_hundred(self, store: Store, asked: Asked) -> None:
        lines = [a_send(f"step{number}") for number in range(120)]
        for line in lines:
            store.skip(line)
        asked.clear()
        found = store.sends([*(line.send_id for line in lines), a_send("never").send_id])
        assert found == {line.send_id: line for line in lines}
        assert asked == {"BatchGetItem": 2}

    def test_the_ledger_by_day_has_every_line_of_the_time_and_its_state(self, store: Store) -> None:
        for number, hours in enumerate((-1, 0, 23, 24)):
            store.skip(a_send(f"step{number}", planned_at=JOINED + hours * HOUR, status=SendStatus.SKIPPED))
        store.claim(CLAIMED)
        store.note_feedback(ID, "open", JOINED)
        found = {
            line.send_id.step: (line.status, line.feedback)
            for line in store.planned(JOINED, JOINED + timedelta(days=1))
        }
        assert found == {
            "step1": (SendStatus.SKIPPED, frozenset()),
            "step2": (SendStatus.SKIPPED, frozenset()),
            "welcome": (SendStatus.CLAIMED, {"open"}),
        }

    def test_the_index_by_day_holds_what_a_line_says_and_no_address(self, store: Store) -> None:
        store.skip(a_send(subject="Hello, Ada"))
        partition = keys.planned_on(JOINED.date(), a_member().id)
        asked = {"IndexName": "sends", "KeyConditionExpression": "planned_on = :p"}
        got = store._client.query(
            TableName=store._table,
            ExpressionAttributeValues={":p": {"S": partition}},
            **asked,  # type: ignore[arg-type]
        )
        assert set(got["Items"][0]) == {"pk", "sk", "planned_on", "planned_at", "status", "feedback"}

    def test_a_member_s_partition_is_read_past_a_megabyte(self, store: Store, asked: Asked) -> None:
        where = key(keys.member(a_member().id))
        wide = [{"pk": where["pk"]["S"], "sk": f"SEND#{number}", "text": "x" * 300_000} for number in range(5)]
        store.put_whole(wide)
        asked.clear()
        assert list(store.read_through(where["pk"]["S"])) == wide
        assert asked["Query"] == 2
