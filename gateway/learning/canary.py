"""A canary against its incumbent on live traffic: who fails more, and whose answers people mark lower.

What happens is paired in order of arrival: a pair is closed as soon as there is something of both, and is the
difference of their means since the last pair, canary − incumbent. So a time that is bad for both counts for neither.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.config.routes import Timeouts
from gateway.learning.evaluation.sequences import ALPHA
from gateway.learning.evaluation.statistics import Decision, Verdict, decide
from gateway.policy.promotion import Promotion
from gateway.reasons import Label
from gateway.store.canaries import CanaryStore, Ended
from gateway.store.database import Database
from gateway.store.feedback import Feedback, FeedbackStore

MOST_PAIRS: Final = 5_000
"""What is not decided by so many is closer to the limit than anybody needs to know."""
LAG: Final = timedelta(seconds=5)
"""Until rows of what has ended are in the database."""
MARKS_LAG: Final = timedelta(minutes=1)
"""Until a mark is in the database: it is dated when it is given, and its texts are redacted first."""
STEP: Final = timedelta(minutes=5)
"""So much of the ledger is read at once, and twice as much, up to a day, as long as that brings few rows."""
LONGEST_STEP: Final = timedelta(days=1)
FEW_ROWS: Final = 500
STEPS: Final = 50
_ALPHA: Final = ALPHA / 2
"""Of each of the two measures, so that a canary is stopped without reason at most once in twenty times by both."""
_REMEMBERED: Final = 10_000


@dataclass(slots=True)
class Side:
    """What came of one of the two."""

    answers: int = 0
    failed: int = 0
    broke_contract: int = 0
    """Answers that came, and were not what the route's contract promises; streams are not looked at."""
    marks: int = 0
    """Answers that people said something of."""
    liked: float = 0.0
    """The sum of marks, each from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What live traffic says of a canary. Differences are canary − incumbent, in [−1, 1]."""

    answers: Decision
    """Of answers that came: 1, or 0 for an attempt that failed or whose answer broke the route's contract."""
    marks: Decision
    """Of what people said: 1 for right, 0 for wrong, or a score."""
    canary: Side
    incumbent: Side

    @property
    def verdict(self) -> Verdict:
        """Rejected by either measure; accepted where answers are, and marks too, if there are any."""
        verdicts = [self.answers.verdict] + ([self.marks.verdict] if self.marks.rows else [])
        if Verdict.REJECT in verdicts:
            return Verdict.REJECT
        accepted = all(verdict is Verdict.ACCEPT for verdict in verdicts)
        return Verdict.ACCEPT if accepted else Verdict.NOT_ENOUGH_EVIDENCE


class Pairing:
    """Makes differences of what arrives from two sides."""

    def __init__(self) -> None:
        self.differences: list[float] = []
        self._waiting = (_Waiting(), _Waiting())

    def add(self, *, by_canary: bool, score: float) -> None:
        """Take in a score from 0 to 1."""
        own = self._waiting[by_canary]
        own.count += 1
        own.sum += score
        incumbent, canary = self._waiting
        if incumbent.count and canary.count and len(self.differences) < MOST_PAIRS:
            self.differences.append(canary.sum / canary.count - incumbent.sum / incumbent.count)
            self._waiting = (_Waiting(), _Waiting())


@dataclass(slots=True)
class _Waiting:
    """What has arrived from one side since the last pair: a canary that nobody asks leaves no end of it."""

    count: int = 0
    sum: float = 0.0


