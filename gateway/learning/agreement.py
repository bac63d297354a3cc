"""How much two answers to one request are alike, where neither is the right one."""

from collections.abc import Mapping
from typing import Any

from gateway.learning.evaluation.json_measures import calls_f1, calls_tools, json_f1
from gateway.learning.evaluation.text_measures import chrf, text_of


def agreement(said: Mapping[str, Any], rehearsed: Mapping[str, Any]) -> float | None:
    """Return 0 to 1: of tool calls and documents how many of their parts agree, of texts how much of their letters.

    None where there is nothing to compare.
    """
    if calls_tools(said) or calls_tools(rehearsed):
        return calls_f1(said, rehearsed)
    first, second = text_of(said), text_of(rehearsed)
    by_fields = json_f1(first, second)
    return by_fields if by_fields is not None else chrf(first, second)
