"""A fine-tuning job, from the wish to the model: where it stands, and what is to be done next. Pure.

Every step is written down before it is taken, and whatever might have been taken already is looked for first: so a
process may be killed anywhere, and the next one goes on with one file and one job at the provider.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from typing import Any, Final, Literal

Method = Literal["sft", "dpo"]


class TuningState(StrEnum):
    """Where a job stands; what is written before the step that it names is taken."""

    PLANNED = "planned"
    """Agreed to; nothing was sent."""
    UPLOADING = "uploading"
    """Its files are on their way, or there already."""
    UPLOADED = "uploaded"
    SUBMITTING = "submitting"
    """The provider is asked for the job, or has it already."""
    VALIDATING = "validating"
    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    """Somebody wants it to end."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED: Final = frozenset((TuningState.SUCCEEDED, TuningState.FAILED, TuningState.CANCELLED))
AT_PROVIDER: Final = frozenset((TuningState.VALIDATING, TuningState.QUEUED, TuningState.RUNNING))


@dataclass(frozen=True, slots=True)
class TuningJob:
    """One job as it is kept."""

    job_id: str
    """UUIDv7 of ``created_at``; the provider's files are named after it."""
    route: str
    tenant: str
    """Empty: nobody's in particular."""
    provider: str
    """Its name in routes.yaml."""
    base: str
    method: Method
    dataset_hash: str
    state: TuningState
    by: str
    created_at: datetime
    changed_at: datetime
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for: ``dataset`` (the directory), ``validation`` (whether there is a second file), ``epochs`` and
    ``suffix`` (null: the provider's own), the price that the estimate was made with (``usd_per_1m``, ``minimum_usd``,
    ``price_source``), and then ``provider_status``, the provider's own word."""
    training_file: str | None = None
    """The provider's id, as all below; None: not known yet."""
    validation_file: str | None = None
    provider_job: str | None = None
    model: str | None = None
    estimated_tokens: int | None = None
    estimated_nanousd: int | None = None
    trained_tokens: int | None = None
    billed_nanousd: int | None = None
    error: str | None = None
    """What the provider said of a failure, without the key."""
    version: int = 1
    """Rises with every change."""

    @property
    def file_name(self) -> str:
        """What its training file is called at the provider, and nothing else is."""
        return f"gateway-{self.job_id}-train.jsonl"

    @property
    def validation_name(self) -> str | None:
        """What its second file is called there; None: it has none."""
        return f"gateway-{self.job_id}-validation.jsonl" if self.settings.get("validation") else None


class Action(StrEnum):
    """What is to be done next."""

    BEGIN_UPLOAD = "begin_upload"
    """Write that files are on their way."""
    FIND_TRAINING_FILE = "find_training_file"
    UPLOAD_TRAINING_FILE = "upload_training_file"
    FIND_VALIDATION_FILE = "find_validation_file"
    UPLOAD_VALIDATION_FILE = "upload_validation_file"
    FILES_ARE_THERE = "files_are_there"
    """Write that they are."""
    BEGIN_SUBMIT = "begin_submit"
    """Write that the provider is asked for the job."""
    FIND_JOB = "find_job"
    """Look for one of our training file."""
    CREATE_JOB = "create_job"
    ASK_TO_CANCEL = "ask_to_cancel"
    LOOK = "look"
    """See how far it is, after a pause."""
    NOTHING_TO_CANCEL = "nothing_to_cancel"
    """Write that it is cancelled: the provider never had it."""
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Seen:
    """What this process has seen at the provider since the job was last written."""

    looks: int = 0
    """How often what the state may already have led to was looked for, and not found."""
    looks_needed: int = 1
    """How often that is needed before it counts as not there: a list may lag behind for a moment."""
    asked_to_cancel: bool = False

    @property
    def is_absent(self) -> bool:
        """Whether it is known not to be there."""
        return self.looks >= self.looks_needed


def next_action(job: TuningJob, seen: Seen) -> Action:
    """Return what is to be done next; what costs something comes only after a look for what was done already."""
    match job.state:
        case TuningState.PLANNED:
            return Action.BEGIN_UPLOAD
        case TuningState.UPLOADING:
            return _upload(job, seen)
        case TuningState.UPLOADED:
            return Action.BEGIN_SUBMIT
        case TuningState.SUBMITTING:
            return Action.CREATE_JOB if seen.is_absent else Action.FIND_JOB
        case TuningState.VALIDATING | TuningState.QUEUED | TuningState.RUNNING:
            return Action.LOOK
        case TuningState.CANCELLING:
            return _cancel(job, seen)
        case _:
            return Action.DONE


def _upload(job: TuningJob, seen: Seen) -> Action:
    if job.training_file is None:
        return Action.UPLOAD_TRAINING_FILE if seen.is_absent else Action.FIND_TRAINING_FILE
    if job.validation_name is not None and job.validation_file is None:
        return Action.UPLOAD_VALIDATION_FILE if seen.is_absent else Action.FIND_VALIDATION_FILE
    return Action.FILES_ARE_THERE


def _cancel(job: TuningJob, seen: Seen) -> Action:
    if job.provider_job is not None:
        return Action.LOOK if seen.asked_to_cancel else Action.ASK_TO_CANCEL
    # A job names its training file: without one there is none.
    if job.training_file is None or seen.is_absent:
        return Action.NOTHING_TO_CANCEL
    return Action.FIND_JOB


def after(state: TuningState, seen: TuningState | None) -> TuningState:
    """Return where a job stands once its provider was looked at; None: it used a word that nobody here knows.

    An end is an end, and a wish to cancel stays one until the job has ended in whatever way. A job that was seen at all
    is past its submission.
    """
    if state in ENDED:
        return state
    if seen is None:
        return TuningState.VALIDATING if state is TuningState.SUBMITTING else state
    if state is TuningState.CANCELLING and seen not in ENDED:
        return state
    return seen


FIRST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 60.0
_GROWTH: Final = 1.5


def pause_s(looks: int, hurry: float = 1.0) -> float:
    """Return how long to wait before the next look, growing from 2 s to a minute; ``hurry`` shortens all of them."""
    # The exponent is bounded: a job of days has many looks.
    return min(FIRST_PAUSE_S * _GROWTH ** min(looks, 20), LONGEST_PAUSE_S) / hurry


PATIENCE: Final = timedelta(minutes=15)
"""So long a provider may give no usable answer, without a break, before a command gives up; the job goes on."""


class Trouble(StrEnum):
    """What an answer that is no success means for the step that it answers."""

    PASSING = "passing"
    """The same may work later: look again, then try again."""
    GONE = "gone"
    """What was asked about is not there."""
    REFUSED = "refused"
    """It will not work, however often it is tried."""


def judge(status: int | None, code: str | None = None) -> Trouble:
    """Return what an HTTP status means; None: there was no answer. An exhausted quota does not pass by itself.

    A success that cannot be read says only that something may have been done.
    """
    if code == "insufficient_quota":
        return Trouble.REFUSED
    if status is None or status < 400 or status in (408, 409, 425, 429) or status >= 500:
        return Trouble.PASSING
    return Trouble.GONE if status in (404, 410) else Trouble.REFUSED


def training_nanousd(tokens: int, usd_per_1m: Decimal, minimum_usd: Decimal = Decimal(0)) -> int:
    """Return what tokens cost to train on, in nano-dollars, rounded half to even."""
    nanousd = max(usd_per_1m * tokens * 1_000, minimum_usd * 10**9)
    return int(nanousd.to_integral_value(ROUND_HALF_EVEN))
