"""Moderations: a few words are bad, all others are fine."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import Any
from uuid import uuid4

import orjson

from gateway.sandbox.catalogue import Kind, Model
from gateway.sandbox.delivery import Delivery
from gateway.sandbox.endpoint import Call, Endpoint
from gateway.sandbox.pricing import Usage
from gateway.sandbox.refusals import (
    ProviderError,
    invalid_input,
    invalid_type,
    missing_parameter,
    prompt_too_long,
    wrong_model,
)
from gateway.sandbox.tokens import split_tokens

BAD_WORDS: Mapping[str, tuple[str, ...]] = {
    "harassment": ("idiot", "moron", "imbecile"),
    "harassment/threatening": ("revenge",),
    "sexual": ("porn", "erotica"),
    "sexual/minors": (),
    "hate": ("subhuman", "vermin"),
    "hate/threatening": ("exterminate",),
    "illicit": ("shoplift", "counterfeit", "bomb"),
    "illicit/violent": ("bomb",),
    "self-harm": ("suicide",),
    "self-harm/intent": (),
    "self-harm/instructions": (),
    "violence": ("kill", "murder", "stab", "gore"),
    "violence/graphic": ("gore",),
}
"""By category; some categories have none."""
_ALSO_OF_IMAGES = frozenset(
    ("sexual", "self-harm", "self-harm/intent", "self-harm/instructions", "violence", "violence/graphic")
)
_WORD = re.compile(r"\w+")


class Moderations(Endpoint):
    """``POST /v1/moderations``."""

    name = "moderations"
    path = "/moderations"
    kinds = frozenset((Kind.MODERATION,))
    default_model = "omni-moderation-latest"

    def wrong_kind(self, model: Model) -> ProviderError:
        """Say that it judges nothing."""
        return wrong_model(model.id)

    def prepare(self, call: Call) -> Delivery:
        """Judge each input."""
        inputs, input_tokens = _inputs(call.body), 0
        for texts, _ in inputs:
            tokens = sum(len(split_tokens(text)) for text in texts)
            if tokens > call.model.context_window:
                raise prompt_too_long(call.model.context_window, tokens, 0)
            input_tokens += tokens
        answer = {
            "id": f"modr-{uuid4().hex}",
            "model": call.served.id,
            "results": [_judged(texts, images) for texts, images in inputs],
        }
        return call.delivery(Usage(input_tokens), partial(orjson.dumps, answer))


def _judged(texts: Sequence[str], images: int) -> dict[str, Any]:
    words = {word for text in texts for word in _WORD.findall(text.lower())}
    categories = {category: not words.isdisjoint(bad) for category, bad in BAD_WORDS.items()}
    given = [*(["text"] if texts else []), *(["image"] if images else [])]
    return {
        "flagged": any(categories.values()),
        "categories": categories,
        "category_scores": {category: _score(category, texts, flagged) for category, flagged in categories.items()},
        "category_applied_input_types": {
            category: [kind for kind in given if kind == "text" or category in _ALSO_OF_IMAGES]
            for category in categories
        },
    }


def _score(category: str, texts: Sequence[str], flagged: bool) -> float:
    """Return a score that is the same on every run: above 0.9, or below 0.01."""
    digest = blake2b("\x00".join((category, *texts)).encode(errors="replace"), digest_size=4).digest()
    fraction = int.from_bytes(digest, "big") / 2**32
    return round(0.9 + fraction / 10 if flagged else fraction / 100, 8)


def _inputs(body: Mapping[str, Any]) -> list[tuple[list[str], int]]:
    """Return the texts and the number of images of each input: parts make one input together."""
    given = body.get("input")
    if given is None:
        raise missing_parameter("input")
    if isinstance(given, str):
        return [([given], 0)]
    if not isinstance(given, list):
        raise invalid_type("input", "a string, or an array of strings or objects", given)
    if given and all(isinstance(one, str) for one in given):
        return [([one], 0) for one in given]
    if not given or not all(map(_is_part, given)):
        raise invalid_input()
    texts = [part["text"] for part in given if part["type"] == "text"]
    return [(texts, len(given) - len(texts))]


def _is_part(one: Any) -> bool:
    """Tell whether this is a text, or an image by its address."""
    if not isinstance(one, dict):
        return False
    if one.get("type") == "text":
        return isinstance(one.get("text"), str)
    image = one.get("image_url")
    return one.get("type") == "image_url" and isinstance(image, dict) and isinstance(image.get("url"), str)
