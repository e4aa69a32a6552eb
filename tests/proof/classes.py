"""The 41 ways in which such a machine loses or doubles something: what happens here, and what shows it.

What shows one says so itself: a test by the mark `shows(number)`, a flow, a meeting and a guard by their `shows`.
`python -m tests.proof.classes` writes the README's table anew from that, and a test holds that it is so.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.builders import ROOT
from tests.proof.flows import FLOWS
from tests.proof.meetings import MEETINGS
from tests.proof.mutants import MUTANTS

BEGIN, END = "<!-- what can go wrong: begin -->", "<!-- what can go wrong: end -->"


@dataclass(frozen=True)
class Class:
    """One way to fail. `shown` are tests (`test_...`), flows, meetings, and guards whose lack the proof finds."""

    number: int
    of: str
    fails: str
    happens: str
    shown: tuple[str, ...]


_OF = {1: "webhooks", 8: "queues", 14: "state", 22: "sending", 31: "schedules", 35: "rewards", 39: "measuring"}

_TOLD: tuple[tuple[str, str], ...] = (
    (
        "a sender tries again, with a new timestamp",
        "the event's id is its key in the log: it stands there, and the answer is 2xx",
    ),
    (
        "a signed delivery is replayed",
        "within five minutes it is an event that stands in the log; later it is refused",
    ),
    (
        "the same id comes with another body",
        "what came first stands; the log is put if absent and never written over",
    ),
    (
        "our 2xx is lost",
        "the sender tries again, as in 1",
    ),
    (
        "the process dies before the event is logged",
        "there was no 2xx: the sender tries again",
    ),
    (
        "a wrong signature; a secret is rotated",
        "401, whatever is wrong with it; several secrets hold at once",
    ),
    (
        "a payload that nobody can read",
        "400 at the door; in the stream only that record comes again, and ends among the dead letters",
    ),
    (
        "a message is delivered twice, at the same time too",
        "one claim wins; the other finds it taken",
    ),
    (
        "a message becomes visible while it is worked on",
        "the lease holds the second worker off; it is shorter than the queue's six minutes",
    ),
    (
        "a batch succeeds in parts",
        "only what failed comes again; what a queue or the table did not take is read and tried again",
    ),
    (
        "time runs out in the middle of a batch",
        "no mail is begun in the last 15 seconds; those not begun come again",
    ),
    (
        "dead letters are redriven days later",
        "everything may be redriven, twice too: it meets the same keys and conditions",
    ),
    (
        "things are told out of order",
        "every field moves by the time at which it happened",
    ),
    (
        "the process dies between any two writes",
        "everything that is done may be done again",
    ),
    (
        "a transaction is applied and its reply is lost",
        "done again it is refused by its own condition, which counts as done",
    ),
    (
        "the table is throttled, or transactions collide",
        "the work comes again: by the queue, the stream, the next tick or the sender",
    ),
    (
        "an index is behind",
        "what it shows moves only if its version is still that one; what it lacks comes with the next tick",
    ),
    (
        "an expired item is still read, or is gone early",
        "nothing that a promise rests on expires before all that could repeat it; rewards never",
    ),
    (
        "the workers' clocks differ",
        "the lease is longer than a function runs, by minutes; what a provider dates is kept within bounds",
    ),
    (
        "two workers want the same and one loses",
        "one conditional write wins, the loser changes nothing or folds into what won",
    ),
    (
        "a worker goes on after its lease is over",
        "its token is no longer the one that the ledger has: it settles nothing",
    ),
    (
        "the process dies before SES is called",
        "in doubt, as nobody can know: parked for a person or, of a service mail, sent",
    ),
    (
        "the process dies after SES took the mail",
        "SES's own Send event settles it",
    ),
    (
        "SES's reply is lost, or it answers 5xx",
        "in doubt for 15 minutes, never sent again at once; then its class decides",
    ),
    (
        "the SDK tries again by itself",
        "the client for SES makes one attempt",
    ),
    (
        "SES refuses for now: 429, quota, paused",
        "surely not sent: put off, and tried again by us",
    ),
    (
        "SES refuses for good",
        "parked with SES's own reason, with an alarm",
    ),
    (
        "SES accepts and delivers nothing: suppressed",
        "it is sent by the ledger, the feedback beside it says why nobody got it, and the address gets no more",
    ),
    (
        "a no, a bounce or an erasure between plan and send",
        "consent and address are looked at again in the claim",
    ),
    (
        "SES's events are lost, doubled, early or late",
        "each is noted once, in any order; without the Send event a mail in doubt goes by its class",
    ),
    (
        "a tick is missed or comes twice",
        "what is due stays due; two ticks meet at the version of each item",
    ),
    (
        "everything piles up in an outage",
        "what is too late is skipped with that reason, the rest keeps its gap",
    ),
    (
        "the clocks change; members live elsewhere",
        "their wall clock is kept, through every change",
    ),
    (
        "a deploy changes a step that is under way",
        "the agenda is rearranged once; what is settled stays settled",
    ),
    (
        "two people brought the same friend",
        "the first touch wins, put if absent, for good",
    ),
    (
        "somebody refers themselves, or in a circle",
        "it waits for a person, with the evidence",
    ),
    (
        "a reward is granted and telling of it fails",
        "telling is a notice of its own that comes again until it is taken",
    ),
    (
        "a reward has to be taken back",
        "a second fact with the reason; it is never granted again",
    ),
    (
        "an event is replayed",
        "days are computed from the log, where it stands once",
    ),
    (
        "an event comes after its day is over",
        "it marks its day, which is computed again, and those that follow from it",
    ),
    (
        "the stream delivers twice",
        "nothing is counted from the stream",
    ),
)


def classes() -> Iterator[Class]:
    """All of them, in order. Raises ValueError where something says that it shows one that there is not."""
    shown = _shown()
    if unknown := shown.keys() - range(1, len(_TOLD) + 1):
        raise ValueError(f"there are classes of failure from 1 to {len(_TOLD)}, but {min(unknown)} is said to be shown")
    of = ""
    for number, (fails, happens) in enumerate(_TOLD, start=1):
        of = _OF.get(number, of)
        yield Class(number, of, fails, happens, tuple(shown[number]))


def _shown() -> Mapping[int, list[str]]:
    """By number of a class, the names of all that show it: flows, meetings, guards, and tests by their files."""
    shown: defaultdict[int, list[str]] = defaultdict(list)
    for name, numbers in (
        *((flow.name, flow.shows) for flow in FLOWS.values()),
        *((meeting.name, meeting.shows) for meeting in MEETINGS.values()),
        *((mutant.guard, mutant.shows) for mutant in MUTANTS),
        *_tests(),
    ):
        for number in numbers:
            shown[number].append(name)
    return shown


def _tests() -> Iterator[tuple[str, list[int]]]:
    """Every marked test, in order of files and lines; read, for running it is not asked here."""
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for mark in getattr(node, "decorator_list", []):
                if isinstance(node, ast.FunctionDef) and ast.unparse(mark).startswith("pytest.mark.shows("):
                    yield node.name, [int(ast.literal_eval(number)) for number in mark.args]


def table() -> str:
    """The table as the README has it."""
    lines = ["| # | | what goes wrong | what happens | shown by |", "|---|---|---|---|---|"]
    of = ""
    for one in classes():
        shown = ", ".join(map(_named, one.shown))
        lines.append(f"| {one.number} | {one.of if one.of != of else ''} | {one.fails} | {one.happens} | {shown} |")
        of = one.of
    return "\n".join(lines)


def _named(name: str) -> str:
    if name.startswith("test_"):
        return f"`{name}`"
    kind = "flow" if name in FLOWS else "meeting" if name in MEETINGS else "guard"
    return f"{kind} “{name}”"


def written(readme: str) -> str:
    """The README with the table as it must be."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
