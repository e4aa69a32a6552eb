"""`flywheel referrals`: what waits is listed, approved and rejected, what was earned is taken back, links are found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.stub import Stubber

from infra import referrals, why
from shared.app import QUICK, App
from shared.errors import UsageError
from shared.model import Attribution, Consent, Identity, Member, Referral, Reversal, Reward, Touch, member_id_of
from shared.playbook import Playbook
from shared.programmes.referrals import KEY, NAME
from shared.reviewing import case_of, reject, rejection
from shared.rewarding import settle_all
from tests.aws.conftest import Run
from tests.aws.test_operate import a_stack, settle_in
from tests.builders import JOINED, a_member, a_playbook, at

NOW = at("2030-06-01T12:00Z")
BROUGHT = at("2030-05-01T12:00Z")


@pytest.fixture
def queue(app: App) -> str:
    """The reward queue, which the App tells, too."""
    url: str = boto3.client("sqs").create_queue(QueueName=f"rewards-{uuid4().hex}")["QueueUrl"]
    app.settings = app.settings.model_copy(update={"reward_queue_url": url})
    return url


@pytest.fixture
def cloudformation(app: App, queue: str) -> Iterator[Stubber]:
    """CloudFormation with the outputs that the commands rely on, as often as it is asked."""
    outputs = {
        "RewardQueueUrl": queue,
        "LinksSecret": app.settings.links_secret,
        "LinksUrl": "https://go.example.com/l",
    }
    with Stubber(boto3.client("cloudformation", region_name=None, config=QUICK)) as stubber:
        for _ in range(3):
            stubber.add_response("describe_stacks", a_stack(**outputs), {"StackName": "Flywheel"})
        yield stubber


@pytest.fixture
def run(flywheel: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `flywheel referrals` at a fixed time."""
    monkeypatch.setattr(referrals, "now_of", lambda _: NOW)
    return partial(flywheel, "referrals")


def somebody(app: App, name: str, **changes: Any) -> Member:
    """A member with a name, an identity and an address."""
    identity = Identity("slack", f"U{name}")
    fields: dict[str, Any] = {"identities": frozenset({str(identity)}), "email": f"{name.lower()}@example.com"}
    return settle_in(app, a_member(id=member_id_of(identity), name=name, **fields | changes))


def brought(app: App, referrer: Member, name: str, status: Any = "qualified", **changes: Any) -> Member:
    """A referee of somebody, attributed to them for good, whose referral stands so."""
    referee = somebody(app, name, joined_at=BROUGHT, touched_at=BROUGHT, last_active_at=BROUGHT, first_post_at=BROUGHT)
    told: dict[str, Any] = {"referee_id": referee.id, "referrer_id": referrer.id}
    app.store.note_touch(Touch(at=BROUGHT, told_at=BROUGHT, source="link", **told))
    app.store.attribute(Attribution(touched_at=BROUGHT, source="link", at=BROUGHT, **told))
    fields: dict[str, Any] = {"status": status, "at": BROUGHT, "touched_at": BROUGHT}
    app.store.settle_referral(Referral(**told, **fields | changes), was=None)
    return referee


def granted(app: App, member: Member, rule: str, because: Member, **changes: Any) -> Reward:
    asked = {"badge": 1, "premium_month": 5, "premium_lifetime": 10, "ambassador": 25}.get(rule)
    fields: dict[str, Any] = {"gives": "badge", "because": because.id, "granted_at": BROUGHT, "at": asked}
    reward = Reward(member_id=member.id, rule=rule, **fields | changes)
    app.store.grant(reward)
    return reward


def notices(queue: str) -> list[tuple[str, str, str]]:
    """What the reward queue holds."""
    got = boto3.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=0)
    bodies = [json.loads(one["Body"]) for one in got.get("Messages", [])]
    return sorted((one["member_id"], one["rule"], one["about"]) for one in bodies)


def status_of(app: App, referrer: Member, referee: Member) -> str:
    found = {one.referee_id: one.status for one in app.store.standing([referrer.id]).referrals}
    return found[referee.id]


def reversals(app: App, member: Member) -> list[tuple[str, str]]:
    return [(one.rule, one.reason) for one in app.store.standing([member.id]).reversals]


