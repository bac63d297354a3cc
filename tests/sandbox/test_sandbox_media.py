"""Moderations, images, speech and transcriptions: what all of them do alike, and what moderations answer."""

from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.clock import SystemClock
from gateway.sandbox.app import create_sandbox
from gateway.sandbox.moderations import BAD_WORDS
from gateway.sandbox.sounds import wav_head
from tests.sandbox_server import RunningSandbox, fast_catalogue

CHAT = "gpt-4o-mini-2024-07-18"
WAV = wav_head("Good morning", 20) + bytes(48_000)
PNG = b"\x89PNG\r\n\x1a\n"
MODELS = {
    "/moderations": "omni-moderation-latest", "/images/generations": "gpt-image-1", "/images/edits": "gpt-image-1",
    "/images/variations": "gpt-image-1", "/audio/speech": "gpt-4o-mini-tts", "/audio/translations": "whisper-1",
    "/audio/transcriptions": "gpt-4o-transcribe",
}  # fmt: skip
FIELDS: dict[str, dict[str, Any]] = {
    "/moderations": {"input": "Good morning"},
    "/images/generations": {"prompt": "a red rose", "size": "1024x1536"},
    "/images/edits": {"prompt": "make it blue"},
    "/images/variations": {},
    "/audio/speech": {"input": "Good morning", "voice": "coral", "response_format": "wav"},
    "/audio/transcriptions": {},
    "/audio/translations": {},
}
FILES: dict[str, Any] = {
    "/images/edits": {"image": ("a.png", PNG, "image/png")},
    "/images/variations": {"image": ("a.png", PNG, "image/png")},
    "/audio/transcriptions": {"file": ("a.wav", WAV, "audio/wav")},
    "/audio/translations": {"file": ("a.wav", WAV, "audio/wav")},
}
everywhere = pytest.mark.parametrize("path", MODELS)


def post(http: httpx.Client, path: str, prefix: str = "/v1", files: Any = None, **fields: Any) -> httpx.Response:
    """Ask as the path is asked: in JSON, or by a form."""
    body = {"model": MODELS[path], **FIELDS[path], **fields}
    if path in FILES:
        return http.post(f"{prefix}{path}", data=body, files=FILES[path] if files is None else files)
    return http.post(f"{prefix}{path}", json=body)


def rows(http: httpx.Client) -> list[Any]:
    return http.get("/sandbox/bill").json()["rows"]


@everywhere
@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1"])
def test_a_row_says_where_and_what_was_asked(http: httpx.Client, path: str, prefix: str) -> None:
    assert post(http, path, prefix).raise_for_status().headers["x-request-id"].startswith("req_")
    [row] = rows(http)
    name = {"/audio/speech": "speech", "/moderations": "moderations"}.get(path)
    name = name or ("images" if path.startswith("/images") else "transcriptions")
    assert (row["endpoint"], row["asked"], row["served"]) == (name, MODELS[path], MODELS[path])
    assert (row["status"], row["complete"]) == (200, True)


@everywhere
@pytest.mark.parametrize(
    ("style", "status", "code"),
    [("openai", 404, "model_not_found"), ("groq", 400, "model_decommissioned"), ("vllm", 404, 404)],
)
def test_a_retired_model_is_gone_and_comes_back(
    http: httpx.Client, path: str, style: str, status: int, code: object
) -> None:
    http.post(f"/sandbox/models/{MODELS[path]}/retire", json={"as": style}).raise_for_status()
    response = post(http, path)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert [row["cost_nanousd"] for row in rows(http)] == [0]
    http.post(f"/sandbox/models/{MODELS[path]}/restore").raise_for_status()
    assert post(http, path).status_code == 200


@everywhere
@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        pytest.param("fault-429", 429, "rate_limit_exceeded", id="a model without quota"),
        pytest.param("fault-5xx", 500, None, id="a model that breaks"),
        pytest.param("fault-error-in-200", 200, None, id="an error in place of the answer"),
        pytest.param(CHAT, 400, None, id="a model that is made for something else"),
        pytest.param("never-sold", 404, "model_not_found", id="a model never sold"),
    ],
)
def test_what_is_wrong_with_a_model_is_said_in_json(
    http: httpx.Client, path: str, model: str, status: int, code: str | None
) -> None:
    response = post(http, path, model=model)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    assert response.json()["error"]["code"] == code
    assert [row["cost_nanousd"] for row in rows(http)] == [0]


@everywhere
@pytest.mark.parametrize("model", ["fault-reset", "fault-cut"])
def test_an_answer_breaks_off(http: httpx.Client, path: str, model: str) -> None:
    if (path, model) == ("/audio/speech", "fault-cut"):
        whole, cut = post(http, path).content, post(http, path, model=model).content
        assert whole.startswith(cut)
        assert len(cut) == len(wav_head("Good morning", 12)) + 5 * 2_400
    else:
        with pytest.raises(httpx.TransportError):
            post(http, path, model=model)
    assert rows(http)[-1]["complete"] is False


@everywhere
def test_a_substitute_is_billed_at_its_own_price(http: httpx.Client, path: str) -> None:
    post(http, path, model="fault-substitute").raise_for_status()
    [row] = rows(http)
    assert (row["served"], row["cost_nanousd"]) == (
        "gpt-4.1-mini-2025-04-14", row["input_tokens"] * 400 + row["output_tokens"] * 1_600,
    )  # fmt: skip


