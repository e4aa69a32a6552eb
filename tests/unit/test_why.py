"""What `flywheel why` tells of a member: every decision with its reason, newest first, in the member's own time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from rich.console import Console

from infra.lines import Line
from infra.referred import Bonds, in_words
from infra.why import Known, history, shown, told
from shared.addresses import address_hash
from shared.events import Profile
from shared.experiments import group_of
from shared.fraud import evidence
from shared.members import absorb, fold
from shared.model import (
    Attribution,
    Consent,
    Due,
    Member,
    Pause,
    Referral,
    Reversal,
    Reward,
    Send,
    SendId,
    SendStatus,
    SoftBounce,
    Suppression,
    Touch,
    stamp,
)
from shared.programmes import reengagement
from shared.programmes.referrals import KEY, NAME
from shared.recipients import manager_id, manager_of
from tests.builders import JOINED, a_member, a_planned_mail, a_playbook, a_send, an_enrolment, at, joined, updated

NOW = at("2030-03-01T12:00Z")
WELCOME = SendId("onboarding", "welcome", a_member().id)
MIRA = manager_id("mira")
ADDRESS = address_hash("ada@example.com")


def lines_of(member: Member | None = None, **known: Any) -> list[Line]:
    """The history of Ada, or of a changed Ada, with what else is known."""
    return history(Known(member=member or a_member(), **known), playbook=a_playbook(), now=NOW)


def the_line(kind: str, lines: list[Line]) -> Line:
    [found] = [line for line in lines if line.kind == kind]
    return found


def only(send: Send, kind: str) -> Line:
    """How a line of the ledger is told."""
    return the_line(kind, lines_of(sends=[send]))


def an_inactivity_timer(**changes: Any) -> Due:
    """Ada's timer, armed when she joined."""
    fields: dict[str, Any] = {"programme": reengagement.NAME, "member_id": a_member().id, "key": reengagement.KEY}
    return Due(**{**fields, "due_at": JOINED + timedelta(days=30), **changes})


class TestSends:
    def test_a_sent_mail_tells_subject_and_variant(self) -> None:
        line = only(a_send(subject="Ada, we miss you", variant="wave"), "sent")
        assert line.text == "onboarding/welcome: “Ada, we miss you” (variant wave)"
        assert (line.at, line.notes) == (JOINED, ())

    def test_what_people_did_stands_apart_from_machines(self) -> None:
        feedback = {
            "send": JOINED,
            "delivery": JOINED + timedelta(minutes=1),
            "open_by_machine": JOINED + timedelta(minutes=1),
            "click_like_scanner": JOINED + timedelta(minutes=1, seconds=2),
            "open": JOINED + timedelta(hours=2),
            "click": JOINED + timedelta(hours=3),
        }
        line = only(a_send(feedback={kind: stamp(moment) for kind, moment in feedback.items()}), "sent")
        assert line.notes == (
            "delivered 2030-01-01 13:01, opened 2030-01-01 15:00, clicked 2030-01-01 16:00",
            "by machines, not people: opened 2030-01-01 13:01, clicked 2030-01-01 13:01",
        )

    def test_a_late_click_that_looks_like_a_scanner_is_a_person_s(self) -> None:
        feedback = {"delivery": stamp(JOINED), "click_like_scanner": stamp(JOINED + timedelta(hours=1))}
        assert only(a_send(feedback=feedback), "sent").notes == (
            "delivered 2030-01-01 13:00, clicked 2030-01-01 14:00",
        )

    @pytest.mark.parametrize(
        ("kind", "words"),
        [("bounce", "bounced for good"), ("soft_bounce", "bounced for now"), ("complaint", "complained of")],
    )
    def test_a_bounce_or_complaint_stands_with_its_mail(self, kind: str, words: str) -> None:
        assert only(a_send(feedback={kind: stamp(JOINED)}), "sent").notes == (f"{words} 2030-01-01 13:00",)

    def test_what_ses_may_tell_one_day_is_told_too(self) -> None:
        assert only(a_send(feedback={"new_kind": stamp(JOINED)}), "sent").notes == ("new kind 2030-01-01 13:00",)

    def test_a_skip_tells_why_and_what_it_had_waited_for(self) -> None:
        send = a_send(status=SendStatus.SKIPPED, reason="unsubscribed", waited_for="min_gap")
        line = only(send, "skipped")
        assert line.text == "onboarding/welcome: they unsubscribed"
        assert line.notes == ("it had waited: too soon after the last mail",)
        assert line.facts["reason"] == "unsubscribed"

    def test_a_sent_mail_tells_what_it_had_waited_for(self) -> None:
        line = only(a_send(waited_for="quiet_hours", feedback={"delivery": stamp(JOINED)}), "sent")
        assert line.notes == (
            "it had waited: it was their night, or a day without mail",
            "delivered 2030-01-01 13:00",
        )

    def test_a_deferred_mail_tells_until_when(self) -> None:
        until = at("2030-01-02T07:00Z")
        line = only(a_send(status=SendStatus.DEFERRED, reason="min_gap", until=until), "deferred")
        assert line.text == "onboarding/welcome until 2030-01-02 08:00: too soon after the last mail"

    def test_a_holdout_is_no_ordinary_skip(self) -> None:
        assert only(a_send(status=SendStatus.SKIPPED, reason=reengagement.HOLDOUT), "held_out")

    def test_a_mail_in_doubt_tells_when_that_ends(self) -> None:
        line = only(a_send(status=SendStatus.UNKNOWN, reason="ReadTimeoutError"), "in_doubt")
        assert "left alone until 2030-01-01 13:15" in line.text

    def test_a_parked_mail_tells_why(self) -> None:
        line = only(a_send(status=SendStatus.PARKED, reason="in_doubt"), "parked")
        assert line.text == "onboarding/welcome: nobody knows whether SES took it, and this mail goes at most once"

    def test_a_claimed_mail_is_in_a_worker_s_hands(self) -> None:
        line = only(a_send(status=SendStatus.CLAIMED, token="secret", lease_until=NOW), "claimed")
        assert line.text.startswith("onboarding/welcome: a worker has it")
        assert "token" not in line.facts

    def test_an_unknown_reason_is_told_as_it_is(self) -> None:
        assert only(a_send(status=SendStatus.SKIPPED, reason="odd_one"), "skipped").text.endswith(": odd one")


