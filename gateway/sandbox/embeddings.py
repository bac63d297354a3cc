"""Embeddings: unit vectors in which texts are near each other that share words."""

import math
import re
from array import array
from base64 import b64encode
from collections.abc import Mapping
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Any

import orjson

from gateway.sandbox.catalogue import Kind, Model
from gateway.sandbox.chat_request import check_scalars
from gateway.sandbox.delivery import Delivery
from gateway.sandbox.endpoint import Call, Endpoint
from gateway.sandbox.pricing import Usage
from gateway.sandbox.refusals import (
    ProviderError,
    invalid_input,
    invalid_type,
    missing_parameter,
    openai_error,
    prompt_too_long,
)
from gateway.sandbox.tokens import is_token_id, split_tokens, word_for

_MOST_INPUTS = 2_048
_COORDINATES_A_WORD = 12
_WORD = re.compile(r"\w+")


class Embeddings(Endpoint):
    """``POST /v1/embeddings``."""

    name = "embeddings"
    path = "/embeddings"
    kinds = frozenset((Kind.EMBEDDING,))

    def wrong_kind(self, model: Model) -> ProviderError:
        """Say that it makes no vectors."""
        return openai_error(403, "You are not allowed to generate embeddings from this model")

    def prepare(self, call: Call) -> Delivery:
        """Make a vector of each input."""
        body, model = call.body, call.model
        check_scalars(body, (("dimensions", "integer", 1, model.dimensions or 1_536),), (("user", str, "a string"),))
        encoding = body.get("encoding_format") or "float"
        if encoding not in ("float", "base64"):
            raise openai_error(
                400, f"Invalid value for 'encoding_format' = {encoding}. Supported values: ['float', 'base64']."
            )
        inputs = _inputs(body)
        for one in inputs:
            if len(one) > model.context_window:
                raise prompt_too_long(model.context_window, len(one), 0)
        size = body.get("dimensions") or model.dimensions or 1_536
        data = [
            {"object": "embedding", "index": index, "embedding": _written(vector(model, one, size), encoding)}
            for index, one in enumerate(inputs)
        ]
        usage = Usage(sum(map(len, inputs)))
        counted = {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens}
        answer = {"object": "list", "data": data, "model": call.served.id, "usage": counted}
        return call.delivery(usage, partial(orjson.dumps, answer))


def vector(model: Model, tokens: tuple[str, ...], size: int) -> "array[float]":
    """Return a text's vector of length 1: each word pushes a dozen coordinates, always the same, up or down.

    A shorter vector is the beginning of the whole one, made as long again.
    """
    whole = [0.0] * (model.dimensions or size)
    for word in _WORD.findall("".join(tokens).lower()) or ["".join(tokens)]:
        for place, push in _pushes(model.id, word, len(whole)):
            whole[place] += push
    # What two texts have in common beside their words is that they are texts: no beginning is ever empty.
    whole[0] += 0.1
    cut = whole[:size]
    length = math.sqrt(math.fsum(one * one for one in cut))
    return array("f", (one / length for one in cut))


@lru_cache(maxsize=8_192)
def _pushes(model_id: str, word: str, size: int) -> tuple[tuple[int, float], ...]:
    digest = blake2b(f"{model_id}\x00{word}".encode(errors="replace"), digest_size=4 * _COORDINATES_A_WORD).digest()
    numbers = [int.from_bytes(digest[at : at + 4], "big") for at in range(0, len(digest), 4)]
    return tuple((number % size, 1.0 if number & 0x8000_0000 else -1.0) for number in numbers)


def _inputs(body: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the tokens of each input: of a text, of each of many, or the tokens themselves."""
    given = body.get("input")
    if given is None:
        raise missing_parameter("input")
    if isinstance(given, str) or (isinstance(given, list) and given and all(map(is_token_id, given))):
        given = [given]
    if not isinstance(given, list):
        raise invalid_type("input", "a string, or an array of strings or tokens", given)
    if not 0 < len(given) <= _MOST_INPUTS or any(not one for one in given):
        raise invalid_input()
    return [_tokens(one) for one in given]


def _tokens(one: Any) -> tuple[str, ...]:
    if isinstance(one, str):
        return tuple(split_tokens(one))
    if isinstance(one, list) and all(map(is_token_id, one)):
        return tuple(map(word_for, one))
    raise invalid_input()


def _written(made: "array[float]", encoding: str) -> str | list[float]:
    return b64encode(made.tobytes()).decode() if encoding == "base64" else made.tolist()
