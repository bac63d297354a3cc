"""OpenAI's batches: what one is, what its input must be, and how it looks while it runs; ``batch_runs`` runs it."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import uuid4

import orjson

from gateway.clock import Clock

KEPT_BATCHES = 1_000
WINDOW_S = 86_400.0
"""How long a batch may take before it expires."""
MOST_ROWS = 50_000
USUAL_DURATION_S = 2.0
_FIELDS = (
    ("custom_id", str, "a string"),
    ("method", str, "a string"),
    ("url", str, "a string"),
    ("body", dict, "an object"),
)


class Status(StrEnum):
    """How far a batch is."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


ENDED = frozenset((Status.FAILED, Status.COMPLETED, Status.EXPIRED, Status.CANCELLED))


class Row(NamedTuple):
    """One request of a batch."""

    custom_id: str
    body: Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class Batch:
    """A batch as it stands."""

    endpoint: str
    """The path of all its requests, such as ``/v1/chat/completions``."""
    input_file_id: str
    content: bytes
    """Of the input file, which may be deleted meanwhile."""
    metadata: Mapping[str, str] | None
    created_s: float
    """Unix time."""
    began_s: float
    """By the monotonic clock, from which it runs."""
    duration_s: float
    id: str = field(default_factory=lambda: f"batch_{uuid4().hex}")
    status: Status = Status.VALIDATING
    since: dict[Status, float] = field(default_factory=dict)
    """When it came to each status, in seconds from its creation."""
    rows: list[Row] = field(default_factory=list)
    output: list[bytes] = field(default_factory=list)
    """Lines of answers."""
    failures: list[bytes] = field(default_factory=list)
    """Lines of errors."""
    total: int = 0
    completed: int = 0
    failed: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    """What is wrong with the input file."""
    output_file_id: str | None = None
    error_file_id: str | None = None

    def write(self, line: bytes, *, succeeded: bool) -> None:
        """Take down what became of the next row."""
        (self.output if succeeded else self.failures).append(line)
        self.completed += succeeded
        self.failed += not succeeded

    @property
    def answered(self) -> int:
        """How many rows something has become of."""
        return self.completed + self.failed

    def let_go(self) -> None:
        """Forget what only a running batch needs."""
        self.content = b""
        for kept in (self.rows, self.output, self.failures):
            kept.clear()

    def enter(self, status: Status, elapsed_s: float) -> None:
        """Come to another status."""
        self.status = status
        self.since[status] = elapsed_s

    def describe(self) -> dict[str, Any]:
        """Return the batch as OpenAI shows it; instants are Unix seconds."""
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "input_file_id": self.input_file_id,
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": int(self.created_s),
            "expires_at": int(self.created_s + WINDOW_S),
            **{f"{status}_at": self._entered(status) for status in Status if status is not Status.VALIDATING},
            "request_counts": {"total": self.total, "completed": self.completed, "failed": self.failed},
            "metadata": self.metadata,
        }

    def _entered(self, status: Status) -> int | None:
        elapsed_s = self.since.get(status)
        return None if elapsed_s is None else int(self.created_s + elapsed_s)


class Batches:
    """The batches, oldest first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._batches: dict[str, Batch] = {}
        self.duration_s = USUAL_DURATION_S
        """How long the next ones take, whatever is in them."""
        self.advancing = asyncio.Lock()
        """Held while rows are answered, so that none is answered twice."""

    def create(self, endpoint: str, input_file_id: str, content: bytes, metadata: Mapping[str, str] | None) -> Batch:
        """Begin a batch."""
        batch = Batch(
            endpoint=endpoint,
            input_file_id=input_file_id,
            content=content,
            metadata=metadata,
            created_s=self._clock.now().timestamp(),
            began_s=self._clock.monotonic(),
            duration_s=self.duration_s,
        )
        while len(self._batches) >= KEPT_BATCHES:
            del self._batches[next(iter(self._batches))]
        self._batches[batch.id] = batch
        return batch

    def elapsed_s(self, batch: Batch) -> float:
        """Return how long ago a batch began."""
        return self._clock.monotonic() - batch.began_s

    def find(self, batch_id: str) -> Batch | None:
        """Return a batch; None: it is not kept."""
        return self._batches.get(batch_id)

    def newest_first(self) -> list[Batch]:
        """Return all of them."""
        return list(reversed(self._batches.values()))

    def running(self) -> list[Batch]:
        """Return those that have not ended."""
        return [batch for batch in self._batches.values() if batch.status not in ENDED]


def read_rows(content: bytes, endpoint: str) -> tuple[list[Row], list[dict[str, Any]]]:
    """Return the requests of an input file, and what is wrong with it: then there are no requests."""
    rows: list[Row] = []
    errors: list[dict[str, Any]] = []
    seen: set[str] = set()
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        read = _row(line)
        found = list(_faults(read, endpoint, seen, rows[0].body["model"] if rows else None))
        errors += ({"code": code, "message": said, "param": param, "line": number} for code, said, param in found)
        if not found:
            rows.append(Row(read["custom_id"], read["body"]))
            seen.add(read["custom_id"])
    if not rows and not errors:
        said = "The input file is empty. Please ensure that the batch contains at least one request."
        errors.append({"code": "empty_file", "message": said, "param": None, "line": None})
    if len(rows) > MOST_ROWS:
        said = f"The batch input file contains {len(rows)} requests. The limit is {MOST_ROWS}."
        errors.append({"code": "too_many_tasks", "message": said, "param": None, "line": None})
    return ([], errors) if errors else (rows, [])


def _row(line: bytes) -> Any:
    try:
        read = orjson.loads(line)
        orjson.dumps([[[[read]]]])  # nested too deeply to be written again
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    return read


def _faults(read: Any, endpoint: str, seen: set[str], model: str | None) -> Iterator[tuple[str, str, str | None]]:
    """Yield the first thing that is wrong with a line: code, message and parameter."""
    if not isinstance(read, dict):
        yield "invalid_json_line", "This line is not parseable as valid JSON.", None
        return
    for name, kind, words in _FIELDS:
        if read.get(name) is None:
            yield "missing_required_parameter", f"Missing required parameter: '{name}'.", name
            return
        if not isinstance(read[name], kind):
            yield "invalid_type", f"Invalid type for '{name}': expected {words}.", name
            return
    asked = read["body"].get("model")
    if read["method"] != "POST":
        yield "invalid_method", f"Invalid value: '{read['method']}'. Supported values are: 'POST'.", "method"
    elif read["url"] != endpoint:
        yield "invalid_url", "The URL provided for this request does not match the batch endpoint.", "url"
    elif not isinstance(asked, str) or not asked:
        yield "missing_required_parameter", "Missing required parameter: 'body.model'.", "body.model"
    elif model is not None and asked != model:
        said = f"The provided model '{asked}' does not match '{model}', the model of the batch's first request."
        yield "mismatched_model", said, "body.model"
    elif read["custom_id"] in seen:
        said = (
            "The custom_id for this request is a duplicate of another request. The custom_id parameter must be unique "
            "for each request in a batch."
        )
        yield "duplicate_custom_id", said, "custom_id"