class TestDecisions:
    @pytest.mark.parametrize(
        ("consent", "text"),
        [
            (
                Consent(given=False, at=JOINED, by="one_click"),
                "unsubscribed from all marketing mail, with the unsubscribe button of their mail program",
            ),
            (
                Consent(given=True, at=JOINED, by="page"),
                "asked for all marketing mail, on a page that a mail of ours led to",
            ),
            (
                Consent(given=False, at=JOINED, by=WELCOME.tag),
                "unsubscribed from all marketing mail: they complained about onboarding/welcome",
            ),
            (Consent(given=False, at=JOINED), "unsubscribed from all marketing mail"),
            (Consent(given=False, at=JOINED, by="phone"), "unsubscribed from all marketing mail, by phone"),
        ],
    )
    def test_consent_tells_what_made_it(self, consent: Consent, text: str) -> None:
        assert the_line("consent", lines_of(a_member(consent={"all": consent}))).text == text

    def test_a_category_is_named(self) -> None:
        line = the_line("consent", lines_of(a_member(consent={"digest": Consent(given=False, at=JOINED)})))
        assert line.text == "unsubscribed from mail of the category digest"

    def test_a_suppression_names_the_send_that_showed_it(self) -> None:
        suppression = Suppression(reason="bounce", at=JOINED, by=WELCOME.tag)
        line = the_line("suppressed", lines_of(a_member(suppressions={ADDRESS: suppression})))
        assert line.text == "their address: it bounced for good, last with onboarding/welcome"

    def test_a_former_address_is_told_from_the_present_one(self) -> None:
        suppression = Suppression(reason="soft_bounces", at=JOINED, by=WELCOME.tag)
        line = the_line("suppressed", lines_of(a_member(suppressions={"other": suppression})))
        assert line.text.startswith("an address they no longer have: it bounced 5 times within a month")

    def test_soft_bounces_are_counted_within_their_window(self) -> None:
        bounces = {
            SendId("onboarding", step, "m1").tag: SoftBounce(address=ADDRESS, at=JOINED + timedelta(days=days))
            for step, days in (("welcome", 0), ("check_in", 2), ("ambassador", 31))
        }
        found = [line for line in lines_of(a_member(soft_bounces=bounces)) if line.kind == "soft_bounce"]
        assert [line.text.split("; ")[1] for line in found] == [
            "that makes 2 of 5 within 30 days",
            "that makes 2 of 5 within 30 days",
            "that makes 1 of 5 within 30 days",
        ]

    def test_dormant_stands_until_they_come_back(self) -> None:
        resting = a_member(dormant_at=NOW - timedelta(days=9))
        assert the_line("dormant", lines_of(resting)).notes == ()
        back = resting.model_copy(update={"last_active_at": NOW})
        assert the_line("dormant", lines_of(back)).notes == ("they have come back since",)

    def test_comings_and_goings_are_told(self) -> None:
        left = lines_of(a_member(status="banned", status_at=NOW))
        assert the_line("left", left).text == "they were banned"
        assert the_line("joined", left).at == JOINED
        assert the_line("returned", lines_of(a_member(status_at=NOW))).at == NOW

    def test_who_was_here_before_us_tells_since_when_we_know_them(self) -> None:
        imported = a_member(joined_at=JOINED - timedelta(days=400))
        assert the_line("known", lines_of(imported)).at == JOINED
        assert [line.kind for line in lines_of()] == ["next", "joined"]

    def test_what_they_chose_is_told(self) -> None:
        chosen = a_member(chosen_locale="ru", send_hour=18, chosen_at=NOW)
        assert the_line("chosen", lines_of(chosen)).text == "mail at 18:00, in the language ru"


