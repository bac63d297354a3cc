"""Errors of the sandbox's endpoints, word for word as OpenAI's API phrases them, and some of Mistral's."""

import re
from collections.abc import Mapping, Sequence
from typing import Any


class ProviderError(Exception):
    """An answer that is an error: a status, a body in whatever shape the provider uses, and headers."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


def openai_error(
    status: int,
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    kind: str = "invalid_request_error",
    headers: Mapping[str, str] | None = None,
) -> ProviderError:
    """Return an error in OpenAI's shape; ``kind`` is its ``type``."""
    return ProviderError(status, {"error": {"message": message, "type": kind, "param": param, "code": code}}, headers)


def invalid_json() -> ProviderError:
    """Return the answer to a body that is not a JSON object."""
    return openai_error(
        400,
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
        "correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)",
    )


def missing_parameter(param: str) -> ProviderError:
    """Return the answer to a request without a field that it needs."""
    return openai_error(400, f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param)


def invalid_type(param: str, expected: str, got: object) -> ProviderError:
    """Return the answer to a field of the wrong type."""
    return openai_error(
        400,
        f"Invalid type for '{param}': expected {expected}, but got {_type_name(got)} instead.",
        code="invalid_type",
        param=param,
    )


def invalid_value(param: str, message: str) -> ProviderError:
    """Return the answer to a field whose value is not one of those allowed."""
    return openai_error(400, message, code="invalid_value", param=param)


def check_choices(body: Mapping[str, Any], choices: Mapping[str, Sequence[str]]) -> None:
    """Let fields through that have one of their values.

    Raises:
        ProviderError: a 400 that names the first that has not.

    """
    for param, allowed in choices.items():
        if body.get(param) is not None and body[param] not in allowed:
            raise invalid_value(param, f"Invalid value: '{body[param]}'. Supported values are: {_listed(allowed)}.")


def invalid_input() -> ProviderError:
    """Return the answer to an ``input`` that is nothing to work on."""
    return openai_error(
        400, "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
    )


def wrong_model(model_id: str) -> ProviderError:
    """Return the answer to a model that is made for another endpoint."""
    return openai_error(
        400, f"Invalid value for 'model' = {model_id}. Please check the OpenAI documentation and try again."
    )


def unsupported_content_type(given: str, expected: str) -> ProviderError:
    """Return the answer to a body that is written as another one."""
    return openai_error(
        400,
        f"Unsupported content type: '{given}'. This API method only accepts '{expected}' requests, but you specified "
        f"the header 'Content-Type: {given}'. Please try again with a supported content type.",
        code="unsupported_content_type",
    )


def unsupported_mimetype(param: str, given: str, allowed: Sequence[str]) -> ProviderError:
    """Return the answer to a file of another type."""
    return openai_error(
        400,
        f"Invalid file '{param}': unsupported mimetype ('{given}'). Supported file formats are {_listed(allowed)}.",
        code="unsupported_file_mimetype",
        param=param,
    )


def out_of_range(param: str, kind: str, bound: float, got: float) -> ProviderError:
    """Return the answer to a number beyond ``bound``; ``kind`` is ``integer`` or ``decimal``."""
    side, sign, suffix = ("below minimum", ">=", "below_min") if got < bound else ("above maximum", "<=", "above_max")
    return openai_error(
        400,
        f"Invalid '{param}': {kind} {side} value. Expected a value {sign} {bound:g}, but got {got:g} instead.",
        code=f"{kind}_{suffix}_value",
        param=param,
    )


def unsupported_parameter(param: str, instead: str | None) -> ProviderError:
    """Return the answer to a parameter that this model does not take."""
    advice = f" Use '{instead}' instead." if instead else ""
    return openai_error(
        400,
        f"Unsupported parameter: '{param}' is not supported with this model.{advice}",
        code="unsupported_parameter",
        param=param,
    )


def unsupported_value(param: str, value: object, default: object) -> ProviderError:
    """Return the answer to a value that this model does not take, where it has but one."""
    return openai_error(
        400,
        f"Unsupported value: '{param}' does not support {value} with this model. Only the default ({default}) value is "
        "supported.",
        code="unsupported_value",
        param=param,
    )


def unsupported_format(kind: str, allowed: Sequence[str]) -> ProviderError:
    """Return the answer to a format that this model does not write."""
    return openai_error(
        400,
        f"Unsupported value: 'response_format' does not support '{kind}' with this model. Supported values are: "
        f"{_listed(allowed)}.",
        code="unsupported_value",
        param="response_format",
    )


