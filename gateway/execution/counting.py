"""What an attempt used, who counted it, and what that costs."""

from gateway.execution.attempts import Attempt
from gateway.policy.pricing import Price, Usage, cost_nanousd, estimate_usage, read_usage
from gateway.reasons import FailureKind, Outcome, UsageSource

NOTHING = Usage(0)


def cost_of(attempt: Attempt, usage: Usage, source: UsageSource, price: Price | None) -> int | None:
    """Return what an attempt cost, in nano-dollars; None: nobody can tell, as for sound priced by the minute."""
    if source is UsageSource.NONE:
        free = price is not None and not price.input and not price.output
        return 0 if free or attempt.outcome is not Outcome.OK else None
    return cost_nanousd(price, usage) if price is not None else None


def counted(attempt: Attempt) -> tuple[Usage, UsageSource]:
    """Return an attempt's tokens and who counted them.

    The provider's count, where it is credible. An answer without one is estimated. One that was cut off is estimated
    from what had passed. A refused request used nothing; one that was sent and never answered, or whose answer broke
    off, may have been billed.
    """
    reader, answer = attempt.reader, attempt.answer
    usage = read_usage(reader.usage if reader is not None else answer.get("usage") if answer is not None else None)
    if usage is not None:
        return usage, UsageSource.PROVIDER
    chars = attempt.request.endpoint.input_chars(attempt.sent_body), output_chars(attempt)
    if attempt.outcome is Outcome.OK:
        return (estimate_usage(*chars), UsageSource.ESTIMATED) if any(chars) else (NOTHING, UsageSource.NONE)
    if attempt.sent and (
        attempt.broke_off
        or attempt.failure is FailureKind.TIMEOUT
        or attempt.outcome in (Outcome.INTERRUPTED, Outcome.CANCELLED)
    ):
        return estimate_usage(*chars), UsageSource.INTERRUPTED
    return NOTHING, UsageSource.NONE


def output_chars(attempt: Attempt) -> int:
    """Return how many characters of answer have passed."""
    if attempt.reader is not None:
        return attempt.reader.output_chars
    return 0 if attempt.answer is None else attempt.request.endpoint.output_chars(attempt.answer)
