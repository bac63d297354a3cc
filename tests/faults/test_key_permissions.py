"""What a key may call, and that nothing that a request says makes it more."""

import json
from typing import Any

import pytest
from declared_keys import PEPPER, as_, declared
from fake_provider import Call, FakeProvider, says
from served_gateway import Serve, ServedGateway

from gateway.policy.stored_ids import tag_of

FIRST = tag_of("first")
SECRET = "sk-of-the-first-account"


@pytest.fixture
async def keyed(serve: Serve, provider: FakeProvider) -> ServedGateway:
    """A gateway with keys for some routes only, and with the GATEWAY_KEY from before there were others."""
    keys = declared(
        shop={"routes": ["shop-*", "reply"], "pins": True, "tags": {"team": "shop", "env": "prod"}},
        forum={"routes": ["forum-?"]},
        free={},
    )
    return await serve(
        first={"api_key_env": "FIRST_KEY"},
        more_routes={name: {"primary": "tuned"} for name in ("shop-a", "shop-b", "forum-a", "forum-ab")},
        more_sections={"keys": keys},
        key="the-old-key",
        key_pepper=PEPPER,
        admin_key="the-admins",
        environ={"GATEWAY_KEY_PEPPER": PEPPER, "FIRST_KEY": SECRET},
    )


@pytest.mark.parametrize(
    ("key", "model", "status"),
    [
        pytest.param("shop", "shop-a", 200, id="a route that a pattern names"),
        pytest.param("shop", "reply", 200, id="a route by its name"),
        pytest.param("shop", "reply@fallback", 200, id="its pin"),
        pytest.param("shop", "forum-a", 404, id="a route of others"),
        pytest.param("shop", "forum-a@primary", 404, id="the pin of a route of others"),
        pytest.param("shop", "shop-", 404, id="what the pattern names, and is not there"),
        pytest.param("forum", "forum-a", 200, id="one character"),
        pytest.param("forum", "forum-ab", 404, id="two characters"),
        pytest.param("forum", "reply", 404, id="a route that no pattern names"),
        pytest.param("free", "forum-ab", 200, id="a key for all"),
    ],
)
async def test_which_routes_a_key_may_call(
    keyed: ServedGateway, provider: FakeProvider, key: str, model: str, status: int
) -> None:
    answer = await keyed.chat(model, headers=as_(key))
    assert answer.status_code == status
    assert len(provider.chats()) == (status == 200)
    if status == 404:
        name = model.partition("@")[0]
        error = answer.json()["error"]
        assert (error["code"], error["param"]) == ("route_not_found", "model")
        assert error["message"].startswith(f"There is no route {name!r} that this key may call; 'model' names a route")


async def test_a_misspelt_route_is_answered_with_what_the_key_may_call_alone(keyed: ServedGateway) -> None:
    said = (await keyed.chat("forum-aa", headers=as_("shop"))).json()["error"]["message"]
    assert "forum-a or" not in said
    assert "forum-ab" not in said
    said = (await keyed.chat("forum-aa", headers=as_("forum"))).json()["error"]["message"]
    assert said.endswith("Did you mean forum-a?")


@pytest.mark.parametrize(
    ("key", "names"),
    [
        pytest.param("shop", ["reply", "shop-a", "shop-b"], id="some"),
        pytest.param("forum", ["forum-a"], id="one"),
        pytest.param("free", ["reply", "shop-a", "shop-b", "forum-a", "forum-ab"], id="all"),
    ],
)
async def test_a_key_sees_the_models_that_it_may_call(keyed: ServedGateway, key: str, names: list[str]) -> None:
    listed = await keyed.client.get("/v1/models", headers=as_(key))
    assert [model["id"] for model in listed.json()["data"]] == names


