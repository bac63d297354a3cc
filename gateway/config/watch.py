"""Watches the files behind a configuration, and replaces it whole when they change."""

import asyncio
import contextlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from watchfiles import Change, awatch

from gateway.config.findings import InvalidRoutes
from gateway.config.loader import Loaded, load

# An editor's or a ConfigMap's many small steps are one change.
_DEBOUNCE_MS = 400
_STEP_MS = 50
_TIMEOUT_MS = 1000
_WITHOUT_EVENTS_S = 5.0
# A ledger or a log beside routes.yaml changes with every request, and is no part of a configuration.
_WRITTEN_BY_SERVING = re.compile(r"\.(log|(db|sqlite3?)(-(wal|shm|journal))?)\Z")


async def watch(
    path: Path,
    *,
    environ: Mapping[str, str],
    current: Loaded,
    on_loaded: Callable[[Loaded], None],
    on_refused: Callable[[InvalidRoutes], None],
    stop: asyncio.Event,
    prepare: Callable[[Loaded], None] = lambda loaded: None,
) -> None:
    """Call back with each new configuration until ``stop`` is set.

    A broken one goes to ``on_refused``, once for each different set of errors, and the last good one stays; when the
    files are good again ``on_loaded`` is called, even if they are what they were. Directories are watched, not files:
    a mounted ConfigMap changes by swapping a symlink, and an include pattern may match a file that is not there yet.
    ``prepare`` runs in the thread that loads, for what would take long on the event loop; it may raise
    ``InvalidRoutes``, too.
    """
    watched = _Watched(path, environ, current, on_loaded, on_refused, prepare)
    while not stop.is_set():
        try:
            await _until_places_change(watched, stop)
        except OSError:
            # A directory went while the watch was being armed, or the system has no watches left: look now and then.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _WITHOUT_EVENTS_S)
            await watched.reload()


async def _until_places_change(watched: "_Watched", stop: asyncio.Event) -> None:
    armed = watched.places()
    first = True
    changes_seen = awatch(
        *armed.values(),
        watch_filter=_may_matter,
        recursive=False,
        debounce=_DEBOUNCE_MS,
        step=_STEP_MS,
        rust_timeout=_TIMEOUT_MS,
        yield_on_timeout=True,
        stop_event=stop,
    )
    async with contextlib.aclosing(changes_seen):
        async for changes in changes_seen:
            # Whatever changed between the last look and the arming of this watch has made no event.
            if changes or first:
                await watched.reload()
            first = False
            if watched.places() != armed:
                return


def _may_matter(_: Change, path: str) -> bool:
    return _WRITTEN_BY_SERVING.search(path) is None


class _Watched:
    def __init__(
        self,
        path: Path,
        environ: Mapping[str, str],
        current: Loaded,
        on_loaded: Callable[[Loaded], None],
        on_refused: Callable[[InvalidRoutes], None],
        prepare: Callable[[Loaded], None],
    ) -> None:
        self._path = path
        self._prepare = prepare
        self._environ = environ
        self._config_hash = current.routes.config_hash
        self._directories = current.directories
        self._refused: str | None = None
        self._on_loaded = on_loaded
        self._on_refused = on_refused

    def places(self) -> dict[str, str]:
        """Return the directories to watch, each with what it leads to now; for a missing one, its nearest parent."""
        existing: dict[str, str] = {}
        for directory in self._directories:
            place = directory
            while not os.path.isdir(place) and os.path.dirname(place) != place:
                place = os.path.dirname(place)
            existing[place] = os.path.realpath(place)
        return existing

    async def reload(self) -> None:
        """Load, off the event loop, and call back if that makes a difference."""
        try:
            loaded = await asyncio.to_thread(self._load)
        except InvalidRoutes as error:
            self._directories = tuple(dict.fromkeys((*self._directories, *error.directories)))
            if error.message != self._refused:
                self._refused = error.message
                self._on_refused(error)
            return
        self._directories = loaded.directories
        if loaded.routes.config_hash != self._config_hash or self._refused is not None:
            self._config_hash, self._refused = loaded.routes.config_hash, None
            self._on_loaded(loaded)

    def _load(self) -> Loaded:
        loaded = load(self._path, environ=self._environ)
        self._prepare(loaded)
        return loaded
