"""How likely each token was: made up, from the token alone, and the same on every run."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from gateway.sandbox.skills import draw

_ALTERNATIVES = (
    " the", " a", " and", ".", " to", " of", " in", ",", " is", " it", " for", " on", " you", " that", " with", " as",
    " at", " by", " or", " be", " are",
)  # fmt: skip


def token_logprobs(tokens: Sequence[str], alternatives: int) -> list[dict[str, Any]]:
    """Return each token's logarithmic probability, and those of so many tokens that could have stood in its place.

    The likeliest of them is the token itself.
    """
    return [_of(token, alternatives) for token in tokens]


def columns(tokens: Sequence[str], alternatives: int, offset: int, *, at_start: bool) -> dict[str, list[Any]]:
    """Return the same in the columns of legacy completions; a text's first token, with nothing before it, has none.

    ``offset`` is the number of letters before the tokens.
    """
    rows = token_logprobs(tokens, alternatives)
    logprobs: list[float | None] = [row["logprob"] for row in rows]
    top = [{other["token"]: other["logprob"] for other in row["top_logprobs"]} or None for row in rows]
    if at_start and rows:
        logprobs[0] = top[0] = None
    offsets = list(accumulate(map(len, tokens[:-1]), initial=offset)) if tokens else []
    return {"tokens": list(tokens), "token_logprobs": logprobs, "top_logprobs": top, "text_offset": offsets}


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
