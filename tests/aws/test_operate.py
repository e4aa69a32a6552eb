"""The operator's commands against a table: whom they find, what they tell, what they change, and how they fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.stub import Stubber

from infra import cli, preview, why
from infra.operate import deployed, now_of
from infra.preview import sample_mail
from shared import lifting
from shared.addresses import address_hash
from shared.app import QUICK, App
from shared.errors import UsageError
from shared.events import TicketOpened
from shared.experiments import Returned
from shared.members import absorb
from shared.model import Attempt, Group, Identity, Member, Pause, Send, SendId, SendStatus, member_id_of
from shared.programmes.reengagement import NAME
from shared.recipients import manager_id
from shared.store import keys
from tests.aws.conftest import Run, Wire
from tests.builders import JOINED, ROOT, a_member, a_planned_mail, a_playbook, a_send, an_enrolment, at, posted

NOW = at("2030-06-01T12:00Z")
ASKED = at("2030-04-10T08:00Z")
PERIOD = lifting.Period(since=NOW - timedelta(days=90), until=NOW, within=timedelta(days=14))


@pytest.fixture
def cloudformation(wire: Wire) -> Iterator[Stubber]:  # noqa: ARG001 - moto must be there first
    """CloudFormation as `deployed` reaches it; moto's own needs more packages than we have."""
    with Stubber(boto3.client("cloudformation", region_name=None, config=QUICK)) as stubber:
        yield stubber


def a_stack(**outputs: str) -> dict[str, Any]:
    """CloudFormation's answer about a stack."""
    told = [{"OutputKey": name, "OutputValue": value} for name, value in outputs.items()]
    stack = {"StackName": "Flywheel", "CreationTime": JOINED, "StackStatus": "CREATE_COMPLETE", "Outputs": told}
    return {"Stacks": [stack]}


