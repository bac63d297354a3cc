"""What the fields of routes.yaml are made of: scalars with their limits, and the base of every mapping."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, WithJsonSchema
from pydantic_core import PydanticCustomError

LONGEST_MODEL_ID_BYTES: Final = 300


def number(value: object) -> object:
    """Refuse what only looks like a number: true, and text."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise PydanticCustomError("number", "must be a number")
    return value


def _day(value: object) -> date:
    try:
        return value if type(value) is date else date.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise PydanticCustomError("day", "must be a date like 2027-01-14") from None


def version_1(value: object) -> object:
    """Refuse every version of the format but the first."""
    if type(value) is not int or value != 1:
        raise PydanticCustomError("version", "must be 1: this gateway reads version 1 only")
    return value


def _within_300_bytes(value: str) -> str:
    if len(value.encode("utf-8", "replace")) > LONGEST_MODEL_ID_BYTES:
        raise PydanticCustomError("long_id", "must be at most 300 bytes long")
    return value


def short_form(key: str) -> Callable[[object], object]:
    """Return a validator by which one string stands for a mapping with one key."""
    return lambda value: {key: value} if isinstance(value, str) else value


class OrText:
    """Tells the JSON Schema that a mapping may also be written as one string."""

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "minLength": 1}, handler(core_schema)]}


Text = Annotated[str, Field(min_length=1)]
# What the ledger's totals are kept by is bounded, so that their key is: PostgreSQL's hold 2,704 bytes.
Owner = Annotated[str, Field(min_length=1, max_length=200)]
ModelId = Annotated[str, Field(min_length=1, max_length=LONGEST_MODEL_ID_BYTES), AfterValidator(_within_300_bytes)]
Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
Seconds = Annotated[
    Decimal,
    BeforeValidator(number),
    Field(gt=0, le=86_400),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 86_400}),
]
Usd = Annotated[
    Decimal,
    BeforeValidator(number),
    Field(ge=0, le=1_000_000_000),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1_000_000_000}),
]
Days = Annotated[StrictInt, Field(ge=0, le=3650)]


class Entry(BaseModel):
    """A mapping of routes.yaml: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def unwrapped(annotation: Any) -> Any:
    """Return a field's type without ``Annotated`` and without ``None``."""
    while get_origin(annotation) in (Annotated, Union, UnionType):
        annotation = next(arg for arg in get_args(annotation) if arg is not type(None))
    return annotation


def keys_at(model: type[Entry], path: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the mapping at a path of the file may have; none where any may be written."""
    annotation: Any = model
    for part in path:
        annotation = unwrapped(annotation)
        if isinstance(annotation, type) and issubclass(annotation, Entry):
            annotation = annotation.model_fields[str(part)].annotation
        else:
            inner = get_args(annotation)
            annotation = inner[-1] if get_origin(annotation) is dict else inner[0]
    annotation = unwrapped(annotation)
    return list(annotation.model_fields) if isinstance(annotation, type) and issubclass(annotation, Entry) else []
