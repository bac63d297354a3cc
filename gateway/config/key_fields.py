"""What a person may say of a key, wherever they say it: the fields with their bounds, and the caller they make."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from gateway.config.callers import NO_TAGS, RESERVED_NAMES, Budget, Caller, KeyRole
from gateway.config.findings import printable

MOST_TAGS: Final = 8
MOST_ROUTES: Final = 100
MOST_USD: Final = 1_000_000_000
TAG_NAME: Final = r"[a-z0-9_.-]{1,32}"
TAG_VALUE: Final = r"[A-Za-z0-9_.:/@-](?:[A-Za-z0-9_.:/@ -]{0,62}[A-Za-z0-9_.:/@-])?"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_TAG_NAME: Final = re.compile(TAG_NAME)
_TAG_VALUE: Final = re.compile(TAG_VALUE)
_VISIBLE: Final = r"^[!-~]([ -~]*[!-~])?$"
"""For the schema: others beyond ASCII are taken, too, as long as they can be printed."""
_NANO: Final = Decimal(1_000_000_000)


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise PydanticCustomError(
            "key_name", "must be 1 to 64 letters, digits or any of '._@-', with a letter or digit first"
        )
    if value.lower() in RESERVED_NAMES:
        raise PydanticCustomError("key_name", "must be another name: the environment's own keys have this one")
    return value


def _words(value: str) -> str:
    if printable(value) != value or value != value.strip() or not value:
        raise PydanticCustomError("words", "must be printable text, without spaces around it")
    return value


def _pattern(value: str) -> str:
    if "@" in value:
        raise PydanticCustomError("route_pattern", "must name a route without '@': pins are allowed by 'pins'")
    return _words(value)


def _tag_name(value: str) -> str:
    if not _TAG_NAME.fullmatch(value):
        raise PydanticCustomError("tag_name", "must be a name of 1 to 32 lower-case letters, digits, '_', '.' or '-'")
    return value


def _tag_value(value: str) -> str:
    if not _TAG_VALUE.fullmatch(value):
        raise PydanticCustomError("tag_value", "must be 1 to 64 letters, digits, spaces within, or any of '_.:/@-'")
    return value


def _usd(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise PydanticCustomError("number", "must be a number")
    return Decimal(repr(value)) if isinstance(value, float) else value


def _instant(value: object) -> datetime:
    """Read a day, which begins at midnight UTC, or an instant that says its zone."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        elif type(value) is date:
            value = datetime(value.year, value.month, value.day, tzinfo=UTC)
        if isinstance(value, datetime):
            is_day = (value.hour, value.minute, value.second, value.microsecond, value.tzinfo) == (0, 0, 0, 0, None)
            if value.tzinfo is not None or is_day:
                return (value.replace(tzinfo=UTC) if is_day else value).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError("instant", "must be a day like 2027-06-01, or an instant like 2027-06-01T12:00:00Z")


