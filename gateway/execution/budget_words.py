"""What callers are told of a budget: what it is, what is left of it, and what their request could have cost."""

from datetime import date, timedelta
from typing import Final

from gateway.config.callers import Budget
from gateway.errors import BudgetExceeded, BudgetNeedsBound, BudgetUnverifiable
from gateway.store.standings import Standing, room

NANO_PER_USD: Final = 1_000_000_000
RETRY_S: Final = "5"
_NAMES: Final = {"day": "for a day", "month": "for a month", "total": "in all"}


def exceeded(budget: Budget, standing: Standing, nanousd: int) -> BudgetExceeded:
    """Return the refusal of a request that could cost more than is left: by the window that lacks most."""
    name, left, held = min(room(standing, budget, nanousd), key=lambda window: window[1])
    limit = getattr(budget, f"{name}_nanousd")
    left += nanousd
    under_way = f" ({dollars(held)} is set aside for requests under way)" if held else ""
    anew = _anew(name, standing) if nanousd <= limit else "That is more than the whole budget: it can never pass."
    return BudgetExceeded(
        f"This key may spend {dollars(limit)} {_NAMES[name]}. {dollars(max(0, left))} of that is left{under_way}, and "
        f"this request could cost up to {dollars(nanousd)}. {anew} A shorter answer (max_completion_tokens) costs "
        "less.",
        headers={"x-should-retry": "false"},
    )


def needs_bound(route: str, model: str, why: str, param: str | None) -> BudgetNeedsBound:
    """Return the refusal of a request that nobody can say the cost of."""
    return BudgetNeedsBound(
        f"This key has a budget, and nobody can say what this request costs at most where {route!r} may have it "
        f"answered by {model!r}: {why}.",
        param=param,
    )


def away(why: str) -> BudgetUnverifiable:
    """Return the refusal of a request whose key's budget nobody can look at."""
    error = BudgetUnverifiable(
        "This key has a budget, and the database that knows what is left of it cannot be asked just now; try again in "
        "some seconds.",
        headers={"retry-after": RETRY_S},
    )
    error.add_note(why)
    return error


def dollars(nanousd: int) -> str:
    """Write a sum in dollars, with as many places as it takes, nine at most."""
    whole, rest = divmod(abs(nanousd), NANO_PER_USD)
    places = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nanousd < 0 else ''}${whole:,}.{places}"


def _anew(name: str, standing: Standing) -> str:
    if name == "total":
        return "It does not begin anew."
    begins = standing.day + timedelta(days=1) if name == "day" else _next_month(standing.month)
    return f"It begins anew on {begins} at 00:00 UTC."


def _next_month(month: date) -> date:
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)
