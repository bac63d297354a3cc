"""What a caller asks for behind the ``@`` of a route's name."""

from datetime import UTC, date, datetime

from gateway.config.routes import Route
from gateway.errors import InvalidRequest
from gateway.policy.planner import Pin


def read_pin(route: Route, text: str) -> Pin:
    """Read what stands behind the ``@``.

    Raises:
        InvalidRequest: it is neither a target of this route nor a date.
    """
    names = [target.name for target in route.targets]
    if text in names or (text == "fallback" and route.fallbacks):
        return Pin(target=text)
    try:
        if len(text) != len("2027-01-14"):
            raise ValueError(text)
        return Pin(at=datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC))
    except ValueError:
        choices = ", ".join(dict.fromkeys([*names, *(["fallback"] if route.fallbacks else [])]))
        message = (
            f"Route {route.name!r} has no {text[:100]!r}; behind '@' stands one of {choices}, "
            "or a date like 2027-01-14."
        )
        raise InvalidRequest(message, param="model") from None
