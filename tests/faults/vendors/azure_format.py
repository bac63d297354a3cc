"""Azure OpenAI's two surfaces and its own words within OpenAI's format, as a server answers them.

Documented at https://learn.microsoft.com/azure/ai-foundry/openai/reference, …/openai/concepts/content-filter,
…/openai/how-to/quota and …/openai/api-version-lifecycle.
"""

from collections.abc import Mapping
from typing import Any

from fake_provider import DONE, Script, completion, says, streams

VERSION = "2024-10-21"
MODEL = "gpt-4.1-mini-2025-04-14"
"""What a deployment's answers name: the model behind it."""
SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
PROMPT_RESULTS = [{"prompt_index": 0, "content_filter_results": SAFE}]
USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}


def dated_path(deployment: str, endpoint: str = "/chat/completions") -> str:
    return f"/openai/deployments/{deployment}{endpoint}?api-version={VERSION}"


def answers(**changes: Any) -> Script:
    whole = completion("Hello there.", model=MODEL, usage=USAGE, prompt_filter_results=PROMPT_RESULTS, **changes)
    whole["choices"][0]["content_filter_results"] = SAFE
    return says(whole, headers={"x-ms-region": "West Europe", "apim-request-id": "4c0f"})


def _chunk(choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": MODEL,
        "choices": choices,
    } | more


def _said(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": dict(delta), "finish_reason": finish, "content_filter_results": {}, "logprobs": None}


ABOUT_THE_PROMPT = {
    "id": "",
    "object": "",
    "created": 0,
    "model": "",
    "choices": [],
    "prompt_filter_results": PROMPT_RESULTS,
}
"""What comes before anything is said."""
STREAM = streams(
    ABOUT_THE_PROMPT,
    _chunk([_said({"role": "assistant", "content": ""})]),
    _chunk([_said({"content": "Hello"})]),
    _chunk([_said({"content": " there."})]),
    _chunk([_said({}, "stop")]),
    _chunk([], usage=USAGE),
    DONE,
)
STREAM_FILTERED = streams(
    ABOUT_THE_PROMPT,
    _chunk([_said({"content": "Hello"})]),
    _chunk(
        [
            _said({}, "content_filter")
            | {"content_filter_results": SAFE | {"violence": {"filtered": True, "severity": "medium"}}}
        ]
    ),
    DONE,
)


def refuses(http_status: int, code: str, text: str, headers: Mapping[str, str] | None = None, **more: Any) -> Script:
    """Azure's own errors have a code and a message, and nothing else."""
    return says({"error": {"code": code, "message": text} | more}, http_status, headers or {})


NOT_DEPLOYED = refuses(
    404,
    "DeploymentNotFound",
    "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, "
    "please wait a moment and try again.",
)
DEPRECATED = refuses(
    410,
    "ModelDeprecated",
    "The model 'gpt-4.1-mini, Version:2025-04-14' has been deprecated and is no longer available.",
)
WRONG_PATH = refuses(404, "404", "Resource not found")
WRONG_KEY = refuses(
    401,
    "401",
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an "
    "active subscription and use a correct regional API endpoint for your resource.",
)
NOT_ALLOWED = refuses(
    401,
    "PermissionDenied",
    "The principal `8f0c` lacks the required data action `Microsoft.CognitiveServices/accounts/OpenAI/deployments/"
    "chat/completions/action` to perform `POST /openai/deployments/{deployment-id}/chat/completions` operation.",
)
BUSY = refuses(
    429,
    "429",
    "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded token "
    "rate limit of your current OpenAI S0 pricing tier. Please retry after 17 seconds.",
    {"retry-after": "17"},
)
TOO_LONG = refuses(
    400,
    "context_length_exceeded",
    "This model's maximum context length is 128000 tokens. However, your messages resulted in 140000 tokens. Please "
    "reduce the length of the messages.",
    type="invalid_request_error",
    param="messages",
)
FILTERED = refuses(
    400,
    "content_filter",
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify "
    "your prompt and retry.",
    type=None,
    param="prompt",
    status=400,
    innererror={
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": SAFE | {"violence": {"filtered": True, "severity": "medium"}},
    },
)
