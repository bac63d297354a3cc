"""What a provider answered, found again behind the exceptions that litellm made of it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from litellm_errors import (
    Answer,
    AnthropicError,
    APIConnectionError,
    HTTPStatusError,
    LitellmError,
    Timeout,
    UnreadAnswer,
    UnsupportedParamsError,
    chained,
)

from gateway.errors import InvalidRequest
from gateway.providers.litellm_failures import MAX_BODY_CHARS, CallFailed, error_event, read_failure, refused

SAID = '{"type":"error","error":{"type":"not_found_error","message":"model: m"}}'


def read(error: BaseException, *secrets: str) -> tuple[int, dict[str, str], Any]:
    failure = read_failure(error, secrets=secrets)
    return failure.status, dict(failure.headers), json.loads(failure.body)


@pytest.mark.parametrize(
    ("error", "status", "headers", "body"),
    [
        pytest.param(
            chained(
                HTTPStatusError(Answer(404, SAID, {"content-type": "application/json"})),
                AnthropicError(404, SAID),
                LitellmError(404, f"litellm.NotFoundError: AnthropicException - {SAID}"),
            ),
            404,
            {},
            json.loads(SAID),
            id="the innermost answer is the provider's",
        ),
        pytest.param(
            chained(AnthropicError(529, SAID), LitellmError(500, "litellm.InternalServerError: …")),
            529,
            {},
            json.loads(SAID),
            id="the status is the provider's, not the one that litellm guessed",
        ),
        pytest.param(
            chained(
                HTTPStatusError(Answer(429, SAID, {"Retry-After": "17", "Set-Cookie": "a=b", "x-request-id": "r"})),
                LitellmError(429, "litellm.RateLimitError: …"),
            ),
            429,
            {"retry-after": "17"},
            json.loads(SAID),
            id="of the headers those that say when to come back",
        ),
        pytest.param(
            chained(ConnectionResetError(), HTTPStatusError(Answer(404, SAID)), AnthropicError(404, SAID)),
            404,
            {},
            json.loads(SAID),
            id="an answer counts, though an attempt before it got none",
        ),
        pytest.param(
            HTTPStatusError(Answer(403, '{"message":"No."}', {"x-amzn-ErrorType": "AccessDeniedException"})),
            403,
            {"x-amzn-errortype": "AccessDeniedException"},
            {"message": "No."},
            id="and AWS's name of the error",
        ),
        pytest.param(
            chained(HTTPStatusError(UnreadAnswer(503, "")), AnthropicError(503, b"Overloaded")),
            503,
            {},
            {"error": {"type": "upstream_error", "param": None, "message": "Overloaded", "code": None}},
            id="a streamed answer that nobody read is spoken for by who did",
        ),
        pytest.param(
            HTTPStatusError(Answer(502, "<html>Bad gateway</html>")),
            502,
            {},
            {
                "error": {
                    "type": "upstream_error",
                    "param": None,
                    "message": "<html>Bad gateway</html>",
                    "code": None,
                }
            },
            id="a body that is no JSON is put into OpenAI's shape",
        ),
        pytest.param(
            AnthropicError(424, 'modelStreamErrorException {"message": "It broke."}'),
            502,
            {"x-amzn-errortype": "modelStreamErrorException"},
            {"message": "It broke."},
            id="an exception within Bedrock's stream, and not the caller's",
        ),
        pytest.param(
            AnthropicError(429, 'throttlingException {"message": "Too many."}'),
            429,
            {"x-amzn-errortype": "throttlingException"},
            {"message": "Too many."},
            id="an exception within Bedrock's stream, with its status",
        ),
    ],
)
def test_what_the_provider_answered_is_found_again(
    error: BaseException, status: int, headers: dict[str, str], body: Any
) -> None:
    assert read(error) == (status, headers, body)


@pytest.mark.parametrize(
    ("error", "status", "code", "message"),
    [
        pytest.param(
            chained(TimeoutError(), Timeout(408, "litellm.Timeout: Connection timed out")),
            504,
            "timeout",
            "The provider did not answer in time.",
            id="time ran out",
        ),
        pytest.param(
            chained(ConnectionRefusedError("[Errno 111]"), APIConnectionError(500, "litellm.APIConnectionError: …")),
            502,
            "connection_failed",
            "The connection to the provider failed.",
            id="nobody was there",
        ),
        pytest.param(
            chained(
                ConnectionRefusedError("[Errno 111]"),
                AnthropicError(500, "Cannot connect to host 127.0.0.1:9"),
                LitellmError(500, "litellm.InternalServerError: …"),
            ),
            502,
            "connection_failed",
            "The connection to the provider failed.",
            id="nobody was there, whatever status was made of it",
        ),
        pytest.param(
            UnsupportedParamsError(400, "litellm.UnsupportedParamsError: cohere does not support parameters: ['n']"),
            400,
            "unsupported_parameter",
            "This model's provider does not take 'n'.",
            id="a parameter that the vendor has nothing for",
        ),
        pytest.param(
            LitellmError(400, "litellm.BadRequestError: Image too large. LiteLLM Retried: 2 times"),
            400,
            None,
            "Image too large.",
            id="litellm's own refusal, without what it wrote around it",
        ),
        pytest.param(
            chained(KeyError("choices"), APIConnectionError(500, "litellm.APIConnectionError: 'choices'")),
            500,
            "APIConnectionError",
            "'choices'",
            id="a mistake of litellm's, which it calls a failed connection",
        ),
        pytest.param(KeyError("choices"), 500, "KeyError", "'choices'", id="a mistake of litellm's"),
        pytest.param(Exception(), 500, "Exception", "Exception", id="an exception without a word"),
    ],
)
def test_where_nobody_answered_the_gateway_is_told_why(
    error: BaseException, status: int, code: str | None, message: str
) -> None:
    seen, headers, body = read(error)
    kind = {502: "connection", 504: "timeout"}.get(status)
    assert (seen, headers) == (status, {"x-worker-failure": kind} if kind else {})
    assert (body["error"]["code"], body["error"]["message"]) == (code, message)


def test_the_parameter_is_named_as_openai_names_it() -> None:
    _, _, body = read(UnsupportedParamsError(400, "does not support parameters: ['n'], for model=m"))
    assert (body["error"]["param"], body["error"]["type"]) == ("n", "invalid_request_error")


def test_a_refusal_of_our_own_keeps_its_words_and_says_whose_it_is() -> None:
    ours = InvalidRequest("No.", param="tools")
    for failure in (refused(ours), read_failure(chained(ours, LitellmError(500, "…")))):
        assert (failure.status, failure.headers) == (400, {"x-worker-failure": "bad_request"})
        error = json.loads(failure.body)["error"]
        assert (error["message"], error["param"], error["code"]) == ("No.", "tools", "invalid_request")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("google.auth", "pip install 'understudy-gateway[google]'"),
        ("azure.identity", "pip install 'understudy-gateway[azure]'"),
        ("mcp", "A library is missing: mcp"),
    ],
    ids=["Google's", "Azure's", "another"],
)
def test_a_library_that_is_missing_is_named_with_what_to_do(name: str, advice: str) -> None:
    missing = ImportError(f"No module named '{name}'", name=name)
    status, _, body = read(chained(missing, LitellmError(500, "litellm.APIConnectionError: …")))
    assert (status, body["error"]["code"]) == (500, "missing_library")
    assert advice in body["error"]["message"]


def raised_by(function: Callable[[], object], outer: BaseException) -> BaseException:
    """What arrives when litellm's own code breaks."""
    try:
        function()
    except Exception as error:
        return chained(error, outer)
    raise AssertionError("it did not break")


