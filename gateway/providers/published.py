"""Reads what providers' own lists of models say of dates. Pure: parsed JSON in, frozen values out.

A list is somebody else's text: whatever it holds, a row that cannot be read costs that row, never the others. Which
fields are read, by kind of provider:

- OpenAI, and whoever copies its list: ``shutdown_date``, a day or null; vLLM's ``parent`` names an adapter's base.
- Anthropic: ``deprecated_at`` and ``retires_at``; only a model whose ``lifecycle`` is past ``active`` has a fixed end.
- Mistral: ``deprecation``, the instant of retirement, and ``deprecation_replacement_model``; a fine-tune's ``root``.
- Azure's data plane: ``deprecation.inference`` and ``deprecation.fine_tune`` in unix time. A model that is not being
  deprecated carries a "not before" there, which may still move.
- OpenRouter: ``expiration_date``, a day.
- Bedrock: ``modelLifecycle``. ``publicExtendedAccessTime`` changes prices, and ends nothing.
- Gemini and Cohere tell no dates; their lists only tell which models there are.

An instant becomes its day in UTC: 2027-01-14T15:00Z is 2027-01-14, and the model counts as not served from that day's
00:00 on. Being hours early costs nothing; being late costs failed calls.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from gateway.policy.lifecycle import Dates, Origin, Published

MAX_MODELS = 100_000
MAX_NAME_LENGTH = 512
MAX_PROBLEMS = 20
_FIRST_DAY, _LAST_DAY = date(2020, 1, 1), date(2100, 12, 31)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}[0-9:.,+\-Zz]{0,30}", re.ASCII)
_AZURE_ENDING = frozenset(("deprecating", "deprecated", "legacy"))
_ANTHROPIC_ENDING = frozenset(("deprecated", "retired"))


class BadListing(ValueError):
    """The answer as a whole is no list of models; the message says what it is."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What could be read."""

    models: tuple[Published, ...]
    """Each model once. A row whose dates cannot be read is not among them: what was known of it stands."""
    problems: tuple[str, ...]
    """A sentence for each thing that could not be read; of very many the first ones, and how many there are."""


def read_models(kind: str, body: object, read: date, source: str) -> Listing:
    """Read a provider's list of models. ``kind`` as in routes.yaml; ``read`` and ``source`` go into every row's dates.

    A row without a date is a row all the same: the provider was asked, and names no end.

    Raises:
        BadListing: ``body`` is no list of models.
    """
    rows_field, id_field = _FIELDS.get(kind, ("data", "id"))
    rows = body.get(rows_field) if isinstance(body, dict) else body
    if not isinstance(rows, list):
        raise BadListing(f"the answer is no list of models but {_shown(body)}")
    blank = Dates(source=source, origin=Origin.PROVIDER, read=read)
    reader = _READERS.get(kind, _read_openai)
    found: dict[str, Published] = {}
    problems: list[str] = []
    unreadable: set[str] = set()
    for number, fields in enumerate(rows[:MAX_MODELS], 1):
        row = _Row(fields, number, id_field, problems)
        if row.model is None:
            continue
        dates, base = reader(row, blank)
        if row.readable:
            _keep(found, Published(row.model, dates, base), problems)
        else:
            unreadable.add(row.model)
    for model in unreadable:
        # Another row of the same model does not mend one that cannot be read: what was known stands.
        found.pop(model, None)
    if len(rows) > MAX_MODELS:
        problems.insert(0, f"the list has {len(rows)} rows; only the first {MAX_MODELS} were read")
    if len(problems) > MAX_PROBLEMS:
        problems[MAX_PROBLEMS:] = [f"and {len(problems) - MAX_PROBLEMS} more like these"]
    return Listing(tuple(found.values()), tuple(problems))


def _keep(found: dict[str, Published], published: Published, problems: list[str]) -> None:
    """Add a model; of two rows that disagree the earlier end counts."""
    other = found.setdefault(published.model, published)
    if other != published:
        problems.append(f"{_shown(published.model)} is listed twice, with different facts")
        found[published.model] = min(other, published, key=lambda row: row.dates.shutdown or date.max)


