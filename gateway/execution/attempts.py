"""One attempt: the request adapted for a target, sent, and waited for until the answer can be committed."""

import asyncio
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

import orjson

from gateway.clock import Clock
from gateway.execution.failures import Failed, Failure, without_secret
from gateway.execution.most_cost import adapted_body
from gateway.execution.prepared_target import PreparedTarget
from gateway.execution.request import Request
from gateway.execution.streaming import BrokenStream, ErrorEvent, StreamReader
from gateway.execution.sweeper import Sweeper
from gateway.ledger.entry import Entry, new_attempt_id
from gateway.policy.callers_words import is_about_the_callers
from gateway.providers.classify import classify
from gateway.providers.connection import BadResponse, Connection, Expired, TlsFailed, TransportError
from gateway.providers.litellm_failures import KIND_HEADER
from gateway.providers.openai_wire import MAX_ANSWER_BYTES, MAX_ERROR_BYTES, Exchange, header_map
from gateway.reasons import FailureKind, Outcome, Reason

LONGEST_NAME = 300
"""Bytes of a model's name in UTF-8: it is part of the totals' key, and PostgreSQL's hold 2,704."""
DOUBTS = frozenset((FailureKind.MODEL_GONE, FailureKind.MODEL_NO_ACCESS, FailureKind.MODEL_AMBIGUOUS))
NEVER_BEGAN = "the upstream's stream ended before it began"


