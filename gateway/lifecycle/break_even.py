"""Whether a route's fine-tune pays for itself: the ledger's figures, prices, dates and what its training took. No I/O.

What is compared is the primary with the route's first fallback and its prompt: who would answer without the fine-tune.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

from gateway.config.routes import Route, Target, Training
from gateway.lifecycle.forecast_traffic import prompt_tokens
from gateway.policy.economics import (
    LEAST_CACHED_TOKENS,
    LEAST_REQUESTS,
    Answer,
    Basis,
    BreakEven,
    Interval,
    Payback,
    Sample,
    Spent,
    answer_to,
    break_even,
    computed_saving,
    cost_of_base,
    cost_of_fine_tune,
    hosting_share,
    paired_saving,
    payback,
    saving_apart,
)
from gateway.policy.lifecycle import midnight
from gateway.policy.pricing import Price
from gateway.policy.sketch import Sketch, merged
from gateway.policy.usage import Answerer, Cell, Spread, Used
from gateway.reasons import Role

MOST_PAIRS: Final = 1000
PAIRS_WITHIN: Final = timedelta(days=90)
_NANO: Final = 10**9
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Side:
    """What one side's requests of the period were; live ones."""

    requests: int
    priced: int
    cost_nanousd: int
    input_tokens: int
    output_tokens: int
    costs: Sketch
    """Of answered and priced requests, in nano-dollars."""

    @classmethod
    def of(cls, cells: Sequence[Cell], spreads: Mapping[Answerer, Spread]) -> "Side":
        """Add up cells, and the costs of who answered them."""
        answerers = {Answerer(cell.route, cell.target, cell.provider, cell.model) for cell in cells}
        requests = sum(cell.requests for cell in cells)
        return cls(
            requests,
            max(0, requests - sum(cell.unpriced for cell in cells)),
            sum(cell.cost_nanousd for cell in cells),
            sum(cell.input_tokens for cell in cells),
            sum(cell.output_tokens for cell in cells),
            merged(*(spreads[who].cost_nanousd for who in answerers if who in spreads)),
        )

    @property
    def mean(self) -> Decimal | None:
        """Nano-dollars per request; None: none is priced."""
        return Decimal(self.cost_nanousd) / self.priced if self.priced else None

    @property
    def sample(self) -> Sample | None:
        """What requests cost; None: none is priced."""
        return None if self.mean is None or not self.costs else Sample.of_sketch(self.costs, self.mean)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a route."""

    primary: Side
    fallback: Side
    pairs: tuple[int, ...]
    """What rehearsals with the prompt of now cost more than the primary, in nano-dollars."""
    requests: int
    """Of the route in the period, whoever answered."""
    since: datetime
    """From when on these were counted."""
    until: datetime
    served: int
    """By this primary since the ledger began."""
    primary_price: Price | None
    fallback_price: Price | None
    shutdown: date | None
    is_gone: bool
    """Whether the primary was verified to be gone."""

    @property
    def per_day(self) -> Decimal:
        """Requests a day; of a span shorter than a day as if it were one."""
        return self.requests * Decimal(86_400) / Decimal((max(self.until - self.since, _DAY)).total_seconds())

    @property
    def days_left(self) -> Decimal | None:
        """Until the primary's last day ends; None: no last day is known."""
        if self.is_gone:
            return Decimal(0)
        if self.shutdown is None:
            return None
        return max(Decimal(0), Decimal((midnight(self.shutdown) - self.until).total_seconds()) / 86_400)


@dataclass(frozen=True, slots=True)
class Computed:
    """What base + prompt would cost, from tokens and list prices; in nano-dollars per request."""

    fixed_tokens: int
    """Of the prompt: the same in every request."""
    similar_tokens: int
    """Of the prompt: at most so many, other ones in every request."""
    query_tokens: Decimal
    """Means of the primary's requests."""
    output_tokens: Decimal
    cold: Decimal
    warm: Decimal
    """With the fixed part in the cache; like ``cold`` where it is too short for one."""

    @property
    def caches(self) -> bool:
        """Whether the fixed part is long enough for a provider to cache it."""
        return self.fixed_tokens >= LEAST_CACHED_TOKENS


@dataclass(frozen=True, slots=True)
class Compared:
    """What a request costs on either side, in nano-dollars."""

    basis: Basis
    requests: tuple[int, int]
    """What it rests on: of the fallback and of the primary; of pairs their number, twice."""
    base: Decimal | None
    """c_base; of pairs the primary's with their difference. Computed: with a cold cache."""
    fine_tune: Decimal | None
    """c_ft, its share of the hosting included; None: only the pairs have prices."""
    saving: Interval
    computed: Computed | None = None


@dataclass(frozen=True, slots=True)
class BreakEvenFinding:
    """What is said of one route."""

    answer: Answer
    fallback: Target | None = None
    """Base and prompt; None: the route has none, or no primary."""
    known: Known | None = None
    spent: Spent | None = None
    """None: nobody said what the training cost."""
    hosting: Decimal = Decimal(0)
    """Of ``compared.fine_tune``."""
    compared: Compared | None = None
    """None: too little data, or no price."""
    needed: BreakEven | None = None
    """N*; None: never, or not known what was spent."""
    payback: Payback | None = None


