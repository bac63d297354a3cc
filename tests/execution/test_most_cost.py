"""What a request of a key with a budget can cost at most, endpoint by endpoint, as real configurations price it."""

import json
from pathlib import Path
from typing import Any

import pytest
from fake_clock import FakeClock

from gateway.config.callers import Budget, Caller
from gateway.config.loader import load
from gateway.execution.endpoints import ENDPOINTS
from gateway.execution.most_cost import MostCost, adapted_body, most_cost
from gateway.execution.prepared import Snapshot
from gateway.execution.prepared_target import PreparedTarget
from gateway.metrics import Metrics
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream

MODELS = {
    "chat": "gpt-4o-mini",
    "reasons": "gpt-6-luna",
    "vectors": "text-embedding-3-small",
    "voice": "tts-1",
    "tokens-voice": "gpt-4o-mini-tts",
    "ears": "whisper-1",
    "pictures": "gpt-image-1",
    "unpriced": "nobody-knows-it",
    "silent": "gpt-4o-mini-2024-07-18",
}
TEXT = [{"role": "user", "content": "Where is my order?"}]
PICTURE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aa"}}]}]


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    path: Path = tmp_path_factory.mktemp("bounds") / "routes.yaml"
    routes: dict[str, Any] = {name: {"primary": model} for name, model in MODELS.items()}
    routes["silent"] = {"primary": {"model": MODELS["silent"], "parameters": {"drop": ["max_tokens"]}}}
    routes["drawings"] = {"provider": "xai", "primary": "grok-imagine-image"}
    path.write_text(
        json.dumps(
            {
                "version": 1,
                "providers": {kind: {"kind": kind, "api_key_env": "KEY"} for kind in ("openai", "xai")},
                "defaults": {"provider": "openai"},
                "routes": routes,
            }
        )
    )
    configured, clock, client = load(path, environ={"KEY": "secret"}).routes, FakeClock(), HttpClient()
    upstreams = {name: Upstream(each, client, {"KEY": "secret"}, clock) for name, each in configured.providers.items()}
    return Snapshot(configured, upstreams, metrics=Metrics(), clock=clock)


def prepared(snapshot: Snapshot, route: str) -> PreparedTarget:
    return snapshot.find(route)[0].targets["primary"]


def asked(snapshot: Snapshot, route: str, path: str, most: int | None = None, **body: Any) -> MostCost:
    endpoint = next(endpoint for endpoint in ENDPOINTS if endpoint.path == path)
    request = endpoint.read({"model": route, **body})
    request.caller = Caller("key_1", "shop", budget=Budget(day_nanousd=1), max_output_tokens=most)
    return most_cost(request, prepared(snapshot, route))


def test_a_chat_is_bounded_by_its_bytes_and_its_length(snapshot: Snapshot) -> None:
    # Its priority tier is the dearest: 250 nano-dollars a token in, and 1,000 out.
    short = asked(snapshot, "chat", "/chat/completions", messages=TEXT, max_tokens=10)
    assert short.nanousd is not None
    assert 600 * 250 + 10 * 1000 < short.nanousd < 700 * 250 + 10 * 1000
    longer = asked(snapshot, "chat", "/chat/completions", messages=TEXT, max_tokens=10, n=3)
    assert longer.nanousd is not None
    assert longer.nanousd - short.nanousd == 20 * 1000 + len(',"n":3') * 250


