"""One look at whether a provider has a model just now, by its list and by its id: nothing is asked of the model."""

import asyncio
from enum import StrEnum
from typing import Final

from gateway.lifecycle.probes import escaped, model_ids
from gateway.providers.connection import TransportError
from gateway.providers.openai_wire import Upstream

LOOK_S: Final = 10.0
LISTS_ALL: Final = frozenset(("openai", "sandbox", "vllm"))
"""Kinds of providers whose list has every model that the key can call: fine-tunes, adapters."""
_NOT_THERE: Final = frozenset((400, 404, 410))


class Sighting(StrEnum):
    """What one look found."""

    THERE = "there"
    ABSENT = "absent"
    """The provider says so, by a list that has all, or by its id where that finds others."""
    UNLISTED = "unlisted"
    """It is not in a list that need not have all."""
    UNKNOWN = "unknown"
    """Nobody could tell: no list, no connection, a refused key."""


async def sighting(upstream: Upstream, model: str) -> Sighting:
    """Look once; takes ``LOOK_S`` at most, and is not billed."""
    if not upstream.provider.vendor.lists_models:
        return Sighting.UNKNOWN
    try:
        async with asyncio.timeout(LOOK_S):
            return await _look(upstream, model)
    except (TransportError, TimeoutError):
        return Sighting.UNKNOWN


async def _look(upstream: Upstream, model: str) -> Sighting:
    status, body = await upstream.list_models()
    ids = model_ids(body) if status == 200 else None
    if ids is None:
        return Sighting.UNKNOWN
    if model in ids:
        return Sighting.THERE
    found = await upstream.look_up(escaped(model))
    if found == 200:
        return Sighting.THERE
    if upstream.provider.kind in LISTS_ALL:
        return Sighting.ABSENT
    # Where ids of models that are there cannot be looked up either, such a refusal says nothing.
    finds = bool(ids) and await upstream.look_up(escaped(ids[0])) == 200
    return Sighting.ABSENT if finds and found in _NOT_THERE else Sighting.UNLISTED
