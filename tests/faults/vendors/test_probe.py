import json
import pytest
import anthropic_format as A, gemini_format as G, bedrock_format as B
from fake_provider import *
import vendor_server as V

T = {
    "anthropic": {
        "gone": A.refuses(404, "not_found_error", "model: claude-3-opus-20240229"),
        "no_access": A.refuses(
            403, "permission_error", "Your API key does not have permission to use the specified resource."
        ),
        "rate": A.refuses(
            429,
            "rate_limit_error",
            "This request would exceed your organization's rate limit of 50 requests per minute.",
            {"retry-after": "17"},
        ),
        "over": A.refuses(529, "overloaded_error", "Overloaded"),
        "ctx": A.refuses(400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
        "bad": A.refuses(400, "invalid_request_error", "messages.0.content.0.text.text: Field required"),
        "401": A.refuses(401, "authentication_error", "invalid x-api-key"),
        "balance": A.refuses(
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.",
        ),
        "before": A.streamed(A.error_event()),
        "before2": A.streamed(A.begun(), A.PING, A.error_event()),
        "after": A.streamed(A.begun(), A.text_block("Hello")[0], A.text_block("Hello")[1], A.error_event()),
        "cut": A.streamed(A.begun(), A.text_block("Hello")[0], A.text_block("Hello")[1]),
        "reset": A.streamed(A.begun(), A.text_block("Hello")[0], A.text_block("Hello")[1], then="reset"),
        "empty": A.streamed(),
    },
    "gemini": {
        "gone": G.refuses(
            404,
            "NOT_FOUND",
            "models/gemini-2.5-flash is not found for API version v1beta, or is not supported for generateContent. Call ListModels to see the list of available models and their supported methods.",
        ),
        "no_access": G.refuses(
            403, "PERMISSION_DENIED", "You do not have permission to access tuned model tunedModels/abc."
        ),
        "rate": G.refuses(
            429,
            "RESOURCE_EXHAUSTED",
            "You exceeded your current quota, please check your plan and billing details. Please retry in 17s.",
            G.retry_info(17),
        ),
        "over": G.refuses(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
        "ctx": G.refuses(
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        ),
        "bad": G.refuses(400, "INVALID_ARGUMENT", "* GenerateContentRequest.contents: contents is not specified"),
        "401": G.refuses(
            400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", G.error_info("API_KEY_INVALID")
        ),
        "before": G.streamed(G.error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")),
        "after": G.streamed(
            G.HALVES[0], G.error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")
        ),
        "cut": G.streamed(G.HALVES[0]),
        "reset": G.streamed(G.HALVES[0], then="reset"),
        "empty": G.streamed(),
        "blocked": says(
            {
                "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
                "usageMetadata": {"promptTokenCount": 10, "totalTokenCount": 10},
                "modelVersion": "gemini-2.5-flash",
            }
        ),
    },
    "bedrock": {
        "gone": B.refuses(
            404,
            "ResourceNotFoundException",
            "This model version has reached the end of its life. Please refer to the AWS documentation for more details.",
        ),
        "gone2": B.refuses(400, "ValidationException", "The provided model identifier is invalid."),
        "no_access": B.refuses(
            403, "AccessDeniedException", "You don't have access to the model with the specified model ID."
        ),
        "rate": B.refuses(
            429, "ThrottlingException", "Too many requests, please wait before trying again.", {"retry-after": "17"}
        ),
        "over": B.refuses(503, "ServiceUnavailableException", "The service is temporarily unavailable."),
        "ctx": B.refuses(
            400,
            "ValidationException",
            "The model returned the following errors: prompt is too long: 208310 tokens > 200000 maximum",
        ),
        "bad": B.refuses(
            400,
            "ValidationException",
            "1 validation error detected: Value at 'inferenceConfig.temperature' failed to satisfy constraint",
        ),
        "401": B.refuses(403, "UnrecognizedClientException", "The security token included in the request is invalid."),
        "before": B.streamed(B.exception("throttlingException", "Too many requests.")),
        "before2": B.streamed(B.BEGUN, B.exception("modelStreamErrorException", "It broke.")),
        "after": B.streamed(B.BEGUN, B.text_block("Hello")[0], B.exception("modelStreamErrorException", "It broke.")),
        "cut": B.streamed(B.BEGUN, B.text_block("Hello")[0]),
        "reset": B.streamed(B.BEGUN, B.text_block("Hello")[0], then="reset"),
        "torn": B.streamed(B.BEGUN, B.text_block("Hello")[0], B.text_block("World")[0][:-7]),
        "badcrc": B.streamed(B.BEGUN, B.text_block("Hello")[0], B.text_block("World")[0][:-1] + b"x"),
        "empty": B.streamed(),
    },
}


@pytest.mark.parametrize("fb", [True, False])
@pytest.mark.parametrize(("kind", "what"), [(k, w) for k in T for w in T[k]])
async def test_probe(serve_vendor, request, kind, what, provider, fb):
    stream = what in ("before", "before2", "after", "cut", "reset", "empty", "torn", "badcrc")
    g, server = await serve_vendor(kind, **({} if fb else {"fallbacks": []}))
    server.usual = T[kind][what]
    a = await g.chat(stream=stream)
    rows = await g.rows_of_callers(2 if a.headers.get("x-gateway-served-by") == "fallback" else 1)
    print(
        "\n@@",
        kind,
        what,
        "FB" if fb else "alone",
        a.status_code,
        {k: v for k, v in a.headers.items() if k in ("x-gateway-served-by", "x-gateway-reason", "retry-after")},
        a.text[-300:].replace("\n", "|") if not fb else "",
        [
            (r.failure, r.status, r.outcome, r.usage_source, r.input_tokens, r.output_tokens, r.cost_nanousd)
            for r in rows
        ],
    )
