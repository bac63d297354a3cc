"""What a chat request asks of a model, as words of a closed list: what a forecast compares with a fallback. Pure."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

OPENAI_PARAMETERS: Final = frozenset((
    "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
    "max_completion_tokens", "max_tokens", "metadata", "modalities", "moderation", "n", "parallel_tool_calls",
    "prediction", "presence_penalty", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
    "reasoning_effort", "response_format", "safety_identifier", "seed", "service_tier", "stop", "store",
    "stream", "stream_options", "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user",
    "verbosity", "web_search_options",
))  # fmt: skip
"""Every optional parameter of OpenAI's chat completions, by its own name; from the openai package 2.54, 2026-11-24."""

OTHER_PARAMETERS: Final = frozenset((
    "best_of", "chat_template_kwargs", "guided_choice", "guided_grammar", "guided_json", "guided_regex",
    "ignore_eos", "length_penalty", "min_p", "min_tokens", "random_seed", "reasoning", "repetition_penalty",
    "safe_prompt", "stop_token_ids", "structured_outputs", "thinking", "top_a", "top_k", "use_beam_search",
))  # fmt: skip
"""What self-hosted servers and other vendors take besides, and OpenAI refuses."""

UNLISTED: Final = "unlisted_parameter"
"""A parameter that neither list has; its name is the caller's own, and never leaves the request."""

CONTENT: Final = frozenset((
    "audio_input", "developer_message", "file", "image", "json_object", "json_schema", "many_choices",
    "prefill", "tool_messages", "video",
))  # fmt: skip
"""What values and messages hold: kinds of content, an answer begun by the caller, calls of tools and their results."""

PARAMETERS: Final = OPENAI_PARAMETERS | OTHER_PARAMETERS
WORDS: Final = PARAMETERS | CONTENT | {UNLISTED}
"""Every word there is."""

_ALWAYS: Final = frozenset(("model", "messages"))
_PARTS: Final[Mapping[str, str]] = {
    "file": "file",
    "image_url": "image",
    "input_audio": "audio_input",
    "video_url": "video",
}
_ROLES: Final[Mapping[str, str]] = {
    "developer": "developer_message",
    "function": "tool_messages",
    "tool": "tool_messages",
}
_PLAIN_ROLES: Final = frozenset(("assistant", "system", "user"))
_TELLING: Final = frozenset(("n", "response_format"))
"""Parameters whose values tell more than their names."""
_FORMATS: Final = ("json_object", "json_schema")


def traits_of(body: Mapping[str, Any]) -> str:
    """Return what a request's body asks for: sorted words joined by commas; empty where it asks for nothing special.

    A parameter counts where it is given, whatever its value, but for null and ``stream: false``. Takes any body, and
    never raises: what is of the wrong type asks for nothing. Content is looked into only where it is a list.
    """
    words = PARAMETERS.intersection(body)
    if len(words) != len(body) - len(_ALWAYS) or None in body.values():
        words = _given(body)
    if body.get("stream") is False:
        words -= {"stream"}
    # Nearly every request ends here: plain text, and parameters whose names say it all.
    try:
        messages = body["messages"]
        for message in messages:
            if message.get("content").__class__ is list or message["role"] not in _PLAIN_ROLES:
                words |= _held_by_messages(messages)
                break
        if messages[-1]["role"] == "assistant":
            words |= {"prefill"}
    except (AttributeError, IndexError, KeyError, TypeError):
        pass
    return _joined(words if words.isdisjoint(_TELLING) else words | _held_by_values(body))


def _given(body: Mapping[str, Any]) -> frozenset[str]:
    """Return the words for names of parameters, where some are null or on no list."""
    names = {name for name, value in body.items() if value is not None} - _ALWAYS
    return frozenset(names & PARAMETERS | ({UNLISTED} if names - PARAMETERS else set()))


def _held_by_messages(messages: Sequence[Mapping[str, Any]]) -> set[str]:
    held: set[str] = set()
    for message in messages:
        content, role = message.get("content"), message["role"]
        if role in _ROLES:
            held.add(_ROLES[role])
        if content.__class__ is list:
            kinds = [part.get("type") for part in content if isinstance(part, dict)]
            held.update(word for kind, word in _PARTS.items() if kind in kinds)
    return held


def _held_by_values(body: Mapping[str, Any]) -> set[str]:
    held: set[str] = set()
    count, wanted = body.get("n"), body.get("response_format")
    if isinstance(count, int) and count > 1:
        held.add("many_choices")
    if isinstance(wanted, dict) and (kind := wanted.get("type")) in _FORMATS:
        held.add(kind)
    return held


@lru_cache(maxsize=1024)
def _joined(words: frozenset[str]) -> str:
    return ",".join(sorted(words))
