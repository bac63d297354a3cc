"""Whether a conversation's tool calls are whole: named in ``tools``, with arguments that fit, each answered once."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import orjson

from gateway.config.findings import quoted

Told = tuple[str, str]
"""A rule's name, and what is said of the row."""
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_LONGEST_WHY: Final = 160


def check_tools(tools: object) -> Iterator[Told]:
    """Yield what is wrong with a row's definitions of tools; none at all is fine."""
    if tools is None:
        return
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        yield "tools", "its tools are no list of objects"
        return
    seen: set[str] = set()
    for at, tool in enumerate(tools, 1):
        function = tool.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        if tool.get("type") != "function" or not isinstance(name, str) or not _NAME.fullmatch(name):
            yield (
                "tools",
                f'tool {at} is no function with a name: write {{"type": "function", "function": {{"name": …}}}}',
            )
            continue
        if name in seen:
            yield "tools", f"two tools are called {quoted(name)}: leave one out"
        seen.add(name)
        assert isinstance(function, dict)
        parameters = function.get("parameters")
        if parameters is not None and (why := _schema_problem(_dumped(parameters))):
            yield "tools", f"the parameters of {quoted(name)} are no JSON Schema that can be used: {why}"


def check_calls(messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None) -> Iterator[Told]:
    """Yield what is wrong with calls and their results; the last message's own calls need no result.

    Messages are well formed one by one (``check_message``).
    """
    known = {tool["function"]["name"]: tool["function"] for tool in tools or () if _is_function(tool)}
    open_calls: dict[str, str] = {}
    answered: set[str] = set()
    for at, message in enumerate(messages, 1):
        if message["role"] == "tool":
            yield from _result(at, message["tool_call_id"], open_calls, answered)
            continue
        yield from _left_open(at, open_calls, answered)
        open_calls, answered = {}, set()
        for call in message.get("tool_calls") or ():
            yield from _call(at, call, known, has_tools=bool(tools))
            identity = call.get("id")
            if not isinstance(identity, str) or not identity:
                yield "tool-call", f"message {at} calls {_name(call)} without an id: no result can name it"
            elif identity in open_calls:
                yield "tool-call", f"message {at} has two calls with the id {quoted(identity)}: give each its own"
            else:
                open_calls[identity] = _name(call)
    if messages and messages[-1]["role"] == "tool":
        yield from _left_open(len(messages) + 1, open_calls, answered)


def _result(at: int, identity: str, open_calls: Mapping[str, str], answered: set[str]) -> Iterator[Told]:
    if identity not in open_calls:
        yield (
            "tool-orphan",
            f"message {at} answers the call {quoted(identity)}, which the assistant's message before it did not make",
        )
    elif identity in answered:
        yield "tool-twice", f"message {at} answers the call {quoted(identity)} a second time: keep one result"
    answered.add(identity)


def _left_open(at: int, open_calls: Mapping[str, str], answered: set[str]) -> Iterator[Told]:
    for identity, name in open_calls.items():
        if identity not in answered:
            yield (
                "tool-unanswered",
                f"the call {quoted(identity)} of {name} has no result before message {at}: add a tool message with "
                "its tool_call_id, or end the row with the call",
            )


def _call(
    at: int, call: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]], *, has_tools: bool
) -> Iterator[Told]:
    name = call["function"]["name"]
    if name not in known:
        names = ", ".join(sorted(known)[:5])
        what = f"its tools have {names}" if has_tools else "the row has no tools"
        yield "tool-unknown", f"message {at} calls {_name(call)}, and {what}: define it in tools"
    try:
        arguments = orjson.loads(call["function"]["arguments"])
    except orjson.JSONDecodeError as error:
        yield "tool-arguments", f"message {at} calls {_name(call)} with arguments that are no JSON ({error.msg})"
        return
    if not isinstance(arguments, dict):
        yield "tool-arguments", f"message {at} calls {_name(call)} with arguments that are no JSON object"
        return
    parameters = known.get(name, {}).get("parameters")
    if isinstance(parameters, dict) and (why := _breaks(_dumped(parameters), arguments)):
        yield "tool-schema", f"message {at} calls {_name(call)} with arguments that its parameters refuse: {why}"


def _name(call: Mapping[str, Any]) -> str:
    return quoted(call["function"]["name"])


def _is_function(tool: object) -> bool:
    function = tool.get("function") if isinstance(tool, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str)


def _dumped(schema: object) -> bytes:
    return orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)


# Most rows of a file have the same tools.
@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    """Return what checks arguments; the sentence that says why there is nothing, where there is not."""
    import jsonschema_rs

    read = orjson.loads(schema)
    if not isinstance(read, dict):
        return "it is no object"
    try:
        jsonschema_rs.meta.validate(read)
        # Offline: a row never makes anybody fetch anything.
        return jsonschema_rs.validator_for(read, offline=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        return str(error).partition("\n")[0][:_LONGEST_WHY]


def _schema_problem(schema: bytes) -> str | None:
    built = _validator(schema)
    return built if isinstance(built, str) else None


def _breaks(schema: bytes, arguments: dict[str, Any]) -> str | None:
    built = _validator(schema)
    if isinstance(built, str) or built.is_valid(arguments):
        return None
    error = next(iter(built.iter_errors(arguments)))
    keyword = str(error.schema_path[-1]) if error.schema_path else "false"
    if keyword == "required":
        return str(error.message)[:_LONGEST_WHY]
    # Not the message: it repeats the value, which may be anybody's.
    where = "/".join(map(str, error.instance_path))
    return f"{quoted(where)} breaks {keyword}" if where else f"they break {keyword}"
