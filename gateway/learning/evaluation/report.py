"""An evaluation as a report: a JSON object that is kept with the verdict, and a page made from that object alone.

The object holds no customer's text, so that what is deleted elsewhere does not live on in it; a page shows the worst
rows' texts where they are given beside it. The same stored answers give the same object, byte for byte.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gateway.learning.evaluation import plots
from gateway.learning.evaluation.outcome import Measured, Outcome
from gateway.learning.evaluation.report_words import (
    BESIDE,
    LIMITS,
    METHOD,
    challenger,
    change_span,
    corrected,
    cost_of,
    headline,
    incumbent,
    notes,
    per_1000,
    span,
)
from gateway.learning.evaluation.rows import Gathered, Message
from gateway.learning.evaluation.statistics import Interval
from gateway.learning.evaluation.sweep import Sweep, Tried
from gateway.policy.evidence import terms_of
from gateway.policy.inputs import asked_text
from gateway.policy.prompts import text_of
from gateway.store.evaluations import Evaluation

FORMAT: Final = 1
WORST_ROWS: Final = 10
LONGEST_TEXT: Final = 300
BINS: Final = 20
_UNSEEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_TEMPLATES: Final = Path(__file__).parent / "templates"


def as_object(
    outcome: Outcome,
    gathered: Gathered,
    route: Any,
    *,
    sweep: Sweep | None = None,
    curve: Sequence[Tried] = (),
    primary_absence: str | None = None,
    version: Mapping[str, Any] | None = None,
    corrections: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the whole report, ready for JSON; no texts in it.

    Args:
        outcome: what the rows say.
        gathered: the rows, and what was left out.
        route: the route that was evaluated.
        sweep: the sizes that were tried; None: no sweep.
        curve: the points of the learning curve.
        primary_absence: why the primary was not asked, or not to the end, as in "the primary …".
        version: of a version, what of its data set was left out and is known; None: it is a fallback's report.
        corrections: what is answered of the regression set (``corrections.told``); None: there is none.
    """
    target, decision, costs = outcome.subject.target, outcome.decision, outcome.costs
    ids = [row.answer.attempt_id for row in outcome.decided]
    found: dict[str, Any] = {
        "format": FORMAT,
        "route": route.name,
        "target": target.name,
        "version": version,
        "provider": target.provider.name,
        "model": target.model,
        "prompt_version": outcome.subject.fallback.prompt_version,
        "terms": terms_of(route, target, outcome.terms.margin),
        "primary": route.primary.model,
        "verdict": outcome.verdict.value,
        "doubt": outcome.doubt,
        "measure": outcome.terms.measure,
        "measure_is_chosen": outcome.terms.is_chosen,
        "margin": outcome.terms.margin,
        "looks": outcome.terms.looks,
        "rows": {
            "decided": decision.rows,
            "of": outcome.rows,
            "needed": None if outcome.doubt else decision.rows_needed,
            "unanswered": outcome.unanswered,
            "without_ceiling": outcome.without_ceiling,
            "unmeasured": outcome.unmeasured,
            "in_prompt": gathered.in_prompt,
            "repeated": gathered.repeated,
            "of_other_tenants": gathered.of_other_tenants,
            "corrected": gathered.corrected,
            "tuned_on": len(gathered.tuned_on),
            "is_tuning_left_out": gathered.is_tuning_left_out,
        },
        "difference": {"estimate": decision.mean, "low": decision.low, "high": decision.high},
        "retained": _interval(outcome.retained),
        "arms": {arm: _interval(interval) for arm, interval in sorted(outcome.arms.items())},
        "own_quality": _interval(outcome.own_quality),
        "measures": {measure: dict(means) for measure, means in outcome.means.items()},
        "histogram": histogram([row.difference(outcome.terms.measure) or 0.0 for row in outcome.decided]),
        "costs": asdict(costs) if costs else None,
        "primary_absence": primary_absence,
        "is_priced": outcome.subject.prices.fallback is not None,
        "caches": outcome.subject.prices.caches,
        "prefix_tokens": outcome.subject.prices.prefix_tokens,
        "first_token": asdict(outcome.first_token) if outcome.first_token else None,
        "judge": _judge(outcome),
        "worst": [_worst(row, outcome.terms.measure) for row in worst(outcome)],
        "corrections": corrections,
        "sweep": _sweep(sweep) if sweep else None,
        "tuned_on": list(sweep.tuned_on) if sweep and sweep.proposed else [],
        "curve": [_tried(one) for one in curve],
        "answers_until": _instant(max(ids)).isoformat(timespec="seconds") if ids else None,
    }
    return found | {"sentence": headline(found), "notes": notes(found)}


def histogram(differences: Sequence[float]) -> list[int]:
    """Count differences in twenty bins of 0.1 from −1 to 1; each bin holds its lower bound, the last one 1, too."""
    counts = [0] * BINS
    for difference in differences:
        counts[min(BINS - 1, int((difference + 1) / 2 * BINS + 1e-9))] += 1
    return counts


