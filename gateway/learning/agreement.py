"""How much two answers to one request are alike, where neither is the right one."""

from collections.abc import Mapping
from typing import Any

from gateway.learning.evaluation.json_measures import calls_f1, calls_tools, json_f1
from gateway.learning.evaluation.text_measures import text_of, token_f1

LONGEST = 16_384
"""Characters of an answer that are looked at: this runs beside requests."""


def agreement(said: Mapping[str, Any], rehearsed: Mapping[str, Any]) -> float | None:
    """Return 0 to 1: of tool calls and documents how many of their parts agree, of texts how many of their words.

    None where there is nothing to compare.
    """
    if calls_tools(said) or calls_tools(rehearsed):
        return calls_f1(said, rehearsed)
    first, second = text_of(said), text_of(rehearsed)
    if max(len(first), len(second)) <= LONGEST and (by_fields := json_f1(first, second)) is not None:
        return by_fields
    return token_f1(first[:LONGEST], second[:LONGEST])