class Attempt:
    """One try of one step.

    ``prepare`` makes what is sent, ``open`` sends it and commits the answer or raises ``Failed``; ``close`` must follow
    in any case.
    """

    # Defaults of the class, so that making one sets only what differs.
    answer: dict[str, Any] | None = None
    answer_body = b""
    begun: Entry | None = None
    """Its row if nothing more is ever heard of it, as the journal has it since before it was sent."""
    busy_with_caller = False
    connection: Connection | None = None
    contract_broken: bool | None = None
    """Whether a whole answer is not what its route's contract promises; None: nobody looked, or could."""
    entry: Entry | None = None
    """Its row, once that is written: nothing of it changes any more."""
    failure: FailureKind | None = None
    first_at: float | None = None
    """When the first event of a stream came."""
    first_block = b""
    heard_at = 0.0
    outcome = Outcome.FAILED
    overhead_ms: float | None = None
    """What the gateway had added to the request when this answer was committed."""
    patience_s: float | None = None
    """Until its answer can be committed; None: as the route says. Set where the primary stands behind a canary."""
    reader: StreamReader | None = None
    """Reads an answer that comes in parts; None: it came whole."""
    sent_body: Mapping[str, Any] = MappingProxyType({})
    """What this target was asked: the caller's body with its model, prompt and parameters."""
    broke_off = False
    """Whether an answer had begun, so that the provider may bill what never arrived."""
    sent = False
    """Whether the request went out, so that it may be billed."""
    status: int | None = None
    unusable: dict[str, Any] | None = None
    """A whole answer that was a success by its status and cannot be passed on: the provider bills it all the same."""
    told_at = 0.0
    """When the journal was last told how far a stream is, in the loop's time; first, when it began."""
    told_tokens = 0
    """How far it was then."""
    waited_s = 0.0
    """Spent waiting for the upstream before the answer was committed."""
    _deadline = 0.0

    def __init__(
        self, prepared: PreparedTarget, reason: Reason, request: Request, clock: Clock, sweeper: Sweeper
    ) -> None:
        self._clock = clock
        self._sweeper = sweeper
        self.prepared = prepared
        self.reason = reason
        self.request = request
        self.started_at: datetime = clock.now()
        self.id = new_attempt_id(self.started_at)
        self.sent_at = clock.monotonic()
        self.adapted: list[str] = []
        self._encoded: tuple[bytes, bytes] | None = None

    def prepare(self) -> int:
        """Adapt the caller's body to this target's model, prompt and parameters; return its length in bytes."""
        request = self.request
        body, self.adapted = adapted_body(request, self.prepared)
        self.sent_body = body
        self._encoded = request.endpoint.encode(body, request)
        return len(self._encoded[0])

    async def open(self) -> None:
        """Send the request, and wait for the whole answer or for a stream's first event.

        Raises:
            Failed: there is no answer to commit; another target may be asked.
        """
        assert self._encoded is not None, "prepare comes first"
        (body, content_type), self._encoded = self._encoded, None
        self.sent_at = self._clock.monotonic()
        try:
            exchange = self.prepared.exchange(self.request.endpoint)
            self.connection = connection = await exchange.post(body, self.id, content_type)
            self.sent = True
            self._start_deadline()
            await connection.wait_head()
            self.status = connection.status
            if connection.status != 200:
                raise Failed(await self._refused(connection, exchange))
            reader = self.request.endpoint.reader(self.request, self.prepared, connection.content_type)
            if reader is not None:
                await self._await_first_event(connection, reader)
            else:
                self._take_whole(await connection.read(MAX_ANSWER_BYTES))
                self.outcome = Outcome.OK
        except TransportError as error:
            self.broke_off = self.status == 200
            raise Failed(transport_failure(error)) from None
        except BrokenStream as error:
            raise Failed(Failure(FailureKind.SERVER_ERROR, str(error), self.status)) from None
        except ErrorEvent as event:
            raise Failed(self._classified(self.status or 200, {}, event.body)) from None
        finally:
            self.waited_s = self._clock.monotonic() - self.sent_at

    def close(self) -> None:
        """Let go of the connection: kept for the next request if the answer was read to its end, else closed."""
        self._sweeper.discard(self)
        if self.connection is not None:
            self.connection.finish(linger=self.reader is not None and self.reader.done)
            self.connection = None

    def answering_model(self) -> str | None:
        """Return the model that the answer names, or None: it names none, or has not yet."""
        reader, answer = self.reader, self.answer or self.unusable
        return named_model(reader.model if reader is not None else answer.get("model") if answer is not None else None)

    def heard(self) -> None:
        """Note that the upstream sent something that counts against idleness."""
        self.heard_at = asyncio.get_running_loop().time()

    def ended_by(self, error: BaseException) -> None:
        """Note why it was not committed."""
        if isinstance(error, Failed):
            self.failure = error.failure.kind
        elif isinstance(error, asyncio.CancelledError):
            self.cancelled()
        else:
            self.interrupted()

    def cancelled(self) -> None:
        """Note that the caller left, or that the gateway stops and waits no longer."""
        if self.request.cut:
            self.interrupted()
        else:
            self.outcome, self.failure = Outcome.CANCELLED, FailureKind.CLIENT_CANCELLED

    def interrupted(self) -> None:
        """Note that the answer broke off after it was committed."""
        self.outcome, self.failure = Outcome.INTERRUPTED, FailureKind.INTERRUPTED

    # The answer, until it can be committed.

    async def _await_first_event(self, connection: Connection, reader: StreamReader) -> None:
        self.reader = reader
        while not reader.events:
            block = await connection.next_block()
            if block is None:
                raise self._never_began(reader)
            # What came before the first event is dropped: comments, of which there may be no end.
            self.first_block = reader.take(block)
            if not reader.events and (reader.broken is not None or reader.done):
                raise copy(reader.broken) or BrokenStream(NEVER_BEGAN)
        self.first_at = self._clock.monotonic()
        self.heard()
        self.told_at = self.heard_at
        self._deadline = self.heard_at - (self.first_at - self.sent_at) + self.request.timeouts.total_s

    @staticmethod
    def _never_began(reader: StreamReader) -> Exception:
        """Say what an end without any event means: some providers answer with an error in plain JSON, status 200."""
        body = parse(reader.unread())
        if isinstance(body, dict) and body.get("error"):
            return ErrorEvent(body)
        return BrokenStream(NEVER_BEGAN)

    def _take_whole(self, body: bytes) -> None:
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise Failed(Failure(FailureKind.SERVER_ERROR, "the upstream's answer is not JSON", self.status)) from None
        self.unusable = answer if isinstance(answer, dict) else None
        if isinstance(answer, dict) and answer.get("error"):
            raise Failed(self._classified(200, {}, answer))
        endpoint = self.request.endpoint
        if not isinstance(answer, dict) or not endpoint.is_answer(answer):
            raise Failed(Failure(FailureKind.SERVER_ERROR, f"the upstream's answer has {endpoint.lacks}", self.status))
        self.answer, self.unusable = answer, None
        self.answer_body = endpoint.relayed(answer, body, self.request, self.prepared)

    async def _refused(self, connection: Connection, exchange: Exchange) -> Failure:
        """Read an answer that is no success, and say what it means."""
        try:
            body = await connection.read(MAX_ERROR_BYTES)
        except BadResponse:
            body = b""
        headers = header_map(connection.headers)
        failure = self._classified(connection.status, headers, parse(body))
        kind = headers.get(KIND_HEADER) if exchange.by_worker else None
        return replace(failure, kind=FailureKind(kind)) if kind else failure

    def _classified(self, status: int, headers: dict[str, str], body: object) -> Failure:
        found = classify(self.prepared.target.provider.kind, status, headers, body, now=self._clock.now())
        error = body.get("error") if isinstance(body, dict) else None
        error = error if isinstance(error, dict) else None
        kind = found.kind
        if kind in DOUBTS:
            param = error.get("param") if error is not None else None
            if is_about_the_callers(found.message, param, self.prepared.model, self.request.body):
                kind = FailureKind.BAD_REQUEST
        return without_secret(
            Failure(kind, found.message, status, found.code, found.retry_after_s, error), self.prepared.upstream.secret
        )

    # Deadlines.

    def _start_deadline(self) -> None:
        timeouts = self.request.timeouts
        soon = self.request.streamed and not self.request.endpoint.begins_late
        limit_s = timeouts.first_token_s if soon else timeouts.total_s
        if self.patience_s is not None:
            limit_s = self.patience_s
        self._deadline = asyncio.get_running_loop().time() + limit_s
        self._sweeper.add(self)

    def sweep(self, now: float) -> None:
        """End the exchange if its time is over."""
        due = self._deadline
        if self.first_at is not None:
            if self.busy_with_caller:
                # The caller reads slowly: the upstream is not the one who is idle.
                self.heard_at = now
            due = min(due, self.heard_at + self.request.timeouts.idle_s)
        if now >= due and self.connection is not None:
            self.connection.expire("the upstream did not answer in time")


def named_model(model: object) -> str | None:
    """Return the name that an answer gives its model, as a row can hold it; None: it gives none."""
    if not isinstance(model, str):
        return None
    if 4 * len(model) > LONGEST_NAME:
        model = model.encode("utf-8", "replace")[:LONGEST_NAME].decode("utf-8", "ignore")
    # PostgreSQL keeps no NUL in a text: it would refuse the row for it.
    return model.replace("\0", "") or None


def transport_failure(error: TransportError) -> Failure:
    """Say what kind of failure a broken exchange is."""
    if isinstance(error, TlsFailed):
        return Failure(FailureKind.TLS, str(error))
    if isinstance(error, Expired):
        return Failure(FailureKind.TIMEOUT, str(error))
    if isinstance(error, BadResponse):
        return Failure(FailureKind.SERVER_ERROR, str(error))
    return Failure(FailureKind.CONNECTION, str(error), sent=error.body_sent)


def parse(body: bytes) -> object:
    """Return a body's JSON, or its text."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")
