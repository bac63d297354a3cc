"""A report as JSON: everything that was counted. Money is in nano-dollars, times in milliseconds."""

from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from gateway.lifecycle.break_even_words import sentences
from gateway.lifecycle.report_words import headline, span_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.learning.report_reading import Read, Wanted
    from gateway.lifecycle.break_even import BreakEvenFinding
    from gateway.lifecycle.report_figures import FallbackUse, Percentiles, Report, RouteUse, TargetUse, Totals
    from gateway.policy.economics import Interval
    from gateway.policy.standing import RouteState


def as_object(found: "Read", wanted: "Wanted") -> dict[str, Any]:
    """Return everything; of a ledger with nothing in it, empty lists."""
    report, period = found.report, wanted.period
    began, lacking = (None, None) if report is None else (report.period.began, report.period.lacks_totals_since)
    return {
        "headline": headline(report) if report is not None and not report.is_empty else None,
        "period": {
            "words": span_of(period),
            "since": period.since.isoformat(),
            "until": period.end.isoformat(),
            "ledger_begins": began.isoformat() if began is not None else None,
            "lacks_totals_since": lacking.isoformat() if lacking is not None else None,
        },
        "nothing_kept_in": found.nothing_kept_in,
        "totals": _totals(report.totals) if report is not None else None,
        "on_fallback": report.on_fallback if report is not None else 0,
        "learning": _learning(report.learning) if report is not None else {},
        "percentiles_are_cut": report is not None and report.is_cut,
        "routes": [_route(use) for use in report.routes] if report is not None else [],
        "by": wanted.by,
        "lines": _lines(report),
    }


def _lines(report: "Report | None") -> list[dict[str, Any]]:
    return [{"label": line.label, **_totals(line.totals)} for line in report.lines] if report is not None else []


def _totals(totals: "Totals") -> dict[str, int]:
    return {"requests": totals.requests, **asdict(totals)}


def _learning(learning: "Mapping[str, Totals]") -> dict[str, Any]:
    return {kind: _totals(totals) for kind, totals in learning.items()}


def _route(use: "RouteUse") -> dict[str, Any]:
    return {
        "route": use.name,
        "owner": use.route.owner if use.route is not None else None,
        "in_configuration": use.route is not None,
        "totals": _totals(use.totals),
        "targets": [_target(target) for target in use.targets],
        "now": _standing(use.standing),
        "fallback": _fallback(use.fallback),
        "learning": _learning(use.learning),
        "break_even": _break_even(use.break_even),
    }


def _target(use: "TargetUse") -> dict[str, Any]:
    return {
        "target": use.answerer.target,
        "served_by": use.role.value,
        "provider": use.answerer.provider,
        "model": use.answerer.model,
        "totals": _totals(use.totals),
        "latency_ms": _percentiles(use.latency_ms),
        "first_token_ms": _percentiles(use.first_token_ms),
        "overhead_ms": _percentiles(use.overhead_ms),
    }


def _percentiles(found: "Percentiles | None") -> dict[str, float] | None:
    if found is None:
        return None
    return {name: value if name == "requests" else float(f"{value:.4g}") for name, value in asdict(found).items()}


def _standing(state: "RouteState | None") -> dict[str, Any] | None:
    if state is None:
        return None
    return {"target": state.standing.target, "reason": state.standing.reason.value, "since": state.since.isoformat()}


def _fallback(use: "FallbackUse | None") -> dict[str, Any] | None:
    if use is None:
        return None
    extra = use.extra
    return {
        "requests": use.requests,
        "of": use.of,
        "share": round(use.requests / use.of, 6) if use.of else None,
        "first_at": use.first_at.isoformat(),
        "last_at": use.last_at.isoformat(),
        "reasons": dict(use.reasons),
        "extra_cost": None
        if extra is None
        else {
            "nanousd": extra.nanousd,
            "basis": extra.basis.value,
            "requests": extra.requests,
            "fallback_nanousd_per_request": _number(extra.fallback_per_request),
            "primary_nanousd_per_request": _number(extra.primary_per_request),
        },
    }


def _break_even(found: "BreakEvenFinding | None") -> dict[str, Any] | None:
    if found is None:
        return None
    compared, known, ahead = found.compared, found.known, found.payback
    computed = compared.computed if compared is not None else None
    return {
        "answer": found.answer.value,
        "words": sentences(found),
        "fallback": found.fallback.name if found.fallback is not None else None,
        "basis": compared.basis.value if compared is not None else None,
        "requests_compared": list(compared.requests) if compared is not None else None,
        "base_nanousd_per_request": _number(compared.base) if compared is not None else None,
        "fine_tune_nanousd_per_request": _number(compared.fine_tune) if compared is not None else None,
        "hosting_nanousd_per_request": _number(found.hosting),
        "saving_nanousd_per_request": _interval(compared.saving) if compared is not None else None,
        "computed": None
        if computed is None
        else {
            "prompt_tokens_fixed": computed.fixed_tokens,
            "prompt_tokens_similar": computed.similar_tokens,
            "query_tokens": _number(computed.query_tokens),
            "output_tokens": _number(computed.output_tokens),
            "base_cold_nanousd_per_request": _number(computed.cold),
            "base_warm_nanousd_per_request": _number(computed.warm),
        },
        "spent_nanousd": None if found.spent is None else {**asdict(found.spent), "total": found.spent.total},
        "requests_needed": None if found.needed is None else asdict(found.needed),
        "served": known.served if known is not None else None,
        "requests_per_day": _number(known.per_day) if known is not None else None,
        "shutdown": known.shutdown.isoformat() if known is not None and known.shutdown is not None else None,
        "primary_is_gone": known.is_gone if known is not None else None,
        "days_left": _number(known.days_left) if known is not None else None,
        "payback": None
        if ahead is None
        else {
            "saved_nanousd": _interval(ahead.saved),
            "requests_left": asdict(ahead.left),
            "days": _interval(ahead.days),
            "requests_until_last_day": ahead.requests_to_come,
            "in_time": ahead.in_time.value,
        },
    }


def _interval(found: "Interval | None") -> dict[str, float | None] | None:
    return None if found is None else {name: _number(value) for name, value in asdict(found).items()}


def _number(value: Decimal | None) -> float | None:
    return None if value is None else round(float(value), 3)
