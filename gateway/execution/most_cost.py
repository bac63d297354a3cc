"""What a request of a limited key is for one target, its answer's length included; and what that can cost at most."""

import math
from typing import Any, Final, NamedTuple

from gateway.execution.endpoints.endpoint import MEDIA
from gateway.execution.prepared_target import PreparedTarget
from gateway.execution.request import Request
from gateway.policy.answer_length import DEFAULT_TOKENS, NAMES, choices_asked, length_name, limit_length
from gateway.policy.bounds import most_input_tokens, most_nanousd, open_ended, refers_to_more

IMAGES: Final = "/images/generations"
LONGEST_CACHE_KEY: Final = "x" * 128
UNPRICED: Final = "no price is known of it: write one under 'prices:' in routes.yaml"
NO_WINDOW: Final = (
    "it refers to media or to what a provider stores, and the model's context window is not known: send text instead"
)
NO_LENGTH: Final = "its target takes no length of the answer, and the model's longest answer is not known"
UNCOUNTED: Final = "nobody knows beforehand how long what it asks for is"


class MostCost(NamedTuple):
    """The most that one request can use at one target."""

    tokens: int
    """About how many, for limits per minute: of the prompt's text, and of answers as long as the request asks for, or
    ``DEFAULT_TOKENS`` where it does not say; what was used beyond that is counted afterwards."""
    nanousd: int | None
    """None: nobody can tell."""
    why: str = ""
    """Why not, and what helps."""
    param: str | None = None


def adapted_body(request: Request, prepared: PreparedTarget) -> tuple[dict[str, Any], list[str]]:
    """Return a request's body as it is for a target, and the parameters that changed; ``request.body`` stays as it is.

    Where its key has limits, the body asks for an answer of a certain length.

    Raises:
        InvalidRequest: the request of a limited key asks for an answer of no certain length.
    """
    return _adapted(request.body.copy(), request, prepared)


def most_cost(request: Request, prepared: PreparedTarget) -> MostCost:
    """Return the most that a request of a limited key can use at a target, as it will be sent.

    Raises:
        InvalidRequest: what it says of the answer's length or of the answers' number is no number.
    """
    endpoint = request.endpoint.name
    body = request.body.copy()
    if prepared.cache_keys is not None and body.get("prompt_cache_key") is None:
        # Nothing is sent yet: no cache is to count this request.
        body["prompt_cache_key"] = LONGEST_CACHE_KEY
    body["model"] = prepared.model
    request.endpoint.adapt(body, request, prepared)
    says_length = request.caller.max_output_tokens is not None or any(
        body.get(name) for name in NAMES.get(endpoint, ())
    )
    length = _limited(body, request, prepared)[0] if endpoint in NAMES else 0
    choices = choices_asked(body, endpoint) if endpoint in NAMES or request.endpoint.path == IMAGES else 1
    sent, _ = request.endpoint.encode(body, request)
    text_tokens = input_tokens = most_input_tokens(body, len(sent))
    refers = (
        request.form is not None
        or request.held_by is not None
        or not request.words.isdisjoint(MEDIA)
        or refers_to_more(body, endpoint)
    )
    if refers and prepared.window is not None:
        input_tokens = prepared.window
    output_tokens = (length if length is not None else DEFAULT_TOKENS) * choices
    # Of a picture as much as a whole window would keep keys from sending any, and of an answer as much as the longest
    # would keep them from asking two at a time: such tokens count once they are known.
    tokens = text_tokens + (output_tokens if says_length else min(output_tokens, DEFAULT_TOKENS * choices))
    if (field := open_ended(request.body, endpoint)) is not None:
        return MostCost(tokens, None, f"with {field!r} it may be billed for more than it says: leave that out", field)
    if (amount := _by_amount(request, prepared, choices)) is not None:
        return MostCost(tokens, amount)
    if endpoint in ("images", "speech", "transcriptions") or _heard_by_the_second(prepared):
        return MostCost(tokens, None, UNCOUNTED)
    if not prepared.prices:
        return MostCost(tokens, None, UNPRICED)
    if length is None:
        return MostCost(tokens, None, NO_LENGTH)
    if refers and prepared.window is None:
        return MostCost(tokens, None, NO_WINDOW)
    return MostCost(tokens, most_nanousd(prepared.prices, input_tokens, output_tokens))


def _adapted(body: dict[str, Any], request: Request, prepared: PreparedTarget) -> tuple[dict[str, Any], list[str]]:
    body["model"] = prepared.model
    changed = request.endpoint.adapt(body, request, prepared)
    if request.caller.bounds_answers and request.endpoint.name in NAMES:
        changed += _limited(body, request, prepared)[1]
    return body, changed


def _limited(body: dict[str, Any], request: Request, prepared: PreparedTarget) -> tuple[int | None, list[str]]:
    endpoint = request.endpoint.name
    name = length_name(endpoint, prepared.target.parameters, prepared.capabilities, body)
    otherwise = prepared.longest_answer or DEFAULT_TOKENS
    length, changed = limit_length(body, endpoint, name, most=request.caller.max_output_tokens, otherwise=otherwise)
    return length if length is not None else prepared.longest_answer, changed


def _by_amount(request: Request, prepared: PreparedTarget, choices: int) -> int | None:
    """Return what pictures or spoken characters cost, which the request itself counts; None: it does not."""
    price = prepared.answers.meaning(None).amounts
    if price is None or prepared.prices:
        return None
    if request.endpoint.path == IMAGES and price.picture is not None:
        return math.ceil(choices * price.picture)
    spoken = request.body.get("input")
    if request.endpoint.name == "speech" and price.character is not None and isinstance(spoken, str):
        return math.ceil(len(spoken) * price.character)
    return None


def _heard_by_the_second(prepared: PreparedTarget) -> bool:
    amounts = prepared.answers.meaning(None).amounts
    return amounts is not None and amounts.second is not None
