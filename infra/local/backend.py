"""What the owner's own back end tells of people, whatever platform they are on: evenings, orders, tickets, answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from random import Random
from typing import Any

from infra.local.people import START, Person
from infra.local.voices import Delivery, Voice

AS_THE_BACK_END = 800
"""From where on what is told here of somebody is numbered, apart from the rest of their life."""

ORDERS = (
    *((6, 23, 4900, "EUR"), (12, 1, 1900, "EUR"), (34, 20, 1900, "EUR"), (35, 7, 2500, "USD")),
    *((62, 26, 1900, "EUR"), (90, 21, 12900, "EUR"), (121, 25, 1900, "EUR"), (140, 1, 4900, "USD")),
)
"""What is bought: day from START, the number of the person, minor units and currency."""

TICKETS = ((8, 4), (21, 15), (26, 31), (54, 5), (97, 13), (130, 28))
IDEAS = ((28, 9), (76, 22), (133, 0))
"""The day on which what somebody had asked for was made, and their number."""

WORKS = (
    *((13, 10, "case_study"), (20, 22, "template"), (41, 30, "resource"), (44, 6, "success_story")),
    *((47, 1, "tutorial_video"), (52, 0, "qa_thread"), (111, 22, "template")),
)

WORKSHOPS = (1, 2, 7, 8, 30, 31)
"""Days on which a newcomer's staying shows: one, seven and thirty after they joined."""

ANSWERS = (timedelta(minutes=40), timedelta(hours=20), timedelta(days=6), timedelta(days=9))
"""How long the questions of one evening after the other wait for an answer; the last comes too late to count."""

EMOJI = ("thumbsdown", "eyes", "tada")
"""What people react with on an evening: one of each feeling."""


def backend(people: Sequence[Person], evenings: Sequence[int], days: int) -> Iterator[Delivery]:
    """Everything that is told up to day `days`; only who stays anyhow does what counts as activity."""
    told = _Back(people)
    yield from (one for one in told.all(evenings) if one.at < START + timedelta(days=days))


class _Back:
    """The back end, with a voice for each person."""

    def __init__(self, people: Sequence[Person]) -> None:
        self.stay = [one.number for one in people if not one.quirk and one.silent_after is None]
        self.platforms = {one.number: one.platform for one in people}
        self.voices = {one.number: Voice(one, Random(one.number), serial=AS_THE_BACK_END) for one in people}  # noqa: S311 - invented

    def all(self, evenings: Sequence[int]) -> Iterator[Delivery]:
        for day, number, amount, currency in ORDERS:
            order = {"object": f"order-{day}-{number}", "amount": amount, "currency": currency}
            yield from self.of(day, number, "purchase.made", order)
        for day, number in TICKETS:
            yield from self.of(day, number, "ticket.opened", {"object": f"ticket-{day}"})
        for day, number in IDEAS:
            yield from self.of(day, number, "feedback.implemented", {"object": f"idea-{day}"})
        for day, number, form in WORKS:
            yield from self.of(day, number, "content.approved", {"object": f"work-{day}-{number}", "format": form})
        for at, day in enumerate(evenings):
            yield from self.evening(at, day)
            yield from self.question(at, day)
        for day in WORKSHOPS:
            for number in self.stay[::3]:
                yield from self.of(day, number, "event.attended", {"object": f"workshop-{day}"})

    def evening(self, at: int, day: int) -> Iterator[Delivery]:
        """Every other of those who stay is there; one of them solves a question, and reacts."""
        for number in self.stay[at % 2 :: 2]:
            yield from self.of(day, number, "event.attended", {"object": f"evening-{day}"})
        for number in self.stay[at % 3 :: 3][:1]:
            yield from self.of(day, number, "answer.accepted", {"object": f"answer-{day}", "parent": f"question-{day}"})
            reaction = {"object": f"photo-{day}", "emoji": EMOJI[at % len(EMOJI)]}
            yield from self.of(day, number, "reaction.added", reaction)

    def question(self, at: int, day: int) -> Iterator[Delivery]:
        """Somebody asks, talks to themselves, and is answered by somebody else on the same platform."""
        mates = [one for one in self.stay if self.platforms[one] == self.platforms[self.stay[0]]] if self.stay else []
        if len(mates) > 1:
            asks, knows = mates[at % len(mates)], mates[(at + 1) % len(mates)]
            thread, wait = f"thread-{day}", ANSWERS[at % len(ANSWERS)]
            yield from self.of(day, asks, "post.created", {"object": thread, "text": "Which glue holds oak?"})
            more = {"parent": thread, "text": "Hide glue. Thank me later."}
            yield from self.of(day, asks, "comment.created", more, after=timedelta(minutes=5))
            yield from self.of(day, knows, "comment.created", more, after=wait)

    def of(
        self, day: int, number: int, kind: str, told: dict[str, Any], *, after: timedelta = timedelta()
    ) -> Iterator[Delivery]:
        """What is told of a person in the evening of a day, or some time after, if there is such a person."""
        if number in self.voices:
            yield self.voices[number].is_told_of(kind, told, START + timedelta(days=day, hours=13) + after)
