"""Hears live traffic of routes that capture or rehearse, and passes it on to whoever works on it."""

from random import Random

from gateway.execution.attempts import Attempt
from gateway.execution.endpoints import CHAT
from gateway.execution.prepared import PreparedRoute, Snapshot
from gateway.execution.request import Request
from gateway.learning.capture.rows import Seen
from gateway.learning.capture.worker import CaptureWorker
from gateway.learning.pairs import MOST_KEPT_BYTES
from gateway.learning.rehearsals import Rehearsals
from gateway.ledger.entry import Entry
from gateway.reasons import Outcome

STREAM_OVERHEAD = 40
"""A stream's bytes per byte of text, at most: each token comes in a chunk of its own."""


class Listener:
    """A ``Learner``: chat completions are learnt from, other endpoints are not."""

    def __init__(self, capture: CaptureWorker, rehearsals: Rehearsals, random: Random | None = None) -> None:
        self._capture, self._rehearsals, self._random = capture, rehearsals, random or Random()

    def meet(self, request: Request, route: PreparedRoute, snapshot: Snapshot) -> None:
        """Throw the dice for capture and for rehearsals.

        Kept is only what the caller's key lets be kept, and a tenant's only where the route is that tenant's: what a
        route keeps goes into its packs, for all who call it.
        """
        if request.endpoint is not CHAT:
            return
        capture, rehearsal = route.route.capture, route.route.rehearsal
        consents = request.caller.capture and request.caller.tenant in (None, route.route.tenant)
        request.captured = capture is not None and consents and self._random.random() < capture.share
        rehearses = rehearsal is not None and self._rehearsals.meet(request, route, snapshot, rehearsal)
        request.learnt = request.captured or rehearses
        if request.learnt:
            request.kept = []
            request.room = STREAM_OVERHEAD * capture.max_bytes if capture and request.captured else MOST_KEPT_BYTES

    def settled(self, attempt: Attempt, entry: Entry, route: PreparedRoute, snapshot: Snapshot) -> None:
        """Pass an attempt on."""
        request = attempt.request
        if request.captured and entry.outcome is Outcome.OK:
            # Neither a whole answer nor blocks: it was too long to keep.
            self._capture.submit(
                Seen(
                    route=route.route,
                    request_id=request.id,
                    body=request.body,
                    answer=attempt.answer,
                    blocks=request.kept,
                    role=entry.role,
                    provider=entry.provider,
                    model=entry.model_asked,
                    prompt_version=entry.prompt_version,
                    at=entry.started_at,
                )
            )
        if route.route.rehearsal is not None:
            self._rehearsals.settled(attempt, entry, route, snapshot, route.route.rehearsal)
