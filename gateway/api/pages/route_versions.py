"""The versions of a route's model, and what is in force in place of the one that routes.yaml names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from gateway.api.deps import Services
from gateway.api.pages.notes import Note
from gateway.config.routes import Route
from gateway.learning.canary import Comparison, Side, compared, words_of
from gateway.lifecycle.promotable import dates_of
from gateway.policy.promotion import Promotion, PromotionState, Version, ending_of
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.evaluations import Evaluation, EvaluationStore
from gateway.store.promotions import PromotionStore
from gateway.store.versions import VersionStore

MOST_VERSIONS: Final = 50
MOST_NAMED: Final = 5
"""On the page of all routes."""
COMPARED_FRESH_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One line of the table."""

    version: Version
    is_named: bool
    """Whether routes.yaml names it."""
    came: str
    """How it came to be known."""
    evaluation: Evaluation | None
    stops: date | None


@dataclass(frozen=True, slots=True)
class InForce:
    """A version that answers in place of what routes.yaml names, or a share of it."""

    promotion: Promotion
    does: str
    """What it does, without since when and until when."""
    ignored: str
    """Why this replica does not follow it; empty: it does."""
    live: str
    """How it does against the incumbent; empty: nothing to say."""
    sides: Sequence[tuple[str, Side]] = ()
    """What came of each, by who it is."""
    has_contract: bool = False


@dataclass(frozen=True, slots=True)
class RouteVersions:
    """The whole section."""

    rows: tuple[VersionRow, ...] = ()
    """The latest first."""
    more: int = 0
    """How many older ones are not shown."""
    in_force: InForce | None = None
    ended: tuple[Promotion, ...] = ()
    """The latest that are over, newest first."""
    commands: tuple[tuple[str, str], ...] = ()
    """What each is for, and the command."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the database knows of a route's versions."""

    versions: Sequence[Version] = ()
    promotions: Sequence[Promotion] = ()
    """Newest first."""
    evaluations: Mapping[str, Evaluation] = field(default_factory=dict)


async def read_versions(database: Database, route: str) -> Kept:
    """Read it. May raise ``DatabaseUnavailable``."""
    versions = await VersionStore(database).of_route(route)
    if not versions:
        return Kept()
    evaluations = await EvaluationStore(database).of_route(route)
    return Kept(
        versions,
        await PromotionStore(database).of_route(route),
        {evaluation.evaluation_id: evaluation for evaluation in evaluations},
    )


async def versions_of(services: Services, name: str, now: datetime) -> RouteVersions:
    """Gather the section of one route that there is. May raise ``DatabaseUnavailable``."""
    kept = await services.pages.read(("versions", name), lambda database: read_versions(database, name))
    snapshot = services.pipeline.snapshot
    # As routes.yaml has it: in the served configuration a version that was promoted is the primary already.
    route = snapshot.promoted.named.routes[name]
    rows = [
        VersionRow(
            version,
            _is_named(version, route),
            _came(version),
            kept.evaluations.get(version.evaluation_id or ""),
            dates_of(version, route, snapshot.promoted.named, snapshot.calendar).shutdown,
        )
        for version in reversed(kept.versions)
    ]
    active = next((each for each in kept.promotions if each.ended_at is None), None)
    holds = active is not None and ending_of(active, route, now) is None
    return RouteVersions(
        tuple(rows[:MOST_VERSIONS]),
        max(0, len(rows) - MOST_VERSIONS),
        await _in_force(services, active, now) if active is not None and holds else None,
        tuple(each for each in kept.promotions if each.ended_at is not None)[:MOST_NAMED],
        tuple(_commands(route, kept.versions, holds=holds)),
    )


async def _in_force(services: Services, promotion: Promotion, now: datetime) -> InForce:
    found: Comparison | None = None
    live = ""
    route = services.pipeline.snapshot.routes.routes[promotion.route]
    if promotion.state is PromotionState.CANARY:
        timeouts = route.timeouts
        try:
            found = await services.pages.read(
                ("canary", promotion.promotion_id, promotion.version),
                lambda database: compared(database, promotion, timeouts, now),
                fresh_s=COMPARED_FRESH_S,
            )
            live = _live(found)
        except DatabaseUnavailable:
            live = "how it does on live traffic could not be read in time"
    ignored = services.pipeline.snapshot.promoted.ignored.get(promotion.route, "")
    sides = () if found is None else ((f"v{promotion.number}", found.canary), ("the incumbent", found.incumbent))
    return InForce(promotion, does(promotion), ignored, live, sides, route.contract is not None)


def _live(found: Comparison) -> str:
    if not found.answers.rows:
        return "there is nothing to compare yet: it takes an answer of each"
    return f"{found.verdict.value.replace('_', ' ')}: {words_of(found)}"


def does(promotion: Promotion) -> str:
    """Say how far a promotion goes."""
    if promotion.state is PromotionState.SERVING:
        return f"v{promotion.number} answers all conversations"
    return f"v{promotion.number} answers {promotion.share * 100:g}% of conversations"


def promoted_note(services: Services, now: datetime) -> Iterator[Note]:
    """Say which routes are answered by versions that routes.yaml does not name; nothing where none is."""
    promoted = services.pipeline.snapshot.promoted
    holding = [
        promotion
        for name, promotion in sorted(promoted.active.items())
        if name not in promoted.ignored and ending_of(promotion, promoted.named.routes.get(name), now) is None
    ]
    if holding:
        named = ", ".join(f"{each.route} ({_briefly(each)})" for each in holding[:MOST_NAMED])
        more = f" and {len(holding) - MOST_NAMED:,} more" if len(holding) > MOST_NAMED else ""
        yield Note(f"Versions that routes.yaml does not name answer: {named}{more}.", "gateway promote ROUTE --status")


def _briefly(promotion: Promotion) -> str:
    if promotion.state is PromotionState.SERVING:
        return f"v{promotion.number} until {promotion.expires_at:%d %b %H:%M} UTC"
    return f"v{promotion.number}, {promotion.share * 100:g}%"


def _is_named(version: Version, route: Route) -> bool:
    primary = route.primary
    return primary is not None and (version.provider, version.model) == (primary.provider.name, primary.model)


def _came(version: Version) -> str:
    return {
        "routes": "named by routes.yaml",
        "job": "trained by a job",
        "adapter": "an adapter of your own",
        "named": f"named by {version.by}",
    }[version.origin]


def _commands(route: Route, versions: Sequence[Version], *, holds: bool) -> Iterator[tuple[str, str]]:
    """Say what could be typed next, the most useful first."""
    name = route.name
    if holds:
        yield "let the primary that routes.yaml names answer again", f"gateway promote {name} --rollback --reason …"
    newest = next((each for each in reversed(versions) if not _is_named(each, route)), None)
    if newest is None:
        yield "train the next one", f"gateway tune {name} --on PROVIDER"
        yield "make a model a version by its id", f"gateway promote {name} --model ID"
        return
    if newest.evaluation_id is None:
        yield f"find out how good {newest.name} is", f"gateway evaluate {name} --version {newest.name}"
    yield f"let {newest.name} answer a share", f"gateway promote {name} {newest.name} --canary 5%"
    yield f"have routes.yaml name {newest.name}", f"gateway promote {name} {newest.name} | git apply"
