"""Reading a streamed answer while it passes: what it says of itself, and whether it ended as it should."""

from typing import Any

import orjson

from gateway.providers.sse import EventSplitter, EventTooLarge, data_of


class BrokenStream(Exception):
    """The stream cannot be passed on: an event is malformed, too large, or missing."""


class ErrorEvent(Exception):
    """The upstream sent an error as an event."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__("the upstream reported an error within the stream")
        self.body = body


class AnswerReader:
    """Takes blocks as they arrive, returns what the caller gets, and remembers what the ledger needs."""

    __slots__ = ("_splitter", "_wants_usage", "broken", "done", "events", "finished", "model", "output_chars", "usage")

    def __init__(self, wants_usage: bool) -> None:
        self._splitter = EventSplitter()
        self._wants_usage = wants_usage
        self.broken: BrokenStream | ErrorEvent | None = None
        """Why nothing behind what was returned can be passed on."""
        self.usage: object = None
        self.model: object = None
        self.finished = False
        """A finish_reason has passed."""
        self.done = False
        """``[DONE]`` has passed."""
        self.events = 0
        """Events that carried something; comments do not count."""
        self.output_chars = 0

    def take(self, block: bytes) -> bytes:
        """Return the whole events of a block that the caller gets, possibly none; sets ``broken`` where they stop."""
        passed: list[bytes] = []
        try:
            for event in self._splitter.feed(block):
                if self._passes(event):
                    passed.append(event)
        except EventTooLarge:
            self.broken = BrokenStream("an event of the upstream's stream is too large")
        except (BrokenStream, ErrorEvent) as error:
            self.broken = error
        return b"\n\n".join(passed) + b"\n\n" if passed else b""

    def unread(self) -> bytes:
        """Return what arrived at the end and was no whole event."""
        rest = self._splitter.leftover()
        return data_of(rest) or rest

    def end(self) -> bytes:
        """Close the books at a clean end of the connection; return what the caller still gets.

        Raises:
            BrokenStream: the answer was cut off. ``[DONE]`` is supplied only behind a finish_reason.
            ErrorEvent: the last words were an error.
        """
        rest = self._splitter.leftover()
        last = rest + b"\n\n" if rest and self._passes(rest) else b""
        if self.done:
            return last
        if not self.finished:
            raise BrokenStream("the upstream's stream ended before the answer did")
        self.done = True
        return last + b"data: [DONE]\n\n"

    def _passes(self, event: bytes) -> bool:
        """Read one event; tell whether the caller gets it."""
        data = data_of(event)
        if data is None:
            return True
        if data == b"[DONE]":
            self.done = True
            return True
        try:
            chunk = orjson.loads(data)
            if chunk.get("error"):
                raise ErrorEvent(chunk)
            return self._read(chunk)
        except (orjson.JSONDecodeError, AttributeError, TypeError):
            raise BrokenStream("an event of the upstream's stream is malformed") from None

    def _read(self, chunk: dict[str, Any]) -> bool:
        self.events += 1
        if not self.model:
            # Azure's first event is about the prompt, and leaves the model empty.
            self.model = chunk.get("model")
        usage = chunk.get("usage")
        if usage:
            # Some providers count in every event: the last count is the one that holds.
            self.usage = usage
        choices = chunk.get("choices")
        if not choices:
            return self._wants_usage or not usage
        for choice in choices:
            if choice.get("finish_reason"):
                self.finished = True
            delta = choice.get("delta")
            if delta:
                self.output_chars += produced_chars(delta)
        return True


def produced_chars(message: dict[str, Any]) -> int:
    """Return how many characters a message or a delta holds: the base of an estimate where nobody counted."""
    content = message.get("content")
    length = len(content) if isinstance(content, str) else 0
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        length += sum(map(_argument_chars, calls))
    return length


def _argument_chars(call: object) -> int:
    function = call.get("function") if isinstance(call, dict) else None
    arguments = function.get("arguments") if isinstance(function, dict) else None
    return len(arguments) if isinstance(arguments, str) else 0
