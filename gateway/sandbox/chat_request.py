"""A chat request, checked as strictly as OpenAI's API checks one; fields that it does not know are let pass."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.sandbox.refusals import (
    invalid_json,
    invalid_type,
    invalid_value,
    missing_parameter,
    openai_error,
    out_of_range,
)
from gateway.sandbox.tokens import CountedText, PromptCounter

ROLES = ("system", "assistant", "user", "function", "tool", "developer")
MESSAGE_OVERHEAD_TOKENS = 4
PROMPT_OVERHEAD_TOKENS = 3
IMAGE_TOKENS = 765
_SCHEMA_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

_NUMBERS: tuple[tuple[str, str, float, float], ...] = (
    ("temperature", "decimal", 0, 2),
    ("top_p", "decimal", 0, 1),
    ("presence_penalty", "decimal", -2, 2),
    ("frequency_penalty", "decimal", -2, 2),
    ("max_tokens", "integer", 1, 10**9),
    ("max_completion_tokens", "integer", 1, 10**9),
    ("n", "integer", 1, 1),
    ("seed", "integer", -(2**63), 2**63),
    ("top_logprobs", "integer", 0, 20),
)
_TYPES: tuple[tuple[str, type, str], ...] = (
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


@dataclass(frozen=True, slots=True)
class Message:
    """One message; ``text`` joins the text parts of its content."""

    role: str
    text: str
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    images: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What was asked for."""

    model: str
    messages: tuple[Message, ...]
    stream: bool = False
    include_usage: bool = False
    max_output_tokens: int | None = None
    stop: tuple[str, ...] = ()
    functions: tuple[Mapping[str, Any], ...] = ()
    """The ``function`` of each tool."""
    tool_choice: str = "auto"
    """``auto``, ``none``, ``required``, or the name of a function after ``function:``."""
    json_schema: Mapping[str, Any] | None = None
    json_object: bool = False
    given: frozenset[str] = field(default=frozenset())
    """The names of the parameters that came with a value."""

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


