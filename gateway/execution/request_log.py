"""One line of JSON a request: who asked for what, who answered and why, what it took and cost. Never what was said."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from gateway.execution.line_writer import LineWriter
from gateway.execution.request_event import RequestEvent
from gateway.reasons import Outcome

if TYPE_CHECKING:
    from gateway.ledger.entry import Entry


class RequestLog:
    """Writes request events; ``errors_only`` leaves out those that went well."""

    def __init__(self, writer: LineWriter, *, errors_only: bool = False) -> None:
        self._writer = writer
        self._errors_only = errors_only

    def told(self, event: RequestEvent) -> None:
        """Take one event; the line goes out behind the answer."""
        if not self._errors_only or event.is_trouble:
            self._writer.write(line_of(event))


def line_of(event: RequestEvent) -> bytes:
    """Return one line of plain ASCII with one JSON object: nothing in it can end the line, or speak to a terminal."""
    attempts = event.attempts
    last = attempts[-1] if attempts else None
    fields: dict[str, Any] = {
        "event": "request",
        "level": "error" if event.status >= 500 else "warning" if event.is_trouble else "info",
        "timestamp": event.started_at,
        "request_id": event.request_id or None,
        "route": event.route,
        "endpoint": event.endpoint,
        "stream": event.stream,
        "status": event.status,
        "code": event.code,
        "duration_ms": round(event.duration_s * 1000, 3),
        "key": event.key,
    }
    if last is not None:
        fields |= {
            "outcome": last.outcome,
            "failure": last.failure,
            "served_by": last.role if last.outcome is not Outcome.FAILED else None,
            "target": last.target,
            "provider": last.provider,
            "model_asked": last.model_asked,
            "model_answered": last.model_answered,
            "reason": last.reason,
            "pinned": last.pinned,
            "team": last.team,
            "input_tokens": last.input_tokens,
            "cached_input_tokens": last.cached_input_tokens,
            "output_tokens": last.output_tokens,
            "usage_source": last.usage_source,
            "cost_nanousd": _cost(attempts),
            "ttft_ms": _rounded(last.ttft_ms),
            "overhead_ms": _rounded(last.overhead_ms),
            "adapted": event.adapted,
            "attempts": [
                {
                    "provider": each.provider,
                    "model": each.model_asked,
                    "outcome": each.outcome,
                    "failure": each.failure,
                    "ms": round(each.duration_ms, 3),
                }
                for each in attempts
            ],
        }
    if event.bucket is not None:
        fields["bucket"] = round(event.bucket, 6)
    return in_ascii(orjson.dumps(fields, default=list, option=orjson.OPT_APPEND_NEWLINE))


def in_ascii(line: bytes) -> bytes:
    """Return a line of JSON with everything escaped that is not printable ASCII: U+2028, C1 controls, DEL."""
    if line.isascii() and b"\x7f" not in line:
        return line
    text = line.decode("utf-8")
    return "".join([char if char < "\x7f" else _escaped(char) for char in text]).encode()


def _escaped(char: str) -> str:
    point = ord(char)
    if point < 0x10000:
        return f"\\u{point:04x}"
    point -= 0x10000
    return f"\\u{0xD800 | point >> 10:04x}\\u{0xDC00 | point & 0x3FF:04x}"


def _cost(attempts: "Sequence[Entry]") -> int | None:
    """Return what all attempts cost together; None: of one nobody can tell."""
    total = 0
    for each in attempts:
        if each.cost_nanousd is None:
            return None
        total += each.cost_nanousd
    return total


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