@pytest.mark.parametrize(
    ("route", "path", "body", "name", "length"),
    [
        ("chat", "/chat/completions", {"messages": TEXT}, "max_tokens", 16_384),
        ("reasons", "/chat/completions", {"messages": TEXT}, "max_completion_tokens", 128_000),
        ("chat", "/responses", {"input": "Hello"}, "max_output_tokens", 16_384),
        ("chat", "/completions", {"prompt": "Hello"}, "max_tokens", 16_384),
        ("unpriced", "/chat/completions", {"messages": TEXT}, "max_tokens", 4096),
    ],
)
def test_a_length_is_supplied_as_the_model_takes_it(
    snapshot: Snapshot, route: str, path: str, body: dict[str, Any], name: str, length: int
) -> None:
    endpoint = next(endpoint for endpoint in ENDPOINTS if endpoint.path == path)
    request = endpoint.read({"model": route, **body})
    request.caller = Caller("key_1", "shop", budget=Budget(day_nanousd=1))
    sent, changed = adapted_body(request, prepared(snapshot, route))
    assert (sent[name], changed) == (length, [name])
    assert name not in request.body
    request.caller = Caller("key_2", "without limits")
    assert name not in adapted_body(request, prepared(snapshot, route))[0]


def test_limits_a_minute_count_on_an_answer_as_long_as_it_says_and_not_as_long_as_the_longest(
    snapshot: Snapshot,
) -> None:
    silent = asked(snapshot, "reasons", "/chat/completions", messages=TEXT)
    says_so = asked(snapshot, "reasons", "/chat/completions", messages=TEXT, max_completion_tokens=20_000)
    cut = asked(snapshot, "reasons", "/chat/completions", most=50, messages=TEXT)
    assert 4096 < silent.tokens < 5096
    assert 20_000 < says_so.tokens < 21_000
    assert 50 < cut.tokens < 1050


def test_what_is_referred_to_is_bounded_by_the_models_window(snapshot: Snapshot) -> None:
    for path, body in (
        ("/chat/completions", {"messages": PICTURE, "max_tokens": 10}),
        ("/responses", {"input": "Go on", "previous_response_id": "resp_1", "max_output_tokens": 10}),
    ):
        assert asked(snapshot, "chat", path, **body).nanousd == 128_000 * 250 + 10 * 1000


def test_vectors_cost_what_goes_in(snapshot: Snapshot) -> None:
    found = asked(snapshot, "vectors", "/embeddings", input=["a"] * 10)
    assert found.nanousd is not None
    assert 500 * 20 < found.nanousd < 900 * 20


def test_what_is_priced_by_the_character_is_exact(snapshot: Snapshot) -> None:
    found = asked(snapshot, "voice", "/audio/speech", input="Hello", voice="alloy")
    assert found.nanousd == 5 * 15_000


@pytest.mark.parametrize(("body", "count"), [({}, 1), ({"n": 3}, 3)], ids=["one", "three"])
def test_what_is_priced_by_the_picture_is_exact(snapshot: Snapshot, body: dict[str, Any], count: int) -> None:
    found = asked(snapshot, "drawings", "/images/generations", prompt="A cat", **body)
    assert found.nanousd == count * 20_000_000


@pytest.mark.parametrize(
    ("route", "path", "body", "why"),
    [
        ("ears", "/audio/transcriptions", {}, "how long"),
        ("tokens-voice", "/audio/speech", {"input": "Hello"}, "how long"),
        ("pictures", "/images/generations", {"prompt": "A cat", "n": 1}, "how long"),
        ("unpriced", "/chat/completions", {"messages": TEXT}, "no price"),
        ("chat", "/chat/completions", {"messages": TEXT, "tools": [{"type": "web_search"}]}, "'tools'"),
        ("chat", "/responses", {"input": "a", "background": True}, "'background'"),
    ],
)
def test_what_nobody_can_bound_says_why(
    snapshot: Snapshot, route: str, path: str, body: dict[str, Any], why: str
) -> None:
    found = asked(snapshot, route, path, **body)
    assert found.nanousd is None
    assert why in found.why
    assert found.tokens > 0


def test_a_target_that_takes_no_length_is_bounded_by_its_longest_answer(snapshot: Snapshot) -> None:
    found = asked(snapshot, "silent", "/chat/completions", messages=TEXT, most=10)
    assert found.nanousd is not None
    assert found.nanousd > 16_384 * 1000
