"""Whether the model that an answer names is the one that was asked for, what it costs, and who is told if it is not."""

from collections.abc import Callable
from datetime import date
from typing import NamedTuple

import structlog

from gateway.config.routes import Target
from gateway.policy.amounts import AmountPrice
from gateway.policy.pricing import Price
from gateway.policy.substitution import is_substitute
from gateway.providers.prices import PriceBook

log = structlog.get_logger()
MOST_NAMES = 64
"""Names that are remembered for one target; a provider could send any number of them."""
MOST_TOLD_A_DAY = 200

Tell = Callable[[str, str, str, str], None]
"""Takes the provider's name, the model asked for, the model that answered, and the route."""


class Answered(NamedTuple):
    """What it means that a model of some name answered."""

    substitute: bool
    """Whether it is another model than was asked for."""
    price: Price | None
    """None: unpriced by the token."""
    amounts: AmountPrice | None = None
    """What it costs by the second, the character or the picture."""


class AnswerNames:
    """What the names mean that one target's answers come under; each is judged once, then looked up."""

    __slots__ = ("_book", "_known", "_target")

    def __init__(self, target: Target, book: PriceBook) -> None:
        self._target = target
        self._book = book
        provider = target.provider.name
        own = Answered(False, book.lookup(provider, target.model), book.amounts(provider, target.model))
        self._known: dict[str | None, Answered] = {None: own, target.model: own}

    def meaning(self, name: str | None) -> Answered:
        """Return what an answer under this name means; None: the answer does not say, and is taken at its word."""
        return self._known.get(name) or self._judged(name or "")

    def _judged(self, name: str) -> Answered:
        target, provider = self._target, self._target.provider
        substitute = is_substitute(provider.kind, target.model, name, target.base)
        price = self._book.price_of_answer(provider.name, target.model, name)
        if price is None and not substitute:
            # The same model, spelt in a way that prices do not know.
            price = self._known[None].price
        amounts = self._book.amounts(provider.name, name) if substitute else self._known[None].amounts
        judged = Answered(substitute, price, amounts)
        if len(self._known) < MOST_NAMES:
            self._known[name] = judged
        return judged


class Substitutions:
    """Tells of each substitution once a day: which provider answered with what instead of what."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._day = date.min
        self._told: set[tuple[str, str, str]] = set()

    def seen(self, target: Target, answered: str, route: str, today: date) -> None:
        """Hear of one answer by another model."""
        if today != self._day:
            self._day = today
            self._told.clear()
        found = (target.provider.name, target.model, answered)
        if found in self._told or len(self._told) >= MOST_TOLD_A_DAY:
            return
        self._told.add(found)
        log.warning("model_substituted", route=route, provider=found[0], asked=found[1], answered=answered)
        self._tell(*found, route)
