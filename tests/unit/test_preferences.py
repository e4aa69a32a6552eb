"""What a choice on the preference page makes of a member: just what was chosen, once, and nothing unheard of."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.members import consents, is_dormant, is_listed
from shared.model import Consent, Member
from shared.playbook import ALL_MARKETING, Playbook, check
from shared.preferences import LEADERBOARD, Choice, carry_out, chosen, hours, later_than, moment_of
from tests.builders import JOINED, a_member, a_playbook, raw_playbook

PLAYBOOK = a_playbook()
KINDS = list(PLAYBOOK.categories)
LATER = JOINED + timedelta(days=1)

kinds = st.frozensets(st.sampled_from(KINDS))
decisions = st.dictionaries(
    st.sampled_from([ALL_MARKETING, *KINDS]),
    st.builds(Consent, given=st.booleans(), at=st.sampled_from([JOINED, LATER, LATER + timedelta(days=1)])),
)
members = st.builds(a_member, consent=decisions, dormant_at=st.sampled_from([None, JOINED + timedelta(hours=1), LATER]))


def choice(shown: Member = a_member(), **changes: Any) -> Choice:  # noqa: B008 - a frozen value
    """The form as it was shown to a member, with everything ticked, language and hour left as they are."""
    fields: dict[str, Any] = {
        "was_on": frozenset(taken(shown)),
        "was_off": frozenset(KINDS) - taken(shown),
        "taken": frozenset(KINDS),
        "nothing": False,
        "language": None,
        "hour": None,
    }
    return Choice(**fields | changes)


def after(member: Member, made: Choice, playbook: Playbook = PLAYBOOK) -> Member:
    return carry_out(member, made, playbook=playbook, at=moment_of(member, LATER))


def taken(member: Member) -> set[str]:
    return {kind for kind in KINDS if consents(member, kind)}


def playbook_with(**limits: Any) -> Playbook:
    raw = raw_playbook()
    raw["limits"].update(limits)
    raw["onboarding"]["send_at"] = raw["reengagement"]["send_at"] = "23:45"  # outside whatever is quiet here
    return check(raw, source="playbook")


no_deadline = settings(deadline=None)


class TestKindsOfMail:
    @no_deadline
    @given(members, kinds)
    def test_exactly_what_is_ticked_holds_afterwards(self, member: Member, ticked: frozenset[str]) -> None:
        assert taken(after(member, choice(member, taken=ticked))) == ticked

    @example(
        member=a_member(dormant_at=JOINED + timedelta(hours=1), consent={"events": Consent(given=True, at=LATER)}),
        ticked=frozenset({"onboarding"}),
        off=False,
    )
    @no_deadline
    @given(members, kinds, st.booleans())
    def test_the_same_choice_again_changes_nothing(self, member: Member, ticked: frozenset[str], off: bool) -> None:  # noqa: FBT001 - hypothesis gives it
        made = choice(member, taken=ticked, nothing=off, language="ru", hour="9")
        once = after(member, made)
        assert after(once, made) is once

    @no_deadline
    @given(members, members, kinds)
    def test_a_box_left_as_it_was_shown_says_nothing(
        self, shown: Member, member: Member, ticked: frozenset[str]
    ) -> None:
        changed = taken(shown) ^ ticked
        saved = taken(after(member, choice(shown, taken=ticked)))
        assert saved == (taken(member) - changed) | (ticked & changed)

    def test_an_old_page_does_not_undo_an_unsubscribe(self) -> None:
        gone = a_member(consent={ALL_MARKETING: Consent(given=False, at=JOINED)})
        assert after(gone, choice(taken=frozenset(KINDS) - {"digest"})) is gone
        assert taken(after(gone, choice(gone, taken=frozenset({"digest"})))) == {"digest"}

    def test_an_old_page_does_not_wake_who_has_unsubscribed_since(self) -> None:
        gone = {ALL_MARKETING: Consent(given=False, at=JOINED)}
        asleep = a_member(dormant_at=JOINED + timedelta(hours=1), consent=gone)
        assert after(asleep, choice()) is asleep

    @no_deadline
    @given(members, kinds)
    def test_the_one_button_switches_all_off(self, member: Member, ticked: frozenset[str]) -> None:
        off = after(member, choice(member, taken=ticked, nothing=True))
        assert taken(off) == set()
        assert not consents(off, "a_kind_of_next_year")

    def test_the_one_button_also_means_what_comes_later(self) -> None:
        one_by_one = after(a_member(), choice(taken=frozenset()))
        assert consents(one_by_one, "a_kind_of_next_year")
        assert not consents(after(one_by_one, choice(nothing=True)), "a_kind_of_next_year")

    def test_only_what_differs_is_decided(self) -> None:
        changed = after(a_member(), choice(taken=frozenset(KINDS) - {"digest"}))
        assert changed.consent == {"digest": Consent(given=False, at=LATER, by="page")}

    def test_a_kind_that_was_not_shown_stays_as_it_was(self) -> None:
        digest = frozenset({"digest"})
        refused = a_member(consent={ALL_MARKETING: Consent(given=False, at=JOINED)})
        assert after(a_member(), choice(was_on=digest, taken=digest)).consent == {}
        assert after(refused, choice(was_on=frozenset(), was_off=digest, taken=frozenset(KINDS))).consent.keys() == {
            ALL_MARKETING,
            "digest",
        }
        asleep = a_member(dormant_at=JOINED + timedelta(hours=1))
        assert after(asleep, choice(was_on=frozenset())) is asleep

    def test_a_kind_that_nobody_knows_is_not_kept(self) -> None:
        strange = choice(was_off=frozenset({*KINDS, "all", "x"}), taken=frozenset({*KINDS, "x"}))
        assert after(a_member(), strange).consent == {}

    def test_ticking_wakes_who_was_written_off(self) -> None:
        asleep = a_member(dormant_at=JOINED + timedelta(hours=1))
        assert not is_dormant(after(asleep, choice()))
        assert is_dormant(after(asleep, choice(taken=frozenset())))


class TestLanguage:
    def test_another_language_is_kept(self) -> None:
        changed = after(a_member(), choice(language="ru"))
        assert (changed.chosen_locale, changed.send_hour, changed.chosen_at) == ("ru", None, LATER)

    @pytest.mark.parametrize("language", [None, "", "en", "de", "EN", "ru-RU"])
    def test_the_same_or_a_strange_one_is_no_choice(self, language: str | None) -> None:
        assert after(a_member(), choice(language=language)) == a_member()


class TestHour:
    def test_the_hours_lie_outside_the_quiet_ones(self) -> None:
        assert list(hours(a_member(), PLAYBOOK).values()) == [None, *range(8, 21)]

    @pytest.mark.parametrize(
        ("quiet", "offered"),
        [
            (None, range(24)),
            ({"from": "13:30", "until": "15:00"}, [*range(14), *range(15, 24)]),
            ({"from": "00:00", "until": "23:30"}, []),
        ],
    )
    def test_any_quiet_hours_leave_the_others(self, quiet: dict[str, str] | None, offered: list[int]) -> None:
        playbook = playbook_with(quiet_hours=quiet, excluded_weekdays=["saturday"])
        assert list(hours(a_member(), playbook).values()) == [None, *offered]

    def test_an_hour_is_kept_and_the_usual_one_again(self) -> None:
        early = after(a_member(), choice(hour="8"))
        assert (early.send_hour, early.chosen_locale) == (8, None)
        assert after(early, choice(hour="")).send_hour is None

    @pytest.mark.parametrize("hour", [None, "99", "-1", "22", "08", "8.5", "٨", "nine"])
    def test_an_hour_not_on_offer_changes_nothing(self, hour: str | None) -> None:
        early = a_member(send_hour=8, chosen_at=JOINED)
        assert after(early, choice(hour=hour)) == early

    def test_an_hour_grown_quiet_stays_until_changed(self) -> None:
        late = a_member(send_hour=22, chosen_at=JOINED)
        assert "22" in hours(late, PLAYBOOK)
        assert after(late, choice(hour="22")) is late


class TestForm:
    def test_the_page_s_own_form_is_read(self) -> None:
        sent = "was_on=events&take=events&was_off=digest&was_on=news&language=ru&hour=&choice=save"
        assert chosen(parse_qs(sent, keep_blank_values=True)) == Choice(
            was_on=frozenset({"events", "news"}),
            was_off=frozenset({"digest"}),
            taken=frozenset({"events"}),
            nothing=False,
            language="ru",
            hour="",
        )

    @pytest.mark.parametrize(
        "sent", ["", "List-Unsubscribe=One-Click", "choice=x", '{"choice": "save"}', "was_on=digest"]
    )
    def test_a_body_without_a_button_is_no_choice(self, sent: str) -> None:
        assert chosen(parse_qs(sent, keep_blank_values=True)) is None

    def test_of_a_repeated_field_the_first_counts(self) -> None:
        made = chosen(parse_qs("choice=save&choice=nothing&hour=9&hour=10&take=a&take=a"))
        assert made is not None
        assert (made.nothing, made.hour, made.taken) == (False, "9", frozenset({"a"}))


class TestMoment:
    def test_a_choice_is_made_now(self) -> None:
        assert moment_of(a_member(chosen_at=JOINED), LATER) == LATER

    @pytest.mark.parametrize("ahead", [timedelta(0), timedelta(hours=1)])
    def test_a_clock_ahead_of_ours_does_not_lose_a_choice(self, ahead: timedelta) -> None:
        member = a_member(consent={"all": Consent(given=False, at=LATER + ahead)}, chosen_at=LATER + ahead)
        changed = after(member, choice(member, taken=frozenset({"digest"}), hour="9"))
        assert (taken(changed), changed.send_hour) == ({"digest"}, 9)

    def test_nothing_recorded_leaves_the_moment(self) -> None:
        assert later_than([], JOINED) == JOINED


class TestTheLeaderboard:
    def ticked(self, member: Member, **changes: Any) -> Member:
        made = choice(member)
        return after(member, choice(member, taken=made.taken | {LEADERBOARD}, **changes))

    def test_a_tick_asks_to_be_named(self) -> None:
        member = self.ticked(a_member(), was_off=frozenset({LEADERBOARD}))
        assert (is_listed(member), member.consent) == (True, {})

    def test_a_box_left_alone_says_nothing(self) -> None:
        refused = a_member(listed=Consent(given=False, at=LATER))
        assert self.ticked(refused, was_on=frozenset({LEADERBOARD})) == refused

    def test_an_unticked_box_takes_the_name_off(self) -> None:
        named = a_member(listed=Consent(given=True, at=LATER))
        assert not is_listed(after(named, choice(named, was_on=frozenset({LEADERBOARD}))))

    def test_a_page_without_the_box_changes_nothing(self) -> None:
        assert after(a_member(), choice()).listed is None

    def test_no_mail_at_all_is_no_word_on_it(self) -> None:
        named = a_member(listed=Consent(given=True, at=LATER))
        assert is_listed(after(named, choice(named, nothing=True, was_on=frozenset({LEADERBOARD}))))
