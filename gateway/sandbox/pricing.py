"""What tokens cost."""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt; cached ones are part of the input's, reasoning is part of the output's."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens."""

    input: Decimal
    cached_input: Decimal
    output: Decimal

    def cost_nanousd(self, usage: Usage) -> int:
        """Return what the tokens cost, rounded half-even once."""
        fresh_tokens = usage.input_tokens - usage.cached_input_tokens
        micro_usd = (
            fresh_tokens * self.input
            + usage.cached_input_tokens * self.cached_input
            + usage.output_tokens * self.output
        )
        # Dollars per million tokens, times tokens, are micro-dollars.
        return int((micro_usd * 1000).quantize(Decimal(1), ROUND_HALF_EVEN))

    def halved(self) -> "Price":
        """Return what is paid in a batch."""
        return Price(self.input / 2, self.cached_input / 2, self.output / 2)


def price(input_usd: str, cached_input_usd: str, output_usd: str) -> Price:
    """Return a price of so many US dollars per million tokens."""
    return Price(Decimal(input_usd), Decimal(cached_input_usd), Decimal(output_usd))
