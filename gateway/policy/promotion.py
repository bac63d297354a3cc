"""The versions of a route's model, and what puts one of them in the place of the one that routes.yaml names. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Literal

from gateway.config.model_ids import base_of, embeds
from gateway.config.routes import Canary, Provider, Route, Routes, Target
from gateway.policy.residency import may_hold

CANARY = "canary"
"""The name of a canary's target within its route."""


class VersionStatus(StrEnum):
    """Where a version stands."""

    CANDIDATE = "candidate"
    """It can be called, and nobody is sent there."""
    CANARY = "canary"
    SERVING = "serving"
    RETIRED = "retired"
    """It served, and another one does now."""
    REJECTED = "rejected"
    """A canary that was stopped by evidence, or by its model's end."""


@dataclass(frozen=True, slots=True)
class Version:
    """One model that a route has had, or may have next."""

    route: str
    number: int
    """From 1; people say v1."""
    tenant: str
    """Empty: nobody's in particular."""
    provider: str
    model: str
    base: str | None
    origin: Literal["routes", "job", "adapter", "named"]
    """routes: it was the primary of routes.yaml when versions began to be kept; named: somebody gave its id."""
    status: VersionStatus
    by: str
    created_at: datetime
    changed_at: datetime
    job_id: str | None = None
    """Our ``tuning_jobs.job_id``."""
    dataset_hash: str | None = None
    pack_hash: str | None = None
    evaluation_id: str | None = None
    trained_system: Sequence[str] = ()
    cost_nanousd: int | None = None
    """What its training was billed; None: not known."""

    @property
    def name(self) -> str:
        """What people call it."""
        return f"v{self.number}"


class PromotionState(StrEnum):
    """Whom a promotion concerns."""

    CANARY = "canary"
    """A share of conversations."""
    SERVING = "serving"
    """All of them."""
    ENDED = "ended"


class Ending(StrEnum):
    """Why a promotion has no say any more."""

    IN_ROUTES = "in_routes"
    """routes.yaml names the version now: Git is the truth again."""
    SUPERSEDED = "superseded"
    """routes.yaml names a third model, or another promotion began."""
    EXPIRED = "expired"
    ROLLED_BACK = "rolled_back"
    EVIDENCE = "evidence"
    """The canary was shown to be worse than the incumbent by more than the margin."""
    GONE = "gone"
    """The canary's model was seen not to be there, or its date has come."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """A version that answers a share of a route, or all of it, in place of what routes.yaml names."""

    promotion_id: str
    """UUIDv7 of ``started_at``."""
    route: str
    tenant: str
    number: int
    """The version's."""
    provider: str
    model: str
    base: str | None
    incumbent_provider: str
    """Of the primary that routes.yaml named when it began; so are the two below."""
    incumbent_model: str
    incumbent_base: str | None
    state: PromotionState
    share: float
    """Of conversations; 1 once it is serving."""
    margin: float
    by: str
    reason: str
    started_at: datetime
    changed_at: datetime
    """Since when state and share are what they are: evidence counts from here."""
    expires_at: datetime
    ended_at: datetime | None = None
    ended_because: Ending | None = None
    version: int = 1
    """Rises with every change."""


def version_name(number: int) -> str:
    """Return what people call a version."""
    return f"v{number}"


def ended(promotion: Promotion, because: Ending, now: datetime) -> Promotion:
    """Return a promotion as it is once it has ended."""
    return replace(
        promotion, state=PromotionState.ENDED, ended_at=now, ended_because=because, version=promotion.version + 1
    )


def status_of(promotion: Promotion) -> VersionStatus:
    """Return where a promotion leaves its version."""
    if promotion.ended_because is None:
        return VersionStatus.SERVING if promotion.state is PromotionState.SERVING else VersionStatus.CANARY
    if promotion.ended_because is Ending.IN_ROUTES:
        return VersionStatus.SERVING
    if promotion.share >= 1.0:
        return VersionStatus.RETIRED
    rejected = promotion.ended_because in (Ending.EVIDENCE, Ending.GONE)
    return VersionStatus.REJECTED if rejected else VersionStatus.CANDIDATE


def incumbent_status_of(promotion: Promotion) -> VersionStatus | None:
    """Return where a promotion leaves the version that routes.yaml named when it began; None: where it was."""
    if promotion.ended_because is Ending.SUPERSEDED:
        return None
    served = promotion.ended_because is None and promotion.state is PromotionState.SERVING
    retired = served or promotion.ended_because is Ending.IN_ROUTES
    return VersionStatus.RETIRED if retired else VersionStatus.SERVING