class TestReview:
    def test_nothing_that_waits_says_so(self, run: Run) -> None:
        assert run("review") == (0, "No referral waits for a person.\n", "")

    def test_the_longest_wait_stands_first_with_its_evidence(self, app: App, run: Run) -> None:
        ada = somebody(app, "Ada")
        evidence = ["more_than_5_an_hour", "disposable_address"]
        brought(app, ada, "Bo", "in_review", at=BROUGHT + timedelta(days=2), evidence=["self"])
        brought(app, ada, "Cy", "in_review", at=BROUGHT, evidence=evidence)
        brought(app, ada, "Di", "qualified")
        code, out, _ = run("review")
        told = [
            "2 referrals wait for a person",
            f"Cy, slack:UCy ({member_id_of(Identity('slack', 'UCy'))}), cy@example.com, since 2030-05-01 14:00",
            f"brought by Ada, slack:UAda ({ada.id}), ada@example.com",
            "more than 5 referees of this referrer came within an hour",
            "their address is of a provider of throw-away addresses",
            "Bo, slack:UBo",
            "they share an address with who brought them, or are the same member",
        ]
        found = [out.index(text) for text in told]
        assert (code, found) == (0, sorted(found))
        assert "Di" not in out

    def test_json_gives_codes_and_sentences(self, app: App, run: Run) -> None:
        ada = somebody(app, "Ada")
        bo = brought(app, ada, "Bo", "in_review", evidence=["never_active"])
        _, out, _ = run("review", "--json")
        [one] = json.loads(out)
        assert (one["referee"]["id"], one["referrer"]["id"], one["since"]) == (bo.id, ada.id, BROUGHT.isoformat())
        assert one["evidence"] == [
            {"code": "never_active", "text": "they have never been seen doing anything"},
        ]


class TestApprove:
    def test_an_approved_referral_is_granted_with_the_next_tick(self, app: App, run: Run, queue: str) -> None:
        ada = somebody(app, "Ada")
        bo = brought(app, ada, "Bo", "in_review", evidence=["never_active"], reason="suspicious")
        code, out, _ = run("approve", "slack:UBo", answer="y\n")
        assert code == 0
        assert "they have never been seen doing anything" in out
        assert (status_of(app, ada, bo), app.store.reviews()) == ("qualified", [])
        assert settle_all(app, NOW) == 1
        assert [one.rule for one in app.store.standing([ada.id]).rewards] == ["badge"]
        assert [one.rule for one in app.store.standing([bo.id]).rewards] == ["trial"]
        assert notices(queue) == sorted([(ada.id, "badge", "granted"), (bo.id, "trial", "granted")])

    def test_a_no_leaves_it_waiting(self, app: App, run: Run) -> None:
        ada = somebody(app, "Ada")
        bo = brought(app, ada, "Bo", "in_review")
        code, out, _ = run("approve", bo.id, answer="n\n")
        assert code == 1
        assert out.endswith("It waits on.\n")
        assert status_of(app, ada, bo) == "in_review"

    def test_an_approval_cut_short_is_completed(self, app: App, run: Run) -> None:
        ada = somebody(app, "Ada")
        bo = brought(app, ada, "Bo", "qualified")
        assert run("approve", bo.id, "--yes")[0] == 0
        assert [due.key for due in app.store.ledger(bo.id).dues if due.programme == NAME] == [KEY]

    @pytest.mark.parametrize(
        ("status", "told"),
        [
            ("attributed", "does not wait for a person: it has not come to a decision yet"),
            ("qualified", "does not wait for a person: it counts already, since 2030-05-01 12:00 UTC"),
            ("voided", "does not wait for a person: it was undone within its hold"),
            ("rejected", "does not wait for a person: it was rejected"),
        ],
    )
    def test_what_does_not_wait_is_refused(self, app: App, run: Run, status: str, told: str) -> None:
        ada = somebody(app, "Ada")
        bo = brought(app, ada, "Bo", status)
        granted(app, ada, "badge", bo)
        granted(app, bo, "trial", bo)
        code, out, err = run("approve", bo.id, "--yes")
        assert (code, out) == (2, "")
        assert told in " ".join(err.split())
        assert not app.store.ledger(bo.id).dues

    def test_who_was_brought_by_nobody_is_refused(self, app: App, run: Run) -> None:
        ada = somebody(app, "Ada")
        for command in (("approve", ada.id, "--yes"), ("reject", ada.id, "--reason", "x", "--yes")):
            assert run(*command) == (2, "", f"flywheel: nobody is known to have brought {ada.id}\n")
        assert run("approve", "slack:U9")[2].startswith("flywheel: nobody is known as 'slack:U9'")

    def test_an_attribution_that_is_not_settled_is_refused(self, app: App, run: Run) -> None:
        ada, bo = somebody(app, "Ada"), somebody(app, "Bo")
        app.store.note_touch(Touch(referee_id=bo.id, referrer_id=ada.id, at=NOW, told_at=NOW, source="link"))
        assert "it is not settled yet who brought" in run("approve", bo.id, "--yes")[2]