@pytest.mark.parametrize(("path", "expected"), [("/moderations", "omni-moderation-latest"),
                                                ("/images/generations", "gpt-image-1")])  # fmt: skip
def test_some_have_a_model_that_need_not_be_named(http: httpx.Client, path: str, expected: str) -> None:
    http.post(f"/v1{path}", json=FIELDS[path]).raise_for_status()
    assert rows(http)[0]["served"] == expected


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize(
    ("content", "content_type", "code"),
    [
        pytest.param(b"{}", "application/json", "unsupported_content_type", id="JSON"),
        pytest.param(b"a=b", "application/x-www-form-urlencoded", "unsupported_content_type", id="another form"),
        pytest.param(b"x", "", "unsupported_content_type", id="nothing said"),
        pytest.param(b"--x\r\n", "multipart/form-data", None, id="no boundary"),
        pytest.param(b"--y\r\n", "multipart/form-data; boundary=x", None, id="another boundary"),
        pytest.param(
            b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n',
            "multipart/form-data; boundary=x", None, id="no end",
        ),
        pytest.param(
            b"--x\r\ncontent-disposition: form-data\r\n\r\nwhisper-1\r\n--x--\r\n",
            "multipart/form-data; boundary=x", None, id="a part without a name",
        ),
    ],
)  # fmt: skip
def test_what_is_no_form_is_refused(
    http: httpx.Client, path: str, content: bytes, content_type: str, code: str | None
) -> None:
    response = http.post(f"/v1{path}", content=content, headers={"content-type": content_type})
    assert (response.status_code, response.json()["error"]["code"]) == (400, code)
    assert "type: " in response.text or "Could not parse" in response.text


TEXT_PART, IMAGE_PART = {"type": "text", "text": "kill"}, {"type": "image_url", "image_url": {"url": "https://a/b.png"}}


@pytest.mark.parametrize(
    ("given_input", "flagged"),
    [
        pytest.param("Good morning", [False], id="a text"),
        pytest.param(["I will KILL you!", "A skilled painter"], [True, False], id="texts, each on its own"),
        pytest.param([{"type": "text", "text": "Good"}, TEXT_PART], [True], id="parts, together"),
        pytest.param([IMAGE_PART], [False], id="an image, which nobody looks at"),
        pytest.param("", [False], id="nothing"),
    ],
)
def test_a_moderation_flags_by_words(http: httpx.Client, given_input: Any, flagged: list[bool]) -> None:
    answer = post(http, "/moderations", input=given_input).json()
    assert answer["id"].startswith("modr-")
    assert [result["flagged"] for result in answer["results"]] == flagged
    for result in answer["results"]:
        assert result["flagged"] is any(result["categories"].values())
        for category, score in result["category_scores"].items():
            assert (score > 0.9) is result["categories"][category]
    assert post(http, "/moderations", input=given_input).json()["results"] == answer["results"]


@pytest.mark.parametrize("category", [category for category, words in BAD_WORDS.items() if words])
def test_a_category_is_flagged_by_each_of_its_words(http: httpx.Client, category: str) -> None:
    answer = post(http, "/moderations", input=list(BAD_WORDS[category])).json()
    assert all(result["categories"][category] for result in answer["results"])


def test_a_moderation_says_what_each_score_applies_to(http: httpx.Client) -> None:
    [result] = post(http, "/moderations", input=[TEXT_PART, IMAGE_PART]).json()["results"]
    applied = result["category_applied_input_types"]
    assert applied.keys() == result["categories"].keys() == BAD_WORDS.keys()
    assert (applied["violence"], applied["hate"]) == (["text", "image"], ["text"])


NUMBERS = st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | NUMBERS | st.sampled_from(
    ["", "x", "auto", "wav", "pcm", "sse", "text", "verbose_json", "true", "1e999", "nan", "9" * 30, "kill"]
)  # fmt: skip
KEYS = st.sampled_from(["type", "text", "image_url", "url", "id"])
JUNK = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner), max_leaves=6)
NAMES = st.sampled_from([
    "model", "input", "prompt", "n", "size", "quality", "stream", "partial_images", "background", "voice", "speed",
    "instructions", "response_format", "stream_format", "file", "image", "image[]", "mask", "temperature",
    "timestamp_granularities[]", "language", "output_format",
])  # fmt: skip


@pytest.fixture(scope="module")
def shared_http(server: RunningSandbox, http_of_all_tests: httpx.Client) -> httpx.Client:
    """A client of the usual models, for calls that need no models of their own."""
    fresh = create_sandbox(clock=SystemClock(), catalogue=fast_catalogue(SystemClock().now()))
    server.sandbox.provider = fresh.provider
    return http_of_all_tests


@settings(max_examples=100, deadline=None)
@given(path=st.sampled_from(list(MODELS)), fields=st.dictionaries(NAMES, JUNK, min_size=1, max_size=3),
       as_files=st.booleans())  # fmt: skip
def test_junk_is_refused_or_answered_and_breaks_nothing(
    shared_http: httpx.Client, path: str, fields: dict[str, Any], as_files: bool
) -> None:
    if path not in FILES:
        response = post(shared_http, path, **fields)
    else:
        texts = {name: orjson.dumps(value).decode().strip('"') for name, value in fields.items()}
        files = FILES[path] | (
            {name: (text, text.encode(), "image/png") for name, text in texts.items()} if as_files else {}
        )
        response = post(shared_http, path, files=files, **({} if as_files else texts))
    assert response.status_code < 500, response.text
