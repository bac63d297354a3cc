"""What a caller asked, checked; and where the answer goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from gateway.config.callers import ANYBODY, Caller
from gateway.config.routes import Timeouts
from gateway.ledger.entry import Entry, EntryKind

if TYPE_CHECKING:
    from gateway.execution.admission import Admitted
    from gateway.execution.endpoints.endpoint import Endpoint
    from gateway.execution.endpoints.multipart import Form
    from gateway.execution.learner import Reservation
    from gateway.policy.stored_ids import Owner

DEFAULT_TIMEOUTS = Timeouts()
UNKNOWN_TIME = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Request:
    """One call of one endpoint."""

    endpoint: "Endpoint"
    body: dict[str, Any]
    """As the caller sent it; nothing changes it. Of a form, its text fields."""
    model: str
    streamed: bool = False
    wants_usage: bool = False
    """Whether the caller asked for a stream's final usage chunk."""
    words: frozenset[str] = frozenset()
    """What it asks of a model: words of ``policy.traits``."""
    held_by: str | None = None
    """The tag of the provider that holds what it refers to (``policy.stored_ids``)."""
    owner: "Owner | None" = None
    """Whose the ids are of what a provider stores for it; None: nobody's in particular."""
    form: "Form | None" = None
    """The parts of a multipart body."""
    id: str = ""
    caller: Caller = ANYBODY
    """Who asks, and what they may."""
    key: str | None = None
    """The caller's key by its label."""
    kind: EntryKind = "live"
    """Who asks: a caller, or the gateway itself for what it learns."""
    hold_id: str | None = None
    """What is set aside for it, where its key has a budget."""
    residency: str | None = None
    """Where the caller's key wants its data kept."""
    session: str | None = None
    """The conversation, where the caller named one."""
    started: float = 0.0
    """Monotonic seconds."""
    started_at: datetime = UNKNOWN_TIME
    rehearses: bool = False
    """Whether the fallback answers it although nothing speaks against the primary."""
    learnt: bool = False
    """Whether somebody hears of its attempts (``execution.learner``)."""
    reservation: "Reservation | None" = None
    """The money set aside for a request that rehearses, until it is known what it cost."""
    admitted: "Admitted | None" = None
    """What was counted and set aside for it; None: its key has no limits."""
    captured: bool = False
    """Whether request and answer are to be kept, blacked out."""
    kept: list[bytes] | None = None
    """What was streamed to the caller, where somebody learns from it; of a whole answer, nothing."""
    room: int = 0
    """How many more bytes of a stream may be kept."""
    tags: Mapping[str, str] | None = None
    """What its caller wants its cost added up by: ``x-gateway-tags``."""
    timeouts: Timeouts = DEFAULT_TIMEOUTS
    """The route's, once it is known."""
    tried: int = 0
    """Attempts so far."""
    cut: bool = False
    """Whether the gateway stops, and can wait for its answer no longer."""
    waited_s: float = 0.0
    """Spent waiting for upstreams before the answer was committed."""
    settled: "tuple[Entry, ...]" = ()
    """The rows of its attempts that are over, in order."""
    adapted: Sequence[str] = ()
    """The parameters that were changed for who answered."""
    bucket: float | None = None
    """Where its conversation stands in [0, 1), where a ramp asks for it."""

    def keep(self, block: bytes) -> None:
        """Keep a part of a streamed answer; one that is too long is not kept at all."""
        if self.kept is not None:
            self.room -= len(block)
            if self.room < 0:
                self.kept = None
            else:
                self.kept.append(block)


class Reply(Protocol):
    """The answer's way to the caller."""

    async def whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a complete answer."""

    async def begin(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Commit a streamed answer: status 200 and its headers."""

    async def block(self, data: bytes) -> None:
        """Send a part of a streamed answer; returns when the caller can take more."""

    async def end(self) -> None:
        """Close a streamed answer."""

    def cut(self) -> None:
        """Leave a streamed answer without its end, so that nobody takes what was sent for the whole."""
