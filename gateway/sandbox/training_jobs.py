"""Jobs that train models here: what one is, and where it stands. ``fine_tuning`` begins, shows and moves them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from typing import Any
from uuid import uuid4

from gateway.clock import Clock
from gateway.sandbox.catalogue import Model
from gateway.sandbox.training_rows import Method, TrainingRows

KEPT_JOBS = 1_000
USUAL_DURATION_S = 10.0


class JobStatus(StrEnum):
    """How far a job is."""

    VALIDATING = "validating_files"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset((JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a job was asked to do."""

    base: Model
    """As it stood then."""
    method: Method
    hyperparameters: Mapping[str, Any]
    training_file: str
    validation_file: str | None
    suffix: str | None
    seed: int
    metadata: Mapping[str, str] | None


@dataclass(slots=True, kw_only=True)
class TrainingJob:
    """A job as it stands."""

    asked: Asked
    contents: Mapping[str, bytes]
    """Of the files, by the field that names each: they may be deleted meanwhile."""
    created_s: float
    """Unix time."""
    began_s: float
    """By the monotonic clock, from which it runs."""
    duration_s: float
    fails: str | None
    """What it is going to fail with."""
    id: str = field(default_factory=lambda: f"ftjob-{uuid4().hex[:24]}")
    status: JobStatus = JobStatus.VALIDATING
    events: list[dict[str, Any]] = field(default_factory=list)
    """Oldest first."""
    rows: TrainingRows | None = None
    model: str | None = None
    error: Mapping[str, Any] | None = None
    finished_s: float | None = None
    """In seconds from its creation."""

    @property
    def epochs(self) -> int:
        """How often each row is shown."""
        return int(self.asked.hyperparameters["n_epochs"])

    @property
    def trained_tokens(self) -> int | None:
        """What it is billed for; None until it has succeeded."""
        if self.status is not JobStatus.SUCCEEDED or self.rows is None:
            return None
        return self.rows.tokens * self.epochs

    @property
    def billed_nanousd(self) -> int:
        """What it cost: only what succeeds does."""
        price = self.asked.base.training_price or Decimal(0)
        # Dollars per million tokens, times tokens, are micro-dollars.
        return int(((self.trained_tokens or 0) * price * 1000).quantize(Decimal(1), ROUND_HALF_EVEN))

    def enter(self, status: JobStatus, elapsed_s: float, said: str, level: str = "info") -> None:
        """Come to another status, and say so."""
        self.status = status
        if status in ENDED:
            self.finished_s = elapsed_s
            self.contents = {}
        self.say(elapsed_s, said, level)

    def say(self, elapsed_s: float, said: str, level: str = "info") -> None:
        """Add an event."""
        self.events.append(
            {
                "object": "fine_tuning.job.event",
                "id": f"ftevent-{uuid4().hex[:24]}",
                "created_at": int(self.created_s + elapsed_s),
                "level": level,
                "message": said,
                "type": "message",
                "data": {},
            }
        )

    def describe(self) -> dict[str, Any]:
        """Return the job as OpenAI shows it; instants are Unix seconds."""
        asked, ended = self.asked, self.status in ENDED
        return {
            "object": "fine_tuning.job",
            "id": self.id,
            "model": asked.base.id,
            "fine_tuned_model": self.model,
            "status": self.status,
            "created_at": int(self.created_s),
            "finished_at": None if self.finished_s is None else int(self.created_s + self.finished_s),
            "estimated_finish": None if ended else int(self.created_s + self.duration_s),
            "trained_tokens": self.trained_tokens,
            "training_file": asked.training_file,
            "validation_file": asked.validation_file,
            "result_files": [],
            "hyperparameters": asked.hyperparameters,
            "method": {"type": asked.method, asked.method: {"hyperparameters": asked.hyperparameters}},
            "user_provided_suffix": asked.suffix,
            "organization_id": "org-sandbox",
            "seed": asked.seed,
            "integrations": [],
            "error": self.error,
            "metadata": asked.metadata,
        }

    def bill(self) -> dict[str, Any]:
        """Return the job as ``/sandbox/training`` shows it: what it cost, and why."""
        price = self.asked.base.training_price
        return {
            "id": self.id,
            "model": self.asked.base.id,
            "fine_tuned_model": self.model,
            "method": self.asked.method,
            "status": self.status,
            "training_file": self.asked.training_file,
            "rows": None if self.rows is None else self.rows.rows,
            "n_epochs": self.epochs,
            "trained_tokens": self.trained_tokens,
            "usd_per_1m": None if price is None else str(price),
            "billed_nanousd": self.billed_nanousd,
        }


class Training:
    """The jobs, oldest first, and how the next ones go."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jobs: dict[str, TrainingJob] = {}
        self._unfinished: dict[str, TrainingJob] = {}
        self.duration_s = USUAL_DURATION_S
        """How long the next ones take, whatever is in their files."""
        self.closed = False
        """Whether the organisation may not train any more."""
        self.fails: str | None = None
        """What the next ones fail with while they run; None: nothing."""

    def create(self, asked: Asked, contents: Mapping[str, bytes]) -> TrainingJob:
        """Begin a job."""
        job = TrainingJob(
            asked=asked,
            contents=contents,
            created_s=self._clock.now().timestamp(),
            began_s=self._clock.monotonic(),
            duration_s=self.duration_s,
            fails=self.fails,
        )
        while len(self._jobs) >= KEPT_JOBS:
            del self._jobs[next(iter(self._jobs))]
        self._jobs[job.id] = self._unfinished[job.id] = job
        job.say(0, f"Created fine-tuning job: {job.id}")
        job.say(0, f"Validating training file: {asked.training_file}")
        return job

    def elapsed_s(self, job: TrainingJob) -> float:
        """Return how long ago a job began."""
        return self._clock.monotonic() - job.began_s

    def find(self, job_id: str) -> TrainingJob | None:
        """Return a job; None: there is none."""
        return self._jobs.get(job_id)

    def newest_first(self) -> list[TrainingJob]:
        """Return all of them."""
        return list(reversed(self._jobs.values()))

    def unfinished(self) -> list[TrainingJob]:
        """Return those that have not ended: asked before every request is answered, and mostly none."""
        if not self._unfinished:
            return []
        self._unfinished = {job_id: job for job_id, job in self._unfinished.items() if job.status not in ENDED}
        return list(self._unfinished.values())
