"""An erasure among everything else that goes on: what is on its way, due, told late, broken off or merged meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from shared import feedback, forgetting
from shared.addresses import address_hash
from shared.app import App
from shared.erasing import ERASED
from shared.events import MemberUpdated, Profile, ReactionAdded, ReferralSignedUp
from shared.feedback import Feedback
from shared.forgetting import Held, forget, forget_what_was_told_again, held
from shared.members import suppression_of
from shared.model import (
    Attribution,
    Due,
    Identity,
    PlannedMail,
    Referral,
    Reward,
    SendId,
    SendStatus,
    Suppression,
    Touch,
    member_id_of,
    stamp,
)
from shared.programmes.referrals import KEY, NAME
from shared.react import react
from shared.rewarding import settle_all
from shared.rolling import LEASE
from shared.sending import send_planned
from shared.store import keys
from shared.store.items import KEPT
from tests.aws.days import A_DAY, DAY, HOUR, NIGHT, NOON, an_event, figures, happen, joins, posts, replies, tick
from tests.aws.test_erasing import (
    ADA,
    ADDRESS,
    BACK,
    BOB,
    EVE,
    FAY,
    LATER,
    Died,
    ada,
    dies,
    erase,
    everything,
    lives,
    start_over,
)
from tests.builders import a_send

__all__ = ["dies"]

OLD = "ada.old@example.com"
WELCOME = SendId("onboarding", "welcome", ADA)
TOLD: dict[str, Any] = {"referee_id": ADA, "referrer_id": BOB, "touched_at": NOON}


def proves(who: str, moment: Any, email: str, **profile: Any) -> Any:
    return an_event(MemberUpdated, who, moment, profile=Profile(email=email, email_verified=True, **profile))


def naming(app: App, *who: str) -> list[tuple[str, str]]:
    """Where any of these stands, the guards of deliveries apart."""
    items = [item for item in everything(app) if not item["pk"].startswith("SEEN#")]
    return [(item["pk"], item["sk"]) for item in items if any(one in repr(item) for one in who)]


def touched(app: App, referrer: str, *, at: Any = NOON) -> None:
    """This one may have brought Fay; it is to be settled."""
    app.store.note_touch(Touch(referee_id=FAY, referrer_id=referrer, at=at, told_at=at, source="link"))
    app.store.arm(Due(programme=NAME, member_id=FAY, key=KEY, due_at=LATER + HOUR))


class TestOnItsWay:
    def test_an_event_that_comes_while_it_runs_brings_nobody_back(self, app: App) -> None:
        happen(app, joins("U1", NOON))
        come = LATER + timedelta(seconds=30)
        event = proves("U1", come, ADDRESS, name="Ada")
        ahead = proves("U1", come + 3 * HOUR, OLD).model_copy(update={"received_at": come})
        app.store.log([event, ahead])
        erased = erase(app)
        assert erased.at == come
        assert react([event, ahead], app, come + HOUR) == {}
        assert app.store.survivor(ADA) is None
        assert forget_what_was_told_again(Identity("slack", "U1"), erased.at, app, BACK) == 0

    def test_what_they_do_after_it_makes_them_a_member_all_the_same(self, app: App) -> None:
        happen(app, joins("U1", NOON))
        erase(app)
        happen(app, posts("U1", LATER + timedelta(seconds=1)))
        assert ada(app).created_at == LATER + timedelta(seconds=1)

    def test_a_queued_mail_to_nobody_leaves_no_line_that_counts(self, app: App) -> None:
        lives(app)
        erase(app)
        before = len(list(app.store.planned(NOON - A_DAY, LATER + A_DAY)))
        planned = PlannedMail(send_id=str(WELCOME), mail="welcome", planned_at=LATER)
        for _ in range(2):
            assert send_planned(planned, app, LATER).status is SendStatus.SKIPPED
        assert len(list(app.store.planned(NOON - A_DAY, LATER + A_DAY))) == before
        [line] = [item for item in everything(app) if item["pk"] == f"MEMBER#{ADA}"]
        assert line["expires_at"] == int((LATER + 14 * A_DAY).timestamp())

    def test_no_line_of_theirs_stays_open(self, app: App) -> None:
        lives(app)
        opened: list[dict[str, Any]] = [
            {"status": SendStatus.DEFERRED, "until": LATER + HOUR, "reason": "quiet_hours"},
            {"status": SendStatus.UNKNOWN, "token": "t", "reason": "worker_lost"},
            {"status": SendStatus.CLAIMED, "token": "t", "lease_until": LATER},
        ]
        for number, more in enumerate(opened):
            send_id = str(SendId("onboarding", f"step{number}", ADA))
            app.store.skip(a_send(send_id=send_id, member_id=ADA, at=NOON, planned_at=NOON, **more))
        lines = [line.send_id.step for line in app.store.planned(NOON - HOUR, LATER)]
        erase(app)
        after = list(app.store.planned(NOON - HOUR, LATER))
        assert sorted(line.send_id.step for line in after) == sorted(lines)
        settled = [item for item in everything(app) if item.get("reason") == ERASED]
        assert Counter(item["status"] for item in settled) == {"skipped": 3}
        assert not any("until" in item for item in settled)

    @pytest.mark.parametrize("back", [False, True])
    def test_a_bounce_told_after_it_is_remembered_of_the_address(self, app: App, *, back: bool) -> None:
        happen(app, joins("U1", NOON, profile=Profile(email=ADDRESS, email_verified=True)))
        erase(app)
        again = joins("U1", LATER + A_DAY, profile=Profile(email=ADDRESS, email_verified=True))
        if back:
            happen(app, again)
        bounced = Feedback(
            kind="bounce",
            send_id=WELCOME,
            message_id="x",
            at=LATER + HOUR,
            sent_at=LATER,
            address=address_hash(ADDRESS),
        )
        assert feedback.note(bounced, app, LATER + HOUR)
        assert naming(app, ADA) == [] or back
        if not back:
            happen(app, again)
        assert suppression_of(ada(app)) is not None

    def test_a_bounce_of_an_address_that_nobody_erased_changes_nothing(self, app: App) -> None:
        happen(app, joins("U1", NOON, profile=Profile(email=ADDRESS, email_verified=True)))
        erase(app)
        before = sorted(everything(app), key=repr)
        strange: dict[str, Any] = {
            "address": address_hash("eve@example.com"),
            "message_id": "x",
            "at": LATER,
            "sent_at": LATER,
        }
        assert not feedback.note(Feedback(kind="bounce", send_id=WELCOME, **strange), app, LATER)
        assert sorted(everything(app), key=repr) == before


class TestReferrals:
    def test_a_touch_that_is_not_settled_is_told_and_goes_and_another_s_counts(self, app: App) -> None:
        happen(app, joins("U2", NOON - HOUR), joins("U1", NOON - HOUR), joins("U4", NOON))
        touched(app, ADA)
        touched(app, BOB, at=NOON + HOUR)
        assert any(item["pk"] == keys.referee(FAY) for item in held(ada(app), app.store, LATER, BACK).items)
        erase(app)
        assert naming(app, ADA) == []
        settle_all(app, LATER + 60 * A_DAY)
        settled = app.store.referee([FAY]).attribution
        assert settled is not None
        assert settled.referrer_id == BOB

    def test_a_touch_by_nobody_is_no_touch(self, app: App) -> None:
        happen(app, joins("U4", NOON))
        touched(app, ADA)
        settle_all(app, LATER + 60 * A_DAY)
        assert app.store.referee([FAY]).attribution is None

    @pytest.mark.parametrize("by", ["ref", "code"])
    def test_a_link_or_code_used_after_it_names_nobody(self, app: App, by: str) -> None:
        lives(app)
        given = {"ref": app.signer.sign("referral", ADA, "c1", stamp(NOON)), "code": app.signer.code(ADA)}
        erase(app)
        happen(app, joins("U4", LATER), an_event(ReferralSignedUp, "U4", LATER + HOUR, **{by: given[by]}))
        assert app.store.referee([FAY]).attributions == []

    def test_a_touch_expires(self, app: App) -> None:
        touched(app, ADA)
        [touch] = [item for item in everything(app) if item["sk"].startswith("TOUCH#")]
        assert touch["expires_at"] == int((NOON + KEPT).timestamp())

    def test_a_tick_that_runs_at_the_same_time_loses_nothing(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        happen(app, joins("U2", NOON - HOUR), joins("U1", NOON))
        app.store.attribute(Attribution(**TOLD, source="link", at=NOON))
        app.store.settle_referral(Referral(**TOLD, status="attributed", at=NOON), was=None)
        read, ticks = forgetting.held, iter([True])

        def then_a_tick(*args: Any, **more: Any) -> Held:
            found = read(*args, **more)
            if next(ticks, False):
                counts = Referral(**TOLD, status="qualified", at=LATER, qualified_at=LATER)
                assert app.store.settle_referral(counts, was="attributed")
                assert app.store.grant(
                    Reward(member_id=BOB, rule="badge", gives="badge", because=ADA, granted_at=LATER)
                )
            return found

        monkeypatch.setattr(forgetting, "held", then_a_tick)
        erase(app)
        assert naming(app, ADA) == []
        standing = app.store.standing([BOB])
        assert [one.status for one in standing.referrals] == ["qualified"]
        assert len(standing.rewards) == 1

    def test_a_reward_granted_once_all_was_dealt_with_is_found(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        happen(app, joins("U2", NOON - HOUR), joins("U1", NOON))
        app.store.attribute(Attribution(**TOLD, source="link", at=NOON))
        replaced, ticks = app.store.replace, iter([True])

        def then_a_tick(changes: Any) -> int:
            done = replaced(changes)
            if next(ticks, False):
                app.store.grant(Reward(member_id=BOB, rule="badge", gives="badge", because=ADA, granted_at=LATER))
            return done

        monkeypatch.setattr(app.store, "replace", then_a_tick)
        erase(app)
        assert naming(app, ADA) == []

    def test_a_reward_under_any_id_of_a_referrer_is_found(self, app: App) -> None:
        happen(app, *(joins(who, NOON - hours * HOUR) for who, hours in (("U1", 0), ("U2", 1), ("U5", 2), ("U6", 3))))
        second, last = (member_id_of(Identity("slack", who)) for who in ("U5", "U6"))
        app.store.attribute(Attribution(**TOLD, source="link", at=NOON))
        happen(app, proves("U2", NOON + HOUR, "b@example.com"), proves("U5", NOON + HOUR, "b@example.com"))
        app.store.grant(Reward(member_id=second, rule="badge", gives="badge", because=ADA, granted_at=NOON + 2 * HOUR))
        happen(app, proves("U5", NOON + 3 * HOUR, "c@example.com"), proves("U6", NOON + 3 * HOUR, "c@example.com"))
        found = app.store.survivor(BOB)
        assert found is not None
        assert found.id == last
        erase(app)
        assert naming(app, ADA) == []


class TestToldLate:
    def test_what_happened_years_ago_is_told_and_erased(self, app: App) -> None:
        long_ago = NOON - 3 * 365 * A_DAY
        late = an_event(ReactionAdded, "U1", long_ago, object="m").model_copy(update={"received_at": NOON})
        happen(app, posts("U1", NOON), late, now=NOON)
        assert any("reaction.added" in str(item.get("event")) for item in held(ada(app), app.store, LATER).items)
        forget(ada(app), app, LATER)
        assert naming(app, ADA, "slack:U1") == []


class TestBrokenOff:
    @pytest.fixture(autouse=True)
    def leases_are_over(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        times = count()
        monkeypatch.setattr(app, "wire_clock", lambda: LATER + next(times) * 2 * LEASE)

    def test_an_address_that_they_had_before_is_let_go_of(
        self, app: App, dies: Callable[[int | None], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shared.store.erasure.PAIRS", 1)
        happen(
            app,
            joins("U1", NOON - HOUR, profile=Profile(email=OLD, email_verified=True)),
            proves("U1", NOON, ADDRESS),
        )
        whole = everything(app)
        for number in count():
            start_over(app, whole)
            dies(number)
            try:
                erase(app)
                break
            except Died:
                dies(None)
            if app.store.survivor(ADA) is not None:
                erase(app, now=LATER + HOUR)
            assert naming(app, ADA, "slack:U1", address_hash(OLD)) == [], number
        dies(None)
        assert number > 8

    def test_what_is_merged_in_between_is_completed_under_the_same_names(
        self, app: App, dies: Callable[[int | None], None]
    ) -> None:
        happen(
            app,
            joins("U3", NOON - 5 * HOUR, profile=Profile(email="eve@example.com", email_verified=True)),
            joins("U1", NOON - HOUR, profile=Profile(email=ADDRESS, email_verified=True)),
            posts("U1", NOON),
            replies("U3", NOON + HOUR),
        )
        tick(app, NIGHT)
        dies(8)  # all is moved, and the profile stands
        with pytest.raises(Died):
            erase(app)
        dies(None)
        assert [one for one in everything(app) if one["pk"] == keys.ERASING]
        happen(app, proves("U1", LATER + HOUR, "eve@example.com"))
        assert ada(app).id == EVE
        tick(app, LATER + 2 * HOUR)
        before = figures(app)
        erase(app, now=LATER + 3 * HOUR)
        assert [one for one in everything(app) if one["pk"] == keys.ERASING] == []
        ghosts = [one for one in everything(app) if one["sk"] == keys.PROFILE]
        assert len(ghosts) == len({int(one["ordinal"]) for one in ghosts})
        app.store.mark(DAY, "again", LATER)
        tick(app, LATER + 4 * HOUR)
        assert figures(app) == before


def test_an_address_is_remembered_in_either_form_of_its_domain(app: App) -> None:
    cyrillic, ascii_form = "ada@пример.рф", "ada@xn--e1afmkfd.xn--p1ai"
    happen(app, joins("U1", NOON, profile=Profile(email=cyrillic, email_verified=True)))
    bounced = {address_hash(cyrillic): Suppression(reason="bounce", at=NOON)}
    app.store.change_member(ADA, lambda one: one.model_copy(update={"suppressions": bounced}))
    erase(app)
    happen(app, joins("U9", LATER + A_DAY, profile=Profile(email=ascii_form, email_verified=True)))
    found = app.store.member(member_id_of(Identity("slack", "U9")))
    assert found is not None
    assert suppression_of(found) is not None
