"""Reading a streamed answer while it passes: what it says of itself, and whether it ended as it should."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from gateway.providers.sse import MAX_EVENT_BYTES, EventSplitter, EventTooLarge, data_of

STREAM_TYPE = b"text/event-stream"


class BrokenStream(Exception):
    """The stream cannot be passed on: an event is malformed, too large, or missing."""


class ErrorEvent(Exception):
    """The upstream sent an error as an event."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__("the upstream reported an error within the stream")
        self.body = body


class StreamReader(ABC):
    """Takes blocks as they arrive, returns what the caller gets, and remembers what the ledger needs."""

    content_type = STREAM_TYPE
    takes_errors = True
    """Whether an error can be told within the stream."""

    def __init__(self) -> None:
        self.broken: BrokenStream | ErrorEvent | None = None
        """Why nothing behind what was returned can be passed on."""
        self.usage: object = None
        self.model: object = None
        self.service_tier: object = None
        """The tier that the answer says it was served in."""
        self.finished = False
        """The answer has said that it is complete."""
        self.failed = False
        """The answer has said that it will not be."""
        self.done = False
        """Nothing more is expected."""
        self.events = 0
        """Events that carried something of the answer; comments do not count."""
        self.output_chars = 0
        self.output_events = 0
        """Events that carried characters of the answer: most providers send one a token."""

    @abstractmethod
    def take(self, block: bytes) -> bytes:
        """Return what the caller gets of a block, possibly nothing; sets ``broken`` where that ends."""

    @abstractmethod
    def end(self) -> bytes:
        """Close the books at a clean end of the connection; return what the caller still gets.

        Raises:
            BrokenStream: the answer was cut off.
            ErrorEvent: the last words were an error.
        """

    def unread(self) -> bytes:
        """Return what arrived at the end and was not understood."""
        return b""


class EventReader(StreamReader):
    """Reads server-sent events, one JSON object each."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        super().__init__()
        self._splitter = EventSplitter(max_event_bytes)

    def take(self, block: bytes) -> bytes:
        """Return the whole events of a block that the caller gets."""
        passed: list[bytes] = []
        try:
            for event in self._splitter.feed(block):
                passes = self._pass(event)
                if passes is not None:
                    passed.append(passes)
        except EventTooLarge:
            self.broken = BrokenStream("an event of the upstream's stream is too large")
        except (BrokenStream, ErrorEvent) as error:
            # What was raised holds frames, which hold this reader.
            self.broken, error.__context__ = error.with_traceback(None), None
        return b"\n\n".join(passed) + b"\n\n" if passed else b""

    def unread(self) -> bytes:
        """Return what arrived at the end and was no whole event."""
        rest = self._splitter.leftover()
        return data_of(rest) or rest

    def end(self) -> bytes:
        """Take what has no closing blank line; then the answer must have said that it is complete."""
        rest = self._splitter.leftover()
        passes = self._pass(rest) if rest else None
        last = passes + b"\n\n" if passes is not None else b""
        if self.done:
            return last
        if not self.finished:
            raise BrokenStream("the upstream's stream ended before the answer did")
        self.done = True
        return last + self._closing()

    def _closing(self) -> bytes:
        """Return what a complete answer is closed with, where the upstream left that out."""
        return b""

    def _pass(self, event: bytes) -> bytes | None:
        """Read one event; return it as the caller gets it, or None."""
        data = data_of(event)
        if data is None:
            return event
        if data == b"[DONE]":
            self.done = True
            return event
        try:
            chunk = orjson.loads(data)
            if chunk.get("error"):
                # What was counted until then is billed all the same.
                self.usage = chunk.get("usage") or self.usage
                raise ErrorEvent(chunk)
            return self._read(event, chunk)
        except (orjson.JSONDecodeError, AttributeError, TypeError):
            raise BrokenStream("an event of the upstream's stream is malformed") from None

    @abstractmethod
    def _read(self, event: bytes, chunk: dict[str, Any]) -> bytes | None:
        """Read one event's object; return the event as the caller gets it, or None."""


class ChoicesReader(EventReader):
    """Reads the chunks of a chat completion or of a completion. ``[DONE]`` is supplied only behind a finish_reason."""

    def __init__(self, wants_usage: bool, produced_chars: Callable[[Mapping[str, Any]], int]) -> None:
        super().__init__()
        self._wants_usage = wants_usage
        self._produced_chars = produced_chars

    def _closing(self) -> bytes:
        return b"data: [DONE]\n\n"

    def _read(self, event: bytes, chunk: dict[str, Any]) -> bytes | None:
        self.events += 1
        if not self.model:
            # Azure's first event is about the prompt, and leaves the model empty.
            self.model = chunk.get("model")
        usage = chunk.get("usage")
        if usage:
            # Some providers count in every event: the last count is the one that holds.
            self.usage = usage
        tier = chunk.get("service_tier")
        if tier:
            self.service_tier = tier
        choices = chunk.get("choices")
        if not choices:
            return event if self._wants_usage or not usage else None
        for choice in choices:
            if choice.get("finish_reason"):
                self.finished = True
            produced = self._produced_chars(choice)
            if produced:
                self.output_chars += produced
                self.output_events += 1
        return event


class MediaReader(EventReader):
    """Reads the events of pictures, sound and transcripts, and passes them on as they are.

    Those that say by a type what they are end with one of ``…completed`` or ``…done``; of others nothing is known but
    their end.
    """

    def __init__(self) -> None:
        super().__init__(16 * MAX_EVENT_BYTES)
        self._typed = False

    def end(self) -> bytes:
        """Take a clean end for the end, where no type ever said that there is more to come."""
        self.finished = self.finished or not self._typed
        return super().end()

    def _read(self, event: bytes, chunk: dict[str, Any]) -> bytes | None:
        self.events += 1
        self.usage = chunk.get("usage") or self.usage
        self.model = self.model or chunk.get("model")
        kind = chunk.get("type")
        if isinstance(kind, str):
            self._typed = True
            self.finished = self.finished or kind.endswith((".completed", ".done"))
        return event


class RawReader(StreamReader):
    """Passes bytes that are nobody's business: sound, a page of text. Their end is the connection's clean end."""

    takes_errors = False

    def __init__(self, content_type: bytes) -> None:
        super().__init__()
        self.content_type = content_type

    def take(self, block: bytes) -> bytes:
        """Return the block."""
        self.events += 1
        return block

    def end(self) -> bytes:
        """Nothing is missing: an answer that is cut off has no clean end."""
        self.done = self.finished = True
        return b""
