"""One caller's odd requests do not take a healthy model from the others."""

from collections.abc import Callable
from typing import Any

import pytest
from fake_provider import Call, FakeProvider, Script, answers, refuses, says
from served_gateway import Serve

from gateway.policy.stored_ids import tag_of


def poisoned_by(word: str, refusal: Script) -> Script:
    """Answer everybody, but for requests that hold a word."""

    async def script(call: Call) -> None:
        await (refusal if word.encode() in call.body else answers)(call)

    return script


MISSING: Callable[[str], str] = "The model `{}` does not exist or you do not have access to it.".format


@pytest.mark.parametrize(
    ("odd", "refusal"),
    [
        pytest.param({"models": ["no/such-1"]}, refuses(400, "no/such-1 is not a valid model ID"), id="an alternative"),
        pytest.param(
            {"tools": [{"type": "image_generation", "model": "gpt-image-99"}]},
            refuses(404, MISSING("gpt-image-99"), "model_not_found"),
            id="a tool's model",
        ),
        pytest.param({"x": "poison"}, says("Request blocked", 403), id="a firewall before the provider"),
        pytest.param({"x": "poison"}, refuses(401, "Missing scopes: api.x"), id="a scope that the key lacks"),
    ],
)
async def test_what_one_request_is_told_is_not_held_against_the_model(
    odd: dict[str, Any], refusal: Script, serve: Serve, provider: FakeProvider
) -> None:
    provider.models["tuned"] = poisoned_by(next(iter(odd)), refusal)
    gateway = await serve()
    for _ in range(4):
        assert (await gateway.chat()).headers["x-gateway-reason"] == "primary"
        await gateway.chat(**odd)
    assert (await gateway.chat()).headers["x-gateway-reason"] == "primary"


async def test_paths_that_share_a_name_do_not_share_a_fate(serve: Serve, provider: FakeProvider) -> None:
    provider.paths["/v1/images/generations"] = says({"created": 1, "data": [{"b64_json": "aGk="}]})
    provider.paths["/v1/images/variations"] = says({"detail": "Not Found"}, 404)
    gateway = await serve()
    for _ in range(6):
        form = {"data": {"model": "reply"}, "files": {"image": ("a.png", b"x")}}
        assert (await gateway.client.post("/v1/images/variations", **form)).status_code == 502
    answer = await gateway.client.post("/v1/images/generations", json={"model": "reply", "prompt": "A hat"})
    assert answer.headers["x-gateway-reason"] == "primary"


async def test_a_key_that_a_provider_repeats_reaches_nobody(
    serve: Serve, provider: FakeProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    provider.models["tuned"] = refuses(400, "Bad request, you sent sk-canary-17")
    gateway = await serve(first={"api_key_env": "CANARY"}, environ={"CANARY": "sk-canary-17"})
    answer = await gateway.chat()
    assert answer.json()["error"]["message"] == "Bad request, you sent [key]"
    assert "sk-canary-17" not in "".join(capsys.readouterr())


async def test_a_pin_reaches_nobody_who_does_not_hold_what_is_referred_to(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    asked = {"input": "And then?", "previous_response_id": f"resp_1.{tag_of('first')}"}
    answer = await gateway.client.post("/v1/responses", json={"model": "reply@fallback", **asked})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "previous_response_not_found")
    assert provider.chats() == []
