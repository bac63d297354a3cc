"""OpenAI's fine-tuning jobs, checkpoints and files, as they follow from the fine-tunes that are for sale.

A job outlives its model: what was retired is gone from ``/v1/models``, and its job still tells of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.sandbox.catalogue import Model
from gateway.sandbox.provider import Provider
from gateway.sandbox.refusals import ProviderError, openai_error, out_of_range, unknown_url
from gateway.sandbox.training import EPOCHS, checkpoint_step, identifier, training_file

JOBS = "/fine_tuning/jobs"
FILES = "/files"
_TRAINING_S = 2_400
_JOBS_A_PAGE, _FILES_A_PAGE = 20, 10_000
Query = Mapping[str, Sequence[str]]


def answers_path(path: str) -> bool:
    """Tell whether a path, without the API's prefix, is one of these endpoints."""
    return any(path == root or path.startswith(f"{root}/") for root in (JOBS, FILES))


def answer(provider: Provider, path: str, query: Query) -> dict[str, Any] | bytes:
    """Answer a GET; bytes are a file's content.

    Raises:
        ProviderError: there is no such job, file or path, or a page cannot be cut like this.
    """
    root = JOBS if path.startswith(JOBS) else FILES
    identity, _, action = path.removeprefix(root).removeprefix("/").partition("/")
    if root == JOBS:
        if not identity:
            return _page([_job(model) for model in _newest_first(provider)], query, _JOBS_A_PAGE, 100, _no_job)
        model = _found(_newest_first(provider), _job_id, identity, _no_job)
        if action == "checkpoints":
            return _page(_checkpoints(model), query, 10, 100, _no_job)
        if not action:
            return _job(model)
    else:
        kept = [model for model in _newest_first(provider) if model.training_file_kept]
        if not identity:
            return _page([_file(model) for model in kept], query, _FILES_A_PAGE, _FILES_A_PAGE, _no_file)
        model = _found(kept, _file_id, identity, _no_file)
        if action == "content":
            return training_file(model).content
        if not action:
            return _file(model)
    raise unknown_url("GET", f"/v1{path}")


def _newest_first(provider: Provider) -> list[Model]:
    fine_tunes = [model for model in provider.models.values() if model.base]
    return sorted(fine_tunes, key=lambda model: -model.created)


def _found(models: list[Model], id_of: Any, identity: str, refusal: Any) -> Model:
    found = next((model for model in models if id_of(model) == identity), None)
    if found is None:
        raise refusal(identity)
    return found


def _page(rows: list[dict[str, Any]], query: Query, usual: int, most: int, refusal: Any) -> dict[str, Any]:
    """Return the rows behind ``after``, at most ``limit`` of them."""
    written = query.get("limit", [str(usual)])[0]
    if not (written.isascii() and written.isdigit()):
        raise openai_error(400, f"Invalid 'limit': expected an integer, but got {written!r}.", param="limit")
    limit = int(written)
    if not 1 <= limit <= most:
        raise out_of_range("limit", "integer", 1 if limit < 1 else most, limit)
    start = 0
    if after := query.get("after", [""])[0]:
        start = next((place for place, row in enumerate(rows, 1) if row["id"] == after), 0)
        if not start:
            raise refusal(after)
    page = rows[start : start + limit]
    return {
        "object": "list",
        "data": page,
        "has_more": start + limit < len(rows),
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }


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


def _file(model: Model) -> dict[str, Any]:
    return {
        "object": "file",
        "id": _file_id(model),
        "purpose": "fine-tune",
        "filename": f"{_result_of(model).split(':')[-2] or 'training'}.jsonl",
        "bytes": len(training_file(model).content),
        "created_at": model.created - 2 * _TRAINING_S,
        "expires_at": None,
        "status": "processed",
        "status_details": None,
    }


def _no_job(identity: str) -> ProviderError:
    return openai_error(404, f"Could not find fine tune: {identity}", code="fine_tune_not_found", param="fine_tune_id")


def _no_file(identity: str) -> ProviderError:
    return openai_error(404, f"No such File object: {identity}", param="id")
