"""What a move costs and asks for, reckoned from last week's traffic: money, quota, parameters. No I/O.

Estimates ignore the providers' discounts for cached input, and count a prompt at four characters a token.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from gateway.config.routes import Prompt, Route, Target
from gateway.policy.pricing import CHARS_PER_TOKEN
from gateway.policy.prompts import prefix, text_of
from gateway.policy.traffic import Limits, Served, TargetKey, Traffic
from gateway.providers.prices import PriceBook

NEUTRAL: Final = (1, False, None)
ENOUGH_MEASURED: Final = 20
DAYS_PER_MONTH: Final = 30
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class CostBasis(StrEnum):
    """What a change of cost rests on, or why there is none."""

    MEASURED = "measured"
    """Both sides as the ledger has them."""
    ESTIMATED = "estimated"
    """The new side from the old one's tokens and the prompt's, at the list price, without cache discounts."""
    UNPRICED = "unpriced"
    """One side has no price."""
    NO_TRAFFIC = "no_traffic"
    NO_LEDGER = "no_ledger"
    NO_MOVE = "no_move"
    """Nothing moves, or there is nowhere to move to."""


@dataclass(frozen=True, slots=True)
class CostChange:
    """What a route costs before and after its move; None where that cannot be said."""

    basis: CostBasis
    before_nanousd_per_1000: int | None = None
    after_nanousd_per_1000: int | None = None
    requests_per_month: int | None = None
    """Of the target that stops, at the traffic of the ledger's span."""

    @property
    def change_nanousd_per_month(self) -> int | None:
        """What a month costs more; negative: less."""
        before, after, requests = (
            self.before_nanousd_per_1000,
            self.after_nanousd_per_1000,
            self.requests_per_month,
        )
        if before is None or after is None or requests is None:
            return None
        return round(Decimal((after - before) * requests) / 1000)


@dataclass(frozen=True, slots=True)
class Demand:
    """Of last week's requests of a route, how many a fallback would refuse, or get with other parameters."""

    requests: int
    refused: int
    """They would be answered 400."""
    altered: int
    """They would be answered, with a parameter renamed, set or dropped on the way."""
    refused_by_trait: Mapping[str, int]
    altered_by_trait: Mapping[str, int]
    sources: Mapping[str, str]
    """Refused trait → who says so."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one target is asked in its busiest minute, once every route that moves there has moved."""

    target: TargetKey
    routes: tuple[str, ...]
    input_tokens_per_minute: int
    tokens_at: datetime | None
    requests_per_minute: int
    requests_at: datetime | None
    limits: Limits | None

    @property
    def share_of_quota(self) -> float | None:
        """The larger part of a known quota that the peak takes; None: no quota is known."""
        if self.limits is None:
            return None
        tokens, requests = self.limits.tokens_per_minute, self.limits.requests_per_minute
        shares = [self.input_tokens_per_minute / tokens] if tokens else []
        shares += [self.requests_per_minute / requests] if requests else []
        return max(shares, default=None)


