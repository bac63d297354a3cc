"""What a configuration needs out of the database before it is whole: packs named by hash, and verdicts."""

from dataclasses import dataclass, field

from gateway.config.awaited_packs import awaited, with_packs
from gateway.config.packs import BadPack, Pack
from gateway.config.routes import Routes
from gateway.errors import ConfigError
from gateway.policy.evidence import EvidenceKey
from gateway.store.database import Database
from gateway.store.evaluations import Evaluation, EvaluationStore
from gateway.store.packs import PackStore

ACCEPT = "accept"


@dataclass(slots=True)
class Knowledge:
    """Packs and verdicts that were read; a pack is read once, verdicts again and again."""

    packs: dict[str, Pack] = field(default_factory=dict)
    accepted: frozenset[EvidenceKey] = frozenset()

    async def read(self, database: Database, routes: Routes) -> None:
        """Read what a configuration needs. May raise ``DatabaseUnavailable``.

        Raises:
            ConfigError: a pack in the database is damaged.
        """
        if any(route.cutover.require_evidence for route in routes.routes.values()):
            self.accepted = accepted_of(await EvaluationStore(database).latest())
        if missing := awaited(routes) - self.packs.keys():
            try:
                self.packs |= await PackStore(database).fetch(missing)
            except BadPack as error:
                raise ConfigError(f"packs: {error.message}") from None

    def complete(self, routes: Routes) -> Routes:
        """Return the configuration with the packs that are here.

        Raises:
            ConfigError: one is not, or holds examples of another customer.
        """
        whole = with_packs(routes, self.packs)
        if missing := awaited(whole):
            raise ConfigError(
                f"packs: {', '.join(sorted(missing))} {'is' if len(missing) == 1 else 'are'} not in the database; "
                "put there what is missing: gateway pack push DIR"
            )
        return whole


def accepted_of(evaluations: list[Evaluation]) -> frozenset[EvidenceKey]:
    """Return what the latest verdicts accept."""
    return frozenset(
        (found.route, found.provider, found.model, found.prompt_version, found.terms)
        for found in evaluations
        if found.verdict == ACCEPT
    )