def load_body(raw: bytes) -> dict[str, Any]:
    """Return the JSON object of a body.

    Raises:
        ProviderError: it is not one.

    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise invalid_json() from error
    if not isinstance(body, dict):
        raise invalid_json()
    return body


def parse_chat_request(body: Mapping[str, Any]) -> ChatRequest:
    """Return the request that a body makes.

    Raises:
        ProviderError: a 400 that names the parameter.

    """
    model = body.get("model")
    if model is None or model == "":
        raise openai_error(400, "you must provide a model parameter")
    if not isinstance(model, str):
        raise invalid_type("model", "a string", model)
    _check_scalars(body)
    json_schema, json_object = _response_format(body.get("response_format"))
    functions = _functions(body.get("tools") or [])
    limits = [limit for name in ("max_completion_tokens", "max_tokens") if (limit := body.get(name)) is not None]
    return ChatRequest(
        model=model,
        messages=_messages(body),
        stream=body.get("stream") is True,
        include_usage=(body.get("stream_options") or {}).get("include_usage") is True,
        max_output_tokens=min(limits, default=None),
        stop=_stop(body.get("stop")),
        functions=functions,
        tool_choice=_tool_choice(body.get("tool_choice"), functions),
        json_schema=json_schema,
        json_object=json_object,
        given=frozenset(name for name, value in body.items() if value is not None),
    )


def _check_scalars(body: Mapping[str, Any]) -> None:
    for name, kind, least, most in _NUMBERS:
        value = body.get(name)
        if value is None:
            continue
        accepted = (int,) if kind == "integer" else (int, float)
        if isinstance(value, bool) or not isinstance(value, accepted):
            raise invalid_type(name, f"{'an' if kind == 'integer' else 'a'} {kind}", value)
        if not least <= value <= most:
            raise out_of_range(name, kind, least if value < least else most, value)
    for name, expected, words in _TYPES:
        value = body.get(name)
        if value is not None and not isinstance(value, expected):
            raise invalid_type(name, words, value)
    if body.get("stream_options") is not None and body.get("stream") is not True:
        raise openai_error(
            400,
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )


def _messages(body: Mapping[str, Any]) -> tuple[Message, ...]:
    raw = body.get("messages")
    if raw is None:
        raise missing_parameter("messages")
    if not isinstance(raw, list):
        raise invalid_type("messages", "an array of objects", raw)
    if not raw:
        raise openai_error(
            400,
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            code="empty_array",
            param="messages",
        )
    messages = tuple(_message(item, f"messages[{index}]") for index, item in enumerate(raw))
    _check_tool_answers(raw)
    return messages


def _message(raw: Any, where: str) -> Message:
    if not isinstance(raw, dict):
        raise invalid_type(where, "an object", raw)
    role = raw.get("role")
    if role is None:
        raise missing_parameter(f"{where}.role")
    if role not in ROLES:
        allowed = ", ".join(f"'{name}'" for name in ROLES[:-1])
        raise invalid_value(
            f"{where}.role", f"Invalid value: '{role}'. Supported values are: {allowed}, and '{ROLES[-1]}'."
        )
    tool_calls = raw.get("tool_calls") or []
    if not isinstance(tool_calls, list) or not all(isinstance(call, dict) for call in tool_calls):
        raise invalid_type(f"{where}.tool_calls", "an array of objects", tool_calls)
    content = raw.get("content")
    if content is None:
        if role != "assistant":
            raise invalid_type(f"{where}.content", "a string or an array of objects", None)
        return Message(role, "", tuple(tool_calls))
    if isinstance(content, str):
        return Message(role, content, tuple(tool_calls))
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise invalid_type(f"{where}.content", "one of a string or an array of objects", content)
    texts = [str(part.get("text") or part.get("refusal") or "") for part in content]
    images = sum(part.get("type") == "image_url" for part in content)
    return Message(role, "\n".join(text for text in texts if text), tuple(tool_calls), images)


def _check_tool_answers(raw_messages: Sequence[Mapping[str, Any]]) -> None:
    """Refuse an answer to a tool call that nobody made."""
    called: set[object] = set()
    for index, message in enumerate(raw_messages):
        called.update(str(call.get("id")) for call in message.get("tool_calls") or [])
        if message["role"] == "tool" and message.get("tool_call_id") not in called:
            raise openai_error(
                400,
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                "'tool_calls'.",
                param=f"messages.[{index}].role",
            )


def _functions(tools: list[Any]) -> tuple[Mapping[str, Any], ...]:
    functions = []
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict):
            raise missing_parameter(f"tools[{index}].function")
        if not isinstance(function.get("name"), str):
            raise missing_parameter(f"tools[{index}].function.name")
        if not isinstance(function.get("parameters") or {}, dict):
            raise invalid_type(f"tools[{index}].function.parameters", "an object", function["parameters"])
        functions.append(function)
    return tuple(functions)


def _tool_choice(raw: Any, functions: Sequence[Mapping[str, Any]]) -> str:
    if raw is None:
        return "auto"
    if not functions:
        raise openai_error(400, "'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
    if raw in ("auto", "none", "required"):
        return str(raw)
    wanted = raw.get("function") if isinstance(raw, dict) else None
    name = wanted.get("name") if isinstance(wanted, dict) else None
    if name not in {function["name"] for function in functions}:
        raise invalid_value(
            "tool_choice",
            "Invalid value for 'tool_choice': it must be 'auto', 'none', 'required', or name one of the given tools.",
        )
    return f"function:{name}"


def _response_format(raw: Mapping[str, Any] | None) -> tuple[Mapping[str, Any] | None, bool]:
    kind = "text" if raw is None else raw.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        raise invalid_value(
            "response_format.type",
            f"Invalid value: '{kind}'. Supported values are: 'json_object', 'json_schema', and 'text'.",
        )
    if raw is None or kind != "json_schema":
        return None, kind == "json_object"
    wrapper = raw.get("json_schema")
    if not isinstance(wrapper, dict):
        raise missing_parameter("response_format.json_schema")
    name, schema = wrapper.get("name"), wrapper.get("schema")
    if not isinstance(name, str) or not _SCHEMA_NAME.fullmatch(name):
        raise invalid_value(
            "response_format.json_schema.name",
            "Invalid 'response_format.json_schema.name': expected 1 to 64 letters, digits, '_' or '-'.",
        )
    if not isinstance(schema, dict):
        raise missing_parameter("response_format.json_schema.schema")
    return schema, False


def _stop(raw: Any) -> tuple[str, ...]:
    stops = [raw] if isinstance(raw, str) else raw or []
    if not isinstance(stops, list) or len(stops) > 4 or not all(isinstance(stop, str) and stop for stop in stops):
        raise invalid_type("stop", "a string or an array of up to 4 strings", raw)
    return tuple(stops)


def _spoken(message: Message) -> str:
    calls = orjson.dumps(message.tool_calls).decode() if message.tool_calls else ""
    return f"{message.role}\n{message.text}{calls}"
