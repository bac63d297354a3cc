"""What each provider answers once a model is gone: status, headers and body, as collected from public reports.

The texts are the providers' own, with ``{model}`` where they name the model, ``{date}`` where they give the day of
its end, and ``{id}`` where they number the request. Some say plainly that the model is gone, some would say the same
to a caller who may not use it, and ``no_access`` is that case itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from gateway.sandbox.refusals import ProviderError


@dataclass(frozen=True, slots=True)
class RetirementStyle:
    """One provider's answer."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    array_when_streamed: bool = False
    """Gemini wraps the error in an array when a stream was asked for."""


def _openai(message: str, *, param: str | None = None, code: str | None = "model_not_found") -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


_NO_SUCH_MODEL = "The model `{model}` does not exist or you do not have access to it."

STYLES: Mapping[str, RetirementStyle] = {
    "openai": RetirementStyle(404, _openai(_NO_SUCH_MODEL)),
    "openai_deprecated": RetirementStyle(
        404,
        _openai(
            "The model `{model}` has been deprecated, learn more here: https://platform.openai.com/docs/deprecations"
        ),
    ),
    "openai_responses": RetirementStyle(400, _openai("The requested model '{model}' does not exist.", param="model")),
    "no_access": RetirementStyle(403, _openai("Project `proj_sandbox` does not have access to model `{model}`")),
    "azure": RetirementStyle(
        404,
        {
            "error": {
                "code": "DeploymentNotFound",
                "message": "The API deployment for this resource does not exist. If you created the deployment within "
                "the last 5 minutes, please wait a moment and try again.",
            }
        },
    ),
    "azure_foundry": RetirementStyle(
        404,
        {
            "error": {
                "code": "unknown_model",
                "message": "Unknown model: {model}",
                "details": "Unknown model: {model}",
            }
        },
    ),
    "groq": RetirementStyle(
        400,
        {
            "error": {
                "message": "The model `{model}` has been decommissioned and is no longer supported. Please refer to "
                "https://console.groq.com/docs/deprecations for a recommendation on which model to use instead.",
                "type": "invalid_request_error",
                "code": "model_decommissioned",
            }
        },
    ),
    "groq_2026": RetirementStyle(404, _openai(_NO_SUCH_MODEL)),
    "vllm": RetirementStyle(
        404,
        {
            "error": {
                "message": "The model `{model}` does not exist.",
                "type": "NotFoundError",
                "param": "model",
                "code": 404,
            }
        },
    ),
    "mistral": RetirementStyle(
        400,
        {
            "object": "error",
            "message": "Invalid model: {model}",
            "type": "invalid_model",
            "param": None,
            "code": "1500",
        },
    ),
    "deepseek": RetirementStyle(400, _openai("Model Not Exist", code="invalid_request_error")),
    "nim": RetirementStyle(
        410,
        {
            "type": "about:blank",
            "title": "Gone",
            "status": 410,
            "detail": "The model '{model}' has reached its end of life on {date}T00:00:00Z and is no longer available.",
        },
        {"content-type": "application/problem+json"},
    ),
    "together": RetirementStyle(
        400,
        {
            "id": "{id}",
            **_openai(
                "Unable to access non-serverless model {model}. Please visit https://api.together.ai/models/{model} "
                "to create and start a new dedicated endpoint for the model.",
                code="model_not_available",
            ),
        },
    ),
    "fireworks": RetirementStyle(
        404,
        {
            "error": {
                "message": "Model not found, inaccessible, and/or not deployed",
                "param": "model",
                "code": "NOT_FOUND",
            }
        },
    ),
    "openrouter": RetirementStyle(
        404, {"error": {"message": "No endpoints found for {model}.", "code": 404}, "user_id": "user_sandbox"}
    ),
    "openrouter_unknown": RetirementStyle(
        400, {"error": {"message": "{model} is not a valid model ID", "code": 400}, "user_id": "user_sandbox"}
    ),
    "perplexity": RetirementStyle(
        400,
        {
            "error": {
                "message": "Invalid model '{model}'. Permitted models can be found in the documentation at "
                "https://docs.perplexity.ai/docs/getting-started/models.",
                "type": "invalid_model",
                "code": 400,
            }
        },
    ),
    "databricks": RetirementStyle(
        404,
        {
            "error_code": "RESOURCE_DOES_NOT_EXIST",
            "message": "Endpoint with name '{model}' does not exist.",
            "details": [{"@type": "type.googleapis.com/google.rpc.RequestInfo"}],
        },
    ),
    "bedrock": RetirementStyle(
        404,
        {
            "__type": "ResourceNotFoundException",
            "message": "This model version has reached the end of its life. Please refer to the AWS documentation for "
            "more details.",
        },
        {"x-amzn-errortype": "ResourceNotFoundException"},
    ),
    "gemini": RetirementStyle(
        404,
        {
            "error": {
                "code": 404,
                "message": "models/{model} is not found for API version v1beta, or is not supported for "
                "generateContent. Call ListModels to see the list of available models and their supported methods.",
                "status": "NOT_FOUND",
            }
        },
        array_when_streamed=True,
    ),
    "anthropic": RetirementStyle(
        404,
        {"type": "error", "error": {"type": "not_found_error", "message": "model: {model}"}, "request_id": "{id}"},
    ),
    "cohere": RetirementStyle(
        404,
        {
            "id": "{id}",
            "message": "model '{model}' was removed on {long_date}. See https://docs.cohere.com/docs/models#command "
            "for a list of models you can use instead.",
        },
    ),
    "ollama": RetirementStyle(
        404,
        {"error": {"message": "model '{model}' not found", "type": "not_found_error", "param": None, "code": None}},
    ),
    "sglang": RetirementStyle(
        400,
        {
            "object": "error",
            "message": "Got LoRA adapter that has never been loaded: {model}",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
    ),
    "llama.cpp": RetirementStyle(
        400, {"error": {"code": 400, "message": "model '{model}' not found", "type": "invalid_request_error"}}
    ),
    "lmstudio": RetirementStyle(
        400,
        {"error": "No models loaded. Please load a model in the developer page or use the 'lms load' command."},
    ),
}


def retirement_error(style: str, model_id: str, ended: date, request_id: str, *, streamed: bool) -> ProviderError:
    """Return what the provider named by ``style`` answers to a call of a model that ended on the day ``ended``."""
    chosen = STYLES[style]
    values = {
        "{model}": model_id,
        "{date}": ended.isoformat(),
        "{long_date}": f"{ended:%B} {ended.day}, {ended.year}",
        "{id}": request_id,
    }
    body = _filled(chosen.body, values)
    return ProviderError(chosen.status, [body] if streamed and chosen.array_when_streamed else body, chosen.headers)


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for name, replacement in values.items():
            value = value.replace(name, replacement)
        return value
    if isinstance(value, dict):
        return {key: _filled(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, values) for item in value]
    return value
