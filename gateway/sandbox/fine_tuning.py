"""OpenAI's fine-tuning jobs, their checkpoints and training files, as they follow from the fine-tunes for sale.

A job outlives its model: what was retired is gone from ``/v1/models``, and its job still tells of it.
"""

from typing import Any

from gateway.sandbox.catalogue import Model
from gateway.sandbox.files import StoredFile
from gateway.sandbox.paging import Query, page
from gateway.sandbox.provider import Provider
from gateway.sandbox.refusals import ProviderError, openai_error, unknown_url
from gateway.sandbox.training import EPOCHS, checkpoint_step, identifier, training_file

JOBS = "/fine_tuning/jobs"
_TRAINING_S = 2_400
_JOBS_A_PAGE = 20


def answer(provider: Provider, path: str, query: Query) -> dict[str, Any]:
    """Answer a GET.

    Raises:
        ProviderError: there is no such job or path, or a page cannot be cut like this.
    """
    identity, _, action = path.removeprefix(JOBS).removeprefix("/").partition("/")
    models = _newest_first(provider)
    if not identity:
        return page([_job(model) for model in models], query, _JOBS_A_PAGE, 100, _no_job)
    model = next((model for model in models if _job_id(model) == identity), None)
    if model is None:
        raise _no_job(identity)
    if action == "checkpoints":
        return page(_checkpoints(model), query, 10, 100, _no_job)
    if action:
        raise unknown_url("GET", f"/v1{path}")
    return _job(model)


def training_files(provider: Provider) -> list[StoredFile]:
    """Return what the fine-tunes were trained on, as far as it is kept, the newest first."""
    return [_file(model) for model in _newest_first(provider) if model.training_file_kept]


def _newest_first(provider: Provider) -> list[Model]:
    fine_tunes = [model for model in provider.models.values() if model.base]
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
    return [
        {
            "object": "fine_tuning.job.checkpoint",
            "id": identifier("ftckpt_", model.id),
            "created_at": model.created - _TRAINING_S // EPOCHS,
            "fine_tuned_model_checkpoint": model.id,
            "fine_tuning_job_id": _job_id(model),
            "step_number": step,
            "metrics": {"step": step, "train_loss": 0.21, "train_mean_token_accuracy": 0.94},
        }
    ]


def _file(model: Model) -> StoredFile:
    name = f"{_result_of(model).split(':')[-2] or 'training'}.jsonl"
    return StoredFile(_file_id(model), name, "fine-tune", training_file(model).content, model.created - 2 * _TRAINING_S)


def _no_job(identity: str) -> ProviderError:
    return openai_error(404, f"Could not find fine tune: {identity}", code="fine_tune_not_found", param="fine_tune_id")
