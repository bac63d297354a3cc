"""What a key is and may do, as people say it; and its budget as bars."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway.api.pages import words
from gateway.config.callers import Caller, KeyRole
from gateway.lifecycle.forecast_words import counted
from gateway.policy.key_states import KeyState
from gateway.store.standings import Standing

MOST_NAMED: Final = 6
NEARLY: Final = 0.9
"""Of a budget: from there on a person should know."""
WINDOWS: Final = (("day", "today"), ("month", "this month"), ("total", "in all"))
STATES: Final[Mapping[KeyState, str]] = {
    KeyState.ACTIVE: "in use",
    KeyState.EXPIRING: "ends soon",
    KeyState.EXPIRED: "expired",
    KeyState.REVOKED: "revoked",
}
_FIELDS: Final[Mapping[str, str]] = {
    "day_nanousd": "budget a day",
    "month_nanousd": "budget a month",
    "total_nanousd": "budget in all",
    "expires_at": "valid until",
    "old_until": "the key before it valid until",
    "revoked_at": "revoked",
    "max_output_tokens": "longest answer",
}


@dataclass(frozen=True, slots=True)
class Window:
    """One limit of a budget, and how much of it is used. Money in nano-dollars."""

    word: str
    limit_nanousd: int
    spent_nanousd: int
    held_nanousd: int
    """Set aside for requests under way; they may cost less."""
    is_known: bool
    """Whether anything was read of it."""

    @property
    def spent_part(self) -> float:
        """Of the limit; at most all of it."""
        return min(1.0, self.spent_nanousd / self.limit_nanousd) if self.limit_nanousd else 1.0

    @property
    def held_part(self) -> float:
        """Of the limit, behind what is spent; both together are at most all of it."""
        held = self.held_nanousd / self.limit_nanousd if self.limit_nanousd else 0.0
        return min(1.0 - self.spent_part, held)

    @property
    def is_nearly_spent(self) -> bool:
        """Whether requests are refused now, or soon."""
        return self.is_known and self.spent_part >= NEARLY


def windows_of(caller: Caller, spent: Standing | None, *, is_known: bool) -> tuple[Window, ...]:
    """Return each limit of a key's budget; ``spent`` is None where nothing was spent yet, or it is not known."""
    found = []
    for name, word in WINDOWS:
        limit: int | None = getattr(caller.budget, f"{name}_nanousd")
        if limit is not None:
            used: int = getattr(spent, f"{name}_spent") if spent is not None else 0
            held: int = getattr(spent, f"{name}_held") if spent is not None else 0
            found.append(Window(word, limit, used, held, is_known))
    return tuple(found)


def routes_words(caller: Caller) -> str:
    """Name the routes that a key may call, as many as fit a cell."""
    if caller.role is KeyRole.OBSERVER:
        return "/metrics"
    routes = caller.routes or ("all",)
    shown = ", ".join(routes[:2]) + (f" +{len(routes) - 2}" if len(routes) > 2 else "")
    return f"review: {shown}" if caller.role is KeyRole.REVIEWER else shown


def rates_words(caller: Caller) -> str:
    """Write what a key may use a minute."""
    said = []
    if caller.requests_per_minute is not None:
        said.append(f"{caller.requests_per_minute:,} requests")
    if caller.tokens_per_minute is not None:
        said.append(f"{caller.tokens_per_minute:,} tokens")
    return f"{' · '.join(said)} a minute" if said else ""


