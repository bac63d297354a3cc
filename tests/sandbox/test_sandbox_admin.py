from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway.sandbox.app import create_sandbox
from gateway.sandbox.catalogue import Fault
from gateway.sandbox.retirement import STYLES
from tests.sandbox_server import RunningSandbox, running_sandbox

FORUM = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
TRIAGE = "ft:gpt-4.1-mini-2025-04-14:acme:triage:C3d4E5f6:ckpt-step-714"
ASK = [{"role": "user", "content": "How?"}]


class DayClock:
    """Stands where it is put, and waits for nothing."""

    def __init__(self, instant: datetime) -> None:
        self.instant = instant

    def now(self) -> datetime:
        return self.instant

    def monotonic(self) -> float:
        return self.instant.timestamp()

    async def sleep(self, seconds: float) -> None:
        return None


def chat(http: httpx.Client, model: str, **body: Any) -> httpx.Response:
    return http.post("/v1/chat/completions", json={"model": model, "messages": ASK, **body})


def listed(http: httpx.Client) -> set[str]:
    return {model["id"] for model in http.get("/v1/models").json()["data"]}


@pytest.mark.parametrize(
    ("style", "status", "says"),
    [
        ("openai", 404, '"code":"model_not_found"'),
        ("openai_deprecated", 404, "has been deprecated"),
        ("no_access", 403, "does not have access to model `ft:gpt-4o-mini"),
        ("azure", 404, '"code":"DeploymentNotFound"'),
        ("groq", 400, '"code":"model_decommissioned"'),
        ("vllm", 404, '"type":"NotFoundError"'),
        ("mistral", 400, f'"message":"Invalid model: {FORUM}"'),
        ("deepseek", 400, "Model Not Exist"),
        ("nim", 410, f"The model '{FORUM}' has reached its end of life on 2026-11-23T"),
        ("together", 400, "Unable to access non-serverless model"),
        ("fireworks", 404, "not deployed"),
        ("openrouter", 404, f"No endpoints found for {FORUM}."),
        ("perplexity", 400, '"type":"invalid_model"'),
        ("databricks", 404, "RESOURCE_DOES_NOT_EXIST"),
        ("bedrock", 404, "end of its life"),
        ("gemini", 404, '"status":"NOT_FOUND"'),
        ("anthropic", 404, f'"message":"model: {FORUM}"'),
        ("cohere", 404, "was removed on November 23, 2026"),
        ("ollama", 404, f"model '{FORUM}' not found"),
        ("sglang", 400, "never been loaded"),
        ("llama.cpp", 400, '"code":400'),
        ("lmstudio", 400, '{"error":"No models loaded'),
    ],
)
def test_a_retired_model_answers_as_its_provider_does(
    sandbox: RunningSandbox, http: httpx.Client, style: str, status: int, says: str
) -> None:
    sandbox.sandbox.provider = create_sandbox(clock=DayClock(datetime(2026, 11, 23, 12, tzinfo=UTC))).provider
    http.post(f"/sandbox/models/{FORUM}/retire", json={"as": style}).raise_for_status()
    response = chat(http, FORUM)
    assert (response.status_code, says in response.text) == (status, True), response.text
    assert "{" + "model}" not in response.text
    assert http.get(f"/v1/models/{FORUM}").status_code == status
    assert FORUM not in listed(http)
    [row] = http.get("/sandbox/bill").json()["rows"]
    assert row == {
        "attempt_id": None,
        "asked": FORUM,
        "served": None,
        "status": status,
        "input_tokens": 0,
        "cached_input_tokens": 0,
        "output_tokens": 0,
        "complete": False,
        "cost_nanousd": 0,
        "endpoint": "chat_completions",
    }


@pytest.mark.parametrize("style", sorted(STYLES))
def test_no_style_leaves_a_placeholder(http: httpx.Client, style: str) -> None:
    http.post(f"/sandbox/models/{FORUM}/retire", json={"as": style}).raise_for_status()
    response = chat(http, FORUM)
    assert response.status_code == STYLES[style].status
    assert not any(name in response.text for name in ("{model}", "{date}", "{long_date}", "{id}"))


def test_gemini_wraps_a_streams_error_in_an_array_and_bedrock_names_it_in_a_header(http: httpx.Client) -> None:
    http.post(f"/sandbox/models/{FORUM}/retire", json={"as": "gemini"})
    assert isinstance(chat(http, FORUM, stream=True).json(), list)
    assert isinstance(chat(http, FORUM).json(), dict)
    http.post(f"/sandbox/models/{FORUM}/retire", json={"as": "bedrock"})
    assert chat(http, FORUM).headers["x-amzn-errortype"] == "ResourceNotFoundException"


def test_retired_without_a_body_means_openai_and_restored_means_alive(http: httpx.Client) -> None:
    assert http.post(f"/sandbox/models/{TRIAGE}/retire").json()["retired_as"] == "openai"
    assert chat(http, TRIAGE).status_code == 404
    assert http.post(f"/sandbox/models/{TRIAGE}/restore").json()["retired_as"] is None
    assert chat(http, TRIAGE).status_code == 200
    assert TRIAGE in listed(http)


