"""How much of a target's context window a pack may take, and what its requests cost. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.errors import ConfigError
from gateway.policy.pricing import Price, Usage, cost_nanousd

ASSUMED_WINDOW: Final = 16_000
"""What a model is taken to read at least, where its window is not known."""
CACHEABLE: Final = 1_024
"""Providers' caches keep prefixes of at least so many equal tokens."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Tokens."""

    tokens: int
    """For instructions, fixed and similar examples."""
    window: int
    for_request: int
    """Kept free: the longest input and the longest answer among the rows."""
    window_is_known: bool


@dataclass(frozen=True, slots=True)
class Fitted:
    """What fits a budget."""

    fixed: tuple[int, ...]
    """Positions of the fixed examples."""
    similar_tokens: int


@dataclass(frozen=True, slots=True)
class RequestCost:
    """Nano-dollars a request."""

    cold: int
    """Nothing is in the provider's cache."""
    warm: int
    """The prefix is."""


def budget_of(window: int | None, for_request: int, asked: int | None) -> Budget:
    """Return the budget: what a window leaves beside a request, or less where less is asked for.

    Raises:
        ConfigError: the window leaves nothing.
    """
    known = window is not None
    window = ASSUMED_WINDOW if window is None else window
    left = window - for_request
    if left <= 0:
        raise ConfigError(
            f"the longest input and answer of the rows take {for_request:,} tokens, and the target's window "
            f"{'has' if known else 'is taken to have'} {window:,}: leave such rows out, or choose another target"
        )
    return Budget(left if asked is None else min(asked, left), window, for_request, known)


def fit(
    budget: int, instructions: int, examples: Sequence[int], fixed: int, similar: int, similar_tokens: int | None
) -> Fitted:
    """Choose fixed examples, the first ones that fit, and the room of the similar ones.

    Args:
        budget: for all of them.
        instructions: their tokens.
        examples: each one's tokens, in the order in which they are to be chosen.
        fixed: how many are wanted.
        similar: how many similar examples may go into a request.
        similar_tokens: their room; None: so many times the 90th percentile of the examples that are not fixed.

    Raises:
        ConfigError: the instructions alone are too long.
    """
    left = budget - instructions
    if left < 0:
        raise ConfigError(
            f"the instructions take {instructions:,} tokens, and there is room for {budget:,}: shorten them, or raise "
            "--budget-tokens"
        )
    usual = room_for_similar(examples[fixed:], similar)
    similar_tokens = min(usual if similar_tokens is None or not similar else similar_tokens, left)
    left -= similar_tokens
    chosen: list[int] = []
    for position, tokens in enumerate(examples):
        if len(chosen) == fixed:
            break
        if tokens <= left:
            chosen.append(position)
            left -= tokens
    return Fitted(tuple(chosen), similar_tokens)


def room_for_similar(pool: Sequence[int], similar: int) -> int:
    """Return the tokens of so many examples of a pool, each taken to be as long as its 90th percentile."""
    return similar * sorted(pool)[-(-9 * len(pool) // 10) - 1] if pool else 0


def request_cost(price: Price, prefix: int, rest: int, answer: int) -> RequestCost:
    """Return what a request costs with and without its prefix in the provider's cache, all counts in tokens.

    A prefix that is too short for a cache costs the same both times.
    """
    cached = prefix if prefix >= CACHEABLE else 0
    cold = Usage(prefix + rest, cache_write_tokens=cached, output_tokens=answer)
    warm = Usage(prefix + rest, cached_input_tokens=cached, output_tokens=answer)
    return RequestCost(cost_nanousd(price, cold), cost_nanousd(price, warm))