def may_do(caller: Caller, routes: Sequence[str]) -> tuple[str, ...]:
    """Say what whoever sends a key may do, one sentence each. ``routes`` are those that there are."""
    if caller.role is KeyRole.OBSERVER:
        return ("It opens /metrics, and nothing else.",)
    if caller.role is KeyRole.REVIEWER:
        whose = f"Of those it sees {caller.tenant}’s alone." if caller.tenant is not None else "It sees every tenant’s."
        kept = f"Its marks are kept as {caller.name}’s, better answers with them."
        return ("It opens the review of answers, and nothing else.", _calls(caller, routes, "review"), whose, kept)
    said = [_calls(caller, routes, "call")]
    if caller.tenant is not None:
        said.append(f"It speaks for {caller.tenant}: where a route has a variant for each tenant, theirs answers.")
    yes_or_no = "may" if caller.pins else "may not"
    said.append(f"It {yes_or_no} choose who answers (ROUTE@primary).")
    if caller.residency is not None:
        said.append(f"Only providers in {caller.residency} answer it.")
    said.append(_spends(caller))
    rates = rates_words(caller)
    said.append(
        f"It may send {rates}.".replace(" · ", " and ") if rates else "It may send as much as it likes a minute."
    )
    if caller.max_output_tokens is not None:
        said.append(f"Its answers have at most {caller.max_output_tokens:,} tokens; a longer wish is cut to that.")
    kept = (
        "Routes that keep answers may keep those to it." if caller.capture else "Nothing that it is answered is kept."
    )
    return (*said, kept)


def _calls(caller: Caller, routes: Sequence[str], verb: str) -> str:
    if caller.routes is None:
        return f"It may {verb} every route."
    patterns = ", ".join(caller.routes)
    found = [name for name in routes if caller.may_call(name)]
    if not found:
        return f"It may {verb} {patterns}: no route is called so now."
    if found == list(caller.routes):
        return f"It may {verb} {patterns}."
    named = ", ".join(found[:MOST_NAMED]) + (" and others" if len(found) > MOST_NAMED else "")
    return f"It may {verb} {patterns}: {counted(len(found), 'route')} of {len(routes)} now, {named}."


def _spends(caller: Caller) -> str:
    budget = caller.budget
    limits = ((budget.day_nanousd, "a day"), (budget.month_nanousd, "a month"), (budget.total_nanousd, "in all"))
    said = [f"{words.usd(limit)} {window}" for limit, window in limits if limit is not None]
    if not said:
        return "It has no budget."
    all_of_it = f"{', '.join(said[:-1])} and {said[-1]}" if len(said) > 1 else said[0]
    return f"It may spend {all_of_it} (UTC); a request that could cost more than is left is refused."


def changes_words(changes: Mapping[str, tuple[Any, Any]] | None) -> str:
    """Write what a change changed: ``owner: ann → bob``; of what was nothing before, what it is now."""
    return "; ".join(
        f"{_FIELDS.get(field, words.words(field))}: {f'{_value(field, before)} → ' if before is not None else ''}"
        f"{_value(field, after)}"
        for field, (before, after) in (changes or {}).items()
    )


def _value(field: str, value: Any) -> str:
    if value is None or value == "":
        return words.NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if field.endswith("_nanousd") and isinstance(value, int):
        return words.usd(value)
    if isinstance(value, int):
        return words.count(value)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}={said}" for name, said in value.items())
    if field.endswith(("_at", "_until")):
        return words.absolute(datetime.fromisoformat(str(value)))
    return str(value)


def lead_of(named: Iterable[tuple[str, KeyState, datetime | None, bool]], now: datetime) -> str:
    """Say how keys stand, those first that need a person. Each: name, state, end, whether a budget is nearly spent."""
    keys = list(named)
    opening = [key for key in keys if key[1].opens]
    are = "is" if len(opening) == 1 else "are"
    said = [f"{counted(len(opening), 'key')} {are} in use."]
    ending = sorted((key for key in opening if key[1] is KeyState.EXPIRING), key=lambda key: str(key[2]))
    if ending:
        soon = [f"{name} ({words.relative(at, now)})" for name, _, at, _ in ending[:3] if at is not None]
        rest = f" and {len(ending) - 3} more" if len(ending) > 3 else ""
        end = "ends" if len(ending) == 1 else "end"
        said.append(f"{len(ending):,} {end} within a week: {', '.join(soon)}{rest}.")
    spent = [name for name, _, _, nearly in opening if nearly]
    if spent:
        rest = f" and {len(spent) - 3} more" if len(spent) > 3 else ""
        have = "has" if len(spent) == 1 else "have"
        said.append(f"{len(spent):,} {have} spent nearly all of a budget: {', '.join(spent[:3])}{rest}.")
    return " ".join(said)