def test_a_shutdown_date_retires_the_model_on_its_day_and_a_restored_one_has_none() -> None:
    clock = DayClock(datetime(2026, 11, 23, 12, tzinfo=UTC))
    with running_sandbox(clock=clock) as sandbox, httpx.Client(base_url=sandbox.url) as http:
        assert http.get(f"/v1/models/{FORUM}").json()["shutdown_date"] == "2027-01-14"
        assert http.get("/v1/models/gpt-6-luna").json()["shutdown_date"] is None
        clock.instant = datetime(2027, 1, 13, 23, 59, tzinfo=UTC)
        assert chat(http, FORUM).status_code == 200
        clock.instant = datetime(2027, 1, 14, tzinfo=UTC)
        assert chat(http, FORUM).json()["error"]["code"] == "model_not_found"
        shown = http.get("/sandbox/models").json()["models"]
        assert listed(http) == {model["id"] for model in shown if model["shutdown_date"] is None} >= {*Fault}
        assert chat(http, "gpt-6-luna").status_code == 200
        assert http.post(f"/sandbox/models/{FORUM}/restore").json()["shutdown_date"] is None
        assert chat(http, FORUM).status_code == 200


def test_dates_are_relative_to_the_start() -> None:
    start = datetime(2028, 5, 1, tzinfo=UTC)
    with running_sandbox(clock=DayClock(start)) as sandbox, httpx.Client(base_url=sandbox.url) as http:
        shutdown = (start + timedelta(days=52)).date().isoformat()
        assert http.get(f"/v1/models/{TRIAGE}").json()["shutdown_date"] == shutdown


def test_a_model_is_adjusted_and_shows_it(http: httpx.Client) -> None:
    wanted = {
        "latency_ms": 5,
        "first_token_ms": 0,
        "tokens_per_s": None,
        "price": {"input": 2, "output": "10.50"},
        "shutdown_date": "2030-01-01",
    }
    shown = http.post("/sandbox/models/gpt-6-luna", json=wanted).raise_for_status().json()
    assert shown["price"] == {"input": "2", "cached_input": "0.10", "output": "10.50"}
    assert (shown["latency_ms"], shown["tokens_per_s"], shown["shutdown_date"]) == (5.0, None, "2030-01-01")
    assert shown in http.get("/sandbox/models").json()["models"]
    usage = chat(http, "gpt-6-luna").json()["usage"]
    [row] = http.get("/sandbox/bill").json()["rows"]
    assert row["cost_nanousd"] == usage["prompt_tokens"] * 2_000 + usage["completion_tokens"] * 10_500


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/sandbox/models/ft:gpt-4o-mini:acme:forum/retire", {}, 404, "Did you mean"),
        (f"/sandbox/models/{FORUM}/retire", {"as": "gruq"}, 400, "must name a provider"),
        (f"/sandbox/models/{FORUM}/retire", {"at": "groq"}, 400, "Did you mean 'as'"),
        (f"/sandbox/models/{FORUM}/restore", {"as": "groq"}, 400, "Nothing can be given"),
        (f"/sandbox/models/{FORUM}", {}, 400, "Nothing to change"),
        (f"/sandbox/models/{FORUM}", {"latency": 5}, 400, "Did you mean 'latency_ms'"),
        (f"/sandbox/models/{FORUM}", {"latency_ms": -1}, 400, "latency_ms must be a number"),
        (f"/sandbox/models/{FORUM}", {"tokens_per_s": 0}, 400, "or null for no limit"),
        (f"/sandbox/models/{FORUM}", {"price": {"input": "free"}}, 400, "price.input must be US dollars"),
        (f"/sandbox/models/{FORUM}", {"price": {"inptu": 1}}, 400, "Did you mean 'input'"),
        (f"/sandbox/models/{FORUM}", {"price": 3}, 400, "price must be an object"),
        (f"/sandbox/models/{FORUM}", {"shutdown_date": "soon"}, 400, "YYYY-MM-DD"),
        (f"/sandbox/models/{FORUM}", [1], 400, "must be a JSON object"),
    ],
)
def test_a_command_that_cannot_be_done_says_why(
    http: httpx.Client, path: str, body: Any, status: int, says: str
) -> None:
    response = http.post(path, json=body)
    assert (response.status_code, says in response.json()["error"]["message"]) == (status, True), response.text


def test_the_bill_is_read_from_an_index_on(http: httpx.Client) -> None:
    for _ in range(3):
        chat(http, FORUM)
    assert len(http.get("/sandbox/bill", params={"since": 1}).json()["rows"]) == 2
    assert http.get("/sandbox/bill", params={"since": 3}).json() == {"rows": [], "next": 3}
    assert http.get("/sandbox/bill", params={"since": "-1"}).status_code == 400


def test_another_methods_command_is_refused(http: httpx.Client) -> None:
    assert http.delete("/sandbox/bill").status_code == 405