class _Row:
    """One row's fields, read with suspicion: what is wrong is said in ``problems``, and raises nothing."""

    def __init__(self, fields: object, number: int, id_field: str, problems: list[str]) -> None:
        self._problems = problems
        self._label = f"row {number}"
        self._fields: Mapping[str, Any] = fields if isinstance(fields, dict) else {}
        self.readable = True
        self.model: str | None = None
        if not isinstance(fields, dict):
            self._wrong(f"is {_shown(fields)}, no object")
        elif self._fields.get(id_field) is None:
            self._wrong(f"has no {id_field}")
        elif (model := self.name(id_field)) is not None:
            self.model, self._label = model, _shown(model)
            if id_field == "name":
                # Gemini's are paths.
                self.model = model.removeprefix("models/") or model

    def name(self, field: str, *, essential: bool = True) -> str | None:
        """Return a model's name, or None; an unreadable one that is not ``essential`` costs nothing but itself."""
        value = self._fields.get(field)
        if value is None:
            return None
        if isinstance(value, str) and 0 < len(value) <= MAX_NAME_LENGTH and value.isprintable():
            return value
        self._wrong(f"has {_article(field)} that is no name: {_shown(value)}", essential=essential)
        return None

    def word(self, field: str, within: Mapping[str, Any] | None = None) -> str:
        """Return a word in lower case; empty where there is none."""
        value = (self._fields if within is None else within).get(field)
        if value is None or isinstance(value, str):
            return (value or "").lower()
        self._wrong(f"has {_article(field)} that is no word: {_shown(value)}")
        return ""

    def inner(self, field: str) -> Mapping[str, Any]:
        """Return the object that a field holds; empty where there is none."""
        value = self._fields.get(field)
        if isinstance(value, dict):
            return value
        if value is not None:
            self._wrong(f"has {_article(field)} that is no object: {_shown(value)}")
        return {}

    def day(self, field: str, within: Mapping[str, Any] | None = None) -> date | None:
        """Return the UTC day of a date or an instant, in ISO 8601."""
        return self._day(field, self._fields if within is None else within, _written_day)

    def unix_day(self, field: str, within: Mapping[str, Any]) -> date | None:
        """Return the UTC day of an instant in unix time, in seconds."""
        return self._day(field, within, _unix_day)

    def timestamp_day(self, field: str, within: Mapping[str, Any]) -> date | None:
        """Return the UTC day of an AWS timestamp, which is written in either form."""
        return self._day(field, within, lambda value: _written_day(value) or _unix_day(value))

    def _day(self, field: str, fields: Mapping[str, Any], understood: Callable[[Any], date | None]) -> date | None:
        value = fields.get(field)
        if value is None:
            return None
        day = understood(value)
        if day is not None and _FIRST_DAY <= day <= _LAST_DAY:
            return day
        wrong = f"that is no date: {_shown(value)}" if day is None else "outside 2020 to 2100"
        self._wrong(f"has {_article(field)} {wrong}")
        return None

    def _wrong(self, what: str, *, essential: bool = True) -> None:
        self.readable = self.readable and not essential
        self._problems.append(f"{self._label} {what}")


def _read_openai(row: _Row, blank: Dates) -> tuple[Dates, str | None]:
    return replace(blank, shutdown=row.day("shutdown_date")), row.name("parent")


def _read_anthropic(row: _Row, blank: Dates) -> tuple[Dates, str | None]:
    dates = replace(blank, announced=row.day("deprecated_at"), shutdown=row.day("retires_at"))
    return _with_certainty(dates, row.word("lifecycle") in _ANTHROPIC_ENDING), None


def _read_mistral(row: _Row, blank: Dates) -> tuple[Dates, str | None]:
    named = row.name("deprecation_replacement_model", essential=False)
    dates = replace(blank, shutdown=row.day("deprecation"), replacement=named)
    return dates, row.name("root") if row.word("type") == "fine-tuned" else None


def _read_azure(row: _Row, blank: Dates) -> tuple[Dates, str | None]:
    ends = row.inner("deprecation")
    dates = replace(blank, shutdown=row.unix_day("inference", ends), last_training_day=row.unix_day("fine_tune", ends))
    # A fine-tune's row names its base here; a base's own row does not.
    base = row.name("model")
    return _with_certainty(dates, row.word("lifecycle_status") in _AZURE_ENDING), None if base == row.model else base


def _read_openrouter(row: _Row, blank: Dates) -> tuple[Dates, str | None]:
    return replace(blank, shutdown=row.day("expiration_date")), None


def _read_bedrock(row: _Row, blank: Dates) -> tuple[Dates, str | None]:
    lifecycle = row.inner("modelLifecycle")
    announced, shutdown = (row.timestamp_day(field, lifecycle) for field in ("legacyTime", "endOfLifeTime"))
    dates = replace(blank, announced=announced, shutdown=shutdown)
    return _with_certainty(dates, row.word("status", lifecycle) == "legacy"), None


_READERS: Mapping[str, Callable[[_Row, Dates], tuple[Dates, str | None]]] = {
    "anthropic": _read_anthropic,
    "mistral": _read_mistral,
    "azure": _read_azure,
    "openrouter": _read_openrouter,
    "bedrock": _read_bedrock,
}

_FIELDS: Mapping[str, tuple[str, str]] = {
    "bedrock": ("modelSummaries", "modelId"),
    "gemini": ("models", "name"),
    "cohere": ("models", "name"),
}
"""Where the rows are, and what a row calls its model, where it is not as with OpenAI."""


def _with_certainty(dates: Dates, fixed: bool) -> Dates:
    """Mark dates that may still move: they warn, and move no traffic."""
    if fixed or (dates.shutdown is None and dates.last_training_day is None):
        return dates
    return replace(dates, certainty="tentative", acts=False)


def _written_day(value: object) -> date | None:
    if not isinstance(value, str):
        return None
    try:
        if _DAY.fullmatch(value):
            return date.fromisoformat(value)
        if _INSTANT.fullmatch(value):
            instant = datetime.fromisoformat(value.upper())
            return instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC).date()
    except (ValueError, OverflowError):
        return None
    return None


def _unix_day(value: object) -> date | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return datetime.fromtimestamp(value, UTC).date()
    except (ValueError, OverflowError, OSError):
        return None


def _shown(value: object) -> str:
    """Say what a value is, shortly: nothing here may be long, deep, or break a line of a log."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    kinds = {int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), "something else")


def _article(field: str) -> str:
    return f"an {field}" if field[0] in "aeiou" else f"a {field}"
