"""How long canaries may take, by how long the answers took of who stands behind them."""

from gateway.execution.attempts import Attempt
from gateway.execution.prepared import ReadyPlan
from gateway.execution.prepared_target import PreparedTarget
from gateway.execution.request import Request
from gateway.metrics import Histogram
from gateway.policy.patience import canary_limit_s
from gateway.policy.promotion import CANARY


class CanaryPatience:
    """Reads what the metrics observe of every answer, less what canaries had a part in.

    A canary answers as a primary, so its answers are in the primary's distributions; and what the primary answered
    after a canary had failed is there with the time that this took: each that hangs would allow the next one more.
    """

    def __init__(self) -> None:
        self._of_canaries: dict[Histogram, Histogram] = {}
        """By a distribution of the metrics: the part of it that is not the primary's alone."""

    def limit_s(self, request: Request, behind: PreparedTarget) -> float:
        """Return how long a canary may take with a request, in seconds, until ``behind`` is asked."""
        if request.streamed and not request.endpoint.begins_late:
            known, at_most_s = behind.meters.first_token, request.timeouts.first_token_s
        else:
            known = behind.meters.duration(request.endpoint.name, request.streamed)
            at_most_s = request.timeouts.total_s
        counts, others = known.counts, self._of_canaries.get(known)
        if others is not None:
            counts = [max(0, count - other) for count, other in zip(counts, others.counts, strict=True)]
        return canary_limit_s(known.bounds, counts, at_most_s=at_most_s)

    def finished(self, attempt: Attempt, plan: ReadyPlan, duration_s: float) -> None:
        """Hear of an answer of a route with a canary, and of what was observed: the seconds of its request."""
        first = plan.steps[0].prepared
        if first.target.name != CANARY:
            return
        request, meters = attempt.request, attempt.prepared.meters
        self._other(meters.duration(request.endpoint.name, request.streamed), duration_s)
        if attempt.prepared is first and attempt.first_at is not None:
            self._other(meters.first_token, attempt.first_at - attempt.sent_at)

    def _other(self, known: Histogram, observed_s: float) -> None:
        others = self._of_canaries.get(known)
        if others is None:
            others = self._of_canaries[known] = Histogram(known.bounds)
        others.observe(observed_s)
