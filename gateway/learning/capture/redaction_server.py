"""What runs in the process for redaction: rows come on its standard input, and go redacted to its standard output.

Every frame is four bytes (its length, big-endian) and JSON. Three make a row: how to redact it, the request, the
answer. One comes back: the row, or null where it cannot be redacted whole.
"""

import contextlib
import json
import os
import signal
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final

import orjson

from gateway.learning.capture.redaction import Redactor

_MOST_REDACTORS: Final = 64
# JSON in JSON in JSON: as deep as the redactor looks.
_DEEPEST: Final = 4


def main() -> None:
    """Serve until the input ends. Nothing that was read is ever printed."""
    rows, replies = sys.stdin.buffer, sys.stdout.buffer
    # What fails from here on may repeat a text.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    if hasattr(os, "nice"):
        os.nice(10)
    redactors = Redactors()
    _write(replies, b"")
    while (how := _read(rows)) is not None:
        request, answer = _read(rows), _read(rows)
        settings = orjson.loads(how)
        _allow(settings["cpu_s"])
        try:
            redacted = redact_row(redactors.of(settings), orjson.loads(request or b""), orjson.loads(answer or b""))
            reply = orjson.dumps(redacted)
        except Exception:
            reply = b"null"
        _allow(0)
        _write(replies, reply)


class Redactors:
    """One redactor for each way in which routes redact; built once, since that takes a tenth of a second."""

    def __init__(self) -> None:
        self._built: dict[str, Redactor] = {}

    def of(self, settings: Mapping[str, Any]) -> Redactor:
        """Return the redactor of a route's settings. Raises ``ValueError`` where they cannot be used."""
        how = (settings["redact"], settings["patterns"], settings["phone_regions"])
        key = json.dumps(how)
        if key not in self._built:
            if len(self._built) >= _MOST_REDACTORS:
                self._built.clear()
            self._built[key] = Redactor(*how)
        return self._built[key]


def redact_row(redactor: Redactor, request: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the row redacted, with how often each kind was found; None where it cannot be redacted whole."""
    if redactor.kinds and not _is_redactable([*request["messages"], answer], request, redactor):
        return None
    (request, answer), redacted = redactor.value([request, answer])
    if redactor.kinds and any(map(redactor.find, _joined([*request["messages"], answer]))):
        return None
    return {"request": request, "answer": answer, "redacted": redacted}


def _is_redactable(messages: Sequence[Mapping[str, Any]], request: Mapping[str, Any], redactor: Redactor) -> bool:
    """Whether the redactor sees all there is: not within pictures, sound and files, and it leaves keys as they are."""
    parts = (part for message in messages if isinstance(message.get("content"), list) for part in message["content"])
    if any(isinstance(part, dict) and part.get("type") not in ("text", "refusal", "image_url") for part in parts):
        return False
    keys: set[str] = set()
    for key, text in _texts([request, *messages]):
        keys.add(key)
        if text.lstrip()[:5].lower() == "data:":
            return False
    return not any(map(redactor.find, keys))


def _joined(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield messages' parts as a model may read them, joined: what was split over two of them shows."""
    for message in messages:
        parts = message.get("content")
        if isinstance(parts, list):
            texts = [part.get("text") for part in parts if isinstance(part, dict)]
            written = [text for text in texts if isinstance(text, str)]
            if len(written) > 1:
                yield from ("".join(written), " ".join(written))


def _texts(value: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield every key with the text under it (empty where that is none), also within texts that are JSON."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key, ""
            yield from _texts(item, depth)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, depth)
    elif isinstance(value, str):
        yield "", value
        if depth < _DEEPEST and value.lstrip()[:1] in ("{", "[", '"'):
            try:
                inner = json.loads(value)
            except ValueError:
                return
            yield from _texts(inner, depth + 1)


def _allow(cpu_s: float) -> None:
    """Let the system end this process once it has worked for so long: also where nobody is left to kill it."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_VIRTUAL, cpu_s)


def _read(stream: BinaryIO) -> bytes | None:
    head = stream.read(4)
    return stream.read(struct.unpack("!I", head)[0]) if len(head) == 4 else None


def _write(stream: BinaryIO, frame: bytes) -> None:
    stream.write(struct.pack("!I", len(frame)) + frame)
    stream.flush()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
