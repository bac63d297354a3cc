"""The frozen values of what routes.yaml says a route owes its callers."""

from pydantic import BaseModel, ConfigDict


class Slo(BaseModel):
    """A route's objectives: what alerts on error budgets are measured against."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    availability: float = 0.99
    """The share of requests that are not answered with a 5xx."""
    intended: float = 0.9
    """The share of answers by the target that is meant to answer."""
    first_token_s: float | None = None
    """Seconds until a stream's first event; None: no objective."""
