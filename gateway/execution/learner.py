"""What the request path tells whoever learns from it, and nothing else: two calls, neither of which waits."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.execution.attempts import Attempt
    from gateway.execution.prepared import PreparedRoute, Snapshot
    from gateway.execution.request import Request
    from gateway.ledger.entry import Entry


class Reservation(Protocol):
    """Money set aside."""


class Learner(Protocol):
    """Hears of requests to routes that capture or rehearse, and of no others."""

    def meet(self, request: "Request", route: "PreparedRoute", snapshot: "Snapshot") -> None:
        """Decide, before a request is planned, whether it is learnt from, and whether it rehearses."""

    def settled(self, attempt: "Attempt", entry: "Entry", route: "PreparedRoute", snapshot: "Snapshot") -> None:
        """Hear of every attempt at a request that is learnt from, once it is booked."""


class NobodyLearns:
    """Learns nothing."""

    def meet(self, request: "Request", route: "PreparedRoute", snapshot: "Snapshot") -> None:
        """Do nothing."""

    def settled(self, attempt: "Attempt", entry: "Entry", route: "PreparedRoute", snapshot: "Snapshot") -> None:
        """Do nothing."""
