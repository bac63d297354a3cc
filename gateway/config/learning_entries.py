"""What a route's capture, rehearsals and acceptance amount to, and what of it cannot hold."""

import re
from collections.abc import Collection
from re import _parser  # type: ignore[attr-defined]  # no public function tells whether a pattern can match nothing
from typing import Any, Final, get_args

from gateway.config.findings import Findings, did_you_mean, quoted
from gateway.config.routes import Route
from gateway.config.routes_learning import Acceptance, Capture, Redaction, Rehearsal
from gateway.config.schema_routes import RouteEntry
from gateway.config.yaml_source import Node

_PATTERN_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
"""It stands in brackets where something was blacked out."""


def build_learning(
    name: str, entry: RouteEntry, merged: Node, routes: Collection[str], findings: Findings, *, damaged: bool = False
) -> dict[str, Any]:
    """Return the fields of a ``Route`` that are about learning; what cannot hold is reported.

    Of a ``damaged`` route, which has lost what was wrong with it, nothing is said of what it lacks.
    """
    return {
        "capture": _capture(name, entry, merged, findings),
        "rehearsal": _rehearsal(name, entry, merged, findings, damaged=damaged),
        "acceptance": _acceptance(name, entry, merged, routes, findings, damaged=damaged),
    }


def check_packs(route: Route, at: Node, findings: Findings) -> None:
    """Report packs of a customer whose route this is not."""
    for target in route.fallbacks:
        pack = target.prompt.pack if target.prompt else None
        if pack is not None and pack.tenant is not None and pack.tenant != route.tenant:
            theirs = f"handles {quoted(route.tenant)}" if route.tenant else "names no tenant"
            findings.error(
                at,
                f"routes.{route.name}: the pack of fallback '{target.name}' holds examples of tenant "
                f"{quoted(pack.tenant)}, but the route {theirs}",
            )
        instructions = target.prompt.instructions if target.prompt else None
        if pack is not None and pack.instructions and instructions != pack.instructions:
            findings.warning(
                at,
                f"routes.{route.name}: the pack of fallback '{target.name}' was built with other instructions than "
                "routes.yaml names; those of routes.yaml are sent: build it anew, or leave them to the pack",
            )


def _capture(name: str, entry: RouteEntry, merged: Node, findings: Findings) -> Capture | None:
    written = entry.capture.model_dump(exclude_none=True) if entry.capture else {}
    for pattern, expression in written.get("patterns", {}).items():
        at = merged.get("capture", "patterns", pattern) or merged
        if _PATTERN_NAME.fullmatch(pattern) is None or pattern in get_args(Redaction):
            findings.error(
                at,
                f"routes.{name}.capture.patterns: {quoted(pattern)} cannot name a pattern: up to 40 letters, digits, "
                "_ and -, a letter first, and not email, phone or card",
            )
        if problem := _broken(expression):
            findings.error(at, f"routes.{name}.capture.patterns.{pattern}: {problem}")
    _check_regions(name, written.get("phone_regions", ()), merged, findings)
    if not written.get("share"):
        return None
    return Capture(**{**written, "share": float(written["share"])})


def _check_regions(name: str, regions: Collection[str], merged: Node, findings: Findings) -> None:
    if not regions:
        return
    # A tenth of a second that few configurations need.
    from phonenumbers import SUPPORTED_REGIONS

    at = merged.get("capture", "phone_regions") or merged
    for region in regions:
        if region not in SUPPORTED_REGIONS:
            why = " (the United Kingdom is GB)" if region == "UK" else ""
            findings.error(at, f"routes.{name}.capture.phone_regions: no region is called {region}{why}")


def _rehearsal(name: str, entry: RouteEntry, merged: Node, findings: Findings, *, damaged: bool) -> Rehearsal | None:
    written = entry.rehearsal.model_dump(exclude_none=True) if entry.rehearsal else {}
    if not written.get("share"):
        return None
    at = merged.get("rehearsal") or merged
    if not written.get("max_usd_per_day"):
        at = merged.get("rehearsal", "max_usd_per_day") or at
        if not damaged or "max_usd_per_day" in written:
            findings.error(at, f"routes.{name}.rehearsal needs max_usd_per_day: rehearsals are paid for")
        return None
    if written.get("mode") == "serve" and entry.fallback_on == ():
        findings.error(
            merged.get("rehearsal", "mode") or at,
            f"routes.{name}.rehearsal: mode serve contradicts `fallback_on: []`, rather fail",
        )
    if not damaged and (entry.primary is None or not entry.fallbacks):
        findings.warning(at, f"routes.{name}.rehearsal does nothing: it takes a primary and a fallback")
    return Rehearsal(**{**written, "share": float(written["share"])})


def _acceptance(
    name: str, entry: RouteEntry, merged: Node, routes: Collection[str], findings: Findings, *, damaged: bool
) -> Acceptance:
    written = entry.acceptance.model_dump(exclude_none=True) if entry.acceptance else {}
    at = {key: merged.get("acceptance", key) or merged for key in ("judge", "measure", "pattern")}
    judge, pattern = written.get("judge"), written.get("pattern")
    if judge is not None and judge not in routes:
        hint = did_you_mean(judge, routes)
        findings.error(at["judge"], f"routes.{name}.acceptance.judge: there is no route {quoted(judge)}{hint}")
    for measure, key in (("judge", "judge"), ("pattern_match", "pattern")):
        if written.get("measure") == measure and key not in written and not damaged:
            findings.error(at["measure"], f"routes.{name}.acceptance: measure {measure} needs `{key}`")
    if pattern is not None and (problem := _broken(pattern, may_be_empty=True)):
        findings.error(at["pattern"], f"routes.{name}.acceptance.pattern: {problem}")
    if "margin" in written:
        written["margin"] = float(written["margin"])
    return Acceptance(**written)


def _broken(expression: str, *, may_be_empty: bool = False) -> str | None:
    """Say what is wrong with a regular expression, or None."""
    try:
        re.compile(expression)
        shortest = _parser.parse(expression).getwidth()[0]
    except (re.error, OverflowError, RecursionError) as error:
        return f"is no regular expression: {error}"
    if not may_be_empty and shortest == 0:
        return "also matches nothing at all, and so would be found everywhere"
    return None