@pytest.mark.parametrize("pin", ["primary", "fallback", "base", "2027-01-14", "nonsense"])
async def test_a_key_without_pins_may_not_choose_who_answers(
    keyed: ServedGateway, provider: FakeProvider, pin: str
) -> None:
    for answer in (
        await keyed.chat(f"reply@{pin}", headers=as_("free")),
        await keyed.client.get(f"/v1/models/reply@{pin}", headers=as_("free")),
        await keyed.chat(f"reply@{pin}", headers={"authorization": "Bearer the-old-key"}),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "pin_not_allowed")
        assert "base" not in answer.json()["error"]["message"].replace("'reply'", "")
    assert provider.chats() == []


HOSTILE: tuple[dict[str, Any], ...] = tuple(
    {name: value}
    for name, value in {
        "api_base": "http://169.254.169.254/v1",
        "base_url": "http://127.0.0.1:9/v1",
        "api_key": "sk-mine",
        "api_version": "../../x",
        "custom_llm_provider": "azure",
        "provider": "second",
        "extra_headers": {"authorization": "Bearer sk-mine", "host": "evil.example"},
        "extra_body": {"model": "other"},
        "extra_query": {"model": "other"},
        "user_config": {"model_list": []},
        "fallbacks": ["other"],
        "model_list": [{"model_name": "other"}],
        "organization": "org-other",
        "project": "other",
        "tenant": "globex",
        "tags": {"team": "other", "tenant": "globex"},
        "metadata": {"tenant": "globex", "team": "other", "key": "other"},
        "litellm_params": {"api_base": "http://127.0.0.1:9"},
        "proxy_server_request": {"url": "http://127.0.0.1:9"},
        "route": "forum-a",
        "caller": {"id": "admin", "role": "admin"},
        "key": "the-admins",
        "residency": "us",
        "pins": True,
        "__proto__": {"model": "other"},
    }.items()
)
HEADERS = (
    {"x-gateway-tags": "team=other,TEAM2=x,env=dev"},
    {"x-gateway-tags": "tenant=globex"},
    {"x-gateway-tenant": "globex"},
    {"x-gateway-route": "forum-a", "x-gateway-model": "other", "x-gateway-provider": "second"},
    {"x-forwarded-host": "evil.example", "x-forwarded-for": "127.0.0.1", "forwarded": "host=evil.example"},
    {"x-original-url": "/admin/keys", "x-rewrite-url": "/admin/keys", "x-http-method-override": "DELETE"},
    {"openai-organization": "org-other", "openai-project": "other", "x-portkey-config": "{}"},
    {"cookie": "key=the-admins"},
)


async def test_nothing_that_a_request_says_names_a_target_a_credential_or_a_tenant(
    keyed: ServedGateway, provider: FakeProvider
) -> None:
    host = provider.base_url.removeprefix("http://").removesuffix("/v1")
    asked = [({}, body) for body in HOSTILE] + [(headers, {}) for headers in HEADERS]
    for headers, body in asked:
        answer = await keyed.chat("shop-a", headers=as_("shop", **headers), **body)
        said = answer.headers["x-gateway-route"], answer.headers["x-gateway-provider"]
        assert (answer.status_code, *said) == (200, "shop-a", "first"), (headers, body)
        call = provider.calls[-1]
        assert (call.path, call.header("host")) == ("/v1/chat/completions", host), (headers, body)
        assert (call.json["model"], call.header("authorization")) == ("tuned", f"Bearer {SECRET}"), (headers, body)
        # What a provider reads there is the gateway's: no header of a caller's goes on.
        assert not {name for name, _ in call.headers} & headers.keys(), headers
    assert len(provider.calls) == len(asked)
    for row in await keyed.rows(len(asked)):
        assert (row.route, row.key, row.model_asked, row.provider) == ("shop-a", "shop", "tuned", "first")
        assert {"team": "shop", "env": "prod"}.items() <= json.loads(row.tags).items()


