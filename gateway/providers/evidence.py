"""A provider's answer brought to one shape, so that rules can be written about it: bodies come in many.

OpenAI's error object, Google's array of them, ``error`` as a string, problem+json, FastAPI's ``detail``, AWS's
``__type`` or its header, an SSE frame, JSON inside a string of JSON, a page of HTML, plain text, nothing.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Shape = Literal["json", "html", "text", "empty"]

FRAMEWORK_404 = "framework_404"
"""Among the codes of a web framework's own "no such route": the request never reached the provider's code."""
MAX_BODY_CHARS = 16_384
_MAX_TEXT_CHARS = 1_500
_MAX_MESSAGE_CHARS = 500
_MAX_DEPTH = 8
_MAX_NODES = 400

_CODE_KEYS = frozenset(
    {"code", "type", "__type", "status", "error_code", "errorcode", "error_type", "errortype", "reason"}
)
_STABLE_CODE_KEYS = frozenset({"code", "__type", "error_code", "errorcode"})
_MESSAGE_KEYS = frozenset(
    {
        "message", "error", "errors", "detail", "details", "title", "reason", "msg", "error_msg", "error_message",
        "errormessage", "errormsg", "error_description", "description", "raw", "errors_message", "base_resp",
        "status_msg", "innererror", "metadata", "response", "body", "data", "cause", "localizedmessage",
    }
)  # fmt: skip
# What a validator echoes of the request is the caller's text, not the provider's.
_ECHO_KEYS = frozenset({"input", "ctx", "loc", "request", "headers", "user_id", "request_id", "id", "help", "links"})
_MESSAGE_ONLY_IF_PROSE = frozenset({"reason", "title", "status", "type", "code"})

_QUOTES = str.maketrans(dict.fromkeys('‘’‛′“”„‟″`"´', "'"))
_SPACES = re.compile(r"[ \t\r\f\v\u00a0]+")
# Text that is no JSON may still name a code: "ServiceModelDeprecated: The model …".
_CODE_WORD = re.compile(r"\b(?:[A-Za-z]{2,30}(?:_[A-Za-z]{2,30}){1,5}|(?:[A-Z][a-z]{1,30}){2,6})\b")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_HTML = re.compile(r"\s{0,64}<(?:!doctype html|html|head|body|h1|center)\b", re.IGNORECASE)
_AMZN_HEADER = "x-amzn-errortype"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one failed call, ready for rules.

    ``text`` is lower case with every quotation mark written ``'``, one message a line; trailing spaces are kept,
    since a model id may carry one. ``codes`` holds machine words, lower case, separated by spaces.
    """

    provider: frozenset[str]
    """The words of the provider's kind: ``azure-openai`` is ``azure`` and ``openai``."""
    status: int
    codes: str
    text: str
    shape: Shape
    message: str
    code: str | None
    param: str | None
    is_error: bool
    """The body itself says that something failed (a 200 may carry an error)."""


@dataclass(slots=True)
class _Findings:
    messages: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    leaves: list[str] = field(default_factory=list)
    code: str | None = None
    param: str | None = None
    nodes: int = 0


def read_evidence(provider: str, status: int, headers: Mapping[str, str] | None, body: object) -> Evidence:
    """Return the evidence of one answer; never raises, looks at 16 KiB at most."""
    text, parsed = _decode(body)
    found = _Findings()
    if parsed is not None:
        _walk(parsed, found, key="", depth=0)
    header_code = _header(headers, _AMZN_HEADER)
    if header_code:
        found.codes.insert(0, header_code.split(":", 1)[0])
    if _is_framework_404(parsed):
        found.codes.append(FRAMEWORK_404)
    shape = _shape(text, parsed)
    if shape == "text":
        found.codes.extend(_CODE_WORD.findall(text[:_MAX_TEXT_CHARS]))
    messages = found.messages or found.leaves or ([text] if shape != "empty" and parsed is None else [])
    joined = "\n".join(dict.fromkeys(messages))[:_MAX_TEXT_CHARS]
    codes = " ".join(dict.fromkeys(found.codes))[:_MAX_TEXT_CHARS].lower()
    normal = _SPACES.sub(" ", joined.translate(_QUOTES)).lower()
    return Evidence(
        provider=_words(provider),
        status=_effective_status(status, found.codes),
        codes=codes,
        text=normal,
        shape=shape,
        message=_CONTROLS.sub(" ", joined).strip()[:_MAX_MESSAGE_CHARS],
        code=_code(found, header_code),
        param=found.param,
        is_error=_says_error(parsed, found) if parsed is not None else False,
    )


