"""The sandbox's own tokenizer and prompt cache: counts that behave like a provider's, and are the same on every run.

A token is a run of up to seven letters with the space before it, up to three digits, up to two signs, or a run of
white space: English comes to about 1.3 tokens a word. Joined, the tokens of a text are the text.
"""

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

_TOKEN = re.compile(r" ?[^\W\d_]{1,7}|\d{1,3}| ?(?:[^\w\s]|_){1,2}|\s+")
CACHE_STEP_TOKENS = 128
CACHE_MINIMUM_TOKENS = 1_024
_KEPT_PREFIXES = 50_000
_KEPT_COUNTS = 20_000


def split_tokens(text: str) -> list[str]:
    """Return the tokens of a text."""
    return _TOKEN.findall(text)


def is_token_id(given: object) -> bool:
    """Tell whether a value can be the number of a token in somebody's vocabulary."""
    return isinstance(given, int) and not isinstance(given, bool) and given >= 0


def word_for(token_id: int) -> str:
    """Return a word that stands for somebody's token, and is one token here."""
    return " t" + "".join(chr(ord("a") + int(digit)) for digit in str(token_id)[:6])


@dataclass(frozen=True, slots=True)
class CountedText:
    """A text's tokens, and a hash of it up to each step of 128 of them."""

    tokens: int
    step_hashes: tuple[int, ...]
    whole_hash: int


class PromptCounter:
    """Counts prompts; remembers texts by their hash, since prompts repeat most of themselves."""

    def __init__(self) -> None:
        self._counted: dict[int, CountedText] = {}

    def count(self, text: str) -> CountedText:
        """Return a text's count; from memory where the same text came before."""
        key = hash(text)
        counted = self._counted.get(key)
        if counted is None:
            counted = _counted_text(text, key)
            if len(self._counted) >= _KEPT_COUNTS:
                self._counted.clear()
            self._counted[key] = counted
        return counted


class PromptCache:
    """Remembers which beginnings of prompts one model has seen, as providers' own caches do.

    A prefix counts from 1,024 tokens on, in steps of 128; the oldest are forgotten.
    """

    def __init__(self) -> None:
        self._seen: dict[int, None] = {}

    def cached_tokens(self, seed: Hashable, parts: Iterable[CountedText], part_overhead_tokens: int) -> int:
        """Return how many leading tokens of this prompt were seen before, and remember all of it.

        ``seed`` is what precedes the messages (tools, response format): prompts that differ in it share nothing.
        """
        chain, tokens, cached = hash(seed), 0, 0
        for part in parts:
            tokens += part_overhead_tokens
            for step, step_hash in enumerate(part.step_hashes, start=1):
                cached = max(cached, self._look(hash((chain, step_hash)), tokens + step * CACHE_STEP_TOKENS))
            tokens += part.tokens
            chain = hash((chain, part.whole_hash))
            cached = max(cached, self._look(chain, tokens))
        while len(self._seen) > _KEPT_PREFIXES:
            del self._seen[next(iter(self._seen))]
        return cached // CACHE_STEP_TOKENS * CACHE_STEP_TOKENS if cached >= CACHE_MINIMUM_TOKENS else 0

    def _look(self, key: int, tokens: int) -> int:
        if key in self._seen:
            return tokens
        if tokens >= CACHE_MINIMUM_TOKENS:
            self._seen[key] = None
        return 0


def _counted_text(text: str, whole_hash: int) -> CountedText:
    tokens = split_tokens(text)
    hashes, chain = [], 0
    for start in range(0, len(tokens) - CACHE_STEP_TOKENS + 1, CACHE_STEP_TOKENS):
        chain = hash((chain, *tokens[start : start + CACHE_STEP_TOKENS]))
        hashes.append(chain)
    return CountedText(len(tokens), tuple(hashes), whole_hash)