@pytest.fixture
def run(flywheel: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `flywheel` at a fixed time."""
    monkeypatch.setattr(cli, "now_of", lambda _: NOW)
    return flywheel


def settle_in(app: App, member: Member) -> Member:
    """Let a member be known by their identities and address."""
    app.store.create_member(member)
    for identity in member.identities:
        app.store.own(keys.identity(Identity(*identity.split(":", 1))), member.id)
    if member.email:
        app.store.own(keys.address(member.email), member.id)
    return member


def asked(
    app: App, number: int, group: Group, *, moment: datetime = ASKED, back: datetime | None = None, **sent: Any
) -> Member:
    """A member who was asked, or held out, and was active again at `back`; with every day of it in the log."""
    identity = Identity("slack", f"U{number}")
    member = a_member(id=member_id_of(identity), identities=frozenset({str(identity)}), last_active_at=back)
    app.store.create_member(member)
    send_id = SendId(NAME, "attempt1", member.id, "20300301")
    app.store.note_attempt(Attempt(send_id=str(send_id), member_id=member.id, group=group, at=moment))
    if group == "treated":
        line: dict[str, Any] = {"status": SendStatus.SENT, "variant": "wave", "at": moment} | sent
        app.store.skip(Send(send_id=str(send_id), member_id=member.id, mail="miss_you", planned_at=moment, **line))
    return member


def asked_again(app: App, member: Member, group: Group, step: str, *, moment: datetime = ASKED) -> None:
    """A later attempt with a member, or a first one of a later silence."""
    send_id = str(SendId(NAME, step, member.id, f"{moment:%Y%m%d}"))
    app.store.note_attempt(Attempt(send_id=send_id, member_id=member.id, group=group, at=moment))
    if group == "treated":
        sent: dict[str, Any] = {"mail": "miss_you", "status": SendStatus.SENT, "at": moment, "planned_at": moment}
        app.store.skip(Send(send_id=send_id, member_id=member.id, **sent))


def active(app: App, member: Member, *moments: datetime) -> None:
    """Put posts of a member into the log."""
    actor = min(member.identities).split(":")[1]
    app.store.log([posted(at=moment, actor=actor, id=f"slack:{uuid4().hex}") for moment in moments])


def measured(app: App, period: lifting.Period = PERIOD, now: datetime = NOW) -> Any:
    return lifting.measured(app.store, period, now)


class TestTheTable:
    def test_a_stack_names_its_table(self, app: App, cloudformation: Stubber) -> None:
        cloudformation.add_response("describe_stacks", a_stack(TableName=app.settings.table), {"StackName": "Flywheel"})
        with deployed(table=None, stack="Flywheel") as store:
            assert store.pause() is None

    def test_a_stack_that_is_not_there_is_one_sentence(self, cloudformation: Stubber) -> None:
        cloudformation.add_client_error("describe_stacks", "ValidationError", "Stack with id Nowhere does not exist")
        with pytest.raises(UsageError, match="there is no stack 'Nowhere' in eu-west-1"):
            deployed(table=None, stack="Nowhere").__enter__()

    def test_a_stack_without_the_output_is_no_flywheel(self, cloudformation: Stubber) -> None:
        cloudformation.add_response("describe_stacks", a_stack(Other="x"))
        with pytest.raises(UsageError, match="'Other' has no output TableName"):
            deployed(table=None, stack="Other").__enter__()

    def test_a_refusal_is_told_in_aws_s_own_words(self, cloudformation: Stubber) -> None:
        cloudformation.add_client_error("describe_stacks", "AccessDenied", "no")
        with pytest.raises(UsageError, match="AWS refused DescribeStacks: AccessDenied: no"):
            deployed(table=None, stack="Flywheel").__enter__()

    @pytest.mark.usefixtures("wire")
    def test_a_table_that_is_not_there_is_one_sentence(self) -> None:
        with (
            pytest.raises(UsageError, match="there is no table 'nowhere'"),
            deployed(table="nowhere", stack="") as store,
        ):
            store.pause()

    @pytest.mark.usefixtures("wire")
    def test_another_table_is_refused_in_a_sentence(self) -> None:
        name = f"other-{uuid4().hex}"
        boto3.client("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        with (
            pytest.raises(UsageError, match="AWS refused GetItem: ValidationException"),
            deployed(table=name, stack="") as store,
        ):
            store.pause()

    def test_time_there_is_the_local_clock_s_where_one_is_set(self, app: App) -> None:
        pk, sk = keys.LOCAL_CLOCK
        assert now_of(app.store) > at("2026-01-01T00:00Z")
        app.store._write("put_item", Item={"pk": {"S": pk}, "sk": {"S": sk}, "now": {"S": JOINED.isoformat()}})
        assert now_of(app.store) == JOINED

    @pytest.mark.parametrize(
        ("environment", "told"),
        [
            ({"AWS_REGION": "eu-west-1"}, "AWS credentials are needed"),
            ({"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}, "an AWS region is needed; set AWS_REGION"),
        ],
    )
    def test_credentials_or_region_missing_are_one_sentence(self, environment: dict[str, str], told: str) -> None:
        clean = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true"}
        ran = subprocess.run(
            [sys.executable, "-m", "infra.cli", "resume"],
            cwd=ROOT,
            env=clean | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ran.returncode, ran.stdout) == (2, "")
        assert ran.stderr.startswith(f"flywheel: {told}")
        assert len(ran.stderr.splitlines()) == 1


class TestWhy:
    @pytest.mark.parametrize("who", [a_member().id, "slack:U1", "U1", "ada@example.com", " Ada@Example.com "])
    def test_a_member_is_found_by_any_name(self, app: App, run: Run, who: str) -> None:
        settle_in(app, a_member())
        code, out, _ = run("why", who)
        assert not code
        assert f"Ada, slack:U1 ({a_member().id})" in " ".join(out.split())

    @pytest.mark.parametrize("who", ["U2", "slack:U2", "eve@example.com", "", ":", "slack:", "m" * 21])
    def test_an_unknown_member_is_one_sentence(self, app: App, run: Run, who: str) -> None:
        settle_in(app, a_member())
        code, out, err = run("why", who)
        assert (code, out) == (2, "")
        assert err.startswith("flywheel: nobody is known as ")
        assert len(err.splitlines()) == 1

    def test_an_address_given_up_finds_nobody(self, app: App, run: Run) -> None:
        settle_in(app, a_member())
        app.store.change_member(a_member().id, lambda one: one.model_copy(update={"email": "ada@new.example.com"}))
        code, out, err = run("why", "ada@example.com")
        assert (code, out) == (2, "")
        assert err.startswith("flywheel: nobody is known as 'ada@example.com'")

    @pytest.mark.parametrize("who", ["manager_mira", "mira@community.example.com", "Mira@Community.example.com"])
    def test_a_manager_s_notices_are_told(self, app: App, run: Run, who: str) -> None:
        settle_in(app, a_member())
        mira = manager_id("mira")
        send_id = SendId("operations", "paused", mira, "first")
        app.store.skip(a_send(send_id=str(send_id), member_id=mira, mail="mail_paused", subject="Mail has paused"))
        code, out, _ = run("why", who)
        assert not code
        assert "Mira Lindqvist, a manager of the playbook (manager_mira)" in " ".join(out.split())
        assert "operations/paused: “Mail has paused”" in out
        assert "first heard of" not in out

    def test_a_manager_who_is_a_member_must_be_told_apart(self, app: App, run: Run) -> None:
        member = settle_in(app, a_member(email="mira@community.example.com", role="staff"))
        code, _, err = run("why", "mira@community.example.com")
        assert code == 2
        assert f"is more than one member; choose one of {member.id}, manager_mira" in " ".join(err.split())
        assert not run("why", "slack:U1")[0]

    def test_an_id_on_two_platforms_must_be_told_apart(self, app: App, run: Run) -> None:
        settle_in(app, a_member(identities=frozenset({"slack:42"})))
        settle_in(app, a_member(id="mb", identities=frozenset({"discourse:42"}), email=None, ordinal=1))
        code, _, err = run("why", "42")
        assert code == 2
        assert "'42' is more than one member; choose one of discourse:42, slack:42" in err
        assert not run("why", "discourse:42")[0]

    def test_ledger_and_agenda_are_told_newest_first(self, app: App, run: Run) -> None:
        settle_in(app, a_member())
        app.store.arm(an_enrolment(settled=["welcome", "check_in", "digest"]))
        app.store.skip(a_send(subject="Welcome, Ada"))
        app.store.skip(a_send("check_in", status=SendStatus.SKIPPED, reason="unsubscribed", at=NOW))
        _, out, _ = run("why", "U1")
        texts = ["onboarding: mail survey", "onboarding/check_in: they unsubscribed", "“Welcome, Ada”", "they joined"]
        found = [out.index(text) for text in texts]
        assert found == sorted(found)
        assert max(map(len, out.splitlines())) <= 80

    def test_a_merged_member_leads_to_who_they_are_now(self, app: App, run: Run) -> None:
        merged = a_member(id="m" + "b" * 20, identities=frozenset({"discourse:7"}), email=None, told_at={})
        settle_in(app, absorb(a_member(), merged))
        app.store.create_member(merged.model_copy(update={"merged_into": a_member().id}))
        old = SendId("onboarding", "welcome", merged.id)
        app.store.skip(a_send(send_id=str(old), member_id=merged.id, subject="To both"))
        code, out, _ = run("why", merged.id)
        assert not code
        told = " ".join(out.split())
        assert f"{merged.id} proved to be the same person as {a_member().id}" in told
        assert "To both" in told
        assert f"when they were known as {merged.id}" in told

    def test_json_is_what_a_script_can_read(self, app: App, run: Run) -> None:
        settle_in(app, a_member())
        app.store.skip(a_send(status=SendStatus.SKIPPED, reason="stale"))
        code, out, _ = run("why", "U1", "--json")
        told = json.loads(out)
        assert (code or 0, told["member"]) == (0, a_member().id)
        [skipped] = [line for line in told["lines"] if line["kind"] == "skipped"]
        assert (skipped["at"], skipped["facts"]["reason"]) == (JOINED.isoformat(), "stale")

    def test_finding_costs_a_few_reads_and_no_write(self, app: App, wire: Wire) -> None:
        settle_in(app, a_member())
        wire.requests.clear()
        why.find("ada@example.com", app.store, a_playbook())
        assert wire.reads() <= 7
        assert wire.writes() == 0


class TestLift:
    def test_who_is_active_within_the_window_returned(self, app: App) -> None:
        asked(app, 1, "treated", back=ASKED + timedelta(days=14))
        asked(app, 2, "treated", back=None)
        asked(app, 3, "held_out", back=ASKED + timedelta(days=3))
        asked(app, 4, "held_out", back=ASKED - timedelta(days=40))
        found = measured(app)
        assert (found.treated, found.held_out) == (Returned(1, 2), Returned(1, 2))

    def test_who_was_active_later_too_is_looked_up_in_the_log(self, app: App) -> None:
        both = asked(app, 1, "treated", back=NOW)
        active(app, both, ASKED + timedelta(days=9), NOW)
        later = asked(app, 2, "treated", back=NOW)
        active(app, later, ASKED - timedelta(hours=1), ASKED + timedelta(days=14, seconds=1), NOW)
        last_moment = asked(app, 3, "treated", back=NOW)
        active(app, last_moment, ASKED + timedelta(days=14))
        assert measured(app).treated == Returned(2, 3)

    def test_the_day_of_the_mail_is_told_to_the_moment(self, app: App) -> None:
        before = asked(app, 1, "treated", back=ASKED - timedelta(hours=2))
        active(app, before, ASKED - timedelta(hours=2))
        around = asked(app, 2, "treated", back=ASKED - timedelta(hours=2))
        active(app, around, ASKED - timedelta(hours=2), ASKED + timedelta(hours=2))
        assert measured(app).treated == Returned(1, 2)

    def test_what_is_no_activity_brings_nobody_back(self, app: App) -> None:
        member = asked(app, 1, "treated", back=NOW)
        event = posted(at=ASKED + timedelta(days=1), actor="U1").model_dump(exclude={"body", "type"})
        app.store.log([TicketOpened(**event)])
        assert member.last_active_at == NOW
        assert measured(app).treated == Returned(0, 1)

    def test_the_treated_count_from_when_their_mail_was_due(self, app: App) -> None:
        asked(app, 1, "treated", at=ASKED + timedelta(days=3), back=ASKED + timedelta(days=2))
        asked(app, 2, "treated", at=ASKED + timedelta(days=3), back=ASKED + timedelta(days=16))
        assert measured(app).treated == Returned(1, 2)

    @pytest.mark.parametrize("status", [SendStatus.SKIPPED, SendStatus.PARKED, SendStatus.DEFERRED, SendStatus.UNKNOWN])
    def test_a_mail_that_did_not_go_counts_all_the_same(self, app: App, status: SendStatus) -> None:
        asked(app, 1, "treated", status=status, reason="budget", back=ASKED + timedelta(days=1))
        found = measured(app)
        assert (found.treated, found.unsent, found.variants) == (Returned(1, 1), {"budget": 1}, {})

    def test_who_still_has_time_counts_apart(self, app: App) -> None:
        asked(app, 1, "treated", moment=NOW - timedelta(days=14) + timedelta(seconds=1), back=NOW)
        asked(app, 2, "held_out", moment=NOW - timedelta(days=14), back=NOW)
        found = measured(app)
        assert (found.open, found.treated, found.held_out) == (1, Returned(0, 0), Returned(1, 1))

    @pytest.mark.parametrize("group", ["treated", "held_out"])
    def test_a_member_counts_once_by_their_first_silence(self, app: App, group: Group) -> None:
        member = asked(app, 1, group, back=ASKED + timedelta(days=20))
        asked_again(app, member, group, "attempt1", moment=ASKED + timedelta(days=19))
        found = measured(app)
        assert (found.treated if group == "treated" else found.held_out) == Returned(0, 1)
        assert found.treated.members + found.held_out.members == 1

    def test_a_second_attempt_tells_nothing(self, app: App) -> None:
        """The first mail brings back, for good, those who can be brought back; the second does nothing to anybody."""
        before = PERIOD.since - timedelta(days=26)
        for number in range(3):
            asked(app, number, "treated", moment=before, back=before + timedelta(days=1))
            stubborn = asked(app, 100 + number, "treated", moment=before)
            same_but_held_out = asked(app, 200 + number, "held_out", moment=before, back=ASKED + timedelta(days=1))
            asked_again(app, stubborn, "treated", "attempt2")
            asked_again(app, same_but_held_out, "held_out", "attempt2")
        assert measured(app).treated == measured(app).held_out == Returned(0, 0)
        earlier = lifting.Period(since=before, until=PERIOD.since, within=PERIOD.within)
        found = measured(app, earlier)
        assert (found.treated, found.held_out) == (Returned(3, 6), Returned(0, 3))

    def test_two_who_proved_to_be_one_person_count_once(self, app: App) -> None:
        first = asked(app, 1, "treated")
        other = asked(app, 2, "held_out", moment=ASKED + timedelta(days=1))
        app.store.change_member(
            first.id, lambda one: absorb(one, other.model_copy(update={"last_active_at": ASKED + timedelta(days=5)}))
        )
        app.store.merge_into(other, first.id)
        found = measured(app)
        assert (found.treated, found.held_out) == (Returned(1, 1), Returned(0, 0))

    def test_only_attempts_of_the_period_count(self, app: App) -> None:
        asked(app, 1, "treated", moment=PERIOD.since - timedelta(seconds=1))
        asked(app, 2, "treated", moment=PERIOD.since)
        assert measured(app).treated == Returned(0, 1)

    def test_the_result_is_told_with_its_interval(self, app: App, run: Run) -> None:
        for number in range(30):
            asked(app, number, "treated", back=ASKED + timedelta(days=1) if number < 15 else None)
            asked(app, 100 + number, "held_out", back=ASKED + timedelta(days=1) if number < 3 else None)
        code, out, _ = run("lift", NAME)
        told = " ".join(out.split())
        assert not code
        assert "asked 30 15 50.0%" in told
        assert "held out 30 3 10.0%" in told
        assert "Asking brings members back: +40.0 percentage points, 95 % interval +17.0 to +58.1." in told
        assert "wave 30 15 50.0%" in told
        assert max(map(len, out.splitlines())) <= 80

    def test_too_few_members_say_so(self, app: App, run: Run) -> None:
        asked(app, 1, "treated", back=ASKED + timedelta(days=1))
        asked(app, 2, "treated", status=SendStatus.SKIPPED)
        _, out, _ = run("lift", NAME)
        assert "Not enough members yet" in out

    def test_who_got_no_mail_is_noted_with_the_reason(self, app: App, run: Run) -> None:
        asked(app, 1, "treated", back=ASKED + timedelta(days=1))
        asked(app, 2, "treated", status=SendStatus.SKIPPED, reason="returned", back=ASKED + timedelta(hours=1))
        asked(app, 3, "treated", moment=NOW - timedelta(days=1))
        _, out, _ = run("lift", NAME)
        told = " ".join(out.split())
        assert "asked 2 2 100.0%" in told
        assert "wave 1 1 100.0%" in told
        assert "No mail went to 1 of those asked; they count all the same: 1 they had come back by themselves" in told
        assert "Not counted yet: 1 more, who still have time to come back." in told
        assert max(map(len, out.splitlines())) <= 80
        _, out, _ = run("lift", NAME, "--json")
        assert json.loads(out)["not_sent"] == {"returned": 1}

    def test_nobody_asked_is_not_enough_either(self, run: Run) -> None:
        code, out, _ = run("lift", NAME, "--json")
        told = json.loads(out)
        assert not code
        assert (told["difference"], told["interval"], told["treated"]["members"]) == (None, None, 0)

    def test_days_are_the_community_s_and_included(self, run: Run) -> None:
        _, out, _ = run("lift", NAME, "--json", "--since", "2030-04-01", "--until", "2030-04-30")
        told = json.loads(out)
        assert (told["since"], told["until"]) == ("2030-03-31T22:00:00+00:00", "2030-04-30T22:00:00+00:00")

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (("onboarding",), "'onboarding' holds nobody out to compare with; only reengagement does"),
            ((NAME, "--since", "2030-05-02", "--until", "2030-05-01"), "the period must begin before it ends"),
            ((NAME, "--since", "2031-01-01"), "the period must begin before it ends and before now"),
            ((NAME, "--since", "May"), "Invalid value for '--since'"),
        ],
    )
    def test_what_cannot_be_told_is_one_sentence(self, run: Run, arguments: tuple[str, ...], told: str) -> None:
        code, out, err = run("lift", *arguments)
        assert (code, out) == (2, "")
        assert err.startswith(f"flywheel: {told}")


class TestResume:
    def test_nothing_paused_says_so_and_is_no_mistake(self, run: Run) -> None:
        code, out, _ = run("resume")
        assert (code or 0, out) == (0, "Marketing mail is not paused; there is nothing to resume.\n")

    def test_the_figures_are_shown_before_the_question(self, app: App, run: Run) -> None:
        app.store.trip(Pause(tripped_at=JOINED, reason="bounces", sends=250, bounces=12))
        planned = a_planned_mail(waited_for="paused").model_dump(mode="json")
        app.store.arm(an_enrolment().model_copy(update={"programme": "mail", "key": "x", "state": planned}))
        code, out, _ = run("resume", answer="y\n")
        assert not code
        shown = [
            "Marketing mail is paused since 2030-01-01 13:00: too many mails bounced; of 250 sent, 12 bounced (4.8%)",
            "1 mail waits for it; after it, marketing mail goes out spread over 24 h",
            "Let marketing mail go on? [y/N]:",
            "Marketing mail goes on.",
        ]
        found = [out.index(text) for text in shown]
        assert found == sorted(found)
        pause = app.store.pause()
        assert pause is not None
        assert pause.resumed_at == NOW

    def test_a_no_leaves_it_paused(self, app: App, run: Run) -> None:
        app.store.trip(Pause(tripped_at=JOINED, reason="complaints"))
        code, out, _ = run("resume", answer="n\n")
        assert code == 1
        assert out.endswith("It stays paused.\n")
        pause = app.store.pause()
        assert pause is not None
        assert pause.resumed_at is None

    def test_nobody_to_ask_is_one_sentence(self, app: App, run: Run) -> None:
        app.store.trip(Pause(tripped_at=JOINED, reason="account_suspended"))
        code, out, err = run("resume")
        assert code == 2
        assert "SES has suspended the account" in out
        assert err == "flywheel: there is nobody to ask; say --yes to let marketing mail go on\n"

    def test_yes_asks_nothing(self, app: App, run: Run) -> None:
        app.store.trip(Pause(tripped_at=JOINED, reason="bounces"))
        code, out, _ = run("resume", "--yes")
        assert not code
        assert "?" not in out

    def test_a_second_time_tells_of_the_ramp(self, app: App, run: Run) -> None:
        app.store.trip(Pause(tripped_at=JOINED, reason="bounces"))
        run("resume", "--yes")
        code, out, _ = run("resume", "--yes")
        assert not code
        assert out.startswith("Marketing mail was let go on at 2030-06-01 14:00; what had waited goes out spread over")


def test_an_address_is_found_by_its_hash_alone(app: App) -> None:
    settle_in(app, a_member())
    key = keys.address("ada@example.com")
    assert address_hash("ada@example.com") in key[0]
    assert why.find("ada@example.com", app.store, a_playbook()).member == a_member()


def test_a_test_mail_goes_out_with_the_operator_s_own_region(
    app: App, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    mail = sample_mail(app.mails, app.playbook, "welcome", "en", name="Ada", now=JOINED, to="grace@example.com")
    assert preview.send(mail)
    assert [one["Destination"] for one in wire.mails] == [{"ToAddresses": ["Ada <grace@example.com>"]}]


def test_a_test_mail_that_ses_refuses_is_one_sentence(app: App, wire: Wire) -> None:
    wire.ses_will_answer(400, "MessageRejected")
    mail = sample_mail(app.mails, app.playbook, "welcome", "en", name="Ada", now=JOINED)
    with pytest.raises(UsageError, match="SES did not take the mail"):
        preview.send(mail)
