"""What the request path tells whoever learns from it, and nothing else: two calls, neither of which waits."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.execution.attempts import Attempt
    from gateway.execution.prepared import PreparedRoute, Snapshot
    from gateway.execution.request import Request
    from gateway.ledger.entry import Entry


class Learner(Protocol):
    """Hears of requests to routes that capture or rehearse, and of no others."""

    def meet(self, request: "Request", route: "PreparedRoute", snapshot: "Snapshot") -> None:
        """Decide, before a request is planned, whether its answer is kept, and whether it rehearses."""

    def heard(self, attempt: "Attempt", entry: "Entry", route: "PreparedRoute", snapshot: "Snapshot") -> None:
        """Take over an answer that its caller has; only of requests that are kept."""


class NobodyLearns:
    """Learns nothing."""

    def meet(self, request: "Request", route: "PreparedRoute", snapshot: "Snapshot") -> None:
        """Do nothing."""

    def heard(self, attempt: "Attempt", entry: "Entry", route: "PreparedRoute", snapshot: "Snapshot") -> None:
        """Do nothing."""
