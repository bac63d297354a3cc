"""How many tokens texts take, counted offline: as OpenAI's current models count them, an estimate for others."""

import hashlib
import importlib.util
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from tiktoken import Encoding

ENCODING: Final = "o200k_base"
MESSAGE_TOKENS: Final = 4
"""What a message takes beside its text: its role, and the signs around it."""
PART_TOKENS: Final = 1_000
"""What a picture, a sound or a file is taken to be; providers differ by a factor of ten."""
_CHARACTERS_A_TOKEN: Final = 4
# The longest that is encoded in one go: a run of a million spaces is more than tiktoken's expression can take.
_PIECE: Final = 16_384
_ADDRESS: Final = f"https://openaipublic.blob.core.windows.net/encodings/{ENCODING}.tiktoken"


def counted_by() -> str:
    """Say how tokens are counted here; a manifest names it."""
    if _encoding() is None:
        return f"{_CHARACTERS_A_TOKEN} characters a token, an estimate"
    return f"tiktoken {ENCODING}, {MESSAGE_TOKENS} more a message; an estimate for models of other vendors"


def tokens_of_text(text: str) -> int:
    """Count a text's tokens; what looks like a control token is text. At most one too many per 16,384 characters."""
    encoding = _encoding()
    if encoding is None:
        return -(-len(text) // _CHARACTERS_A_TOKEN)
    pieces = (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))
    return sum(len(encoding.encode(piece, disallowed_special=())) for piece in pieces)


def tokens_of(messages: Iterable[Mapping[str, Any]]) -> int:
    """Count the tokens of messages, with what a message takes beside its text."""
    return sum(MESSAGE_TOKENS + _of_message(message) for message in messages)


def tokens_of_tools(tools: object) -> int:
    """Count the tokens of a request's tools, as their JSON."""
    return tokens_of_text(orjson.dumps(tools).decode()) if tools else 0


def _of_message(message: Mapping[str, Any]) -> int:
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [part.get("text") or part.get("refusal") for part in parts]
    calls = [call.get("function") or {} for call in message.get("tool_calls") or ()]
    texts += [call.get(key) for call in calls for key in ("name", "arguments")]
    texts += [message.get("name"), message.get("refusal")]
    others = sum(part.get("type", "text") not in ("text", "refusal") for part in parts)
    return PART_TOKENS * others + sum(tokens_of_text(text) for text in texts if isinstance(text, str) and text)


@cache
def _encoding() -> "Encoding | None":
    """Return the encoding of the file that comes with litellm (0.5 s, 85 MiB); None where it is not there.

    tiktoken would fetch it from the network where it does not find it.
    """
    # find_spec on a top-level package locates it without running it.
    spec = importlib.util.find_spec("litellm")
    if spec is None or spec.origin is None:
        return None
    directory = Path(spec.origin).parent / "litellm_core_utils" / "tokenizers"
    if not (directory / hashlib.sha1(_ADDRESS.encode(), usedforsecurity=False).hexdigest()).is_file():
        return None
    import tiktoken

    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    os.environ["TIKTOKEN_CACHE_DIR"] = str(directory)
    try:
        return tiktoken.get_encoding(ENCODING)
    finally:
        if before is None:
            del os.environ["TIKTOKEN_CACHE_DIR"]
        else:
            os.environ["TIKTOKEN_CACHE_DIR"] = before