def transform_request() -> object:
    return {}["messages"]


def transform_response() -> object:
    return {}["choices"]


def _get_optional_params() -> object:
    raise ValueError("Unsupported tool type: x")


@pytest.mark.parametrize(
    ("function", "status", "kind"),
    [
        pytest.param(transform_request, 400, "invalid_request_error", id="while it wrote the messages"),
        pytest.param(_get_optional_params, 400, "invalid_request_error", id="while it wrote the parameters"),
        pytest.param(transform_response, 500, "api_error", id="while it read the answer"),
    ],
)
def test_where_litellm_breaks_says_whose_mistake_it_is(function: Callable[[], object], status: int, kind: str) -> None:
    text = 'litellm.APIConnectionError: it broke\nTraceback (most recent call last):\n  File "/usr/lib/x.py", line 1'
    seen, _, body = read(raised_by(function, APIConnectionError(500, text)))
    assert (seen, body["error"]["type"]) == (status, kind)
    assert body["error"]["message"].endswith("it broke"), "nothing of where it broke is told"


def test_a_picture_that_would_have_to_be_fetched_is_refused_with_what_to_do() -> None:
    class ImageFetchError(LitellmError):
        """litellm's."""

    status, headers, body = read(ImageFetchError(400, "Image URL download is disabled (MAX_IMAGE_…=0). url=http://x"))
    assert (status, headers, body["error"]["param"]) == (400, {"x-worker-failure": "bad_request"}, "messages")
    assert "data: URLs" in body["error"]["message"] and "http://x" not in body["error"]["message"]


