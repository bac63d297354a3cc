"""What an attempt used, who counted it, and what that costs."""

from decimal import Decimal
from typing import Any, Final, NamedTuple

from gateway.execution.attempts import Attempt
from gateway.execution.substitutes import Answered
from gateway.policy.amounts import AmountPrice, seconds_of
from gateway.policy.pricing import (
    CHARS_PER_TOKEN,
    AbsurdUsage,
    Price,
    Usage,
    checked_usage,
    cost_nanousd,
    estimate_usage,
)
from gateway.reasons import FailureKind, Outcome, UsageSource

NOTHING = Usage(0)
LONGEST_TIER: Final = 64
GENERATIONS: Final = "/images/generations"
"""Where what goes in is text, and every picture is paid for that comes out."""


class Bill(NamedTuple):
    """What an attempt comes to."""

    usage: Usage
    source: UsageSource
    rejected: bool
    """Whether the provider's count was absurd, so that it is not the one above."""
    service_tier: str | None
    """As the answer names it; None: it does not."""
    cost_nanousd: int | None
    """None: nobody can tell (unpriced)."""
    price_version: str | None


def bill(attempt: Attempt, answered: Answered) -> Bill:
    """Return what an attempt used and cost; ``answered`` is what the model's name in its answer means.

    Tokens that a provider counted are priced by the token. What has no such price may have one by the second of sound,
    the character of speech, or the picture: then the answer or the request tells how many, exactly.
    """
    told = _told(attempt)
    usage, source, rejected = _counted(attempt, told)
    tier, price = _tier(attempt), answered.price
    if answered.amounts is not None and (price is None or source is not UsageSource.PROVIDER):
        try:
            seconds = seconds_of(told)
        except AbsurdUsage:
            seconds, rejected = None, True
        exact = _by_amount(attempt, answered.amounts, seconds)
        if exact is not None:
            counter = UsageSource.PROVIDER if seconds is not None else source
            return Bill(usage, counter, rejected, tier, round(exact), answered.amounts.version)
    cost = _by_token(attempt, usage, source, price, tier)
    return Bill(usage, source, rejected, tier, cost, None if price is None else price.version)


def _told(attempt: Attempt) -> object:
    """Return what the provider counted, unread."""
    if attempt.reader is not None:
        return attempt.reader.usage
    # An answer that could not be passed on has been made, and is billed.
    answer = attempt.unusable if attempt.answer is None else attempt.answer
    return None if answer is None else answer.get("usage")


def _tier(attempt: Attempt) -> str | None:
    reader = attempt.reader
    answer = attempt.unusable if attempt.answer is None else attempt.answer
    tier: Any = reader.service_tier if reader is not None else None if answer is None else answer.get("service_tier")
    # PostgreSQL keeps no NUL in a text: it would refuse the row for it.
    return tier[:LONGEST_TIER].replace("\0", "") or None if isinstance(tier, str) else None


def _by_token(
    attempt: Attempt, usage: Usage, source: UsageSource, price: Price | None, tier: str | None = None
) -> int | None:
    """Return what tokens cost, in nano-dollars; None: nobody can tell, as for sound priced by the minute."""
    if source is UsageSource.NONE:
        free = price is not None and not price.input and not price.output
        return 0 if free or attempt.outcome is not Outcome.OK else None
    return cost_nanousd(price, usage, tier) if price is not None else None


def _by_amount(attempt: Attempt, price: AmountPrice, seconds: Decimal | None) -> Decimal | None:
    """Return what seconds, characters or pictures cost; None: there is no price, or nobody says how many they are."""
    endpoint = attempt.request.endpoint
    if attempt.outcome is not Outcome.OK:
        return None
    if price.second is not None:
        return None if seconds is None else seconds * price.second
    if price.character is not None and endpoint.name == "speech":
        spoken = attempt.sent_body.get("input")
        return len(spoken) * price.character if isinstance(spoken, str) else None
    if price.picture is not None and endpoint.path == GENERATIONS and attempt.answer is not None:
        pictures = attempt.answer.get("data")
        return len(pictures) * price.picture if isinstance(pictures, list) else None
    return None


def _counted(attempt: Attempt, told: object) -> tuple[Usage, UsageSource, bool]:
    """Return an attempt's tokens, who counted them, and whether the provider's count was absurd.

    The provider's count, where it is credible: of several in a stream the last, also where that one is absurd, since
    an earlier one was of a part of the answer. An answer without a count is estimated. One that was cut off is
    estimated from what had passed. A refused request used nothing; one that was sent and never answered, or whose
    answer broke off, may have been billed.
    """
    rejected = False
    try:
        usage = checked_usage(told)
    except AbsurdUsage:
        usage, rejected = None, True
    if usage is not None:
        return usage, UsageSource.PROVIDER, False
    if attempt.outcome is Outcome.OK:
        chars = attempt.request.endpoint.input_chars(attempt.sent_body), output_chars(attempt)
        if any(chars):
            return estimate_usage(*chars), UsageSource.ESTIMATED, rejected
        return NOTHING, UsageSource.NONE, rejected
    if attempt.sent and (
        attempt.broke_off
        or attempt.failure is FailureKind.TIMEOUT
        or attempt.outcome in (Outcome.INTERRUPTED, Outcome.CANCELLED)
    ):
        so_far = estimate_usage(attempt.request.endpoint.input_chars(attempt.sent_body), 0)
        so_far = so_far._replace(output_tokens=output_tokens_so_far(attempt))
        return so_far, UsageSource.INTERRUPTED, rejected
    return NOTHING, UsageSource.NONE, rejected


def estimated_input(attempt: Attempt, body_bytes: int) -> Usage:
    """Return about what an attempt takes in, before it is sent: in microseconds, however long its body is."""
    request = attempt.request
    return estimate_usage(request.endpoint.roughly_input_chars(attempt.sent_body, request, body_bytes), 0)


def output_tokens_so_far(attempt: Attempt) -> int:
    """Return about how many tokens of an answer have passed, for one that is not over or was cut off.

    Most providers send one token an event, whatever its length; some gather many, and then its characters tell.
    """
    reader, estimate = attempt.reader, -(-output_chars(attempt) // CHARS_PER_TOKEN)
    return estimate if reader is None else max(estimate, reader.output_events)


def output_chars(attempt: Attempt) -> int:
    """Return how many characters of answer have passed."""
    if attempt.reader is not None:
        return attempt.reader.output_chars
    return 0 if attempt.answer is None else attempt.request.endpoint.output_chars(attempt.answer)
