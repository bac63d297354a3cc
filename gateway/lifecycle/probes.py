"""Verification of suspects, and rechecks of what is gone: by the gateway, in the background, never by traffic."""

import asyncio
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import structlog

from gateway.clock import Clock
from gateway.config.routes import Target
from gateway.lifecycle.probe_calls import PROBE_TIMEOUT_S, ProbeCall, ProbeCalls, TargetKey, parsed
from gateway.policy.verification import (
    GOOD_PROBES_APART_S,
    GOOD_PROBES_TO_RETURN,
    Evidence,
    Listing,
    conclude,
    recheck_pause_s,
)
from gateway.providers.connection import TransportError
from gateway.providers.openai_wire import Upstream
from gateway.reasons import Availability, FailureKind

log = structlog.get_logger()
BETWEEN_CALLS_S = 1.0
INVENTORY_KEPT_S = 1.0


@dataclass(slots=True)
class Inventory:
    """What a provider's list of models said."""

    status: int
    ids: list[str] | None
    """None: it could not be read."""
    finds_by_id: "asyncio.Task[bool] | None" = None
    """Whether a look-up by id finds a model that is listed: only then its 404 means something."""


class Prober:
    """Runs at most one verification per target; tells the board what it found."""

    def __init__(
        self,
        *,
        upstreams: Callable[[], Mapping[str, Upstream]],
        clock: Clock,
        ever_served: Callable[[TargetKey], bool],
        date_passed: Callable[[Target], bool],
        doubted: Callable[[TargetKey], bool],
        agreed_version: Callable[[TargetKey], int],
        report: Callable[[TargetKey, Availability, int], None],
        exercised: Callable[[Target, FailureKind | None], None],
        record: Callable[[ProbeCall], None],
        new_attempt_id: Callable[[], str],
        answers_at: Callable[[TargetKey], AbstractSet[str]],
        begin: Callable[[ProbeCall], None] = lambda call: None,
    ) -> None:
        self._upstreams = upstreams
        self._clock = clock
        self._ever_served = ever_served
        self._date_passed = date_passed
        self._doubted = doubted
        self._agreed_version = agreed_version
        self._report = report
        self._exercised = exercised
        self._calls = ProbeCalls(clock, record, new_attempt_id, answers_at, begin)
        self._running: dict[TargetKey, asyncio.Task[None]] = {}
        self._exercises: dict[TargetKey, asyncio.Task[None]] = {}
        self._inventories: dict[str, tuple[float, asyncio.Task[Inventory]]] = {}

    def verify(self, target: Target, *, carefully: bool = False) -> None:
        """Start verifying a target, unless that is under way. ``carefully``: it came back a moment ago."""
        self._start(target, Availability.SUSPECT, carefully)

    def await_return(self, target: Target, believed: Availability) -> None:
        """Look, at growing pauses, whether a target that is gone or closed to us has come back."""
        self._start(target, believed, carefully=True)

    def exercise(self, target: Target) -> None:
        """Ask a target that nobody doubts for one token, and tell how that went.

        A list alone would not do: many a provider serves models that it does not list.
        """
        key = (target.provider.name, target.model)
        upstream = self._upstreams().get(target.provider.name)
        if key not in self._exercises and upstream is not None:
            task = asyncio.get_running_loop().create_task(self._exercise(upstream, target))
            self._exercises[key] = task
            task.add_done_callback(lambda _: self._exercises.pop(key, None))

    async def _exercise(self, upstream: Upstream, target: Target) -> None:
        self._exercised(target, await self._calls.ask(upstream, target))

    def forget(self, key: TargetKey) -> None:
        """Stop looking: others have found what there was to find, or what was found is to be looked at anew."""
        task = self._running.pop(key, None)
        if task is not None:
            task.cancel()

    def _start(self, target: Target, believed: Availability, carefully: bool) -> None:
        key = (target.provider.name, target.model)
        if key not in self._running:
            version = self._agreed_version(key)
            work = self._until_clear(key, target, believed, carefully, version)
            self._running[key] = asyncio.get_running_loop().create_task(work)

    async def _until_clear(
        self, key: TargetKey, target: Target, believed: Availability, carefully: bool, version: int
    ) -> None:
        back_since = None
        try:
            back_since = await self._watch(key, target, believed, carefully, version)
        finally:
            # Before the report: a call that fails right after it must find that nobody is looking.
            if self._running.get(key) is asyncio.current_task():
                del self._running[key]
        if back_since is not None:
            self._report(key, Availability.AVAILABLE, back_since)

    async def close(self) -> None:
        """Stop every verification."""
        tasks: list[asyncio.Task[Any]] = [*self._running.values(), *self._exercises.values()]
        tasks += [task for _, task in self._inventories.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(
        self, key: TargetKey, target: Target, believed: Availability, carefully: bool, version: int
    ) -> int | None:
        """Verify, then recheck at growing pauses, until the target is available or nobody doubts it any more.

        Returns the version to report the return by; None: it need not be reported.

        Every report names the version of the shared state that was known before the look it rests on, so that a
        replica which slept in between cannot undo what others have agreed on since.
        """
        found = await self._look(key, target) if believed is Availability.SUSPECT else believed
        checks = 0
        while found is not Availability.AVAILABLE or carefully:
            if found is Availability.AVAILABLE:
                if await self._stays_good(key, target):
                    break
                found = Availability.UNKNOWN
            elif found is not Availability.UNKNOWN and found is not believed:
                believed, checks = found, 0
                carefully = True
                self._report(key, found, version)
            await self._clock.sleep(recheck_pause_s(found, checks))
            if not self._doubted(key):
                return None
            checks += 1
            version = self._agreed_version(key)
            found = await self._look(key, target)
        return version

    async def _stays_good(self, key: TargetKey, target: Target) -> bool:
        """After one good look, look again until there were enough of them over a minute."""
        for _ in range(GOOD_PROBES_TO_RETURN - 1):
            before = self._clock.monotonic()
            await self._clock.sleep(GOOD_PROBES_APART_S)
            # A process that was stopped in between knows nothing of that time.
            if self._clock.monotonic() - before > 3 * GOOD_PROBES_APART_S:
                return False
            if await self._look(key, target) is not Availability.AVAILABLE:
                return False
        return True

    async def _look(self, key: TargetKey, target: Target) -> Availability:
        """Look once; whatever goes wrong in it says nothing of the target."""
        try:
            return await self._evidence(key, target)
        except Exception:
            # A watch that ended here would leave a suspect a suspect for ever.
            log.exception("verification_failed", provider=key[0], model=key[1])
            return Availability.UNKNOWN

    async def _evidence(self, key: TargetKey, target: Target) -> Availability:
        """Gather evidence until it says something."""
        upstream = self._upstreams().get(target.provider.name)
        if upstream is None:
            return Availability.UNKNOWN
        listing = await self._listing(upstream, target.model)
        evidence = Evidence(listing, (), self._ever_served(key), self._date_passed(target))
        while (found := conclude(evidence)) is None:
            if evidence.calls:
                await self._clock.sleep(BETWEEN_CALLS_S)
            evidence = replace(evidence, calls=(*evidence.calls, await self._calls.ask(upstream, target)))
        log.info(
            "target_verified",
            provider=key[0],
            model=key[1],
            found=found.value,
            listing=listing.value,
            calls=[call.value if call else "ok" for call in evidence.calls],
        )
        return found

    async def _listing(self, upstream: Upstream, model: str) -> Listing:
        """Ask the provider's list, and a look-up by id where that finds a model known to live."""
        if not upstream.provider.vendor.lists_models:
            return Listing.UNAVAILABLE
        inventory = await self._inventory(upstream)
        if inventory.status in (401, 403):
            return Listing.KEY_REFUSED
        if inventory.ids is None:
            return Listing.UNAVAILABLE
        if model in inventory.ids:
            return Listing.LISTED
        if not await self._finds_by_id(upstream, inventory):
            return Listing.ABSENT
        status = await self._look_up(upstream, model)
        if status == 200:
            return Listing.LISTED
        return Listing.ABSENT if status in (400, 404, 410) else Listing.UNAVAILABLE

    async def _inventory(self, upstream: Upstream) -> "Inventory":
        """Return a provider's list as of the last second: forty models that die together are looked up in one."""
        name, now = upstream.provider.name, self._clock.monotonic()
        known = self._inventories.get(name)
        if known is None or now - known[0] > INVENTORY_KEPT_S:
            known = self._inventories[name] = now, asyncio.ensure_future(self._read_inventory(upstream))
        # Shielded: whoever waits for it may be stopped, and the others still want it.
        return await asyncio.shield(known[1])

    async def _read_inventory(self, upstream: Upstream) -> "Inventory":
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                status, body = await upstream.list_models()
        except (TransportError, TimeoutError):
            return Inventory(0, None)
        return Inventory(status, model_ids(body) if status == 200 else None)

    async def _finds_by_id(self, upstream: Upstream, inventory: "Inventory") -> bool:
        if not inventory.ids:
            return False
        if inventory.finds_by_id is None:
            inventory.finds_by_id = asyncio.ensure_future(self._can_look_up(upstream, inventory.ids[0]))
        return await asyncio.shield(inventory.finds_by_id)

    async def _can_look_up(self, upstream: Upstream, model: str) -> bool:
        return await self._look_up(upstream, model) == 200

    async def _look_up(self, upstream: Upstream, model: str) -> int:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                return await upstream.look_up(escaped(model))
        except (TransportError, TimeoutError):
            return 0


def escaped(model: str) -> str:
    """Return a model's id as a part of a path; what no path may hold is escaped."""
    return quote(model, safe="/:@")


def model_ids(body: bytes) -> list[str] | None:
    """Return the ids of a list of models; None where the body is no such list."""
    document = parsed(body)
    if isinstance(document, dict) and isinstance(document.get("models"), list):
        # Gemini's and Cohere's, with names; Gemini's are paths.
        return [name.removeprefix("models/") for name in _texts(document["models"], "name")]
    rows = document.get("data") if isinstance(document, dict) else document
    return _texts(rows, "id") if isinstance(rows, list) else None


def _texts(rows: list[Any], field: str) -> list[str]:
    return [row[field] for row in rows if isinstance(row, dict) and isinstance(row.get(field), str)]
