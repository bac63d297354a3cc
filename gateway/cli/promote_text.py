"""What ``gateway promote`` says: evidence, dates and prices of a version beside those of the one before it."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from gateway.cli.promote_desk import Desk
from gateway.config.routes_learning import DEFAULT_MARGIN
from gateway.learning.evaluation.report_words import VERDICTS, change, counted, decimal
from gateway.policy.pricing import Price
from gateway.policy.promotion import Promotion, PromotionState, Version
from gateway.providers.prices import PriceBook, region_of
from gateway.store.evaluations import Evaluation

_NANO_PER_TOKEN_FROM_USD_PER_1M = 1000
MAKE = "--model ID makes a version of a model"


def named(version: Version) -> str:
    """Return a version with its model and its provider."""
    return f"{version.name} ({version.model} at {version.provider})"


def minute(at: datetime) -> str:
    """Return an instant as people write it."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def evidence(desk: Desk, version: Version) -> str:
    """Say what is known of how good a version is."""
    found, again = desk.verdict(version), f"gateway evaluate {desk.route.name} --version {version.name}"
    if found is None:
        return f"no evaluation of {version.name} is kept: {again}"
    said = f"{VERDICTS[found.verdict]} on {counted(found.rows, 'row')} ({found.evaluated_at:%Y-%m-%d})"
    figures = ", ".join(_figures(found))
    return f"{version.name} was {said}{f': {figures}' if figures else ''}" if _decided(found) else f"{said}: {again}"


def _decided(found: Evaluation) -> bool:
    return found.verdict != "not_enough_evidence"


def _figures(found: Evaluation) -> Iterator[str]:
    if found.margin != DEFAULT_MARGIN:
        yield f"margin {found.margin:g}"
    if found.difference is not None:
        low, high = found.difference_low, found.difference_high
        bounds = "" if low is None or high is None else f" [{decimal(low)}, {decimal(high)}]"
        yield f"{found.measure} {decimal(found.difference)}{bounds} against the primary"
    if found.cost_change is not None:
        yield f"{change(found.cost_change)} cost"


def dates(desk: Desk, version: Version) -> str:
    """Say when a version's model stops."""
    found = desk.dates_of(version)
    if found.shutdown is None:
        return f"no date is known on which {version.name} stops"
    days = (found.shutdown - desk.now.date()).days
    when = f"stops on {found.shutdown}, in {counted(days, 'day')}" if days > 0 else f"stopped on {found.shutdown}"
    inherited = f", with its base {found.inherited_from}" if found.inherited_from else ""
    return f"{version.name} {when}{inherited} ({found.certainty}, source: {found.source})"


def prices(desk: Desk, old: Version | None, new: Version) -> str | None:
    """Say what a version costs against the one before it; None where a price is not known."""
    targets = [desk.target_of(version) for version in (old, new) if version is not None]
    keys = [(each.provider.kind, each.provider.name, each.model, each.base) for each in targets if each is not None]
    regions = {name: region for name, one in desk.routes.providers.items() if (region := region_of(one)) is not None}
    book = PriceBook.for_targets(
        keys, desk.routes.prices, config_hash=desk.routes.config_hash, today=desk.now.date(), regions=regions
    )
    after = book.lookup(new.provider, new.model)
    before = book.lookup(old.provider, old.model) if old is not None else None
    if old is None or before is None or after is None:
        unpriced = new if after is None else old
        return None if unpriced is None else f"no price of {unpriced.name} is known: what it costs is not counted"
    parts = [_price_change(name, before, after) for name in ("input", "output")]
    return f"{', '.join(parts)} per 1M tokens, {new.name} against {old.name}"


def _price_change(name: str, before: Price, after: Price) -> str:
    old, new = (Decimal(getattr(price, name)) / _NANO_PER_TOKEN_FROM_USD_PER_1M for price in (before, after))
    by = f" ({change(float(new / old) - 1)})" if old and new != old else ""
    return f"{name} ${old.normalize():f} → ${new.normalize():f}{by}" if old != new else f"{name} ${old.normalize():f}"


def in_force(promotion: Promotion) -> str:
    """Say what a promotion does."""
    serves = promotion.state is PromotionState.SERVING
    what = "all conversations" if serves else f"{share(promotion.share)} of conversations"
    until = f"since {minute(promotion.changed_at)}, until {minute(promotion.expires_at)}"
    return f"v{promotion.number} answers {what} {until}, by {promotion.by}: {promotion.reason}"


def share(value: float) -> str:
    """Return a share in per cent: "5 %", "0.5 %"."""
    return f"{100 * value:g} %"


def version_object(desk: Desk, version: Version) -> dict[str, Any]:
    """Return everything that is known of a version, for JSON."""
    found, until = desk.verdict(version), desk.dates_of(version)
    return {
        "version": version.name,
        "status": version.status.value,
        "provider": version.provider,
        "model": version.model,
        "base": version.base,
        "origin": version.origin,
        "job_id": version.job_id,
        "dataset_hash": version.dataset_hash,
        "pack_hash": version.pack_hash,
        "cost_nanousd": version.cost_nanousd,
        "verdict": found.verdict if found is not None else None,
        "rows": found.rows if found is not None else None,
        "evaluated_at": found.evaluated_at.isoformat(timespec="seconds") if found is not None else None,
        "stops": until.shutdown.isoformat() if until.shutdown is not None else None,
        "last_training_day": until.last_training_day.isoformat() if until.last_training_day is not None else None,
        "by": version.by,
        "created_at": version.created_at.isoformat(timespec="seconds"),
        "changed_at": version.changed_at.isoformat(timespec="seconds"),
    }


def promotion_object(promotion: Promotion) -> dict[str, Any]:
    """Return a promotion, for JSON."""
    ended = promotion.ended_at.isoformat(timespec="seconds") if promotion.ended_at is not None else None
    return {
        "version": f"v{promotion.number}",
        "state": promotion.state.value,
        "share": promotion.share,
        "margin": promotion.margin,
        "by": promotion.by,
        "reason": promotion.reason,
        "incumbent": {"provider": promotion.incumbent_provider, "model": promotion.incumbent_model},
        "started_at": promotion.started_at.isoformat(timespec="seconds"),
        "changed_at": promotion.changed_at.isoformat(timespec="seconds"),
        "expires_at": promotion.expires_at.isoformat(timespec="seconds"),
        "ended_at": ended,
        "ended_because": promotion.ended_because.value if promotion.ended_because is not None else None,
    }


def refused(desk: Desk, said: str) -> str:
    """Add where to look further to a refusal that names no way itself."""
    if "--in-spite" in said:
        return said
    return f"{said}; the route's other versions: gateway promote {desk.route.name} --status"


def others(desk: Desk) -> str:
    """Say which version a rollback could name."""
    primary = desk.primary
    names = [version.name for version in desk.versions if version != primary]
    if not names:
        return MAKE
    return f"name one ({', '.join(names)}), as in gateway promote {desk.route.name} {names[-1]} --rollback"


def instead(desk: Desk, version: Version) -> str:
    """Say who answers where a version cannot, and how to have it so."""
    target = desk.answers_without(version)
    if target is None:
        return f"nobody would answer in its place; what else there is: gateway promote {desk.route.name} --status"
    route = desk.route.name
    return (
        f"fallback {target.name} ({target.model}) would answer in its place, and remains as it is; to go there: "
        f"gateway cutover {route} --to {target.name} --reason …"
    )