def incompatible_format(kind: str, model_id: str) -> ProviderError:
    """Return the answer to a format that only older models write."""
    return openai_error(
        400,
        f"response_format '{kind}' is not compatible with model '{model_id}'. Use 'json' or 'text' instead.",
        code="unsupported_value",
        param="response_format",
    )


def unknown_parameter(param: str) -> ProviderError:
    """Return the answer to a field that the API does not know, where it looks at all of them."""
    return openai_error(400, f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)


def unrecognized_argument(param: str) -> ProviderError:
    """Return the answer to a parameter of other vendors, as chat completions word it."""
    return openai_error(400, f"Unrecognized request argument supplied: {param}")


def empty_string(param: str) -> ProviderError:
    """Return the answer to a text without a letter."""
    return openai_error(
        400,
        f"Invalid '{param}': empty string. Expected a string with minimum length 1, but got an empty string instead.",
        code="empty_string",
        param=param,
    )


def string_too_long(param: str, most: int, length: int) -> ProviderError:
    """Return the answer to a text beyond its limit."""
    return openai_error(
        400,
        f"Invalid '{param}': string too long. Expected a string with maximum length {most}, but got a string with "
        f"length {length} instead.",
        code="string_above_max_length",
        param=param,
    )


def mistral_error(status: int, message: Any, *, kind: str, code: str | None) -> ProviderError:
    """Return an error in Mistral's shape."""
    return ProviderError(status, {"object": "error", "message": message, "type": kind, "param": None, "code": code})


def mistral_extra_field(param: str) -> ProviderError:
    """Return Mistral's answer to a field that it does not know."""
    where = ["body", *(int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", param))]
    detail = [{"type": "extra_forbidden", "loc": where, "msg": "Extra inputs are not permitted"}]
    return mistral_error(422, {"detail": detail}, kind="invalid_request_error", code=None)


def context_too_long(context_window: int, input_tokens: int) -> ProviderError:
    """Return the answer to a prompt that does not fit."""
    return openai_error(
        400,
        f"This model's maximum context length is {context_window} tokens. However, your messages resulted in "
        f"{input_tokens} tokens. Please reduce the length of the messages.",
        code="context_length_exceeded",
        param="messages",
    )


def prompt_too_long(context_window: int, input_tokens: int, output_tokens: int) -> ProviderError:
    """Return the answer of the endpoints that take texts instead of messages to one that does not fit."""
    return openai_error(
        400,
        f"This model's maximum context length is {context_window} tokens, however you requested "
        f"{input_tokens + output_tokens} tokens ({input_tokens} in your prompt; {output_tokens} for the completion). "
        "Please reduce your prompt; or completion length.",
    )


def body_too_large() -> ProviderError:
    """Return the answer to a body beyond the limit."""
    return openai_error(413, "Request body is too large.", code="request_too_large")


def rate_limited(model_id: str) -> ProviderError:
    """Return a 429 that says when to come back."""
    return openai_error(
        429,
        f"Rate limit reached for {model_id} in organization org-sandbox on requests per min (RPM): Limit 500, "
        "Used 500, Requested 1. Please try again in 2s. Visit https://platform.openai.com/account/rate-limits to "
        "learn more.",
        code="rate_limit_exceeded",
        kind="requests",
        headers={"retry-after": "2", "retry-after-ms": "2000"},
    )


def server_error() -> ProviderError:
    """Return a 500."""
    return openai_error(
        500, "The server had an error while processing your request. Sorry about that!", kind="server_error"
    )


def overloaded() -> ProviderError:
    """Return a 503."""
    return openai_error(
        503,
        "The engine is currently overloaded, please try again later.",
        kind="service_unavailable_error",
        code="service_unavailable",
    )


def unknown_url(method: str, path: str) -> ProviderError:
    """Return the answer to a path where nothing is."""
    return openai_error(
        404,
        f"Unknown request URL: {method} {path}. Please check the URL for typos, or see the docs at "
        "https://platform.openai.com/docs/api-reference/.",
        code="unknown_url",
    )


def method_not_allowed(method: str, path: str) -> ProviderError:
    """Return the answer to a path that takes another method."""
    return openai_error(
        405,
        f"Not allowed to {method} on {path}. (HINT: Perhaps you meant to make your HTTP request with a different HTTP "
        "method?)",
    )


def _listed(allowed: Sequence[str]) -> str:
    *most, last = (f"'{value}'" for value in allowed)
    return f"{', '.join(most)}, and {last}" if len(most) > 1 else " and ".join((*most, last))


def _type_name(value: object) -> str:
    names = {
        bool: "a boolean",
        int: "an integer",
        float: "a decimal",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(value), "null" if value is None else "a file")
