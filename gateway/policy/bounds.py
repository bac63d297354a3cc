"""The most that a request can use and cost at one target, whatever its provider answers. Pure.

A token is at least one byte, in every tokenizer that is in use: so what is sent as text is at most as many tokens as
bytes, beside what a chat's template adds. What is only referred to (a picture, a file, an earlier response) is
bounded by the model's window alone.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from gateway.config.request_words import PARAMETERS, RESPONSE_PARAMETERS
from gateway.policy.pricing import PartRates, Price, Rates
from gateway.policy.stored_ids import is_reference

PER_REQUEST_TOKENS: Final = 512
"""What a chat's template may add of its own: a system prompt, today's date, where the answer begins."""
PER_MESSAGE_TOKENS: Final = 16
TOOLS_TOKENS: Final = 1024
"""What vendors put before tools; Anthropic's longest is 735 (its page on tool use, read 2026-11-29)."""

_TEXT_PARTS: Final = frozenset((
    "input_text", "output_text", "reasoning", "reasoning_text", "redacted_thinking", "refusal", "summary_text",
    "text", "thinking",
))  # fmt: skip
_TEXT_ITEMS: Final = frozenset((
    "custom_tool_call", "custom_tool_call_output", "function_call", "function_call_output", "message",
))  # fmt: skip
_HOLDERS: Final = frozenset((
    "attachments", "audio", "audio_url", "documents", "file", "file_id", "file_ids", "files", "image", "image_url",
    "images", "input_audio", "source", "url", "video", "video_url", "videos",
))  # fmt: skip
"""Fields of messages and parts that may name what is not in the request."""
_REFERRING: Final = ("conversation", "previous_response_id", "prompt")
"""Fields of a response's request that do."""
_OWN_TOOLS: Final = frozenset(("custom", "function", "namespace"))
_TOLD: Final = ("text", "audio")
_SAMPLING: Final = frozenset((
    "add_generation_prompt", "add_special_tokens", "allowed_token_ids", "bad_words", "cache_prompt", "cache_salt",
    "continue_final_message", "dry_allowed_length", "dry_base", "dry_multiplier", "dry_penalty_last_n",
    "dry_sequence_breakers", "dynatemp_exponent", "dynatemp_range", "ebnf", "echo", "grammar",
    "guided_decoding_backend", "guided_whitespace_pattern", "include_reasoning", "include_stop_str_in_output",
    "json_schema", "min_keep", "mirostat", "mirostat_eta", "mirostat_tau", "n_probs", "no_stop_trim", "priority",
    "prompt_logprobs", "reasoning_format", "regex", "repeat_last_n", "repeat_penalty", "return_token_ids",
    "return_tokens_as_token_ids", "samplers", "separate_reasoning", "skip_special_tokens",
    "spaces_between_special_tokens", "stop_regex", "stream_reasoning", "structural_tag", "thinking_token_budget",
    "timings_per_token", "top_n_sigma", "truncate_prompt_tokens", "typical_p", "xtc_probability", "xtc_threshold",
))  # fmt: skip
"""What vLLM, SGLang and llama.cpp take besides: how tokens are chosen and shown, never how many are paid for."""
_NAMES: Final[Mapping[str, frozenset[str]]] = {
    "chat_completions": PARAMETERS | _SAMPLING | {"model", "messages"},
    "completions": PARAMETERS | _SAMPLING | {"model", "prompt", "suffix"},
    "responses": RESPONSE_PARAMETERS | {"model", "input"},
}
"""Fields whose meaning is known: another might name a dearer model, or ask for a longer answer."""
_OPEN_ENDED: Final = ("background", "context_management", "prediction", "web_search_options")
"""Fields with which a request is billed for more than it says, or after it is over."""
_TEMPLATE: Final = "chat_template"
"""Who writes the template decides how long a prompt becomes; older vLLM takes one among the template's own words."""


def most_nanousd(prices: Iterable[Price], input_tokens: int, output_tokens: int) -> int:
    """Return the most that so many tokens can cost, in nano-dollars, rounded up: each at the dearest rate there is.

    ``prices``: all by which the answer may be billed.
    """
    rates = [one for price in prices for one in _rates_within(price, input_tokens)]
    dearest_in = max((_dearest_input(one) for one in rates), default=Decimal(0))
    dearest_out = max((_dearest_output(one) for one in rates), default=Decimal(0))
    return math.ceil(input_tokens * dearest_in + output_tokens * dearest_out)


