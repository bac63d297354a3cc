"""Asks providers' own APIs, in the background, when their models stop, and tells what has changed."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import chain, islice
from typing import Any, TypeVar

import orjson
import structlog

from gateway.clock import Clock
from gateway.metrics import Metrics
from gateway.policy.lifecycle import Published, PublishedModels
from gateway.providers.connection import TransportError
from gateway.providers.openai_wire import Upstream
from gateway.providers.published import MAX_MODELS, BadListing, Listing, read_models

log = structlog.get_logger()
FIRST_AFTER_S = 2.0
TICK_S = 5.0
"""How often it looks whether a provider is due; the sandbox, whose dates are changed by hand, always is."""
EVERY_S = 600.0
JITTER = 0.1
TIMEOUT_S = 30.0
MAX_LIST_BYTES = 8 * 1024 * 1024

_Result = TypeVar("_Result")


class PollOutcome(StrEnum):
    """How a poll went."""

    OK = "ok"
    REFUSED = "refused"
    """The provider does not take our credential."""
    FAILED = "failed"
    """No connection, no answer in time, or an answer other than 200."""
    MALFORMED = "malformed"
    """Something in the list, or all of it, could not be read; what could be read counts."""


class ChangeKind(StrEnum):
    """What became of a date."""

    ANNOUNCED = "announced"
    """There was none, or it was tentative and is now planned."""
    MOVED = "moved"
    WITHDRAWN = "withdrawn"
    """There is none any more, or it is only tentative now."""


@dataclass(frozen=True, slots=True)
class DateChange:
    """One date of one model that a provider's API no longer tells as it did."""

    model: str
    kind: ChangeKind
    what: str
    """``shutdown`` or ``last_training_day``, as in ``Dates``."""
    before: date | None
    after: date | None
    certainty: str
    """What ``after`` is: ``planned`` or ``tentative``."""
    is_new: bool = False
    """Whether the model itself was not known before: then nobody has announced anything."""


@dataclass(frozen=True, slots=True)
class Poll:
    """What one look at a provider's list amounts to."""

    provider: str
    outcome: PollOutcome
    names: frozenset[str] = frozenset()
    """The models that the list named and that could be read."""
    models: tuple[Published, ...] | None = None
    """All that is known of the provider's models now; None where there was no list, and nothing has changed."""
    changes: tuple[DateChange, ...] = ()
    problems: tuple[str, ...] = ()
    is_first: bool = False
    """Whether nothing was known before: then nothing is a change either."""


Report = Callable[[str, tuple[Published, ...], tuple[DateChange, ...]], Awaitable[None]]
"""Takes a provider's name, all that is known of its models, and how that differs from what was known before."""


