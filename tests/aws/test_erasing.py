"""A person is told everything that is held of them, and erased: what remains is nobody's, and every figure stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import boto3
import pytest

from shared.addresses import address_hash
from shared.app import App
from shared.erasing import TRIED_AGAIN
from shared.errors import Unavailable
from shared.events import (
    GHOST,
    CommentCreated,
    MemberUpdated,
    Profile,
    PurchaseMade,
    SurveyAnswered,
)
from shared.forgetting import Forgotten, forget, forget_what_came_after, forget_what_was_told_again, held
from shared.lifting import Period, measured
from shared.members import consents, suppression_of
from shared.model import (
    Attempt,
    Attribution,
    Consent,
    Due,
    Identity,
    Member,
    Referral,
    Reward,
    SendId,
    Suppression,
    Touch,
    member_id_of,
)
from shared.programmes.referrals import KEY, NAME
from shared.react import react
from shared.rewarding import settle_all
from shared.rolling import LEASE
from shared.rollups import KINDS
from shared.store import keys
from shared.store.wire import attributes, key, values
from tests.aws.conftest import Wire
from tests.aws.days import A_DAY, DAY, HOUR, NIGHT, NOON, an_event, happen, joins, posts, replies, tick
from tests.builders import a_send

LATER = NIGHT + 2 * HOUR
BACK = A_DAY
"""How far the log is read back in these tests: enough for what happens in them."""

ADA, BOB, EVE, FAY = (member_id_of(Identity("slack", who)) for who in ("U1", "U2", "U3", "U4"))
ADA_TOO = member_id_of(Identity("discourse", "7"))
ADDRESS = "ada@example.com"
KNOWN_BY = (ADA, ADA_TOO, "slack:U1", "discourse:7", ADDRESS, address_hash(ADDRESS), "Ada", "purse-1", "very much")
"""Whatever tells that something is Ada's."""


def everything(app: App) -> list[dict[str, Any]]:
    pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName=app.settings.table)
    return [values(item) for page in pages for item in page["Items"]]


def lives(app: App) -> None:
    """Ada, who is on two platforms, and all that can come to stand of her; with Bob, who brought her, and Eve."""
    profile = Profile(name="Ada", email=ADDRESS, email_verified=True, timezone="Europe/Berlin", locale="en")
    happen(
        app,
        joins("U2", NOON - 3 * HOUR),
        joins("U3", NOON - 2 * HOUR),
        joins("U1", NOON - HOUR, profile=profile),
        joins("discourse:7", NOON - HOUR / 2, timed=False),
        an_event(MemberUpdated, "discourse:7", NOON - HOUR / 4, profile=profile),  # by which they prove to be one
        posts("U1", NOON),
        posts("U2", NOON, "T2"),
        replies("U2", NOON + HOUR),
        replies("discourse:7", NOON + HOUR, "T2"),
        an_event(CommentCreated, "U1", NOON + 2 * HOUR, parent="T2"),
        an_event(SurveyAnswered, "U1", NOON + HOUR, score=9, comment="I like it very much", object="onboarding-1"),
        an_event(PurchaseMade, "U1", NOON + 2 * HOUR, amount=900, currency="EUR", payer="purse-1"),
    )
    app.store.change_member(ADA, lambda ada: ada.model_copy(update=CHOICES))
    _is_written_to(app)
    _brings_and_was_brought(app)


CHOICES = {
    "consent": {"tips": Consent(given=False, at=NOON, by="page")},
    "suppressions": {address_hash(ADDRESS): Suppression(reason="bounce", at=NOON, by=f"onboarding-welcome-{ADA}-1")},
    "last_active_at": NOON + 2 * HOUR,
}


def _is_written_to(app: App) -> None:
    for who in (ADA, ADA_TOO, BOB):
        for send_id in (SendId("onboarding", "welcome", who), SendId("reengagement", "attempt1", who, "20300101")):
            sent = a_send(
                send_id=str(send_id), member_id=who, mail=send_id.step, at=NOON, planned_at=NOON, subject=f"Hi, {who}"
            )
            app.store.skip(sent)
            app.store.note_pulse("send", send_id, NOON)
        app.store.note_attempt(Attempt(send_id=str(send_id), member_id=who, group="treated", at=NOON))


