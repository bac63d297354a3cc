"""A chat request, checked as strictly as OpenAI's API checks one; parameters that it does not know are let pass."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.sandbox.messages import Message, parse_messages
from gateway.sandbox.refusals import (
    invalid_type,
    invalid_value,
    missing_parameter,
    openai_error,
    out_of_range,
)
from gateway.sandbox.tokens import CountedText, PromptCounter
from gateway.sandbox.tools import Function, chat_functions, chosen_tool

MESSAGE_OVERHEAD_TOKENS = 4
PROMPT_OVERHEAD_TOKENS = 3
IMAGE_TOKENS = 765
MOST_CHOICES = 8
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_SCHEMA_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
Numbers = tuple[tuple[str, str, float, float], ...]
Types = tuple[tuple[str, type, str], ...]

_NUMBERS: Numbers = (
    ("temperature", "decimal", 0, 2),
    ("top_p", "decimal", 0, 1),
    ("presence_penalty", "decimal", -2, 2),
    ("frequency_penalty", "decimal", -2, 2),
    ("max_tokens", "integer", 1, 10**9),
    ("max_completion_tokens", "integer", 1, 10**9),
    ("n", "integer", 1, MOST_CHOICES),
    ("seed", "integer", -(2**63), 2**63),
    ("top_logprobs", "integer", 0, 20),
)
_TYPES: Types = (
    ("stream", bool, "a boolean"),
    ("stream_options", dict, "an object"),
    ("logprobs", bool, "a boolean"),
    ("parallel_tool_calls", bool, "a boolean"),
    ("logit_bias", dict, "an object"),
    ("metadata", dict, "an object"),
    ("tools", list, "an array of objects"),
    ("response_format", dict, "an object"),
    ("user", str, "a string"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What was asked for."""

    messages: tuple[Message, ...]
    include_usage: bool = False
    max_output_tokens: int | None = None
    stop: tuple[str, ...] = ()
    functions: Sequence[Function] = ()
    """As ``name``, ``description`` and ``parameters``."""
    tool_choice: str = "auto"
    """``auto``, ``none``, ``required``, or the name of a function after ``function:``."""
    parallel: bool = True
    """Whether several calls may be made at once."""
    json_schema: Mapping[str, Any] | None = None
    json_object: bool = False
    choices: int = 1
    top_logprobs: int | None = None
    """How many alternatives to name beside each token; None: no probabilities at all."""
    seed: int | None = None
    varies: bool = False
    """Whether to find other words each time: a seed or a temperature says so, and the temperature is not 0."""
    effort: str | None = None
    """How hard to think; None: it was not said."""

    @property
    def last_user_text(self) -> str:
        """The text of the last user message; empty without one."""
        return next((message.text for message in reversed(self.messages) if message.role == "user"), "")

    def preamble(self) -> str:
        """Return what precedes the messages in the prompt: tools and schema."""
        if not self.functions and self.json_schema is None:
            return ""
        return orjson.dumps([self.functions, self.json_schema]).decode()

    def counted(self, counter: PromptCounter) -> tuple[list[CountedText], int]:
        """Return the count of each message, and the tokens of the whole prompt."""
        parts = [counter.count(_spoken(message)) for message in self.messages]
        tokens = PROMPT_OVERHEAD_TOKENS + sum(part.tokens + MESSAGE_OVERHEAD_TOKENS for part in parts)
        tokens += IMAGE_TOKENS * sum(message.images for message in self.messages)
        preamble = self.preamble()
        return parts, tokens + (counter.count(preamble).tokens if preamble else 0)


