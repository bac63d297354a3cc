"""A key whose data must stay somewhere: nobody elsewhere sees any of it, also when that means no answer."""

from fake_provider import FakeProvider, refuses, says
from served_gateway import USER, Serve

KEY = {"authorization": "Bearer secret"}
GONE = refuses(404, "The model `tuned` does not exist", "model_not_found")


async def test_the_fallback_elsewhere_is_never_asked(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve(first={"residency": "eu"}, key="secret", key_residency="eu")
    asked = {"json": {"model": "reply", "messages": USER}, "headers": KEY}
    answer = await gateway.client.post("/v1/chat/completions", **asked)
    assert (answer.status_code, answer.headers["x-gateway-model"]) == (200, "tuned")
    provider.models["tuned"] = GONE
    answer = await gateway.client.post("/v1/chat/completions", **asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_gone")
    assert {call.json["model"] for call in provider.chats()} == {"tuned"}


async def test_a_route_elsewhere_is_refused_before_anything_is_sent(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve(key="secret", key_residency="eu")
    for path, held in (("chat/completions", {"messages": USER}), ("embeddings", {"input": "a"}), ("responses", {})):
        answer = await gateway.client.post(f"/v1/{path}", json={"model": "reply", **held}, headers=KEY)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "unsupported_by_targets")
        assert "does not keep data in 'eu'" in error["message"]
    assert provider.chats() == []


async def test_a_stored_response_elsewhere_is_not_fetched(serve: Serve, provider: FakeProvider) -> None:
    free = await serve()
    provider.paths["/v1/responses"] = says({"id": "resp_1", "object": "response", "model": "tuned", "output": []})
    stored = (await free.client.post("/v1/responses", json={"model": "reply", "input": "a"})).json()["id"]
    bound = await serve(key="secret", key_residency="eu")
    before = len(provider.calls)
    answer = await bound.client.get(f"/v1/responses/{stored}", headers=KEY)
    assert answer.status_code == 404
    assert len(provider.calls) == before