class Poller:
    """Polls every provider that lists its models, one after the other.

    ``left`` hears which models a list no longer names that named them the last time: no proof, but a reason to look.

    ``report`` hears of every list that could be read. Where it raises, nothing counts as known: it hears the same
    changes again from the next poll. It hears every change at least once in each replica.
    """

    def __init__(
        self,
        *,
        upstreams: Callable[[], Mapping[str, Upstream]],
        clock: Clock,
        metrics: Metrics,
        report: Report,
        left: Callable[[str, frozenset[str]], None] = lambda provider, models: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._upstreams = upstreams
        self._clock = clock
        self._metrics = metrics
        self._report = report
        self._left = left
        self._listed: dict[str, frozenset[str]] = {}
        self._chance = chance
        self._known: dict[str, tuple[Published, ...]] = {}
        self._due: dict[tuple[str, str], float] = {}
        self._said: dict[str, tuple[PollOutcome, tuple[str, ...]]] = {}

    def remember(self, published: PublishedModels) -> None:
        """Take what earlier polls found as known: changes are told against it. What was polled since stays."""
        kept: dict[str, list[Published]] = {}
        for (provider, _), model in published.items():
            kept.setdefault(provider, []).append(model)
        for provider, models in kept.items():
            self._known.setdefault(provider, tuple(models))

    async def run(self) -> None:
        """Poll for as long as the process lives: each provider every ten minutes or so."""
        await self._clock.sleep(FIRST_AFTER_S)
        while True:
            upstreams = {name: upstream for name, upstream in self._upstreams().items() if is_polled(upstream)}
            # A provider that moved to another address is another one, and due at once.
            keys = {name: (name, upstream.dated_models_url) for name, upstream in upstreams.items()}
            self._due = {key: self._due[key] for key in keys.values() if key in self._due}
            for name, upstream in upstreams.items():
                if self._clock.monotonic() >= self._due.get(keys[name], 0.0):
                    await self._poll(name, upstream)
                    self._due[keys[name]] = self._clock.monotonic() + self._pause_s(upstream)
            await self._clock.sleep(TICK_S)

    def _pause_s(self, upstream: Upstream) -> float:
        if upstream.provider.kind == "sandbox":
            return 0.0
        # Not all replicas at the same moment, and not a round figure.
        return EVERY_S * (1 - JITTER + 2 * JITTER * self._chance())

    async def _poll(self, name: str, upstream: Upstream) -> None:
        try:
            found = await poll(upstream, self._known.get(name, ()), self._clock)
            self._metrics.calendar_polls.labels(name, found.outcome.value).inc()
            self._say(found, aloud=upstream.provider.vendor.tells_dates)
            if found.models is not None:
                await self._report(name, found.models, found.changes)
                self._known[name] = found.models
                if gone := self._listed.get(name, frozenset()) - found.names:
                    self._left(name, gone)
                self._listed[name] = found.names
        except Exception:
            # Nobody waits for this task: what it does not say is never heard of.
            log.exception("calendar_poll_not_taken", provider=name)

    def _say(self, found: Poll, *, aloud: bool) -> None:
        """Log what is wrong, once until it changes; quietly where no date was to be expected anyway."""
        said = self._said.get(found.provider, (PollOutcome.OK, ()))
        news = found.outcome, found.problems
        if news == said:
            return
        self._said[found.provider] = news
        if found.outcome is PollOutcome.OK:
            log.info("calendar_poll", provider=found.provider, outcome=found.outcome.value)
        else:
            say = log.warning if aloud else log.debug
            say("calendar_poll", provider=found.provider, outcome=found.outcome.value, problems=list(found.problems))


def dates_source(upstream: Upstream) -> str:
    """Return what dates name as their source that this provider's list told."""
    return f"GET {upstream.dated_models_url}"


def is_polled(upstream: Upstream) -> bool:
    """Tell whether there is a list to ask for."""
    vendor = upstream.provider.vendor
    return vendor.lists_models or vendor.dates_path is not None


async def poll(upstream: Upstream, known: tuple[Published, ...], clock: Clock) -> Poll:
    """Ask a provider once, and lay its answer beside what was known. Takes at most ``TIMEOUT_S``, and never raises."""
    name = upstream.provider.name
    try:
        status, body = await _within(clock, TIMEOUT_S, upstream.list_dated_models(MAX_LIST_BYTES))
    except TransportError as error:
        return Poll(name, PollOutcome.FAILED, problems=(str(error),))
    except TimeoutError:
        return Poll(name, PollOutcome.FAILED, problems=(f"no answer within {TIMEOUT_S:g} s",))
    if status in (401, 403):
        return Poll(name, PollOutcome.REFUSED, problems=(f"the provider refused our credential: status {status}",))
    if status != 200:
        return Poll(name, PollOutcome.FAILED, problems=(f"the provider answered with status {status}",))
    # In a thread: a list may be megabytes, and requests are being served.
    return await asyncio.to_thread(_understood, upstream, body, known, clock.now().date())


def _understood(upstream: Upstream, body: bytes, known: tuple[Published, ...], today: date) -> Poll:
    name, source = upstream.provider.name, dates_source(upstream)
    try:
        listing = read_models(upstream.provider.kind, orjson.loads(body), today, source)
    except orjson.JSONDecodeError:
        return Poll(name, PollOutcome.MALFORMED, problems=("the answer is not JSON",))
    except BadListing as error:
        return Poll(name, PollOutcome.MALFORMED, problems=(str(error),))
    # What another address said under this name says nothing of this one.
    before = {row.model: row for row in known if row.dates.source == source}
    after = merged(before, listing)
    return Poll(
        name,
        PollOutcome.MALFORMED if listing.problems else PollOutcome.OK,
        frozenset(row.model for row in listing.models),
        tuple(after.values()),
        changes(before, after) if before else (),
        listing.problems,
        is_first=not before,
    )


def merged(before: Mapping[str, Published], listing: Listing) -> dict[str, Published]:
    """Return what is known after a list: its rows, and of models that it does not name whatever was known of them.

    A model that is gone from the list, or whose row could not be read, keeps its dates: its end is no news by itself.
    """
    listed = {row.model: row for row in listing.models}
    absent = ((name, row) for name, row in before.items() if name not in listed)
    # A list whose ids were new every time must not fill memory and database.
    return dict(islice(chain(listed.items(), absent), MAX_MODELS))


def changes(before: Mapping[str, Published], after: Mapping[str, Published]) -> tuple[DateChange, ...]:
    """Return every date that differs. A model that was not known counts as one without dates. Pure."""
    return tuple(chain.from_iterable(_changes_of(before.get(name), row) for name, row in after.items()))


def _changes_of(before: Published | None, after: Published) -> list[DateChange]:
    found = []
    for what in ("shutdown", "last_training_day"):
        was: date | None = getattr(before.dates, what) if before else None
        now: date | None = getattr(after.dates, what)
        kind = None
        if was != now:
            kind = ChangeKind.ANNOUNCED if was is None else ChangeKind.WITHDRAWN if now is None else ChangeKind.MOVED
        elif was is not None and before and before.dates.certainty != after.dates.certainty:
            kind = ChangeKind.ANNOUNCED if after.dates.certainty == "planned" else ChangeKind.WITHDRAWN
        if kind is not None:
            found.append(DateChange(after.model, kind, what, was, now, after.dates.certainty, is_new=before is None))
    return found


async def _within(clock: Clock, seconds: float, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Await ``work`` for so long by the injected clock. Raises ``TimeoutError``, and whatever the work raises."""
    task, timer = asyncio.ensure_future(work), asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        task.cancel()
        timer.cancel()
        await asyncio.gather(task, timer, return_exceptions=True)
