"""The options of ``gateway keys`` that say what a key stands for, and what they come to."""

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

if TYPE_CHECKING:
    from pydantic import ValidationError

NONE: Final = "none"
"""What takes a limit away, or a field's value."""
_LASTS: Final = re.compile(r"(\d{1,5})([hd])")
_WITHIN: Final = re.compile(r"(\d{1,7})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Role = Annotated[
    str | None,
    typer.Option(
        "--role",
        metavar="caller|observer|reviewer",
        help="observer: reads /metrics, and nothing else; reviewer: opens /ui/review, and nothing else.",
    ),
]
Owner = Annotated[str | None, typer.Option("--owner", help="Whom to ask about it.")]
Team = Annotated[str | None, typer.Option("--team", help="Whose cost its requests are.  (default: the route owner's)")]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="NAME=VALUE", help="A tag of its requests; tenant=… says whose data. Repeatable."),
]
Routes = Annotated[
    list[str] | None,
    typer.Option(
        "--route", metavar="ROUTE", help="A route it may call, or review, or a pattern: 'forum-*'. Repeatable."
    ),
]
Pins = Annotated[bool | None, typer.Option("--pins/--no-pins", help="Whether it may choose who answers (ROUTE@…).")]
Residency = Annotated[str | None, typer.Option("--residency", metavar="eu", help="Where its requests' data stays.")]
Expires = Annotated[
    str | None,
    typer.Option("--expires", metavar="2027-06-01|90d", help="Not valid from then on; days begin at 00:00 UTC."),
]
BudgetDay = Annotated[
    str | None, typer.Option("--budget-day", metavar="USD", help="The most it may spend a day (UTC).")
]
BudgetMonth = Annotated[
    str | None, typer.Option("--budget-month", metavar="USD", help="The most it may spend a month.")
]
BudgetTotal = Annotated[str | None, typer.Option("--budget-total", metavar="USD", help="The most it may ever spend.")]
RequestsPerMinute = Annotated[str | None, typer.Option("--rpm", metavar="N", help="Requests a minute.")]
TokensPerMinute = Annotated[str | None, typer.Option("--tpm", metavar="N", help="Tokens a minute, in and out.")]
MaxOutputTokens = Annotated[
    str | None,
    typer.Option("--max-output-tokens", metavar="N", help="The longest answer; longer wishes are cut to it."),
]
Capture = Annotated[
    bool | None,
    typer.Option("--capture/--no-capture", help="Whether routes that keep answers may keep those to it."),
]
By = Annotated[str | None, typer.Option("--by", help="Who does it, for the audit.  (default: you, at this machine)")]

OPTIONS: Final = {
    "name": "NAME",
    "role": "--role",
    "owner": "--owner",
    "team": "--team",
    "tags": "--tag",
    "routes": "--route",
    "residency": "--residency",
    "expires_at": "--expires",
    "budget.day_usd": "--budget-day",
    "budget.month_usd": "--budget-month",
    "budget.total_usd": "--budget-total",
    "requests_per_minute": "--rpm",
    "tokens_per_minute": "--tpm",
    "max_output_tokens": "--max-output-tokens",
}
"""By a field's path, the option that says it."""

FIELDS: Final = (*(path.rpartition(".")[2] for path in OPTIONS if path != "name"), "pins", "capture")
"""Names of the parameters that say what a key stands for."""


def fields_said(said: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return what a command's parameters say of a key, as its fields; ``none`` is null.

    An option that was left out is no field.
    """
    fields: dict[str, Any] = {}
    budget: dict[str, Any] = {}
    for name in FIELDS:
        if (value := said.get(name)) in (None, [], ()):
            continue
        if name == "tags":
            fields[name] = dict(map(_tag, value))
        elif name == "routes":
            fields[name] = None if value == [NONE] else value
        elif value == NONE:
            (budget if name.endswith("_usd") else fields)[name] = None
        elif name.endswith("_usd"):
            budget[name] = _number(name, value)
        elif name == "expires_at":
            fields[name] = _expiry(value, now)
        elif name in ("requests_per_minute", "tokens_per_minute", "max_output_tokens"):
            fields[name] = _whole(name, value)
        else:
            fields[name] = value
    return fields | ({"budget": budget} if budget else {})


def refuse(error: "ValidationError") -> NoReturn:
    """Say which option is wrong, and how."""
    from gateway.config.findings import printable
    from gateway.config.key_fields import problems

    field, sentence = problems(error)[0]
    option = next((name for path, name in OPTIONS.items() if field == path or field.startswith(f"{path}.")), field)
    raise typer.BadParameter(printable(sentence), param_hint=option) from None


def grace_of(text: str) -> timedelta:
    """Return how long the key before a rotation stays valid: ``0``, ``90s``, ``30m``, ``24h`` or ``7d``."""
    match = _WITHIN.fullmatch("0s" if text.strip() == "0" else text.strip())
    grace = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match is not None else None
    if grace is None or grace > timedelta(days=30):
        raise typer.BadParameter("write 0, 30m, 24h or 7d; at most 30d", param_hint="--grace")
    return grace


def _tag(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(
            f"{text!r} has no '='; write tenant=acme, or tenant= to take it away", param_hint="--tag"
        )
    return name.strip().lower(), value.strip() or None


def _number(name: str, text: str) -> Any:
    from decimal import Decimal, InvalidOperation

    try:
        return Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        raise typer.BadParameter(
            f"{text!r} is no amount; write 5, 2.50 or none", param_hint=OPTIONS[f"budget.{name}"]
        ) from None


def _whole(name: str, text: str) -> int:
    digits = text.strip().replace("_", "").replace(",", "")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        raise typer.BadParameter(f"{text!r} is no whole number; write 600 or none", param_hint=OPTIONS[name])
    return int(digits)


def _expiry(text: str, now: datetime) -> Any:
    match = _LASTS.fullmatch(text.strip())
    if match is None:
        return text.strip()
    return now.replace(microsecond=0) + timedelta(**{_UNITS[match[2]]: int(match[1])})
