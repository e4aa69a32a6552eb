"""What a member chooses on the preference page: which mail, in which language, at which hour. Pure.

Knows no request and no page; a form comes as names with the values given, and none of them is believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from shared.limits import next_allowed
from shared.members import choose, consents, decide, is_dormant, is_listed, language_of, list_as
from shared.model import Consent, Member
from shared.playbook import ALL_MARKETING, Playbook

USUAL = ""
"""The hour of who leaves it to the community."""

BY_PAGE = "page"
"""What a decision made on a page is recorded to come from."""

LEADERBOARD = "@leaderboard"
"""The box for being named on the leaderboard; no key of a category looks like it."""

_INSTANT = timedelta(microseconds=1)
_BUTTONS = {"save": False, "nothing": True}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The preference form as it was sent: the boxes that it showed, those ticked now, language and hour.

    `was_on` and `was_off` are the boxes as the form showed them, ticked and not: it may be older than the member's
    newest word, so a box left as it was shown says nothing. `nothing` is the button that switches every category off.
    All else is text as sent, None where it was left out.
    """

    was_on: frozenset[str]
    was_off: frozenset[str]
    taken: frozenset[str]
    nothing: bool
    language: str | None
    hour: str | None


def chosen(form: Mapping[str, Sequence[str]]) -> Choice | None:
    """Read the form; None when no button of it was pressed, so that a body from elsewhere switches nothing off."""
    button = _first(form, "choice")
    if button not in _BUTTONS:
        return None
    return Choice(
        was_on=frozenset(form.get("was_on", ())),
        was_off=frozenset(form.get("was_off", ())),
        taken=frozenset(form.get("take", ())),
        nothing=_BUTTONS[button],
        language=_first(form, "language"),
        hour=_first(form, "hour"),
    )


def carry_out(member: Member, choice: Choice, *, playbook: Playbook, at: datetime) -> Member:
    """The member after a choice made at `at`: only what differs is written, so the same choice again changes nothing.

    What the playbook does not know, or the form did not show, stays as it is.
    """
    switched = _switch_off(member, playbook, at) if choice.nothing else _switch(member, choice, playbook, at)
    if not choice.nothing and (listed := _changed(choice, LEADERBOARD)) not in (None, is_listed(member)):
        switched = list_as(switched, Consent(given=bool(listed), at=at, by=BY_PAGE))
    locale, hour, offered = member.chosen_locale, member.send_hour, hours(member, playbook)
    if choice.language in playbook.locales and choice.language != playbook.locale_for(language_of(member)):
        locale = choice.language
    if choice.hour in offered:
        hour = offered[choice.hour]
    if (locale, hour) == (member.chosen_locale, member.send_hour):
        return switched
    return choose(switched, locale=locale, hour=hour, at=at)


def hours(member: Member, playbook: Playbook) -> dict[str, int | None]:
    """The hours to choose from, by the text that a form sends: the usual one, then those outside quiet hours.

    What the member chose before stays on offer, even where quiet hours have come to cover it.
    """
    any_day = playbook.limits.model_copy(update={"excluded_weekdays": []})
    days = [datetime(2000, 1, 1, hour, tzinfo=UTC) for hour in range(24)]
    loud = {moment.hour for moment in days if next_allowed(moment, ZoneInfo("UTC"), any_day) == moment}
    kept = {member.send_hour} - {None}
    return {USUAL: None, **{str(hour): hour for hour in range(24) if hour in loud | kept}}


def moment_of(member: Member, now: datetime) -> datetime:
    """When a choice is made by somebody who has seen how the member stands: after all that stands already."""
    decisions = [*member.consent.values(), *([member.listed] if member.listed else [])]
    return later_than([*(one.at for one in decisions), *filter(None, [member.chosen_at])], now)


def later_than(moments: Iterable[datetime], now: datetime) -> datetime:
    """`now`, or just after the newest of these moments where a clock was ahead of ours."""
    return max([now, *(moment + _INSTANT for moment in moments)])


def _switch(member: Member, choice: Choice, playbook: Playbook, at: datetime) -> Member:
    # What goes off comes first: it may take away the very yes that showed us that the member was back.
    for category in sorted(playbook.categories, key=choice.taken.__contains__):
        wanted, stood = category in choice.taken, consents(member, category)
        changed = _changed(choice, category) is not None
        # A box that stays ticked also asks for mail where we had stopped writing because nothing came back.
        asks = wanted and stood and category in choice.was_on | choice.was_off and is_dormant(member)
        if (changed and wanted != stood) or asks:
            member = decide(member, category, Consent(given=wanted, at=at, by=BY_PAGE))
    return member


def _changed(choice: Choice, box: str) -> bool | None:
    """What a box was changed to, ticked or not; None when it was left as it was shown, or not shown."""
    ticked = box in choice.taken
    return ticked if box in (choice.was_off if ticked else choice.was_on) else None


def _switch_off(member: Member, playbook: Playbook, at: datetime) -> Member:
    if not any(consents(member, category) for category in (ALL_MARKETING, *playbook.categories)):
        return member
    return decide(member, ALL_MARKETING, Consent(given=False, at=at, by=BY_PAGE))


def _first(form: Mapping[str, Sequence[str]], name: str) -> str | None:
    return next(iter(form.get(name, ())), None)