@pytest.mark.usefixtures("cloudformation")
class TestReject:
    def test_what_waited_is_rejected_with_its_reason(self, app: App, run: Run, queue: str) -> None:
        ada = somebody(app, "Ada")
        bo = brought(app, ada, "Bo", "in_review", evidence=["self"])
        code, out, _ = run("reject", bo.id, "--reason", "the same  person", answer="y\n")
        assert code == 0
        assert "no reward has to be taken back" in out
        [referral] = app.store.standing([ada.id]).referrals
        assert (referral.status, referral.reason, referral.at) == ("rejected", "the same person", NOW)
        assert (app.store.reviews(), notices(queue)) == ([], [])

    def test_what_is_no_longer_earned_is_taken_back(self, app: App, run: Run, queue: str) -> None:
        ada = somebody(app, "Ada")
        first, last = (brought(app, ada, name) for name in ("Bo", "Cy"))
        granted(app, ada, "badge", first)
        granted(app, ada, "premium_month", last)
        granted(app, last, "trial", last)
        code, out, _ = run("reject", last.id, "--reason", "bought accounts", "--yes")
        assert code == 0
        assert f"Taken back: premium_month of {ada.id}, trial of {last.id}." in out
        assert reversals(app, ada) == [("premium_month", "bought accounts")]
        assert reversals(app, last) == [("trial", "bought accounts")]
        assert notices(queue) == sorted([(ada.id, "premium_month", "reversed"), (last.id, "trial", "reversed")])
        assert status_of(app, ada, first) == "qualified"

    def test_what_others_in_review_bear_stays_until_they_are_decided(self, app: App, run: Run) -> None:
        ada = somebody(app, "Ada")
        bo, cy = brought(app, ada, "Bo", "in_review"), brought(app, ada, "Cy", "in_review")
        granted(app, ada, "badge", bo)
        run("reject", bo.id, "--reason", "the same person", "--yes")
        assert reversals(app, ada) == []
        run("reject", cy.id, "--reason", "the same person", "--yes")
        assert reversals(app, ada) == [("badge", "the same person")]

    def test_nothing_happens_without_a_yes(self, app: App, run: Run, queue: str) -> None:
        ada = somebody(app, "Ada")
        bo = brought(app, ada, "Bo")
        granted(app, ada, "badge", bo)
        code, out, _ = run("reject", bo.id, "--reason", "x", answer="n\n")
        assert code == 1
        assert f"to be taken back: badge (badge) of Ada, slack:UAda ({ada.id})" in out
        assert (status_of(app, ada, bo), reversals(app, ada), notices(queue)) == ("qualified", [], [])

    def test_a_rejection_cut_short_is_completed(self, app: App, run: Run, queue: str) -> None:
        ada = somebody(app, "Ada")
        bo = brought(app, ada, "Bo", "rejected", at=BROUGHT, reason="the same person")
        granted(app, ada, "badge", bo)
        granted(app, bo, "trial", bo)
        app.store.reverse(Reversal(member_id=ada.id, rule="badge", reason="the same person", at=BROUGHT))
        code, out, _ = run("reject", bo.id, "--reason", "once more", "--yes")
        assert code == 0
        assert "It was rejected before; what was not done of it then is done now." in out
        assert reversals(app, bo) == [("trial", "the same person")]
        assert notices(queue) == sorted([(ada.id, "badge", "reversed"), (bo.id, "trial", "reversed")])

    def test_an_earlier_rejection_s_reversals_are_not_told_again(self, app: App, run: Run, queue: str) -> None:
        ada = somebody(app, "Ada")
        bo = brought(app, ada, "Bo", "in_review")
        granted(app, ada, "premium_month", bo)
        app.store.reverse(Reversal(member_id=ada.id, rule="premium_month", reason="another", at=BROUGHT))
        assert run("reject", bo.id, "--reason", "x", "--yes")[0] == 0
        assert notices(queue) == []

    def test_a_rejection_that_is_whole_is_refused(self, app: App, run: Run) -> None:
        ada = somebody(app, "Ada")
        bo = brought(app, ada, "Bo", "rejected")
        code, _, err = run("reject", bo.id, "--reason", "x", "--yes")
        assert code == 2
        assert "is decided already: it was rejected, since 2030-05-01 12:00 UTC" in err

    @pytest.mark.parametrize("status", ["attributed", "voided"])
    def test_what_neither_waits_nor_counts_is_refused(self, app: App, run: Run, status: str) -> None:
        bo = brought(app, somebody(app, "Ada"), "Bo", status)
        code, _, err = run("reject", bo.id, "--reason", "x", "--yes")
        assert code == 2
        assert "neither waits for a person nor counts" in err

    def test_a_reason_is_needed(self, app: App, run: Run) -> None:
        bo = brought(app, somebody(app, "Ada"), "Bo")
        for arguments in ((), ("--reason", "  ")):
            code, _, err = run("reject", bo.id, *arguments)
            assert (code, len(err.splitlines())) == (2, 1)

    def test_a_level_goes_with_its_reward(self, app: App, run: Run) -> None:
        ada = somebody(app, "Ada", level="ambassador")
        bo = brought(app, ada, "Bo")
        granted(app, ada, "ambassador", bo, gives="level", level="ambassador")
        assert run("reject", bo.id, "--reason", "x", "--yes")[0] == 0
        after = app.store.member(ada.id)
        assert after is not None
        assert after.level is None

    def test_a_referral_under_another_member_is_named_by_them(self, app: App, run: Run) -> None:
        ada, eve = somebody(app, "Ada"), somebody(app, "Eve")
        bo = brought(app, ada, "Bo")
        app.store.create_member(a_member(id="mo", merged_into=bo.id))
        app.store.change_member(bo.id, lambda one: one.model_copy(update={"absorbed": frozenset({"mo"})}))
        later: dict[str, Any] = {"referee_id": "mo", "referrer_id": eve.id, "touched_at": NOW, "at": NOW}
        app.store.attribute(Attribution(source="code", **later))
        doubt: dict[str, Any] = {"status": "in_review", "evidence": ["brought_by_another"]}
        app.store.settle_referral(Referral(**later, **doubt), was=None)
        granted(app, eve, "badge", bo)
        granted(app, bo, "trial", bo)
        assert run("reject", bo.id, "--reason", "Ada was first", "--yes", "--referrer", "slack:UEve")[0] == 0
        assert reversals(app, eve) == [("badge", "Ada was first")]
        assert (reversals(app, bo), status_of(app, ada, bo), app.store.reviews()) == ([], "qualified", [])
        _, _, err = run("reject", bo.id, "--reason", "x", "--yes", "--referrer", bo.id)
        assert f"{bo.id} is no referee of {bo.id}" in err


