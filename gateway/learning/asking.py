"""Asks a target what no caller asked, for recordings, evaluations and rehearsals; each call is a row of the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import getrandbits
from typing import Any, Final

from gateway.clock import Clock
from gateway.config.routes import Route
from gateway.execution.accounting import Accounting
from gateway.execution.attempts import Attempt, transport_failure
from gateway.execution.endpoints import CHAT
from gateway.execution.failures import Failed, Failure
from gateway.execution.prepared import Snapshot
from gateway.execution.prepared_target import PreparedTarget
from gateway.execution.streaming import BrokenStream, ErrorEvent
from gateway.execution.sweeper import Sweeper
from gateway.learning.answers import Message, message_of, message_of_stream
from gateway.ledger.entry import Entry, EntryKind
from gateway.providers.connection import TransportError
from gateway.reasons import FailureKind, Outcome, Reason

PATIENT: Final = frozenset((FailureKind.RATE_LIMITED, FailureKind.OVERLOADED, FailureKind.CONNECTION))
"""What another try, after a pause, may mend."""
MOST_TRIES: Final = 5
LONGEST_PAUSE_S: Final = 60.0
_SHORTEST_PAUSE_S: Final = 1.0
_LEAVES_TRACES: Final = frozenset(("store", "metadata"))
"""What would leave a second completion in a provider's store, where a caller could see it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of a question."""

    entry: Entry
    """Its ledger row: tokens, cost, times."""
    message: Message | None
    """What was answered; None: nothing."""
    failure: Failure | None = None


class Asker:
    """Puts chat requests to one target each, past plan and board."""

    def __init__(self, accounting: Accounting, clock: Clock, sweeper: Sweeper) -> None:
        self._accounting, self._clock, self._sweeper = accounting, clock, sweeper

    def refuses(self) -> str | None:
        """Return why nothing is to be asked now, since it would leave no row; None: all is well."""
        return self._accounting.refuses()

    async def ask(
        self,
        snapshot: Snapshot,
        route: Route,
        prepared: PreparedTarget,
        body: Mapping[str, Any],
        *,
        kind: EntryKind,
        request_id: str | None = None,
        streamed: bool = False,
        reason: Reason = Reason.PINNED,
    ) -> Asked:
        """Ask once. ``streamed`` finds out when the first token comes. Never raises for what a provider does."""
        kept = {name: value for name, value in body.items() if name not in _LEAVES_TRACES}
        request = CHAT.read({**kept, "model": route.name, "stream": streamed})
        request.kind, request.timeouts = kind, route.timeouts
        request.id = request_id or f"{kind}_{getrandbits(96):024x}"
        request.started, request.started_at = self._clock.monotonic(), self._clock.now()
        attempt = Attempt(prepared, reason, request, self._clock, self._sweeper)
        self._accounting.begin(attempt, route, snapshot, attempt.prepare())
        message, failure = None, None
        try:
            await attempt.open()
            message = await self._heard(attempt)
        except Failed as error:
            failure = error.failure
        except TransportError as error:
            attempt.interrupted()
            failure = transport_failure(error)
        except (BrokenStream, ErrorEvent) as error:
            attempt.interrupted()
            failure = Failure(FailureKind.SERVER_ERROR, str(error), attempt.status)
        except BaseException:
            attempt.cancelled()
            raise
        finally:
            if failure is not None and attempt.failure is None:
                attempt.failure = failure.kind
            attempt.close()
            entry = self._accounting.settle(attempt, route, snapshot)
        return Asked(entry, message, failure)

    async def ask_patiently(
        self, snapshot: Snapshot, route: Route, prepared: PreparedTarget, body: Mapping[str, Any], **how: Any
    ) -> Asked:
        """Ask until there is an answer, or a failure that a pause does not mend; five times at most."""
        for attempt in range(MOST_TRIES):
            asked = await self.ask(snapshot, route, prepared, body, **how)
            if asked.failure is None or asked.failure.kind not in PATIENT or attempt == MOST_TRIES - 1:
                break
            pause_s = max(asked.failure.retry_after_s or 0.0, _SHORTEST_PAUSE_S * 2**attempt)
            await self._clock.sleep(min(pause_s, LONGEST_PAUSE_S))
        return asked

    async def _heard(self, attempt: Attempt) -> Message | None:
        """Read an answer to its end; return what it says."""
        reader, connection = attempt.reader, attempt.connection
        if reader is None or connection is None:
            return message_of(attempt.answer or {"choices": []})
        blocks = [attempt.first_block]
        while not reader.done:
            if reader.broken is not None:
                raise reader.broken
            seen = reader.events
            received = await connection.next_block()
            blocks.append(reader.end() if received is None else reader.take(received))
            if reader.events != seen:
                attempt.heard()
                self._accounting.progressed(attempt)
        attempt.outcome = Outcome.OK
        return message_of_stream(blocks)


def body_of(messages: list[Mapping[str, Any]], tools: list[Any] | None, *, seed: int | None = None) -> dict[str, Any]:
    """Return a chat request's body of what a row asks."""
    body: dict[str, Any] = {"messages": messages}
    if tools:
        body["tools"] = tools
    if seed is not None:
        body["seed"] = seed
    return body
