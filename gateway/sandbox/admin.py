"""Commands: see models, retire and restore them, change pace, price or date; pace batches and training; read bills."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Any

import orjson

from gateway.errors import InvalidJson, InvalidRequest, NotFound
from gateway.sandbox.catalogue import Model
from gateway.sandbox.pricing import Price
from gateway.sandbox.provider import Provider
from gateway.sandbox.retirement import STYLES

_PACES = ("latency_ms", "first_token_ms", "tokens_per_s")
_PRICES = ("input", "cached_input", "output")
_ADJUSTABLE = (*_PACES, "price", "shutdown_date")
_MOST_BATCH_S = 604_800.0
_TRAINING = ("seconds", "closed", "fails")
_MOST_MS = 3_600_000.0
_MOST_TOKENS_PER_S = 1_000_000.0


def list_models(provider: Provider) -> dict[str, Any]:
    """Return every model, living or retired, as it stands."""
    today = provider.today()
    return {"models": [model.describe(today) for model in provider.models.values()]}


def read_bill(provider: Provider, since: str | None) -> dict[str, Any]:
    """Return the bill's rows from index ``since`` on, and the index to ask from next time."""
    if since is not None and not re.fullmatch(r"[0-9]{1,18}", since):
        raise InvalidRequest(f"since must be the index of a row, 0 or more, not {since!r}.", param="since")
    rows = provider.bill.rows(int(since or 0))
    return {"rows": [row._asdict() for row in rows], "next": provider.bill.next_index}


def command(provider: Provider, model_id: str, action: str, raw: bytes) -> dict[str, Any]:
    """Carry out ``retire``, ``restore`` or (with an empty action) ``adjust``; return the model as it then stands.

    Raises:
        NotFound: no model has this id.
        InvalidJson: the body is not a JSON object.
        InvalidRequest: the body says something that cannot be done.

    """
    if model_id not in provider.models:
        raise NotFound(f"The sandbox has no model {model_id!r}.{_nearest(model_id, provider.models)}")
    body = _object(raw)
    if action == "retire":
        model = provider.retire(model_id, _style(body))
    elif action == "restore":
        _refuse_unknown(body, ())
        model = provider.restore(model_id)
    else:
        model = provider.adjust(_adjusted(provider.models[model_id], body))
    return model.describe(provider.today())


def set_batches(provider: Provider, raw: bytes) -> dict[str, Any]:
    """Say how long the batches take that are created from now on.

    Raises:
        InvalidJson: the body is not a JSON object.
        InvalidRequest: the body says something that cannot be done.

    """
    body = _object(raw)
    _refuse_unknown(body, ("duration_s",))
    provider.batches.duration_s = _seconds("duration_s", body.get("duration_s", provider.batches.duration_s))
    return {"duration_s": provider.batches.duration_s}


def set_training(provider: Provider, raw: bytes) -> dict[str, Any]:
    """Say how the jobs go that are created from now on, and whether any may be.

    Raises:
        InvalidJson: the body is not a JSON object.
        InvalidRequest: the body says something that cannot be done.

    """
    body, training = _object(raw), provider.training
    _refuse_unknown(body, _TRAINING)
    seconds = _seconds("seconds", body.get("seconds", training.duration_s))
    closed, fails = body.get("closed", training.closed), body.get("fails", training.fails)
    if not isinstance(closed, bool):
        raise InvalidRequest("closed must be true or false.", param="closed")
    if not (fails is None or (isinstance(fails, str) and fails)):
        raise InvalidRequest("fails must be what jobs are to fail with, or null.", param="fails")
    training.duration_s, training.closed, training.fails = seconds, closed, fails
    return {"seconds": seconds, "closed": closed, "fails": fails}


def read_training(provider: Provider) -> dict[str, Any]:
    """Return how jobs go now, and every one that ran here, the newest first, with what it was billed."""
    training = provider.training
    return {
        "seconds": training.duration_s,
        "closed": training.closed,
        "fails": training.fails,
        "jobs": [job.bill() for job in training.newest_first()],
    }


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MOST_BATCH_S:
        raise InvalidRequest(f"{name} must be a number from 0 to {_MOST_BATCH_S:,.0f}.", param=name)
    return float(value)


def _object(raw: bytes) -> dict[str, Any]:
    if not raw.strip():
        return {}
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"The body is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise InvalidJson("The body must be a JSON object.")
    return body


def _style(body: Mapping[str, Any]) -> str:
    _refuse_unknown(body, ("as",))
    style = body.get("as", "openai")
    if style not in STYLES:
        raise InvalidRequest(
            f"as must name a provider whose error to answer with, not {style!r}: {', '.join(sorted(STYLES))}.",
            param="as",
        )
    return str(style)


def _adjusted(model: Model, body: Mapping[str, Any]) -> Model:
    _refuse_unknown(body, _ADJUSTABLE)
    if not body:
        raise InvalidRequest(f"Nothing to change: send one or more of {', '.join(_ADJUSTABLE)}.")
    changes: dict[str, Any] = {}
    for name in _PACES:
        if name in body:
            changes[name] = _pace(name, body[name])
    if "price" in body:
        changes["price"] = _price(model.price, body["price"])
    if "shutdown_date" in body:
        changes["shutdown_date"] = _day(body["shutdown_date"])
    return replace(model, **changes)


def _pace(name: str, value: Any) -> float | None:
    if name == "tokens_per_s" and value is None:
        return None
    least, most = (0.001, _MOST_TOKENS_PER_S) if name == "tokens_per_s" else (0.0, _MOST_MS)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        unlimited = " (or null for no limit)" if name == "tokens_per_s" else ""
        raise InvalidRequest(f"{name} must be a number from {least:g} to {most:,.0f}{unlimited}.", param=name)
    return float(value)


def _price(price: Price, body: Any) -> Price:
    if not isinstance(body, dict) or not body:
        raise InvalidRequest(
            f"price must be an object with US dollars per million tokens: {', '.join(_PRICES)}.", param="price"
        )
    _refuse_unknown(body, _PRICES)
    return replace(price, **{name: _usd(name, value) for name, value in body.items()})


def _usd(name: str, value: Any) -> Decimal:
    try:
        usd = Decimal(str(value)) if not isinstance(value, bool) else Decimal(-1)
    except InvalidOperation:
        usd = Decimal(-1)
    if not usd.is_finite() or not 0 <= usd <= 1_000_000:
        raise InvalidRequest(
            f"price.{name} must be US dollars per million tokens, 0 or more, as a number or a string.",
            param=f"price.{name}",
        )
    return usd


def _day(value: Any) -> date | None:
    if value is None:
        return None
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise InvalidRequest("shutdown_date must be a day as YYYY-MM-DD, or null.", param="shutdown_date") from error


def _refuse_unknown(body: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in body:
        if name not in known:
            allowed = f" Known: {', '.join(known)}." if known else " Nothing can be given here."
            raise InvalidRequest(f"Unknown field {name!r}.{_nearest(name, known)}{allowed}", param=name)


def _nearest(name: str, known: Iterable[str]) -> str:
    matches = get_close_matches(name, list(known), n=3, cutoff=0.4)
    return f" Did you mean {' or '.join(map(repr, matches))}?" if matches else ""
