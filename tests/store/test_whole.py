"""The contract leaves nothing out."""

from __future__ import annotations

import re
from pathlib import Path

from shared.store import Store

HERE = Path(__file__).parent


def test_every_method_of_the_store_is_in_its_contract() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in HERE.glob("test_*.py") if file != Path(__file__))
    asked = set(re.findall(r"\bstore\.([a-z]\w*)\(", text))
    methods = {name for name in dir(Store) if not name.startswith("_")}
    assert (methods - asked, asked - methods) == (set(), set())