def most_input_tokens(body: Mapping[str, Any], sent_bytes: int) -> int:
    """Return the most tokens that a body of text can be which is so many bytes long as it is sent."""
    said = body.get("messages") if "messages" in body else body.get("input")
    messages = len(said) if isinstance(said, list) else 1
    tools = TOOLS_TOKENS if body.get("tools") or body.get("functions") else 0
    return sent_bytes + PER_REQUEST_TOKENS + messages * PER_MESSAGE_TOKENS + tools


def refers_to_more(body: Mapping[str, Any], endpoint: str) -> bool:
    """Tell whether a body names what is not text, or not in it, so that its bytes bound nothing."""
    if endpoint == "chat_completions":
        return any(_message_refers(message) for message in body["messages"])
    if endpoint == "responses":
        given = body.get("input")
        items = given if isinstance(given, list) else ()
        return any(body.get(name) is not None for name in _REFERRING) or any(_item_refers(item) for item in items)
    return _holds_objects(body.get("input"))


def open_ended(body: Mapping[str, Any], endpoint: str) -> str | None:
    """Return the field for whose sake nobody can say what a request uses at most; None: there is none."""
    known = _NAMES.get(endpoint)
    if known is None:
        return None
    for name, value in body.items():
        if value is not None and (name not in known or (name in _OPEN_ENDED and value is not False)):
            return name[:100]
    tools, modalities, of_template = body.get("tools"), body.get("modalities"), body.get("chat_template_kwargs")
    if isinstance(of_template, Mapping) and _TEMPLATE in of_template:
        return "chat_template_kwargs"
    if isinstance(tools, list) and not all(_is_own(tool) for tool in tools):
        return "tools"
    if modalities is not None and not (isinstance(modalities, list) and all(one in _TOLD for one in modalities)):
        return "modalities"
    return None


def _rates_within(price: Price, input_tokens: int) -> Iterable[Rates]:
    """Yield every set of rates that a request of at most so much input may be billed by."""
    for rates in (price, *price.tiers.values()):
        yield rates
        if rates.above is not None and input_tokens > rates.above.tokens:
            yield rates.above.rates


def _dearest_input(rates: Rates) -> Decimal:
    parts = rates.parts or PartRates()
    own = (parts.input_audio, parts.cached_audio, parts.input_image, parts.cached_image, parts.hour_write)
    given = [rate for rate in (rates.cached_input, rates.cache_write, *own) if rate is not None]
    return max([rates.input, *given])


def _dearest_output(rates: Rates) -> Decimal:
    parts = rates.parts or PartRates()
    given = [rate for rate in (parts.reasoning, parts.output_audio, parts.output_image) if rate is not None]
    return max([rates.output, *given])


def _message_refers(message: Mapping[str, Any]) -> bool:
    return not _is_text(message.get("content")) or any(message.get(name) is not None for name in _HOLDERS)


def _item_refers(item: object) -> bool:
    if not isinstance(item, Mapping):
        return not isinstance(item, str)
    # A call and its result are text; reasoning may be one that its provider keeps, known by its id.
    kind = item.get("type", "message")
    return (
        is_reference(item)
        or not isinstance(kind, str)
        or kind not in _TEXT_ITEMS
        or not _is_text(item.get("content"))
        or not _is_text(item.get("output"))
    )


def _is_text(content: object) -> bool:
    if content is None or isinstance(content, str):
        return True
    return isinstance(content, list) and all(_is_text_part(part) for part in content)


def _is_text_part(part: object) -> bool:
    if not isinstance(part, Mapping):
        return isinstance(part, str)
    kind = part.get("type")
    return isinstance(kind, str) and kind in _TEXT_PARTS and _HOLDERS.isdisjoint(part)


def _holds_objects(value: object) -> bool:
    if isinstance(value, list):
        return any(_holds_objects(one) for one in _sequence(value))
    return isinstance(value, Mapping)


def _sequence(values: Sequence[object]) -> Iterable[object]:
    return (value for value in values if not isinstance(value, str | int | float))


def _is_own(tool: object) -> bool:
    kind = tool.get("type") if isinstance(tool, Mapping) else None
    return isinstance(kind, str) and kind in _OWN_TOOLS
