"""The 41 ways in which such a machine loses or doubles something: what happens here, and what shows it.

`python -m tests.proof.classes` writes the README's table anew. A test holds that every name in it exists.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tests.builders import ROOT
from tests.proof.flows import FLOWS
from tests.proof.meetings import MEETINGS

BEGIN, END = "<!-- what can go wrong: begin -->", "<!-- what can go wrong: end -->"


@dataclass(frozen=True)
class Class:
    """One way to fail. `shown` are tests (`test_...`), flows of the proof, or guards whose lack the proof finds."""

    number: int
    of: str
    fails: str
    happens: str
    shown: tuple[str, ...]


_OF = {1: "webhooks", 8: "queues", 14: "state", 22: "sending", 31: "schedules", 35: "rewards", 39: "measuring"}

_TOLD: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "a sender tries again, with a new timestamp",
        "the event's id is its key in the log: it stands there, and the answer is 2xx",
        ("test_a_delivery_sent_again_is_an_event_already_told", "test_an_event_is_logged_once_however_often_it_comes"),
    ),
    (
        "a signed delivery is replayed",
        "within five minutes it is an event that stands in the log; later it is refused",
        ("test_a_timestamp_beyond_five_minutes_is_refused", "test_twice_is_as_good_as_once"),
    ),
    (
        "the same id comes with another body",
        "what came first stands; the log is put if absent and never written over",
        ("test_an_event_is_logged_once_however_often_it_comes",),
    ),
    (
        "our 2xx is lost",
        "the sender tries again, as in 1",
        ("webhook to log", "an untimed event is logged once"),
    ),
    (
        "the process dies before the event is logged",
        "there was no 2xx: the sender tries again",
        ("webhook to log", "2xx only when it is logged"),
    ),
    (
        "a wrong signature; a secret is rotated",
        "401, whatever is wrong with it; several secrets hold at once",
        ("test_one_other_byte_is_refused", "test_a_rotated_secret_works_beside_the_old_one"),
    ),
    (
        "a payload that nobody can read",
        "400 at the door; in the stream only that record comes again, and ends among the dead letters",
        ("test_deep_long_and_strange_json_is_refused", "test_an_event_that_cannot_be_read_holds_nothing_up"),
    ),
    (
        "a message is delivered twice, at the same time too",
        "one claim wins; the other finds it taken",
        ("a mail twice", "the condition on the claim"),
    ),
    (
        "a message becomes visible while it is worked on",
        "the lease holds the second worker off; it is shorter than the queue's six minutes",
        ("test_a_claim_is_held_until_its_lease_is_over", "the lease of a claim"),
    ),
    (
        "a batch succeeds in parts",
        "only what failed comes again; what a queue or the table did not take is read and tried again",
        ("test_one_bad_message_of_a_batch_alone_comes_again", "the queue's refusals are read"),
    ),
    (
        "time runs out in the middle of a batch",
        "no mail is begun in the last 15 seconds; those not begun come again",
        ("test_no_mail_is_begun_without_time_to_end_it",),
    ),
    (
        "dead letters are redriven days later",
        "everything may be redriven, twice too: it meets the same keys and conditions",
        ("test_a_batch_twice_redriven_changes_nothing_more", "test_a_lost_batch_is_reacted_to_from_the_log"),
    ),
    (
        "things are told out of order",
        "every field moves by the time at which it happened",
        ("test_any_order_of_events_ends_in_the_same_member", "test_any_interleaving_ends_as_in_order_of_time"),
    ),
    (
        "the process dies between any two writes",
        "everything that is done may be done again",
        ("event to reaction", "drip, tick to settled", "referral to reward"),
    ),
    (
        "a transaction is applied and its reply is lost",
        "done again it is refused by its own condition, which counts as done",
        ("referral to reward", "two ticks of referrals"),
    ),
    (
        "the table is throttled, or transactions collide",
        "the work comes again: by the queue, the stream, the next tick or the sender",
        ("test_a_table_that_is_away_reports_the_whole_batch", "test_an_outage_asks_the_sender_to_come_again"),
    ),
    (
        "an index is behind",
        "what it shows moves only if its version is still that one; what it lacks comes with the next tick",
        ("an item moves only from where it was read", "test_an_index_that_is_behind_moves_nothing_twice"),
    ),
    (
        "an expired item is still read, or is gone early",
        "nothing that a promise rests on expires before all that could repeat it; rewards never",
        ("test_what_has_expired_may_stay_or_go", "test_an_old_event_told_today_is_kept_as_long_as_any"),
    ),
    (
        "the workers' clocks differ",
        "the lease is longer than a function runs, by minutes; what a provider dates is kept within bounds",
        ("test_the_lease_outlives_the_mailer_and_ends_before_the_window", "test_feedback_is_noted_by_our_own_clock"),
    ),
    (
        "two workers want the same and one loses",
        "one conditional write wins, the loser changes nothing or folds into what won",
        ("two batches, one member", "a member's version"),
    ),
    (
        "a worker goes on after its lease is over",
        "its token is no longer the one that the ledger has: it settles nothing",
        ("a mail twice, overslept", "the token on settling"),
    ),
    (
        "the process dies before SES is called",
        "in doubt, as nobody can know: parked for a person or, of a service mail, sent",
        ("drip, tick to settled", "test_a_claim_is_held_until_its_lease_is_over"),
    ),
    (
        "the process dies after SES took the mail",
        "SES's own Send event settles it",
        ("drip, tick to settled", "SES's Send event settles"),
    ),
    (
        "SES's reply is lost, or it answers 5xx",
        "in doubt for 15 minutes, never sent again at once; then its class decides",
        ("a lost reply is in doubt", "SES's own fault is in doubt", "drip, SES's word lost"),
    ),
    (
        "the SDK tries again by itself",
        "the client for SES makes one attempt",
        ("one attempt a mail", "test_ses_is_asked_exactly_once_whatever_it_answers"),
    ),
    (
        "SES refuses for now: 429, quota, paused",
        "surely not sent: put off, and tried again by us",
        (
            "test_a_refused_call_is_tried_again_later_by_us_alone",
            "test_a_write_that_fails_while_deferring_loses_no_mail",
        ),
    ),
    (
        "SES refuses for good",
        "parked with SES's own reason, with an alarm",
        ("test_a_mail_that_ses_will_not_have_is_refused",),
    ),
    (
        "SES accepts and delivers nothing: suppressed",
        "it is sent by the ledger, the feedback beside it says why nobody got it, and the address gets no more",
        ("test_all_that_ses_may_tell_ends_the_same_in_any_order",),
    ),
    (
        "a no, a bounce or an erasure between plan and send",
        "consent and address are looked at again in the claim",
        ("test_any_interleaving_ends_as_in_order_of_time",),
    ),
    (
        "SES's events are lost, doubled, early or late",
        "each is noted once, in any order; without the Send event a mail in doubt goes by its class",
        ("test_all_events_of_ses_end_the_same_twice_and_in_any_order", "drip, SES's word lost"),
    ),
    (
        "a tick is missed or comes twice",
        "what is due stays due; two ticks meet at the version of each item",
        ("a tick and a tick", "test_a_tick_told_twice_asks_once"),
    ),
    (
        "everything piles up in an outage",
        "what is too late is skipped with that reason, the rest keeps its gap",
        ("test_after_an_outage_there_is_one_mail_not_a_burst",),
    ),
    (
        "the clocks change; members live elsewhere",
        "their wall clock is kept, through every change",
        ("test_berlin_s_clock_through_both_changes", "test_the_next_ten_o_clock_is_ten_o_clock_through_a_change"),
    ),
    (
        "a deploy changes a step that is under way",
        "the agenda is rearranged once; what is settled stays settled",
        ("test_a_settled_step_moved_to_another_day_is_not_sent_again", "test_the_same_edit_rearranges_once"),
    ),
    (
        "two people brought the same friend",
        "the first touch wins, put if absent, for good",
        ("test_one_person_brought_twice_has_one_referrer", "test_the_earliest_click_wins_in_any_order"),
    ),
    (
        "somebody refers themselves, or in a circle",
        "it waits for a person, with the evidence",
        ("test_one_s_own_link_is_noticed", "test_people_who_brought_one_another_are_noticed"),
    ),
    (
        "a reward is granted and telling of it fails",
        "telling is a notice of its own that comes again until it is taken",
        ("referral to reward", "a notice goes before it is noted"),
    ),
    (
        "a reward has to be taken back",
        "a second fact with the reason; it is never granted again",
        ("test_a_reward_taken_back_is_neither_granted_nor_announced_again",),
    ),
    (
        "an event is replayed",
        "days are computed from the log, where it stands once",
        ("test_measuring_again_changes_nothing",),
    ),
    (
        "an event comes after its day is over",
        "it marks its day, which is computed again, and those that follow from it",
        ("test_a_late_event_restates_its_day_and_those_after_it", "measuring and a late event"),
    ),
    (
        "the stream delivers twice",
        "nothing is counted from the stream",
        ("test_reacting_twice_changes_nothing", "test_any_order_and_repetition_ends_the_same"),
    ),
)


def classes() -> Iterator[Class]:
    """All of them, in order."""
    of = ""
    for number, (fails, happens, shown) in enumerate(_TOLD, start=1):
        of = _OF.get(number, of)
        yield Class(number, of, fails, happens, shown)


def table() -> str:
    """The table as the README has it."""
    lines = ["| # | | what goes wrong | what happens | shown by |", "|---|---|---|---|---|"]
    of = ""
    for one in classes():
        shown = ", ".join(map(_named, one.shown))
        lines.append(f"| {one.number} | {one.of if one.of != of else ''} | {one.fails} | {one.happens} | {shown} |")
        of = one.of
    return "\n".join(lines)


def _named(name: str) -> str:
    if name.startswith("test_"):
        return f"`{name}`"
    return f"flow “{name}”" if name in {*FLOWS, *MEETINGS} else f"guard “{name}”"


def written(readme: str) -> str:
    """The README with the table as it must be."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