@pytest.mark.parametrize(
    "error",
    [
        HTTPStatusError(Answer(401, '{"error":{"message":"Wrong key: sk-secret-1"}}')),
        HTTPStatusError(Answer(401, "Wrong key: sk-secret-1")),
        LitellmError(400, "litellm.AuthenticationError: sk-secret-1 is wrong"),
        ImportError("sk-secret-1"),
        ValueError("sk-secret-1"),
    ],
    ids=["in JSON", "in a text", "in litellm's words", "in an import's", "in anybody's"],
)
def test_a_key_is_blacked_out_wherever_it_stands(error: BaseException) -> None:
    failure = read_failure(error, secrets=("", "sk-secret-1"))
    assert b"sk-secret-1" not in failure.body
    assert b"[key]" in failure.body
    assert json.loads(failure.body)["error"]


def test_a_key_that_json_writes_otherwise_is_blacked_out_as_well() -> None:
    secret = '{"type": "service_account", "private_key": "-----BEGIN\\nabc"}'
    failure = read_failure(HTTPStatusError(Answer(401, f"Refused: {secret}")), secrets=(secret,))
    assert b"service_account" not in failure.body
    assert b"[key]" in failure.body


def _loop() -> BaseException:
    first, second = AnthropicError(500, ""), AnthropicError(500, "")
    first.__cause__, second.__cause__ = second, first
    return first


class Unspeakable(Exception):
    """Cannot say what it is."""

    status_code = 500

    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(_loop(), id="a chain without an end"),
        pytest.param(Unspeakable(), id="an exception that cannot be written"),
        pytest.param(HTTPStatusError(Answer(500, b"\xff\xfe")), id="a body that is no text"),
        pytest.param(HTTPStatusError(Answer(200, "ok")), id="an answer that is none of an error"),
        pytest.param(AnthropicError(99_999, "x"), id="a status that is none"),
        pytest.param(AnthropicError(500, "x", {"retry-after": None}), id="a header that is nothing"),  # type: ignore[dict-item]
        pytest.param(BaseException(), id="what is not even an exception"),
    ],
)
def test_nothing_makes_it_raise(error: BaseException) -> None:
    failure = read_failure(error)
    assert 400 <= failure.status < 600
    json.loads(failure.body)


def test_a_body_without_an_end_is_cut() -> None:
    failure = read_failure(HTTPStatusError(Answer(500, "x" * 10 * MAX_BODY_CHARS)))
    assert len(json.loads(failure.body)["error"]["message"]) == MAX_BODY_CHARS


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param(SAID.encode(), {"type": "not_found_error", "message": "model: m"}, id="an error of the vendor's"),
        pytest.param(b'[{\n "error": {\n  "code": 503}}]', {"code": 503}, id="Google's list, on several lines"),
        pytest.param(
            b'{"message": "It broke."}',
            {"type": "upstream_error", "param": None, "message": "It broke.", "code": None},
            id="AWS's, which calls nothing an error",
        ),
        pytest.param(
            b"Broken\n\ndata: [DONE]",
            {"type": "upstream_error", "param": None, "message": "Broken\n\ndata: [DONE]", "code": None},
            id="no JSON",
        ),
        pytest.param(
            b"[]", {"type": "upstream_error", "param": None, "message": "[]", "code": None}, id="JSON of nothing"
        ),
    ],
)
def test_as_a_streams_last_event_it_is_one_line_that_says_error(body: bytes, error: dict[str, Any]) -> None:
    event = error_event(CallFailed(500, {}, body))
    assert b"\n" not in event
    assert json.loads(event) == {"error": error}


def test_a_message_that_quotes_an_endless_request_takes_no_time() -> None:
    message = "litellm.BadRequestError: " + "x" + " " * 300_000 + "y"
    status, _, body = read(LitellmError(400, message))
    assert status == 400
    assert len(body["error"]["message"]) <= 16_384
