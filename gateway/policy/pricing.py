"""What an attempt costs: prices per token, tokens as a provider counted them, and the one rounding between the two."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

MAX_TOKENS: Final = 10**12
"""More than this in one answer is not a count but a fault."""
CHARS_PER_TOKEN: Final = 4
# Responses, images and transcriptions count under names of their own.
_COMPLETIONS_WORDS: Final = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "input_token_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
}


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs, in nano-dollars per token: decimals, since some prices are no whole nano-dollars."""

    input: Decimal
    cached_input: Decimal
    output: Decimal
    version: str
    """Names the source and its state, e.g. ``litellm-1.106.2``; the ledger keeps it beside the cost."""
    source: str
    """Where a person can look the price up."""
    cache_write: Decimal | None = None
    """Input that the provider stored in its cache; None: it costs what other input costs."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt. Input includes what was read from and written to the cache, output includes reasoning."""

    input_tokens: int
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


def cost_nanousd(price: Price, usage: Usage) -> int:
    """Return the cost of one attempt in whole nano-dollars, rounded half to even, once."""
    cached = usage.cached_input_tokens
    plain = usage.input_tokens - cached
    exact = plain * price.input + usage.output_tokens * price.output
    if cached:
        exact += cached * price.cached_input
    if usage.cache_write_tokens and price.cache_write is not None:
        exact += usage.cache_write_tokens * (price.cache_write - price.input)
    return round(exact)


def read_usage(body_usage: object) -> Usage | None:
    """Read the ``usage`` object of an answer: a completion's or an embedding's, or a response's, whose names differ.

    Returns None where there is none, or where a count is absurd (negative, no integer, beyond ``MAX_TOKENS``, parts
    larger than their whole): the caller then estimates, and says so. A zero that the provider wrote stays a zero.
    """
    if not isinstance(body_usage, dict):
        return None
    if "prompt_tokens" not in body_usage and "input_tokens" in body_usage:
        body_usage = {_COMPLETIONS_WORDS.get(name, name): count for name, count in body_usage.items()}
    prompt: Any = body_usage.get("prompt_tokens")
    completion: Any = body_usage.get("completion_tokens")
    total = body_usage.get("total_tokens")
    if completion is None and total == prompt:
        completion = 0  # An embedding has no completion; without a total that agrees, the count is missing.
    prompt_details = body_usage.get("prompt_tokens_details")
    cached, written = _detail(prompt_details, "cached_tokens"), _detail(prompt_details, "cache_write_tokens")
    reasoning = _detail(body_usage.get("completion_tokens_details"), "reasoning_tokens")
    for count in (prompt, completion, cached, written, reasoning):
        # type(), not isinstance(): True is an int.
        if type(count) is not int or not 0 <= count <= MAX_TOKENS:
            return None
    if cached + written > prompt:
        return None
    # xAI counts reasoning beside the completion, not within it; its total tells.
    if reasoning and total == prompt + completion + reasoning:
        completion += reasoning
    if reasoning > completion:
        return None
    return Usage(prompt, cached, written, completion, reasoning)


def _detail(details: Any, name: str) -> Any:
    """Return the named count: 0 where the provider left it out or wrote null, None where ``details`` is no object."""
    if details is None:
        return 0
    if not isinstance(details, dict):
        return None
    count = details.get(name)
    return 0 if count is None else count


def estimate_usage(input_chars: int, output_chars: int) -> Usage:
    """Estimate tokens from characters, rounded up, for an answer whose provider counted nothing.

    Four characters a token is the usual rule for English; rows that rest on it are marked ``estimated``.
    """
    return Usage(-(-input_chars // CHARS_PER_TOKEN), output_tokens=-(-output_chars // CHARS_PER_TOKEN))