def parse_chat_request(body: Mapping[str, Any]) -> ChatRequest:
    """Return the request that a body makes.

    Raises:
        ProviderError: a 400 that names the parameter.

    """
    check_scalars(body, _NUMBERS, _TYPES)
    json_schema, json_object = _response_format(body.get("response_format"))
    tools = body.get("tools") or []
    tool_choice, functions = chosen_tool(body.get("tool_choice"), chat_functions(tools), tools)
    limits = [limit for name in ("max_completion_tokens", "max_tokens") if (limit := body.get(name)) is not None]
    if body.get("top_logprobs") and not body.get("logprobs"):
        raise invalid_value("top_logprobs", "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.")
    return ChatRequest(
        messages=parse_messages(body.get("messages")),
        include_usage=wants_usage(body),
        max_output_tokens=min(limits, default=None),
        stop=parse_stop(body.get("stop")),
        functions=functions,
        tool_choice=tool_choice,
        parallel=body.get("parallel_tool_calls") is not False,
        json_schema=json_schema,
        json_object=json_object,
        choices=body.get("n") or 1,
        top_logprobs=(body.get("top_logprobs") or 0) if body.get("logprobs") else None,
        seed=body.get("seed"),
        varies=bool(body.get("temperature")) or (body.get("temperature") is None and body.get("seed") is not None),
        effort=parse_effort(body.get("reasoning_effort"), "reasoning_effort"),
    )


def check_scalars(body: Mapping[str, Any], numbers: Numbers, types: Types) -> None:
    """Refuse what is of the wrong type, or out of range."""
    for name, kind, least, most in numbers:
        value = body.get(name)
        if value is None:
            continue
        accepted = (int,) if kind == "integer" else (int, float)
        if isinstance(value, bool) or not isinstance(value, accepted):
            raise invalid_type(name, f"{'an' if kind == 'integer' else 'a'} {kind}", value)
        if not least <= value <= most:
            raise out_of_range(name, kind, least if value < least else most, value)
    for name, expected, words in types:
        value = body.get(name)
        if value is not None and not isinstance(value, expected):
            raise invalid_type(name, words, value)
    if body.get("stream_options") is not None and body.get("stream") is not True:
        raise openai_error(
            400,
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )


def wants_usage(body: Mapping[str, Any]) -> bool:
    """Tell whether a stream is to end with its usage."""
    return (body.get("stream_options") or {}).get("include_usage") is True


def parse_effort(raw: Any, param: str) -> str | None:
    """Return how hard to think."""
    if raw is not None and raw not in EFFORTS:
        allowed = ", ".join(f"'{name}'" for name in EFFORTS[:-1])
        raise invalid_value(param, f"Invalid value: '{raw}'. Supported values are: {allowed}, and '{EFFORTS[-1]}'.")
    return None if raw is None else str(raw)


def parse_stop(raw: Any) -> tuple[str, ...]:
    """Return the texts at which an answer ends."""
    stops = [raw] if isinstance(raw, str) else raw or []
    if not isinstance(stops, list) or len(stops) > 4 or not all(isinstance(stop, str) and stop for stop in stops):
        raise invalid_type("stop", "a string or an array of up to 4 strings", raw)
    return tuple(stops)


def parse_format(kind: Any, holder: Any, where: str) -> tuple[Mapping[str, Any] | None, bool]:
    """Return the schema to keep, and whether any JSON object will do; ``holder`` has the schema's name and itself."""
    if kind not in ("text", "json_object", "json_schema"):
        raise invalid_value(
            f"{where}.type",
            f"Invalid value: '{kind}'. Supported values are: 'json_object', 'json_schema', and 'text'.",
        )
    if kind != "json_schema":
        return None, kind == "json_object"
    name, schema = holder.get("name"), holder.get("schema")
    if not isinstance(name, str) or not _SCHEMA_NAME.fullmatch(name):
        raise invalid_value(f"{where}.name", f"Invalid '{where}.name': expected 1 to 64 letters, digits, '_' or '-'.")
    if not isinstance(schema, dict):
        raise missing_parameter(f"{where}.schema")
    return schema, False


def _response_format(raw: Mapping[str, Any] | None) -> tuple[Mapping[str, Any] | None, bool]:
    if raw is None:
        return None, False
    if raw.get("type") != "json_schema":
        return parse_format(raw.get("type"), raw, "response_format")
    if not isinstance(raw.get("json_schema"), dict):
        raise missing_parameter("response_format.json_schema")
    return parse_format("json_schema", raw["json_schema"], "response_format.json_schema")


def _spoken(message: Message) -> str:
    calls = orjson.dumps(message.tool_calls).decode() if message.tool_calls else ""
    return f"{message.role}\n{message.text}{calls}"