class TestNext:
    def test_the_next_step_stands_first_and_when(self) -> None:
        lines = lines_of(dues=[an_enrolment(settled=["welcome"])], sends=[a_send()])
        assert [line.kind for line in lines[:2]] == ["next", "sent"]
        assert (lines[0].text, lines[0].at) == ("onboarding: mail check_in", at("2030-01-03T09:00Z"))

    def test_an_empty_agenda_says_so(self) -> None:
        assert lines_of()[0].text == "nothing is on the agenda for them"

    def test_a_lazy_timer_tells_when_it_comes_to_something(self) -> None:
        active = a_member(last_active_at=at("2030-02-20T08:00Z"))
        line = the_line("next", lines_of(active, dues=[an_inactivity_timer()]))
        assert (line.text, line.at) == ("reengagement: mail miss_you", at("2030-03-22T09:00Z"))

    def test_after_the_last_attempt_comes_rest(self) -> None:
        state = reengagement.Spell(since=JOINED, attempts=3, asked_at=NOW, mails=3).model_dump(mode="json")
        line = the_line("next", lines_of(dues=[an_inactivity_timer(state=state)]))
        assert line.text == "reengagement: stop asking, unless they come back by then"
        assert line.at == NOW + timedelta(days=14)

    def test_onboarding_that_is_over_waits_for_new_steps(self) -> None:
        steps = [step.key for step in a_playbook().onboarding.steps]
        line = the_line("next", lines_of(dues=[an_enrolment(settled=steps)]))
        assert line.text == "onboarding: nothing more, unless a step is added by then"

    def test_what_would_hold_the_next_mail_is_told(self) -> None:
        member = a_member(consent={"all": Consent(given=False, at=JOINED)})
        line = the_line("next", lines_of(member, dues=[an_enrolment()]))
        assert line.notes == ("not as things stand: they unsubscribed",)

    def test_who_is_held_out_is_told_before_it_happens(self) -> None:
        ids = (f"m{number:020}" for number in range(1000))
        held_out = next(one for one in ids if group_of(reengagement.NAME, one, 10) == "held_out")
        line = the_line("next", lines_of(a_member(id=held_out), dues=[an_inactivity_timer()]))
        assert line.notes == ("but they are held out, to tell the effect of asking",)

    def test_a_timer_meets_the_hour_they_chose_since(self) -> None:
        timer = an_inactivity_timer(due_at=at("2030-03-02T09:00Z"))
        line = the_line("next", lines_of(a_member(send_hour=18), dues=[timer]))
        assert (line.text, line.at) == ("reengagement: mail miss_you", at("2030-03-02T17:00Z"))

    def test_a_timer_tells_what_would_hold_its_mail(self) -> None:
        member = a_member(consent={"all": Consent(given=False, at=JOINED)})
        line = the_line("next", lines_of(member, dues=[an_inactivity_timer()]))
        assert line.notes == ("not as things stand: they unsubscribed",)

    def test_a_waiting_mail_tells_for_what(self) -> None:
        planned = a_planned_mail(waited_for="min_gap").model_dump(mode="json")
        due = Due(programme="mail", member_id=a_member().id, key=str(WELCOME), due_at=NOW, state=planned)
        line = the_line("next", lines_of(dues=[due]))
        assert line.text == "look again at onboarding/welcome, which waits: too soon after the last mail"

    def test_a_pause_of_everybody_s_mail_comes_before_all(self) -> None:
        pause = Pause(tripped_at=JOINED, reason="bounces", sends=250, bounces=12, complaints=1)
        line = lines_of(dues=[an_enrolment()], pause=pause)[0]
        assert line.kind == "pause"
        assert line.text == (
            "Marketing mail is paused since 2030-01-01 13:00: too many mails bounced; "
            "of 250 sent, 12 bounced (4.8%) and 1 led to a complaint (0.40%)"
        )

    @pytest.mark.parametrize(("hours", "on_the_ramp"), [(1, True), (25, False)])
    def test_a_ramp_is_told_while_it_lasts(self, hours: int, *, on_the_ramp: bool) -> None:
        pause = Pause(tripped_at=JOINED, reason="bounces", resumed_at=NOW - timedelta(hours=hours))
        assert any(line.kind == "ramp" for line in lines_of(pause=pause)) == on_the_ramp


