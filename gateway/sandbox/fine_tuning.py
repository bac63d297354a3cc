"""OpenAI's fine-tuning jobs, their events, checkpoints and training files: those that ran here, and those before.

Fine-tunes that were for sale from the start have jobs that follow from them. A job outlives its model: what was retired
is gone from ``/v1/models``, and its job still tells of it.
"""

from typing import Any

from gateway.sandbox.catalogue import Model
from gateway.sandbox.files import StoredFile
from gateway.sandbox.paging import Query, page
from gateway.sandbox.provider import Provider
from gateway.sandbox.refusals import ProviderError, method_not_allowed, openai_error, unknown_url
from gateway.sandbox.training import EPOCHS, checkpoint_step, identifier, training_file
from gateway.sandbox.training_jobs import ENDED, JobStatus, TrainingJob
from gateway.sandbox.training_requests import create

JOBS = "/fine_tuning/jobs"
_TRAINING_S = 2_400
_JOBS_A_PAGE = 20


def answer(provider: Provider, method: str, path: str, query: Query, raw: bytes) -> dict[str, Any]:
    """Create a job, list them, show or cancel one, or list its events or checkpoints.

    Raises:
        ProviderError: there is no such job or path, a page cannot be cut like this, or the job cannot be had.
    """
    identity, _, action = path.removeprefix(JOBS).removeprefix("/").partition("/")
    if action not in ("", "events", "checkpoints", "cancel"):
        raise unknown_url(method, f"/v1{path}")
    if method not in (("POST",) if action == "cancel" else ("GET",) if identity else ("GET", "POST")):
        raise method_not_allowed(method, f"/v1{path}")
    if not identity:
        if method == "POST":
            return create(provider, raw).describe()
        return page(_all_jobs(provider), query, _JOBS_A_PAGE, 100, _no_job)
    job = provider.training.find(identity)
    if job is not None:
        return _answer_of(provider, job, action, query)
    model = next((model for model in _newest_first(provider) if _job_id(model) == identity), None)
    if model is None:
        raise _no_job(identity)
    if action == "checkpoints":
        return page(_checkpoints(model), query, 10, 100, _no_job)
    if action == "events":
        return page([], query, _JOBS_A_PAGE, 100, _no_job)
    if action == "cancel":
        raise _ended(identity, JobStatus.SUCCEEDED)
    return _job(model)


def _answer_of(provider: Provider, job: TrainingJob, action: str, query: Query) -> dict[str, Any]:
    """Answer about a job that ran here, or cancel it."""
    if action == "events":
        return page(job.events[::-1], query, _JOBS_A_PAGE, 100, _no_job)
    if action == "checkpoints":
        return page(_last_checkpoint(job), query, 10, 100, _no_job)
    if action == "cancel":
        if job.status in ENDED:
            raise _ended(job.id, job.status)
        job.enter(JobStatus.CANCELLED, provider.training.elapsed_s(job), "Fine-tuning job cancelled")
    return job.describe()


def _all_jobs(provider: Provider) -> list[dict[str, Any]]:
    ran_here = [job.describe() for job in provider.training.newest_first()]
    return [*ran_here, *(_job(model) for model in _newest_first(provider))]


def _last_checkpoint(job: TrainingJob) -> list[dict[str, Any]]:
    """Return the one that is the model itself; earlier ones are not kept."""
    if job.model is None or job.rows is None or job.finished_s is None:
        return []
    steps = job.rows.rows * job.epochs
    return [_checkpoint(job.id, job.model, steps, int(job.created_s + job.finished_s))]


def training_files(provider: Provider) -> list[StoredFile]:
    """Return what the fine-tunes were trained on, as far as it is kept, the newest first."""
    return [_file(model) for model in _newest_first(provider) if model.training_file_kept]


def _newest_first(provider: Provider) -> list[Model]:
    """Return the fine-tunes whose jobs ran before the sandbox did."""
    known = provider.models.values()
    fine_tunes = [model for model in known if model.base and model.job_id is None and model.adapter_path is None]
    return sorted(fine_tunes, key=lambda model: -model.created)


def _job_id(model: Model) -> str:
    return identifier("ftjob-", model.id)


def _file_id(model: Model) -> str:
    return identifier("file-", model.id, 22)


def _result_of(model: Model) -> str:
    """Return the model that the job ended with, where one of its checkpoints is for sale."""
    step = checkpoint_step(model.id)
    return model.id if step is None else model.id.removesuffix(f":ckpt-step-{step}")


def _job(model: Model) -> dict[str, Any]:
    parts = model.id.split(":")
    hyperparameters = {"n_epochs": EPOCHS, "batch_size": 1, "learning_rate_multiplier": 1.8}
    return {
        "object": "fine_tuning.job",
        "id": _job_id(model),
        "model": model.base,
        "fine_tuned_model": _result_of(model),
        "status": "succeeded",
        "created_at": model.created - _TRAINING_S,
        "finished_at": model.created,
        "estimated_finish": None,
        "trained_tokens": training_file(model).trained_tokens,
        "training_file": _file_id(model),
        "validation_file": None,
        "result_files": [],
        "hyperparameters": hyperparameters,
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        "user_provided_suffix": parts[3] if len(parts) > 4 else None,
        "organization_id": "org-sandbox",
        "seed": 0,
        "integrations": [],
        "error": None,
        "metadata": None,
    }


def _checkpoints(model: Model) -> list[dict[str, Any]]:
    step = checkpoint_step(model.id)
    if step is None:
        return []
    return [_checkpoint(_job_id(model), model.id, step, model.created - _TRAINING_S // EPOCHS)]


def _checkpoint(job_id: str, model_id: str, step: int, created_at: int) -> dict[str, Any]:
    return {
        "object": "fine_tuning.job.checkpoint",
        "id": identifier("ftckpt_", model_id),
        "created_at": created_at,
        "fine_tuned_model_checkpoint": model_id,
        "fine_tuning_job_id": job_id,
        "step_number": step,
        "metrics": {"step": step, "train_loss": 0.21, "train_mean_token_accuracy": 0.94},
    }


def _file(model: Model) -> StoredFile:
    name = f"{_result_of(model).split(':')[-2] or 'training'}.jsonl"
    return StoredFile(_file_id(model), name, "fine-tune", training_file(model).content, model.created - 2 * _TRAINING_S)


def _ended(identity: str, status: JobStatus) -> ProviderError:
    said = f"Cannot cancel fine-tuning job {identity}: it has already {status}."
    return openai_error(400, said.replace("already cancelled", "already been cancelled"), code="invalid_job_status")


def _no_job(identity: str) -> ProviderError:
    return openai_error(404, f"Could not find fine tune: {identity}", code="fine_tune_not_found", param="fine_tune_id")
