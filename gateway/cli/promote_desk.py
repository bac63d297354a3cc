"""What ``gateway promote`` knows of one route: its versions, what is in force, and what speaks for and against each."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import typer

from gateway.clock import SystemClock
from gateway.config.loader import Loaded
from gateway.config.routes import Provider, Route, Routes, Target
from gateway.learning.known import Known, known_of
from gateway.lifecycle.calendar import Calendar
from gateway.lifecycle.promotable import against, answers_without, dates_of, target_for
from gateway.lifecycle.sighting import Sighting, sighting
from gateway.policy.lifecycle import Dates
from gateway.policy.promotion import Promotion, PromotionState, Version
from gateway.policy.promotion_rules import Against
from gateway.providers.credentials import lacks_credential
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream
from gateway.store.database import Database
from gateway.store.evaluations import Evaluation, EvaluationStore
from gateway.store.promotions import PromotionStore
from gateway.store.states import StateStore
from gateway.store.versions import VersionStore


@dataclass(frozen=True, slots=True)
class Desk:
    """One route as routes.yaml has it, and what the database keeps of it at this moment."""

    loaded: Loaded
    route: Route
    database: Database
    now: datetime
    known: Known
    calendar: Calendar
    versions: tuple[Version, ...]
    current: Promotion | None
    """What has not ended, whether or not it still holds."""
    evaluations: Mapping[str, Evaluation]
    """Every verdict on the route's targets, by its id."""
    environ: Mapping[str, str]
    elsewhere: frozenset[str]
    """The hashes of other configurations, by which replicas run at the moment."""

    @classmethod
    async def read(cls, loaded: Loaded, route: str, database: Database, *, by: str, now: datetime) -> Self:
        """Read everything; routes.yaml's primary becomes a version where nobody has registered it.

        Raises ``DatabaseUnavailable``.
        """
        own, known, store = loaded.routes.routes[route], await known_of(database), VersionStore(database)
        primary = own.primary
        if primary is not None and await store.of_model(route, primary.provider.name, primary.model) is None:
            # Else versions stand as servers say, which follow their own routes.yaml: this may be another checkout.
            await store.follow_routes(own, by, now)
        living = {config_hash for config_hash, _ in (await StateStore(database, "").read(now)).living}
        evaluations = await EvaluationStore(database).of_route(route)
        return cls(
            loaded,
            own,
            database,
            now,
            known,
            Calendar(loaded.routes, known.published),
            tuple(await store.of_route(route)),
            (await PromotionStore(database).active()).get(route),
            {evaluation.evaluation_id: evaluation for evaluation in evaluations},
            os.environ,
            frozenset(living - {loaded.routes.config_hash}),
        )

    @property
    def routes(self) -> Routes:
        """The configuration as routes.yaml has it."""
        return self.loaded.routes

    @property
    def primary(self) -> Version | None:
        """The version that routes.yaml names."""
        own = self.route.primary
        return None if own is None else self._of_model(own.provider.name, own.model)

    @property
    def incumbent(self) -> Version | None:
        """The version over which the current promotion was begun; None: nothing is current."""
        current = self.current
        return None if current is None else self._of_model(current.incumbent_provider, current.incumbent_model)

    def version(self, number: int) -> Version:
        """Return one version. Raises ``BadParameter`` where the route has none of that number."""
        found = next((version for version in self.versions if version.number == number), None)
        if found is None:
            names = ", ".join(version.name for version in self.versions) or "none yet"
            message = f"{self.route.name} has no version v{number}; it has {names}; --model ID makes one of a model"
            raise typer.BadParameter(message, param_hint="VERSION")
        return found

    def verdict(self, version: Version) -> Evaluation | None:
        """Return the evaluation that is attached to a version."""
        return self.evaluations.get(version.evaluation_id) if version.evaluation_id is not None else None

    def against(self, version: Version, state: PromotionState = PromotionState.SERVING) -> Against:
        """Return what speaks against sending requests to a version."""
        found = self.verdict(version)
        return against(
            version,
            self.route,
            self.routes,
            calendar=self.calendar,
            states=self.known.targets,
            lacks=self.lacks,
            now=self.now,
            verdict=found.verdict if found is not None else None,
            state=state,
        )

    def lacks(self, provider: Provider) -> str | None:
        """Say what a provider cannot be called without from here; None: nothing."""
        return lacks_credential(provider, self.environ)

    def dates_of(self, version: Version) -> Dates:
        """Return what all sources say of a version's model."""
        return dates_of(version, self.route, self.routes, self.calendar)

    def target_of(self, version: Version) -> Target | None:
        """Return a version as the route's primary; None: its provider is not of this configuration."""
        return target_for(version, self.route, self.routes)

    def answers_without(self, version: Version) -> Target | None:
        """Return who answers where this version is the primary, and cannot; None: nobody."""
        return answers_without(
            version, self.route, self.routes, calendar=self.calendar, states=self.known.targets, now=self.now
        )

    async def look(self, version: Version) -> Sighting:
        """Ask a version's provider whether it has the model just now."""
        provider, clock = self.routes.providers.get(version.provider), SystemClock()
        if provider is None:
            return Sighting.UNKNOWN
        client = HttpClient()
        try:
            return await sighting(Upstream(provider, client, self.environ, clock), version.model)
        finally:
            client.close()
            # Connections end in the loop's next turn.
            await asyncio.sleep(0)

    def _of_model(self, provider: str, model: str) -> Version | None:
        return next((each for each in self.versions if (each.provider, each.model) == (provider, model)), None)
