"""Whatever comes in whatever order: the same member in the end, and no mail after a recorded no."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from itertools import count
from typing import Any, Literal
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shared import feedback
from shared.addresses import address_hash
from shared.app import App
from shared.links import visit
from shared.members import consents, decide, fold, suppress
from shared.model import Consent, Identity, Member, PlannedMail, SendId, SendStatus, Suppression
from shared.playbook import check
from shared.react import react
from shared.sending import send_planned
from shared.store import keys
from shared.visits import Visit
from tests.aws.conftest import Wire
from tests.builders import JOINED, a_member, posted, raw_playbook

Kind = Literal["subscribe", "old page", "unsubscribe", "bounce", "complaint", "return", "send"]

MINUTE = timedelta(minutes=1)
_numbers = count()


@dataclass(frozen=True)
class Step:
    """Something that is recorded now, and happened `ago` minutes before."""

    kind: Kind
    ago: int


steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(["subscribe", "old page", "unsubscribe", "bounce", "complaint", "return", "send", "send"]),
        st.integers(0, 30),
    ),
    min_size=1,
    max_size=9,
)


@pytest.fixture
def boundless(app: App) -> App:
    """An App whose playbook limits nothing but by consent and address."""
    raw = raw_playbook()
    raw["limits"] = {"a_day": "20", "a_week": "100"}
    raw["onboarding"] |= {"min_gap": "0h", "stale_after": "90d"}
    app.playbook = check(raw, source="playbook")
    return app


class Life:
    """One member to whom all this happens, through the very doors it comes by."""

    def __init__(self, app: App) -> None:
        self.app = app
        number = next(_numbers)
        self.actor, self.email = f"U{number}", f"m{number}@example.com"
        self.member = a_member(
            id=f"mlife{number}", identities=frozenset({f"slack:{self.actor}"}), email=self.email, created_at=JOINED
        )
        app.store.create_member(self.member)
        app.store.own(keys.identity(Identity("slack", self.actor)), self.member.id)
        sent = send_planned(self.planned("0"), app, JOINED)
        assert sent.status is SendStatus.SENT
        self.page = self._preferences("GET", b"", JOINED)  # left open, to be saved as it is one day

    def planned(self, occurrence: str) -> PlannedMail:
        send_id = SendId("onboarding", "digest", self.member.id, occurrence)
        return PlannedMail(send_id=str(send_id), mail="digest", planned_at=JOINED)

    def happens(self, kind: Kind, now: datetime, at: datetime, occurrence: str) -> bool:
        """Record it; whether a mail was accepted."""
        match kind:
            case "subscribe":
                self._save(self._preferences("GET", b"", now), [*self.app.playbook.categories], now)
            case "old page":
                self._save(self.page, re.findall(r'value="(\w+)"[^>]* checked', self.page), now)
            case "unsubscribe":
                token = self.app.signer.sign("unsubscribe", self.member.id)
                self._visit("POST", f"u/{token}", b"List-Unsubscribe=One-Click", now)
            case "bounce" | "complaint":
                self._tell(kind, at, now)
            case "return":
                event = posted(id=f"slack:{self.actor}:{occurrence}", actor=self.actor, at=at)
                assert react([event], self.app, now) == {}
            case "send":
                return send_planned(self.planned(occurrence), self.app, now).status is SendStatus.SENT
        return False

    def _preferences(self, method: str, form: bytes, now: datetime) -> str:
        token = self.app.signer.sign("preferences", self.member.id)
        return self._visit(method, f"p/{token}", form, now)

    def _save(self, page: str, ticked: Sequence[str], now: datetime) -> None:
        shown = re.findall(r'<input type="hidden" name="(\w+)" value="(\w+)">', page)
        form = urlencode([*shown, *(("take", key) for key in ticked), ("choice", "save")])
        self._preferences("POST", form.encode(), now)

    def _visit(self, method: str, path: str, form: bytes, now: datetime) -> str:
        page = visit(Visit(method=method, path=path, query={}, form=form), self.app, now)
        assert page.status == 200
        return page.html

    def _tell(self, kind: str, at: datetime, now: datetime) -> None:
        about: dict[str, Any] = {"timestamp": at.isoformat()}
        about |= {"bounceType": "Permanent", "bounceSubType": "General"} if kind == "bounce" else {}
        mail = {
            "tags": {"send": [SendId("onboarding", "digest", self.member.id, "0").tag]},
            "messageId": "ses-1",
            "timestamp": at.isoformat(),
            "destination": [self.email],
        }
        [found] = feedback.read({"detail": {"eventType": kind.capitalize(), "mail": mail, kind: about}})
        feedback.note(found, self.app, now)


Change = Callable[[Member], Member]


def change(step: Step, at: datetime, member: Member, app: App) -> Change:
    """What a step changes, whenever it is carried out. Subscribing is for what the page showed as switched off."""
    off = [key for key in app.playbook.categories if not consents(member, key)]
    match step.kind:
        case "subscribe":
            yes = Consent(given=True, at=at)
            return lambda one: reduce(lambda folded, key: decide(folded, key, yes), off, one)
        case "unsubscribe" | "complaint":
            return lambda one: decide(one, "all", Consent(given=False, at=at))
        case "bounce":
            bounced = Suppression(reason="bounce", at=at)
            return lambda one: suppress(one, address_hash(one.email or ""), bounced)
        case "return":
            return lambda one: fold(one, posted(at=at))
        case "send" | "old page":
            return lambda one: one


def in_order_of_time(member: Member, changes: Sequence[tuple[datetime, Change]]) -> Member:
    """The member if all had been recorded as it happened."""
    in_order = sorted(changes, key=lambda one: one[0])
    return reduce(lambda folded, one: one[1](folded), in_order, member)


@pytest.mark.shows(13, 29)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(told=[Step("unsubscribe", 0), Step("send", 0)])
@example(told=[Step("unsubscribe", 0), Step("old page", 0), Step("send", 0)])
@example(told=[Step("unsubscribe", 0), Step("subscribe", 0), Step("complaint", 5), Step("send", 0)])
@example(told=[Step("subscribe", 0), Step("complaint", 0), Step("send", 0), Step("bounce", 9), Step("send", 0)])
@given(told=steps)
def test_any_interleaving_ends_as_in_order_of_time(boundless: App, wire: Wire, told: list[Step]) -> None:
    life, changes = Life(boundless), list[tuple[datetime, Change]]()
    for number, step in enumerate(told, start=1):
        now = JOINED + number * 40 * MINUTE
        at = now - step.ago * MINUTE if step.kind in {"bounce", "complaint", "return"} else now
        so_far = in_order_of_time(life.member, changes)
        may = consents(so_far, "onboarding") and not so_far.suppressions
        wire.requests.clear()
        accepted = life.happens(step.kind, now, at, str(number))
        assert (wire.requests["SendEmail"] == 1) is accepted
        assert accepted is (step.kind == "send" and may)
        changes.append((at, change(step, at, so_far, boundless)))
    found, wanted = boundless.store.member(life.member.id), in_order_of_time(life.member, changes)
    assert found is not None
    assert essence(found, boundless) == essence(wanted, boundless)


def essence(member: Member, app: App) -> dict[str, object]:
    """What decides what a member gets; of activity only the day is kept."""
    return {
        "takes": {key: consents(member, key) for key in app.playbook.categories},
        "suppressed": {address: one.at for address, one in member.suppressions.items()},
        "seen": member.last_active_at and member.last_active_at.date(),
    }
