"""Which texts, together, say most of what a collection says. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from math import fsum

from gateway.policy.similar import bm25_idf, terms_of

__all__ = ["cover"]


def cover(texts: Sequence[str], labels: Sequence[str] | None, k: int) -> list[int]:
    """Choose `k` texts for what they cover, and return their positions in the order of choice.

    The first n of them are the choice for n. Labels, where there are any (one for each text), take turns, the rarest
    one first. Within a label each choice adds most to the terms that its choices cover so far, by idf; a term that only
    one text has covers no other text, and weighs nothing. Of equal ones the first is chosen. Of texts with the same
    terms only the first can be chosen. With too large a `k` all others are.

    A greedy choice covers at least 1 - 1/e, 63 %, of what the best choice of as many texts could (Nemhauser, Wolsey and
    Fisher, An analysis of approximations for maximizing submodular set functions, 1978).

    Raises:
        ValueError: there are not as many labels as texts.
    """
    if labels is not None and len(labels) != len(texts):
        raise ValueError(f"{len(texts)} texts have {len(labels)} labels")
    distinct = _distinct(texts)
    holding = Counter(term for terms in distinct.values() for term in terms)
    weights = {term: bm25_idf(count, len(distinct)) for term, count in holding.items() if count > 1}
    groups: dict[str, dict[int, list[str]]] = {}
    for position, terms in distinct.items():
        label = labels[position] if labels is not None else ""
        groups.setdefault(label, {})[position] = [term for term in terms if term in weights]
    # Sorting is stable: of labels that are equally rare the one that comes first has the first turn.
    turns = [_greedy(group, weights) for group in sorted(groups.values(), key=len)]
    chosen: list[int] = []
    while turns and len(chosen) < k:
        drawn = [(turn, next(turn, None)) for turn in turns]
        turns = [turn for turn, position in drawn if position is not None]
        chosen += [position for _, position in drawn if position is not None]
    return chosen[: max(0, k)]


def _distinct(texts: Sequence[str]) -> dict[int, list[str]]:
    """Return the terms, each once, of the texts that are not the same as an earlier one."""
    seen: set[tuple[str, ...]] = set()
    distinct: dict[int, list[str]] = {}
    for position, text in enumerate(texts):
        terms = terms_of(text)
        # A text of nothing but signs is told from others by its signs.
        key = tuple(terms) or ("", text.strip())
        if key not in seen:
            seen.add(key)
            distinct[position] = list(dict.fromkeys(terms))
    return distinct


def _greedy(group: dict[int, list[str]], weights: dict[str, float]) -> Iterator[int]:
    """Yield the positions of a group, each the one that then adds most.

    What a text adds only shrinks as others are chosen, so that an old gain is an upper bound: a text whose gain is up
    to date, and still not below the bounds of the others, is the best (lazy greedy; Minoux 1978).
    """
    covered: set[str] = set()
    # fsum is exact whatever the order: texts that cover the same add the same.
    bounds = [(-fsum(weights[term] for term in terms), position) for position, terms in group.items()]
    heapify(bounds)
    while bounds:
        _, position = bounds[0]
        group[position] = left = [term for term in group[position] if term not in covered]
        entry = (-fsum(weights[term] for term in left), position)
        if entry != bounds[0]:
            heapreplace(bounds, entry)
            continue
        heappop(bounds)
        covered.update(left)
        yield position
