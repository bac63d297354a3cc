"""Keys and changes of them, as people read them."""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from gateway.config.callers import Caller
    from gateway.store.audit import AuditRow
    from gateway.store.keys import KeyRow
    from gateway.store.standings import Standing

HEADERS = ("name", "id", "state", "owner", "routes", "spent today", "this month", "in all", "a minute", "expires")
_COLOURS = {"revoked": typer.colors.RED, "expired": typer.colors.YELLOW}


def cells(row: "KeyRow", spent: "Standing | None", now: datetime) -> tuple[str, ...]:
    """Return a key as a row of the table."""
    from gateway.store.shown_keys import state_of

    caller, budget = row.caller, row.caller.budget
    minute = [f"{caller.requests_per_minute:,} req"] if caller.requests_per_minute is not None else []
    minute += [f"{caller.tokens_per_minute:,} tok"] if caller.tokens_per_minute is not None else []
    sums = (spent.day_spent, spent.month_spent, spent.total_spent) if spent is not None else (0, 0, 0)
    limits = (budget.day_nanousd, budget.month_nanousd, budget.total_nanousd)
    counted = [_of(amount, limit) if budget else "" for amount, limit in zip(sums, limits, strict=True)]
    return (
        caller.name,
        caller.id,
        state_of(row.caller, row.revoked_at, now)
        if caller.role == "caller"
        else f"{state_of(row.caller, row.revoked_at, now)}, {caller.role}",
        caller.owner or "",
        routes_words(caller),
        *counted,
        ", ".join(minute),
        f"{caller.expires_at:%Y-%m-%d}" if caller.expires_at is not None else "",
    )


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines whose columns stand under each other; empty columns are left out."""
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    lines = [
        [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)] for row in zip(*columns, strict=True)
    ]
    return ["  ".join(line).rstrip() for line in lines]


def coloured(line: str) -> str:
    """Return a line of the table with the word that needs a look in its colour, unless ``NO_COLOR`` is set."""
    if "NO_COLOR" in os.environ:
        return line
    for word, colour in _COLOURS.items():
        line = line.replace(f"  {word}", f"  {typer.style(word, fg=colour)}", 1)
    return line


def lines_of(row: "KeyRow", spent: "Standing | None", now: datetime) -> list[str]:
    """Return all that is known of a key, a line each."""
    from gateway.store.shown_keys import old_until

    caller, budget = row.caller, row.caller.budget
    said: dict[str, str | None] = {
        "id": caller.id,
        "state": _state_words(row, now),
        "role": caller.role.value,
        "owner": caller.owner,
        "team": caller.team,
        "tags": ", ".join(f"{name}={value}" for name, value in caller.tags.items()) or None,
        "routes": routes_words(caller),
        "pins": "allowed" if caller.pins else "not allowed",
        "residency": caller.residency,
        "capture": "allowed" if caller.capture else "not allowed",
        "budget a day": _amount_line(budget.day_nanousd, spent.day_spent if spent else 0),
        "budget a month": _amount_line(budget.month_nanousd, spent.month_spent if spent else 0),
        "budget in all": _amount_line(budget.total_nanousd, spent.total_spent if spent else 0),
        "held": f"{sum_of(spent.total_held)} for requests under way" if spent and spent.total_held else None,
        "requests a minute": _count(caller.requests_per_minute),
        "tokens a minute": _count(caller.tokens_per_minute),
        "output tokens": _count(caller.max_output_tokens),
        "expires": _moment(caller.expires_at),
        "created": f"{_moment(row.created_at)} by {row.created_by}",
        "old key": f"valid until {_moment(until)}" if (until := old_until(row, now)) is not None else None,
    }
    shown = {name: value for name, value in said.items() if value is not None}
    width = max(map(len, shown))
    return [caller.name, *(f"  {name:<{width}}  {value}" for name, value in shown.items())]


def in_a_line(caller: "Caller") -> str:
    """Say in a few words what a key may."""
    if caller.role == "observer":
        return "reads /metrics, and nothing else"
    if caller.role == "reviewer":
        whose = f"{caller.tenant}'s " if caller.tenant is not None else ""
        ends = f", until {_moment(caller.expires_at)}" if caller.expires_at is not None else ""
        return f"reviews {whose}answers of {routes_words(caller)}, and nothing else{ends}"
    budget = caller.budget
    amounts = ((budget.day_nanousd, "a day"), (budget.month_nanousd, "a month"), (budget.total_nanousd, "in all"))
    parts = [f"calls {routes_words(caller)}"]
    parts += [f"{dollars(amount)} {per}" for amount, per in amounts if amount is not None]
    if caller.requests_per_minute is not None:
        parts.append(f"{caller.requests_per_minute:,} requests a minute")
    if caller.tokens_per_minute is not None:
        parts.append(f"{caller.tokens_per_minute:,} tokens a minute")
    if caller.expires_at is not None:
        parts.append(f"until {_moment(caller.expires_at)}")
    return ", ".join(parts)


def change_line(row: "AuditRow", names: Mapping[str, str]) -> str:
    """Return a change as a line. ``names``: of keys, by id."""
    from gateway.config.findings import printable

    name = names.get(row.subject)
    subject = f"{name} ({row.subject})" if name is not None else row.subject
    changes = "; ".join(_change(field, *pair) for field, pair in (row.changes or {}).items() if field != "name")
    line = f"{row.at:%Y-%m-%d %H:%M:%S} UTC  {row.action:<16}  {subject}  by {row.by} ({row.through})"
    return printable(f"{line}  {changes}" if changes else line)


def routes_words(caller: "Caller") -> str:
    """Name the routes of a key."""
    return ", ".join(caller.routes) if caller.routes is not None else "all routes"


def dollars(nanousd: int) -> str:
    """Return an amount exactly, with as many places as it takes."""
    whole, rest = divmod(nanousd, 1_000_000_000)
    return f"${whole:,}.{f'{rest:09d}'.rstrip('0').ljust(2, '0')}"


def sum_of(nanousd: int) -> str:
    """Return what was spent, near enough to read."""
    amount = nanousd / 1e9
    if 0 < amount < 0.0001:
        return "<$0.0001"
    return f"${amount:,.2f}" if amount >= 1 or not nanousd else f"${amount:,.4f}"


def _of(spent: int, limit: int | None) -> str:
    return sum_of(spent) if limit is None else f"{sum_of(spent)} of {dollars(limit)}"


def _amount_line(limit: int | None, spent: int) -> str | None:
    return None if limit is None else f"{dollars(limit)}, {sum_of(spent)} spent"


def _count(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"


def _moment(instant: datetime | None) -> str | None:
    return None if instant is None else f"{instant:%Y-%m-%d %H:%M} UTC"


def _state_words(row: "KeyRow", now: datetime) -> str:
    from gateway.store.shown_keys import state_of

    since = f" since {_moment(row.revoked_at)}" if row.revoked_at is not None else ""
    return state_of(row.caller, row.revoked_at, now) + since


def _change(field: str, before: Any, after: Any) -> str:
    if field.endswith("_nanousd"):
        field = field.replace("_nanousd", "_budget")
        before, after = (None if amount is None else dollars(amount) for amount in (before, after))
    return f"{field}: {_word(after)}" if before is None else f"{field}: {_word(before)} → {_word(after)}"


def _word(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}={text}" for name, text in value.items())
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