def _schema(kind: str, **rest: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": kind, **rest})


def _tags_schema(kind: Any) -> WithJsonSchema:
    value = {"type": kind, "pattern": f"^{TAG_VALUE}$", "maxLength": 64}
    return _schema(
        "object", patternProperties={f"^{TAG_NAME}$": value}, additionalProperties=False, maxProperties=MOST_TAGS
    )


KeyName = Annotated[
    str, AfterValidator(_name), _schema("string", pattern=f"^{_NAME.pattern}$", minLength=1, maxLength=64)
]
Words = Annotated[
    str,
    Field(max_length=200),
    AfterValidator(_words),
    _schema("string", minLength=1, maxLength=200, pattern=_VISIBLE),
]
RoutePattern = Annotated[
    str,
    Field(max_length=200),
    AfterValidator(_pattern),
    _schema("string", minLength=1, maxLength=200, pattern=r"^[!-?A-~]+$"),
]
RoutePatterns = Annotated[tuple[RoutePattern, ...], Field(min_length=1, max_length=MOST_ROUTES)]
TagName = Annotated[str, AfterValidator(_tag_name)]
TagValue = Annotated[str, AfterValidator(_tag_value)]
Tags = Annotated[dict[TagName, TagValue], Field(max_length=MOST_TAGS), _tags_schema("string")]
TagChanges = Annotated[
    dict[TagName, TagValue | None], Field(max_length=2 * MOST_TAGS), _tags_schema(["string", "null"])
]
Usd = Annotated[
    Decimal,
    BeforeValidator(_usd),
    Field(ge=0, le=MOST_USD, allow_inf_nan=False),
    _schema("number", minimum=0, maximum=MOST_USD),
]
Expiry = Annotated[datetime, BeforeValidator(_instant), _schema("string", format="date-time")]
PerMinute = Annotated[StrictInt, Field(ge=1, le=1_000_000)]
TokensPerMinute = Annotated[StrictInt, Field(ge=1, le=10_000_000_000)]
OutputTokens = Annotated[StrictInt, Field(ge=1, le=10_000_000)]
Role = Literal["caller", "observer", "reviewer"]
ROLES_SAID: Final = (
    "caller: asks models. observer: reads /metrics, and nothing else. reviewer: opens /ui/review, and nothing else."
)


class _Fields(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BudgetFields(_Fields):
    """How much a key may spend, in USD, by UTC's days and months, and in all."""

    day_usd: Usd | None = None
    month_usd: Usd | None = None
    total_usd: Usd | None = None

    def budget(self) -> Budget:
        """Return it in nano-dollars."""
        return Budget(_nanousd(self.day_usd), _nanousd(self.month_usd), _nanousd(self.total_usd))


class KeyFields(_Fields):
    """What a key stands for, but for its name."""

    role: Role = Field("caller", description=ROLES_SAID)
    owner: Words | None = Field(None, description="Whom to ask about it.")
    team: Words | None = Field(None, description="Whose cost its requests are; by default the route owner's.")
    tags: Tags | None = Field(None, description="Of every request of it; `tenant` says whose data it is.")
    routes: RoutePatterns | None = Field(
        None, description="Routes that it may call, or review, by name or shell pattern (forum-*); by default all."
    )
    pins: StrictBool = Field(False, description="Whether it may choose who answers (ROUTE@primary).")
    residency: Words | None = Field(None, description="Where its requests' data stays; only providers there answer.")
    expires_at: Expiry | None = Field(None, description="Not valid from then on; a day begins at 00:00 UTC.")
    budget: BudgetFields | None = Field(None, description="How much it may spend.")
    requests_per_minute: PerMinute | None = None
    tokens_per_minute: TokensPerMinute | None = None
    max_output_tokens: OutputTokens | None = Field(
        None, description="The longest answer that it may ask for; a longer wish is cut to it."
    )
    capture: StrictBool = Field(False, description="Whether routes that keep answers may keep those to it.")

    def caller(self, key_id: str, name: str) -> Caller:
        """Return whom a key of this id and name stands for."""
        said = {field: getattr(self, field) for field in KeyFields.model_fields}
        said["role"] = KeyRole(self.role)
        said["tags"] = MappingProxyType(dict(sorted(self.tags.items()))) if self.tags else NO_TAGS
        said["budget"] = self.budget.budget() if self.budget is not None else Budget()
        return Caller(id=key_id, name=name, **said)


class NewKey(KeyFields):
    """A key to be made."""

    name: KeyName = Field(description="Its label in rows, logs and reports; unique, and never another's again.")


class BudgetChanges(_Fields):
    """Changes of a budget: what is absent stays, null takes a limit away."""

    day_usd: Usd | None = None
    month_usd: Usd | None = None
    total_usd: Usd | None = None


class KeyChanges(_Fields):
    """Changes of a key, as a JSON Merge Patch (RFC 7396): what is absent stays, null takes away."""

    role: Role = Field(default_factory=lambda: "caller")
    owner: Words | None = None
    team: Words | None = None
    tags: TagChanges | None = None
    routes: RoutePatterns | None = None
    pins: StrictBool = Field(default_factory=bool)
    residency: Words | None = None
    expires_at: Expiry | None = None
    budget: BudgetChanges | None = None
    requests_per_minute: PerMinute | None = None
    tokens_per_minute: TokensPerMinute | None = None
    max_output_tokens: OutputTokens | None = None
    capture: StrictBool = Field(default_factory=bool)

    def changed(self, caller: Caller) -> Caller:
        """Return the caller as it is with these changes.

        Raises:
            ValidationError: what comes of it is no key: too many tags.
        """
        before, sent = as_fields(caller), self.model_dump(exclude_unset=True)
        for field in ("tags", "budget"):
            if sent.get(field) is not None:
                both = {**(before[field] or {}), **sent[field]}
                sent[field] = {name: value for name, value in both.items() if value is not None}
        return KeyFields.model_validate({**before, **sent}).caller(caller.id, caller.name)


def as_fields(caller: Caller) -> dict[str, Any]:
    """Return what a key stands for in the words of ``KeyFields``; amounts are ``Decimal``."""
    said = {field: getattr(caller, field) for field in KeyFields.model_fields}
    limits = {name: getattr(caller.budget, name.replace("_usd", "_nanousd")) for name in BudgetFields.model_fields}
    said["role"] = caller.role.value
    said["tags"] = dict(caller.tags) or None
    said["budget"] = {name: usd(limit) for name, limit in limits.items()} if caller.budget else None
    return said


def problems(error: ValidationError) -> list[tuple[str, str]]:
    """Return what is wrong with fields, each as the field's path and a sentence; values are not repeated."""
    found = error.errors(include_url=False, include_input=False)
    return [(".".join(map(str, problem["loc"])), _sentence(problem["msg"])) for problem in found]


def usd(nanousd: int | None) -> Decimal | None:
    """Return an amount in dollars, exactly."""
    return None if nanousd is None else Decimal(nanousd) / _NANO


def as_json(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields as JSON has them: amounts as numbers, instants as text."""
    return {name: _json(value) for name, value in said.items()}


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return as_json(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def _sentence(said: str) -> str:
    return said.replace("Input should", "must").replace("Extra inputs are not permitted", "is no field of a key")


def _nanousd(amount: Decimal | None) -> int | None:
    return None if amount is None else int((amount * _NANO).to_integral_value(ROUND_HALF_EVEN))
