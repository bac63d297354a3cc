"""The sentences about evidence: the same in ``check``, ``forecast`` and ``explain``, and in their JSON."""

from typing import TYPE_CHECKING, Any

from gateway.config.routes_learning import DEFAULT_MARGIN
from gateway.learning.evaluation.report_words import VERDICTS, change, counted, decimal
from gateway.lifecycle.forecast_evidence import Proof

if TYPE_CHECKING:
    from gateway.lifecycle.forecast_evidence import Evidence
    from gateway.store.evaluations import Evaluation

WAITS = "it waits for evidence"


def sentence(evidence: "Evidence", *, dated: bool = False) -> str:
    """Say what is known of a fallback, and what to type where that is not enough; ``dated``: and since when."""
    found, again = evidence.evaluation, f"gateway evaluate {evidence.route.name}"
    match evidence.proof:
        case Proof.NO_PACK:
            return "the fallback's pack is not in this database: gateway pack push DIR"
        case Proof.NEVER:
            return f"fallback never evaluated: {again}"
    assert found is not None
    since = f" ({found.evaluated_at:%Y-%m-%d})" if dated else ""
    verdict = f"{VERDICTS[found.verdict]} on {counted(found.rows, 'row')}{since}"
    if evidence.proof is Proof.OTHER_PROMPT:
        return f"fallback {verdict}, but with another prompt: {again}"
    if evidence.proof is Proof.OTHER_TERMS:
        what = "another primary, parameters, contract, measure or margin"
        return f"fallback {verdict}, but with {what}: {again}"
    if evidence.proof is Proof.NOT_ENOUGH:
        needed = evidence.rows_needed
        return f"{verdict}{f'; about {needed:,} would decide' if needed else ''}: {again}"
    return f"fallback {', '.join((verdict, *_figures(found)))}"


def with_day(evidence: "Evidence", *, dated: bool = False) -> str:
    """Say what is known of a fallback, with the day on which the primary stops where that is known."""
    shutdown, said = evidence.dates.shutdown, sentence(evidence, dated=dated)
    return said if shutdown is None else f"{shutdown.day} {shutdown:%B %Y}: {said}"


def what_waits(evidence: "Evidence") -> str:
    """Say when a route moves without the evidence that it asks for."""
    dates = evidence.dates
    if dates.shutdown is None or not dates.acts or evidence.route.cutover.at == "gone":
        return f"{WAITS}: it moves when its primary is gone"
    return f"{WAITS}: nothing moves before {dates.shutdown}, everything does then"


def as_object(evidence: "Evidence | None") -> dict[str, Any] | None:
    """Return what is known of a fallback, for JSON; changes are relative to the primary (−0.38 is 38 % less)."""
    if evidence is None:
        return None
    found, target = evidence.evaluation, evidence.fallback
    return {
        "target": target.name,
        "provider": target.provider.name,
        "model": target.model,
        "prompt_version": target.prompt.version if target.prompt else None,
        "proof": evidence.proof.value,
        "sentence": sentence(evidence),
        "stops": evidence.dates.shutdown.isoformat() if evidence.dates.shutdown else None,
        "required": evidence.route.cutover.require_evidence,
        "waits": evidence.waits,
        "rows_needed": evidence.rows_needed,
        "evaluation": None if found is None else _as_object(found),
    }


def _as_object(found: "Evaluation") -> dict[str, Any]:
    return {
        "verdict": found.verdict,
        "prompt_version": found.prompt_version or None,
        "measure": found.measure,
        "margin": found.margin,
        "rows": found.rows,
        "retained": _interval(found.retained, found.retained_low, found.retained_high),
        "difference": _interval(found.difference, found.difference_low, found.difference_high),
        "cost_change": found.cost_change,
        "first_token_change": found.first_token_change,
        "evaluated_at": found.evaluated_at.isoformat(timespec="seconds"),
    }


def _interval(estimate: float | None, low: float | None, high: float | None) -> dict[str, float | None] | None:
    return None if estimate is None else {"estimate": estimate, "low": low, "high": high}


def _figures(found: "Evaluation") -> list[str]:
    figures = [] if found.margin == DEFAULT_MARGIN else [f"margin {found.margin:g}"]
    if found.retained is not None:
        figures.append(f"retained {_span(found.retained, found.retained_low, found.retained_high)}")
    elif found.difference is not None:
        # Without a prompt the model is as good as the fine-tune: there is no share of what the prompt won back.
        span = _span(found.difference, found.difference_low, found.difference_high)
        figures.append(f"{found.measure} {span} against the fine-tune")
    if found.cost_change is not None:
        figures.append(f"{change(found.cost_change)} cost")
    if found.first_token_change is not None:
        figures.append(f"{change(found.first_token_change)} first token")
    return figures


def _span(estimate: float, low: float | None, high: float | None) -> str:
    bounds = "" if low is None or high is None else f" [{decimal(low)}, {decimal(high)}]"
    return f"{decimal(estimate)}{bounds}"
