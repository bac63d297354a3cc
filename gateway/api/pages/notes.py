"""What is wrong with the gateway itself, beside its routes: one sentence each, none where all is well. No I/O."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.api.deps import Services
from gateway.api.pages.routes_kept import RoutesKept
from gateway.api.pages.words import duration

ROWS_WAIT_TOO_LONG_S: Final = 60.0
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Note:
    """One sentence, and what to look at or type."""

    text: str
    detail: str = ""
    is_bad: bool = False
    """Callers feel it, or rows are lost."""


def notes_of(services: Services, kept: RoutesKept, now: datetime) -> Iterator[Note]:
    """Yield what a person should know, the worst first."""
    yield from _of_ledger(services)
    for reason in services.not_ready():
        if reason != services.ledger_waits():
            yield Note("This replica asks for no traffic.", reason, is_bad=True)
    yield from _of_configuration(services, now)
    yield from _of_replicas(services, kept)


def _of_ledger(services: Services) -> Iterator[Note]:
    figures, waits = services.ledger_figures(), services.ledger_waits()
    if waits is not None:
        yield Note("The ledger takes no more rows, so new requests are refused.", waits, is_bad=True)
    if figures.dropped:
        rows = f"{figures.dropped:,} {'row is' if figures.dropped == 1 else 'rows are'}"
        yield Note(
            f"{rows} lost since this replica started: neither the journal nor the database took them.", is_bad=True
        )
    if figures.oldest_age_s > ROWS_WAIT_TOO_LONG_S:
        waiting = duration(timedelta(seconds=figures.oldest_age_s))
        rows = f"{figures.queued:,} {'row waits' if figures.queued == 1 else 'rows wait'}"
        yield Note(
            f"The ledger has not reached the database for {waiting}.",
            f"{rows} in the journal ({figures.journal_bytes / _MIB:.0f} MiB); none is lost. "
            "What stands here of costs and latency ends there. gateway ledger status",
        )
    if figures.refused:
        yield Note(
            f"The database refused {figures.refused:,} {'row' if figures.refused == 1 else 'rows'}.",
            "They are kept in refused.jsonl beside the journal. gateway ledger status",
        )


def _of_configuration(services: Services, now: datetime) -> Iterator[Note]:
    since = f"the one loaded {duration(now - services.pipeline.snapshot.loaded_at)} ago stays in force"
    if services.config_error is not None:
        yield Note(f"routes.yaml on the disk was refused; {since}.", services.config_error)
    elif (waits := services.reload_waits()) is not None:
        yield Note(f"The latest configuration waits; {since}.", waits)


def _of_replicas(services: Services, kept: RoutesKept) -> Iterator[Note]:
    own = services.pipeline.snapshot.config_hash
    hashes = Counter(config_hash for config_hash, _ in kept.living)
    others = hashes.total() - hashes[own]
    if not others or not hashes[own]:
        return
    newest = max(kept.living, key=lambda each: each[1])[0]
    which = "this one’s is the newest" if newest == own else f"the newest is {newest}"
    one = others == 1
    yield Note(
        f"{others:,} of {hashes.total():,} replicas {'runs' if one else 'run'} another configuration than this one.",
        f"{which}; of several, the newest decides where routes stand.",
    )