@dataclass(frozen=True, slots=True)
class Promoted:
    """A configuration with the promotions that hold, and why others do not hold here."""

    routes: Routes
    ignored: Mapping[str, str]
    """By route, in a sentence."""
    named: Routes
    """The configuration as routes.yaml names it, without them."""
    active: Mapping[str, Promotion]
    """By route, those that are known not to have ended; also the ignored ones."""
    agreed: Routes
    """The configuration as it is served where nothing is missing that only this machine lacks, such as a key."""


Unusable = Callable[[Provider], str | None]


def _usable(provider: Provider) -> None:
    return None


def promoted(
    routes: Routes, promotions: Mapping[str, Promotion], now: datetime, *, unusable: Unusable = _usable
) -> Promoted:
    """Return the configuration as it is served: a version that serves is the primary, a canary stands beside it.

    ``unusable`` says why a provider cannot be called from here. The primary keeps its name and its parameters, and the
    hash stays that of the files. Promotions that are over, or were begun over another primary, change nothing.
    """
    changed: dict[str, Route] = {}
    agreed: dict[str, Route] = {}
    ignored: dict[str, str] = {}
    for name, promotion in promotions.items():
        route = routes.routes.get(name)
        if route is None or ending_of(promotion, route, now) is not None:
            continue
        provider = routes.providers.get(promotion.provider)
        if provider is None:
            ignored[name] = f"{promotion.provider} is no provider of this configuration"
            continue
        target = target_of(route, promotion, provider)
        lacking, unfitting = unusable(provider), unfit(route, target, promotion.state)
        if unfitting is None:
            agreed[name] = _with(route, target, promotion)
        if lacking is None and unfitting is None:
            changed[name] = agreed[name]
        else:
            ignored[name] = lacking or unfitting or ""
    served = _with_routes(routes, changed)
    of_all = served if changed.keys() == agreed.keys() else _with_routes(routes, agreed)
    return Promoted(served, ignored, named=routes, active=promotions, agreed=of_all)


def _with(route: Route, target: Target, promotion: Promotion) -> Route:
    """Return a route with a version as its primary, or beside it."""
    if promotion.state is PromotionState.SERVING:
        return route.model_copy(update={"primary": target})
    canary = Canary(target=target.model_copy(update={"name": CANARY}), share=promotion.share)
    return route.model_copy(update={"canary": canary})


def _with_routes(routes: Routes, changed: Mapping[str, Route]) -> Routes:
    return routes.model_copy(update={"routes": {**routes.routes, **changed}}) if changed else routes


def target_of(route: Route, promotion: Promotion | Version, provider: Provider) -> Target:
    """Return a version as the primary of a route, which has one: under the same name, and with the same parameters."""
    assert route.primary is not None
    # A name that the operator gave to its space was given to the incumbent's vectors.
    base = promotion.base or base_of(promotion.model)
    update = {"provider": provider, "model": promotion.model, "base": base, "embedding_space": None}
    return route.primary.model_copy(update=update)


def unfit(route: Route, target: Target, state: PromotionState) -> str | None:
    """Say why a version cannot stand in a route, or None."""
    incumbent = route.primary
    assert incumbent is not None
    if not may_hold(target.provider.residency, route.residency):
        return f"{target.provider.name} does not keep data in {route.residency!r}, as the route asks"
    if embeds(incumbent.model, incumbent.base) and target.space != incumbent.space:
        return f"its vectors do not mix with those of {incumbent.space}"
    if state is PromotionState.CANARY and any(fallback.name == CANARY for fallback in route.fallbacks):
        return f"the route has a fallback that is called {CANARY!r}"
    return None


def ending_of(promotion: Promotion, route: Route | None, now: datetime, *, is_gone: bool = False) -> Ending | None:
    """Return why a promotion is over, by what routes.yaml says of its route; None: it is not.

    Args:
        promotion: One that is active.
        route: As routes.yaml has it, not as it is served; None: it is not there any more.
        now: An instant in UTC.
        is_gone: Whether its model was seen to be gone, or is past its date.
    """
    primary = route.primary if route is not None else None
    named = (primary.provider.name, primary.model) if primary is not None else None
    if named == (promotion.provider, promotion.model):
        return Ending.IN_ROUTES
    if named != (promotion.incumbent_provider, promotion.incumbent_model):
        return Ending.SUPERSEDED
    if is_gone:
        return Ending.GONE
    return Ending.EXPIRED if now >= promotion.expires_at else None
