"""What was changed between two texts, word by word: by Myers' algorithm, with an end to what it may cost.

Python's ``difflib`` takes cubic time for texts that say one word over and over, and such texts are written by callers.
``static/review.js`` does the same while somebody types.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from gateway.api.pages.review_messages import visible, weight_of

Kind = Literal["same", "del", "ins"]
Step = tuple[Kind, str]
MOST_CHANGES: Final = 400
"""Words taken out and put in, beyond which the two are shown as wholes."""
MOST_WORDS: Final = 8_000
MOST_WEIGHT: Final = 12_288
SHORT: Final = 3
"""Letters between two changes that are read more easily as a part of both."""
AROUND: Final = 160
"""Characters of what did not change, on either side of a change."""
_WORD: Final = re.compile(r"[^\s!-/:-@\[-^`{-~\u2000-\u206f\u3000-\u9fff\uac00-\ud7af\uff00-\uff65]+|\s+|.", re.DOTALL)
"""Letters and digits together, blanks together, anything else by itself: also the letters of scripts without blanks."""


@dataclass(frozen=True, slots=True)
class Change:
    """A run of words that stayed, were taken out or were put in."""

    kind: Kind
    text: str


def changes(before: str, after: str) -> tuple[Change, ...]:
    """Return what makes ``after`` of ``before``, in order; nothing where they are the same."""
    if before == after:
        return ()
    old, new = _WORD.findall(before), _WORD.findall(after)
    begin = _alike(old, new)
    end = _alike(old[begin:][::-1], new[begin:][::-1])
    middle = _edits(old[begin : len(old) - end], new[begin : len(new) - end])
    same_before: list[Step] = [("same", word) for word in old[:begin]]
    same_after: list[Step] = [("same", word) for word in old[len(old) - end :]]
    return tuple(_joined([*same_before, *middle, *same_after]))


def shown(found: Sequence[Change]) -> tuple[Change, ...]:
    """Return changes as a page has room for: what stayed is cut in its middle, control characters are seen."""
    cut, left = [], MOST_WEIGHT
    for number, change in enumerate(found):
        text = visible(change.text)
        if change.kind == "same":
            text = _cut(text, is_first=number == 0, is_last=number == len(found) - 1)
        left -= weight_of(text)
        if left < 0:
            cut.append(Change("same", " … and more"))
            break
        cut.append(Change(change.kind, text))
    return tuple(cut)


def _cut(text: str, *, is_first: bool, is_last: bool) -> str:
    before, after = ("" if is_first else text[:AROUND]), ("" if is_last else text[-AROUND:])
    return text if len(text) <= len(before) + len(after) + AROUND else f"{before} … {after}"


def _alike(old: Sequence[str], new: Sequence[str]) -> int:
    """Return how many words two lists begin with alike."""
    for number, (one, other) in enumerate(zip(old, new, strict=False)):
        if one != other:
            return number
    return min(len(old), len(new))


def _edits(old: Sequence[str], new: Sequence[str]) -> list[Step]:
    steps = _myers(old, new) if len(old) + len(new) <= MOST_WORDS else None
    out: list[Step] = [("del", word) for word in old]
    put: list[Step] = [("ins", word) for word in new]
    return [*out, *put] if steps is None else steps


def _myers(old: Sequence[str], new: Sequence[str]) -> list[Step] | None:
    """Return the fewest words to take out and put in; None: they are too many."""
    furthest, trail = {1: 0}, []
    for changed in range(min(len(old) + len(new), MOST_CHANGES) + 1):
        trail.append(dict(furthest))
        for diagonal in range(-changed, changed + 1, 2):
            down = diagonal == -changed or (diagonal != changed and furthest[diagonal - 1] < furthest[diagonal + 1])
            x = furthest[diagonal + 1] if down else furthest[diagonal - 1] + 1
            y = x - diagonal
            while x < len(old) and y < len(new) and old[x] == new[y]:
                x, y = x + 1, y + 1
            furthest[diagonal] = x
            if x >= len(old) and y >= len(new):
                return _walked_back(old, new, trail)
    return None


def _walked_back(old: Sequence[str], new: Sequence[str], trail: Sequence[dict[int, int]]) -> list[Step]:
    x, y = len(old), len(new)
    steps: list[Step] = []
    for changed in range(len(trail) - 1, -1, -1):
        furthest, diagonal = trail[changed], x - y
        down = diagonal == -changed or (diagonal != changed and furthest[diagonal - 1] < furthest[diagonal + 1])
        before = diagonal + 1 if down else diagonal - 1
        x_before = furthest[before] if changed else 0
        y_before = x_before - before if changed else 0
        while x > x_before and y > y_before:
            x, y = x - 1, y - 1
            steps.append(("same", old[x]))
        if changed and down:
            y -= 1
            steps.append(("ins", new[y]))
        elif changed:
            x -= 1
            steps.append(("del", old[x]))
    return steps[::-1]


def _joined(steps: Sequence[Step]) -> Iterator[Change]:
    """Join runs: a little between two changes belongs to both; what is taken out comes before what is put in."""
    runs = [(kind, "".join(word for _, word in run)) for kind, run in groupby(steps, key=lambda step: step[0])]
    out, put = "", ""
    for number, (kind, text) in enumerate(runs):
        is_between = bool(out or put) and number < len(runs) - 1
        if kind == "same" and (len(text.strip()) > SHORT or not is_between):
            yield from _changed(out, put)
            out = put = ""
            yield Change("same", text)
        else:
            out, put = out + text * (kind != "ins"), put + text * (kind != "del")
    yield from _changed(out, put)


def _changed(out: str, put: str) -> Iterator[Change]:
    if out:
        yield Change("del", out)
    if put:
        yield Change("ins", put)
