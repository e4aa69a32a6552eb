"""Guards that are taken away one at a time, in the running code: each must be found missing by a flow or by a seed."""

from __future__ import annotations

import importlib
import inspect
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.builders import ROOT

SEEDS = "seeds"
TESTS = "tests/"
"""A guard whose lack only months with many faults can show."""


@dataclass(frozen=True)
class Mutant:
    """What guard is taken away, where, and by whom that is found: a flow, a meeting, a test, or the seeds.

    Of the seeds it is `first` that finds it. `shows` are the numbers of the classes of failure that it stands against.
    """

    guard: str
    module: str
    old: str
    new: str
    by: str
    first: int = 1
    shows: tuple[int, ...] = ()

    @property
    def file(self) -> str:
        """Where the guard stands."""
        return f"{self.module.replace('.', '/')}.py"


class Unguarded(Exception):
    """A mutant could not be made: what it takes away is not there, or is not code."""


@contextmanager
def without(mutant: Mutant) -> Iterator[None]:
    """Run the code without a guard: the changed functions get the code that they have in the changed file.

    Everybody who holds one of them runs that, whatever they imported it from. Constants that changed are changed in
    every module that took them over.
    """
    whole = (ROOT / mutant.file).read_text(encoding="utf-8")
    if whole.count(mutant.old) != 1:
        raise Unguarded(f"{mutant.guard}: {mutant.old!r} stands {whole.count(mutant.old)} times in {mutant.file}")
    real = importlib.import_module(mutant.module)
    changed = types.ModuleType(mutant.module)
    changed.__dict__.update({"__file__": real.__file__, "__package__": real.__package__})
    sys.modules[mutant.module] = changed  # dataclasses look their module up while they are made
    try:
        exec(compile(whole.replace(mutant.old, mutant.new), str(real.__file__), "exec"), changed.__dict__)  # noqa: S102
    finally:
        sys.modules[mutant.module] = real
    codes = list(_codes(real, changed))
    constants = [] if codes else list(_constants(real, changed))
    if not codes and not constants:
        raise Unguarded(f"{mutant.guard}: nothing of {mutant.file} runs otherwise")
    try:
        for function, _, new in codes:
            function.__code__ = new
        for module, name, _, value in constants:
            setattr(module, name, value)
        yield
    finally:
        for function, old, _ in codes:
            function.__code__ = old
        for module, name, value, _ in constants:
            setattr(module, name, value)


def _codes(real: types.ModuleType, changed: types.ModuleType) -> Iterator[tuple[Any, Any, Any]]:
    """Every function whose code differs, with its own and the other."""
    for name, theirs in vars(real).items():
        if getattr(theirs, "__module__", None) != real.__name__:
            continue
        other = vars(changed).get(name)
        if callable(theirs) and callable(other) and inspect.isfunction(inspect.unwrap(theirs)):
            yield from _one(inspect.unwrap(theirs), inspect.unwrap(other))
        elif inspect.isclass(theirs):
            for attribute, member in vars(theirs).items():
                yield from _one(_function(member), _function(vars(other).get(attribute)))


def _function(member: Any) -> Any:
    if isinstance(member, cached_property):
        return member.func
    return member.fget if isinstance(member, property) else member


def _one(function: Any, other: Any) -> Iterator[tuple[Any, Any, Any]]:
    if inspect.isfunction(function) and inspect.isfunction(other) and _differ(function.__code__, other.__code__):
        yield function, function.__code__, other.__code__


def _differ(code: Any, other: Any) -> bool:
    """Whether two pieces of code do something else; on which line they stand is not asked."""
    if code.co_code != other.co_code or code.co_names != other.co_names or len(code.co_consts) != len(other.co_consts):
        return True
    return any(
        _differ(one, two) if inspect.iscode(one) and inspect.iscode(two) else one != two
        for one, two in zip(code.co_consts, other.co_consts, strict=True)
    )


def _constants(real: types.ModuleType, changed: types.ModuleType) -> Iterator[tuple[types.ModuleType, str, Any, Any]]:
    """Every constant that differs, in every module of ours that has it."""
    for name, value in vars(real).items():
        if not name.isupper() or _same(value, vars(changed).get(name)):
            continue
        for module in list(sys.modules.values()):
            if vars(module).get(name) is value and module.__name__.startswith(("shared.", "functions.")):
                yield module, name, value, vars(changed)[name]


def _same(value: Any, other: Any) -> bool:
    told = [getattr(one, "_user_provided_options", one) for one in (value, other)]  # a client's configuration
    return bool(told[0] == told[1])


STRANGER, STRANGERS, MEMBER = "two batches, one stranger", "two batches, two strangers", "two batches, one member"
TWICE, AGAIN = "a mail twice", "a follow-up and a mail put off again"
DRIP, LOST = "drip, tick to settled", "drip, SES's word lost"
STORE, PARTS, SENDING = "tests/store", "tests/store/test_parts.py", "tests/aws/test_sending.py::TestNotSent"
WEBHOOK, REACTION, REFERRAL, ROLLUP = "webhook to log", "event to reaction", "referral to reward", "rollup"

