"""What remains of a person: of every event what figures are made of, and of refusals all of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from shared.addresses import address_hash
from shared.erasing import (
    TRIED_AGAIN,
    Ghosts,
    ghost_event,
    ghost_of,
    log_days,
    memories,
    person_of,
    recall,
    remains,
    was_erased,
)
from shared.events import EVENT, CommunityEvent, Profile
from shared.members import consents, suppression_of
from shared.model import Consent, Erased, Identity, Suppression
from shared.store import keys
from shared.tally import tally
from tests.builders import JOINED, a_member, at, joined, posted

NOW = at("2030-06-01T12:00Z")
CANARY = "canary"
ADA = a_member()
GHOSTS = Ghosts(tokens={ADA.id: "a token"})
NEEDED: dict[str, Any] = {
    "score": 9,
    "amount": 900,
    "currency": "EUR",
    "format": "template",
    "kind": "guide",
    "title": CANARY,
    "url": f"https://{CANARY}.example.com/",
}
PROFILE = Profile(name=CANARY, email=f"{CANARY}@example.com", email_verified=True, timezone=CANARY, locale=CANARY)
TEXTS = {"actor", "channel", "invited_by", "comment", "payer", "ref", "code"}


def told_of(kind: type[BaseModel]) -> CommunityEvent:
    """An event of a type, in which everything that may tell of a person does."""
    names = kind.model_fields
    fields = {name: value for name, value in NEEDED.items() if name in names}
    fields |= {name: CANARY for name in TEXTS if name in names}
    fields |= {"profile": PROFILE} if "profile" in names else {}
    fields |= {"utm": {"utm_id": CANARY}} if "utm" in names else {}
    base = {"id": f"x:{CANARY}", "occurred_at": JOINED, "received_at": JOINED, "platform": "slack"}
    return EVENT.validate_python({**base, **fields, "type": names["type"].default})


class TestEvents:
    @pytest.mark.parametrize("kind", get_args(CommunityEvent))
    def test_nothing_that_an_event_told_of_a_person_remains(self, kind: type[BaseModel]) -> None:
        event = told_of(kind)
        assert CANARY in event.model_dump_json()
        assert CANARY not in ghost_event(event, GHOSTS).model_dump_json()

    @pytest.mark.parametrize("kind", get_args(CommunityEvent))
    def test_a_tally_counts_the_same(self, kind: type[BaseModel]) -> None:
        event = told_of(kind)
        ghost, nobody = ghost_event(event, GHOSTS), ghost_of(ADA, GHOSTS)
        before = tally([event], {f"slack:{CANARY}": ADA})
        after = tally([ghost], {f"slack:{ghost.actor}": nobody})
        assert (before.counts, before.active, before.present) == (after.counts, after.active, after.present)
        assert len(before.solved) == len(after.solved)

    def test_a_thread_goes_on_under_its_name(self) -> None:
        assert ghost_event(posted(object="T1"), GHOSTS).object == "T1"


class TestGhosts:
    def test_the_same_token_makes_the_same_names_and_another_others(self) -> None:
        again, other = Ghosts(tokens={ADA.id: "a token"}), Ghosts(tokens={ADA.id: "another"})
        assert again.names == GHOSTS.names
        assert other.names != GHOSTS.names

    def test_the_profile_has_an_ordinal_and_nothing_of_a_person(self) -> None:
        nobody = ghost_of(ADA, GHOSTS)
        assert (nobody.ordinal, nobody.joined_at, nobody.status) == (ADA.ordinal, ADA.joined_at, "removed")
        assert not {nobody.name, nobody.email, nobody.locale, nobody.timezone} - {None}
        assert "U1" not in nobody.model_dump_json()

    def test_an_id_is_renamed_wherever_it_stands(self) -> None:
        item = {
            "pk": "PULSE#2030-01-01T12",
            "sk": f"send#x#onboarding-welcome-{ADA.id}-1",
            "nested": {ADA.id: [ADA.id]},
        }
        left = remains(item, GHOSTS, NOW)
        assert left is not None
        assert ADA.id not in repr(left)
        assert repr(left).count(GHOSTS.names[ADA.id]) == 3

    def test_an_event_that_cannot_be_read_goes(self) -> None:
        item = {"pk": "LOG#2030-01-01#0", "sk": "slack:U1#x", "event": '{"type": "of.another.version"}'}
        assert remains(item, GHOSTS, NOW) is None

    def test_a_guard_that_ends_sooner_ends_no_later(self) -> None:
        item = {"pk": "SEEN#x", "sk": "SEEN", "expires_at": int(NOW.timestamp()) + 60}
        assert remains(item, GHOSTS, NOW) == item
        late = {**item, "expires_at": int((NOW + 2 * TRIED_AGAIN).timestamp())}
        assert remains(late, GHOSTS, NOW) == {**item, "expires_at": int((NOW + TRIED_AGAIN).timestamp())}


class TestDays:
    def test_the_log_is_read_as_far_back_as_it_is_kept_or_they_are_known(self) -> None:
        person = person_of([ADA])
        assert log_days(person, [], NOW)[0] == (NOW - timedelta(days=401)).date()
        long_ago = person_of([a_member(first_post_at=at("2020-05-05T12:00Z"))])
        assert log_days(long_ago, [], NOW)[0] == at("2020-05-04T12:00Z").date()
        assert log_days(person, [], NOW)[-1] == (NOW + timedelta(days=1)).date()


class TestMemory:
    def test_an_erasure_is_a_no_and_keeps_what_was_refused_and_what_bounced(self) -> None:
        hashed = address_hash("ada@example.com")
        refused = {"tips": Consent(given=False, at=JOINED, by="page"), "digest": Consent(given=True, at=JOINED)}
        bounced = {hashed: Suppression(reason="bounce", at=JOINED, by=f"onboarding-welcome-{ADA.id}-1")}
        person = person_of([a_member(consent=refused, suppressions=bounced)])
        remembered = memories(person, NOW)
        assert ADA.id not in "".join(one.model_dump_json() for one in remembered.values())
        back = recall(a_member(created_at=NOW), {keys.hashed_address(hashed): remembered[keys.hashed_address(hashed)]})
        assert suppression_of(back) is not None
        assert not any(consents(back, category) for category in ("tips", "digest"))
        assert back.consent["tips"].at == JOINED

    def test_an_address_that_only_events_tell_of_is_remembered_too(self) -> None:
        event = joined(profile=Profile(email="old@example.com", email_verified=True))
        remembered = memories(person_of([ADA], [event]), NOW)
        assert keys.address("old@example.com") in remembered

    def test_only_what_happened_up_to_the_erasure_is_old(self) -> None:
        marks = {keys.identity(Identity("slack", "U1")): Erased(at=NOW)}
        assert was_erased(posted(at=NOW), marks)
        assert not was_erased(posted(at=NOW + timedelta(seconds=1)), marks)