def evaluation_of(report: Mapping[str, Any], evaluation_id: str, evaluated_at: datetime) -> Evaluation:
    """Return the verdict as it is kept."""
    retained, costs, first_token = (report[name] or {} for name in ("retained", "costs", "first_token"))
    decided = report["rows"]["decided"]
    difference = report["difference"] if decided else {}
    return Evaluation(
        evaluation_id=evaluation_id,
        **{key: report[key] for key in ("route", "target", "provider", "model", "prompt_version", "terms", "verdict")},
        looks=report["looks"],
        measure=report["measure"],
        margin=report["margin"],
        rows=decided,
        difference=difference.get("estimate"),
        difference_low=difference.get("low"),
        difference_high=difference.get("high"),
        retained=retained.get("estimate"),
        retained_low=retained.get("low"),
        retained_high=retained.get("high"),
        cost_change=costs["change"]["estimate"] if costs else None,
        first_token_change=first_token["change"]["estimate"] if first_token else None,
        report=orjson.dumps(report).decode(),
        evaluated_at=evaluated_at,
    )


def worst(outcome: Outcome) -> list[Measured]:
    """Return the rows on which the fallback falls farthest behind."""
    measure = outcome.terms.measure
    behind = [row for row in outcome.decided if (row.difference(measure) or 0.0) < 0]
    return sorted(behind, key=lambda row: (row.difference(measure) or 0.0, row.row.input_id))[:WORST_ROWS]


def texts_of(outcome: Outcome) -> dict[str, dict[str, str]]:
    """Return what the worst rows ask and were answered, each text cut at 300 characters, by input."""
    return {
        row.row.input_id: {
            "asked": _cut(asked_text(row.row.messages)),
            "reference": _cut(said(row.row.reference)),
            "fallback": _cut(said(orjson.loads(row.answer.answer))),
        }
        for row in worst(outcome)
    }


def said(message: Message | None) -> str:
    """Return what a message says; the tools that it calls, as JSON."""
    calls = (message or {}).get("tool_calls")
    called = orjson.dumps([call.get("function") for call in calls]).decode() if calls else ""
    return text_of(dict(message or {})) + called


def page(report: Mapping[str, Any], texts: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """Return the report as one page that needs nothing from elsewhere; every text in it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "plots": plots,
        "per_1000": per_1000,
        "cost_of": cost_of,
        "span": span,
        "change": change_span,
        "challenger": challenger(report),
        "incumbent": incumbent(report),
        "corrected": corrected(report),
        "method": METHOD,
        "limits": LIMITS,
        "beside": BESIDE,
        "names": {"fallback": report["target"], "ceiling": "incumbent"} if report["version"] else {},
        "has_floor": any("floor" in means for means in report["measures"].values()),
    }
    return environment.get_template("report.html").render(report=report, texts=texts)


def _visible(value: Any) -> Any:
    """Spell out what turns the direction of a text, or cannot be seen: a page must not read otherwise than it is."""
    if not isinstance(value, str):
        return value
    text = _UNSEEN.sub(lambda found: f"\\u{ord(found.group()):04x}", value)
    return Markup(text) if isinstance(value, Markup) else text


def _interval(interval: Interval | None) -> dict[str, float] | None:
    return asdict(interval) if interval is not None else None


def _worst(row: Measured, measure: str) -> dict[str, Any]:
    difference = row.difference(measure) or 0.0
    fallback = row.fallback[measure]
    return {
        "input_id": row.row.input_id,
        "difference": difference,
        "fallback": fallback,
        "ceiling": (row.ceiling or {}).get(measure),
    }


def _judge(outcome: Outcome) -> dict[str, Any] | None:
    judged = outcome.judged
    if judged is None:
        return None
    counts = {name: getattr(judged, name) for name in ("judge", "pairs", "wins", "losses", "ties", "flips")}
    own = "/".join(outcome.subject.fallback.prepared.key)
    return counts | {"flip_rate": judged.flip_rate, "judges_itself": judged.judge == own}


def _sweep(sweep: Sweep) -> dict[str, Any]:
    rows = [{**_tried(one), "is_proposed": one.candidate is sweep.proposed} for one in sweep.tried]
    proposed = {"fixed": sweep.proposed.fixed, "similar": sweep.proposed.similar} if sweep.proposed else None
    return {
        "tried": rows,
        "proposed": proposed,
        "is_within_margin": sweep.is_within_margin,
        "tuning_rows": len(sweep.tuned_on),
    }


def _tried(one: Tried) -> dict[str, Any]:
    return {
        "fixed": one.candidate.fixed,
        "similar": one.candidate.similar,
        "examples": one.candidate.examples,
        "rows": one.rows,
        "quality": _interval(one.quality),
        "difference": one.difference,
        "cost_nanousd": one.cost_nanousd,
        "first_token_ms": one.first_token_ms,
        "on_frontier": one.on_frontier,
        "is_asked": one.is_asked,
    }


def _instant(attempt_id: str) -> datetime:
    """Return when an attempt began: a UUIDv7 tells."""
    return datetime.fromtimestamp(int(attempt_id.replace("-", "")[:12], 16) // 1000, UTC)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
