"""The mail to the managers when marketing mail has paused: why, on what figures, and how to go on."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from shared.mail import Composed, Mails
from shared.wording import Wording
from tests.unit.letters import PAUSED, written_for

REASONS = ["bounces", "complaints", "account_suspended", "sending_paused"]


def told(mails: Mails, locale: str = "en", **figures: Any) -> Composed:
    return written_for(mails, "mail_paused", locale=locale, figures={**PAUSED, **figures})


@pytest.mark.parametrize("locale", ["en", "ru"])
@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_is_whole_and_tells_how_to_go_on(mails: Mails, locale: str, reason: str) -> None:
    got = told(mails, locale, reason=reason)
    for part in (got.html, got.text):
        assert "flywheel resume" in part
        assert re.search("Nothing is lost|Ничего не потеряно", part)
        assert re.search("Service mail goes on|Служебные письма", part)
        assert not re.search(r"{{|}}|{%|%}|None", part)
    assert got.html.count("<table") == got.html.count("</table")
    assert len(got.html.encode()) < 90_000


@pytest.mark.parametrize("locale", ["en", "ru"])
def test_reasons_read_differently(mails: Mails, locale: str) -> None:
    bodies = [told(mails, locale, reason=reason).text for reason in REASONS]
    subjects = [told(mails, locale, reason=reason).subject for reason in REASONS]
    assert len(set(bodies)) == 4
    assert len(set(subjects)) == 3


@pytest.mark.parametrize(
    ("locale", "lines"),
    [
        ("en", ["5.6% bounced. We stop at 4%", "* Sent: 412", "* Bounced: 23 (5.6%)", "* Reported as spam: 1 (0.24%)"]),
        (
            "ru",
            ["не дошло 5,6\u00a0% писем", "* Отправлено: 412", "* Не доставлено: 23 (5,6\u00a0%)", "1 (0,24\u00a0%)"],
        ),
    ],
)
def test_figures_are_told_as_people_write_them(mails: Mails, locale: str, lines: list[str]) -> None:
    got = told(mails, locale)
    assert [line for line in lines if line not in got.text] == []
    assert all(number in got.html for number in ("412", "23 (5"))


def test_complaints_are_held_against_their_own_line(mails: Mails) -> None:
    got = told(mails, reason="complaints", sends=1000, complaints=2)
    assert "0.2% was reported as spam. We stop at 0.08%" in got.text


@pytest.mark.parametrize("locale", ["en", "ru"])
def test_without_sends_there_are_no_figures(mails: Mails, locale: str) -> None:
    got = told(mails, locale, reason="account_suspended", sends=0, bounces=0, complaints=0)
    assert "\n* " not in got.text
    assert not re.search(r"Bounced|Не доставлено", got.html)


@pytest.mark.parametrize(
    ("hours", "phrase"), [(1, "За 1 час "), (2, "За 2 часа "), (24, "За 24 часа "), (48, "За 48 часов ")]
)
def test_window_takes_the_right_form(mails: Mails, hours: int, phrase: str) -> None:
    assert phrase in told(mails, "ru", hours=hours).text


@pytest.mark.parametrize("wrong", [{"reason": "boredom"}, {"sends": -1}, {"hours": 0}, {"clicks": 1}])
def test_figures_of_something_else_are_refused(mails: Mails, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        told(mails, **wrong)


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 412, "0%"),
        (23, 412, "5.6%"),
        (4, 100, "4%"),
        (1, 1250, "0.08%"),
        (100, 100, "100%"),
        (10, 100, "10%"),
        (0, 0, ""),
    ],
)
def test_share_is_as_fine_as_it_must_be(mails: Mails, part: int, whole: int, said: str) -> None:
    wording: Wording = mails.wording("en")
    assert wording.share(part, whole) == said
