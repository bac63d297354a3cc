"""``gateway promote ROUTE --status``: a route's versions, what is in force, and how it does on live traffic."""

import json
from typing import Any

import typer

from gateway.cli.promote_desk import Desk
from gateway.cli.promote_text import dates, evidence, in_force, promotion_object, share, version_object
from gateway.config.findings import printable
from gateway.learning.canary import Comparison, Side, compared, words_of
from gateway.learning.evaluation.statistics import Decision
from gateway.policy.promotion import Ending, Promotion, PromotionState, Version, VersionStatus, ending_of, promoted

_OVER = {
    Ending.IN_ROUTES: "routes.yaml names it by now",
    Ending.SUPERSEDED: "routes.yaml names another primary by now",
    Ending.EXPIRED: "it has run out",
    Ending.GONE: "its model is gone",
}


async def show(desk: Desk, *, as_json: bool) -> None:
    """Print what is known of a route's versions."""
    if as_json:
        typer.echo(json.dumps(await _as_object(desk), indent=2))
        return
    typer.echo(desk.route.name)
    if not desk.versions:
        typer.echo("  no version yet: routes.yaml names no primary; gateway tune trains one, --model ID names one")
        return
    for line in _table(desk):
        typer.echo(printable(f"  {line}"))
    for line in _standing(desk):
        typer.echo(printable(line))
    for line in await _live(desk):
        typer.echo(printable(f"  {line}"))


def _table(desk: Desk) -> list[str]:
    rows = [(each.name, each.status.value, f"{each.model} at {each.provider}", _origin(each)) for each in desk.versions]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = []
    for version, row in zip(desk.versions, rows, strict=True):
        lines.append("  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3])))
        # Of those that are not to serve any more, nobody asks how good they are.
        if version.status not in (VersionStatus.RETIRED, VersionStatus.REJECTED) and version != desk.primary:
            lines.append(f"{'':{widths[0]}}  {evidence(desk, version)}")
        if desk.dates_of(version).shutdown is not None:
            lines.append(f"{'':{widths[0]}}  {dates(desk, version)}")
    return lines


def _origin(version: Version) -> str:
    said = {
        "routes": "named by routes.yaml",
        "job": f"trained by job {version.job_id}",
        "adapter": "an adapter of your own",
        "named": f"named by {version.by}",
    }[version.origin]
    data = f", data set {version.dataset_hash[:19]}" if version.dataset_hash is not None else ""
    return f"{said} on {version.created_at:%Y-%m-%d}{data}"


def _standing(desk: Desk) -> list[str]:
    current, primary = desk.current, desk.primary
    named = (
        f"{primary.name}, which routes.yaml names, answers" if primary is not None else "routes.yaml names no primary"
    )
    if current is None:
        return [f"nothing is in force: {named}"]
    over = ending_of(current, desk.route, desk.now)
    if over is not None:
        return [f"nothing is in force: {named}; v{current.number} was promoted, and {_OVER[over]}"]
    holds = promoted(desk.routes, {desk.route.name: current}, desk.now, unusable=desk.lacks)
    why = holds.ignored.get(desk.route.name)
    return [in_force(current), *([f"  by this routes.yaml it cannot: {why}; {named}"] if why is not None else [])]


def _holding(desk: Desk) -> Promotion | None:
    current = desk.current
    return current if current is not None and ending_of(current, desk.route, desk.now) is None else None


async def _compared(desk: Desk) -> Comparison | None:
    promotion = _holding(desk)
    if promotion is None or promotion.state is not PromotionState.CANARY:
        return None
    return await compared(desk.database, promotion, desk.route.timeouts, desk.now)


async def _live(desk: Desk) -> list[str]:
    """Say how a canary does against the incumbent, and where to look for what only replicas know."""
    promotion, found = _holding(desk), await _compared(desk)
    said = []
    if found is not None and promotion is not None:
        verdict = found.verdict.value.replace("_", " ")
        said += [f"on live traffic: {verdict}; {words_of(found)}"] if found.answers.rows else ["nothing to compare yet"]
        has_contract = desk.route.contract is not None
        for name, side in ((f"v{promotion.number}", found.canary), ("the primary", found.incumbent)):
            said.append(_side(name, side, has_contract=has_contract))
    serving = next((each for each in desk.versions if each.status is VersionStatus.SERVING), None)
    if serving is not None and serving.trained_system:
        said.append(
            f"{serving.name} was trained with {len(serving.trained_system)} system "
            f"{'message' if len(serving.trained_system) == 1 else 'messages'}; whether live ones are others, each "
            "replica counts in gateway_system_prompts_total"
        )
    return said


def _side(name: str, side: Side, *, has_contract: bool) -> str:
    broke = f", {side.broke_contract} broke the contract" if has_contract else ""
    marks = f", {side.marks} marked, {share(round(side.liked / side.marks, 3))} right" if side.marks else ""
    return f"{name}: {side.answers} attempts, {side.failed} of them failed{broke}{marks}"


def _side_object(side: Side) -> dict[str, Any]:
    return {
        "attempts": side.answers,
        "failed": side.failed,
        "broke_contract": side.broke_contract,
        "marks": side.marks,
        "liked": side.liked,
    }


def _decision_object(found: Decision) -> dict[str, Any]:
    return {"pairs": found.rows, "mean": found.mean, "low": found.low, "high": found.high, "margin": found.margin}


async def _as_object(desk: Desk) -> dict[str, Any]:
    found, holding = await _compared(desk), _holding(desk)
    promotion = promotion_object(holding) if holding is not None else None
    return {
        "route": desk.route.name,
        "primary": desk.primary.name if desk.primary is not None else None,
        "versions": [version_object(desk, version) for version in desk.versions],
        "promotion": promotion,
        "live": None
        if found is None
        else {
            "verdict": found.verdict.value,
            "answers": _decision_object(found.answers),
            "marks": _decision_object(found.marks),
            "canary": _side_object(found.canary),
            "incumbent": _side_object(found.incumbent),
        },
    }
