"""The headers of an answer that can be written once: who answers, and what the primary's dates say."""

from datetime import date
from urllib.parse import quote

from gateway.config.routes import Route, Target
from gateway.policy.lifecycle import Dates, midnight

Header = tuple[bytes, bytes]


def identity_headers(route: Route, target: Target) -> list[Header]:
    """Return the headers that say who answers."""
    headers = {
        "x-gateway-route": route.name,
        "x-gateway-provider": target.provider.name,
        "x-gateway-model": target.model,
        "x-gateway-served-by": target.role.value,
    }
    return [(name.encode(), header_value(value)) for name, value in headers.items()]


def outlives(dates: Dates, others: Dates) -> bool:
    """Tell whether a model is still served when another one stops."""
    return others.shutdown is None or dates.shutdown is None or dates.shutdown > others.shutdown


def date_headers(route: Route, dates: Dates, known_since: date, succeeded: bool) -> list[Header]:
    """Return what the primary's dates say (RFC 9745, RFC 8594).

    ``succeeded``: a fallback outlives it. Then the route does not stop, and has no ``Sunset``.
    """
    if dates.shutdown is None:
        return []
    headers = {"x-gateway-primary-shutdown": dates.shutdown.isoformat()}
    if dates.certainty == "planned":
        # Where nobody says when it was announced: since when we know, at the latest.
        announced = min(dates.announced or dates.read or known_since, dates.shutdown)
        headers["deprecation"] = f"@{int(midnight(announced).timestamp())}"
    if succeeded and route.fallback_on:
        headers["link"] = f'</v1/models/{quote(route.name)}@fallback>; rel="successor-version"'
    else:
        headers["sunset"] = midnight(dates.shutdown).strftime("%a, %d %b %Y %H:%M:%S GMT")
    return [(name.encode(), header_value(value)) for name, value in headers.items()]


def header_value(text: str) -> bytes:
    """Return text as a header's value: whatever a header cannot carry becomes a question mark."""
    return "".join(char if " " <= char <= "~" else "?" for char in text).encode("ascii")


def substituted(headers: list[Header], asked: str, answered: str) -> list[Header]:
    """Return a target's headers for an answer by another model than it was asked for."""
    named = (b"x-gateway-model", header_value(answered))
    changed = [named if header[0] == named[0] else header for header in headers]
    return [*changed, (b"x-gateway-substituted", header_value(asked))]