async def test_a_request_may_add_tags_as_long_as_there_are_eight_in_all(keyed: ServedGateway) -> None:
    six = ",".join(f"t{number}=x" for number in range(6))
    assert (await keyed.chat("shop-a", headers=as_("shop", **{"x-gateway-tags": six}))).status_code == 200
    # What names a tag of the key's takes no room of its own, and changes nothing.
    assert (await keyed.chat("shop-a", headers=as_("shop", **{"x-gateway-tags": six + ",team=x"}))).status_code == 200
    refused = await keyed.chat("shop-a", headers=as_("shop", **{"x-gateway-tags": six + ",more=x"}))
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "x-gateway-tags")
    assert "more tags than the 6 that the key's own leave" in refused.json()["error"]["message"]
    rows = await keyed.rows(2)
    assert [json.loads(row.tags)["team"] for row in rows] == ["shop", "shop"]


async def test_a_keys_residency_keeps_it_from_targets_elsewhere_which_is_told_at_the_start(
    serve: Serve, provider: FakeProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = declared(bound={"residency": "eu"}, roaming={})
    environ = {"GATEWAY_KEY_PEPPER": PEPPER}
    gateway = await serve(more_sections={"keys": keys}, key_pepper=PEPPER, admin_key="the-admins", environ=environ)
    gateway.client.headers["authorization"] = "Bearer the-admins"
    told = [line for line in capsys.readouterr().out.splitlines() if "outside_residency" in line]
    assert len(told) == 1
    assert "route 'reply' has no target in 'eu': requests of key 'bound' to it are refused" in told[0]
    refused = await gateway.chat(headers=as_("bound"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_by_targets")
    assert provider.chats() == []
    assert (await gateway.chat(headers=as_("roaming"))).status_code == 200


# What a provider stores.


def a_response(call: Call) -> dict[str, Any]:
    part = {"type": "output_text", "text": "Hello.", "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    return {"id": "resp_1", "object": "response", "status": "completed", "model": "tuned", "output": [message]}


@pytest.fixture
def _stores(provider: FakeProvider) -> None:
    async def respond(call: Call) -> None:
        if not call.json.get("stream"):
            await says(a_response(call))(call)
            return
        from test_responses import events_of, streamed

        await streamed(*events_of("tuned"))(call)

    items = {"object": "list", "data": [{"type": "message", "id": "msg_0"}], "first_id": "msg_0", "last_id": "msg_0"}
    provider.paths["/v1/responses"] = respond
    provider.paths["/v1/responses/resp_1"] = says({"id": "resp_1", "object": "response", "output": []})
    provider.paths["/v1/responses/resp_1/cancel"] = says({"id": "resp_1", "object": "response", "output": []})
    provider.paths["/v1/responses/resp_1/input_items"] = says(items)
    provider.paths["/v1/responses/resp_1/input_items?after=msg_0"] = says(items | {"data": []})


async def respond(gateway: ServedGateway, key: str, **body: Any) -> Any:
    return await gateway.client.post("/v1/responses", json={"model": "shop-a", "input": "Hi"} | body, headers=as_(key))


WAYS = (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items"))


@pytest.mark.usefixtures("_stores")
async def test_a_stored_response_is_its_keys_alone(keyed: ServedGateway, provider: FakeProvider) -> None:
    made = (await respond(keyed, "shop")).json()
    id_, item = made["id"], made["output"][0]["id"]
    assert id_.startswith(f"resp_1.{FIRST}")
    theirs = (await respond(keyed, "free")).json()["id"]
    assert theirs != id_, "the same response of the provider has another id for another key"
    before = len(provider.calls)
    forged = [
        id_, f"resp_1.{FIRST}", "resp_1", id_[:-16] + theirs[-16:][::-1], id_ + "0", f"resp_1.{FIRST}{'0' * 16}",
    ]  # fmt: skip
    for other in ({"authorization": "Bearer the-old-key"}, {"authorization": "Bearer the-admins"}, as_("free")):
        for wrong in forged:
            for method, behind in WAYS:
                answer = await keyed.client.request(method, f"/v1/responses/{wrong}{behind}", headers=other)
                assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), (wrong, method)
            for body in (
                {"previous_response_id": wrong},
                {"input": [{"type": "item_reference", "id": wrong.replace("resp", "msg")}]},
                {"conversation": wrong},
            ):
                answer = await keyed.client.post(
                    "/v1/responses", json={"model": "shop-a", "input": "Hi"} | body, headers=other
                )
                assert (answer.status_code, answer.json()["error"]["code"]) == (400, "previous_response_not_found")
                assert answer.json()["error"]["param"] == next(iter(body))
            for nonsense in (
                {"previous_response_id": [wrong]},
                {"previous_response_id": {"id": wrong}},
                {"conversation": [wrong]},
                {"conversation": {"id": [wrong]}},
            ):
                answer = await respond(keyed, "free", **nonsense)
                assert (answer.status_code, answer.json()["error"]["param"]) == (400, next(iter(nonsense)))
    assert len(provider.calls) == before, "nothing went upstream"
    for method, behind in WAYS:
        answer = await keyed.client.request(method, f"/v1/responses/{id_}{behind}", headers=as_("shop"))
        assert answer.status_code == 200, behind
    referred = {"previous_response_id": id_, "input": [{"type": "item_reference", "id": item}]}
    assert (await respond(keyed, "shop", **referred)).status_code == 200
    assert provider.chats()[-1].json["previous_response_id"] == "resp_1"
    assert provider.chats()[-1].json["input"] == [{"type": "item_reference", "id": "msg_1"}]


@pytest.mark.usefixtures("_stores")
async def test_pages_of_input_items_go_on_from_ones_own_items_alone(
    keyed: ServedGateway, provider: FakeProvider
) -> None:
    id_ = (await respond(keyed, "shop")).json()["id"]
    page = (await keyed.client.get(f"/v1/responses/{id_}/input_items", headers=as_("shop"))).json()
    last = page["last_id"]
    assert last == page["data"][0]["id"] == page["first_id"]
    url = f"/v1/responses/{id_}/input_items"
    assert (await keyed.client.get(url, params={"after": last}, headers=as_("shop"))).json()["data"] == []
    before = len(provider.calls)
    for wrong in ("msg_0", f"msg_0.{FIRST}", last[:-1] + "x"):
        answer = await keyed.client.get(url, params={"after": wrong}, headers=as_("shop"))
        assert answer.status_code == 404
    assert len(provider.calls) == before


@pytest.mark.usefixtures("_stores")
async def test_ids_of_a_stream_are_its_keys_as_those_of_a_whole_answer_are(keyed: ServedGateway) -> None:
    whole = (await respond(keyed, "shop")).json()
    streamed = (await respond(keyed, "shop", stream=True)).text
    events = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: ")]
    assert {event["response"]["id"] for event in events if "response" in event} == {whole["id"]}
    assert {event["item_id"] for event in events if "item_id" in event} == {whole["output"][0]["id"]}


@pytest.mark.usefixtures("_stores")
async def test_items_of_another_key_lose_the_ids_that_a_provider_could_find_them_by(
    keyed: ServedGateway, provider: FakeProvider
) -> None:
    made = (await respond(keyed, "shop")).json()["output"][0]
    answer = await respond(keyed, "free", input=[made, {"role": "user", "content": "And now?"}])
    assert answer.status_code == 200
    assert provider.chats()[-1].json["input"][0] == {name: v for name, v in made.items() if name != "id"}


@pytest.mark.usefixtures("_stores")
async def test_without_a_pepper_there_is_nobody_to_tell_apart(serve: Serve) -> None:
    gateway = await serve(key="the-old-key", admin_key="a")
    gateway.client.headers["authorization"] = "Bearer the-old-key"
    id_ = (await gateway.client.post("/v1/responses", json={"model": "reply", "input": "Hi"})).json()["id"]
    assert id_ == f"resp_1.{FIRST}"
    # An id that was given out while there was a pepper is found without one, too.
    for known in (id_, id_ + "0" * 16):
        assert (await gateway.client.get(f"/v1/responses/{known}")).status_code == 200
