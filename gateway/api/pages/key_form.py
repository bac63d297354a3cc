"""The form of a key: what stands in it, and what is made of what was typed. Every mistake is told beside its field."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, TypeVar
from urllib.parse import quote

from fastapi import Request
from pydantic import ValidationError

from gateway.api.deps import Services, services_of
from gateway.api.pages.frame import MOST_FORM_BYTES, PageError, Place, Said, access_of, can_act
from gateway.config.callers import Caller
from gateway.config.key_fields import KeyFields, NewKey, as_fields, problems

BUDGETS: Final = ("day_usd", "month_usd", "total_usd")
COUNTS: Final = ("requests_per_minute", "tokens_per_minute", "max_output_tokens")
_APART: Final = re.compile(r"[\s,]+")
_PLAIN_NUMBER: Final = re.compile(r"[+-]?(?=\.?\d)\d{0,18}(\.\d{0,18})?", re.ASCII)
_Fields = TypeVar("_Fields", bound=KeyFields)
GRACES: Final = (("0", "at once"), ("1", "in an hour"), ("24", "in a day"), ("168", "in a week"))
"""Hours, and when the key before ends."""
NO_PEPPER: Final = (
    "Keys of their own need GATEWAY_KEY_PEPPER, the same on every replica (openssl rand -hex 32 makes one); until then "
    "only GATEWAY_KEY and GATEWAY_ADMIN_KEY count."
)


class Did(StrEnum):
    """What came of a form."""

    CHANGED = "changed"
    REVOKED = "revoked"


NOTICES: Final[Mapping[Did, str]] = {
    Did.CHANGED: "It is changed: here at once, on other replicas within seconds.",
    Did.REVOKED: "It is revoked: refused here from now on, by other replicas within seconds.",
}


class WrongForm(Exception):
    """What was typed makes no key. ``errors``: a sentence for each field; under "": what is of none."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(", ".join(errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class KeyForm:
    """What a form shows: what was typed, or what is so."""

    values: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    errors: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def form_of_caller(caller: Caller) -> KeyForm:
    """Return the form as a key is."""
    said = as_fields(caller)
    values = {name: str(said[name]) for name in ("owner", "team", *COUNTS) if said[name] is not None}
    values["routes"] = "\n".join(caller.routes or ())
    if caller.expires_at is not None:
        at = caller.expires_at
        is_day = (at.hour, at.minute, at.second, at.microsecond) == (0, 0, 0, 0)
        values["expires_at"] = at.date().isoformat() if is_day else at.strftime("%Y-%m-%dT%H:%M:%SZ")
    for name, amount in (said["budget"] or {}).items():
        if amount is not None:
            values[name] = f"{amount.normalize():f}"
    return KeyForm(values)


def new_key_of(form: Mapping[str, str]) -> NewKey:
    """Return the key that a form asks for.

    Raises:
        WrongForm: it asks for none that can be.
    """
    errors: dict[str, str] = {}
    said = {"name": form.get("name", "").strip(), "role": form.get("role") or "caller", **_typed(form, errors)}
    said |= {name: form.get(name) == "yes" for name in ("pins", "capture")}
    said |= {"residency": _text(form, "residency"), "tags": _tags(form, errors)}
    return _proven(NewKey, said, errors)


def changed_by(form: Mapping[str, str], caller: Caller) -> Caller:
    """Return a key as a form would have it; what the form has no field for stays.

    Raises:
        WrongForm: it cannot be so.
    """
    errors: dict[str, str] = {}
    said = as_fields(caller) | _typed(form, errors)
    return _proven(KeyFields, said, errors).caller(caller.id, caller.name)


def _typed(form: Mapping[str, str], errors: dict[str, str]) -> dict[str, Any]:
    """Return what both forms have."""
    said: dict[str, Any] = {name: _text(form, name) for name in ("owner", "team", "expires_at")}
    said["routes"] = [word for word in _APART.split(form.get("routes", "")) if word] or None
    budget = {name: _number(form, name, errors) for name in BUDGETS}
    said["budget"] = budget if any(amount is not None for amount in budget.values()) else None
    for name in COUNTS:
        amount = _number(form, name, errors)
        if amount is not None and amount != amount.to_integral_value():
            errors[name] = "must be a whole number"
        said[name] = int(amount) if amount is not None and name not in errors else None
    return said


def _proven(model: type[_Fields], said: Mapping[str, Any], errors: dict[str, str]) -> _Fields:
    try:
        made = model.model_validate(said)
    except ValidationError as error:
        for path, sentence in problems(error):
            first, _, rest = path.partition(".")
            errors.setdefault(rest if first == "budget" and rest else first, sentence)
    if errors:
        raise WrongForm(errors)
    return made


def _text(form: Mapping[str, str], name: str) -> str | None:
    return form.get(name, "").strip()[:MOST_FORM_BYTES] or None


def _number(form: Mapping[str, str], name: str, errors: dict[str, str]) -> Decimal | None:
    text = form.get(name, "").strip().replace(",", "")
    if not text:
        return None
    # Plain digits: as a whole number, 1e999999 would take a minute of the loop's time.
    if not _PLAIN_NUMBER.fullmatch(text):
        errors[name] = "must be a number, such as 100"
        return None
    return Decimal(text)


def _tags(form: Mapping[str, str], errors: dict[str, str]) -> dict[str, str] | None:
    tags = {}
    for word in (word.strip() for word in re.split(r"[\n,]+", form.get("tags", ""))):
        if word:
            name, equals, value = word.partition("=")
            if not equals:
                errors["tags"] = "must be name=value, one a line"
            tags[name.strip()] = value.strip()
    return tags or None


def why_not(request: Request) -> str:
    """Say what to set so that forms are obeyed; nothing where they are."""
    services = services_of(request)
    if not services.keeper.ring.is_keyed:
        return NO_PEPPER
    if can_act(request):
        return ""
    if access_of(request).is_open:
        return (
            "These forms are off, since without an admin’s key they would be anybody’s: set GATEWAY_ADMIN_KEY and "
            "GATEWAY_UI_ACTIONS=true, and start the gateway again."
        )
    return "These forms are off: set GATEWAY_UI_ACTIONS=true, and start the gateway again."


def notice_of(request: Request) -> str:
    """Return what came of the form that led here; nothing where none did, or the address says something else."""
    did = request.query_params.get("did", "")
    return NOTICES[Did(did)] if did in set(Did) else ""


def callable_names(services: Services) -> tuple[str, ...]:
    """Return the routes that a key can be given, as applications name them."""
    routes = services.pipeline.snapshot.routes.routes
    return tuple(sorted(name for name, route in routes.items() if route.variant_of is None))


def no_such_key() -> PageError:
    """Return what is said of an id that is no key's."""
    return PageError(404, Said("No such key", (), (Place("/ui/keys", "one of these"),)))


def path_of(key_id: str) -> str:
    """Return where one key is shown."""
    return f"/ui/keys/{quote(key_id, safe=':@')}"