def test_a_stack_without_a_reward_queue_changes_nothing(app: App, run: Run) -> None:
    ada = somebody(app, "Ada")
    bo = brought(app, ada, "Bo")
    with Stubber(boto3.client("cloudformation", region_name=None, config=QUICK)) as stubber:
        stubber.add_response("describe_stacks", a_stack(TableName="x"))
        code, _, err = run("reject", bo.id, "--reason", "x", "--yes")
    assert code == 2
    assert "the stack 'Flywheel' has no output RewardQueueUrl" in err
    assert status_of(app, ada, bo) == "qualified"


def test_of_two_who_decide_at_once_one_is_told(app: App, queue: str) -> None:  # noqa: ARG001 - where notices go
    bo = brought(app, somebody(app, "Ada"), "Bo", "in_review")
    planned = rejection(case_of(bo.id, app), "x", app, NOW)
    reject(planned, app, NOW)
    with pytest.raises(UsageError, match="somebody else has just decided"):
        reject(planned, app, NOW)


@pytest.mark.usefixtures("cloudformation")
class TestLink:
    def test_a_member_s_link_is_printed_and_theirs(self, app: App, run: Run) -> None:
        ada = somebody(app, "Ada")
        code, out, _ = run("link", "ada@example.com")
        assert code == 0
        start, _, own = out.strip().rpartition("/")
        assert start == "https://go.example.com/l/r"
        assert app.signer.member_of(own) == ada.id

    def test_a_manager_has_no_link(self, run: Run) -> None:
        assert run("link", "manager_mira") == (
            2,
            "",
            "flywheel: manager_mira is a manager of the playbook, not a member\n",
        )