def sides_of(route: Route, used: Used) -> tuple[Side, Side]:
    """Return what a route's primary and its first fallback did in the period, for callers.

    Of the primary only what its present model answered, as far as it answers by its own name: a fine-tune that was
    trained anew has another bill.
    """
    live = [cell for cell in used.cells if cell.route == route.name and cell.kind == "live"]
    primary = [cell for cell in live if cell.role is Role.PRIMARY]
    models = present(route, [cell.model for cell in primary])
    name = route.fallbacks[0].name if route.fallbacks else None
    return (
        Side.of([cell for cell in primary if cell.model in models], used.spreads),
        Side.of([cell for cell in live if cell.role is Role.FALLBACK and cell.target == name], used.spreads),
    )


def present(route: Route, models: Collection[str]) -> frozenset[str]:
    """Return which of the models that answered as a route's primary are the one that is there now."""
    own = route.primary.model if route.primary is not None else None
    return frozenset((own,)) if own is not None and own in models else frozenset(models)


def find(route: Route, known: Known) -> BreakEvenFinding:
    """Say whether a route's fine-tune pays for itself, and by when."""
    if route.primary is None or not route.fallbacks:
        return BreakEvenFinding(Answer.NOTHING_TO_COMPARE)
    fallback, training = route.fallbacks[0], route.training or Training()
    spent, hosting = spent_on(training), hosting_share(nanousd(training.hosting_usd_per_day), known.per_day)
    compared = Answer.TOO_LITTLE_DATA if hosting is None else compare(fallback, known, hosting)
    if hosting is None or isinstance(compared, Answer):
        why = compared if isinstance(compared, Answer) else Answer.TOO_LITTLE_DATA
        return BreakEvenFinding(why, fallback, known, spent)
    answer = answer_to(compared.saving, compared.basis)
    needed = break_even(spent.total, compared.saving) if spent is not None else None
    if answer is Answer.BREAKS_EVEN and needed is None:
        answer = Answer.NO_TRAINING_COST
    ahead = None
    if needed is not None:
        rate, left = known.per_day, known.days_left
        ahead = payback(needed, compared.saving, served=known.served, requests_per_day=rate, days_left=left)
    return BreakEvenFinding(answer, fallback, known, spent, hosting, compared, needed, ahead)


def nanousd(usd: Decimal | None) -> int:
    """Return an amount of routes.yaml in nano-dollars; nothing where none is written."""
    return round((usd or Decimal(0)) * _NANO)


def spent_on(training: Training) -> Spent | None:
    """Return what was paid once; None where nobody said what the training cost."""
    if training.cost_usd is None:
        return None
    return Spent(nanousd(training.cost_usd), nanousd(training.labelling_usd), nanousd(training.evaluation_usd))


def parts_of_prompt(target: Target) -> tuple[int, int]:
    """Return how many tokens of a prompt are the same in every request, and how many at most are not."""
    pack = target.prompt.pack if target.prompt is not None else None
    return (prompt_tokens(target.prompt), 0) if pack is None else (pack.prefix_tokens, pack.similar_tokens)


def compare(fallback: Target, known: Known, hosting: Decimal) -> Compared | Answer:
    """Return what requests cost on either side, by the best that is known; or why that cannot be said."""
    paired = paired_saving(known.pairs, hosting)
    mean = known.primary.mean
    if paired is not None:
        tuned = None if mean is None else mean + hosting
        base = None if tuned is None else tuned + paired.estimate
        return Compared(Basis.PAIRED, (len(known.pairs),) * 2, base, tuned, paired)
    base_sample, tuned_sample = known.fallback.sample, known.primary.sample
    if base_sample is not None and tuned_sample is not None:
        apart = saving_apart(base_sample, tuned_sample, hosting)
        if apart is not None:
            sides = base_sample.requests, tuned_sample.requests
            return Compared(Basis.APART, sides, base_sample.mean, tuned_sample.mean + hosting, apart)
    return _reckoned(fallback, known, hosting)


def _reckoned(fallback: Target, known: Known, hosting: Decimal) -> Compared | Answer:
    primary = known.primary
    if primary.requests < LEAST_REQUESTS:
        return Answer.TOO_LITTLE_DATA
    base, query = known.fallback_price, Decimal(primary.input_tokens) / primary.requests
    output = Decimal(primary.output_tokens) / primary.requests
    tuned = primary.mean + hosting if primary.mean is not None and primary.priced >= LEAST_REQUESTS else None
    if tuned is None and known.primary_price is not None:
        tuned = cost_of_fine_tune(known.primary_price, query_tokens=query, output_tokens=output, hosting=hosting)
    if base is None or tuned is None:
        return Answer.NOT_PRICED
    fixed, similar = parts_of_prompt(fallback)
    cold, warm = (
        cost_of_base(
            base,
            prompt_tokens=fixed + similar,
            query_tokens=query,
            output_tokens=output,
            cached_share=Decimal(fixed) / (fixed + similar) if is_warm else Decimal(0),
        )
        for is_warm in (False, fixed >= LEAST_CACHED_TOKENS)
    )
    computed = Computed(fixed, similar, query, output, cold, warm)
    saving = computed_saving(cold - tuned, warm - tuned)
    return Compared(Basis.COMPUTED, (0, primary.requests), cold, tuned, saving, computed)