def prompt_tokens(prompt: Prompt | None) -> int:
    """Estimate how many tokens a fallback's prompt adds to each request."""
    if prompt is None:
        return 0
    return -(-sum(len(text_of(message)) for message in prefix(prompt)) // CHARS_PER_TOKEN)


def cost_change(
    route: Route, main: Target, moved_to: Target | None, book: PriceBook, traffic: Traffic | None
) -> CostChange:
    """Compare what a route's main target cost last week with what the one it moves to costs for the same requests."""
    if moved_to is None:
        return CostChange(CostBasis.NO_MOVE)
    if traffic is None:
        return CostChange(CostBasis.NO_LEDGER)
    old = _served(traffic, route, main)
    if old is None or not old.requests:
        return CostChange(CostBasis.NO_TRAFFIC)
    new = _served(traffic, route, moved_to)
    before = _per_1000(old)
    if new is not None and new.priced >= ENOUGH_MEASURED:
        basis, after = CostBasis.MEASURED, _per_1000(new)
    else:
        basis, after = CostBasis.ESTIMATED, _estimated_per_1000(old, moved_to, book)
    if before is None or after is None:
        basis = CostBasis.UNPRICED
    return CostChange(basis, before, after, round(old.requests / traffic.days * DAYS_PER_MONTH))


def _served(traffic: Traffic, route: Route, target: Target) -> Served | None:
    wanted = (route.name, target.provider.name, target.model)
    return next((row for row in traffic.served if row[:3] == wanted), None)


def _per_1000(row: Served) -> int | None:
    return round(Decimal(row.cost_nanousd * 1000) / row.priced) if row.priced else None


def _estimated_per_1000(old: Served, target: Target, book: PriceBook) -> int | None:
    price = book.lookup(target.provider.name, target.model)
    if price is None:
        return None
    tokens_in = old.input_tokens + old.requests * prompt_tokens(target.prompt)
    return round((tokens_in * price.input + old.output_tokens * price.output) * 1000 / old.requests)


def demand(
    route: Route, target: Target, refused: Mapping[str, str], adapted: Container[str], traffic: Traffic
) -> Demand | None:
    """Hold last week's requests against what a target refuses, and against how they change for it.

    ``adapted``: what the gateway changes by itself, beside the target's own parameters. A parameter counts whatever its
    value was, since the ledger keeps no values.
    """
    counts = traffic.traits.get(route.name)
    if not counts:
        return None
    always = set_and_refused(target, refused)
    by_refused, by_altered = Counter[str](), Counter[str]()
    total = refusals = alterations = 0
    for words, requests in counts.items():
        traits = words.split(",") if words else []
        turned_down = always + [word for word in traits if word not in always and _refuses(target, word, refused)]
        changed = [word for word in traits if word in adapted or _alters(target, word)]
        by_refused.update(dict.fromkeys(turned_down, requests))
        by_altered.update(dict.fromkeys(changed, requests))
        total += requests
        refusals += requests if turned_down else 0
        alterations += requests if changed and not turned_down else 0
    sources = {word: refused.get(word) or refused[target.parameters.rename[word]] for word in by_refused}
    return Demand(total, refusals, alterations, dict(by_refused.most_common()), dict(by_altered.most_common()), sources)


def set_and_refused(target: Target, refused: Mapping[str, str]) -> list[str]:
    """Return what a fallback's own ``parameters`` set on every request although its model refuses it.

    Models that refuse a parameter take the value that does nothing: a temperature of 1, one choice, no logprobs.
    """
    return sorted(word for word, value in target.parameters.set.items() if word in refused and value not in NEUTRAL)


def _alters(target: Target, word: str) -> bool:
    parameters = target.parameters
    return word in parameters.rename or word in parameters.set or word in parameters.drop


def _refuses(target: Target, word: str, refused: Mapping[str, str]) -> bool:
    """Tell whether a word is refused under the name it arrives by: renamed, then set by the operator, then dropped."""
    parameters = target.parameters
    arrives_as = parameters.rename.get(word, word)
    if arrives_as in parameters.drop or arrives_as in parameters.set:
        return False
    return arrives_as in refused


def loads(
    routes: Iterable[Route], answering: Mapping[str, Target | None], moved: Mapping[str, Target], traffic: Traffic
) -> tuple[Load, ...]:
    """Sum last week minute by minute over all routes that a target answers in the end, for targets that gain any.

    Adding each route's own peak would not do: routes peak at different minutes.
    """
    gaining = {_key(target) for name, target in moved.items() if target.name != "primary"}
    answers: dict[str, tuple[TargetKey, int]] = {}
    for route in routes:
        target = answering[route.name]
        if target is not None and _key(target) in gaining:
            answers[route.name] = (_key(target), prompt_tokens(target.prompt))
    tokens: dict[TargetKey, Counter[int]] = defaultdict(Counter)
    requests: dict[TargetKey, Counter[int]] = defaultdict(Counter)
    for row in traffic.minutes:
        if row.route in answers:
            key, prompt = answers[row.route]
            tokens[key][row.minute] += row.input_tokens + row.on_primary * prompt
            requests[key][row.minute] += row.requests
    found = []
    for key in gaining:
        names = tuple(name for name, (target_key, _) in answers.items() if target_key == key)
        found.append(Load(key, names, *_peak(tokens[key]), *_peak(requests[key]), traffic.limits.get(key)))
    return tuple(sorted(found, key=lambda load: (-load.input_tokens_per_minute, load.target)))


def _peak(by_minute: Counter[int]) -> tuple[int, datetime | None]:
    if not by_minute:
        return 0, None
    minute = max(by_minute, key=lambda minute: (by_minute[minute], -minute))
    return by_minute[minute], _EPOCH + timedelta(minutes=minute)


def _key(target: Target) -> TargetKey:
    return target.provider.name, target.model
