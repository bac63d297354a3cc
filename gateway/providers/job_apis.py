"""APIs for fine-tuning jobs that are shaped like OpenAI's: how they differ, as data, one row a kind of provider.

Read on 2026-11-29. Who is not here has an API of another shape (Bedrock, Vertex and Fireworks import data from storage
of their own), or none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any, Final, Literal

from gateway.policy.tuning import Method, TuningState

READ: Final = date(2026, 11, 29)
"""When the rows' sources were read."""

_OPENAI_WORDS: Final = {
    "validating_files": TuningState.VALIDATING,
    "queued": TuningState.QUEUED,
    "running": TuningState.RUNNING,
    "succeeded": TuningState.SUCCEEDED,
    "failed": TuningState.FAILED,
    "cancelled": TuningState.CANCELLED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobApi:
    """One kind's API."""

    kind: str
    source: str
    """Where it was read; the day is ``READ``."""
    words: Mapping[str, TuningState]
    """What its statuses mean, lower case; any other is waited on, and shown."""
    methods: frozenset[Method] = frozenset(("sft",))
    format: str = "openai-sft"
    """The data set's format for ``sft``, as ``gateway dataset export --format`` names it."""
    preferences: str = "openai-dpo"
    """And for ``dpo``."""
    jobs_path: str = "/fine_tuning/jobs"
    files_path: str = "/files"
    """Where files are listed, and, with an id behind it, deleted."""
    upload_path: str = "/files"
    names_file: bool = False
    """Whether the form names the file in a field of its own, beside the file."""
    pages: Literal["after", "number", "none"] = "after"
    """How lists go on: by the last id, by the page's number from 0, or not at all."""
    files_filter: str = ""
    """A list's query, so that other files are left out."""
    file_lists: bool = False
    """Whether a job takes lists of files: ``training_files`` with weights, ``validation_files``."""
    begins_itself: bool = True
    """False where a job has to be told to start once it is validated: then ``auto_start`` is set."""
    parameters: Literal["method", "hyperparameters", "top"] = "method"
    """Where epochs stand: within ``method.{type}.hyperparameters``, in ``hyperparameters``, or among the fields."""
    epochs: str = "n_epochs"
    longest_suffix: int = 64
    model_fields: tuple[str, ...] = ("fine_tuned_model",)
    """Where an ended job names its model: the first that is there."""
    tokens_field: str = "trained_tokens"
    price_field: str | None = None
    """Where it says what it was billed, in nano-dollars."""
    tells_closed: bool = True
    """Whether a job of a file that does not exist tells if training is open to us: 403 where it is closed, and another
    error where it is not. What does so is OpenAI's API, and who copies that."""
    reads_files_first: bool = False
    """Whether a job is refused while its files are still being read: their status tells when they are."""
    lags_s: float = 3.0
    """So long a list may lack what was just made."""
    hurry: float = 1.0
    """How much faster than others it is looked at."""
    deploys: str | None = None
    """What has to be done before the model can be called, as a clause; None: nothing."""
    deployment_is_named: bool = False
    """Whether it is called by a deployment's name then, and not by its own."""


_ROWS: Final = (
    JobApi(
        kind="openai",
        source="https://platform.openai.com/docs/api-reference/fine-tuning (through clients made from its description)",
        words=_OPENAI_WORDS,
        methods=frozenset(("sft", "dpo")),
        files_filter="purpose=fine-tune",
    ),
    # Its older surfaces say notRunning, pending and canceled.
    JobApi(
        kind="azure",
        source="https://learn.microsoft.com/azure/ai-foundry/openai/how-to/fine-tuning-deploy, "
        "https://learn.microsoft.com/rest/api/azureopenai/fine-tuning/create",
        words={
            **_OPENAI_WORDS,
            "pending": TuningState.QUEUED,
            "notrunning": TuningState.QUEUED,
            "canceling": TuningState.CANCELLING,
            "canceled": TuningState.CANCELLED,
        },
        methods=frozenset(("sft", "dpo")),
        files_filter="purpose=fine-tune",
        longest_suffix=40,
        reads_files_first=True,
        deploys="deploy it (in the portal, or by `az cognitiveservices account deployment create`), which costs money "
        "by the hour until it is removed",
        deployment_is_named=True,
    ),
    JobApi(
        kind="sandbox",
        source="gateway/sandbox",
        words=_OPENAI_WORDS,
        methods=frozenset(("sft", "dpo")),
        files_filter="purpose=fine-tune",
        lags_s=0.0,
        hurry=20.0,
    ),
    JobApi(
        kind="openai-compatible",
        source="https://platform.openai.com/docs/api-reference/fine-tuning (as openai)",
        words=_OPENAI_WORDS,
        methods=frozenset(("sft", "dpo")),
        files_filter="purpose=fine-tune",
    ),
    # Marked as deprecated in its description of October 2026, and still there.
    JobApi(
        kind="mistral",
        source="https://docs.rs/crate/mistral-openapi-client/latest/source/docs/DeprecatedFineTuningApi.md",
        words={
            "queued": TuningState.QUEUED,
            "started": TuningState.RUNNING,
            "validating": TuningState.VALIDATING,
            "validated": TuningState.VALIDATING,
            "running": TuningState.RUNNING,
            "failed_validation": TuningState.FAILED,
            "failed": TuningState.FAILED,
            "success": TuningState.SUCCEEDED,
            "cancellation_requested": TuningState.CANCELLING,
            "cancelled": TuningState.CANCELLED,
        },
        pages="number",
        file_lists=True,
        begins_itself=False,
        parameters="hyperparameters",
        epochs="epochs",
        longest_suffix=18,
        tells_closed=False,
    ),
    JobApi(
        kind="together",
        source="https://docs.together.ai/reference/upload-file, https://github.com/togethercomputer/together-python",
        words={
            "pending": TuningState.QUEUED,
            "queued": TuningState.QUEUED,
            "running": TuningState.RUNNING,
            "compressing": TuningState.RUNNING,
            "uploading": TuningState.RUNNING,
            "completed": TuningState.SUCCEEDED,
            "error": TuningState.FAILED,
            "user_error": TuningState.FAILED,
            "cancel_requested": TuningState.CANCELLING,
            "cancelled": TuningState.CANCELLED,
        },
        methods=frozenset(("sft", "dpo")),
        format="together",
        jobs_path="/fine-tunes",
        upload_path="/files/upload",
        names_file=True,
        pages="none",
        parameters="top",
        longest_suffix=40,
        model_fields=("model_output_name", "x_model_output_name", "output_name"),
        tokens_field="token_count",
        price_field="total_price",
        tells_closed=False,
        deploys="put it on a dedicated endpoint, which costs money by the minute, where the base is not served with "
        "adapters",
    ),
)

FILES_BEING_READ: Final = frozenset(("pending", "running", "notrunning", "uploading"))
FILES_REFUSED: Final = frozenset(("error", "failed", "deleting", "deleted"))
"""What statuses of files mean, lower case; any other: it can be trained on."""

JOB_APIS: Final[Mapping[str, JobApi]] = MappingProxyType({row.kind: row for row in _ROWS})
"""By kind of provider."""


@dataclass(frozen=True, slots=True)
class SeenJob:
    """A job as its provider shows it."""

    id: str
    status: str
    """Its own word."""
    state: TuningState | None
    """None: a word that nobody here knows."""
    model: str | None = None
    training_file: str | None = None
    trained_tokens: int | None = None
    billed_nanousd: int | None = None
    error: str | None = None
    estimated_finish: int | None = None
    """Unix time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A job to be made."""

    base: str
    method: Method
    training_file: str
    validation_file: str | None = None
    epochs: int | None = None
    """None: as many as the provider thinks right."""
    suffix: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


def request_of(api: JobApi, wanted: Wanted) -> dict[str, Any]:
    """Return the body that asks for a job."""
    body: dict[str, Any] = {"model": wanted.base, **_files(api, wanted)}
    if wanted.suffix:
        body["suffix"] = wanted.suffix
    if not api.begins_itself:
        body["auto_start"] = True
    epochs = {api.epochs: wanted.epochs} if wanted.epochs is not None else {}
    match api.parameters:
        case "method":
            kind = "dpo" if wanted.method == "dpo" else "supervised"
            body["method"] = {"type": kind, kind: {"hyperparameters": epochs} if epochs else {}}
        case "hyperparameters":
            body["hyperparameters"] = epochs
        case "top":
            # A LoRA is its default, and the only kind that its servers may take without an endpoint of one's own.
            body |= {**epochs, "training_method": {"method": wanted.method}, "training_type": {"type": "Lora"}}
    if wanted.metadata and api.kind in ("openai", "sandbox"):
        body["metadata"] = dict(wanted.metadata)
    return body


def _files(api: JobApi, wanted: Wanted) -> dict[str, Any]:
    if api.file_lists:
        validation = {"validation_files": [wanted.validation_file]} if wanted.validation_file else {}
        return {"training_files": [{"file_id": wanted.training_file, "weight": 1}], **validation}
    second = {"validation_file": wanted.validation_file} if wanted.validation_file else {}
    return {"training_file": wanted.training_file, **second}


def read_job(api: JobApi, row: Mapping[str, Any]) -> SeenJob | None:
    """Read a job from its provider's answer; None: it is none."""
    identity, status = _word(row.get("id")), _word(row.get("status"))
    if identity is None or status is None:
        return None
    named = (_word(row.get(name)) for name in api.model_fields)
    return SeenJob(
        identity,
        status,
        api.words.get(status.lower()),
        model=next((model for model in named if model), None),
        training_file=_training_file(row),
        trained_tokens=_count(row.get(api.tokens_field)),
        billed_nanousd=_count(row.get(api.price_field)) if api.price_field else None,
        error=_error(row),
        estimated_finish=_count(row.get("estimated_finish")),
    )


def _training_file(row: Mapping[str, Any]) -> str | None:
    files = row.get("training_files")
    if not isinstance(files, list):
        return _word(row.get("training_file"))
    first = files[0] if files else None
    return _word(first.get("file_id") if isinstance(first, dict) else first)


def _error(row: Mapping[str, Any]) -> str | None:
    """Return what an API says of a failure: OpenAI's error object, a text, or the last event that is one."""
    said = row.get("error")
    if isinstance(said, dict):
        said = said.get("message")
    if isinstance(said, str) and said.strip():
        return said
    events = row.get("events")
    for event in reversed(events) if isinstance(events, list) else ():
        if isinstance(event, dict) and str(event.get("level", "")).lower() == "error":
            message = event.get("message")
            return message if isinstance(message, str) and message else None
    return None


def _word(value: object) -> str | None:
    # What no database keeps, and no terminal should be told, is no id: a NUL, a control sequence.
    return value if isinstance(value, str) and 0 < len(value) <= 2_000 and value.isprintable() else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None