MUTANTS = (
    # --- the log and the stream
    Mutant(
        "2xx only when it is logged",
        "functions.webhooks",
        "return _reject(platform, 503,",
        "return _reject(platform, 202,",
        WEBHOOK,
        shows=(5,),
    ),
    Mutant(
        "an untimed event is logged once",
        "shared.store.log",
        '{"Put": {"TableName": self._table, "Item": guard, "ConditionExpression": absent}},',
        '{"Put": {"TableName": self._table, "Item": guard}},',
        "tests/aws/test_store.py::TestLog::test_an_event_without_its_own_time_is_logged_once_across_midnight",
        shows=(4,),
    ),
    Mutant(
        "failed records come again",
        "functions.react",
        "again = [number for number, one in logged.items() if one is None or one.id in failed]",
        "again = [number for number, one in logged.items() if one is None and one.id in failed]",
        REACTION,
    ),
    Mutant(
        "a member is made once",
        "shared.store.people",
        'return self._write("put_item", Item=item, ConditionExpression="attribute_not_exists(pk)")',
        'return self._write("put_item", Item=item)',
        STRANGER,
    ),
    Mutant(
        "an identity is put if absent",
        "shared.store.people",
        'taken = self._write_or_old("put_item", Item=item, ConditionExpression="attribute_not_exists(pk)")',
        'taken = self._write_or_old("put_item", Item=item)',
        STRANGERS,
    ),
    Mutant(
        "a member's version",
        "shared.store.people",
        'ConditionExpression="version = :version",',
        'ConditionExpression="version = :version OR version <> :version",',
        MEMBER,
        shows=(20,),
    ),
    # --- the agenda
    Mutant(
        "enqueue before advance",
        "shared.apply",
        "refused = app.queue.put([_planned(mail) for mail in mails]) if mails else frozenset[str]()",
        "refused = frozenset[str]()\n"
        "    for action in [one for actions in decisions for one in actions]:\n"
        "        _apply_one(action, app.store, now)\n"
        "    decisions = [] if not mails or app.queue.put([_planned(mail) for mail in mails]) else []",
        DRIP,
    ),
    Mutant(
        "what the queue refused is not advanced",
        "shared.apply",
        "if any(isinstance(action, SendMail) and str(action.send_id) in refused for action in actions):",
        "if False and any(isinstance(action, SendMail) and str(action.send_id) in refused for action in actions):",
        SEEDS,
    ),
    Mutant(
        "the queue's refusals are read",
        "shared.mailqueue",
        'for failed in got.get("Failed", [])}',
        'for failed in got.get("Nothing", [])}',
        SEEDS,
        shows=(10,),
    ),
    Mutant(
        "an item moves only from where it was read",
        "shared.store.agenda",
        '"ConditionExpression": "version = :version AND due_at = :due_at",',
        '"ConditionExpression": "version = :version OR version <> :version OR due_at = :due_at",',
        AGAIN,
        shows=(17,),
    ),
    Mutant(
        "what is on the agenda is armed once",
        "shared.store.agenda",
        'Item=due_item(due), ConditionExpression="attribute_not_exists(pk)")',
        "Item=due_item(due))",
        f"{STORE}/test_people.py::TestAgenda::test_an_item_is_armed_once[memory]",
    ),
    Mutant(
        "who has read an item that is woken looks again",
        "shared.store.agenda",
        "return brought_forward or self.fence(programme, member_id, item_key)",
        "return brought_forward",
        "a tick and an address",
        shows=(20,),
    ),
    Mutant(
        "who has read an item that is armed looks again",
        "shared.apply",
        "return store.arm(due) or store.fence(due.programme, due.member_id, due.key) or store.arm(due)",
        "return store.arm(due)",
        "the last look and a return",
    ),
    Mutant(
        "who came back meanwhile keeps their timer",
        "shared.apply",
        "if member is None or is_dormant(member):",
        "if member is None or is_dormant(member) or not is_dormant(member):",
        "the last look and a return",
    ),
    # --- the ledger
    Mutant(
        "consent and address in the claim",
        "shared.ledger",
        "reason = why_not(member, mail) or _about_the_past(facts, send_id)",
        "reason = _about_the_past(facts, send_id)",
        f"{SENDING}::test_what_happened_since_the_plan_wins",
        shows=(29,),
    ),
    Mutant(
        "what went out before a merge",
        "shared.ledger",
        "reason = why_not(member, mail) or _about_the_past(facts, send_id)",
        "reason = why_not(member, mail)",
        "tests/unit/test_ledger.py::TestAboutTime::test_a_mail_that_went_out_before_a_merge_does_not_go_again",
    ),
    Mutant(
        "a claim is given back when its mail fails",
        "shared.sending",
        "        if not claim.settled:\n",
        "        if False:\n",
        "tests/aws/test_sending.py::TestWorkers::test_a_failure_before_the_handover_gives_the_claim_back",
    ),
    Mutant(
        "a service mail in doubt goes again",
        "shared.ledger",
        'return "park" if mail_class == "marketing" else "again"',
        'return "park"',
        "report",
    ),
    Mutant(
        "SES has its time to tell",
        "shared.ledger",
        "        return send.at + SEND_EVENT_WINDOW\n",
        "        return send.at\n",
        "tests/unit/test_ledger.py::TestInDoubt::test_nothing_is_decided_before_the_window_is_over",
        shows=(24,),
    ),
    Mutant(
        "one attempt a mail",
        "shared.app",
        'retries={"total_max_attempts": 1}',
        'retries={"total_max_attempts": 3}',
        DRIP,
        shows=(25,),
    ),
    Mutant(
        "the condition on the claim",
        "shared.store.sends",
        'ConditionExpression="attribute_not_exists(pk) OR #status = :deferred"',
        'ConditionExpression="#status <> :deferred OR #status = :deferred"',
        DRIP,
        shows=(8,),
    ),
    Mutant(
        "the lease of a claim",
        "shared.sending",
        "if taken.lease_until is not None and taken.lease_until > now:",
        "if taken.lease_until is not None and taken.lease_until > now and False:",
        TWICE,
        shows=(9,),
    ),
    Mutant(
        "the token on settling",
        "shared.store.sends",
        'ConditionExpression="#token = :token AND #status IN (:held, :settled)",',
        'ConditionExpression="(#token = :token OR #token <> :token) AND #status IN (:held, :settled)",',
        "tests/aws/test_sending.py::TestWorkers::test_who_comes_back_after_the_lease_cannot_settle_another_s_claim",
        shows=(21,),
    ),
    Mutant(
        "look again at what is in doubt",
        "shared.sending",
        "    _look_again(planned, app, now + SEND_EVENT_WINDOW)\n",
        "",
        LOST,
    ),
    Mutant(
        "a lost reply is in doubt",
        "shared.ses",
        'return Outcome("in_doubt", type(exc).__name__)',
        'return Outcome("not_sent", type(exc).__name__)',
        LOST,
        shows=(24,),
    ),
    Mutant(
        "SES's own fault is in doubt",
        "shared.ses",
        'return Outcome("in_doubt", code)',
        'return Outcome("not_sent", code)',
        LOST,
        shows=(24,),
    ),
    Mutant(
        "marketing in doubt is parked",
        "shared.ledger",
        'return "park" if mail_class == "marketing" else "again"',
        'return "again"',
        LOST,
    ),
    Mutant(
        "SES's Send event settles",
        "shared.feedback",
        "app.store.note_sent(feedback.send_id, feedback.message_id, min(feedback.sent_at, now))",
        "pass",
        DRIP,
        shows=(23,),
    ),
    # --- referrals and rewards
    Mutant(
        "a notice goes before it is noted",
        "shared.rewarding",
        "    if rewards:\n        app.notices.put(",
        '    for reward in rewards:\n        app.store.note_reward(reward, "announced_at", now)\n'
        "    if rewards:\n        app.notices.put(",
        REFERRAL,
        shows=(37,),
    ),
    Mutant(
        "a reward is granted once",
        "shared.store.referrals",
        '"ConditionExpression": "attribute_not_exists(pk)"}}',
        "}}",
        f"{STORE}/test_facts.py::TestRewards::test_a_reward_is_granted_once_for_ever_even_after_it_was_taken_back[memory]",
    ),
    # --- measuring
    Mutant(
        "a mark made meanwhile stays",
        "shared.store.rollups",
        '            ConditionExpression="#token = :token",\n'
        '            ExpressionAttributeNames={"#token": "token"},\n'
        '            ExpressionAttributeValues=attributes({":token": mark.token}),\n',
        "",
        "tests/aws/test_rolling.py::TestAgain::test_a_day_marked_again_while_it_is_read_stays_marked",
        shows=(40,),
    ),
    Mutant(
        "one rolls days up at a time",
        "shared.store.rollups",
        'ConditionExpression="attribute_not_exists(pk) OR #until < :at"',
        'ConditionExpression="attribute_not_exists(pk) OR #until < :at OR #until >= :at"',
        "tests/aws/test_rolling_any_order.py::TestCrashes::test_two_ticks_at_once_are_one",
        shows=(20,),
    ),
    # --- what comes in parts
    Mutant(
        "what a batch left unwritten",
        "shared.store.rollups",
        "            if not left:\n                return\n",
        "            return\n",
        f"{PARTS}::test_what_a_batch_left_unwritten_is_written_after_all",
        shows=(10,),
    ),
    Mutant(
        "what a batch left unread",
        "shared.store.table",
        "                if not request:\n                    break\n",
        "                break\n",
        f"{PARTS}::test_what_a_batch_left_unread_is_read_after_all",
        shows=(10,),
    ),
    Mutant(
        "the next page",
        "shared.store.table",
        '            if "LastEvaluatedKey" not in got:\n                return\n',
        "            return\n",
        f"{PARTS}::test_a_page_that_ends_early_is_followed_by_the_next",
    ),
)
