"""Tells people what happened, once among all replicas: events are kept, and messages laid out for delivery."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog

from gateway.clock import Clock
from gateway.config.findings import printable
from gateway.execution.prepared import Snapshot
from gateway.ledger.entry import new_attempt_id
from gateway.lifecycle.polling import DateChange
from gateway.policy.announcements import Event, Notice, base_dates, due_notices
from gateway.policy.messages import notices_for
from gateway.policy.planner import Observe
from gateway.policy.sentences import notice_event, sentence
from gateway.reasons import EventKind
from gateway.store.database import DatabaseUnavailable
from gateway.store.states import StateStore

log = structlog.get_logger()
EVERY_S = 10.0
MAX_WAITING = 1000
SHUTDOWN = "shutdown"


def new_event(kind: EventKind, at: datetime, *, by: str, told: dict[str, Any] | None = None, **fields: Any) -> Event:
    """Return an event with its sentence; ``told`` is what only the sentence needs."""
    names = ("reason", "route", "owner", "provider", "model", "from_target", "to_target")
    blank: dict[str, Any] = dict.fromkeys(names)
    # Names come from configurations and providers, and no database or terminal takes every character.
    clean = {name: printable(value) if type(value) is str else value for name, value in fields.items()}
    event = Event(event_id=new_attempt_id(at), at=at, kind=kind, by=printable(by), text="", **{**blank, **clean})
    return replace(event, text=printable(sentence(event, **(told or {}))))


class Teller:
    """Makes messages of events; and events of what no change of state brings along: dates, substitutions."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        store: Callable[[], StateStore | None],
        observe: Observe,
        clock: Clock,
        instance: str,
    ) -> None:
        self._snapshot = snapshot
        self._observe = observe
        self._store = store
        self._clock = clock
        self._instance = instance
        self._waiting: list[Event] = []
        self._told: set[str] = set()

    async def run(self) -> None:
        """Keep at it; what could not be kept is tried again."""
        while True:
            try:
                await self.tell()
            except DatabaseUnavailable as error:
                log.warning("events_not_kept", waiting=len(self._waiting), error=str(error))
            except Exception:
                # Nobody waits for this task: what it does not say is never heard of.
                log.exception("events_not_kept", waiting=len(self._waiting))
            await self._clock.sleep(EVERY_S)

    async def tell(self) -> None:
        """Keep what waits, and the notices that are due."""
        store = self._store()
        if store is None:
            return
        waiting = list(self._waiting)
        telling = [*waiting, *self._notices()]
        if not telling:
            return
        for event in await store.record(telling, self.announce):
            log.warning(event.kind.value, model=event.model, provider=event.provider, text=event.text)
        # Others may have come in the meantime.
        del self._waiting[: len(waiting)]
        self._told.update(event.once_key for event in telling if event.once_key is not None)

    def announce(self, events: Sequence[Event]) -> Sequence[Notice]:
        """Return the messages for every webhook that wants to hear of events which happened together."""
        return notices_for(events, self._snapshot().routes.webhooks, at=self._clock.now(), new_id=new_attempt_id)

    def substituted(self, provider: str, asked: str, answered: str, route: str) -> None:
        """Hear that a provider answered with another model than was asked."""
        now = self._clock.now()
        self._add(
            new_event(
                EventKind.SUBSTITUTED,
                now,
                by=self._instance,
                told={"answered": answered},
                route=route,
                owner=self._owner(route),
                provider=provider,
                model=asked,
                to_target=answered,
                once_key=f"substituted:{provider}:{asked}:{answered}:{now:%Y-%m-%d}",
            )
        )

    def dates_changed(self, provider: str, changes: Iterable[DateChange]) -> None:
        """Hear that a provider tells other dates than before; people hear of those that routes depend on."""
        used = {
            name
            for prepared in self._snapshot().prepared.values()
            for target in prepared.targets.values()
            if target.target.provider.name == provider
            for name in (target.model, target.target.base)
        }
        for change in changes:
            if change.model in used and change.what == SHUTDOWN and not change.is_new:
                self._add(
                    new_event(
                        EventKind.DATES_CHANGED,
                        self._clock.now(),
                        by=self._instance,
                        told={"before": change.before, "after": change.after},
                        provider=provider,
                        model=change.model,
                        # The day is part of it: a date that moves there and back is told each time.
                        once_key=f"dates:{provider}:{change.model}:{change.before}:{change.after}:"
                        f"{self._clock.now():%Y-%m-%d}",
                    )
                )

    def _notices(self) -> list[Event]:
        snapshot, now = self._snapshot(), self._clock.now()
        bases = base_dates(snapshot.routes, snapshot.calendar.dates_of, self._observe)
        due = due_notices(bases, now.date())
        return [
            notice_event(notice, event_id=new_attempt_id(now), at=now, by=self._instance)
            for notice in due
            if notice.once_key not in self._told
        ]

    def _add(self, event: Event) -> None:
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(event)

    def _owner(self, route: str) -> str | None:
        prepared = self._snapshot().prepared.get(route)
        return prepared.route.owner if prepared is not None else None
