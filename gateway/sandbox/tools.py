"""The functions that a request offers, and which of them it wants called."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.sandbox.refusals import invalid_type, invalid_value, missing_parameter, openai_error

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_OWN_TOOLS = ("function", "custom", "namespace")
Function = Mapping[str, Any]


def chat_functions(tools: list[Any]) -> tuple[Function, ...]:
    """Return the functions of chat's tools, each as ``name``, ``description`` and ``parameters``."""
    functions = []
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict):
            raise missing_parameter(f"tools[{index}].function")
        functions.append(_checked(function, f"tools[{index}].function"))
    return tuple(functions)


def response_functions(tools: list[Any]) -> tuple[Function, ...]:
    """Return the functions of the Responses API's tools; tools that a provider runs itself are never called here."""
    functions = []
    for index, tool in enumerate(tools):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if not isinstance(kind, str):
            raise missing_parameter(f"tools[{index}].type")
        if kind == "function":
            functions.append(_checked(tool, f"tools[{index}]"))
    return tuple(functions)


def chosen_tool(raw: Any, functions: Sequence[Function], tools: list[Any]) -> tuple[str, Sequence[Function]]:
    """Return ``auto``, ``none``, ``required`` or ``function:NAME``, and the functions among which to choose.

    Raises:
        ProviderError: a 400: the choice is none of those.

    """
    if raw is None:
        return "auto", functions
    if not tools:
        raise openai_error(400, "'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
    if raw in ("auto", "none", "required"):
        return str(raw), functions
    if isinstance(raw, dict):
        if raw.get("type") == "allowed_tools":
            # Chat holds what is allowed in an object of its own, the Responses API does not.
            allowed = raw["allowed_tools"] if isinstance(raw.get("allowed_tools"), dict) else raw
            listed = allowed.get("tools")
            names = {_named(tool) for tool in listed} if isinstance(listed, list) else set()
            return str(allowed.get("mode", "auto")), [one for one in functions if one["name"] in names]
        if _named(raw) in {function["name"] for function in functions}:
            return f"function:{_named(raw)}", functions
        if raw.get("type") not in _OWN_TOOLS and any(tool.get("type") == raw.get("type") for tool in tools):
            return "auto", functions
    raise invalid_value(
        "tool_choice",
        "Invalid value for 'tool_choice': it must be 'auto', 'none', 'required', or name one of the given tools.",
    )


def _named(tool: Any) -> str | None:
    """Return the name of the function that a choice names, in either API's shape."""
    if not isinstance(tool, dict):
        return None
    function = tool.get("function")
    name = function.get("name") if isinstance(function, dict) else tool.get("name")
    return name if isinstance(name, str) else None


def _checked(function: dict[str, Any], where: str) -> Function:
    name = function.get("name")
    if not isinstance(name, str):
        raise missing_parameter(f"{where}.name")
    if not _NAME.fullmatch(name):
        raise invalid_value(
            f"{where}.name",
            f"Invalid '{where}.name': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$'.",
        )
    if not isinstance(function.get("parameters") or {}, dict):
        raise invalid_type(f"{where}.parameters", "an object", function["parameters"])
    return {key: function.get(key) for key in ("name", "description", "parameters")}