class TestShow:
    def test_referees_rewards_and_progress_are_told(self, app: App, run: Run) -> None:
        eve = somebody(app, "Eve")
        ada = brought(app, eve, "Ada")
        bo = brought(app, ada, "Bo")
        brought(app, ada, "Cy", "voided", reason="left")
        granted(app, ada, "badge", bo)
        granted(app, ada, "premium_month", bo, gives="premium_days", days=30)
        app.store.reverse(Reversal(member_id=ada.id, rule="premium_month", reason="a mistake", at=NOW))
        code, out, _ = run("show", "slack:UAda")
        told = " ".join(out.split())
        assert code == 0
        for text in (
            "1 referee counts; next is premium_lifetime, at 10",
            f"brought by Eve, slack:UEve ({eve.id}): that counts",
            f"2030-05-01 14:00 counts Bo, slack:UBo ({bo.id})",
            "was undone Cy, slack:UCy",
            "they left within the hold",
            "granted badge (badge)",
            "granted premium_month (premium days for 30 days)",
            "2030-06-01 14:00 taken back premium_month: a mistake",
        ):
            assert text in told

    def test_json_holds_the_same(self, app: App, run: Run) -> None:
        ada = somebody(app, "Ada")
        bo = brought(app, ada, "Bo")
        told = json.loads(run("show", ada.id, "--json")[1])
        assert (told["qualified"], told["next"]) == (1, {"rule": "premium_month", "at": 5})
        assert [one["referee_id"] for one in told["referrals"]] == [bo.id]
        assert json.loads(run("show", bo.id, "--json")[1])["brought_by"]["referrer_id"] == ada.id

    def test_who_brought_nobody_is_told_as_much(self, app: App, run: Run) -> None:
        somebody(app, "Ada")
        assert "No referees count; next is badge, at 1" in run("show", "slack:UAda")[1]


def test_why_finds_both_sides_of_a_referral(app: App) -> None:
    playbook: Playbook = a_playbook()
    ada = somebody(app, "Ada", joined_at=JOINED)
    bo = brought(app, ada, "Bo", "in_review", evidence=["cycle"])
    [line] = [
        one
        for one in why.history(why.find(bo.id, app.store, playbook), playbook=playbook, now=NOW)
        if one.kind == "referral"
    ]
    assert line.text == f"brought by Ada, slack:UAda ({ada.id}): that waits for a person"
    assert line.notes == ("they had themselves brought whoever brought them, directly or through others",)
    [line] = [
        one
        for one in why.history(why.find(ada.id, app.store, playbook), playbook=playbook, now=NOW)
        if one.kind == "referral"
    ]
    assert line.text == f"they brought Bo, slack:UBo ({bo.id}): that waits for a person"


class TestLeaderboard:
    def named(self, app: App, name: str) -> Member:
        return somebody(app, name, listed=Consent(given=True, at=JOINED))

    def counted(self, app: App, referrer: Member, name: str, on: str) -> Member:
        return brought(app, referrer, name, qualified_at=at(f"{on}T10:00Z"))

    @pytest.fixture
    def year(self, app: App) -> None:
        ada, bo, cy = self.named(app, "Ada"), self.named(app, "Bo"), somebody(app, "Cy")
        for referrer, name, on in (
            (ada, "Dan", "2030-05-31"),
            (ada, "Eve", "2030-05-02"),
            (bo, "Fay", "2030-05-20"),
            (bo, "Gil", "2030-06-01"),
            (cy, "Hal", "2030-05-20"),
        ):
            self.counted(app, referrer, name, on)

    @pytest.mark.usefixtures("year")
    def test_days_asked_for_count_and_only_who_wants_is_named(self, run: Run) -> None:
        code, told, _ = run("leaderboard", "--since", "2030-05-01", "--until", "2030-05-31")
        assert code == 0
        assert "from 01 May 2030 to 31 May 2030" in told
        assert [line.split()[:4] for line in told.splitlines()[1:3]] == [
            ["1.", "2", "friends", "Ada,"],
            ["2.", "1", "friend", "Bo,"],
        ]
        assert "1 other member brought 1 and did not ask to be named." in told
        assert "Cy" not in told

    @pytest.mark.usefixtures("year")
    def test_by_default_it_is_of_this_month(self, run: Run) -> None:
        _, told, _ = run("leaderboard", "--json")
        found = json.loads(told)
        assert (found["since"], [place["name"] for place in found["places"]]) == ("2030-05-31T22:00:00+00:00", ["Bo"])

    @pytest.mark.usefixtures("cloudformation")
    def test_who_counts_no_more_leaves_the_board(self, app: App, run: Run) -> None:
        dan = self.counted(app, self.named(app, "Ada"), "Dan", "2030-06-01")
        run("reject", dan.id, "--reason", "the same person", "--yes")
        _, told, _ = run("leaderboard")
        assert "Nobody brought somebody and wants to be named." in told

    def test_a_month_with_nobody_says_so(self, run: Run) -> None:
        code, told, _ = run("leaderboard")
        assert (code, "Nobody brought somebody" in told) == (0, True)

    def test_a_period_that_ends_before_it_begins_is_refused(self, run: Run) -> None:
        code, _, error = run("leaderboard", "--since", "2030-05-02", "--until", "2030-05-01")
        assert (code, "must begin before it ends" in error) == (2, True)
