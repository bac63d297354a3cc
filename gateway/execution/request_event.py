"""What is known of one request once it is over: what its log line and its trace are made of."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.execution.endpoints import ENDPOINTS
from gateway.reasons import Outcome

if TYPE_CHECKING:
    from gateway.ledger.entry import Entry

_OF_MODELS: Final = frozenset(endpoint.name for endpoint in ENDPOINTS)


class RequestEvent(NamedTuple):
    """One request, answered or refused. Nothing of what its caller wrote is in it, but an id that may be repeated."""

    request_id: str
    endpoint: str
    """The endpoint's name, or a path as the code has it."""
    route: str | None
    """None: it named none."""
    stream: bool
    status: int
    """What the caller got; 499: they left before they got anything."""
    code: str | None
    """The error's code; None: there was none."""
    key: str | None
    """The caller's key by its label."""
    started_at: datetime
    duration_s: float
    attempts: "Sequence[Entry]" = ()
    """Their rows, in order; the last one answered, if anybody did."""
    adapted: Sequence[str] = ()
    """The parameters that were changed for who answered."""
    bucket: float | None = None
    """Where the conversation stands in [0, 1), where a ramp asked for it."""
    traceparent: bytes | None = None
    """The caller's trace, as it came."""

    @property
    def is_of_model(self) -> bool:
        """Whether it was made to an endpoint that takes a model."""
        return self.endpoint in _OF_MODELS

    @property
    def is_trouble(self) -> bool:
        """Whether somebody should look: an error, or an answer that broke off."""
        return self.status >= 400 or bool(self.attempts and self.attempts[-1].outcome is not Outcome.OK)


Listener = Callable[[RequestEvent], None]
"""Is told of each request when it is over; does not wait, and does not raise."""