def _brings_and_was_brought(app: App) -> None:
    for referrer, referee in ((BOB, ADA), (ADA, EVE)):
        told: dict[str, Any] = {"referee_id": referee, "referrer_id": referrer, "touched_at": NOON}
        app.store.note_touch(
            Touch(referee_id=referee, referrer_id=referrer, at=NOON, told_at=NOON, source="link", utm={"utm_id": "x"})
        )
        app.store.attribute(Attribution(**told, source="link", at=NOON))
        app.store.settle_referral(Referral(**told, status="in_review", at=NOON, qualified_at=NOON), was=None)
        app.store.settle_referral(Referral(**told, status="qualified", at=NOON, qualified_at=NOON), was="in_review")
        app.store.grant(Reward(member_id=referrer, rule="badge", gives="badge", because=referee, granted_at=NOON))
    app.store.note_invited(ADDRESS, Touch(referee_id="", referrer_id=BOB, at=NOON, told_at=NOON, source="join_page"))


def ada(app: App) -> Member:
    found = app.store.survivor(ADA)
    assert found is not None
    return found


def erase(app: App, **changes: Any) -> Forgotten:
    return forget(ada(app), app, changes.get("now", LATER), BACK)


def figures_of(app: App) -> dict[str, Any]:
    """Every aggregate there is: rollups, bitmaps, the ledger by step and state, milestones, the pulse, the lift."""
    span = NOON - A_DAY, LATER
    lift = measured(app.store, Period(since=span[0], until=span[1], within=2 * HOUR), LATER + A_DAY)
    kinds = ("attributed", "qualified", "granted")
    return {
        "rollups": [one.model_dump(exclude={"computed_at"}) for one in app.store.rollups(DAY, DAY)],
        "bitmaps": app.store.activity([DAY], KINDS),
        "waits": app.store.waits(DAY),
        "ledger": sorted((one.send_id.step, one.status, one.planned_at) for one in app.store.planned(*span)),
        "milestones": sorted((one.kind, one.at) for kind in kinds for one in app.store.milestones(kind, *span)),
        "pulse": app.store.pulse("send", *span),
        "lift": lift,
    }


class TestExport:
    def test_whatever_stands_of_a_person_is_found_under_every_id_and_nothing_of_others(self, app: App) -> None:
        lives(app)
        tick(app, NIGHT)
        found = {(item["pk"], item["sk"]) for item in held(ada(app), app.store, LATER, BACK).items}
        ordinal_only = ("ACTIVE#", "TALLY#", "ROLLUP")
        mine = {
            (item["pk"], item["sk"])
            for item in everything(app)
            if any(one in repr(item) for one in KNOWN_BY) and not item["pk"].startswith(ordinal_only)
        }
        assert mine <= found
        assert all(where in mine or where[0].startswith("SEEN#") for where in found)

    def test_nothing_is_written_by_it(self, app: App, wire: Wire) -> None:
        lives(app)
        member = ada(app)
        wire.requests.clear()
        held(member, app.store, LATER, BACK)
        assert wire.writes() == 0


