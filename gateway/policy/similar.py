"""Which texts are most like another one: BM25 over a fixed collection, fast enough for the path of a request. Pure."""

import re
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from heapq import nlargest
from itertools import pairwise
from math import log
from sys import byteorder
from typing import Any, Final
from unicodedata import normalize

__all__ = ["QUERY_CHARACTERS", "QUERY_TERMS", "SimilarIndex", "bm25_idf", "terms_of"]

# What bounds the time of `best`, whatever the query is: so much of it is read, and so many of its terms are looked up.
QUERY_CHARACTERS: Final = 3_072
QUERY_TERMS: Final = 256

_K1: Final = 1.2  # how soon the repetitions of a term in a text stop to count
_B: Final = 0.75  # how much a long text must make up for its length

# Weights are fixed-point: 20 bits behind the point, and 12 before it, which 256 terms below 16 do not overflow.
_SCALE: Final = 1 << 20
_LANE_BYTES: Final = 4
# A term that more of the texts have than one in so many is kept as a row with a lane for every text.
_ROW_FROM: Final = 64

# Scripts that put no spaces between words (and Hangul, whose words carry their particles) are read by pairs of
# characters: Thai, Lao, Myanmar, Hangul, Khmer, kana, Han.
_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u318f"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
# Everything else that is no letter, mark, digit, underscore or emoji. Not \W, which has the vowel signs of Hindi in it.
_SEPARATORS: Final = (
    "\x00-/:-@\\[-\\^`{-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\xd7\xf7\u037e\u0387\u055a-\u055f\u0589\u05be\u05c0\u05c3"
    "\u0600-\u060f\u061b-\u061f\u066a-\u066d\u06d4\u0964\u0965\u1361-\u1368\u1680\u2000-\u2bff\u2e00-\u3004"
    "\u3008-\u3040\u30a0\u30fb\ud800-\udfff\ufe00-\ufe6f\ufeff-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uffe0-\uffff"
)
# Pieces of 32 characters at most: composing a long run of combining marks takes quadratic time.
_PIECES: Final = re.compile(f"[^{_SEPARATORS}{_UNSPACED}]{{1,32}}|[{_UNSPACED}]{{1,32}}")
_STARTS_UNSPACED: Final = re.compile(f"[{_UNSPACED}]").match


def terms_of(text: str) -> list[str]:
    """Return the words of a text in order, composed (NFC) and casefolded; of text without spaces, its bigrams.

    A word of more than 32 characters comes in pieces.
    """
    if text.isascii():
        return _PIECES.findall(text.lower())
    pieces = normalize("NFC", " ".join(_PIECES.findall(text))).casefold().split()
    return [term for piece in pieces for term in (_bigrams(piece) if _STARTS_UNSPACED(piece) else (piece,))]


def _bigrams(piece: str) -> list[str]:
    return [first + second for first, second in pairwise(piece)] or [piece]


def bm25_idf(holding: int, texts: int) -> float:
    """Weigh a term that `holding` of so many texts have, by Lucene's variant of the idf, which is never negative."""
    return log(1 + (texts - holding + 0.5) / (holding + 0.5))


class SimilarIndex:
    """A collection that can tell which of its texts are most like a query. Never changes; keeps no text.

    BM25 as in Robertson and Zaragoza, The Probabilistic Relevance Framework (2009), 3.15, with k1 = 1.2, b = 0.75 and
    Lucene's idf. The whole weight of a term in a text is known in advance, so that a query only adds up. Terms that
    many texts have are rows of weights, packed into one long integer each: adding two rows is a single addition, a
    hundred times as fast as a loop. Weights are rounded up to 2^-20: sums are exact in any order, and so are ties.
    """

    __slots__ = ("_ends", "_numbers", "_postings", "_rows", "_texts")

    def __init__(self, texts: Sequence[str]) -> None:
        found = _postings([terms_of(text) for text in texts])
        self._texts = len(texts)
        # Terms are numbered from the rarest to the commonest: first those with postings, then those with rows.
        self._numbers: dict[str, int] = {}
        # A term's postings are positions and weights in turns, side by side: memory in one place is found sooner.
        self._postings, self._ends = array("I"), array("I", [0])
        self._rows: list[int] = []
        for number, (twice, term) in enumerate(sorted([(len(entry), term) for term, entry in found.items()])):
            self._numbers[term] = number
            entry, scale = found.pop(term), _SCALE * bm25_idf(twice // 2, self._texts)
            entry[1::2] = [int(scale * share) + 1 for share in entry[1::2]]
            if twice * _ROW_FROM <= self._texts * 2:
                self._postings.extend(entry)
                self._ends.append(len(self._postings))
            else:
                self._rows.append(_row(entry, self._texts))

    def best(self, query: str, k: int) -> list[int]:
        """Return the positions of the `k` most similar texts, best first; equally similar ones in their own order.

        A text that shares no term with the query is none of them. A term counts once, however often the query has it.
        Of a query with more than `QUERY_TERMS` known terms the rarest count; what follows `QUERY_CHARACTERS` is not
        read. The time is at most proportional to the number of texts.
        """
        if k < 1 or not self._numbers:
            return []
        numbers, postings, ends = self._numbers, self._postings, self._ends
        known = sorted({numbers[term] for term in terms_of(query[:QUERY_CHARACTERS]) if term in numbers})[:QUERY_TERMS]
        rare = len(ends) - 1
        few = bisect_left(known, rare)
        total = sum([self._rows[number - rare] for number in known[few:]])
        scores = memoryview(total.to_bytes(self._texts * _LANE_BYTES, byteorder)).cast("I").tolist()
        for number in known[:few]:
            alternating = iter(postings[ends[number] : ends[number + 1]])
            for position, weight in zip(alternating, alternating, strict=True):
                scores[position] += weight
        best = nlargest(k, range(self._texts), key=scores.__getitem__)
        return [position for position in best if scores[position]]


def _postings(texts: Sequence[Sequence[str]]) -> dict[str, list[Any]]:
    """Return for each term, in turns: a text that has it, and what share of its idf it weighs there."""
    average = sum(map(len, texts)) / max(1, len(texts))
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for position, terms in enumerate(texts):
        damping = _K1 * (1 - _B + _B * len(terms) / average) if average else 0.0
        once = (position, 1 / (1 + damping))
        for term, frequency in Counter(terms).items():
            found[term].extend(once if frequency == 1 else (position, frequency / (frequency + damping)))
    return found


def _row(entry: Sequence[int], texts: int) -> int:
    """Pack the weights of a term into one integer, a lane for each text."""
    lanes = array("I", bytes(_LANE_BYTES * texts))
    alternating = iter(entry)
    for position, weight in zip(alternating, alternating, strict=True):
        lanes[position] = weight
    return int.from_bytes(lanes.tobytes(), byteorder)
