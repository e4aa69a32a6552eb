"""What is kept of a message instead of its text: its length, and a few marks that mean the same in every language."""

from __future__ import annotations

import re
from functools import lru_cache

from shared.events import Body, Sentiment

_LINK = re.compile(r"https?://\S+")
_EMOJI_NAME = re.compile(r"(?<!\w):([a-z0-9_+-]{1,40}):(?!\w)")
_QUESTION_MARK = re.compile("[?？؟՞፧⁇⁈⁉\u037e]")

# Only emoji whose feeling hardly anybody would dispute: laughter, sobbing, fire and skulls are left out.
_POSITIVE = {
    "👍": "+1 thumbsup", "👏": "clap", "🙌": "raised_hands", "🙏": "pray folded_hands", "🎉": "tada party_popper",
    "❤": "heart", "🧡": "orange_heart", "💛": "yellow_heart", "💚": "green_heart", "💙": "blue_heart",
    "💜": "purple_heart", "💯": "100", "😀": "grinning grinning_face", "😃": "smiley", "😄": "smile", "😁": "grin",
    "😊": "blush", "🙂": "slightly_smiling_face", "😍": "heart_eyes", "🤩": "star-struck star_struck",
    "🥰": "smiling_face_with_3_hearts smiling_face_with_three_hearts", "🥳": "partying_face", "🤗": "hugging_face hugs",
}  # fmt: skip
_NEGATIVE = {
    "👎": "-1 thumbsdown", "💔": "broken_heart", "😠": "angry", "😡": "rage pout", "😞": "disappointed", "😢": "cry",
    "🙁": "slightly_frowning_face", "☹": "white_frowning_face frowning_face", "😒": "unamused", "😣": "persevere",
    "🤬": "face_with_symbols_on_mouth cursing_face", "🤢": "nauseated_face", "🤮": "face_vomiting vomiting_face",
}  # fmt: skip


def _feelings() -> dict[str, int]:
    told: dict[str, int] = {}
    for table, weight in ((_POSITIVE, 1), (_NEGATIVE, -1)):
        for sign, names in table.items():
            told |= dict.fromkeys((sign, *names.split()), weight)
    return told


_WEIGHT = _feelings()
_PICTURE = re.compile("[\u2600-\u27bf\U0001f300-\U0001faff]")
"""Where every emoji above lies: two ranges are found ten times as fast as forty single characters."""


def measure(text: str) -> Body:
    """Measure a message: its length in characters, and its flags; code and links ask no questions and feel nothing."""
    prose, fenced, quoted = text, False, False
    if "`" in text:
        prose, fenced = _without(text, "```")
        prose, quoted = _without(prose, "`")
    words = _LINK.sub(" ", prose) if "://" in prose else prose
    asks = "?" in words if words.isascii() else _QUESTION_MARK.search(words) is not None
    return _body(len(text.strip()), words != prose, asks, fenced or quoted, _sentiment(words))


@lru_cache(maxsize=1 << 12)
def _body(length: int, has_link: bool, has_question: bool, has_code: bool, sentiment: Sentiment | None) -> Body:  # noqa: FBT001
    """The value of these measures: most messages have those of one before."""
    return Body(length=length, has_link=has_link, has_question=has_question, has_code=has_code, sentiment=sentiment)


def feeling(emoji: str) -> Sentiment | None:
    """What a reaction says, by its short name (`+1`, `clap::skin-tone-2`) or as the emoji itself; None: unclear."""
    name = emoji.split("::", maxsplit=1)[0].strip(":")
    weight = _WEIGHT.get(name) or _WEIGHT.get(name[:1], 0)
    return _named(weight) if weight else None


def _sentiment(words: str) -> Sentiment | None:
    signs = [] if words.isascii() else _PICTURE.findall(words)
    names = _EMOJI_NAME.findall(words) if ":" in words else []
    weights = [_WEIGHT[sign] for sign in (*signs, *names) if sign in _WEIGHT]
    return _named(sum(weights)) if weights else None


def _named(weight: int) -> Sentiment:
    return "positive" if weight > 0 else "negative" if weight < 0 else "neutral"


def _without(text: str, fence: str) -> tuple[str, bool]:
    """The text outside pairs of a fence, and whether there was such a pair."""
    pieces = text.split(fence)
    if len(pieces) < 3:
        return text, False
    if len(pieces) % 2 == 0:  # the last fence has no partner
        pieces[-2:] = [fence.join(pieces[-2:])]
    return " ".join(pieces[::2]), True