class TestErase:
    def test_nothing_in_the_table_tells_of_the_person_any_more(self, app: App) -> None:
        lives(app)
        tick(app, NIGHT)
        erase(app)
        for item in (item for item in everything(app) if not item["pk"].startswith("SEEN#")):
            assert not [one for one in KNOWN_BY if one in repr(item)], item["pk"]

    def test_the_guard_of_a_delivery_stays_only_while_it_may_be_tried_again(self, app: App) -> None:
        lives(app)
        erase(app)
        [guard] = [item for item in everything(app) if item["pk"].startswith("SEEN#")]
        assert guard["expires_at"] == (LATER + TRIED_AGAIN).timestamp()

    def test_no_purchase_is_kept_under_their_id(self, app: App) -> None:
        lives(app)
        tick(app, NIGHT)
        before = app.store.rest([DAY])[DAY]
        erase(app)
        after = app.store.rest([DAY])[DAY]
        assert before != after

    def test_every_figure_is_what_it_was(self, app: App) -> None:
        lives(app)
        tick(app, NIGHT)
        before = figures_of(app)
        assert before["rollups"][0]["figures"]["sourced_revenue"] == {"EUR": 900}
        erase(app)
        assert figures_of(app) == before

    def test_a_day_that_is_measured_again_comes_out_as_it_was(self, app: App) -> None:
        lives(app)
        tick(app, NIGHT)
        before = figures_of(app)
        erase(app)
        app.store.mark(DAY, "again", LATER)
        assert DAY in tick(app, LATER + HOUR).days
        assert figures_of(app) == before

    def test_a_mark_that_waited_for_their_days_is_passed_on_to_these(self, app: App) -> None:
        lives(app)
        tick(app, NIGHT)
        app.store.mark(ADA, "merged", LATER)
        erase(app)
        assert [mark.what for mark in app.store.marks()] == [DAY.isoformat()]

    def test_the_nobody_is_on_no_agenda_and_has_no_address(self, app: App) -> None:
        lives(app)
        erase(app)
        assert {due.member_id for due in app.store.agenda()} <= {BOB, EVE}
        ghosts = [item for item in everything(app) if item["sk"] == keys.PROFILE and item["id"] not in (BOB, EVE)]
        assert {item["status"] for item in ghosts} == {"removed"}
        assert not any(item.get(name) for item in ghosts for name in ("email", "name", "consent", "timezone"))

    def test_who_brought_them_keeps_referral_and_reward(self, app: App) -> None:
        lives(app)
        erase(app)
        standing = app.store.standing([BOB])
        [referral], [reward] = standing.referrals, standing.rewards
        assert referral.status == "qualified"
        assert referral.referee_id == reward.because
        assert app.store.member(referral.referee_id) is not None

    def test_whom_they_brought_waits_for_a_person_where_it_did_not_count_yet(self, app: App) -> None:
        lives(app)
        told: dict[str, Any] = {"referee_id": FAY, "referrer_id": ADA, "touched_at": NOON}
        happen(app, joins("U4", NOON), posts("U4", NOON + HOUR, "T4"))
        app.store.attribute(Attribution(**told, source="link", at=NOON))
        app.store.settle_referral(Referral(**told, status="attributed", at=NOON), was=None)
        app.store.arm(Due(programme=NAME, member_id=FAY, key=KEY, due_at=LATER))
        erase(app)
        settle_all(app, LATER + 60 * A_DAY)
        [waiting] = app.store.reviews()
        assert (waiting.referee_id, "referrer_banned" in waiting.evidence) == (FAY, True)

    def test_reacting_to_what_was_rewritten_does_nothing(self, app: App, wire: Wire) -> None:
        lives(app)
        erase(app)
        rewritten = [item for item in everything(app) if f"slack:{GHOST}" in item["sk"] and "event" in item]
        events = [app_event(item) for item in rewritten]
        assert events
        wire.requests.clear()
        assert react(events, app, LATER) == {}
        assert wire.writes() == 0

    def test_while_days_are_measured_it_does_not_begin(self, app: App) -> None:
        lives(app)
        app.store.begin_rolling("a tick", at=app.wire_clock(), until=app.wire_clock() + LEASE)
        before = everything(app)
        with pytest.raises(Unavailable, match="run it again"):
            erase(app)
        assert everything(app) == before

    def test_what_they_do_while_it_runs_goes_with_them(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        lives(app)
        let_go, busy = app.store.let_go, iter([True])

        def after_a_post(*args: Any, **more: Any) -> bool:
            if next(busy, False):
                happen(app, posts("U1", LATER, "T3"))
            return let_go(*args, **more)

        monkeypatch.setattr(app.store, "let_go", after_a_post)
        erase(app)
        assert app.store.survivor(ADA) is None
        assert not app.store.logged(Identity("slack", "U1"), LATER.date())

    def test_a_mail_that_was_on_its_way_leaves_a_line_which_another_run_takes(self, app: App) -> None:
        lives(app)
        erase(app)
        app.store.skip(a_send(send_id=str(SendId("onboarding", "tips", ADA)), member_id=ADA))
        assert forget_what_came_after(ADA, app) == 1
        assert not app.store.held_in(f"MEMBER#{ADA}")


def app_event(item: dict[str, Any]) -> Any:
    from shared.store import event_of  # noqa: PLC0415 - only here

    return event_of(item)


class Died(BaseException):
    """The process is gone."""


@pytest.fixture
def dies(app: App) -> Iterator[Callable[[int | None], None]]:
    """Has the process die before its n-th write from now on; None keeps it alive.

    That is also after the write before, for nothing else happens in between.
    """
    events = app.store._client.meta.events
    left: list[int] = []

    def begins(model: Any, **_: Any) -> None:
        if left and model.name in WRITES:
            left[0] -= 1
        if left and left[0] < 0:
            raise Died

    events.register("before-call.dynamodb.*", begins)
    yield lambda number: left.__setitem__(slice(None), [] if number is None else [number])
    events.unregister("before-call.dynamodb.*", begins)


WRITES = {"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"}


class TestCrash:
    def test_at_any_write_another_run_completes_it(
        self, app: App, wire: Wire, dies: Callable[[int | None], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lives(app)
        tick(app, NIGHT)
        before, whole = figures_of(app), everything(app)
        monkeypatch.setattr("shared.store.erasure.PAIRS", 4)
        times = count()
        monkeypatch.setattr(app, "wire_clock", lambda: LATER + next(times) * 2 * LEASE)
        wire.requests.clear()
        erase(app)
        writes = sum(wire.requests[name] for name in WRITES)
        assert writes > 20
        for number in range(writes):
            start_over(app, whole)
            dies(number)
            with pytest.raises(Died):
                erase(app)
            dies(None)
            if app.store.survivor(ADA) is not None:
                erase(app, now=LATER + HOUR)
            left = [item for item in everything(app) if not item["pk"].startswith("SEEN#")]
            assert not [item for item in left if any(one in repr(item) for one in KNOWN_BY)], number
            assert figures_of(app) == before, number


def start_over(app: App, items: list[dict[str, Any]]) -> None:
    """The table as it was."""
    client, table = boto3.client("dynamodb"), app.settings.table
    writes: list[Any] = [{"DeleteRequest": {"Key": key((item["pk"], item["sk"]))}} for item in everything(app)]
    for some in (writes, [{"PutRequest": {"Item": attributes(item)}} for item in items]):
        for at in range(0, len(some), 25):
            client.batch_write_item(RequestItems={table: some[at : at + 25]})


class TestAfterwards:
    def test_an_old_delivery_recreates_nobody_and_another_run_takes_it_out_of_the_log(self, app: App) -> None:
        lives(app)
        erase(app)
        before = sorted(everything(app), key=repr)
        old = joins("U1", NOON - HOUR, profile=Profile(name="Ada", email=ADDRESS, email_verified=True))
        happen(app, old, posts("U1", NOON), now=LATER)
        come = [item for item in everything(app) if item not in before]
        assert [item["pk"].startswith("LOG#") for item in come] == [True, True]
        assert forget_what_was_told_again(Identity("slack", "U1"), LATER, app, BACK) == 2
        assert sorted(everything(app), key=repr) == before

    def test_who_comes_back_is_new_and_gets_no_marketing_until_they_ask_for_it(self, app: App) -> None:
        lives(app)
        erase(app)
        profile = Profile(name="Ada", email=ADDRESS, email_verified=True)
        happen(app, joins("U1", LATER + A_DAY, profile=profile))
        back = ada(app)
        assert back.joined_at == LATER + A_DAY
        assert not any(consents(back, category) for category in app.playbook.categories)
        assert suppression_of(back) is not None

    def test_what_is_older_than_the_erasure_is_not_told_of_who_came_back(self, app: App) -> None:
        lives(app)
        erase(app)
        happen(app, joins("U1", LATER + A_DAY))
        happen(app, posts("U1", NOON), now=LATER + A_DAY)
        assert ada(app).first_post_at is None

    def test_the_address_with_another_identity_is_not_mailed_either(self, app: App) -> None:
        lives(app)
        erase(app)
        happen(app, joins("U9", LATER + A_DAY, profile=Profile(email=ADDRESS, email_verified=True)))
        found = app.store.member(member_id_of(Identity("slack", "U9")))
        assert found is not None
        assert not consents(found, "tips")
        assert suppression_of(found) is not None

    def test_the_address_known_later_of_a_member_is_not_mailed_either(self, app: App) -> None:
        lives(app)
        erase(app)
        told = an_event(MemberUpdated, "U3", LATER + A_DAY, profile=Profile(email=ADDRESS, email_verified=True))
        happen(app, told)
        found = app.store.member(EVE)
        assert found is not None
        assert not consents(found, "tips")

    def test_twice_is_as_good_as_once(self, app: App) -> None:
        lives(app)
        erase(app)
        before = sorted(everything(app), key=repr)
        assert app.store.survivor(ADA) is None
        assert forget_what_came_after(ADA, app) == 0
        assert sorted(everything(app), key=repr) == before
