"""How likely each token was: made up, from the token alone, and the same on every run."""

import math
from collections.abc import Sequence
from typing import Any

from gateway.sandbox.skills import draw

_ALTERNATIVES = (
    " the", " a", " and", ".", " to", " of", " in", ",", " is", " it", " for", " on", " you", " that", " with", " as",
    " at", " by", " or", " be", " are",
)  # fmt: skip


def token_logprobs(tokens: Sequence[str], alternatives: int) -> list[dict[str, Any]]:
    """Return each token's logarithmic probability, and those of so many tokens that could have stood in its place."""
    return [_of(token, alternatives) for token in tokens]


def _of(token: str, alternatives: int) -> dict[str, Any]:
    likely = 0.5 + 0.5 * draw("logprob", token)
    others = [other for other in _ALTERNATIVES if other != token]
    top = [(token, likely)]
    # Each is half as likely as the one before, so that all of them stay below what is left.
    top += [(other, (1 - likely) / 2 ** (place + 1)) for place, other in enumerate(others)]
    named = [_entry(text, probability) for text, probability in top[:alternatives]]
    return {**_entry(token, likely), "top_logprobs": named}


def _entry(token: str, probability: float) -> dict[str, Any]:
    # A probability of exactly nothing has no logarithm; the smallest is what OpenAI sends as well.
    logprob = math.log(probability) if probability > 0 else -9999.0
    return {"token": token, "logprob": round(logprob, 6), "bytes": list(token.encode(errors="replace"))}
