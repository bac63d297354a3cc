"""What a fallback costs and how fast it begins, against the primary, request by request. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from gateway.learning.evaluation.statistics import Interval, paired_change
from gateway.policy.economics import LEAST_CACHED_TOKENS
from gateway.policy.pricing import Price, Usage, cost_nanousd
from gateway.store.evaluations import EvaluationAnswer
from gateway.store.recordings import Recording


@dataclass(frozen=True, slots=True)
class Costs:
    """Of the same requests, in nano-dollars per request."""

    requests: int
    primary: float
    fallback: float
    """As it was billed here."""
    fallback_cold: float
    """With nothing in the provider's cache."""
    fallback_warm: float
    """With the prompt's fixed part in it."""
    change: Interval
    """Of the bill, relative to the primary's: −0.38 is 38 % less."""
    change_cold: Interval
    change_warm: Interval
    computed: int
    """Requests whose primary's cost is tokens times today's price, since no bill of its own is known."""


@dataclass(frozen=True, slots=True)
class FirstToken:
    """Milliseconds until the first token, of the same requests."""

    requests: int
    primary_ms: float
    fallback_ms: float
    change: Interval


@dataclass(frozen=True, slots=True)
class Prices:
    """What the fallback costs, with how much of its prompt is the same in every request; and the primary."""

    fallback: Price | None
    prefix_tokens: int
    primary: Price | None

    @property
    def caches(self) -> bool:
        """Whether the prompt's fixed part is long enough for a provider to cache it."""
        return self.prefix_tokens >= LEAST_CACHED_TOKENS

    def at(self, answer: EvaluationAnswer, *, warm: bool) -> int:
        """Return what an answer costs with a cold or a warm cache; 0 where it is unpriced."""
        if self.fallback is None:
            return 0
        cached = min(self.prefix_tokens, answer.input_tokens) if warm and self.caches else 0
        return cost_nanousd(self.fallback, Usage(answer.input_tokens, cached, output_tokens=answer.output_tokens))


def costs(answers: Sequence[EvaluationAnswer], recorded: Mapping[str, Recording], prices: Prices) -> Costs | None:
    """Compare what requests cost that both have answered; None where there is none whose cost is known."""
    pairs = []
    computed = 0
    for answer in answers:
        cost, is_computed = _primary_cost(recorded.get(answer.input_id), prices.primary)
        if cost is not None and answer.cost_nanousd is not None:
            pairs.append((cost, answer.cost_nanousd, prices.at(answer, warm=False), prices.at(answer, warm=True)))
            computed += is_computed
    primary = [pair[0] for pair in pairs]
    billed, cold, warm = ([pair[column] for pair in pairs] for column in (1, 2, 3))
    change, change_cold, change_warm = (paired_change(primary, after) for after in (billed, cold, warm))
    if change is None or change_cold is None or change_warm is None:
        return None
    return Costs(
        requests=len(pairs),
        primary=fsum(primary) / len(pairs),
        fallback=fsum(billed) / len(pairs),
        fallback_cold=fsum(cold) / len(pairs),
        fallback_warm=fsum(warm) / len(pairs),
        change=change,
        change_cold=change_cold,
        change_warm=change_warm,
        computed=computed,
    )


def first_token(answers: Sequence[EvaluationAnswer], recorded: Mapping[str, Recording]) -> FirstToken | None:
    """Compare when first tokens came; None where no streamed answer of the primary's was recorded."""
    pairs = [(recorded[answer.input_id].ttft_ms, answer.ttft_ms) for answer in answers if answer.input_id in recorded]
    known = [(before, after) for before, after in pairs if before is not None and after is not None]
    primary, fallback = [before for before, _ in known], [after for _, after in known]
    change = paired_change(primary, fallback)
    if change is None:
        return None
    return FirstToken(len(known), fsum(primary) / len(known), fsum(fallback) / len(known), change)


def _primary_cost(recording: Recording | None, price: Price | None) -> tuple[int | None, bool]:
    """Return a recorded request's cost, and whether it is computed: a batch's is, since it is billed at half price."""
    if recording is None:
        return None, False
    if recording.cost_nanousd is not None and recording.batch_id is None:
        return recording.cost_nanousd, False
    if price is None or recording.input_tokens is None or recording.output_tokens is None:
        return None, False
    return cost_nanousd(price, Usage(recording.input_tokens, output_tokens=recording.output_tokens)), True
