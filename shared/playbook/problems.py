"""How the playbook's rules say what is wrong: several problems at once, each with its place below the model."""

from __future__ import annotations

from collections.abc import Iterable

from shared.errors import Problem


class FoundError(ValueError):
    """Problems found by a whole-model rule, each with its own path below the model."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("; ".join(map(str, problems)))


def raise_problems(problems: list[Problem]) -> None:
    """Fail a model's validation with these problems, if there are any."""
    if problems:
        raise FoundError(problems)


def names(allowed: Iterable[str]) -> str:
    """Names as a message lists them."""
    return ", ".join(allowed) or "none"
