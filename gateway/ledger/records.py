"""What a journal's records say, as bytes and back: a letter, then a JSON list whose first item is the attempt's id.

Entries travel as lists of their fields, in order: a version that knows more of them than were written fills in its
defaults, one that knows fewer leaves the tail unread.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

import orjson

from gateway.ledger.entry import Entry
from gateway.reasons import FailureKind, Outcome, Reason, Role, UsageSource

INTENT: Final = ord("I")
PROGRESS: Final = ord("P")
SETTLE: Final = ord("S")

_LARGEST: Final = 2**63 - 1
_FIELDS: Final = len(Entry._fields)
_ENUMS: Final[tuple[tuple[int, Callable[[str, str], str]], ...]] = tuple(
    (Entry._fields.index(name), {member.value: member for member in kind}.get)
    for name, kind in (
        ("role", Role),
        ("reason", Reason),
        ("usage_source", UsageSource),
        ("outcome", Outcome),
        ("failure", FailureKind),
    )
)
_STARTED_AT: Final = Entry._fields.index("started_at")
_FINISHED_AT: Final = Entry._fields.index("finished_at")

_dumps = orjson.dumps


class Intent(NamedTuple):
    """What is written before a request goes to the provider."""

    entry: Entry
    """The row as it will be if nothing more is ever heard: interrupted, input tokens estimated, no output, and the
    cost of the input alone (None: unpriced)."""
    output_nanousd: Decimal | None
    """Per output token; None: unpriced."""


def intent_payload(intent: Intent) -> bytes:
    """Return an intent's payload."""
    entry, price = intent
    return b"I" + _json((entry[0], None if price is None else str(price), *entry[1:]))


def progress_payload(attempt_id: str, output_tokens: int) -> bytes:
    """Return the payload that says how much of a stream came so far."""
    return b"P" + _json((attempt_id, output_tokens))


def settle_payload(entry: Entry) -> bytes:
    """Return an attempt's last word: its row."""
    return b"S" + _json(tuple(entry))


def attempt_id_of(payload: bytes) -> bytes:
    """Return an attempt's id as it is written, without reading the rest; the same attempt's is always the same."""
    end = payload.index(b'"', 3)
    if payload[end - 1] == 0x5C:  # a quote of its own, behind a backslash: not an id of ours
        return _dumps(orjson.loads(payload[1:])[0])
    return payload[3:end]


def intent_of(payload: bytes) -> Intent:
    """Read an intent. Raises ``ValueError`` or ``TypeError`` where it is not one."""
    attempt_id, price, *fields = orjson.loads(payload[1:])
    return Intent(_entry([attempt_id, *fields]), None if price is None else Decimal(price))


def progress_of(payload: bytes) -> int:
    """Read how many output tokens there were. Raises ``ValueError`` or ``TypeError`` where it does not say."""
    return int(orjson.loads(payload[1:])[1])


def entry_of(payload: bytes) -> Entry:
    """Read a settled row. Raises ``ValueError`` or ``TypeError`` where it is not one."""
    return _entry(orjson.loads(payload[1:]))


def _json(fields: tuple[Any, ...]) -> bytes:
    try:
        return _dumps(fields, default=_plain_mapping)
    except TypeError:
        return _dumps(tuple(_plain(value) for value in fields))


def _plain_mapping(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no field of a row")


def _plain(value: Any) -> Any:
    """Make what JSON cannot say sayable: half a surrogate pair, a number beyond 64 bits. A row must not fail by it."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, int):
        return max(-_LARGEST, min(_LARGEST, value))
    return value


_at: Callable[[str], datetime] = datetime.fromisoformat


def _entry(fields: list[Any]) -> Entry:
    del fields[_FIELDS:]
    for index, member_of in _ENUMS:
        # A word that only a newer version knows stays the text that it is: the row is more than its word.
        word = fields[index]
        fields[index] = member_of(word, word)
    fields[_STARTED_AT] = _at(fields[_STARTED_AT])
    fields[_FINISHED_AT] = _at(fields[_FINISHED_AT])
    # With all its fields there, a third of the time that filling in defaults takes.
    return Entry._make(fields) if len(fields) == _FIELDS else Entry(*fields)