class Evidence:
    """What is known of one canary since its share is what it is; read on and on."""

    def __init__(self, promotion: Promotion, timeouts: Timeouts) -> None:
        """``timeouts`` are the route's."""
        self.promotion = promotion
        self._longest = timedelta(seconds=timeouts.total_s) + timedelta(minutes=1)
        self._read_until = self._heard_until = promotion.changed_at
        self._step = STEP
        self._answers, self._marks = Pairing(), Pairing()
        self._sides = (Side(), Side())
        self._passed_on: dict[str, bool | None] = {}
        """Requests that a canary failed, and whether that counts yet: what the incumbent makes of them is no draw from
        all of its requests, but says whether anybody could have answered. None: it has, and what comes under the same
        id is another request: ids are the callers'."""
        self._marked: set[str] = set()

    async def read_on(self, database: Database, now: datetime) -> bool:
        """Take in what happened since the last time; tell whether there is more. May raise ``DatabaseUnavailable``."""
        store, horizon = CanaryStore(database), now - LAG
        for _ in range(STEPS):
            if self._read_until >= horizon or self._is_full:
                break
            until = min(self._read_until + self._step, horizon)
            found = await store.ended(self.promotion, self._read_until, until, self._longest)
            for ended in found:
                self._answered(ended)
            self._read_until = until
            self._step = min(2 * self._step, LONGEST_STEP) if len(found) < FEW_ROWS else STEP
        # Once more what came a moment ago: a mark may be kept after a later one. ``_marked`` knows those that counted.
        since = max(self.promotion.changed_at, self._heard_until - MARKS_LAG)
        for mark in await FeedbackStore(database).since(self.promotion.route, since):
            self._heard(mark)
        self._heard_until = now
        return self._read_until < horizon and not self._is_full

    def compared(self) -> Comparison:
        """Return what it amounts to; some 50 ms of processor time at most."""
        margin = self.promotion.margin
        incumbent, canary = self._sides
        return Comparison(
            decide(self._answers.differences, margin, looks="many", alpha=_ALPHA),
            decide(self._marks.differences, margin, looks="many", alpha=_ALPHA),
            canary,
            incumbent,
        )

    @property
    def _is_full(self) -> bool:
        return len(self._answers.differences) >= MOST_PAIRS

    def _answered(self, ended: Ended) -> None:
        counts = self._passed_on.get(ended.request_id)
        if ended.by_canary and not ended.is_ok:
            counts = not ended.may_be_the_callers
            self._passed_on[ended.request_id] = counts
            if len(self._passed_on) > _REMEMBERED:
                del self._passed_on[next(iter(self._passed_on))]
            if counts:
                self._count(by_canary=True, is_ok=False)
        elif ended.by_canary or counts is None:
            self._count(by_canary=ended.by_canary, is_ok=ended.is_ok, broke_contract=ended.broke_contract)
        elif ended.is_ok or ended.may_be_the_callers:
            self._passed_on[ended.request_id] = None
            # A request that the incumbent refuses as well is the caller's mistake, and says nothing of either.
            if ended.is_ok and not counts:
                self._count(by_canary=True, is_ok=False)

    def _count(self, *, by_canary: bool, is_ok: bool, broke_contract: bool = False) -> None:
        side = self._sides[by_canary]
        side.answers += 1
        side.failed += not is_ok
        side.broke_contract += broke_contract
        self._answers.add(by_canary=by_canary, score=float(is_ok and not broke_contract))

    def _heard(self, mark: Feedback) -> None:
        score, by_canary = score_of(mark), self._by_canary(mark)
        # The first word on a request counts: one that changes what was counted would break the promise of its error.
        if score is None or by_canary is None or mark.request_id in self._marked:
            return
        if not by_canary and mark.request_id in self._passed_on:
            return
        self._marked.add(mark.request_id)
        side = self._sides[by_canary]
        side.marks += 1
        side.liked += score
        self._marks.add(by_canary=by_canary, score=score)

    def _by_canary(self, mark: Feedback) -> bool | None:
        whose, promotion = (mark.provider, mark.model), self.promotion
        if whose == (promotion.provider, promotion.model):
            return True
        return False if whose == (promotion.incumbent_provider, promotion.incumbent_model) else None


def score_of(mark: Feedback) -> float | None:
    """Return what a mark says of an answer, from 0 to 1; None: nothing."""
    if mark.label is not None:
        return 1.0 if mark.label is Label.RIGHT else 0.0
    return mark.score


async def compared(database: Database, promotion: Promotion, timeouts: Timeouts, now: datetime) -> Comparison:
    """Return what live traffic says of a canary until now. May raise ``DatabaseUnavailable``.

    ``timeouts`` are its route's.
    """
    evidence = Evidence(promotion, timeouts)
    while await evidence.read_on(database, now):
        pass
    return await asyncio.to_thread(evidence.compared)


def words_of(compared: Comparison) -> str:
    """Say what a comparison rests on, in one line."""
    parts = [_words("answers that came", compared.answers)]
    broke, before = compared.canary.broke_contract, compared.incumbent.broke_contract
    if broke or before:
        parts.append(f"{broke} broke the contract, and {before} of the incumbent's")
    if compared.marks.rows:
        parts.append(_words("marks by people", compared.marks))
    return "; ".join(parts)


def _words(what: str, found: Decision) -> str:
    return (
        f"{what} {_points(found.mean)} points ({_points(found.low)} to {_points(found.high)}) in {found.rows} pairs, "
        f"where -{found.margin * 100:g} is the limit"
    )


def _points(difference: float) -> str:
    return f"{difference * 100:+.1f}"
