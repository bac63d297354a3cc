"""Google's Gemini API (generateContent and streamGenerateContent), as a server answers it.

Documented at https://ai.google.dev/api/generate-content and https://ai.google.dev/gemini-api/docs/troubleshooting;
errors are google.rpc.Status with its details (https://cloud.google.com/apis/design/errors).
"""

from collections.abc import Mapping
from typing import Any

from fake_provider import Call, Script, says
from vendor_server import CLOSED, compact, event_stream, whole_or_streamed

MODEL = "gemini-2.5-flash"
USAGE = {"promptTokenCount": 10, "candidatesTokenCount": 4, "totalTokenCount": 14}
TOOL_CALL = {"functionCall": {"name": "find_order", "args": {"number": 17}}}


def chunk(
    *parts: Mapping[str, Any] | str,
    finish: str | None = "STOP",
    usage: Mapping[str, Any] | None = None,
    model: str = MODEL,
) -> dict[str, Any]:
    """One GenerateContentResponse: the whole answer, or one event of a stream, which have the same shape."""
    said = [{"text": part} if isinstance(part, str) else dict(part) for part in parts]
    candidate: dict[str, Any] = {"content": {"parts": said, "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    return {
        "candidates": [candidate],
        "usageMetadata": USAGE if usage is None else dict(usage),
        "modelVersion": model,
        "responseId": "kP4nafTqL_2k1dkPu9rKiQ8",
    }


def event(document: object) -> bytes:
    return b"data: %b\r\n\r\n" % compact(document)


def answers(*parts: Mapping[str, Any] | str, **fields: Any) -> Script:
    return says(chunk(*(parts or ("Hello there.",)), **fields))


def streamed(*chunks: Mapping[str, Any], then: str = CLOSED) -> Script:
    return event_stream(*map(event, chunks), then=then)


def error(status: int, word: str, text: str, *details: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {"code": status, "message": text, "status": word}
    return {"error": said | ({"details": [dict(detail) for detail in details]} if details else {})}


def refuses(status: int, word: str, text: str, *details: Mapping[str, Any]) -> Script:
    return says(error(status, word, text, *details), status)


def retry_info(seconds: int) -> dict[str, str]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{seconds}s"}


def error_info(reason: str) -> dict[str, Any]:
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com"},
    }


def _streams(call: Call) -> bool:
    return ":streamGenerateContent" in call.path


HALVES = (chunk("Hello", finish=None, usage={"promptTokenCount": 10, "totalTokenCount": 10}), chunk(" there."))
USUAL = whole_or_streamed(answers(), streamed(*HALVES), _streams)
BLOCKED = says(
    {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": 10, "totalTokenCount": 10},
        "modelVersion": MODEL,
    }
)
