"""A circuit breaker as values: a state, and what a success or a failure makes of it. Pure.

It opens at the fifth failure in a row, stays open for 5 s, lets one request try, and doubles its pause, up to a minute,
each time that trial fails.
"""

from dataclasses import dataclass

FAILURES_TO_OPEN = 5
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0
TRIAL_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Circuit:
    """The health of one target; times are monotonic seconds."""

    failures: int = 0
    open_until: float = 0.0
    pause_s: float = 0.0
    trial_until: float = 0.0
    """While now is before this, one trial request is out and nobody else may follow it."""

    @property
    def closed(self) -> bool:
        """Whether requests flow freely."""
        return self.pause_s == 0.0

    def lets_through(self, now: float) -> bool:
        """Tell whether a request may be sent now."""
        return self.closed or (now >= self.open_until and now >= self.trial_until)


CLOSED = Circuit()


def after_success() -> Circuit:
    """One good answer closes the circuit."""
    return CLOSED


def after_failure(circuit: Circuit, now: float) -> Circuit:
    """Count a failure; open, or open for longer, where it is due."""
    failures = circuit.failures + 1
    if circuit.closed:
        if failures < FAILURES_TO_OPEN:
            return Circuit(failures=failures)
        return Circuit(failures, now + FIRST_PAUSE_S, FIRST_PAUSE_S)
    if now < circuit.open_until:
        # A straggler that was sent before the circuit opened says nothing new.
        return circuit
    pause_s = min(circuit.pause_s * 2, LONGEST_PAUSE_S)
    return Circuit(failures, now + pause_s, pause_s)


def on_trial(circuit: Circuit, now: float) -> Circuit:
    """Mark that the one trial request is on its way."""
    return Circuit(circuit.failures, circuit.open_until, circuit.pause_s, now + TRIAL_PATIENCE_S)