def _words(provider: str) -> frozenset[str]:
    words = frozenset(re.split(r"[^a-z0-9.]+", provider.lower())) - {""}
    # "openai-compatible" is anybody but OpenAI.
    return words - {"openai"} if words & {"compatible", "like"} else words


def _decode(body: object) -> tuple[str, object]:
    """Return the body as text, and as JSON where it is (or holds) JSON, else None."""
    if isinstance(body, bytes | bytearray | memoryview):
        body = bytes(body[: MAX_BODY_CHARS * 4]).decode("utf-8", "replace")
    if isinstance(body, str):
        text = body[:MAX_BODY_CHARS]
        return text, _embedded_json(text)
    return "", body


def _embedded_json(text: str) -> object:
    """Return the first JSON object or array in a text: whole, in an SSE frame, or after a prefix."""
    if _HTML.match(text):
        return None
    starts = [at for at in (text.find("{"), text.find('[{"')) if at >= 0]
    if not starts:
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(text, min(starts))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) and value else None


def _walk(node: object, found: _Findings, *, key: str, depth: int) -> None:
    """Collect messages and codes below a JSON value, in the order in which they are written."""
    found.nodes += 1
    if depth > _MAX_DEPTH or found.nodes > _MAX_NODES:
        return
    if isinstance(node, dict):
        for name, value in node.items():
            lowered = str(name).lower()
            if lowered == "param" and isinstance(value, str):
                found.param = found.param or value.lower()
            if lowered not in _ECHO_KEYS:
                _walk(value, found, key=lowered, depth=depth + 1)
    elif isinstance(node, list | tuple):
        for value in node[:50]:
            _walk(value, found, key=key, depth=depth + 1)
    elif isinstance(node, str):
        _take_string(node[:MAX_BODY_CHARS], found, key, depth)
    elif key in _CODE_KEYS and isinstance(node, int) and not isinstance(node, bool):
        found.codes.append(str(node)[:20])


def _take_string(value: str, found: _Findings, key: str, depth: int) -> None:
    if not value.strip():
        return
    prose = " " in value.strip() or not value.isascii()
    if key in _CODE_KEYS:
        found.codes.append(value[:200])
        if key in _STABLE_CODE_KEYS and not prose:
            found.code = found.code or value
    nested = _embedded_json(value) if "{" in value else None
    if nested is not None:
        # The text before the nested error ("AnthropicException - {…}") is the wrapper's, and tells little.
        _walk(nested, found, key="error", depth=depth + 1)
    elif key in _MESSAGE_KEYS and (prose or key not in _MESSAGE_ONLY_IF_PROSE):
        found.messages.append(value)
    else:
        found.leaves.append(value)


def _code(found: _Findings, header_code: str | None) -> str | None:
    """Return the most telling machine word, as the provider wrote it."""
    words = [word for word in found.codes if word.lower() != "error" and not word.isdigit()]
    chosen = header_code.split(":", 1)[0] if header_code else found.code or next(iter(words or found.codes), None)
    return _CONTROLS.sub(" ", chosen)[:100] if chosen else None


def _effective_status(status: int, codes: list[str]) -> int:
    """Return the status that an error within a 200 names for itself, else the status of the answer."""
    if not 200 <= status < 300:
        return status
    named = (int(code) for code in codes if code.isdecimal() and code.isascii() and len(code) == 3)
    return next((number for number in named if 400 <= number < 600), status)


def _is_framework_404(parsed: object) -> bool:
    """Recognise the answers of FastAPI and Spring to a path that they do not serve."""
    if not isinstance(parsed, dict):
        return False
    return parsed == {"detail": "Not Found"} or (parsed.get("error") == "Not Found" and "path" in parsed)


def _shape(text: str, parsed: object) -> Shape:
    if parsed is not None:
        return "json"
    if not text.strip():
        return "empty"
    return "html" if _HTML.match(text) else "text"


def _says_error(parsed: object, found: _Findings) -> bool:
    if isinstance(parsed, list):
        return any(isinstance(item, dict) and "error" in item for item in parsed[:5])
    if not isinstance(parsed, dict):
        return False
    if any(parsed.get(key) for key in ("error", "errors", "detail", "error_msg", "error_code", "__type")):
        return True
    return "error" in (parsed.get("object"), parsed.get("type")) or parsed.get("success") is False


def _header(headers: Mapping[str, str] | None, name: str) -> str | None:
    if not isinstance(headers, Mapping):
        return None
    for key, value in headers.items():
        if isinstance(key, str) and key.lower() == name and isinstance(value, str):
            return value
    return None
