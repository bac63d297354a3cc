"""Takes what people say of answers: finds what it is about, redacts it, says what it is for, and keeps it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from gateway.clock import Clock, time_ordered_id
from gateway.config.callers import Caller
from gateway.config.routes import Route
from gateway.config.routes_learning import Capture
from gateway.errors import FeedbackUnavailable, InvalidRequest, NotFound
from gateway.execution.prepared import Snapshot
from gateway.learning.capture.redaction_process import RedactionExpired, RedactionProcess, RedactionUnavailable
from gateway.learning.feedback_given import Given, Said, read
from gateway.learning.feedback_requests import Asked, AskedRequests
from gateway.learning.feedback_rows import (
    ASKED_NOT_REDACTED,
    NOT_KNOWN,
    NOT_REDACTED,
    TOO_LONG,
    Becomes,
    as_row,
    becomes,
    why_no_example,
    why_no_row,
)
from gateway.policy.inputs import input_id
from gateway.policy.splits import split_of
from gateway.store.captured import digest_of
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.feedback import Feedback, FeedbackStore

__all__ = ["Becomes", "FeedbackDesk", "Given", "Taken", "becomes"]

WAIT_S: Final = 2.0
"""For a request that was answered a moment ago: capture gathers rows for half a second, the ledger for one."""
HELD_S: Final = 10.0
"""For one that this replica is about to write."""
PAUSE_S: Final = 0.25
JUST_ASKED_S: Final = 10.0
"""Requests that are older will not be captured any more."""
TRIES: Final = 3
"""To write a mark."""
MOST_UNDER_WAY: Final = 64
MOST_OF_ONE: Final = 32
"""Of them one key's: marks of requests that are not there wait longest, and others' would find no place."""
AT_ONCE: Final = 2
"""Marks that ask the database at the same time: the ledger needs it more."""
LONGEST_S: Final = 15.0
NO_CAPTURE: Final = Capture(share=1.0)
"""How texts of a route are redacted that captures nothing: of every kind that is built in."""
_NOTHING: Final[Mapping[str, Any]] = {"role": "assistant", "content": ""}

NOT_FOUND: Final = (
    "No request of this key has that request_id: it is the x-request-id of an answer. One that was answered a moment "
    "ago may need a second to be found; one that was not captured is found while it is recent, or send model, messages "
    "and answer along."
)


@dataclass(frozen=True, slots=True)
class Taken:
    """A mark that is kept, and what it is for."""

    feedback: Feedback
    becomes: tuple[Becomes, ...]
    note: str | None
    """Why it becomes nothing, or less than it could."""


class FeedbackDesk:
    """One for all of this process; whoever made it closes it."""

    def __init__(
        self,
        database: Callable[[], Database | None],
        snapshot: Callable[[], Snapshot],
        clock: Clock,
        count: Callable[[str, str], None],
        *,
        holds: Callable[[str], bool] = lambda request_id: False,
        wait_s: float = WAIT_S,
    ) -> None:
        """``count`` is told the route and the label (``none``: without one) of every mark that is kept.

        ``holds`` tells whether this replica is about to capture a request.
        """
        self._database, self._clock, self._count = database, clock, count
        self._holds, self._wait_s = holds, wait_s
        self._requests = AskedRequests(snapshot)
        self._process, self._redacting = RedactionProcess(), asyncio.Lock()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._under_way: Counter[str] = Counter()

    async def give(self, caller: Caller, given: Given) -> Taken:
        """Keep a mark. One that this key has given of this request last is not kept twice.

        Raises:
            InvalidRequest: it says nothing, or contradicts itself; the message tells people what to do.
            NotFound: no request of this caller has this id.
            RouteNotFound: ``model`` names none.
            NoVariant: it names one that answers by tenant, and not to this caller's.
            FeedbackUnavailable: nothing was kept; another try, later, may be taken.
            DatabaseUnavailable: nor was it here.
        """
        # A body may have two megabytes of messages and calls, and callers of models wait on this loop.
        said = await asyncio.to_thread(read, given)
        only = self._requests.route(given.model, caller) if given.model is not None else None
        if self._under_way.total() >= MOST_UNDER_WAY or self._under_way[caller.name] >= MOST_OF_ONE:
            raise FeedbackUnavailable("Too much feedback waits here; try again.", headers={"retry-after": "1"})
        database = self._database()
        if database is None:
            raise DatabaseUnavailable("it was not opened yet")
        self._under_way[caller.name] += 1
        try:
            async with asyncio.timeout(LONGEST_S):
                return await self._give(database, caller, given, said, only)
        except TimeoutError:
            later = {"retry-after": "5"}
            raise FeedbackUnavailable(f"It was not kept within {LONGEST_S:g} s; try again.", headers=later) from None
        finally:
            self._under_way -= Counter((caller.name,))

    async def close(self) -> None:
        """End the process that redacts."""
        await self._process.close()

    async def _give(self, database: Database, caller: Caller, given: Given, said: Said, only: Route | None) -> Taken:
        # Before anything is read: what is deleted from here on must not come back with this mark.
        now = self._clock.now()
        asked = await self._found(database, caller, given, said, only)
        if asked is None:
            raise NotFound(NOT_FOUND, param="request_id")
        mark = Feedback(
            feedback_id=time_ordered_id(now),
            route=asked.route.name,
            tenant=asked.tenant,
            request_id=given.request_id,
            source=given.source,
            by=given.by or caller.name,
            given_at=now,
            label=said.label,
            score=given.score,
            role=asked.role,
            provider=asked.provider,
            model=asked.model,
            prompt_version=asked.prompt_version,
            user_digest=asked.user_digest or (digest_of(given.user) if given.user else None),
        )
        # A tenant's texts are kept by its own routes alone: a route's rows teach a model for all its callers.
        permits = given.source == "review" or (caller.capture and caller.tenant in (None, asked.route.tenant))
        mark, note = await self._with_texts(mark, asked, given, said, permits=permits)
        kept = await self._kept(FeedbackStore(database), mark)
        if kept is None:
            raise NotFound(NOT_FOUND, param="request_id")
        # Long requests take a while to be read as strictly as a trainer's file.
        why = await asyncio.to_thread(why_no_example, kept)
        return Taken(kept, () if why else becomes(kept), why or note)

    async def _kept(self, store: FeedbackStore, mark: Feedback) -> Feedback | None:
        """Keep a mark; return the one that is kept, which is an earlier one where it repeats that. None: deleted."""
        for left in reversed(range(TRIES)):
            try:
                async with self._turns:
                    added = await store.add(mark)
                    if added == "repeated":
                        return await store.latest_of(mark) or mark
                break
            except DatabaseUnavailable:
                # SQLite has one writer at a time, and under load not everybody gets a turn within its second.
                if not left:
                    raise
            await self._clock.sleep(PAUSE_S)
        if added == "kept":
            self._count(mark.route, mark.label or "none")
        return mark if added == "kept" else None

    async def _found(
        self, database: Database, caller: Caller, given: Given, said: Said, only: Route | None
    ) -> Asked | None:
        """Return what the mark is about, waiting a moment for what was asked a moment ago."""
        began, listed = self._clock.monotonic(), None
        is_first = True
        while True:
            # Looked at before the database is: what is written in between is found there.
            is_held = self._holds(given.request_id)
            async with self._turns:
                kept = await self._requests.captured(database, caller, given.request_id, only, given.input_id)
                if kept is not None and kept.role is not None:
                    return kept
                if listed is None:
                    ask = self._requests.in_ledger
                    listed = await ask(database, caller, given.request_id, only, newest=not is_first)
            is_first = False
            is_over = self._clock.monotonic() >= began + (HELD_S if is_held else self._wait_s)
            if kept is not None and (listed is not None or is_over):
                return _with_answer(kept, listed, said)
            if kept is None and (is_over or not (is_held or self._may_come(listed, said))):
                return _sent_along(listed, given, said, only)
            await self._clock.sleep(PAUSE_S)

    def _may_come(self, listed: Asked | None, said: Said) -> bool:
        """Tell whether a look a moment later may find more: the request at all, or what it asked."""
        if said.messages is not None:
            return False
        if listed is None:
            return True
        if said.label is None or listed.route.capture is None or listed.started_at is None:
            return False
        return (self._clock.now() - listed.started_at).total_seconds() < JUST_ASKED_S

    async def _with_texts(
        self, mark: Feedback, asked: Asked, given: Given, said: Said, *, permits: bool
    ) -> tuple[Feedback, str | None]:
        """Return the mark with what may be kept of its texts, and a note on what may not."""
        capture = asked.route.capture or NO_CAPTURE
        if said.correction is not None and len(orjson.dumps(said.correction)) > capture.max_bytes:
            limit = f"'correction' is longer than this route keeps ({capture.max_bytes:,} bytes)."
            raise InvalidRequest(limit, param="correction")
        better = said.correction if permits else None
        if given.comment is not None or better is not None:
            words = await self._redacted(capture, _as_request(given.comment), better or _NOTHING)
            if words is None:
                return mark, NOT_REDACTED
            if given.comment is not None:
                mark = replace(mark, comment=_storable(words["request"]["messages"][0]["content"]))
            if better is not None:
                better = words["answer"]
                mark = replace(mark, correction=orjson.dumps(better).decode())
            mark = replace(mark, redacted=words["redacted"])
        if asked.request is None or not (permits or asked.is_redacted):
            return mark, why_no_row(said, permits=permits) or NOT_KNOWN
        is_sent_along = not asked.is_redacted or (said.answer is not None and asked.answer is said.answer)
        if is_sent_along and _size(asked) > capture.max_bytes:
            return mark, TOO_LONG
        if asked.is_redacted and not (permits and said.may_be_row):
            row: dict[str, Any] | None = {"request": asked.request, "answer": asked.answer, "redacted": {}}
        else:
            # What was captured as well: the route may redact more by now.
            row = await self._redacted(capture, asked.request, asked.answer or _NOTHING)
        if row is None:
            return mark, ASKED_NOT_REDACTED
        counts = Counter(asked.redacted or {}) + Counter(row["redacted"]) + Counter(mark.redacted)
        # Known by what it was captured as, whatever is redacted by now: so do recordings and deletions know it.
        known = asked.request if asked.is_redacted else row["request"]
        mark = replace(
            mark,
            redacted=dict(counts),
            input_id=asked.input_id or input_id(known["messages"], known.get("tools")),
            split=split_of(known["messages"]),
        )
        if (why := why_no_row(said, permits=permits)) is not None:
            return mark, why
        return as_row(mark, row["request"], row["answer"] if asked.answer else None, better)

    async def _redacted(
        self, capture: Capture, request: Mapping[str, Any], answer: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Return both redacted; None where they cannot be, whole."""
        try:
            async with self._redacting:
                return await self._process.redact(capture, orjson.dumps(request), orjson.dumps(answer))
        except RedactionExpired:
            return None
        except RedactionUnavailable:
            later = {"retry-after": "5"}
            raise FeedbackUnavailable("Texts cannot be redacted just now; try again.", headers=later) from None


def _with_answer(kept: Asked, listed: Asked | None, said: Said) -> Asked:
    """Return a request whose input is kept for another's sake, with its own answer and who gave it, where known."""
    kept = replace(kept, answer=said.answer)
    if listed is None or listed.route.name != kept.route.name:
        return kept
    return replace(
        kept,
        role=listed.role,
        provider=listed.provider,
        model=listed.model,
        prompt_version=listed.prompt_version,
    )


def _sent_along(listed: Asked | None, given: Given, said: Said, only: Route | None) -> Asked | None:
    if said.messages is None:
        return listed
    request = {"messages": said.messages, **({"tools": [*given.tools]} if given.tools else {})}
    if listed is not None:
        return replace(listed, request=request, answer=said.answer)
    return Asked(only, only.tenant or "", request, said.answer) if only is not None else None


def _as_request(comment: str | None) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": comment}] if comment is not None else []}


def _size(asked: Asked) -> int:
    return len(orjson.dumps(asked.request)) + len(orjson.dumps(asked.answer))


def _storable(text: str) -> str:
    # PostgreSQL keeps no NUL; in JSON it is written out.
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