class TestManagers:
    def test_a_manager_has_mails_and_no_life(self) -> None:
        mira = manager_of(MIRA, a_playbook())
        assert mira is not None
        notice = a_send(send_id=str(SendId("operations", "paused", MIRA, "first")), member_id=MIRA, subject="Paused")
        lines = lines_of(mira, sends=[notice])
        assert [line.kind for line in lines] == ["next", "sent"]
        assert lines[1].text == "operations/paused: “Paused”"


class TestReferrals:
    """Eve brought Ada; Ada brought Bo."""

    EVE = a_member(id="m" + "e" * 20, name="Eve", identities=frozenset({"slack:U5"}))
    BO = a_member(id="m" + "b" * 20, name="Bo", identities=frozenset())

    def told(self, **bonds: Any) -> list[Line]:
        people = {one.id: one for one in (self.EVE, self.BO)}
        return lines_of(bonds=Bonds(people=people, **bonds))

    def referral(self, status: Any, **changes: Any) -> Referral:
        fields: dict[str, Any] = {"referrer_id": a_member().id, "referee_id": self.BO.id, "at": NOW}
        return Referral(status=status, touched_at=JOINED, **fields | changes)

    def reward(self, **changes: Any) -> Reward:
        fields: dict[str, Any] = {"gives": "badge", "because": self.BO.id, "granted_at": JOINED}
        return Reward(member_id=a_member().id, rule="badge", **fields | changes)

    def test_who_brought_them_is_told_with_the_source(self) -> None:
        told: dict[str, Any] = {"referee_id": a_member().id, "referrer_id": self.EVE.id, "source": "link"}
        settled = Attribution(touched_at=JOINED, at=NOW, utm={"utm_source": "referral"}, **told)
        lines = self.told(touches=[Touch(at=JOINED, told_at=JOINED, **told)], attribution=settled)
        line = the_line("brought", lines)
        assert (line.text, line.at) == (f"Eve, slack:U5 ({self.EVE.id}), for good", NOW)
        first = "the first touch, 2030-01-01 13:00, by a click on their link"
        assert line.notes == (first, "utm_source referral")
        assert the_line("touched", lines).text.endswith("brought them, it was said, by a click on their link")

    @pytest.mark.parametrize(
        ("status", "changes", "text", "notes"),
        [
            ("attributed", {}, "does not count yet", ()),
            ("qualified", {"evidence": ["never_active"]}, "counts", ()),
            ("voided", {"reason": "banned"}, "was undone", ("they were banned within the hold",)),
            ("rejected", {"reason": "a shop"}, "was rejected", ("the reason given: a shop",)),
            (
                "in_review",
                {"evidence": ["more_than_3_on_one_payer", "odd_one"]},
                "waits for a person",
                ("more than 3 referees of this referrer paid from the same pocket", "odd one"),
            ),
        ],
    )
    def test_how_a_referral_stands_is_told_with_why(
        self, status: str, changes: dict[str, Any], text: str, notes: tuple[str, ...]
    ) -> None:
        line = the_line("referral", self.told(referrals=[self.referral(status, **changes)]))
        assert (line.text, line.notes) == (f"they brought Bo ({self.BO.id}): that {text}", notes)

    def test_their_own_referral_names_who_brought_them(self) -> None:
        own = self.referral("qualified", referrer_id=self.EVE.id, referee_id=a_member().id)
        line = the_line("referral", self.told(brought=[own]))
        assert line.text == f"brought by Eve, slack:U5 ({self.EVE.id}): that counts"

    def test_a_reward_tells_whether_it_was_taken(self) -> None:
        fulfilled = the_line("reward", self.told(rewards=[self.reward(fulfilled_at=NOW)]))
        assert fulfilled.text == "granted badge (badge)"
        assert fulfilled.notes == (f"because of Bo ({self.BO.id})", "its receiver took it 2030-03-01 13:00")
        refused = the_line("reward", self.told(rewards=[self.reward(refused_at=NOW, gives="level", level="host")]))
        assert refused.text == "granted badge (level host)"
        assert refused.notes[1] == "its receiver refused it for good 2030-03-01 13:00"

    def test_what_was_taken_back_is_told_with_the_reason(self) -> None:
        reversal = Reversal(member_id=a_member().id, rule="badge", reason="a shop", at=NOW)
        line = the_line("reversed", self.told(rewards=[self.reward()], reversals=[reversal]))
        assert (line.text, line.at) == ("badge: a shop", NOW)

    def test_a_case_on_the_agenda_is_told(self) -> None:
        due = Due(programme=NAME, member_id=a_member().id, key=KEY, due_at=NOW)
        assert the_line("next", lines_of(dues=[due])).text.startswith("referrals: look whose referee they are")

    def test_every_suspicion_has_its_sentence(self) -> None:
        rules = a_playbook().referrals
        twin = a_member(email="ada+x@0-mail.com", payers=frozenset({"p"}), joined_at=JOINED - timedelta(days=9))
        crowd = [self.referral("qualified", referee_id=f"m{number}") for number in range(99)]
        fellows = [a_member(id=f"m{number}", payers=frozenset({"p"})) for number in range(9)]
        found = evidence(
            twin,
            twin,
            upline=[twin.id],
            others=crowd,
            fellows=fellows,
            rules=rules,
            referral=self.referral("attributed"),
        )
        assert len(found) == 8
        assert not [code for code in found if in_words(code) == code.replace("_", " ")]


