"""Passes a stream on: block by block, and with each the journal hears what it must know before that block goes out."""

import asyncio
import contextlib
from copy import copy

import structlog

from gateway.errors import LedgerUnavailable
from gateway.execution.accounting import Accounting
from gateway.execution.answer_headers import Header
from gateway.execution.attempts import Attempt
from gateway.execution.prepared import ReadyPlan, Snapshot
from gateway.execution.request import Reply
from gateway.execution.streaming import BrokenStream, ErrorEvent, StreamReader
from gateway.execution.target_board import TargetBoard
from gateway.providers.connection import Connection, Expired, TransportError
from gateway.reasons import Outcome

log = structlog.get_logger()


class Relay:
    """One for all streams of a process."""

    def __init__(self, board: TargetBoard, accounting: Accounting) -> None:
        self._board = board
        self._accounting = accounting

    async def pass_on(
        self,
        attempt: Attempt,
        reader: StreamReader,
        headers: list[Header],
        reply: Reply,
        plan: ReadyPlan,
        snapshot: Snapshot,
    ) -> None:
        """Pass a stream on; it is committed, so from here on there is no fallback, and no made-up end.

        Its row is written before its last block goes out, or before the event that says why it broke off.
        """
        request, connection = attempt.request, attempt.connection
        assert connection is not None
        await reply.begin(headers)
        try:
            await self._blocks(attempt, reader, connection, reply, plan, snapshot)
        except (TransportError, BrokenStream, ErrorEvent, LedgerUnavailable) as error:
            if not isinstance(error, LedgerUnavailable):
                self._broke(attempt, str(error))
                with contextlib.suppress(LedgerUnavailable):
                    await self._accounting.settle_last(attempt, plan, snapshot)
            if not reader.takes_errors:
                reply.cut()
                return
            await reply.block(request.endpoint.error_event(*what_broke(error), request.id))
        except asyncio.CancelledError:
            attempt.prepared.meters.aborts["gateway" if request.cut else "client"].inc()
            raise
        await reply.end()

    async def _blocks(
        self,
        attempt: Attempt,
        reader: StreamReader,
        connection: Connection,
        reply: Reply,
        plan: ReadyPlan,
        snapshot: Snapshot,
    ) -> None:
        request, block = attempt.request, attempt.first_block
        while True:
            ended = reader.done and reader.broken is None
            if ended:
                self._ended(attempt, reader)
                await self._accounting.settle_last(attempt, plan, snapshot)
            else:
                self._accounting.progressed(attempt)
            if block:
                if request.kept is not None:
                    request.keep(block)
                attempt.busy_with_caller = True
                await reply.block(block)
                attempt.busy_with_caller = False
            if reader.broken is not None:
                # A copy: what was raised holds frames, and the reader would keep them.
                raise copy(reader.broken)
            if ended:
                return
            seen = reader.events
            received = await connection.next_block()
            block = reader.end() if received is None else reader.take(received)
            if reader.events != seen:
                attempt.heard()

    def _ended(self, attempt: Attempt, reader: StreamReader) -> None:
        if reader.failed:
            # It said so itself, in its own words, and those are passed on.
            self._broke(attempt, "the upstream gave up")
        else:
            attempt.outcome = Outcome.OK

    def _broke(self, attempt: Attempt, why: str) -> None:
        """Note that an answer broke off after it was committed."""
        attempt.interrupted()
        attempt.prepared.meters.aborts["upstream"].inc()
        self._board.failed(attempt.prepared.target)
        log.warning("stream_broken", request_id=attempt.request.id, route=attempt.request.model, why=why)


def what_broke(error: Exception) -> tuple[str, str]:
    """Return what a caller is told of a broken stream: a sentence, and a code."""
    if isinstance(error, LedgerUnavailable):
        return error.message, error.code
    if isinstance(error, ErrorEvent):
        return "The provider reported an error after the answer had begun.", "upstream_error"
    if isinstance(error, Expired):
        return "The provider stopped sending before the answer was complete.", "upstream_timeout"
    return "The provider's answer broke off before it was complete.", "upstream_disconnected"
