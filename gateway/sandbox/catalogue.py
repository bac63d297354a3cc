"""The models that the sandbox sells: ids, prices, dates, skills and faults."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from hashlib import blake2b
from itertools import count, islice
from typing import Any

SHUTDOWN_AFTER = timedelta(days=52)
"""How long after the sandbox's start its mortal models stop: a start on 2026-11-23 gives 2027-01-14."""


USUAL_FINE_TUNES = 3


class Task(StrEnum):
    """What a fine-tune was trained for; ``skills`` knows the style of each."""

    FORUM_REPLY = "forum-reply"
    TICKET_TRIAGE = "ticket-triage"
    INVOICE_EXTRACT = "invoice-extract"


class Fault(StrEnum):
    """What goes wrong when a model is called; the value is the model's id."""

    RESET = "fault-reset"
    SLOW_HEADERS = "fault-slow-headers"
    STALL = "fault-stall"
    CUT = "fault-cut"
    MALFORMED = "fault-malformed"
    RATE_LIMITED = "fault-429"
    SERVER_ERROR = "fault-5xx"
    ERROR_IN_200 = "fault-error-in-200"
    SUBSTITUTE = "fault-substitute"


_NAMES = (
    ("support-reply", Task.FORUM_REPLY),
    ("refund-intent", Task.TICKET_TRIAGE),
    ("receipt-fields", Task.INVOICE_EXTRACT),
    ("review-answer", Task.FORUM_REPLY),
    ("lead-routing", Task.TICKET_TRIAGE),
    ("order-extract", Task.INVOICE_EXTRACT),
    ("onboarding-mail", Task.FORUM_REPLY),
    ("churn-signal", Task.TICKET_TRIAGE),
    ("claim-fields", Task.INVOICE_EXTRACT),
    ("abuse-flag", Task.TICKET_TRIAGE),
)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt; ``cached_input_tokens`` is part of ``input_tokens``."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model as it stands; changed by being replaced."""

    id: str
    price: Price
    created: int
    """Unix time."""
    base: str | None = None
    task: Task | None = None
    """The task that it was trained for; None for a base model."""
    training_file_kept: bool = True
    """Whether the file that a fine-tune was trained on can still be had."""
    fault: Fault | None = None
    answers_as: str | None = None
    """The model that answers in this one's place; None where it answers itself."""
    shutdown_date: date | None = None
    retired_as: str | None = None
    """The provider whose error it answers with since it was retired on command; None while it lives."""
    unsupported: tuple[tuple[str, str | None], ...] = ()
    """Parameters that it refuses, each with the one to use instead, if there is one."""
    context_window: int = 128_000
    latency_ms: float = 0.0
    """From the request to the headers."""
    first_token_ms: float = 20.0
    """From the headers to the first token."""
    tokens_per_s: float | None = 200.0
    """None: as fast as the machine can."""

    def retired_on(self, day: date) -> str | None:
        """Return the provider whose error this model answers with on ``day``; None while it lives.

        A model is not served from its shutdown date on, 00:00 UTC.
        """
        if self.retired_as is None and self.shutdown_date is not None and day >= self.shutdown_date:
            return "openai"
        return self.retired_as

    def describe(self, day: date) -> dict[str, Any]:
        """Return the model as ``/sandbox/models`` shows it; prices are strings of US dollars per million tokens."""
        return {
            "id": self.id,
            "base": self.base,
            "task": self.task,
            "fault": self.fault,
            "retired_as": self.retired_on(day),
            "shutdown_date": self.shutdown_date,
            "latency_ms": self.latency_ms,
            "first_token_ms": self.first_token_ms,
            "tokens_per_s": self.tokens_per_s,
            "price": {
                "input": str(self.price.input),
                "cached_input": str(self.price.cached_input),
                "output": str(self.price.output),
            },
        }


def default_catalogue(started: datetime, fine_tunes: int = USUAL_FINE_TUNES) -> tuple[Model, ...]:
    """Return the models of a sandbox that starts at ``started``; beyond three, fine-tunes are made up."""
    usual = tuple(_fine_tunes_and_bases(started))
    more = more_fine_tunes(usual[:USUAL_FINE_TUNES], fine_tunes - USUAL_FINE_TUNES, started)
    return (*usual[:USUAL_FINE_TUNES], *more, *usual[USUAL_FINE_TUNES:], *_faults(started))


def more_fine_tunes(like: Sequence[Model], wanted: int, started: datetime) -> Iterator[Model]:
    """Return further fine-tunes as a busy organisation would have them; every fifth has lost its training file."""
    for number, (suffix, task) in enumerate(islice(_suffixes(), max(wanted, 0))):
        model = like[number % len(like)]
        digest = blake2b(suffix.encode(), digest_size=4).hexdigest()
        yield replace(
            model,
            id=f"ft:{model.base}:acme:{suffix}:{digest}",
            task=task,
            created=int(started.timestamp()) - 86_400 * (20 + number * 37 % 300),
            training_file_kept=number % 5 != 4,
        )


def _suffixes() -> Iterator[tuple[str, Task]]:
    for version in count(1):
        for region in ("", "-eu", "-us", "-uk", "-de", "-jp"):
            for name, task in _NAMES:
                yield f"{name}{region}{f'-v{version}' if version > 1 else ''}", task


def _fine_tunes_and_bases(started: datetime) -> Iterator[Model]:
    shutdown = (started + SHUTDOWN_AFTER).date()
    created = int(started.timestamp()) - 86_400 * 300
    gpt_4o_mini, gpt_41_mini = "gpt-4o-mini-2024-07-18", "gpt-4.1-mini-2025-04-14"
    for model_id, base, task, price in (
        (f"ft:{gpt_4o_mini}:acme:forum-reply:A1b2C3d4", gpt_4o_mini, Task.FORUM_REPLY, _price("0.30", "0.15", "1.20")),
        (
            f"ft:{gpt_41_mini}:acme:triage:C3d4E5f6:ckpt-step-714",
            gpt_41_mini,
            Task.TICKET_TRIAGE,
            _price("0.80", "0.20", "3.20"),
        ),
        (f"ft:{gpt_41_mini}:acme:inv:D4e5F6g7", gpt_41_mini, Task.INVOICE_EXTRACT, _price("0.80", "0.20", "3.20")),
        (gpt_4o_mini, None, None, _price("0.15", "0.075", "0.60")),
        (gpt_41_mini, None, None, _price("0.40", "0.10", "1.60")),
    ):
        yield Model(
            id=model_id,
            base=base,
            task=task,
            price=price,
            created=created,
            shutdown_date=shutdown,
            training_file_kept=task is not Task.INVOICE_EXTRACT,
        )
    yield Model(
        id="gpt-6-luna",
        price=_price("1.00", "0.10", "6.00"),
        created=created,
        unsupported=(("max_tokens", "max_completion_tokens"), ("logit_bias", None)),
    )


def _faults(started: datetime) -> Iterator[Model]:
    for fault in Fault:
        yield Model(
            id=fault.value,
            price=_price("0.30", "0.15", "1.20"),
            created=int(started.timestamp()),
            fault=fault,
            answers_as="gpt-4.1-mini-2025-04-14" if fault is Fault.SUBSTITUTE else None,
            latency_ms=30_000.0 if fault is Fault.SLOW_HEADERS else 0.0,
        )


def _price(input_usd: str, cached_input_usd: str, output_usd: str) -> Price:
    return Price(Decimal(input_usd), Decimal(cached_input_usd), Decimal(output_usd))
