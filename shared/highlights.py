"""What was published since a member was last seen and may bring them back. Pure: choosing, not fetching or wording."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from heapq import merge
from typing import get_args

from shared.events import HighlightKind
from shared.model import News
from shared.playbook import Playbook

KINDS: tuple[HighlightKind, ...] = get_args(HighlightKind)


def highlights_of(news: Iterable[News], playbook: Playbook, since: datetime, now: datetime) -> list[News]:
    """The newest of each kind, newest first: what is in `news` and what the playbook tells of, one page once.

    Published after `since` and not after `now`. `news` must come newest first; it is read only as far as
    the choice needs, so that it may be paged from a store.
    """
    chosen: dict[HighlightKind, News] = {}
    for one in merge(news, _from_playbook(playbook), key=lambda each: each.published_at, reverse=True):
        if one.published_at <= since:
            break
        if one.published_at > now or one.kind in chosen or not _is_new_page(one, chosen.values()):
            continue
        chosen[one.kind] = one
        if len(chosen) == len(KINDS):
            break
    return list(chosen.values())


def _from_playbook(playbook: Playbook) -> list[News]:
    told = [
        News(kind=one.kind, titles=one.title, url=str(one.url), published_at=one.published_at)
        for one in playbook.content.highlights
    ]
    return sorted(told, key=lambda one: one.published_at, reverse=True)


def _is_new_page(one: News, chosen: Iterable[News]) -> bool:
    """Whether a mail may link to it, which takes a web page, and does not yet."""
    return bool(re.match(r"https?://\S+$", one.url)) and all(one.url != other.url for other in chosen)
