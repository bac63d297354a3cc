"""The rate limits that providers state in their answers: looked at now and then, kept until they are saved."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from gateway.clock import Clock
from gateway.execution.answer_headers import Header
from gateway.execution.prepared_target import PreparedTarget
from gateway.providers.limit_headers import read_limits

LOOK_EVERY_S = 60.0
SAVE_AGAIN_AFTER = timedelta(hours=1)
"""Limits that stay as they are are saved no more often."""

LimitRow = tuple[str, str, int | None, int | None, datetime]
"""Provider's name, model, requests per minute, tokens per minute, when they were seen."""


class SeenLimits:
    """What this replica has seen of every target's limits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._taken: dict[tuple[str, str], LimitRow] = {}
        self._unsaved: dict[tuple[str, str], LimitRow] = {}

    def look(self, prepared: PreparedTarget, headers: Iterable[Header]) -> None:
        """Read an answer's headers; the target is not due again for ``LOOK_EVERY_S``."""
        prepared.limits_due = self._clock.monotonic() + LOOK_EVERY_S
        limits = read_limits(prepared.target.provider.kind, headers)
        if limits == (None, None):
            return
        key, seen_at = prepared.key, self._clock.now()
        taken = self._taken.get(key)
        if taken is None or taken[2:4] != limits or seen_at - taken[4] >= SAVE_AGAIN_AFTER:
            self._unsaved[key] = (*key, *limits, seen_at)

    def take_unsaved(self) -> list[LimitRow]:
        """Return what is to be saved, once: new limits, changed ones, and those last returned an hour ago."""
        rows = list(self._unsaved.values())
        self._taken.update(self._unsaved)
        self._unsaved.clear()
        return rows

    def put_back(self, rows: Iterable[LimitRow]) -> None:
        """Return rows that could not be saved; what was seen since is kept instead."""
        for row in rows:
            self._unsaved.setdefault((row[0], row[1]), row)
