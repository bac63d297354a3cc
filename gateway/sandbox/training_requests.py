"""What a request for a job says, checked as OpenAI checks it: nothing is looked at in a closed organisation."""

import re
from collections.abc import Mapping
from typing import Any

from gateway.sandbox.catalogue import Model
from gateway.sandbox.endpoint import load_body
from gateway.sandbox.files import StoredFile
from gateway.sandbox.provider import Provider
from gateway.sandbox.refusals import (
    ProviderError,
    check_choices,
    invalid_type,
    missing_parameter,
    openai_error,
    out_of_range,
    string_too_long,
)
from gateway.sandbox.training import EPOCHS
from gateway.sandbox.training_jobs import Asked, TrainingJob

_LONGEST_SUFFIX = 64
# The least and the most, and what "auto" comes to.
_HYPERPARAMETERS: Mapping[str, tuple[type[int | float], float, float, float]] = {
    "n_epochs": (int, 1, 50, EPOCHS),
    "batch_size": (int, 1, 256, 1),
    "learning_rate_multiplier": (float, 0, 10_000, 1.8),
    "beta": (float, 0, 2, 0.1),
}
_OF_METHOD = {
    "supervised": ("n_epochs", "batch_size", "learning_rate_multiplier"),
    "dpo": ("n_epochs", "batch_size", "learning_rate_multiplier", "beta"),
}


def create(provider: Provider, raw: bytes) -> TrainingJob:
    """Begin the job that a body asks for.

    Raises:
        ProviderError: 403: the organisation is closed; 400: what is asked for cannot be done.
    """
    body = load_body(raw)
    if provider.training.closed:
        raise closed()
    for name in ("model", "training_file"):
        if body.get(name) is None:
            raise missing_parameter(name)
        _check_text(body, name)
    base, method = _base(provider, body["model"]), _method(body)
    files = {"training_file": _file(provider, body, "training_file")}
    if body.get("validation_file") is not None:
        _check_text(body, "validation_file")
        files["validation_file"] = _file(provider, body, "validation_file")
    asked = Asked(
        base=base,
        method="dpo" if method == "dpo" else "supervised",
        hyperparameters=_hyperparameters(body, method),
        training_file=body["training_file"],
        validation_file=body.get("validation_file"),
        suffix=_suffix(body),
        seed=_seed(body),
        metadata=_metadata(body),
    )
    return provider.training.create(asked, {name: file.content for name, file in files.items()})


def closed() -> ProviderError:
    """Return the answer to an organisation that may not train any more."""
    return openai_error(
        403,
        "Creating new fine-tuning jobs is not available to your organization. Fine-tuned models that exist can be "
        "used until their base models are shut down.",
        code="training_not_available",
    )


def _base(provider: Provider, model_id: str) -> Model:
    model = provider.models.get(model_id)
    if model is None or model.training_price is None or model.retired_on(provider.today()) is not None:
        said = f"Model {model_id} is not available for fine-tuning or does not exist."
        raise openai_error(400, said, code="model_not_available")
    return model


def _file(provider: Provider, body: Mapping[str, Any], param: str) -> StoredFile:
    file = provider.files.find(body[param])
    if file is None:
        raise openai_error(400, f"invalid {param}: {body[param]}", param=param)
    if file.purpose != "fine-tune":
        said = f"invalid {param}: {file.id} has purpose '{file.purpose}', expected 'fine-tune'"
        raise openai_error(400, said, param=param)
    return file


def _method(body: Mapping[str, Any]) -> str:
    method = body.get("method")
    if method is None:
        return "supervised"
    if not isinstance(method, dict):
        raise invalid_type("method", "an object", method)
    if method.get("type") is None:
        raise missing_parameter("method.type")
    check_choices({"method.type": method["type"]}, {"method.type": tuple(_OF_METHOD)})
    return str(method["type"])


def _hyperparameters(body: Mapping[str, Any], method: str) -> dict[str, Any]:
    held = (body.get("method") or {}).get(method) or {}
    if not isinstance(held, dict):
        raise invalid_type(f"method.{method}", "an object", held)
    # The older field is read where the newer one says nothing.
    given = held.get("hyperparameters") or body.get("hyperparameters") or {}
    if not isinstance(given, dict):
        raise invalid_type("hyperparameters", "an object", given)
    return {name: _hyperparameter(name, given.get(name, "auto")) for name in _OF_METHOD[method]}


def _hyperparameter(name: str, value: Any) -> float:
    kind, least, most, usual = _HYPERPARAMETERS[name]
    if value in (None, "auto"):
        return usual
    accepted, words = ((int,), "integer") if kind is int else ((int, float), "decimal")
    if isinstance(value, bool) or not isinstance(value, accepted):
        raise invalid_type(f"hyperparameters.{name}", f"one of 'auto' or a {words}", value)
    if not least <= value <= most:
        raise out_of_range(f"hyperparameters.{name}", words, least if value < least else most, value)
    return value


def _suffix(body: Mapping[str, Any]) -> str | None:
    suffix = body.get("suffix")
    if suffix is None:
        return None
    _check_text(body, "suffix")
    if len(suffix) > _LONGEST_SUFFIX:
        raise string_too_long("suffix", _LONGEST_SUFFIX, len(suffix))
    return re.sub(r"[^a-z0-9-]+", "-", suffix.lower()).strip("-") or None


def _seed(body: Mapping[str, Any]) -> int:
    seed = body.get("seed")
    if isinstance(seed, bool) or not isinstance(seed, (int, type(None))):
        raise invalid_type("seed", "an integer", seed)
    return seed or 0


def _metadata(body: Mapping[str, Any]) -> Mapping[str, str] | None:
    metadata = body.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise invalid_type("metadata", "an object", metadata)
    return metadata


def _check_text(body: Mapping[str, Any], name: str) -> None:
    if not isinstance(body[name], str):
        raise invalid_type(name, "a string", body[name])