class TestTheWhole:
    def test_everything_stands_newest_first(self) -> None:
        member = a_member(
            consent={"all": Consent(given=False, at=NOW)}, dormant_at=NOW - timedelta(days=5), last_active_at=JOINED
        )
        sends = [a_send(), a_send("check_in", at=NOW - timedelta(days=10))]
        moments = [line.at for line in lines_of(member, sends=sends) if line.kind != "next"]
        assert moments == sorted((moment for moment in moments if moment), reverse=True)

    def test_mails_of_a_merged_member_are_told_and_marked(self) -> None:
        other = fold(a_member(id="m" + "b" * 20, identities=frozenset()), updated(Profile(name="Ada"), platform="x"))
        survivor = fold(absorb(a_member(), other), joined())
        send = a_send(send_id=str(SendId("onboarding", "survey", other.id)), member_id=other.id)
        [line] = [line for line in lines_of(survivor, sends=[send]) if line.kind == "sent"]
        assert line.notes == (f"when they were known as {other.id}",)

    def test_the_page_fits_eighty_columns_and_pipes_plain(self) -> None:
        known = Known(
            member=a_member(
                consent={"all": Consent(given=False, at=JOINED, by="one_click")}, absorbed=frozenset({"m1"})
            ),
            dues=[an_enrolment()],
            sends=[a_send(subject="[bold]Hello[/] " + "and welcome " * 12)],
        )
        lines = history(known, playbook=a_playbook(), now=NOW)
        console = Console(width=80, force_terminal=False, record=True)
        with console.capture() as captured:
            console.print(shown("m1", known, lines, a_playbook()))
        text = captured.get()
        assert max(map(len, text.splitlines())) <= 80
        assert "\x1b" not in text
        assert "[bold]Hello[/] and welcome" in text
        assert "m1 proved to be the same person as" in " ".join(text.split())
        assert "times are those of Europe/Berlin" in text

    def test_scripts_get_the_same_as_plain_values(self) -> None:
        known = Known(member=a_member(), sends=[a_send(reason="stale", status=SendStatus.SKIPPED)])
        plain = told("slack:U1", known, history(known, playbook=a_playbook(), now=NOW), a_playbook())
        assert (plain["member"], plain["merged_from"], plain["timezone"]) == (a_member().id, None, "Europe/Berlin")
        lines = plain["lines"]
        assert isinstance(lines, list)
        assert {
            "kind": "next",
            "at": None,
            "text": "nothing is on the agenda for them",
            "notes": [],
            "facts": {},
        } in lines
