"""What the endpoints behind FastAPI need of the running gateway."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from fastapi import Request

from gateway.clock import Clock
from gateway.config.callers import Caller, KeyRole
from gateway.config.routes import Target
from gateway.execution.admission import Admission
from gateway.execution.draining import Draining
from gateway.execution.id_owners import IdOwners
from gateway.execution.key_keeper import KeyKeeper
from gateway.execution.pipeline import Pipeline
from gateway.ledger.figures import LedgerFigures
from gateway.metrics import Metrics

if TYPE_CHECKING:
    from gateway.api.pages.data import PageData
    from gateway.learning.feedback import FeedbackDesk


NOBODY = Caller("", "", KeyRole.OBSERVER)
"""Who asks without having been let in by the guard."""


@dataclass(slots=True)
class Services:
    """The running gateway, as the endpoints see it."""

    pipeline: Pipeline
    metrics: Metrics
    clock: Clock
    started_at: datetime
    pages: "PageData"
    """What pages read from the database."""
    keeper: KeyKeeper = field(init=False)
    """Every key, and where those of the database are."""
    id_owners: IdOwners = field(init=False)
    """Whose the ids of stored responses are."""
    admission: Admission = field(init=False)
    """Counts what limited keys ask for."""
    feedback: "FeedbackDesk" = field(init=False)
    """Takes what people say of answers."""
    instance: str = ""
    """This replica's name."""
    routes_file: str = "routes.yaml"
    ui_actions: bool = False
    """Whether pages may change something."""
    config_error: str | None = None
    """Why the last reload was refused; the configuration before it stays in force."""
    verify: Callable[[Target], None] = lambda target: None
    """Has a target looked at now, because a person asks."""
    reload_waits: Callable[[], str | None] = lambda: None
    """Returns why the latest configuration is not in force yet: a pack that it names is not here."""
    ledger_waits: Callable[[], str | None] = lambda: None
    """Returns why the ledger's journal wants no more traffic just now."""
    ledger_figures: Callable[[], LedgerFigures] = LedgerFigures
    """Returns what the ledger counts of itself."""
    exercised: Callable[[str], float | None] = lambda route: None
    """Returns when a route's fallback last answered anything, in Unix time; 0: never, None: not known yet."""
    waiting_for: dict[str, str] = field(default_factory=dict)
    """What must come true before traffic is welcome: a word, and what people should know of it."""
    draining: Draining = field(default_factory=Draining)

    def not_ready(self) -> list[str]:
        """Return why this replica should get no traffic."""
        reasons = [*self.waiting_for.values()]
        if (ledger := self.ledger_waits()) is not None:
            reasons.append(ledger)
        if self.draining.began:
            reasons.append("draining: the process is stopping")
        return reasons


def services_of(request: Request) -> Services:
    """Return the services of the app that serves this request."""
    services: Services = request.app.state.services
    return services


def caller_of(request: Request) -> Caller:
    """Return who sent this request; of a page, nobody in particular."""
    caller: Caller = request.scope.get("gateway.caller", NOBODY)
    return caller
