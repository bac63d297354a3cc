"""One line of what a batch has answered: its message, or what is wrong with it, and its row of the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from gateway.config.routes import Route
from gateway.execution.attempts import named_model
from gateway.execution.endpoints import CHAT
from gateway.execution.prepared_target import PreparedTarget
from gateway.learning.answers import Message, message_of
from gateway.learning.recordings.recorder import EMPTY, SUBSTITUTED
from gateway.ledger.entry import Entry, new_attempt_id
from gateway.policy.pricing import (
    AbsurdUsage,
    LongContext,
    PartRates,
    Price,
    Rates,
    Usage,
    checked_usage,
    cost_nanousd,
)
from gateway.reasons import FailureKind, Outcome, Reason, UsageSource
from gateway.store.recordings import Recording

PRICE_FACTOR: Final = Decimal("0.5")
"""Assumed of models whose price in a batch no source knows: OpenAI is known for it, and so read the rows of others."""
TIER: Final = "batch"
"""What the ledger names as the service tier, and as the instance."""


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """What became of one line."""

    message: Message | None
    """None: there is nothing to keep."""
    trouble: tuple[str, str]
    """Where there is nothing: its kind, and what was said."""
    entry: Entry


@dataclass(frozen=True, slots=True)
class _Response:
    status: int | None
    body: Mapping[str, Any]

    @property
    def model(self) -> str | None:
        return named_model(self.body.get("model"))


class BatchReader:
    """Reads the lines of one target's batches."""

    def __init__(self, prepared: PreparedTarget, route: Route, config_hash: str) -> None:
        self._prepared, self._route, self._config_hash = prepared, route, config_hash

    def read(self, promised: Recording, line: Mapping[str, Any], finished_at: datetime) -> BatchAnswer:
        """Read a line of an output or an error file; ``promised`` is the row that waits for it."""
        written = line.get("response")
        response = written if isinstance(written, dict) else {}
        status, body = response.get("status_code"), response.get("body")
        read = _Response(status if isinstance(status, int) else None, body if isinstance(body, dict) else {})
        substitute, price, _ = self._prepared.answers.meaning(read.model)
        entry = self._entry(promised, read, in_a_batch(price), finished_at, substitute=substitute)
        message = None
        trouble: tuple[str, str]
        if read.status != 200:
            trouble = (FailureKind.BAD_REQUEST, _error_of(line, read))
        elif substitute:
            trouble = (SUBSTITUTED, f"{read.model} answered instead of {promised.model}")
        else:
            trouble = (EMPTY, "an answer that says nothing")
            message = message_of(read.body) if isinstance(read.body.get("choices"), list) else None
        return BatchAnswer(message, trouble, entry)

    def _entry(
        self, promised: Recording, read: _Response, price: Price | None, finished_at: datetime, *, substitute: bool
    ) -> Entry:
        target, answered = self._prepared.target, read.status == 200
        usage, rejected = _usage_of(read.body) if answered else (None, False)
        tokens = usage or Usage(0)
        unknown = None if answered else 0
        attempt_id = promised.attempt_id or new_attempt_id(promised.recorded_at)
        return Entry(
            attempt_id=attempt_id,
            request_id=f"recording_{attempt_id}",
            route=self._route.name,
            target=target.name,
            role=target.role,
            provider=target.provider.name,
            model_asked=target.model,
            model_answered=read.model,
            reason=Reason.PINNED,
            prompt_version=self._prepared.prompt_version,
            input_tokens=tokens.input_tokens,
            cached_input_tokens=tokens.cached_input_tokens,
            cache_write_tokens=tokens.cache_write_tokens,
            output_tokens=tokens.output_tokens,
            reasoning_tokens=tokens.reasoning_tokens,
            usage_source=UsageSource.PROVIDER if usage else UsageSource.NONE,
            price_version=price.version if price else None,
            cost_nanousd=cost_nanousd(price, usage) if price and usage else unknown,
            outcome=Outcome.OK if answered else Outcome.FAILED,
            failure=None if answered else FailureKind.BAD_REQUEST,
            endpoint=CHAT.name,
            stream=False,
            pinned=False,
            kind="recording",
            instance=TIER,
            config_hash=self._config_hash,
            key=None,
            team=self._route.owner,
            tags=None,
            service_tier=TIER,
            status=read.status,
            ttft_ms=None,
            duration_ms=max(0.0, (finished_at - promised.recorded_at).total_seconds() * 1000),
            started_at=promised.recorded_at,
            finished_at=finished_at,
            substituted=substitute and answered,
            traits=None,
            input_audio_tokens=tokens.input_audio_tokens,
            output_audio_tokens=tokens.output_audio_tokens,
            input_image_tokens=tokens.input_image_tokens,
            output_image_tokens=tokens.output_image_tokens,
            usage_rejected=rejected,
        )


def in_a_batch(price: Price | None) -> Price | None:
    """Return a price with what it is in a batch as its rates: its own where a source knows that, else half."""
    if price is None:
        return None
    if (known := price.tiers.get(TIER)) is not None:
        rates: Rates = known
        version = price.version
    else:
        rates, version = _halved(price), f"{price.version}-batch"
    return Price(
        rates.input,
        rates.cached_input,
        rates.output,
        version=version,
        source=price.source,
        cache_write=rates.cache_write,
        parts=rates.parts,
        above=rates.above,
    )


def _halved(rates: Rates) -> Rates:
    parts, above = rates.parts, rates.above
    known = {} if parts is None else {part.name: getattr(parts, part.name) for part in fields(parts)}
    return Rates(
        rates.input * PRICE_FACTOR,
        rates.cached_input * PRICE_FACTOR,
        rates.output * PRICE_FACTOR,
        cache_write=None if rates.cache_write is None else rates.cache_write * PRICE_FACTOR,
        parts=PartRates(**{name: None if rate is None else rate * PRICE_FACTOR for name, rate in known.items()}),
        above=None if above is None else LongContext(above.tokens, _halved(above.rates)),
    )


def _usage_of(body: Mapping[str, Any]) -> tuple[Usage | None, bool]:
    """Return what an answer counts, and whether that is absurd."""
    try:
        return checked_usage(body.get("usage")), False
    except AbsurdUsage:
        return None, True


def _error_of(line: Mapping[str, Any], read: _Response) -> str:
    error = line.get("error") or read.body.get("error")
    said = error.get("message") if isinstance(error, dict) else error
    return f"{read.status or 'no answer'}: {said}"[:500]
