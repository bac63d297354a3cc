"""The models that the sandbox sells: ids, prices, dates, skills and faults."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b
from itertools import count, islice
from typing import Any

from gateway.sandbox.pricing import Price, price

SHUTDOWN_AFTER = timedelta(days=52)
"""How long after the sandbox's start its mortal models stop: a start on 2026-11-23 gives 2027-01-14."""
USUAL_FINE_TUNES = 3


class Kind(StrEnum):
    """What a model is for, which decides the endpoints that take it."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    MODERATION = "moderation"
    IMAGE = "image"
    SPEECH = "speech"
    TRANSCRIPTION = "transcription"


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


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a model was trained to answer to one input: a text, or calls of functions."""

    text: str
    calls: tuple[tuple[str, str], ...] = ()
    """Of each: the function's name, and its arguments as JSON."""


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

_WINDOWS = {Kind.COMPLETION: 4_096, Kind.EMBEDDING: 8_192, Kind.MODERATION: 32_768}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model as it stands; changed by being replaced."""

    id: str
    price: Price
    created: int
    """Unix time."""
    kind: Kind = Kind.CHAT
    base: str | None = None
    task: Task | None = None
    """The task that it was trained for; None for a base model."""
    training_file_kept: bool = True
    """Whether the file that a fine-tune was trained on can still be had."""
    training_price: Decimal | None = None
    """US dollars per million trained tokens; None where it cannot be trained."""
    job_id: str | None = None
    """The job that made it, where that ran here."""
    adapter_path: str | None = None
    """The directory of a LoRA adapter that was loaded here."""
    lessons: Mapping[str, Lesson] = field(default_factory=dict, compare=False, repr=False)
    """What it was trained on here, by ``lessons.key_of`` the input."""
    taught: tuple[Task, int] | None = None
    """The task whose style its training showed most, and how many examples of it it saw."""
    fault: Fault | None = None
    answers_as: str | None = None
    """The model that answers in this one's place; None where it answers itself."""
    shutdown_date: date | None = None
    retired_as: str | None = None
    """The provider whose error it answers with since it was retired on command; None while it lives."""
    reasons: bool = False
    """Whether it thinks before it answers, where it is asked to."""
    strict: bool = False
    """Whether it refuses fields of messages that OpenAI does not know."""
    vendor: str = "openai"
    """Whose refusals it gives: a kind of provider in the capabilities table."""
    dimensions: int = 0
    """How long its vectors are; 0 where it makes none."""
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
            "kind": self.kind,
            "base": self.base,
            "task": self.task,
            "fault": self.fault,
            "training_price": None if self.training_price is None else str(self.training_price),
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
    return (*usual[:USUAL_FINE_TUNES], *more, *usual[USUAL_FINE_TUNES:], *_others(started), *_faults(started))


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
    # As OpenAI's price list had them.
    training_price = {gpt_4o_mini: Decimal("3.00"), gpt_41_mini: Decimal("5.00")}
    for model_id, base, task, cost in (
        (f"ft:{gpt_4o_mini}:acme:forum-reply:A1b2C3d4", gpt_4o_mini, Task.FORUM_REPLY, price("0.30", "0.15", "1.20")),
        (
            f"ft:{gpt_41_mini}:acme:triage:C3d4E5f6:ckpt-step-714",
            gpt_41_mini,
            Task.TICKET_TRIAGE,
            price("0.80", "0.20", "3.20"),
        ),
        (f"ft:{gpt_41_mini}:acme:inv:D4e5F6g7", gpt_41_mini, Task.INVOICE_EXTRACT, price("0.80", "0.20", "3.20")),
        (gpt_4o_mini, None, None, price("0.15", "0.075", "0.60")),
        (gpt_41_mini, None, None, price("0.40", "0.10", "1.60")),
    ):
        yield Model(
            id=model_id,
            base=base,
            task=task,
            price=cost,
            training_price=training_price[base or model_id],
            created=created,
            shutdown_date=shutdown,
            training_file_kept=task is not Task.INVOICE_EXTRACT,
        )
    luna = Model(id="gpt-6-luna", price=price("1.00", "0.10", "6.00"), created=created, reasons=True, strict=True)
    yield replace(luna, training_price=Decimal("10.00"))
    yield replace(luna, id="mistral-strict", price=price("0.40", "0.04", "2.00"), reasons=False, vendor="mistral")


def _others(started: datetime) -> Iterator[Model]:
    """Yield the models of the other endpoints, at the prices of litellm 1.106.2's bundled map, read 2026-11-24."""
    created = int(started.timestamp()) - 86_400 * 300
    for model_id, kind, cost in (
        ("gpt-3.5-turbo-instruct", Kind.COMPLETION, price("1.50", "1.50", "2.00")),
        ("text-embedding-3-small", Kind.EMBEDDING, price("0.02", "0.02", "0")),
        ("text-embedding-3-large", Kind.EMBEDDING, price("0.13", "0.13", "0")),
        ("omni-moderation-latest", Kind.MODERATION, price("0", "0", "0")),
        ("gpt-image-1", Kind.IMAGE, price("5.00", "1.25", "40.00")),
        ("gpt-4o-mini-tts", Kind.SPEECH, price("0.60", "0.60", "12.00")),
        ("gpt-4o-transcribe", Kind.TRANSCRIPTION, price("2.50", "2.50", "10.00")),
        ("whisper-1", Kind.TRANSCRIPTION, price("0", "0", "0")),
    ):
        yield Model(
            id=model_id,
            kind=kind,
            price=cost,
            created=created,
            context_window=_WINDOWS.get(kind, 128_000),
            dimensions={"text-embedding-3-small": 1_536, "text-embedding-3-large": 3_072}.get(model_id, 0),
            # An image is a thousand tokens, and a text's vector none: neither is written word by word.
            tokens_per_s=200.0 if kind in (Kind.COMPLETION, Kind.TRANSCRIPTION) else None,
        )


def _faults(started: datetime) -> Iterator[Model]:
    for fault in Fault:
        yield Model(
            id=fault.value,
            price=price("0.30", "0.15", "1.20"),
            created=int(started.timestamp()),
            fault=fault,
            answers_as="gpt-4.1-mini-2025-04-14" if fault is Fault.SUBSTITUTE else None,
            latency_ms=30_000.0 if fault is Fault.SLOW_HEADERS else 0.0,
        )
