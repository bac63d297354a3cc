"""Server-sent events, cut out of whatever blocks the network delivers."""

MAX_EVENT_BYTES = 1024 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """An event did not end within the limit."""


class EventSplitter:
    """Feed blocks, get whole events; LF, CRLF and CR all end a line, and a block may end anywhere."""

    __slots__ = ("_cr", "_max_event_bytes", "_rest", "_started")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._rest = b""
        self._cr = False
        self._started = False

    def feed(self, block: bytes) -> list[bytes]:
        """Return the events that this block completes, each without its closing blank line.

        Raises:
            EventTooLarge: what has arrived of the current event is more than the limit.
        """
        if not self._started:
            block, self._rest = self._rest + block, b""
            if len(block) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(block):
                self._rest = block
                return []
            self._started = True
            block = block.removeprefix(BYTE_ORDER_MARK)
        if self._cr or b"\r" in block:
            block = self._to_line_feeds(block)
        events = (self._rest + block if self._rest else block).split(b"\n\n")
        self._rest = events.pop()
        limit = self._max_event_bytes
        if len(self._rest) > limit or any(len(event) > limit for event in events):
            raise EventTooLarge
        # Servers may close an event with more than one blank line.
        return [event.lstrip(b"\n") for event in events if event.strip(b"\n")]

    def leftover(self) -> bytes:
        """Return what arrived after the last whole event, for an answer that ended without a blank line."""
        rest, self._rest = self._rest, b""
        return rest.strip(b"\n")

    def _to_line_feeds(self, block: bytes) -> bytes:
        """Make every line end LF; a CR at a block's end waits to see whether its LF follows."""
        if self._cr and block:
            block = b"\r" + block
            self._cr = False
        if block.endswith(b"\r"):
            block = block[:-1]
            self._cr = True
        return block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def data_of(event: bytes) -> bytes | None:
    """Return an event's data, its lines joined; None for one that has none, such as a comment."""
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:]
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None
