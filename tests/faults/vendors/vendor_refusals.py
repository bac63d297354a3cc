"""How each vendor says no, in its own words, and what the gateway must make of it."""

from dataclasses import dataclass

import anthropic_format as anthropic
import bedrock_format as bedrock
import gemini_format as gemini
from fake_provider import Script

QUOTED = "sk-vendor-0123456789abcdef"
"""The key, as some vendors quote it when they refuse it."""


@dataclass(frozen=True)
class Refusal:
    """One answer that is no success; ``seen`` is how the ledger names it."""

    kind: str
    what: str
    script: Script
    seen: str
    said: str = ""
    """The vendor's words, where they are the caller's to read."""

    @property
    def id(self) -> str:
        return f"{self.kind}: {self.what}"


MOVED_ON = (
    Refusal(
        "anthropic",
        "the model is gone",
        anthropic.refuses(404, "not_found_error", f"model: {anthropic.MODEL}"),
        "model_gone",
    ),
    Refusal(
        "anthropic",
        "the key may not",
        anthropic.refuses(
            403, "permission_error", "Your API key does not have permission to use the specified resource."
        ),
        "authentication",
    ),
    Refusal("anthropic", "overloaded", anthropic.refuses(529, "overloaded_error", "Overloaded"), "overloaded"),
    Refusal("anthropic", "it broke", anthropic.refuses(500, "api_error", "Internal server error"), "server_error"),
    Refusal(
        "gemini",
        "the model is gone, or never was",
        gemini.refuses(
            404,
            "NOT_FOUND",
            f"models/{gemini.MODEL} is not found for API version v1beta, or is not supported for generateContent. "
            "Call ListModels to see the list of available models and their supported methods.",
        ),
        "model_ambiguous",
    ),
    Refusal(
        "gemini",
        "the tuned model is not ours, or not there",
        gemini.refuses(
            403,
            "PERMISSION_DENIED",
            "You do not have permission to access tuned model tunedModels/abc or it may not exist.",
        ),
        "model_ambiguous",
    ),
    Refusal(
        "gemini",
        "overloaded",
        gemini.refuses(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
        "overloaded",
    ),
    Refusal("gemini", "it broke", gemini.refuses(500, "INTERNAL", "An internal error has occurred."), "server_error"),
    Refusal(
        "bedrock",
        "the model is gone",
        bedrock.refuses(
            404,
            "ResourceNotFoundException",
            "This model version has reached the end of its life. Please refer to the AWS documentation for more "
            "details.",
        ),
        "model_gone",
    ),
    Refusal(
        "bedrock",
        "no access to the model",
        bedrock.refuses(
            403, "AccessDeniedException", "You don't have access to the model with the specified model ID."
        ),
        "model_no_access",
    ),
    Refusal(
        "bedrock",
        "the service is away",
        bedrock.refuses(503, "ServiceUnavailableException", "The service is temporarily unavailable."),
        "overloaded",
    ),
    Refusal(
        "bedrock", "it broke", bedrock.refuses(500, "InternalServerException", "Internal failure."), "server_error"
    ),
)
"""The fallback answers."""

KEY_REFUSED = (
    Refusal(
        "anthropic",
        "the key is wrong",
        anthropic.refuses(401, "authentication_error", f"invalid x-api-key: {QUOTED}"),
        "authentication",
    ),
    Refusal(
        "gemini",
        "the key is wrong",
        gemini.refuses(
            400,
            "INVALID_ARGUMENT",
            f"API key not valid: {QUOTED}. Please pass a valid API key.",
            gemini.error_info("API_KEY_INVALID"),
        ),
        "authentication",
    ),
    Refusal(
        "bedrock",
        "the key is wrong",
        bedrock.refuses(
            403, "UnrecognizedClientException", f"The security token {QUOTED} included in the request is invalid."
        ),
        "authentication",
    ),
)
"""Nobody outside may read what the vendor said."""

LATER = (
    Refusal(
        "anthropic",
        "its rate limit",
        anthropic.refuses(
            429,
            "rate_limit_error",
            "This request would exceed your organization's rate limit of 50 requests per minute.",
            {"retry-after": "17"},
        ),
        "rate_limited",
    ),
    Refusal(
        "gemini",
        "its rate limit",
        gemini.refuses(
            429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", gemini.retry_info(17)
        ),
        "rate_limited",
    ),
    Refusal(
        "bedrock",
        "its rate limit",
        bedrock.refuses(
            429,
            "ThrottlingException",
            "Too many requests, please wait before trying again.",
            {"retry-after": "17"},
        ),
        "rate_limited",
    ),
)
"""The caller is told when to come back: in 17 seconds."""


def _the_callers(kind: str, what: str, seen: str, said: str) -> Refusal:
    script = {
        "anthropic": anthropic.refuses(400, "invalid_request_error", said),
        "gemini": gemini.refuses(400, "INVALID_ARGUMENT", said),
        "bedrock": bedrock.refuses(400, "ValidationException", said),
    }[kind]
    return Refusal(kind, what, script, seen, said)


THE_CALLERS = (
    _the_callers("anthropic", "too long", "context_too_long", "prompt is too long: 208310 tokens > 200000 maximum"),
    _the_callers("anthropic", "a bad request", "bad_request", "messages.0.content.0.text.text: Field required"),
    _the_callers(
        "gemini",
        "too long",
        "context_too_long",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    ),
    _the_callers(
        "gemini", "a bad request", "bad_request", "* GenerateContentRequest.contents: contents is not specified"
    ),
    _the_callers(
        "bedrock",
        "too long",
        "context_too_long",
        "The model returned the following errors: prompt is too long: 208310 tokens > 200000 maximum",
    ),
    _the_callers(
        "bedrock",
        "a bad request",
        "bad_request",
        "1 validation error detected: Value at 'inferenceConfig.temperature' failed to satisfy constraint: Member "
        "must have value less than or equal to 1",
    ),
)
"""The vendor's own words reach the caller."""
