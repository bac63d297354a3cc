"""Texts in one of Unicode's forms, in time that grows with their length, whatever strangers write. Pure."""

import re
from typing import Final
from unicodedata import combining, normalize

MOST_MARKS: Final = 30
"""Marks in a row that are put in order: Unicode's stream-safe text format (UAX #15, 13). No language has more."""
_JOINER: Final = "\N{COMBINING GRAPHEME JOINER}"
_RUNS: Final = re.compile(rf"(?:[^\w\s\0-\u02ff]|[\uff9e\uff9f]){{{MOST_MARKS + 1},}}")
"""All runs of marks that are too long, and others."""
_BECOME_MARKS: Final = frozenset("\u0f73\u0f75\u0f81\uff9e\uff9f")
"""What is no mark, and is made of marks."""
_UNSEEN: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""What nobody sees: Unicode's Default_Ignorable_Code_Point. Zero-width characters, marks of direction, soft hyphens,
byte order marks, variation selectors, tags, fillers."""


def composed(text: str) -> str:
    """Return a text in the form NFKC; of longer runs of marks every thirty by themselves.

    Python puts a run of marks in order in quadratic time: 64 KiB of them would take seconds.
    """
    return normalize("NFKC", text if text.isascii() else _RUNS.sub(_in_pieces, text))


def without_unseen(text: str) -> str:
    """Return a text without what nobody sees."""
    return text if text.isascii() else _UNSEEN.sub("", text)


def _in_pieces(run: re.Match[str]) -> str:
    pieces: list[str] = []
    marks = 0
    for character in run[0]:
        marks = marks + 1 if combining(character) or character in _BECOME_MARKS else 0
        if marks > MOST_MARKS:
            pieces.append(_JOINER)
            marks = 1
        pieces.append(character)
    return "".join(pieces)
